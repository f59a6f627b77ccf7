#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A reader of a blob that never comes can be interrupted at once, and holds up nobody else.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq

demo=$(demo_layout)
start_faultregistry "app=$demo"
mnt=$work/mnt
mount_imgfs "oci:$demo" "$work/demo"
hanging=$(json "$work/demo/1.0/linux_amd64/manifest.json" '.layers[1].digest')
rules "[{\"match\": {\"path\": \"/blobs/$hanging\"}, \"do\": {\"hang\": true}}]"
mount_imgfs "docker://$registry/app" "$mnt"
image=$mnt/1.0/linux_amd64
find "$(echo "$image"/layers/01-*/diff)" -type f -exec cat {} + >/dev/null

told=0
# read_hanging FILE: a reader that minds its signals, in the background; waits until it hangs.
read_hanging() {
	reset_requests
	told=$((told + 1))
	env --default-signal cat "$1" >"$work/stdout" 2>"$work/told.$told" &
	reader=$!
	asleep() { [[ $(cut -d ' ' -f 3 "/proc/$reader/stat" 2>/dev/null) == [SD] ]] &&
		[[ $(ps -o comm= -p "$reader") == cat ]]; }
	poll 20 asleep || fail "the reader does not wait"
}

for signal in INT TERM KILL; do
	read_hanging "$image/rootfs/app/table.txt"
	kill -"$signal" "$reader"
	wait_gone "$reader" 5 || fail "a reader lives 5 s after SIG$signal"
	rc=0
	wait "$reader" || rc=$?
	assert_eq "$rc" "$((128 + $(kill -l "$signal")))" "status after SIG$signal"
done

# A signal that is not meant to stop anything does not: a shell that reads a file hears that a child has ended.
# One that is meant to does, also later.
interrupts=$(counter "$mnt" .fuse.interrupt)
bash -c 'sleep 0.1 & text=$(<"$1"); echo "read ${#text}"' - "$image/rootfs/app/table.txt" >"$work/shell" 2>&1 &
reader=$!
disturbed() { (($(counter "$mnt" .fuse.interrupt) > interrupts)); }
poll 20 disturbed || fail "no signal came"
sleep 0.3
kill -0 "$reader" || fail "a child's end ended the reader: $(cat "$work/shell")"
kill -TERM "$reader"
wait_gone "$reader" 5 || fail "a reader that was disturbed lives 5 s after SIGTERM"
assert_eq "$(cat "$work/shell")" "" "what the reader said"

# Others go on meanwhile: 20 hanging readers take nothing from a cached read.
readers=()
for _ in {1..20}; do
	read_hanging "$(echo "$image"/layers/02-*/diff)/app/table.txt"
	readers+=("$reader")
done
timeout 20 find "$(echo "$image"/layers/01-*/diff)" -type f -exec cat {} + >"$work/cached" ||
	fail "a cached read waits for a hanging fetch"
timeout 20 ls "$mnt" "$image" >"$work/stdout" || fail "a listing waits for a hanging fetch"
assert_contains "$(timeout 20 cat "$mnt/.imgfs/status")" "${hanging:7:12}" "status"

# In one directory as well: who looks another name up there waits for nobody, and minds its signals.
read_hanging "$image/rootfs/app/table.txt"
readers+=("$reader")
read_hanging "$image/rootfs/bin/busybox"
kill -INT "$reader"
wait_gone "$reader" 5 || fail "a reader behind another's lookup lives 5 s after SIGINT"
timeout 20 cat "$image/config.json" >"$work/stdout" || fail "a file beside a directory that hangs"

# All of that is counted: who waits, who joined a wait of somebody else's, and who gave up.
(($(counter "$mnt" .queue_depth) >= 2)) || fail "queue_depth: $(counter "$mnt" .queue_depth)"
(($(counter "$mnt" .fetch_coalesced) >= 1)) || fail "fetch_coalesced"
(($(counter "$mnt" .fuse.interrupt) >= 4)) || fail "interrupts: $(counter "$mnt" .fuse.interrupt)"

# Unmounting by signal answers everybody: not that they were interrupted, which nobody did, but that the mount is gone.
pid=${daemons[$mnt]}
kill -TERM "$pid"
wait_gone "$pid" 10 || fail "the daemon lives 10 s after SIGTERM"
for reader in "${readers[@]}"; do
	wait_gone "$reader" 5 || fail "a reader outlives the daemon"
done
# The other answer is the kernel's, to what had not been taken from it yet.
assert_eq "$(cat "$work"/told.* | grep -cE ': (Transport endpoint is not connected|Software caused connection abort)$')" \
	${#readers[@]} "readers that were told"
assert_eq "$(cat "$work"/told.* | wc -l)" ${#readers[@]} "lines of what they were told"
! mountpoint -q "$mnt" || fail "still mounted after SIGTERM"
