#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/architecture.md speaks of what there is: files, functions, and who includes whom in fetch/.
set -euo pipefail
cd "$(dirname "$0")/../.."
page=docs/architecture.md
bad=0
complain() {
	echo "$page: $*" >&2
	bad=1
}

is_in_code() { grep -rqw --include='*.[ch]' -- "$1" model fetch fs; }

# What is between backquotes: files, functions(), CONSTANTS.
words=$(grep -oP '\x60[^\x60]+\x60' "$page" | tr -d '\140' | sort -u)
while read -r word; do
	case $word in
	model/* | fetch/* | fs/* | tests/*) [[ -e $word ]] || complain "there is no $word" ;;
	*'()') is_in_code "${word%??}" || complain "there is no $word" ;;
	LOAD_* | STORE_*) is_in_code "$word" || complain "there is no $word" ;;
	esac
done <<<"$words"

# What looks like a function in a drawing.
drawn=$(grep -E '^    ' "$page" | grep -oE '\b[a-z]+(_[a-z0-9]+)+\b' | grep -vx linux_amd64 | sort -u)
while read -r word; do
	is_in_code "$word" || complain "there is no $word"
done <<<"$drawn"
(($(wc -l <<<"$words") > 40 && $(wc -l <<<"$drawn") > 20)) || complain "nothing to compare"

# The table of modules: "| `NAME` | `NAME` `NAME` | ...".
table=$(grep -oP '^\| \x60[a-z0-9_]+\x60 \| [^|]*\|' "$page" | tr -d '\140|' | awk '{ $1 = $1; print }' | sort)
modules=$(for directory in fetch/*/; do
	module=$(basename "$directory")
	cat "$directory"*.[ch] | grep -oE '^#include "fetch/[a-z0-9_]+/' | cut -d / -f 2 | cat - <(echo "$module") |
		sort -u | grep -vx "$module" | paste -s -d ' ' | awk -v module="$module" '{ $0 = module " " $0; $1 = $1; print }'
done | sort)
[[ $table == "$modules" ]] || complain "modules: $(diff <(echo "$table") <(echo "$modules") || true)"
exit "$bad"
