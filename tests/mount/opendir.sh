#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Directories are opened without asking us where nobody has to wait for one: behind the root of a mount with
# -o rootfs.  And who opens one before its layers are there copies it as it is in them all the same.
. "$(dirname "$0")/../lib.sh"
need curl jq python3 tar

python - "$work/layout" <<'END'
import sys
from ocilayout import Layout, Tar
base, top = Tar(), Tar()
base.directory("./", mode=0o700, owner=(1, 2), mtime=1000000001)
for number in range(30):
    base.directory(f"./d{number:02}")
    base.file(f"./d{number:02}/file", f"{number}\n")
top.directory("./", mode=0o751, owner=(12, 34), mtime="1000000002.123456789")
top.directory("./d00", mode=0o711, owner=(56, 78), mtime=1000000003)
layout = Layout(sys.argv[1])
layers = [layout.layer(tar.bytes()) for tar in (base, top)]
layout.tag("1.0", layout.image(layers, {"architecture": "amd64", "os": "linux"}))
layout.close()
END
root_is="751 12:34 1000000002.123456789" # what the top layer says
base_is="700 1:2 1000000001.000000000"
mnt=$work/mnt
mkdir "$mnt"
start_faultregistry "app=$work/layout"

# mount_cold SOURCE [OPTIONS]: with nothing in the cache, and without a look at the root.
mount_cold() {
	cache=$(mktemp -d -p "$work")
	"$IMGFS" "$1" "$mnt" -o "cache_dir=$cache${2:+,$2}" </dev/null >"$work/mount.log" 2>&1 ||
		fail "mount of $1: $(<"$work/mount.log")"
	daemons[$mnt]=$(<"$mnt/.imgfs/pid")
	at_exit unmount_quietly "$mnt"
}

fuse() { counter "$mnt" ".fuse.$1"; }
attributes() { stat -c '%a %u:%g %.9Y' "$1"; }

# archives SOURCE OPTIONS DIRECTORY ATTRIBUTES: tar(1) opens it, asks for its attributes, and then reads it.
archives() {
	mount_cold "$1" "$2"
	tar -C "$mnt/$3" -cf "$work/copy.tar" --format=posix . 2>"$work/stderr" || fail "tar: $(<"$work/stderr")"
	unmount "$mnt"
	rm -rf "$work/copy"
	mkdir "$work/copy"
	tar -C "$work/copy" -xf "$work/copy.tar" --numeric-owner
	assert_eq "$(attributes "$work/copy")" "$4" "tar of $3 in $1"
}

need_root
archives "docker://$registry/app:1.0" rootfs "" "$root_is"
archives "docker://$registry/app" "" 1.0/linux_amd64/rootfs "$root_is"
archives "docker://$registry/app" "" "1.0/linux_amd64/layers/$(
	mount_cold "docker://$registry/app"
	names "$mnt/1.0/linux_amd64/layers" | cut -d ' ' -f 1
	unmount "$mnt"
)/diff" "$base_is"

mount_cold "docker://$registry/app:1.0" rootfs
rm -rf "$work/copy"
cp -a "$mnt" "$work/copy" || fail "cp"
unmount "$mnt"
assert_eq "$(attributes "$work/copy")" "$root_is" "cp of the root"

# A walk opens nothing but the root; what is no part of the tree does not count as that.
mount_cold "docker://$registry/app:1.0" rootfs
names "$mnt/.imgfs" >"$work/stdout"
before=$(fuse opendir)
find "$mnt" -printf '%P %m %U:%G %T@\n' >"$work/first"
assert_eq "$(($(fuse opendir) - before))" 1 "directories opened by a walk over $(wc -l <"$work/first") entries"
assert_eq "$(sed -n 's/^d00 //p' "$work/first")" "711 56:78 1000000003.0000000000" "a directory"
before=$(counter "$mnt" '.fuse | .opendir + .readdir + .readdirplus + .getattr + .lookup')
find "$mnt" -printf '%P %m %U:%G %T@\n' | cmp - "$work/first" || fail "another walk sees another tree"
asked=$(($(counter "$mnt" '.fuse | .opendir + .readdir + .readdirplus + .getattr + .lookup') - before))
((asked <= 2)) || fail "$asked requests in a second walk" # of them two lookups of what counts
unmount "$mnt"

# Where there are more doors than one, each is opened.
mount_cold "docker://$registry/app"
find "$mnt/1.0/linux_amd64/rootfs" >"$work/stdout"
before=$(fuse opendir)
find "$mnt/1.0/linux_amd64/rootfs" | cmp - "$work/stdout" || fail "another listing"
assert_eq "$(($(fuse opendir) - before))" 31 "directories opened where any may be a door"
