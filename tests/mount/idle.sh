#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mount that nobody uses does nothing: no thread of it runs, or is woken, for half a minute, of a layout's
# mount nor of a registry's.
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

# used MOUNT: ticks of the processor, and how often a thread was switched to.
used() {
	local task pid=${daemons[$1]}
	for task in "/proc/$pid/task"/*; do
		sed 's/.*) //' "$task/stat" | cut -d ' ' -f 12,13
		sed -n 's/.*ctxt_switches:\t//p' "$task/status" | paste -s -d ' '
	done | awk 'NR % 2 { ticks += $1 + $2 } !(NR % 2) { switches += $1 + $2 }
		END { print ticks " ticks, " switches " switches" }'
}

for mnt in "${mounts[@]}"; do
	find "$mnt/1.0/linux_amd64/rootfs" -type f -exec cat {} + >"$work/stdout"
	[[ $(used "$mnt") =~ [1-9][0-9]*\ switches ]] || fail "/proc tells nothing of $mnt: $(used "$mnt")"
done
sleep 1
declare -A before
for mnt in "${mounts[@]}"; do
	before[$mnt]=$(used "$mnt")
done
sleep 30
for mnt in "${mounts[@]}"; do
	assert_eq "$(used "$mnt")" "${before[$mnt]}" "$(basename "$mnt"), half a minute later"
done
