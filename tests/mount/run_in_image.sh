#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs run in an image that was never pulled: a whole Debian, out of a registry, by bwrap and chroot, and by podman
# where podman can run anything at all.  (That its files are right is rootfs_equals_umoci's to say.)
. "$(dirname "$0")/../lib.sh"
need_root
need bwrap chroot curl dpkg-query jq podman

layout=$(debian_layout)
start_faultregistry "team/debian=$layout"
mnt=$work/mnt
mount_imgfs "docker://$registry/team/debian" "$mnt"
root=$mnt/a/linux_amd64/rootfs

# What the image's programs find is what this system's find in there.
# shellcheck disable=SC2016 # for the shell in the image
script='ls /etc; dpkg -l | wc -l; dpkg-query -S /usr/bin/perl; awk "BEGIN { print 6 * 7 }"; getent passwd games'
in_image() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@" /bin/sh -c "$script" >"$work/stdout"; }
{
	LC_ALL=C ls "$root/etc"
	LC_ALL=C dpkg-query --admindir "$root/var/lib/dpkg" -l | wc -l
	echo "perl-base: /usr/bin/perl"
	echo 42
	grep ^games: "$root/etc/passwd"
} >"$work/expected"
(($(wc -l <"$work/expected") > 50)) || fail "too little to compare: $(<"$work/expected")"
in_image bwrap --ro-bind "$root" / --proc /proc --dev /dev
assert_same_file "$work/stdout" "$work/expected"
in_image chroot "$root"
assert_same_file "$work/stdout" "$work/expected"

# podman ROOT: with something writable over it.
podman_at() {
	podman --root "$work/podman/root" --runroot "$work/podman/run" --storage-driver vfs run --rm --network none \
		--rootfs "$1:O" "${@:2}"
}
mkdir "$work/plain" "$work/plain/bin"
cp /bin/busybox "$work/plain/bin/true"
if podman_at "$work/plain" /bin/true >"$work/podman.log" 2>&1; then
	podman_at "$root" /bin/sh -c 'echo new >/etc/new && cat /etc/new' >"$work/stdout"
	assert_eq "$(<"$work/stdout")" new "what podman's command wrote"
	[[ ! -e $root/etc/new ]] || fail "podman wrote into the image"
else
	say "podman cannot run anything here: $(tail -n 1 "$work/podman.log")"
fi

# All of it came by one request for each layer.
assert_eq "$(requests '[.paths | to_entries[] | select((.key | test("/blobs/")) and .value.bytes > 100000)
	| .value.requests] | unique | join(" ")')" 1 "requests for a layer"
