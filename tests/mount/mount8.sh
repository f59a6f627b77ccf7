#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# As mount(8) calls us, for root and for users: its forms and flags, fstab, what the table says, exit codes, and
# that nothing is left behind.  In a mount namespace of its own, with our links in /sbin and with a user, an
# fstab and a /dev/fuse that only this test sees.
if [[ ${1:-} != inside ]]; then
	. "$(dirname "$0")/../lib.sh"
	need_root
	need unshare mount.fuse3 fusermount3 setpriv findmnt
	unshare --mount true 2>/dev/null || skip "no mount namespaces"
	layout=$(demo_layout)
	layout=$layout unshare --mount --propagation slave "$0" inside
	exit
fi
. "$(dirname "$0")/../lib.sh"

# What others have mounted shall end when they unmount it, and not live on in here.
awk '$3 == "fuse.imgfs" { print $2 }' /proc/self/mounts | while read -r at; do umount -l "$(printf %b "$at")"; done

# Whatever this test has mounted, also for a user, whose mounts root cannot look at.
unmount_all() {
	awk -v below="$work/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts | tac |
		while read -r at; do umount -l "$(printf %b "$at")"; done
}
at_exit unmount_all

# Nothing of the system's is ever mounted below $work, which is removed at the end: only ours over the system's.

# cover FILE TARGET: with a file of $work.
cover() {
	mount --bind "$work/$1" "$2"
	at_exit umount -l "$2"
}

# ---- a system with imgfs installed ----
mkdir "$work/bin" "$work/sbin" "$work/etc" "$work/dev" "$work/home"
chmod 755 "$work" "$work/home"
chmod 1777 "$work/sanitizer"
ln -s "$IMGFS" "$work/sbin/mount.imgfs"
ln -s "$IMGFS" "$work/sbin/mount.fuse.imgfs"
sbin=$(realpath /sbin)
mount -t overlay -o "ro,lowerdir=$work/sbin:$sbin" overlay "$sbin" || skip "no overlayfs"
at_exit umount -l "$sbin"
mount -t tmpfs -o mode=755,dev tmpfs "$work/dev"
at_exit umount -l "$work/dev"
mknod -m 666 "$work/dev/fuse" c 10 229
mknod -m 666 "$work/dev/none" c 10 254
cover dev/fuse /dev/fuse
user=imgfstest uid=64321
cp /etc/passwd /etc/group "$work/etc"
echo "$user:x:$uid:$uid::$work/home:/bin/sh" >>"$work/etc/passwd"
echo "$user:x:$uid:" >>"$work/etc/group"
: >"$work/etc/fuse.conf"
: >"$work/etc/fstab"
for file in passwd group fuse.conf fstab; do
	[[ -e /etc/$file ]] || skip "no /etc/$file"
	cover "etc/$file" "/etc/$file"
done
chown "$uid" "$work/home"
# A copy that users can read, at a place with a blank.
images="$work/the images"
cp -r "$layout" "$images"
chmod -R a+rX "$images"
ln -s "the images" "$work/images"

mnt=$work/mnt
mkdir "$mnt"
at_exit unmount_quietly "$mnt"
opts=cache_dir=$cache
source=oci:$work/images

# as_user COMMAND...: what leaks he cannot look for in a process that keeps its memory to itself.
as_user() {
	(cd / && setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all \
		env -u HOME ASAN_OPTIONS=detect_leaks=0 PATH=/usr/bin:/bin "$@")
}

table() { findmnt -n -o "$1" --mountpoint "$mnt"; }
flags() { awk -v at="$mnt" '$5 == at { print "," $6 "," $NF "," }' /proc/self/mountinfo; }
was_mounted() { # WHAT: look at it, and take it away
	mountpoint -q "$mnt" || fail "$1: not mounted: $(<"$work/stderr")"
	daemons[$mnt]=$(<"$mnt/.imgfs/pid")
	assert_eq "$(table FSTYPE)" fuse.imgfs "$1: type"
	[[ -s $mnt/1.0/digest ]] || fail "$1: nothing in it"
	[[ $(flags) == *,ro,* ]] || fail "$1: not read-only: $(flags)"
	unmount "$mnt"
	! grep -qs "$mnt" /run/mount/utab || fail "$1: left in utab"
}
mounts() { # COMMAND...
	assert_eq "$(exit_code "$@")" 0 "exit code of: $*: $(<"$work/stderr")"
	was_mounted "$*"
}
refused() { # CODE MESSAGE COMMAND...: nothing is mounted, and it takes a line, or two with a hint
	assert_eq "$(exit_code "${@:3}")" "$1" "exit code of: ${*:3}: $(<"$work/stderr")"
	assert_contains "$(<"$work/stderr")" "$2" "message of: ${*:3}"
	! mountpoint -q "$mnt" || fail "mounted all the same: ${*:3}"
	[[ $(wc -l <"$work/stderr") -le 1 || ($(wc -l <"$work/stderr") = 2 && $(<"$work/stderr") == *$'\nhint: '*) ]] ||
		fail "more than a message and a hint: $(<"$work/stderr")"
}

