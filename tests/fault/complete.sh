#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The table of faults is whole: each is asserted by a test that exists, and each fault test has a row.
. "$(dirname "$0")/../rows.sh"

rows=$(table_rows)
assert_eq "$(cut -d ' ' -f 1 <<<"$rows" | sort | uniq -d)" "" "faults that are there twice"
while read -r id script; do
	[[ -x $tests/$script.sh ]] || fail "$id: there is no $script.sh"
	case $script in
	fault/*) grep -q "^row_$id() {" "$tests/$script.sh" || fail "$id: not in $script.sh" ;;
	esac
done <<<"$rows"
for script in "$tests"/fault/*.sh; do
	name=$(basename "$script" .sh)
	[[ $name == "$test_name" ]] && continue
	grep -q " fault/$name$" <<<"$rows" || fail "no fault of the table is asserted by $name"
	assert_eq "$(tail -n 1 "$script")" run_rows "the end of $name"
done
