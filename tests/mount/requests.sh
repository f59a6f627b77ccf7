#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a command costs in requests: listing is free, names that cannot be are not asked for.
. "$(dirname "$0")/../lib.sh"
need curl jq

start_faultregistry "team/app=$(demo_layout)"
mnt=$work/mnt
mount_imgfs "docker://$registry/team/app" "$mnt"
blob_bytes() {
	requests '[.paths | to_entries[] | select(.key | test("/blobs/")) | .value.bytes] | add // 0'
}

ls "$mnt" >"$work/stdout"
reset_requests
ls "$mnt" >"$work/stdout"
ls -l "$mnt" >"$work/stdout"
ls --color=always -l "$mnt" >"$work/stdout"
find "$mnt" -mindepth 1 -maxdepth 1 >"$work/stdout"
(cd "$mnt" && git status >"$work/stdout" 2>&1) || true
for name in .git HEAD .hidden AUTORUN.INF package.json no%20tag; do
	[[ ! -e $mnt/$name ]] || fail "$name exists"
done
assert_eq "$(requests)" 0 "requests for looking at a tag list"

# A layer directory can be looked at without its layer.
ls "$mnt/1.0/linux_amd64" >"$work/stdout"
ls -l "$mnt"/1.0/linux_amd64/layers/* >"$work/stdout"
cat "$mnt"/1.0/linux_amd64/layers/*/info.json >"$work/stdout"
before=$(blob_bytes)
config=$(stat -c %s "$mnt/1.0/linux_amd64/config.json")
((before <= config)) || fail "$before bytes of blobs for ls -l layers/*"
# Which layers differ is in the names; the other image's config is all this needs.
reset_requests
diff -rq "$mnt/1.0/linux_amd64/layers" "$mnt/1.1/linux_amd64/layers" >"$work/stdout" || [[ $? = 1 ]]
assert_eq "$(grep -c '^Only in' "$work/stdout")" 3 "layers that differ"
assert_eq "$(blob_bytes)" "$(stat -c %s "$mnt/1.1/linux_amd64/config.json")" "blobs for diff"

# A merged tree costs each of its layers once, however often and by how many it is read.
reset_requests
for _ in 1 2 3 4; do
	find "$mnt/1.0/linux_amd64/rootfs" -type f -exec cat {} + >/dev/null &
done
wait -n && wait -n && wait -n && wait -n
cat "$mnt/1.0/linux_amd64/rootfs/etc/os-release" >"$work/stdout"
for digest in $(json "$mnt/1.0/linux_amd64/manifest.json" '.layers[].digest'); do
	assert_eq "$(requests ".paths[\"/v2/team/app/blobs/$digest\"].methods.GET")" 1 "GETs of $digest"
done

# 1.1 shares two layers with it: only the others are fetched.
reset_requests
ls "$mnt/1.1/linux_amd64/rootfs" >"$work/stdout"
assert_eq "$(requests '[.paths | to_entries[]
	| select((.key | test("/blobs/")) and .value.bytes > 100000)] | length')" 0 "shared layers"
