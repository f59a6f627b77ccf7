#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the foreground: serves until it is told to end, unmounts, and exits 0.
. "$(dirname "$0")/../lib.sh"
need_root

mnt=$work/mnt
mkdir "$mnt"
for signal in INT TERM; do
	env --default-signal "$IMGFS" mount -f --cache-dir="$cache" "oci:$(demo_layout)" "$mnt" \
		2>"$work/stderr" &
	pid=$!
	poll 20 mountpoint -q "$mnt" || fail "not mounted: $(<"$work/stderr")"
	assert_eq "$(<"$mnt/.imgfs/pid")" "$pid" "pid"
	kill -"$signal" "$pid"
	rc=0
	wait "$pid" || rc=$?
	assert_eq "$rc" 0 "exit code after SIG$signal: $(<"$work/stderr")"
	! mountpoint -q "$mnt" || fail "still mounted after SIG$signal"
done
