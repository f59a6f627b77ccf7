#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each relative link in a *.md leads to something, its #heading too, and each file of docs/ is linked from one.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
complain() {
	echo "$*" >&2
	bad=1
}

mapfile -t pages < <(find . -name '*.md' -not -path './build*' -printf '%P\n')

# links FILE: what is in the round brackets of each [text](target) and ![text](target).
links() { grep -oE '\]\([^) ]+\)' "$1" | sed -E 's/^..(.*).$/\1/'; }

# headings FILE: as the targets that a reader's site makes of them.
headings() {
	grep -E '^#+ ' "$1" | sed -E 's/^#+ //' | tr '[:upper:]' '[:lower:]' |
		sed -E 's/[^[:alnum:] _-]//g; s/ /-/g'
}

targets=()
for page in "${pages[@]}"; do
	while read -r link; do
		[[ ! $link =~ ^[a-z]+: ]] || continue
		heading=
		[[ $link != *'#'* ]] || heading=${link#*'#'}
		target=${link%%'#'*}
		if [[ -n $target ]]; then
			target=$(realpath -ms --relative-to=. "$(dirname "$page")/$target")
		else
			target=$page
		fi
		targets+=("$target")
		if [[ ! -e $target ]]; then
			complain "$page: '$link' leads nowhere"
		elif [[ -n $heading ]] && ! headings "$target" | grep -qxF -- "$heading"; then
			complain "$page: there is no heading for '$link'"
		fi
	done < <(links "$page")
done
((${#targets[@]})) || complain "no links found"

while read -r file; do
	printf '%s\n' "${targets[@]}" | grep -qxF -- "$file" || complain "$file: nothing links to it"
done < <(find docs -type f)
exit "$bad"
