#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many entries, many layers, many tags, long paths: everything shows once, and what that costs grows
# with what is looked at.  The numbers are small ones, for sanitizers; the costs are counted in
# requests, which are the same per entry at any size.
. "$(dirname "$0")/../lib.sh"
need curl jq perl

entries=20000 layers=520 tags=12000 path_bytes=3900
"$tests/make-scale-layout" --entries "$entries" --layers "$layers" --tags "$tags" \
	--path "$path_bytes" --list "$work/list" "$work/layout"
mnt=$work/mnt
root() { printf '%s\n' "$mnt/$1/linux_amd64/rootfs"; }
fuse() { counter "$mnt" ".fuse.$1"; }
paths() { find "$1" -mindepth 1 -printf '%P\n' | LC_ALL=C sort; }

# ---- entries: each once, and attributes come with the names ------------------------------------

mount_imgfs "oci:$work/layout" "$mnt"
for tag in flat merged; do
	stat "$(root "$tag")/many" >"$work/stdout"
	lookups=$(fuse lookup) replies=$(fuse readdirplus)
	paths "$(root "$tag")" | cmp - "$work/list.$tag" || fail "$tag: other names"
	(($(fuse readdir) == 0)) || fail "$tag: listed without attributes"
	replies=$(($(fuse readdirplus) - replies)) most=$(($(wc -l <"$work/list.$tag") / 500 + 6))
	((replies <= most)) || fail "$tag: $replies replies for a listing, more than $most"
	find "$(root "$tag")" -type f -size +0 -newermt 2030-01-01 >"$work/stdout"
	ls -l "$(root "$tag")/many" >"$work/stdout"
	lookups=$(($(fuse lookup) - lookups))
	((lookups < 30)) || fail "$tag: $lookups lookups, though a listing has all attributes"
done
unmount "$mnt"

# ---- one name: neither its directory is listed, nor another one asked for ------------------------

mount_imgfs "oci:$work/layout" "$mnt"
cat "$(root merged)/many/entry-$(printf %07d $((entries + 5)))"
[[ ! -e $(root merged)/many/entry-9999999 ]] || fail "a file that is in no layer"
assert_eq "$(fuse opendir) $(fuse readdirplus)" "0 0" "listings for two names"
(($(fuse lookup) < 20)) || fail "$(fuse lookup) lookups for two names"
# Who wants a few names is not made to wait for all.
perl -e 'opendir D, $ARGV[0] or die; readdir D for 1 .. 4' "$(root merged)/many"
(($(fuse readdirplus) <= 1)) || fail "$(fuse readdirplus) replies for four names"
# Places in a listing stay what they are.
perl -e 'opendir D, $ARGV[0] or die; my @places;
	while (defined(my $at = telldir D)) { my $name = readdir D; defined $name or last;
		push @places, [$at, $name]; }
	@places >= 30002 or die "only " . @places;
	for my $i (map { $_ * 997 % @places } 1 .. 100) {
		seekdir D, $places[$i][0];
		readdir D eq $places[$i][1] or die "another name at $places[$i][1]"; }' \
	"$(root merged)/many" || fail "telldir and seekdir"

# ---- layers: more than files may be open at once --------------------------------------------------

paths "$(root layers)" | cmp - "$work/list.layers" || fail "layers: other names"
assert_eq "$(<"$(root layers)/many/last")" $((layers - 1)) "the topmost layer's file"
cat "$mnt"/layers/linux_amd64/layers/*/diff/many/last | sort -n | cmp - <(seq 0 $((layers - 1))) ||
	fail "layers: other files"
files=$(find "/proc/${daemons[$mnt]}/fd" -mindepth 1 | wc -l)
((files < 600)) || fail "$files open files"
top=$(printf %05d $((layers - 1))) gone=$(printf %05d $((layers - 3)))
assert_eq "$(paste -s -d ' ' "$mnt/layers/linux_amd64/layers/$layers-"*/changes.txt)" \
	"D /many/$gone A /many/$top M /many/last A /own-$top" "changes.txt"
assert_eq "$(names "$mnt/layers/linux_amd64/layers" | wc -w)" "$layers" "layer directories"

# ---- paths as long as PATH_MAX lets them be -------------------------------------------------------

paths "$(root deep)" | awk -v most="$path_bytes" 'length == most { n++ } length > most { exit 1 }
	END { exit n != 2 }' || fail "deep: not two paths of $path_bytes bytes"
while IFS= read -r path; do
	(cd "$(root deep)" && cat "$path" >>"$work/deep")
done < <(paths "$(root deep)" | awk -v most="$path_bytes" 'length == most')
assert_eq "$(LC_ALL=C sort "$work/deep" | paste -s -d ' ')" "1 200" "files at the end of long paths"
unmount "$mnt"

# ---- tags: by pages, once ---------------------------------------------------------------------

start_faultregistry --page-size 1000 "team/app=$work/layout"
mount_imgfs "docker://$registry/team/app" "$mnt"
ls "$mnt" >"$work/names"
jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"]' "$work/layout/index.json" |
	LC_ALL=C sort | cmp - <(LC_ALL=C sort "$work/names") || fail "tags: other names"
pages=$(requests '[.paths | to_entries[] | select(.key | test("/tags/list"))
	| .value.methods.GET] | add')
((pages <= (tags + 4) / 1000 + 2)) || fail "$pages requests for a list of $tags tags"
reset_requests
ls -l "$mnt" >"$work/stdout"
[[ -d $mnt/t0001234/linux_amd64 && ! -e $mnt/t9999999 ]] || fail "tags: a lookup"
(($(requests) < 10)) || fail "$(requests) requests for a lookup of a listed tag"
