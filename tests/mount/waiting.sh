#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who waits for ten seconds is written about in the log, without being asked and at the default level; a service manager
# hears of it every other second; and SIGUSR1 has the status written.
. "$(dirname "$0")/../lib.sh"
need_root
need curl python3

python - "$work" <<'END'
import random, sys
from ocilayout import Layout, Tar
layout = Layout(sys.argv[1] + "/layout")
tar = Tar()
tar.file("body", random.Random(7).randbytes(1 << 20))
layout.tag("slow", layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"}))
layout.close()
END
start_faultregistry "app=$work/layout"
rules '[{"match": {"path": "/blobs/"}, "do": {"rate": 85000}}]'
mnt=$work/mnt
mkdir "$mnt"

cat >"$work/manager.py" <<'MANAGER'
import socket, sys, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
while True:
    for line in manager.recv(4096).decode().splitlines():
        print(int(time.monotonic() * 1000), line, flush=True)
MANAGER
python3 "$work/manager.py" "$work/manager" >"$work/told" &
at_exit end_process $!
poll 20 test -S "$work/manager" || fail "no manager"
NOTIFY_SOCKET=$work/manager "$IMGFS" mount -f -o "cache_dir=$cache,log=$work/log" "docker://$registry/app" "$mnt" \
	2>"$work/stderr" &
daemons[$mnt]=$!
at_exit unmount_quietly "$mnt"
poll 20 grep -q READY=1 "$work/told" || fail "not ready: $(<"$work/stderr")"

cat "$mnt/slow/linux_amd64/rootfs/body" >/dev/null &
reader=$!
wait "$reader"
still=$(grep -c "still fetching" "$work/log") || fail "nobody told of the wait: $(<"$work/log")"
assert_eq "$still" 1 "lines in the log"
grep -qE "imgfs: info: docker://$registry/app: still fetching sha256:[0-9a-f]{12}: (7|8|9)[0-9]% of 1\.0 MiB, [0-9.]+ KiB/s, for cat\($reader\)$" \
	"$work/log" || fail "$(<"$work/log")"

idle="STATUS=docker://$registry/app on $mnt"
is_idle() { [[ $(tail -n 1 "$work/told") == *" $idle" ]]; }
poll 20 is_idle || fail "the last status: $(tail -n 1 "$work/told")"
grep "STATUS=1 under way: " "$work/told" >"$work/status" || fail "no status: $(<"$work/told")"
(($(wc -l <"$work/status") >= 3)) || fail "too few: $(<"$work/told")"
# Sent at least 2 s after each other; read when the manager gets to it.
awk 'NR == 1 { first = $1 } END { if (($1 - first + 500) < 2000 * (NR - 1)) exit 1 }' "$work/status" ||
	fail "too many: $(<"$work/status")"

kill -USR1 "${daemons[$mnt]}"
was_written() { grep -qF "imgfs: info: docker://$registry/app on $mnt, up " "$work/log"; }
poll 20 was_written || fail "SIGUSR1: $(<"$work/log")"
unmount "$mnt"
