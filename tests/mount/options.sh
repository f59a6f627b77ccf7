#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Options, the ways to call the program, and what it says and exits with when it cannot mount.
. "$(dirname "$0")/../lib.sh"
need_root

layout=$(demo_layout)
mnt=$work/mnt
mkdir "$mnt" "$work/bin"
ln -s "$IMGFS" "$work/bin/mount.imgfs"
ln -s "$IMGFS" "$work/bin/mount.fuse.imgfs"
ln -s "$IMGFS" "$work/bin/imgfs"
helper=$work/bin/mount.imgfs
opts=cache_dir=$cache

# refused CODE MESSAGE COMMAND...: it exits so, says so, and mounts nothing.
refused() {
	local code=$1 message=$2 actual
	shift 2
	actual=$(exit_code "$@")
	assert_eq "$actual" "$code" "exit code of: $*: $(<"$work/stderr")"
	assert_contains "$(<"$work/stderr")" "$message" "message of: $*"
	! mountpoint -q "$mnt" || fail "mounted all the same: $*"
	(($(wc -l <"$work/stderr") <= 2)) || fail "more than a message and a hint: $*"
}
refused 1 "did you mean 'platform'" "$helper" "oci:$layout" "$mnt" -o "$opts,platfrom=all"
refused 1 "did you mean 'cache_size'" "$work/bin/imgfs" mount --cache-sise=1G "oci:$layout" "$mnt"
refused 1 "retries" "$helper" "oci:$layout" "$mnt" -o "$opts,retries=many"
refused 1 "manifest" "$helper" "oci:$layout" "$mnt" -o "$opts,manifest=v3"
refused 1 "" "$helper" "oci:$layout"
refused 32 "$work/none" "$helper" "oci:$work/none" "$mnt" -o "$opts"
refused 32 "no-such-tag" "$helper" "oci:$layout:no-such-tag" "$mnt" -o "$opts"
refused 32 "$work/nowhere" "$helper" "oci:$layout" "$work/nowhere" -o "$opts"
refused 32 127.0.0.1 "$helper" "docker://127.0.0.1:1/app" "$mnt" -o "$opts,retries=0"
actual=$(exit_code "$helper" debian:12 "$mnt" -o "$opts")
[[ $actual = 1 || $actual = 32 ]] || fail "debian:12 exits $actual"
assert_contains "$(<"$work/stderr")" "docker://debian:12" "the hint"
actual=$(exit_code "$helper" docker://user:secret@127.0.0.1/app "$mnt" -o "$opts")
[[ $actual = 1 || $actual = 32 ]] || fail "user:secret@ exits $actual"
! grep -q secret "$work/stderr" || fail "a password is printed"
assert_contains "$(exit_code "$helper" containers-storage:x "$mnt" -o "$opts")" "" ""
assert_contains "$(<"$work/stderr")" "containers-storage" "an unsupported transport"

# mounted COMMAND...: it mounts, and comes back with its output closed.
mounted() { # COMMAND...: it mounts, and says nothing but $expected_output
	local output
	output=$("$@" 2>&1) || fail "exit $?: $*: $output"
	assert_eq "$output" "${expected_output:-}" "output of $*"
	mountpoint -q "$mnt" || fail "not mounted: $*"
	daemons[$mnt]=$(<"$mnt/.imgfs/pid")
	[[ -f $mnt/1.0/digest ]] || fail "nothing in it: $*"
	unmount "$mnt"
}
at_exit unmount_quietly "$mnt"
mounted "$helper" "oci:$layout" "$mnt" -o "rw,_netdev,nofail,user,noauto,x-systemd.automount,$opts"
mounted "$helper" "oci:$layout" "$mnt" -n -o "rw,$opts"
mounted "$helper" -o "rw,$opts" "oci:$layout" "$mnt"
mounted "$work/bin/mount.fuse.imgfs" "oci:$layout" "$mnt" -o "$opts"
mounted "$work/bin/imgfs" "oci:$layout" "$mnt" -o "$opts"
mounted "$work/bin/imgfs" mount "--cache-dir=$cache" --retries=2 "oci:$layout" "$mnt"
mounted "$work/bin/imgfs" mount -o "$opts" "oci:$layout" "$mnt"
expected_output="mount.imgfs: warning: unknown option 'no_such_option' ignored" \
	mounted "$helper" "oci:$layout" "$mnt" -s -o "$opts,no_such_option=1"
# As mount(8) and systemd call it: without HOME and PATH.
mounted env -i "$helper" "oci:$layout" "$mnt" -o "rw,$opts"
# A plain path, and a relative one.
mounted "$helper" "$layout" "$mnt" -o "$opts"
(cd "$layout/.." && mounted "$helper" "oci:./$(basename "$layout")" "$mnt" -o "$opts")

# -f is mount(8)'s "fake" here: everything is checked, nothing mounted.
refused 0 "" "$helper" -f "oci:$layout" "$mnt" -o "$opts"
refused 1 "platfrom" "$helper" -f "oci:$layout" "$mnt" -o platfrom=all

# suid and dev count for root through mount(8) only.
mount_imgfs "oci:$layout" "$mnt" suid,dev
for option in nosuid nodev; do
	assert_contains "$(findmnt -n -o OPTIONS "$mnt")" "$option" "options of a FUSE-style call"
done
unmount "$mnt"

# Ownership can be overridden, and a file too large is not fetched.
mount_imgfs "oci:$layout" "$mnt" uid=7,gid=8,umask=077
assert_eq "$(stat -c '%u %g %a' "$mnt/plain/linux_amd64/rootfs/app/bin/hello")" "7 8 700" "uid, gid"
unmount "$mnt"

assert_eq "$(exit_code "$IMGFS" --help)" 0 "--help"
for name in platform rootfs manifest ref whiteouts authfile no_creds cert_dir tls_verify \
	registries_conf proxy user_agent connect_timeout stall_timeout retries max_transfers \
	mount_timeout nocheck offline ttl cache_dir cache_size fetch_limit uid gid umask allow_other \
	allow_root default_permissions auto_unmount max_threads log log_level; do
	grep -q -e "$name" -e "${name//_/-}" "$work/stdout" || fail "--help does not know $name"
done
assert_eq "$(exit_code "$IMGFS" --version)" 0 "--version"
assert_contains "$(<"$work/stdout")" "imgfs " "--version"
