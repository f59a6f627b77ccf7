#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The manual knows every option of --help, and no option that the program does not know.
. "$(dirname "$0")/../lib.sh"

page=$repository/man/mount.imgfs.8.scd
assert_eq "$(exit_code "$IMGFS" --help)" 0 "--help"
# "  name=  what it is (default)", below the line OPTION.
sed '1,/^OPTION/d' "$work/stdout" | grep -oE '^  [a-z][a-z0-9_]*' | tr -d ' ' | sort -u >"$work/help"
# "*name=*_VALUE_" at the beginning of a line, perhaps several.
sed -n '/^# OPTIONS/,/^## Accepted/p' "$page" | grep -E '^\*[a-z]' |
	grep -oE '\*[a-z][a-z0-9_]*' | tr -d '*' | sort -u >"$work/manual"
[[ -s $work/help && -s $work/manual ]] || fail "no options found"

while read -r name; do
	grep -qE "\*$name(=|\*)" "$page" || fail "option '$name' of --help is not in $page"
done <"$work/help"
while read -r name; do
	grep -qxF "$name" "$work/help" || fail "option '$name' of $page is not in --help"
done <"$work/manual"
