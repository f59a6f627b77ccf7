#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who waits for a mount to be live is told when it is, and not before: who started the program, a descriptor
# (ready_fd), a file (pidfile), a service manager ($NOTIFY_SOCKET); in the background and in the foreground.
. "$(dirname "$0")/../lib.sh"
need_root
need python3

layout=$(demo_layout)
mnt=$work/mnt
pidfile=$work/imgfs.pid
mkdir "$mnt"
at_exit unmount_quietly "$mnt"

# A manager, which writes down what it is told and by whom, a line each.
cat >"$work/manager.py" <<'MANAGER'
import socket, sys
SCM_CREDENTIALS = 2
address = sys.argv[1]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
manager.bind("\0" + address[1:] if address.startswith("@") else address)
print("listening", flush=True)
while True:
    data, rest, _, _ = manager.recvmsg(4096, 64)
    pid = int.from_bytes(rest[0][2][:4], sys.byteorder)
    for line in data.decode().splitlines():
        print(pid, line, flush=True)
MANAGER
manager() { # ADDRESS
	: >"$work/told"
	python3 "$work/manager.py" "$1" >"$work/told" &
	manager_pid=$!
	at_exit end_process "$manager_pid"
	poll 20 grep -q listening "$work/told" || fail "no manager"
}
was_told() { grep -qxF -- "$1" "$work/told"; }

serve() { # [NAME=VALUE...] -- OPTION...: in the foreground
	local variables=()
	while [[ $1 != -- ]]; do variables+=("$1") && shift; done
	env --default-signal "${variables[@]}" "$IMGFS" mount -f --cache-dir="$cache" "${@:2}" "oci:$layout" "$mnt" \
		2>"$work/stderr" &
	pid=$!
}
ended() { # SIGNAL: it is told to end, and does
	local rc=0
	kill -"$1" "$pid"
	wait "$pid" || rc=$?
	assert_eq "$rc" 0 "exit code after SIG$1: $(<"$work/stderr")"
	! mountpoint -q "$mnt" || fail "still mounted after SIG$1"
}

# A descriptor: a newline and the end of file, once the mount is live.  The pid file is there by then.
exec {from}< <(
	exec {to}>&1
	"$IMGFS" mount --cache-dir="$cache" --pidfile="$pidfile" --ready-fd="$to" "oci:$layout" "$mnt" \
		>"$work/stdout" 2>&1
)
IFS= read -r -t 60 line <&"$from" || fail "ready_fd: no line"
assert_eq "$line" "" "ready_fd"
mountpoint -q "$mnt" || fail "ready_fd: not mounted"
daemons[$mnt]=$(<"$mnt/.imgfs/pid")
assert_eq "$(<"$pidfile")" "${daemons[$mnt]}" "pidfile"
assert_eq "$(timeout 20 cat <&"$from" | wc -c)" 0 "bytes behind the newline"
exec {from}<&-
unmount "$mnt"
[[ ! -e $pidfile ]] || fail "the pid file is still there"

# Nothing of that, when there is no mount.
assert_eq "$(exit_code "$IMGFS" mount --pidfile="$pidfile" --ready-fd=7 "oci:$work/none" "$mnt" 7>"$work/ready")" 32 \
	"no such source"
[[ ! -s $work/ready && ! -e $pidfile ]] || fail "said to be ready, though there is no mount"

# What cannot be done is no mount, and leaves none.
refused() { # CODE MESSAGE OPTION...
	assert_eq "$(exit_code "$IMGFS" mount --cache-dir="$cache" "${@:3}" "oci:$layout" "$mnt")" "$1" \
		"exit code with ${*:3}: $(<"$work/stderr")"
	assert_contains "$(<"$work/stderr")" "$2" "${*:3}"
	! mountpoint -q "$mnt" || fail "mounted all the same: ${*:3}"
}
refused 1 "'ready_fd': 77: Bad file descriptor" --ready-fd=77
refused 1 "from 3 on" --ready-fd=1
refused 32 "pid file '$work/none/pid': No such file" --pidfile="$work/none/pid"
refused 32 "pid file '$work/none/pid': No such file" -f --pidfile="$work/none/pid"
refused 32 "would lie behind the mount" --pidfile="$mnt/pid"
refused 32 "lies in what is shown" --pidfile="$layout/pid"

# A manager, in the file system and in the abstract name space.
for address in "$work/manager.socket" "@imgfs-test-$$"; do
	manager "$address"
	serve NOTIFY_SOCKET="$address" -- --pidfile="$pidfile"
	poll 20 was_told "$pid READY=1" || fail "$address: not ready: $(<"$work/told") $(<"$work/stderr")"
	mountpoint -q "$mnt" || fail "$address: ready, and not mounted"
	was_told "$pid MAINPID=$pid" || fail "$address: $(<"$work/told")"
	was_told "$pid STATUS=oci:$layout on $mnt" || fail "$address: $(<"$work/told")"
	! was_told "$pid STOPPING=1" || fail "$address: stopping too early"
	assert_eq "$(<"$pidfile")" "$pid" "pidfile"
	# HUP is `systemctl reload` then, and not the end of a terminal.
	kill -HUP "$pid"
	poll 20 grep -q "forgetting tag lists" "$mnt/.imgfs/log" || fail "$address: no reload"
	mountpoint -q "$mnt" || fail "$address: unmounted by HUP"
	ended TERM
	poll 20 was_told "$pid STOPPING=1" || fail "$address: not stopping: $(<"$work/told")"
	[[ ! -e $pidfile ]] || fail "the pid file is still there"
	end_process "$manager_pid"
done

# A manager that is not there, or is none, does not matter.
for address in "$work/none" nonsense ""; do
	serve NOTIFY_SOCKET="$address" --
	poll 20 mountpoint -q "$mnt" || fail "NOTIFY_SOCKET=$address: $(<"$work/stderr")"
	ended TERM
done

# At a terminal HUP is its end; not so `imgfs refresh`.
serve --
poll 20 mountpoint -q "$mnt" || fail "not mounted: $(<"$work/stderr")"
"$IMGFS" refresh "$mnt" || fail "no refresh in the foreground"
poll 20 grep -q "forgetting tag lists" "$mnt/.imgfs/log" || fail "not refreshed in the foreground"
ended HUP
