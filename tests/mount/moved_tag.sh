#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A tag that moves: who is inside an image stays in it; SIGHUP shows the new one at once, and disturbs nobody.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq

demo=$(demo_layout)
start_faultregistry "app=$demo"
mnt=$work/mnt
mount_imgfs "oci:$demo" "$work/demo"
old=$(<"$work/demo/1.0/digest") new=$(<"$work/demo/1.1/digest")
[[ $old != "$new" ]] || fail "the two images are one"
move() { # TAG DIGEST
	curl -sfS -X POST --data "{\"repo\": \"app\", \"tag\": \"$1\", \"digest\": \"$2\"}" \
		"$fault/__tag" >"$work/stdout"
}
same_rootfs() { # DIR TAG WHAT
	"$tests/compare-trees.py" --nanoseconds "$1" "$work/demo/$2/linux_amd64/rootfs" >&2 || fail "$3"
}
points_at() { [[ $(<"$mnt/$1/digest") == "$2" ]]; }

# In mid-read, in a mount that asks for tags each time.
mount_imgfs "docker://$registry/app" "$mnt" ttl=0s
points_at 1.0 "$old" || fail "1.0 before it moved"
exec 9<"$mnt/1.0/linux_amd64/rootfs" 8<"$mnt/1.0/index.json"
find "$mnt/1.0/linux_amd64/rootfs/" -name 'e*' -exec cat {} + >"$work/stdout" 2>&1 || true
move 1.0 "$new"
points_at 1.0 "$new" || fail "1.0 after it moved"
same_rootfs /proc/self/fd/9/ 1.0 "a tree that was open when its tag moved"
assert_eq "$(counter "$mnt" .tag_moves)" 1 "tags that moved"
cmp /proc/self/fd/8 "$work/demo/1.0/index.json" || fail "a file that was open"
same_rootfs "$mnt/1.0/linux_amd64/rootfs" 1.1 "the tree the tag has moved to"
same_rootfs /proc/self/fd/9/ 1.0 "the old tree, again"
exec 9<&- 8<&-
unmount "$mnt"

# What is believed for long is asked for anew by SIGHUP: tags that moved, tags that were not there.
move 1.0 "$old"
mount_imgfs "docker://$registry/app" "$mnt" ttl=forever,retries=0,log_level=info
daemon=${daemons[$mnt]}
hang_up() {
	kill -HUP "$daemon"
	poll 10 forgotten "$1" || fail "SIGHUP number $1 was not taken"
}
forgotten() { (($(grep -c 'forgetting tag lists' "$mnt/.imgfs/log") == $1)); }
points_at 1.0 "$old" || fail "1.0 to begin with"
same_rootfs "$mnt/1.1/linux_amd64/rootfs" 1.1 "an image of a tag that stays"
[[ ! -e $mnt/fresh ]] || fail "a tag that is not there yet"
exec 9<"$mnt/1.0/linux_amd64/rootfs"
kept=$(stat -c %i "$mnt/1.1")
mount -t tmpfs none "$mnt/1.1/linux_amd64/rootfs/etc"
undo_mount() { umount -l "$mnt/1.1/linux_amd64/rootfs/etc" 2>/dev/null; }
at_exit undo_mount
move 1.0 "$new"
move fresh "$new"
reset_requests
points_at 1.0 "$old" || fail "a tag is asked for before its time"
[[ ! -e $mnt/fresh ]] || fail "a tag is known before its time"
assert_eq "$(requests .requests)" 0 "requests of a mount that believes what it saw"
cd "$mnt/1.1/linux_amd64"
hang_up 1
poll 2 points_at 1.0 "$new" || fail "SIGHUP: the tag still points at the old image"
poll 2 test -e "$mnt/fresh" || fail "SIGHUP: the new tag is not there"
assert_contains "$(<"$mnt/.imgfs/log")" "tag '1.0' of 'app' moved from $old to $new" "log"
same_rootfs "$mnt/fresh/linux_amd64/rootfs" 1.1 "the new tag"
# (A shell that starts looks its own directory up: 1.1 may have been asked for.)
assert_eq "$(requests '[.paths | to_entries[] | select(.value.methods.HEAD and (.key | endswith("1.1") | not))
	| "\(.key) \(.value.methods.HEAD)"] | join(", ")')" \
	"/v2/app/manifests/1.0 1, /v2/app/manifests/fresh 1" "tags that were asked for"
assert_eq "$(requests '[.paths | to_entries[] | select(.key | test("/tags/list")) | .value.requests] | add')" \
	1 "lists of tags that were asked for"
same_rootfs /proc/self/fd/9/ 1.0 "a tree that was open at SIGHUP"
# (A kernel before 6.2 drops names, and what is mounted below them.)
if [[ $(printf '%s\n' 6.2 "$(uname -r)" | sort -V | head -n 1) == 6.2 ]]; then
	assert_eq "$(/bin/pwd)" "$mnt/1.1/linux_amd64" "the working directory of somebody inside"
	mountpoint -q "$mnt/1.1/linux_amd64/rootfs/etc" || fail "SIGHUP undid a mount in an image"
fi
assert_eq "$(stat -c %i "$mnt/1.1")" "$kept" "the directory of a tag that stays"
cd /
umount "$mnt/1.1/linux_amd64/rootfs/etc"
exec 9<&-

# While the registry is away, SIGHUP takes nothing away.
move 1.0 "$old"
rules '[{"do": {"status": 503}}]'
hang_up 2
points_at 1.0 "$new" || fail "SIGHUP and a registry that is away: another image"
assert_contains "$(<"$mnt/.imgfs/log")" "serving from cache" "log"
rules '[]'
hang_up 3
poll 2 points_at 1.0 "$old" || fail "SIGHUP does not ask a registry that was away a moment ago"

# The kernel needs a lock for what it is told, which a lookup holds that has not been read yet: it is answered,
# though the daemon has been told to end as well.
kill -STOP "$daemon"
env --default-signal ls -d "$mnt/zstd" >"$work/stdout" 2>&1 &
reader=$!
at_exit end_process "$reader"
asleep() { [[ $(cut -d ' ' -f 3 "/proc/$reader/stat") == [SD] && $(ps -o comm= -p "$reader") == ls ]]; }
poll 20 asleep || fail "the reader does not wait"
kill -HUP "$daemon"
kill -TERM "$daemon"
kill -CONT "$daemon"
wait_gone "$daemon" 10 || fail "the daemon does not end"
wait_gone "$reader" 10 || fail "a reader does not end"
