#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A registry that is away: what is in the cache can be mounted and read, with one warning, until it answers again.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq openssl

demo=$(demo_layout)
start_faultregistry "app=$demo"
port=${registry#*:}
mnt=$work/mnt
mount_imgfs "oci:$demo" "$work/demo"
digest=$(<"$work/demo/1.0/digest")

# What is read below is read once while the registry is there.
read_image() { # DIR: an image
	cat "$1/linux_amd64/rootfs/etc/os-release" "$1/linux_amd64/config.json" "$1/digest"
}
for source in "docker://$registry/" "docker://$registry/app" "docker://$registry/app@$digest"; do
	mount_imgfs "$source" "$mnt"
	ls "$mnt" >"$work/stdout"
	case $source in
	*/app) read_image "$mnt/1.0" >"$work/expected" ;;
	*/) ls "$mnt/app/_tags" >"$work/tags" ;;
	esac
	unmount "$mnt"
done

# assert_told CAUSE: one warning that says so, in the mount's log and by the program itself.
assert_told() {
	local log
	log=$(grep -F 'serving from cache' "$mnt/.imgfs/log") || fail "no warning: $1"
	assert_eq "$(wc -l <<<"$log")" 1 "warnings: $1"
	assert_contains "$log" "$1" "the warning"
	assert_contains "$(<"$work/mount.log")" "serving from cache" "said by the program"
	assert_contains "$(<"$mnt/.imgfs/status")" "away      for " "status"
	(($(counter "$mnt" .away_ms) > 0)) || fail "stats.json: not away"
}

# stays CAUSE [OPTIONS]: all that was read is there; what was not is an error, and no absence.
stays() {
	local options=retries=0${2:+,$2}
	mount_imgfs "docker://$registry/app" "$mnt" "$options"
	assert_told "$1"
	assert_eq "$(ls "$mnt")" "$(<"$work/tags")" "tags: $1"
	assert_same_file <(read_image "$mnt/1.0") "$work/expected"
	unmount "$mnt"
	mount_imgfs "docker://$registry/app:1.0" "$mnt" "$options"
	assert_told "$1"
	assert_same_file <(read_image "$mnt") "$work/expected"
	unmount "$mnt"
	mount_imgfs "docker://$registry/app:1.0" "$mnt" "$options,rootfs,platform=linux/amd64"
	assert_same_file "$mnt/etc/os-release" "$work/demo/1.0/linux_amd64/rootfs/etc/os-release"
	unmount "$mnt"
	mount_imgfs "docker://$registry/app@$digest" "$mnt" "$options"
	assert_same_file <(read_image "$mnt") "$work/expected"
	unmount "$mnt"
	mount_imgfs "docker://$registry/" "$mnt" "$options"
	assert_same_file <(read_image "$mnt/app/_tags/1.0") "$work/expected"
	unmount "$mnt"
	refused "$1" 32 "app:1.1" "$options,cache_dir=$cache" # known by the list, and not more
	refused "$1" 32 "app:1.0" "$options,cache_dir=$work/empty"
	refused "$1" 32 "app" "$options,cache_dir=$work/empty"
	refused "$1" 32 "" "$options,cache_dir=$work/empty"
}

# refused TEXT STATUS NAME OPTIONS
refused() {
	assert_eq "$(exit_code "$IMGFS" "docker://$registry/$3" "$mnt" -o "$4")" "$2" "mount of '$3'"
	assert_contains "$(<"$work/stderr")" "$1" "message for '$3'"
}

rules '[{"do": {"status": 503}}]'
stays 503
rules '[{"do": {"status": 429, "retry_after": 0}}]'
stays 429

# Who has been told so does not ask for each name again.
mount_imgfs "docker://$registry/app" "$mnt" retries=0,ttl=0s
reset_requests
assert_same_file <(read_image "$mnt/1.0") "$work/expected"
ls "$mnt" "$mnt/1.0" >"$work/stdout"
asked=$(requests .requests)
((asked <= 2)) || fail "$asked requests to a registry that is away"
unmount "$mnt"

# A no is an answer, and no reason for old ones.
for status in 401 403 404; do
	rules "[{\"do\": {\"status\": $status}}]"
	refused "$registry" 32 app:1.0 "cache_dir=$cache"
	refused "$registry" 32 app "cache_dir=$cache"
done

# Nobody answers: the time is up for a mount without a cache only.
rules '[{"do": {"hang": true}}]'
mount_imgfs "docker://$registry/app:1.0" "$mnt" mount_timeout=2s
assert_told "no answer within mount_timeout"
unmount "$mnt"
refused "no answer within mount_timeout" 32 app:1.0 "mount_timeout=2s,cache_dir=$work/empty"

# In a mount that is there already: told once, tried again, and over when it is over.
rules '[]'
mount_imgfs "docker://$registry/app" "$mnt" retries=0,ttl=0s,log_level=info
assert_same_file <(read_image "$mnt/1.0") "$work/expected"
end_process "$registry_pid"
assert_same_file <(read_image "$mnt/1.0") "$work/expected"
assert_eq "$(ls "$mnt")" "$(<"$work/tags")" "tags of a registry that was killed"
assert_eq "$(grep -c 'serving from cache' "$mnt/.imgfs/log")" 1 "warnings"
assert_contains "$(<"$mnt/.imgfs/status")" "away      for " "status"
start_faultregistry --port "$port" "app=$demo"
for tag in 1.1 1.0; do
	now=$(<"$work/demo/$tag/digest")
	curl -sfS -X POST "$fault/__tag" >/dev/null \
		--data "{\"repo\": \"app\", \"tag\": \"1.0\", \"digest\": \"$now\"}"
	has_moved() { [[ $(<"$mnt/1.0/digest") == "$now" ]]; }
	poll 20 has_moved || fail "a registry that came back is not asked"
done
assert_contains "$(<"$mnt/.imgfs/log")" "$registry answers again" "log"
assert_eq "$(counter "$mnt" .away_ms)" 0 "away_ms of one that is back"
unmount "$mnt"
end_process "$registry_pid"
stays "127.0.0.1"

# Whose certificate does not verify is not there either, and is not asked by http.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=nobody \
	-keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/stderr"
start_faultregistry --port "$port" --tls-cert "$work/cert.pem" --tls-key "$work/key.pem" "app=$demo"
stays certificate
