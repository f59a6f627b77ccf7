#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What every tracked text file keeps to: a licence line, plain white space, nothing half done, and
# nothing that only one machine has.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0
complain() {
	echo "$*" >&2
	bad=1
}

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	mapfile -t files < <(git ls-files --cached --others --exclude-standard)
else
	mapfile -t files < <(find . -type f -not -path './build*' -not -path './.git/*' -printf '%P\n')
fi
texts=()
for file in "${files[@]}"; do
	[[ $file == tests/fuzz/seeds/* || $file == tests/fuzz/corpus/* || ! -f $file ]] && continue
	# An empty meson.build or the like is no text.
	[[ -s $file ]] && grep -Iq . "$file" && texts+=("$file")
done

for file in "${texts[@]}"; do
	case $file in
	LICENSE | *.md | *.json | *.dict | .gitignore | .clang-*) continue ;;
	debian/changelog | debian/copyright | debian/source/format) continue ;; # no room for comments
	esac
	# The one file of another licence is a test tool that stands alone.
	license=Apache-2.0
	[[ $file != tests/faultregistry.py ]] || license=MIT
	head -n 4 "$file" | grep -q "SPDX-License-Identifier: $license" ||
		complain "$file: no SPDX line"
done

# Patterns are split, so that this file does not find itself.
unfinished="TO""DO|FIX""ME|XX""X:"
if grep -nE "$unfinished" "${texts[@]}"; then complain "^ unfinished"; fi
if grep -nE '[[:space:]]+$' "${texts[@]}" | grep -v '^LICENSE:'; then complain "^ trailing blanks"; fi
if grep -nP '\r' "${texts[@]}"; then complain "^ carriage returns"; fi
local_path="(^|[^[:alnum:]_.\$}/-])/(wo""rk|home|ro""ot/|Users)/[[:alnum:]]"
if grep -nE "$local_path" "${texts[@]}" | grep -vE 'man/|README|/home/u'; then
	complain "^ a path of somebody's machine"
fi
foreign_host="(py""pi\.org|npm""js\.(com|org)|crates""\.io|registry\.npm""js)"
if grep -nE "$foreign_host" "${texts[@]}"; then complain "^ a package registry"; fi
exit "$bad"
