#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tokens that run out all the time, blobs from another port: an image reads as ever, and neither the password nor
# a token is seen where it has nothing to do: not by the other port, and not in any file of ours.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq strings skopeo umoci

demo=$(demo_layout)
user=somebody password=hunter2-$RANDOM$RANDOM$RANDOM
start_faultregistry "team/app=$demo" --auth token --user "$user:$password" --token-ttl 1 --blob-redirect
rules '[{"id": "expired", "match": {"port": "main", "path": "^/v2/."}, "every": 5, "do": {"expire_token": true}}]'
jq -n --arg host "$registry" --arg auth "$(printf %s "$user:$password" | base64)" \
	'{auths: {($host): {auth: $auth}}}' >"$work/auth.json"
mnt=$work/mnt
options=authfile=$work/auth.json,log_level=trace,log=$work/log,ttl=0s
umoci_unpack "$(single "$demo" 1.0)" "$work/bundle"
umoci_unpack "$(single "$demo" 1.1)" "$work/bundle1"
mount_imgfs "docker://$registry/team/app" "$mnt" "$options"
daemon=${daemons[$mnt]}
diff_whole() { # TAG EXPECTED: all of an image, but what has no content to compare
	local rc=0
	diff -r --no-dereference "$mnt/$1/linux_amd64/rootfs" "$2" >"$work/differences" || rc=$?
	((rc <= 1)) || fail "$1 cannot be read"
	! grep -vE ' is a (fifo|(character|block) special file|socket) while ' "$work/differences" >&2 ||
		fail "$1 differs"
}
diff_whole 1.0 "$work/bundle/rootfs"
diff_whole 1.1 "$work/bundle1/rootfs"
assert_contains "$(names "$mnt/1.0")" linux_arm_v7 "an image's platforms"
stats=$(requests .)
(($(jq ".faults.expired // 0" <<<"$stats"))) || fail "no token ran out"
(($(jq .auth.tokens_issued <<<"$stats") >= 2)) || fail "no token was renewed"
cdn() { jq "[.paths | to_entries[] | select(.key | startswith(\"cdn:\")) | .value.requests] | add // 0" <<<"$stats"; }
(($(cdn) >= 3)) || fail "$(cdn) requests to the other port"
for seen in cdn_with_authorization cdn_with_cookie cdn_basic; do
	assert_eq "$(jq ".auth.$seen" <<<"$stats")" 0 "$seen"
done

# The password as it is and as Basic spells it (base64 depends on the place: the one it has), and what all tokens
# of this registry begin with.
token=$(printf '{"u": "%s", ' "$user" | base64)
printf '%s\n' "$password" "$(printf %s "$user:$password" | base64)" "${token:0:20}" >"$work/secrets"
# found_in FILE...: a secret is. The registry's own token tells that this would find one.
found_in() { cat "$@" | strings -n 8 | grep -qFf "$work/secrets"; }
curl -sfS -u "$user:$password" "$fault/token?scope=repository:team/app:pull" >"$work/token"
found_in "$work/token" || fail "this test does not know a token when it sees one"
found_in "$work/auth.json" || fail "this test does not know a password when it sees one"

seek() { # WHAT FILE...
	local what=$1 file count=0
	shift
	for file; do
		[[ -f $file ]] || continue
		count=$((count + 1))
		! found_in "$file" || fail "a secret in $what: $file"
	done
	((count)) || fail "nothing to look at: $what"
}
seek_everywhere() {
	mapfile -t cached < <(find "$cache" -type f)
	seek "the cache" "${cached[@]}"
	seek "the log" "$work/log" "$work/mount.log"
}
grep -q "$registry" "$work/log" || fail "no log to look at"
mapfile -t control < <(find "$mnt/.imgfs" -maxdepth 1 -type f)
seek "the control files" "${control[@]}"
seek "the process" "/proc/$daemon/cmdline" "/proc/$daemon/environ"
for path in "$mnt" "$mnt/1.0" "$mnt/1.0/linux_amd64" "$mnt/1.0/linux_amd64/rootfs/etc/os-release"; do
	getfattr --absolute-names -h -d -m - "$path"
done >"$work/attributes"
seek "attributes" "$work/attributes"
seek_everywhere
unmount "$mnt"
seek_everywhere

# One that aborts leaves no core file, where another program does.
mkdir "$work/core"
cores() { find "$work/core" -name 'core*' -type f | wc -l; }
(
	cd "$work/core"
	ulimit -c unlimited
	sh -c 'kill -ABRT $$' || true
	[[ $(cores) != 0 ]] || exit 77
	rm core*
	# (AddressSanitizer has none written by itself.)
	ASAN_OPTIONS=disable_coredump=0:$ASAN_OPTIONS exec "$IMGFS" --foreground \
		"docker://$registry/team/app" "$mnt" -o "cache_dir=$cache,$options"
) >"$work/stdout" 2>&1 &
foreground=$!
at_exit umount -l "$mnt"
is_mounted() { mountpoint -q "$mnt" || has_ended "$foreground"; }
poll 20 is_mounted
if mountpoint -q "$mnt"; then
	cat "$mnt/1.0/linux_amd64/rootfs/etc/os-release" >"$work/os-release"
	daemon=$(<"$mnt/.imgfs/pid")
	kill -ABRT "$daemon"
	wait_gone "$daemon" || fail "SIGABRT does not end it"
	rc=0
	wait "$foreground" 2>"$work/stderr" || rc=$?
	assert_eq "$rc" 134 "status after SIGABRT"
	assert_eq "$(cores)" 0 "core files"
else
	rc=0
	wait "$foreground" 2>"$work/stderr" || rc=$?
	assert_eq "$rc" 77 "status of a foreground mount: $(<"$work/stdout")"
	say "core files go elsewhere on this system: not looked for"
fi
