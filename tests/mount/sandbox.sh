#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every thread of a mount but the one that mounts and unmounts is in the sandbox; and both, and a user's mount by
# fusermount3, work with it.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo setpriv fusermount3

mnt=$work/mnt
layout=$(demo_layout)

# What the kernel offers: the version of landlock(7), 0 without it.
abi=$(python3 -c 'import ctypes; print(max(0, ctypes.CDLL(None).syscall(444, None, 0, 1)))')
line="no sandbox: landlock"
((abi < 2)) || line="in a sandbox"

# privileges MOUNT: a line for each thread, "1" where none can be gained any more; the first thread first.
privileges() { sed -n 's/^NoNewPrivs:\t//p' "/proc/${daemons[$1]}/task"/*/status | paste -s -d ' '; }

start_registry
push "$layout" 1.0 team/app:1.0
for source in "oci:$layout" "docker://$registry/team/app"; do
	mount_imgfs "$source" "$mnt"
	cp -a "$mnt/1.0/linux_amd64/rootfs" "$work/copy" # so that all kinds of threads are there
	rm -rf "$work/copy"
	assert_contains "$(<"$mnt/.imgfs/log")" "$line" "the log of $source"
	if ((abi >= 2)); then
		[[ $(privileges "$mnt") =~ ^0(\ 1)+$ ]] || fail "threads of $source: $(privileges "$mnt")"
	fi
	pid=${daemons[$mnt]}
	assert_contains "$(sort -u "/proc/$pid/task/"*/comm)" decode "the names of the threads of $source"
	kill -TERM "$pid"
	wait_gone "$pid" || fail "lives on after SIGTERM"
	! mountpoint -q "$mnt" || fail "$source is still mounted after SIGTERM"
	unset "daemons[$mnt]"
done

# A user's: fusermount3 has its rights by a bit that the sandbox would take away.  In a mount namespace of its own,
# for the device may be root's alone.
chmod 0755 "$work"
cp "$IMGFS" "$work/imgfs"
cp -r "$layout" "$work/layout"
mkdir "$work/home" "$work/home/mnt" "$work/reports"
chown -R nobody "$work/home" "$work/layout"
chmod 1777 "$work/sanitizer"
mknod -m 0666 "$work/fuse" c 10 229
cat >"$work/as-user" <<'END'
set -e
mount --bind "$1/fuse" /dev/fuse
user() { setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$1/home" "${@:2}"; }
for how in "fusermount3 -u" "kill"; do
	user "$1" "$1/imgfs" "$1/layout" "$1/home/mnt"
	pid=$(user "$1" cat "$1/home/mnt/.imgfs/pid")
	case $how in
	kill) kill "$pid" ;;
	*) user "$1" $how "$1/home/mnt" ;;
	esac
	for ((i = 0; i < 400; i++)); do
		[ -e "/proc/$pid" ] || break
		sleep 0.05
	done
	! [ -e "/proc/$pid" ] || { echo "lives on after $how"; exit 1; }
	! mountpoint -q "$1/home/mnt" || { echo "still mounted after $how"; exit 1; }
done
END
# (The leak sanitizer traces its own process, which a user's undumpable process forbids.)
ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" "${apart[@]}" \
	bash "$work/as-user" "$work" >"$work/log" 2>&1 || fail "a user's mount: $(<"$work/log")"
