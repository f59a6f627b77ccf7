#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Answers to a request for the rest of a layer: what is not that is not used, and nothing is fetched for
# each read again.  (tests/mount/ranges.sh: the same for the spans of a layer that is not here.)
. "$(dirname "$0")/../rows.sh"
need curl jq python3

make_images "$work" 30
start_faultregistry "app=$work/layout"
mnt=$work/mnt
mount_app() {
	mount_imgfs "docker://$registry/app" "$mnt" "retries=2,stall_timeout=5s,$logged"
	ls "$mnt" >"$work/stdout"
}
mount_app

# cut_then DO: a layer is cut in the middle, and that is done to the request for the rest.
cut_then() {
	cold
	rules "[{\"match\": {\"path\": \"/blobs/$layer\", \"range\": false}, \"times\": 1, \"do\": {\"disconnect_after\": 300000}},
		{\"id\": \"fault\", \"match\": {\"path\": \"/blobs/$layer\", \"range\": true}, \"do\": $1}]"
}

row_range_ignored() {
	cut_then '{"ignore_range": true}'
	is_right
	assert_counted range_ignored 1
	assert_counted http_resumes 1
	assert_eq "$(layer_requests)" 2 "requests"
	# What was there already is skipped, once, and not asked for by each read.
	(($(layer_bytes) <= 300000 + layer_size * 11 / 10)) || fail "$(layer_bytes) bytes of $layer_size"
	is_right
	assert_eq "$(layer_requests)" 2 "requests after another read"
}

# Of layers that are indexed and not here: who gave one whole is asked for no part of the next.
row_range_remembered() {
	local n tags=() layers=()
	for n in 1 2; do
		cold
		is_right
		tags+=("$tag") layers+=("$layer")
	done
	unmount "$mnt"
	rm "${layers[@]/#sha256:/$cache/blobs/sha256/}"
	rules '[{"match": {"path": "/blobs/"}, "do": {"ignore_range": true}}]'
	mount_app
	from_here
	for n in 0 1; do
		tag=${tags[n]} layer=${layers[n]} root=$mnt/${tags[n]}/linux_amd64/rootfs content=$work/content/${tags[n]}
		is_right
		assert_eq "$(layer_requests)" $((2 - n)) "requests for layer $n"
	done
	assert_counted range_ignored 1
	log_says "${layers[0]}" "the whole of it, not a range; fetching all of it"
	log_says "$registry gives no parts of blobs; fetching all of it"
	# The last one had to be told nothing.
	(($(layer_bytes) <= layer_size * 11 / 10)) || fail "$(layer_bytes) bytes of $layer_size"
}

row_range_wrong() {
	local how
	for how in '{"content_range_shift": 1}' '{"content_range_total": 7}' '{"content_range": null}' \
		'{"content_range": "bytes what"}' '{"multipart": true}'; do
		cut_then "$how"
		is_right
		assert_counted range_refused 1
		log_says "$registry" "not the range that was asked for" "asking without a range"
		assert_eq "$(layer_requests)" 3 "requests: $how"
	done
	# The right head, and other bytes: only the digest tells.
	cut_then '{"range_shift": 5}'
	is_right
	assert_counted verify_failures 1
	log_says "$layer"
}

row_range_length() {
	cut_then '{"range_short": 1000}'
	is_right
	assert_counted verify_failures 0
	cut_then '{"range_long": 1000}'
	is_right
	assert_counted verify_failures 0
	(($(layer_bytes) <= layer_size * 11 / 10)) || fail "$(layer_bytes) bytes of $layer_size"
}

row_range_refused() {
	cut_then '{"status": 416}'
	is_right
	assert_counted range_refused 1
	log_says "$registry" "the rest of the body was refused"
	cold
	layer_is '{"status": 416}'
	assert_fails "Input/output error" cat "$root/body"
	log_says "416" "${layer:0:19}"
}

run_rows
