#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the mount table says: read-only, without set-user-ID bits and devices unless root asks for them in so many
# words through mount(8), and with the kernel checking modes when other users are let in.
. "$(dirname "$0")/../lib.sh"
need_root

layout=$(demo_layout)
mnt=$work/mnt
mkdir "$mnt" "$work/bin"
ln -s "$IMGFS" "$work/bin/mount.imgfs"
program=$IMGFS
helper=$work/bin/mount.imgfs

# flags: of the mount, and behind " - " those of the file system.
flags() { awk -v at="$mnt" '$5 == at { print $6 " - " $NF }' /proc/self/mountinfo; }

# -FLAG: it has not.
with() { # PROGRAM OPTIONS FLAG...
	local found flag
	IMGFS=$1 mount_imgfs "oci:$layout" "$mnt" "$2"
	found=",$(flags | sed 's/ - /,super:,/'),"
	for flag in "${@:3}"; do
		case $flag in
		-*) [[ $found != *",${flag#-},"* ]] || fail "$2: $flag: $found" ;;
		*) [[ $found == *",$flag,"* ]] || fail "$2: no $flag: $found" ;;
		esac
	done
	unmount "$mnt"
}

safe=(ro nosuid nodev)
with "$program" ttl=1 "${safe[@]}" -default_permissions -allow_other
with "$helper" rw,exec,defaults "${safe[@]}"
with "$helper" user,rw "${safe[@]}"
with "$program" suid,dev "${safe[@]}"
with "$helper" suid ro -nosuid nodev
with "$helper" dev ro nosuid -nodev
with "$helper" suid,dev,rw ro -nosuid -nodev -rw
with "$helper" suid,dev,nosuid,nodev "${safe[@]}"
with "$helper" suid=no,dev=no "${safe[@]}"

with "$program" allow_other "${safe[@]}" allow_other default_permissions
with "$program" allow_root "${safe[@]}" default_permissions
with "$program" default_permissions "${safe[@]}" default_permissions -allow_other
with "$program" allow_other,no_default_permissions allow_other -default_permissions

# Somebody who is no user of the image's reads what everybody may, and not more.
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
chmod 0755 "$work"
mount_imgfs "oci:$layout" "$mnt" allow_other,umask=077
rootfs=$mnt/1.0/linux_amd64/rootfs
assert_fails "Permission denied" as_nobody ls "$mnt"
unmount "$mnt"
mount_imgfs "oci:$layout" "$mnt" allow_other
as_nobody cat "$rootfs/etc/os-release" >"$work/stdout"
unmount "$mnt"
mount_imgfs "oci:$layout" "$mnt"
assert_fails "Permission denied" as_nobody ls "$mnt"
unmount "$mnt"
