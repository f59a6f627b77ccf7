#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# manifest.json as stored, as OCI and as Docker: the bytes that skopeo sees, or the right types.
. "$(dirname "$0")/../lib.sh"
need skopeo jq

oci=application/vnd.oci.image.manifest.v1+json
docker=application/vnd.docker.distribution.manifest.v2+json
layout=$(demo_layout)
mnt=$work/mnt
mount_imgfs "oci:$layout" "$mnt"

skopeo inspect --raw "oci:$layout:1.0" >"$work/index.json"
assert_same_file "$work/index.json" "$mnt/1.0/index.json"
skopeo inspect --raw "oci:$layout:plain" >"$work/manifest.json"
assert_same_file "$work/manifest.json" "$mnt/plain/manifest.json"
assert_same_file "$work/manifest.json" "$mnt/plain/linux_amd64/manifest.json"

check_image() { # IMAGE-DIRECTORY: everything that holds for each image
	local image=$1 flavour layer_type
	assert_eq "sha256:$(sha256 "$image/manifest.json")" "$(<"$image/digest")" "$image/digest"
	assert_eq "sha256:$(sha256 "$image/config.json")" \
		"$(json "$image/manifest.json" .config.digest)" "$image/config.json"
	assert_eq "$(json "$image/oci/manifest.json" .mediaType)" "$oci" "$image/oci"
	assert_eq "$(json "$image/docker/manifest.json" .mediaType)" "$docker" "$image/docker"
	assert_eq "$(json "$image/docker/manifest.json" .config.mediaType)" \
		application/vnd.docker.container.image.v1+json "$image/docker config"
	for flavour in oci docker; do
		layer_type=$(json "$image/$flavour/manifest.json" '.layers[].mediaType' | sort -u)
		assert_contains "$layer_type" "vnd.$flavour." "layer types in $flavour"
		assert_eq "$(json "$image/$flavour/manifest.json" '[.layers[].digest] | join(" ")')" \
			"$(json "$image/manifest.json" '[.layers[].digest] | join(" ")')" "layers in $flavour"
	done
}
for image in "$mnt"/{1.0,1.1,docker}/{linux_amd64,linux_arm64,linux_arm_v7} \
	"$mnt/plain/linux_amd64"; do
	check_image "$image"
done
# A flavour the image already has is the stored bytes.
assert_same_file "$mnt/1.0/linux_amd64/oci/manifest.json" "$mnt/1.0/linux_amd64/manifest.json"
assert_same_file "$mnt/docker/linux_amd64/docker/manifest.json" \
	"$mnt/docker/linux_amd64/manifest.json"

# Of 1.0 and docker only the types differ, and so each converts into the other's layers and config.
assert_eq "$(json "$mnt/docker/linux_amd64/oci/manifest.json" '[.layers[].digest] | join(" ")')" \
	"$(json "$mnt/1.0/linux_amd64/manifest.json" '[.layers[].digest] | join(" ")')" "docker as oci"
assert_eq "$(json "$mnt/1.0/docker/manifest.json" .mediaType)" \
	application/vnd.docker.distribution.manifest.list.v2+json "1.0 as a manifest list"
assert_eq "$(json "$mnt/1.0/docker/manifest.json" '.manifests | length')" 3 "its entries"
assert_eq "$(json "$mnt/1.0/docker/manifest.json" '.manifests[].mediaType' | sort -u)" "$docker" \
	"types of its entries"

# What skopeo pushes after a conversion is what we show: the same digest.
skopeo --override-os linux --override-arch amd64 copy -q --format v2s2 \
	"oci:$layout:1.0" "dir:$work/v2s2"
assert_same_file "$work/v2s2/manifest.json" "$mnt/1.0/linux_amd64/docker/manifest.json"

# A zstd layer has no type in Docker's specification, but one that BuildKit writes and containerd reads.
assert_eq "$(json "$mnt/zstd/linux_amd64/docker/manifest.json" '.layers[].mediaType' | sort -u)" \
	application/vnd.docker.image.rootfs.diff.tar.zstd "zstd layers in docker/"

# manifest= picks the flavour of manifest.json itself.
for flavour in oci docker; do
	mount_imgfs "oci:$layout" "$work/$flavour" "manifest=$flavour"
	assert_same_file "$work/$flavour/1.0/linux_amd64/manifest.json" \
		"$mnt/1.0/linux_amd64/$flavour/manifest.json"
	assert_eq "$(<"$work/$flavour/1.0/linux_amd64/digest")" "$(<"$mnt/1.0/linux_amd64/digest")" \
		"digest with manifest=$flavour"
done
