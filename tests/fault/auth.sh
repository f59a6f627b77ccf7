#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tokens and passwords that are refused, run out, or have strange times.
. "$(dirname "$0")/../rows.sh"
need_root
need curl jq python3

make_images "$work" 40
mnt=$work/mnt
umask 077

credentials() { # NAME:PASSWORD
	printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$registry" "$(printf %s "$1" | base64)" >"$work/auth.json"
}

# registry_of ARGS...: a new registry, and a mount of it.
registry_of() {
	[[ -z ${daemons[$mnt]:-} ]] || unmount "$mnt"
	rm -rf "$cache"
	[[ -z ${registry_pid:-} ]] || end_process "$registry_pid"
	start_faultregistry --auth token --user u:secret --user v:other "$@" "app=$work/layout" "sec=$work/layout"
	credentials u:secret
}

mount_app() { # [OPTIONS]
	mount_imgfs "docker://$registry/${1:-app}" "$mnt" "retries=1,authfile=$work/auth.json,$logged${2:+,$2}"
	ls "$mnt" >"$work/stdout"
}

row_unauthorised() {
	registry_of
	mount_app
	cold
	is_right
	assert_eq "$(requests .auth.challenges)" 0 "challenges once a token is there"
	unmount "$mnt"
	# A wrong password is asked with once, and is an error at once.
	rm -r "$cache"
	credentials u:wrong
	reset_requests
	assert_eq "$(exit_code "$IMGFS" "docker://$registry/app" "$mnt" -o "cache_dir=$cache,retries=1,authfile=$work/auth.json")" \
		32 "a wrong password"
	assert_contains "$(<"$work/stderr")" "$registry" "the message"
	(($(requests .auth.challenges) <= 2)) || fail "$(requests .auth.challenges) challenges"
	(($(requests .auth.token_requests) <= 2)) || fail "$(requests .auth.token_requests) requests for tokens"
	! grep -q wrong "$work/stderr" || fail "the password is in the message"
	# A registry that refuses every token: no circle.
	credentials u:secret
	mount_app
	cold
	rules "[{\"match\": {\"path\": \"/blobs/$layer\"}, \"do\": {\"status\": 401,
		\"www_authenticate\": \"Bearer realm=\\\"$fault/token\\\",service=\\\"faultregistry\\\",scope=\\\"repository:app:pull\\\"\"}}]"
	assert_fails "Permission denied" cat "$root/body"
	log_says "${layer:0:19}" "401"
	assert_counted auth_failures 1
	(($(layer_requests) <= 3)) || fail "$(layer_requests) requests"
	unmount "$mnt"
}

row_no_access() {
	registry_of --acl sec=v
	assert_eq "$(exit_code "$IMGFS" "docker://$registry/sec" "$mnt" -o "cache_dir=$cache,retries=1,authfile=$work/auth.json")" \
		32 "a repository of somebody else's"
	# What one may have does not become another's because it is in the cache.
	credentials v:other
	mount_app sec
	cold
	is_right
	unmount "$mnt"
	credentials u:secret
	assert_eq "$(exit_code "$IMGFS" "docker://$registry/sec:$tag" "$mnt" -o "cache_dir=$cache,retries=1,authfile=$work/auth.json")" \
		32 "a cached image of somebody else's"
}

row_token_expires() {
	local n reader readers=()
	registry_of --token-ttl 1
	mount_app
	# In the middle of a layer, which goes on where it was.
	cold
	rules "[{\"match\": {\"path\": \"/blobs/$layer\", \"range\": false}, \"times\": 1, \"do\": {\"disconnect_after\": 300000}},
		{\"match\": {\"path\": \"/blobs/$layer\", \"range\": true}, \"times\": 1, \"do\": {\"expire_token\": true}}]"
	is_right
	assert_counted auth_tokens 1
	assert_counted auth_failures 0
	(($(layer_bytes) <= layer_size * 11 / 10)) || fail "$(layer_bytes) bytes of $layer_size"
	# Whenever it likes.
	for n in {1..5}; do
		cold
		rules '[{"match": {"path": "^/v2/"}, "every": 3, "do": {"expire_token": true}}]'
		is_right
		assert_counted auth_failures 0
	done
	rules '[]'
	# For all at once: one new token.
	cold
	curl -sfS -X POST "$fault/__revoke" >"$work/stdout"
	for n in {1..20}; do
		cat "$root/body" >"$work/body.$n" &
		readers+=("$!")
	done
	for reader in "${readers[@]}"; do
		wait "$reader" || fail "a reader failed"
	done
	for n in {1..20}; do
		assert_same_file "$work/body.$n" "$content/body"
	done
	assert_counted auth_tokens 1
	unmount "$mnt"
}

row_clock() {
	local how answer
	for how in '{"date_skew": 100000000}' '{"date_skew": -100000000}' \
		'{"headers": {"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}}'; do
		registry_of
		rules "[{\"match\": {\"path\": \"/token\"}, \"do\": $how}]"
		mount_app
		cat "$mnt/i00/linux_amd64/config.json" "$mnt/i01/linux_amd64/config.json" >"$work/stdout"
		assert_eq "$(requests .auth.token_requests)" 1 "tokens: $how"
		unmount "$mnt"
	done
	# A life of none, of less, and of more than there is: the specification's minute at least.
	for answer in 0 -1 99999999999999999999; do
		registry_of
		cold_token=$(curl -sfS -u u:secret "$fault/token?service=faultregistry&scope=repository:app:pull" | jq -r .token)
		reset_requests
		rules "[{\"match\": {\"path\": \"/token\"}, \"do\": {\"status\": 200,
			\"body\": \"{\\\"token\\\": \\\"$cold_token\\\", \\\"expires_in\\\": $answer}\"}}]"
		mount_app
		cat "$mnt/i00/linux_amd64/config.json" "$mnt/i01/linux_amd64/config.json" >"$work/stdout"
		assert_eq "$(requests '.paths["/token"].requests')" 1 "tokens: expires_in $answer"
		unmount "$mnt"
	done
}

run_rows