# ---- root, by hand ----
mounts mount -t imgfs -o "$opts" "$source" "$mnt"
mounts mount -t fuse.imgfs -o "$opts" "$source" "$mnt"
mounts mount -n -v -t imgfs -o "$opts,nodiratime,noexec,_netdev" "$source" "$mnt"
mounts env -i /bin/mount -t imgfs -o "$opts" "$source" "$mnt"
mounts mount -s -t imgfs -o "$opts,no_such_option" "$source" "$mnt"
(cd "$work" && mounts mount -t imgfs -o "$opts" images mnt)
(cd "$work" && mounts mount -t imgfs -o "$opts" oci:images mnt)
refused 0 "" mount -f -t imgfs -o "$opts" "$source" "$mnt"
refused 1 "did you mean 'platform'" mount -f -t imgfs -o platfrom=all "$source" "$mnt"
refused 1 "did you mean 'platform'" mount -t imgfs -o platfrom=all "$source" "$mnt"
refused 32 "$work/none: " mount -t imgfs -o "$opts" "oci:$work/none" "$mnt"
refused 32 "docker://debian:12" mount -t imgfs -o "$opts" debian:12 "$mnt"

# Commas: a backslash keeps one; quotes do so for mount(8), but mean nothing here.
assert_eq "$(exit_code mount -t imgfs -o "$opts,user_agent=a\\,b" "$source" "$mnt")" 0 "an escaped comma"
assert_contains "$(<"$mnt/.imgfs/options")" "user_agent=a,b" "an escaped comma"
was_mounted "an escaped comma"
refused 1 "unknown option 'b\"'" mount -t imgfs -o "$opts,user_agent=\"a,b\"" "$source" "$mnt"

# Set-user-ID bits, by the type that mount.fuse3 would honour them for: only in so many words.
exit_code mount -t fuse.imgfs -o "$opts" "$source" "$mnt" >/dev/null
[[ $(flags) == *,nosuid,nodev,* ]] || fail "fuse.imgfs: $(flags)"
was_mounted "fuse.imgfs"
# ("suid" alone, mount(8) keeps to itself.)
exit_code mount -t fuse.imgfs -o "$opts,suid=yes" "$source" "$mnt" >/dev/null
[[ $(flags) != *,nosuid,* && $(flags) == *,nodev,* ]] || fail "suid: $(flags)"
was_mounted "suid"
# mount.fuse3 adds suid and dev by itself: not the user's words.
assert_eq "$(exit_code mount.fuse3 "$IMGFS#$source" "$mnt" -o "$opts")" 0 "prog#source: $(<"$work/stderr")"
[[ $(flags) == *,nosuid,nodev,* ]] || fail "prog#source: $(flags)"
was_mounted "prog#source"
# It can also mount itself, and hand over the device as a directory /dev/fd/N.
assert_eq "$(exit_code mount.fuse3 "$IMGFS#$source" "$mnt" -o "$opts,drop_privileges,ro")" 0 "/dev/fd/N: $(<"$work/stderr")"
[[ -s $mnt/1.0/digest ]] || fail "/dev/fd/N: nothing in it"
daemons[$mnt]=$(<"$mnt/.imgfs/pid")
unmount "$mnt"

