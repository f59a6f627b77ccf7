#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copies of rootfs/ made by find, tar, tar -S, rsync and cp are equal to it.
. "$(dirname "$0")/../lib.sh"
need_root
need rsync tar

mnt=$work/mnt
mount_imgfs "oci:$(demo_layout)" "$mnt"
rootfs=$mnt/1.1/linux_amd64/rootfs

same() { # COPY WHAT [OPTIONS]
	local copy=$1 what=$2
	shift 2
	"$tests/compare-trees.py" --nanoseconds "$@" "$rootfs" "$copy" >&2 || fail "$what"
}

mkdir "$work"/{tar,sparse,rsync}
tar --xattrs --xattrs-include='*' --format=pax -C "$rootfs" -cf "$work/a.tar" .
tar --xattrs --xattrs-include='*' --numeric-owner -C "$work/tar" -xpf "$work/a.tar"
same "$work/tar" "tar"
tar -S --xattrs --xattrs-include='*' --format=pax -C "$rootfs" -cf "$work/b.tar" .
tar --xattrs --xattrs-include='*' --numeric-owner -C "$work/sparse" -xpf "$work/b.tar"
same "$work/sparse" "tar -S"
tar -C "$rootfs" -df "$work/a.tar" || fail "tar -d"
rsync -aHX --numeric-ids "$rootfs/" "$work/rsync/"
same "$work/rsync" "rsync"
cp -a "$rootfs" "$work/cp"
same "$work/cp" "cp -a"
diff -r --no-dereference -x initctl -x null -x loop0 "$rootfs" "$work/cp" >&2 || fail "diff -r"

# find's two ways of learning a type agree, and directories' link counts do not mislead it.
find "$rootfs" -printf '%y %P\n' | sort >"$work/types"
find "$work/cp" -printf '%y %P\n' | sort >"$work/expected"
assert_same_file "$work/types" "$work/expected"
assert_eq "$(find "$rootfs" -type f -size +0 -printf '%b\n' |
	grep -c '^0$' || true)" 0 "files that say they have no blocks"
grep -rl --devices=skip "colour=blue" "$rootfs/etc" | grep -q app.conf || fail "grep -r"
