#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a registry may answer instead of what it was asked for.
. "$(dirname "$0")/../rows.sh"
need curl jq python3

make_images "$work" 60
start_faultregistry "app=$work/layout"
mnt=$work/mnt
options="retries=2,ttl=0s,$logged"
mount_imgfs "docker://$registry/app" "$mnt" "$options"
ls "$mnt" >"$work/stdout"

fails_with() { # ERROR: the layer does
	assert_fails "$1" cat "$root/body"
}

# tag_is DO [MORE]: that, for the next image's tag and its manifest.
tag_is() {
	next_image
	rules "[{\"id\": \"fault\", \"match\": {\"path\": \"/manifests/($tag|$manifest)\"}, ${2:+$2,} \"do\": $1}]"
	from_here
}

# again: another mount, without what is known in this one.
again() {
	unmount "$mnt"
	rules '[]'
	mount_imgfs "docker://$registry/app" "$mnt" "$options"
	ls "$mnt" >"$work/stdout"
}

row_forbidden() {
	local since
	tag_is '{"status": 403}'
	assert_fails "Permission denied" ls "$mnt/$tag"
	log_says "$tag" "403" "access denied"
	assert_counted auth_failures 1
	assert_counted http_retries 0
	assert_eq "$(applied)" 1 "requests"
	cold
	layer_is '{"status": 403}'
	since=$SECONDS
	fails_with "Permission denied"
	log_says "403" "access denied"
	assert_counted auth_failures 1
	assert_eq "$(applied)" 1 "requests"
	rules '[]'
	readable() { cat "$root/body" >"$work/body" 2>"$work/stderr"; }
	poll 20 readable || fail "a no is remembered for more than $((SECONDS - since)) s"
	is_right
}

row_missing() {
	tag_is '{"status": 404}'
	assert_fails "No such file or directory" cat "$mnt/$tag/digest"
	assert_fails "No such file or directory" cat "$mnt/$tag/linux_amd64/config.json"
	assert_eq "$(requests '.statuses."404"')" 2 "requests"
	assert_fails "No such file or directory" ls "$mnt/nobody"
	# What a manifest lists is there, or broken.
	cold
	layer_is '{"status": 404}'
	fails_with "Input/output error"
	log_says "${layer:0:19}" "not found"
	assert_eq "$(applied)" 1 "requests"
	next_image
	rules "[{\"match\": {\"path\": \"/blobs/$config\"}, \"do\": {\"status\": 404}}]"
	from_here
	assert_fails "Input/output error" cat "$mnt/$tag/linux_amd64/config.json"
	log_says "${config:0:19}" "not found"
}

row_rate_limit() {
	local after
	for after in 1 0 -5 '"Thu, 01 Jan 2015 00:00:00 GMT"' '"soon"'; do
		cold
		layer_is "{\"status\": 429, \"retry_after\": $after}" '"times": 2'
		is_right
		assert_counted http_retries 2
		assert_counted http_retries_429 2
		assert_eq "$(layer_requests)" 3 "requests"
		log_says "retry 2/2" "429 from $registry"
	done
	# As long as that would take, nobody waits for that in vain.
	cold
	layer_is '{"status": 429, "retry_after": 0}'
	fails_with "Disk quota exceeded"
	assert_counted http_retries 2
	log_says "too many requests" "429"
	# How long is in the log: in seconds, no more than 30, and a date is one second from its Date on.
	cold
	layer_is '{"status": 429, "retry_after": 10000000}' '"times": 1'
	timeout 1 cat "$root/body" >"$work/stdout" && fail "did not wait"
	log_says "retry 1/2 in 30.0s" "429"
	cold
	rules "[{\"match\": {\"path\": \"/blobs/$layer\"}, \"times\": 1, \"do\": {\"status\": 429,
		\"retry_after\": \"Thu, 01 Jan 2015 00:00:03 GMT\", \"headers\": {\"Date\": \"Thu, 01 Jan 2015 00:00:02 GMT\"}}}]"
	is_right
	log_says "retry 1/2 in 1.0s" "429"
}

