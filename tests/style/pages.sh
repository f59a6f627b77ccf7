#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Manual pages are clean for mandoc, and what pages refer to is there: other pages, sections, files.
set -euo pipefail
cd "$(dirname "$0")/../.."
for command in scdoc mandoc; do
	command -v "$command" >/dev/null || { echo "no $command" && exit 77; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/imgfs-pages.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
bad=0
complain() {
	echo "$*" >&2
	bad=1
}

for source in man/*.scd; do
	page=$work/$(basename "$source" .scd)
	scdoc <"$source" | awk -f man/tidy.awk >"$page"
	mandoc -T lint -W warning "$page" || complain "^ $source"
done

# has_page NAME SECTION: mount.fuse.imgfs(8) is a link to mount.imgfs(8).
has_page() { [[ -e man/$1.$2.scd || $1.$2 = mount.fuse.imgfs.8 ]]; }

# "*name*(8)", and what man(1) makes of it; those of others are not here to be looked at.
while IFS=: read -r source reference; do
	name=${reference#\*} section=${reference##*\(}
	name=${name%%\**} section=${section%\)}
	[[ $name != *imgfs* ]] || has_page "$name" "$section" ||
		complain "$source: $name($section) is no page of ours"
done < <(grep -oE '\*[A-Za-z0-9._-]+\*\([0-9]\)' man/*.scd)
for source in man/*.scd; do
	for other in man/*.scd; do
		name=$(basename "$other" .scd) section=
		section=${name##*.} name=${name%.*}
		[[ $source = "$other" ]] || sed -n '/^# SEE ALSO/,$p' "$source" |
			grep -qF "*$name*($section)" || complain "$source: $name($section) is not under SEE ALSO"
	done
done

# "see _TOKEN SERVERS_", "see *FILES* in *imgfs*(1)": sections are spelt in capitals.
while IFS= read -r line; do
	source=${line%%:*} heading=${line#*:}
	where=$source
	if [[ $heading =~ in\ \*([a-z.]+)\*\(([0-9])\) ]]; then
		where=man/${BASH_REMATCH[1]}.${BASH_REMATCH[2]}.scd
	fi
	heading=${heading#*[_*]}
	heading=${heading%%[_*]*}
	grep -qxF "# $heading" "$where" || complain "$source: there is no section '$heading' in $where"
done < <(grep -oE '[sS]ee (_[A-Z ]+_|\*[A-Z ]+\*( in \*[a-z.]+\*\([0-9]\))?)' man/*.scd)

# Markdown: [text](file) and [text](file#heading), next to the file that says it.
while IFS=: read -r page link; do
	target=${link#*](}
	target=${target%)}
	[[ $target = *://* || $target = \#* || -e $(dirname "$page")/${target%%#*} ]] ||
		complain "$page: $target is not there"
done < <(git ls-files '*.md' 2>/dev/null | xargs grep -oE '\]\([^)[:space:]]+\)' /dev/null)
exit "$bad"
