#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What may happen to a layer on its way: the reader gets its bytes or an error, and never others.
. "$(dirname "$0")/../rows.sh"
need curl jq python3

make_images "$work" 60
start_faultregistry "app=$work/layout"
mnt=$work/mnt
options=retries=2,stall_timeout=1s
again() {
	[[ -z ${daemons["$mnt"]:-} ]] || unmount "$mnt"
	mount_imgfs "docker://$registry/app" "$mnt" "$options,$logged"
	ls "$mnt" >"$work/stdout"
}

fails_with() { # ERROR: the layer does
	assert_fails "$1" cat "$root/body"
	assert_fails "$1" cat "$root/body"
}

row_slow() {
	cold
	layer_is '{"slow_headers": 0.05}'
	fails_with "Connection timed out"
	cold
	layer_is '{"slow": {"chunk": 1, "interval": 3}}'
	fails_with "Connection timed out"
	log_says "retry" "nothing came for 1.0s"
	(($(counted net_stall) >= 2)) || fail "$(counted net_stall) stalls"
	assert_counted http_failures 1
	# A slow one that progresses is none.
	cold
	layer_is '{"rate": 300000}'
	is_right
	assert_counted net_stall 0
}

row_silence() {
	local other
	cold
	other=$root
	cold
	layer_is '{"hang": true}'
	cat "$root/body" >"$work/stdout" 2>"$work/silent" &
	timeout 5 cat "$other/body" >"$work/stdout" || fail "another image waits"
	wait $! && fail "a reader of nothing succeeded"
	assert_contains "$(<"$work/silent")" "Connection timed out" "the reader"
	log_says "$registry: nothing came for 1.0s"
	(($(counted net_stall) >= 2)) || fail "$(counted net_stall) stalls"
	# Once, and then never again.
	cold
	layer_is '{"hang": true}' '"times": 1'
	is_right
	assert_counted net_stall 1
	assert_counted http_retries_timeout 1
}

# However many attempts: nobody waits longer than stall_timeout and connect_timeout without a byte.
row_deadline() {
	local options=retries=5,stall_timeout=2s,connect_timeout=1s,max_transfers=1 n roots=() readers=()
	cold
	layer_is '{"hang": true}'
	assert_fails "Connection timed out" timeout 30 cat "$root/body"
	(($(applied) <= 2)) || fail "$(applied) attempts"
	assert_counted http_failures 1
	# The server's wishes are no reason.
	cold
	layer_is '{"status": 429, "retry_after": 4}'
	assert_fails "Disk quota exceeded" timeout 30 cat "$root/body"
	assert_eq "$(applied)" 1 "attempts"
	assert_counted http_retries 0
	log_says "${layer:0:19}" "too many requests" "429"
	# Nor is it one that others wait before them, if these get nothing either.
	cold
	for n in {1..3}; do
		roots+=("$root")
		next_image
		root=$mnt/$tag/linux_amd64/rootfs
		cat "$mnt/$tag/linux_amd64/config.json" >"$work/stdout"
	done
	rules '[{"id": "fault", "match": {"path": "/blobs/"}, "do": {"hang": true}}]'
	for n in 0 1 2; do
		timeout 60 cat "${roots[n]}/body" >"$work/stdout" 2>"$work/stderr.$n" &
		readers+=("$!")
	done
	for n in 0 1 2; do
		wait "${readers[n]}" && fail "read what never came"
		assert_contains "$(<"$work/stderr.$n")" "Connection timed out" "a reader"
	done
	log_says "nothing came in time"
	(($(applied) <= 4)) || fail "$(applied) attempts for three layers, one at a time"
	# What arrives in time, however slowly, is no reason to give up.
	cold
	layer_is '{"rate": 120000}'
	is_right
	assert_counted net_stall 0
}

row_cut() {
	local at
	for at in 1 1000 300000 -1000 -1; do
		cold
		layer_is "{\"disconnect_after\": $at}" '"times": 1'
		is_right
		log_says "retry 1/"
		assert_counted http_retries 1
		assert_counted http_retries_broken 1
		assert_counted http_resumes 1
		assert_eq "$(layer_requests)" 2 "requests"
		(($(layer_bytes) <= layer_size * 11 / 10)) || fail "$(layer_bytes) bytes of $layer_size"
	done
	cold
	layer_is '{"disconnect_after": 300000, "rst": true}' '"times": 2'
	is_right
	assert_counted http_retries 2
	cold
	layer_is '{"disconnect_after": 0}'
	fails_with "Input/output error"
	assert_counted http_failures 1
	assert_eq "$(applied)" 3 "attempts"
}

row_truncated() {
	cold
	layer_is '{"truncate": 1000}' '"times": 1'
	is_right
	cold
	layer_is '{"truncate": 1000}'
	fails_with "Bad message"
	log_says "$layer" "1000"
	(($(counted verify_failures) >= 1)) || fail "no verify_failures"
	assert_counted verify_failures_size "$(counted verify_failures)"
}

row_length() {
	local length
	for length in '"+50"' '"-50"' 'null'; do
		cold
		layer_is "{\"content_length\": $length}" '"times": 1'
		is_right
	done
	for length in '"-1"' '"many"'; do
		cold
		rules "[{\"id\": \"fault\", \"match\": {\"path\": \"/blobs/$layer\"}, \"times\": 1,
			\"do\": {\"headers\": {\"Content-Length\": $length}}}]"
		is_right
	done
	cold
	layer_is '{"content_length": "+50"}'
	is_wrong_or_right
	cold
	layer_is '{"trailing": 100}'
	is_wrong_or_right
}

