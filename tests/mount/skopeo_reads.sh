#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each flavour is a complete image that other tools open in place, and a copy of it is one too.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo umoci jq

layout=$(demo_layout)
mnt=$work/mnt
mount_imgfs "oci:$layout" "$mnt"
image=$mnt/1.0/linux_amd64

skopeo --override-os linux --override-arch amd64 inspect "oci:$mnt/1.0/oci:1.0" >"$work/inspect"
assert_eq "$(json "$work/inspect" '.Labels["org.opencontainers.image.version"]')" 1.0 "label"
skopeo inspect "oci:$image/oci" >"$work/inspect-one"
assert_eq "$(json "$work/inspect-one" .Architecture)" amd64 "architecture"

skopeo copy -q "oci:$image/oci" "dir:$work/out-oci"
assert_same_file "$work/out-oci/manifest.json" "$image/manifest.json"
skopeo copy -q "dir:$image/docker" "dir:$work/out-docker"
assert_eq "$(json "$work/out-docker/manifest.json" .mediaType)" \
	application/vnd.docker.distribution.manifest.v2+json "a copy of docker/"
assert_same_file "$work/out-docker/manifest.json" "$image/docker/manifest.json"
# All platforms at once.
skopeo copy -q --all "oci:$mnt/1.0/oci:1.0" "oci:$work/all:1.0"
assert_same_file "$work/all/blobs/sha256/$(cut -d : -f 2 "$mnt/1.0/digest")" "$mnt/1.0/index.json"
skopeo copy -q --all "dir:$mnt/1.0/docker" "dir:$work/all-docker"
assert_eq "$(find "$work/all-docker" -name '*.manifest.json' | wc -l)" 3 "platforms in docker/"

# cp makes an image, too.
cp -r "$mnt/1.1/oci" "$work/saved"
skopeo --override-os linux --override-arch amd64 copy -q "oci:$work/saved:1.1" "dir:$work/out-saved"
assert_same_file "$work/out-saved/manifest.json" "$mnt/1.1/linux_amd64/manifest.json"

umoci unpack --image "$image/oci:1.0" "$work/bundle" >"$work/umoci.log" 2>&1 ||
	fail "umoci: $(tail -n 3 "$work/umoci.log")"
"$tests/compare-trees.py" --skip-root "$work/bundle/rootfs" "$image/rootfs" >&2 || fail "umoci"

# A platform that is not this machine's is an image like any other.
skopeo copy -q "dir:$mnt/1.0/linux_arm_v7/docker" "dir:$work/out-arm"
assert_eq "$(skopeo inspect --config "dir:$work/out-arm" | jq -r .variant)" v7 "variant"
