#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mount that nobody uses does nothing for half a minute, a layout's nor a registry's: it takes no tick of
# the processor, and no thread looks now and then whether there is something to do.
. "$(dirname "$0")/../lib.sh"
need skopeo
: "${IMGFS_RELEASE:=$repository/build-O2/fs/imgfs}"
[[ -x $IMGFS_RELEASE ]] || skip "no build-O2: tests/run idle makes it"
IMGFS=$IMGFS_RELEASE # sanitizers have threads of their own

layout=$(demo_layout)
start_registry
push "$layout" 1.0 team/app:1.0
mount_imgfs "oci:$layout" "$work/local"
mount_imgfs "docker://$registry/team/app" "$work/remote"
mounts=("$work/local" "$work/remote")

# The kernel may give back a name, and others on the machine may ask for statistics of all mounts.
switches_max=10

# used MOUNT: ticks of the processor, and how often a thread was switched to.
used() {
	local task pid=${daemons[$1]}
	for task in "/proc/$pid/task"/*; do
		sed 's/.*) //' "$task/stat" | cut -d ' ' -f 12,13
		sed -n 's/.*ctxt_switches:\t//p' "$task/status" | paste -s -d ' '
	done | awk 'NR % 2 { ticks += $1 + $2 } !(NR % 2) { switches += $1 + $2 }
		END { print ticks, switches }'
}

for mnt in "${mounts[@]}"; do
	find "$mnt/1.0/linux_amd64/rootfs" -type f -exec cat {} + >"$work/stdout"
	[[ $(used "$mnt") =~ \ [1-9][0-9]*$ ]] || fail "/proc tells nothing of $mnt: $(used "$mnt")"
done
sleep 1
declare -A before
for mnt in "${mounts[@]}"; do
	before[$mnt]=$(used "$mnt")
done
sleep 30
for mnt in "${mounts[@]}"; do
	read -r ticks switches <<<"$(used "$mnt")"
	read -r ticks_before switches_before <<<"${before[$mnt]}"
	assert_eq "$((ticks - ticks_before))" 0 "$(basename "$mnt"): ticks in half a minute"
	((switches - switches_before <= switches_max)) ||
		fail "$(basename "$mnt"): $((switches - switches_before)) switches in half a minute"
done
