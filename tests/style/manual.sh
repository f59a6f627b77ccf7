#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the program says of itself, the manual says, too: every option, every command, every counter; and no other.
. "$(dirname "$0")/../lib.sh"

# What is counted is described.
while read -r name; do
	grep -qF "*$name*" "$repository/man/imgfs.5.scd" || fail "$name of stats.json is not in imgfs(5)"
done < <(grep -oE '^	COUNTER\([a-z0-9_]+' "$repository/fs/control.c" | cut -d '(' -f 2)

page=$repository/man/mount.imgfs.8.scd
assert_eq "$(exit_code "$IMGFS" help mount)" 0 "help mount"
# "  name=  what it is (default)", below the line OPTION.
sed '1,/^OPTION/d' "$work/stdout" | grep -oE '^  [a-z][a-z0-9_]*' | tr -d ' ' | sort -u >"$work/help"
# "*name=*_VALUE_" at the beginning of a line, perhaps several.
sed -n '/^# OPTIONS/,/^## Accepted/p' "$page" | grep -E '^\*[a-z]' |
	grep -oE '\*[a-z][a-z0-9_]*' | tr -d '*' | sort -u >"$work/manual"
[[ -s $work/help && -s $work/manual ]] || fail "no options found"

while read -r name; do
	grep -qE "\*$name(=|\*)" "$page" || fail "option '$name' of help mount is not in $page"
done <"$work/help"
while read -r name; do
	grep -qxF "$name" "$work/help" || fail "option '$name' of $page is not in help mount"
done <"$work/manual"

# --help fits a screen, and has all names.
assert_eq "$(exit_code "$IMGFS" --help)" 0 "--help"
(($(wc -l <"$work/stdout") <= 24)) || fail "--help has more than 24 lines"
(($(wc -L <"$work/stdout") <= 80)) || fail "--help has more than 80 columns"
sed -n '/^OPTION/,/^FLAG/p' "$work/stdout" | sed 's/^OPTION//; /^FLAG/d' | tr -s ' ' '\n' | sed 's/=$//; /^$/d' |
	sort -u >"$work/names"
diff "$work/help" "$work/names" >&2 || fail "--help and help mount have other options"

# Commands: "COMMAND  name words  what it does", and the pages of each.
page=$repository/man/imgfs.1.scd
sed -n '/^COMMAND/,/^OPTION/p' "$work/stdout" | sed '/^OPTION/d' | cut -c 10- | cut -d ' ' -f 1 | sort >"$work/commands"
sed -n '/^# SYNOPSIS/,/^# DESC/p' "$page" | grep -oE '^\*imgfs [a-z]+' | cut -d ' ' -f 2 | sort -u >"$work/pages"
grep -qx status "$work/commands" || fail "no commands found"
diff "$work/commands" "$work/pages" >&2 || fail "--help and $page have other commands"
while read -r name; do
	assert_eq "$(exit_code "$IMGFS" help "$name")" 0 "help $name"
	assert_contains "$(head -n 1 "$work/stdout")" "usage: imgfs" "help $name"
	[[ $name = help ]] || assert_eq "$("$IMGFS" "$name" --help)" "$(<"$work/stdout")" "$name --help"
done <"$work/commands"
