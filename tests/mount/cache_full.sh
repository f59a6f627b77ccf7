#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A cache on a disk that is too small for one layer: everything is read right, and it is said once.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq

demo=$(demo_layout)
start_faultregistry "app=$demo"
mnt=$work/mnt image=1.0/linux_amd64
mount_imgfs "oci:$demo" "$work/demo" "cache_dir=$work/reference"

mkdir -p "$cache"
mount -t tmpfs -o size=600k,mode=0700 imgfs-test "$cache" 2>"$work/stderr" || skip "no tmpfs: $(<"$work/stderr")"
drop_disk() { if mountpoint -q "$cache"; then umount -l "$cache"; fi; }
at_exit drop_disk
mount_imgfs "docker://$registry/app" "$mnt"
for round in 1 2; do
	"$tests/compare-trees.py" --nanoseconds "$mnt/$image/rootfs" "$work/demo/$image/rootfs" >&2 ||
		fail "the trees differ, round $round"
	for layer in "$mnt/$image/layers/"*/; do
		assert_same_file "$layer/layer.tar.gz" \
			"$work/demo/$image/layers/$(basename "$layer")/layer.tar.gz"
	done
done
assert_eq "$(grep -c 'No space left on device; going on without it where needed' "$mnt/.imgfs/log")" 1 "warnings"
assert_eq "$(grep -c 'no place in the cache; using temporary files' "$mnt/.imgfs/log")" 1 "warnings of the other place"
(($(counter "$mnt" .cache_full) >= 1)) || fail "cache_full"
assert_eq "$(counter "$mnt" .cache_errors)" 0 "other errors of the cache"
unmount "$mnt"
# What did fit is sound.
assert_eq "$(exit_code "$IMGFS" cache verify -o "cache_dir=$cache")" 0 "imgfs cache verify"

# A cache that goes away under a mount is one that has nothing.
drop_disk
mount_imgfs "docker://$registry/app" "$mnt"
test -s "$mnt/$image/manifest.json"
rm -r "$cache"
"$tests/compare-trees.py" --nanoseconds "$mnt/1.1/linux_amd64/rootfs" "$work/demo/1.1/linux_amd64/rootfs" >&2 ||
	fail "the trees differ without a cache"