row_server_error() {
	local status
	for status in 500 502 503 504; do
		cold
		layer_is "{\"status\": $status}" '"times": 2'
		is_right
		assert_counted http_retries 2
		assert_counted http_retries_5xx 2
		log_says "retry 2/2" "$status from $registry"
	done
	cold
	layer_is '{"status": 503}'
	fails_with "Input/output error"
	log_says "the server failed" "503"
	assert_counted http_retries 2
	assert_eq "$(applied)" 3 "requests"
	tag_is '{"status": 500}'
	assert_fails "Input/output error" ls "$mnt/$tag"
	log_says "$tag" "500"
	again
}

row_headers() {
	local other
	cold
	layer_is '{"docker_content_digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}'
	is_right
	cold
	layer_is '{"content_type": "text/html", "headers": {"ETag": "\"nonsense\""}}'
	is_right
	# Of a manifest its own bytes count; that it is not what was announced is told.
	other=$manifest
	next_image
	rules "[{\"match\": {\"path\": \"/manifests/$tag\", \"method\": \"HEAD\"}, \"do\": {\"status\": 405}},
		{\"match\": {\"path\": \"/manifests/$tag\"}, \"do\": {\"docker_content_digest\": \"$other\"}}]"
	from_here
	if ls "$mnt/$tag/linux_amd64" >"$work/stdout" 2>&1; then
		assert_eq "$(<"$mnt/$tag/digest")" "$manifest" "the digest"
		log_says "$tag" "announced as $other" "$manifest"
	fi
	# A type that is none for a manifest.
	next_image
	rules "[{\"match\": {\"path\": \"/manifests/\"}, \"do\": {\"content_type\": \"application/vnd.oci.image.index.v1+json\"}}]"
	from_here
	assert_fails "Input/output error" ls "$mnt/$tag/linux_amd64"
	log_says "$manifest"
	again
}

row_large_head() {
	local how
	for how in '{"big_header": 100000}' '{"header_count": 10000}'; do
		cold
		layer_is "$how"
		fails_with "File too large"
		log_says "headers of more than 65536 bytes"
		assert_eq "$(applied)" 1 "requests"
	done
	cold
	layer_is '{"big_header": 20000, "header_count": 200}'
	is_right
	# A manifest that does not end.
	truncate -s 1G "$work/endless"
	tag_is "{\"serve_file\": \"$work/endless\", \"docker_content_digest\": null}"
	rules "[{\"match\": {\"path\": \"/manifests/$manifest\"}, \"do\": {\"serve_file\": \"$work/endless\"}}]"
	assert_fails "File too large" cat "$mnt/$tag/manifest.json" "$mnt/$tag/linux_amd64/manifest.json"
	(($(requests .bytes) < 16 << 20)) || fail "$(requests .bytes) bytes of a manifest that does not end"
	again
}

row_endless_lists() {
	# The same page for ever; to somebody else.
	rules '[{"match": {"path": "/tags/list"}, "do": {"headers": {"Link": "</v2/app/tags/list?last=i00>; rel=\"next\""}}}]'
	from_here
	assert_eq "$(names "$mnt" | wc -w)" 60 "names"
	log_says "tags of 'app'" "go in a circle"
	rules "[{\"id\": \"fault\", \"match\": {\"path\": \"/tags/list\"},
		\"do\": {\"headers\": {\"Link\": \"<http://127.0.0.1:1/v2/app/tags/list>; rel=\\\"next\\\"\"}}}]"
	from_here
	ls "$mnt" >"$work/stdout" 2>&1 || true
	log_says "tags of 'app'" "the next page is said to be on another host"
	assert_eq "$(requests '.paths["/v2/app/tags/list"].requests')" 1 "requests"
	again
}

row_many_names() {
	unmount "$mnt"
	end_process "$registry_pid"
	start_faultregistry "app=$work/layout" --extra-tags 100000 --page-size 20000
	mount_imgfs "docker://$registry/app" "$mnt" "$logged"
	assert_eq "$(timeout 120 ls -f "$mnt" | grep -c '^t[0-9]*$')" 100000 "names"
	rm -r "$cache"
}

run_rows
