#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 in the middle of a fetch loses at most time: the next mount reads the right bytes.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq

demo=$(demo_layout)
start_faultregistry "app=$demo"
mnt=$work/mnt
mount_imgfs "oci:$demo" "$work/demo"
rootfs=1.1/linux_amd64/rootfs
base=$(json "$work/demo/1.1/linux_amd64/manifest.json" '.layers[0].digest')

for round in 1 2 3; do
	rules "[{\"match\": {\"path\": \"$base\"}, \"do\": {\"rate\": 60000}}]"
	mount_imgfs "docker://$registry/app" "$mnt"
	reset_requests
	cat "$mnt/$rootfs/bin/busybox" >"$work/stdout" 2>"$work/stderr" &
	reader=$!
	# Some of it, so that there is something to lose.
	on_its_way() {
		(($(counter "$mnt" '[.in_flight[] | select(.done > 30000 and .done < .total)] | length')))
	}
	poll 20 on_its_way || fail "nothing arrived"
	pid=${daemons[$mnt]}
	kill -KILL "$pid"
	wait_gone "$pid"
	wait "$reader" && fail "the reader succeeded without a daemon"
	umount -l "$mnt"
	unset "daemons[$mnt]"
done

# What a dead writer left goes with the next mount.
rules '[]'
: >"$cache/tmp/1-1"
mount_imgfs "docker://$registry/app" "$mnt"
[[ ! -e $cache/tmp/1-1 ]] || fail "a dead writer's file is still there"
(($(counter "$mnt" .cache_tmp_removed) >= 1)) || fail "cache_tmp_removed"
"$tests/compare-trees.py" --nanoseconds "$mnt/$rootfs" "$work/demo/$rootfs" >&2 || fail "after kill"
unmount "$mnt"
mount_imgfs "docker://$registry/app" "$mnt" offline
"$tests/compare-trees.py" --nanoseconds "$mnt/$rootfs" "$work/demo/$rootfs" >&2 || fail "cached"
