#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mount whose process was killed is in the way of the next one, which says so and what mends it.
. "$(dirname "$0")/../lib.sh"
need_root

layout=$(demo_layout)
for mnt in "$work/mnt" "$work/with blanks"; do
	mount_imgfs "oci:$layout" "$mnt"
	pid=${daemons[$mnt]}
	kill -KILL "$pid"
	wait_gone "$pid"
	unset "daemons[$mnt]"
	assert_fails "Transport endpoint is not connected" ls "$mnt"

	assert_eq "$(exit_code "$IMGFS" "oci:$layout" "$mnt" -o "cache_dir=$cache")" 32 "exit code"
	assert_contains "$(<"$work/stderr")" "$mnt: a dead mount (fuse.imgfs)" "message"
	hint=$(sed -n 's/^hint: //p' "$work/stderr")
	assert_eq "$hint" "umount '$mnt'" "the hint"
	sh -c "$hint" || fail "'$hint' fails"
	! mountpoint -q "$mnt" || fail "'$hint' does not mend it"

	mount_imgfs "oci:$layout" "$mnt"
	[[ -f $mnt/1.0/digest ]] || fail "nothing in it after '$hint'"
	unmount "$mnt"
done
