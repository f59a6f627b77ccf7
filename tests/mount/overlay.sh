#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# With whiteouts=overlay the layers of an image are lower directories, of overlayfs and of fuse-overlayfs: what these
# make of them is rootfs/, and can be written to.
. "$(dirname "$0")/../lib.sh"
need_root
need fuse-overlayfs python3

mount_imgfs "oci:$(demo_layout):1.1" "$work/mnt" whiteouts=overlay,platform=linux/amd64
mkdir "$work/merged" "$work/upper" "$work/work"
lower=$(find "$work/mnt/layers" -mindepth 1 -maxdepth 1 -printf '%p/diff\n' | sort -r | paste -s -d :)
unmount_merged() { ! mountpoint -q "$work/merged" || umount -l "$work/merged"; }
at_exit unmount_merged

if mount -t overlay -o "ro,lowerdir=$lower" overlay "$work/merged" 2>"$work/stderr"; then
	"$tests/compare-trees.py" --skip-root --nanoseconds "$work/merged" "$work/mnt/rootfs" >&2 || fail "overlayfs"
	umount "$work/merged"
else
	say "no overlayfs here: $(<"$work/stderr")"
fi

# It would ask for access control lists, which are not here, and take that for a failure.
fuse-overlayfs -o "noacl,lowerdir=$lower,upperdir=$work/upper,workdir=$work/work" "$work/merged" 2>"$work/stderr" ||
	fail "fuse-overlayfs: $(<"$work/stderr")"
"$tests/compare-trees.py" --skip-root "$work/merged" "$work/mnt/rootfs" >&2 || fail "fuse-overlayfs"
echo changed >"$work/merged/etc/os-release"
assert_eq "$(<"$work/merged/etc/os-release")" changed "what was written"
assert_contains "$(<"$work/mnt/rootfs/etc/os-release")" "imgfs demo 1.1" "the image's own"