# ---- root, by fstab ----
cat >"$work/fstab" <<-FSTAB
	oci:${images// /\\040} $mnt imgfs $opts,nofail,_netdev,x-systemd.automount,comment=x 0 0
	oci:$work/none $work imgfs noauto 0 0
FSTAB
mounts mount -a -T "$work/fstab"
mounts mount -T "$work/fstab" "$mnt"
mounts mount -a --fstab "$work/fstab" -t imgfs

# ---- a user, by fstab and by hand ----
mkdir "$work/home/mnt"
unmount_quietly "$mnt"
mnt=$work/home/mnt
chown "$uid" "$mnt"
at_exit unmount_quietly "$mnt"
echo "$source $mnt imgfs user,noauto,rw 0 0" >>/etc/fstab

user_mounts() { # COMMAND...
	local pid
	assert_eq "$(exit_code as_user "$@")" 0 "exit code for a user of: $*: $(<"$work/stderr")"
	mountpoint -q "$mnt" || as_user mountpoint -q "$mnt" || fail "$*: not mounted: $(<"$work/stderr")"
	pid=$(as_user cat "$mnt/.imgfs/pid")
	daemons[$mnt]=$pid
	assert_eq "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" "$uid" "$*: the user"
	assert_eq "$(as_user cat "$mnt/1.0/linux_amd64/rootfs/etc/os-release" | head -n 1)" 'PRETTY_NAME="imgfs demo 1.0"' "$*"
	[[ $(flags) == *,ro,* && $(flags) == *,nosuid,nodev,* && $(flags) == *",user_id=$uid,"* ]] || fail "$*: $(flags)"
	[[ -d $work/home/.cache/imgfs ]] || fail "$*: the cache is not in his home"
	[[ $(flags) == *,allow_other,* ]] || assert_fails "Permission denied" ls "$mnt"
	as_user "${unmount_by[@]}" "$mnt" || fail "${unmount_by[*]}"
	wait_gone "$pid" || fail "the daemon lives on"
	unset "daemons[$mnt]"
}
unmount_by=(fusermount3 -u)
user_mounts mount "$mnt"
unmount_by=("$IMGFS" umount)
user_mounts "$IMGFS" "$source" "$mnt"
unmount_by=("$IMGFS" umount -z)
user_mounts env -i "$IMGFS" "$source" "$mnt"
user_mounts "$work/sbin/mount.imgfs" "$source" "$mnt" -o rw,user,suid,dev

as_user_refused() { # CODE MESSAGE COMMAND...
	refused "$1" "$2" as_user "${@:3}"
}
as_user_refused 1 "'user_allow_other' in /etc/fuse.conf" "$IMGFS" "$source" "$mnt" -o allow_other
chown root "$mnt"
as_user_refused 32 "imgfs: $mnt: user has no write access" "$IMGFS" "$source" "$mnt"
chown "$uid" "$mnt"
echo user_allow_other >>/etc/fuse.conf
user_mounts "$IMGFS" "$source" "$mnt" -o allow_other

# Where credentials are looked for: in the directory that he would have as XDG_RUNTIME_DIR, if it is his.
if [[ -d /run/user && -e $fault_program ]]; then
	mount -t tmpfs -o mode=755 tmpfs /run/user
	at_exit umount -l /run/user
	mkdir "/run/user/$uid"
	start_faultregistry "app=$images" --auth basic --user reader:word
	places() { # where he was told that they are looked for
		assert_eq "$(exit_code as_user "$IMGFS" "docker://$registry/app" "$mnt")" 32 "without credentials"
		grep -o "credentials: .*" "$work/stderr"
	}
	assert_contains "$(places)" "credentials: /run/containers/$uid/auth.json, " "a directory that is not his"
	chown "$uid" "/run/user/$uid"
	assert_contains "$(places)" "credentials: /run/user/$uid/containers/auth.json, " "a directory that is his"
fi

# auto_unmount leaves a fusermount3 behind, which keeps nobody's output open, and no dead mount.
output=$(timeout 60 "$IMGFS" "$source" "$mnt" -o "$opts,auto_unmount" 2>&1) || fail "auto_unmount: $output"
mountpoint -q "$mnt" || fail "auto_unmount: not mounted"
kill -KILL "$(<"$mnt/.imgfs/pid")"
is_not_mounted() { ! grep -qF " $mnt " /proc/self/mounts; }
poll 20 is_not_mounted || fail "auto_unmount: still in the table"

# Without the device: not for want of a source.
cover dev/none /dev/fuse
refused 2 "/dev/fuse: No such device" "$IMGFS" "$source" "$mnt" -o "$opts"
