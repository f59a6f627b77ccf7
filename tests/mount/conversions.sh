#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The flavours of outside images are, byte for byte, what skopeo pushed for them.
. "$(dirname "$0")/../lib.sh"
need_fixtures
need jq python3

manifests=$IMGFS_FIXTURES/manifests
recorded=$manifests/conversions

mount_imgfs "oci:$manifests/layouts/basic" "$work/basic"
assert_same_file "$work/basic/basic/linux_amd64/docker/manifest.json" \
	"$recorded/basic.from-oci.v2s2.manifest.json"
jq -S . "$work/basic/basic/linux_amd64/oci/manifest.json" >"$work/a"
jq -S . "$recorded/basic.from-oci.oci.manifest.json" >"$work/b"
assert_same_file "$work/a" "$work/b"

mount_imgfs "oci:$manifests/layouts/multi" "$work/multi"
jq -S . "$work/multi/multi-noatt/docker/manifest.json" >"$work/a"
jq -S . "$recorded/multi.multi-noatt.reg.v2s2.index.json" >"$work/b"
assert_same_file "$work/a" "$work/b"
# Attestations are no platforms.
assert_eq "$(find "$work/multi/multi" -mindepth 1 -maxdepth 1 -name '*unknown*' | wc -l)" 0 \
	"attestations among the platforms"

# Recorded manifests alone, in a layout: their layers need not exist to be converted.
python - "$work/layout" "$manifests" <<'END'
import json, os, shutil, sys
from ocilayout import DOCKER, OCI, Layout

layout, manifests = Layout(sys.argv[1]), sys.argv[2]
def read(*path):
    with open(os.path.join(manifests, *path), "rb") as source:
        return source.read()
layout.put(read("conversions", "basic.from-oci.v2s2.config.json"))
layout.tag("s2", {"mediaType": DOCKER["manifest"],
                  **layout.put(read("conversions", "basic.from-oci.v2s2.manifest.json"))})
layout.put(read("containers-image", "oci1-config.json"))
layout.tag("oci1", {"mediaType": OCI["manifest"],
                    **layout.put(read("containers-image", "oci1.json"))})
layout.close()
END
mount_imgfs "oci:$work/layout" "$work/alone"
# To OCI we keep the config's bytes, where skopeo rewrites them: the rest is equal.
jq -S 'del(.config.digest, .config.size)' "$work/alone/s2/linux_amd64/oci/manifest.json" >"$work/a"
jq -S 'del(.config.digest, .config.size)' "$recorded/basic.from-v2s2.oci.manifest.json" >"$work/b"
assert_same_file "$work/a" "$work/b"
assert_eq "$(json "$work/alone/s2/linux_amd64/oci/manifest.json" .config.digest)" \
	"$(json "$work/alone/s2/linux_amd64/manifest.json" .config.digest)" "the config's digest"
jq -S '[.layers[] | {digest, size, mediaType}]' \
	"$work"/alone/oci1/linux_*/docker/manifest.json >"$work/a"
jq -S '[.layers[] | {digest, size, mediaType}]' \
	"$manifests/containers-image/oci1-to-schema2.json" >"$work/b"
assert_same_file "$work/a" "$work/b"
