#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A registry that speaks the old V1 protocol: the same tree, and nothing is fetched before it is
# looked at.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo jq

forms=$(generations)
mount_imgfs "oci:$forms/oci" "$work/oci"
expected=$work/oci/1.0/linux_amd64/rootfs

start_faultregistry --v1 "team/app=$forms/oci"
layer_requests() { requests '[.paths | to_entries[]
	| select(.key | test("^/v1/images/.*/layer$")) | .value.methods.GET // 0] | add // 0'; }

mount_imgfs "docker-v1://$registry/team/app" "$work/mnt"
assert_eq "$(names "$work/mnt")" 1.0 "tags"
tag=$work/mnt/1.0
ls -l "$tag" >"$work/stdout"
image=$(echo "$tag"/linux*)
ls -l "$image" "$image/layers" >"$work/stdout"
cat "$tag/digest" "$tag/manifest.json" "$image/config.json" "$image/history.txt" >"$work/stdout"
assert_eq "$(layer_requests)" 0 "layers for looking at an image"
# The newest layer's own JSON, as it was served.
id=$(curl -sf "$fault/v1/repositories/team/app/tags/1.0" | jq -r .)
curl -sf "$fault/v1/images/$id/json" >"$work/newest.json"
assert_same_file "$image/config.json" "$work/newest.json"
chain=$(curl -sf "$fault/v1/images/$id/ancestry" | jq -r '.[]')
assert_eq "$(names "$image/layers" | wc -w)" "$(wc -l <<<"$chain")" "layers"

reset_requests
same_trees "$expected" "$image/rootfs"
skopeo copy -q "oci:$image/oci" "dir:$work/from-oci"
skopeo copy -q "dir:$image/docker" "dir:$work/from-docker"
umoci_unpack "$image/oci" "$work/bundle"
for id in $chain; do
	assert_eq "$(requests ".paths[\"/v1/images/$id/layer\"].methods.GET // 0")" 1 "GETs of $id"
done
assert_eq "$(diff_ids "$image" docker)" "$(diff_ids "$work/oci/1.0/linux_amd64" docker)" "diff_ids"

mount_imgfs "docker-v1://$registry/team/app:1.0" "$work/image"
assert_eq "$(<"$work/image/digest")" "$(<"$tag/digest")" "digest of the image alone"
same_trees "$expected" "$(echo "$work"/image/linux*)/rootfs"
# There is no catalogue: what one knows by name can be entered.
mount_imgfs "docker-v1://$registry/" "$work/all"
assert_eq "$(names "$work/all/team/app/_tags")" 1.0 "tags of a repository"

assert_fails "No such file" ls "$work/mnt/none"
assert_eq "$(exit_code "$IMGFS" "docker-v1://$registry/team/none" "$work/bundle" \
	-o "cache_dir=$cache")" 32 "an unknown repository"

# A layer that is not there hurts nobody else.
rules "[{\"match\": {\"path\": \"/v1/images/${chain%%$'\n'*}/layer\"}, \"do\": {\"status\": 404}}]"
cache=$work/cache-missing
mount_imgfs "docker-v1://$registry/team/app" "$work/missing"
image=$(echo "$work"/missing/1.0/linux*)
assert_fails "Input/output error" ls "$image/rootfs"
last=$(echo "$image"/layers/01-*)
ls "$last/diff" >"$work/stdout"
cat "$image/config.json" >"$work/stdout"
