#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Looking around in an image of any generation, down to where its content begins, fetches no layer.
. "$(dirname "$0")/../lib.sh"
need curl jq

forms=$(generations)
demo=$(demo_layout)
start_faultregistry --schema1 --v1 "team/app=$forms/oci" "team/demo=$demo"

# The blobs that were asked for, but for configs: they are small, and name the platform.
configs=$(for layout in "$forms/oci" "$demo"; do
	cat "$layout"/blobs/sha256/* | grep -aohE '"config":\{"mediaType":"[^"]*","digest":"[^"]*"' |
		grep -oE 'sha256:[0-9a-f]{64}'
done | sort -u | paste -s -d '|')
layer_requests() {
	requests "[.paths | to_entries[] | select((.key | test(\"/blobs/|^/v1/images/.*/layer\$\"))
		and (.key | test(\"$configs\") | not)) | .key] | join(\" \")"
}

# look_around TAG: "ls -lR", but not into what is content.
look_around() {
	find "$1/." \( -name rootfs -o -name diff -o -name oci -o -name docker \) -prune -o \
		-type d -exec ls -lA {} + >"$work/stdout" || fail "ls -l below $1"
	grep -q rootfs "$work/stdout" || fail "no rootfs below $1"
}

mount_imgfs "docker://$registry/team/app" "$work/app"
mount_imgfs "docker://$registry/team/demo" "$work/demo"
mount_imgfs "docker-v1://$registry/team/app" "$work/v1"
for tag in app/1.0 demo/1.0 demo/docker demo/plain demo/zstd app/1.0.v1 app/1.0.v1u v1/1.0; do
	look_around "$work/$tag"
	assert_eq "$(layer_requests)" "" "layers fetched by looking around in $tag"
done
# Counted they would have been.
ls "$work/app/1.0.v1/linux_amd64/rootfs" >"$work/stdout"
[[ -n $(layer_requests) ]] || fail "requests are not counted"