# Bytes that are announced and do not exist, or exist and are not announced: an error is as good.
is_wrong_or_right() {
	if cat "$root/body" >"$work/body" 2>"$work/stderr"; then
		assert_same_file "$work/body" "$content/body"
	else
		grep -qE 'Input/output error|Bad message' "$work/stderr" || fail "$row: $(<"$work/stderr")"
	fi
}

row_framing() {
	local bad
	cold
	layer_is '{"chunked": true, "informational": 3}'
	is_right
	assert_counted http_retries 0
	for bad in '{"chunked_bad": "size"}' '{"chunked_bad": "cut"}' '{"content_encoding": "gzip"}' \
		'{"raw": "HTTP/9.9 what\r\n\r\n"}'; do
		cold
		layer_is "$bad" '"times": 1'
		is_right
		assert_counted http_retries 1
		log_says "retry 1/"
	done
	cold
	layer_is '{"content_encoding": "gzip"}'
	fails_with "Protocol error"
	assert_counted http_failures 1
	cold
	layer_is '{"chunked_bad": "cut"}'
	fails_with "Input/output error"
	assert_counted http_failures 1
}

row_cdn() {
	local status
	cold
	rules "[{\"match\": {\"path\": \"/blobs/$layer\", \"port\": \"main\"}, \"do\": {\"redirect\": \"cdn\"}}]"
	is_right
	assert_counted http_redirects 1
	assert_eq "$(requests .auth.cdn_with_authorization)" 0 "credentials at the other port"
	# A signed URL that has run out: back to the registry, once.
	for status in 400 403 410; do
		cold
		rules "[{\"match\": {\"path\": \"/blobs/$layer\", \"port\": \"main\"}, \"do\": {\"redirect\": \"cdn\"}},
			{\"match\": {\"path\": \"/blobs/$layer\", \"port\": \"cdn\"}, \"times\": 1, \"do\": {\"status\": $status}}]"
		is_right
		assert_counted http_redirects 2
		assert_eq "$(layer_requests)" 2 "requests to the registry for a URL that has expired ($status)"
	done
	cold
	rules "[{\"match\": {\"path\": \"/blobs/$layer\", \"port\": \"main\"}, \"do\": {\"redirect\": \"cdn\"}},
		{\"match\": {\"path\": \"/blobs/$layer\", \"port\": \"cdn\"}, \"do\": {\"status\": 403}}]"
	fails_with "Permission denied"
	assert_counted http_redirects 2
	# Cut in the middle: a new URL, and the rest.
	cold
	rules "[{\"match\": {\"path\": \"/blobs/$layer\", \"port\": \"main\"}, \"do\": {\"redirect\": \"cdn\"}},
		{\"match\": {\"path\": \"/blobs/$layer\", \"port\": \"cdn\"}, \"times\": 1, \"do\": {\"disconnect_after\": 300000}}]"
	is_right
	assert_counted http_resumes 1
	(($(layer_bytes) <= layer_size * 11 / 10)) || fail "$(layer_bytes) bytes of $layer_size"
}

row_redirects() {
	cold
	layer_is '{"redirect": "loop"}'
	fails_with "Input/output error"
	log_says "more than 5 redirects"
	assert_counted net_redirect 1
	assert_eq "$(applied)" 6 "requests"
	cold
	layer_is '{"redirect": "file:///etc/passwd"}'
	fails_with "Input/output error"
	log_says "refused redirect"
	assert_counted net_redirect 1
	assert_eq "$(applied)" 1 "requests"
}

row_digest() {
	local at
	for at in 0 300000 -1; do
		cold
		layer_is "{\"corrupt\": {\"at\": $at, \"len\": 1}}" '"times": 1'
		is_right
		assert_counted verify_failures 1
		assert_counted verify_failures_size 0
		log_says "$layer"
		assert_eq "$(layer_requests)" 2 "requests"
		cold
		layer_is "{\"corrupt\": {\"at\": $at, \"len\": 1}}"
		fails_with "Bad message"
		assert_counted verify_failures 2
		assert_eq "$(layer_requests)" 2 "requests"
		[[ -z $(find "$cache" -name "${layer#*:}*" -size +0) ]] || fail "a wrong copy is kept"
	done
	# The same for documents, which are asked for by digest, too.
	for path in manifest config; do
		next_image
		rules "[{\"match\": {\"method\": \"GET\", \"path\": \"${!path}|/manifests/$tag\"},
			\"do\": {\"corrupt\": {\"at\": -3, \"len\": 1, \"xor\": 1}}}]"
		[[ $path == manifest ]] || rules "[{\"match\": {\"path\": \"$config\"}, \"do\": {\"corrupt\": {\"at\": -3, \"len\": 1, \"xor\": 1}}}]"
		from_here
		assert_fails "Bad message" cat "$mnt/$tag/linux_amd64/$path.json"
		log_says "${!path}"
		(($(counted verify_failures) >= 1)) || fail "$path: no verify_failures"
	done
}

run_rows
