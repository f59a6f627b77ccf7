#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What completion offers is what the manual describes: each option in one place, and no command or letter more or less.
. "$(dirname "$0")/../lib.sh"

offered() { "$IMGFS" --complete "$@" | sed '/^:/d; s/\t.*//'; }
# described PAGE...: at the beginning of their paragraphs: "uid=" and "gid=" of "*uid=*_N_, *gid=*_N_".
described() { sed -n '/^\*/p' "$@" | { grep -oE '(^|, )\*[a-z_\\]+(=|\*|$)' || true; } | tr -d '*,\\ '; }

offered imgfs -o '' | sort >"$work/offered"
tr -d = <"$work/offered" | sort >"$work/options"
[[ $(wc -l <"$work/options") -gt 30 ]] || fail "no options are offered"
sed -n '/^# OPTIONS/,/^## Letters/p' "$repository/man/mount.imgfs.8.scd" >"$work/section"
described "$work/section" | tr -d = | sort >"$work/described"
uniq -d "$work/described" >"$work/twice"
[[ ! -s $work/twice ]] || fail "described twice: $(<"$work/twice")"
comm -23 "$work/options" "$work/described" >"$work/missing"
[[ ! -s $work/missing ]] || fail "offered, but no paragraph of mount.imgfs(8): $(<"$work/missing")"
# (What is accepted and ignored is not offered.)
sed -i '/^## Accepted/,$d' "$work/section"
described "$work/section" | tr -d = | sort | comm -23 - "$work/options" >"$work/missing"
[[ ! -s $work/missing ]] || fail "described, but not offered: $(<"$work/missing")"
for page in imgfs.1 imgfs.5; do
	described "$repository/man/$page.scd" | sort | comm -12 - "$work/offered" >"$work/twice"
	[[ ! -s $work/twice ]] || fail "described in $page, too: $(<"$work/twice")"
done

# Commands, as SYNOPSIS has them ("*imgfs cache* *dir*|*list*"); and the flags of all of them.
synopsis=$(sed -n '/^# SYNOPSIS/,/^# DESCRIPTION/p' "$repository/man/imgfs.1.scd")
grep -oE '^\*imgfs [a-z]+' <<<"$synopsis" | cut -d ' ' -f 2 | sort -u >"$work/described"
[[ -s $work/described ]] || fail "no commands in SYNOPSIS"
offered imgfs '' | sed /:/d | sort >"$work/commands"
diff "$work/described" "$work/commands" >&2 || fail "imgfs(1) describes other commands than are offered"

{
	offered imgfs -
	while read -r command; do
		offered imgfs "$command" -
		while read -r verb; do
			offered imgfs "$command" "$verb" -
		done < <(offered imgfs "$command" '' | sed '/[:/]/d')
	done <"$work/commands"
} | sort -u >"$work/flags"
grep -oE '\*--?[A-Za-z]+(-[a-z]+)*(=?\*)' "$repository/man/imgfs.1.scd" | tr -d '*' | sort -u >"$work/described"
comm -23 "$work/described" "$work/flags" >"$work/missing"
[[ ! -s $work/missing ]] || fail "letters and words of imgfs(1) that are not offered: $(paste -s -d ' ' "$work/missing")"
# (A mount option's long form is described as the option.)
sed 's/^--//; y/-/_/; s/=$//' "$work/flags" | sort | comm -12 - "$work/options" | sed 'y/_/-/; s/^/--/' >"$work/long"
sed 's/=$//' "$work/flags" | grep -vxFf "$work/long" | sort | comm -13 "$work/described" - >"$work/missing"
[[ ! -s $work/missing ]] || fail "offered, but not in imgfs(1): $(paste -s -d ' ' "$work/missing")"
