#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which flavours an image has: none where it cannot be said in one, without harm to what lies beside it;
# where it can, the bytes that skopeo would push, the same in every mount.
. "$(dirname "$0")/../lib.sh"
need skopeo jq python3 getfattr

forms=$(generations)
demo=$(demo_layout)
schema2=application/vnd.docker.distribution.manifest.v2+json

# ---- what Docker has no word for --------------------------------------------------------------

python - "$work/layout" <<'END'
import sys
from ocilayout import OCI, Layout, Tar, compact

layout = Layout(sys.argv[1])
AMD64 = {"architecture": "amd64", "os": "linux"}
tar = Tar()
tar.file("fine", "fine\n")
layer = layout.layer(tar.bytes())
image = layout.image([layer], AMD64)
layout.tag("good", image)

encrypted = ({**layer[0], "mediaType": OCI["gzip"] + "+encrypted"}, layer[1])
layout.tag("encrypted", layout.image([encrypted], AMD64))

def artifact(artifact_type, data, **more):
    manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"], "artifactType": artifact_type,
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", **layout.put(b"{}")},
                "layers": [{"mediaType": "text/plain", **layout.put(data)}], **more}
    return {"mediaType": OCI["manifest"], **layout.put(compact(manifest))}

layout.tag("artifact", artifact("application/vnd.example", b"hello\n"))
attestation = {**artifact("application/vnd.in-toto+json", b"{}"),
               "platform": {"architecture": "unknown", "os": "unknown"},
               "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                               "vnd.docker.reference.digest": image["digest"]}}
layout.tag("attested", layout.index([image, attestation]))
layout.tag("half", layout.index([
    {**layout.image([encrypted], AMD64), "platform": {"architecture": "arm64", "os": "linux"}},
    image]))
layout.close()

# Nothing in it can be said for Docker; who looks at every way there never comes to an end.
layout = Layout(sys.argv[1] + "-bomb")
bomb = artifact("application/vnd.example", b"no image\n")
for _ in range(3):
    bomb = layout.index([{**bomb, "mediaType": OCI["manifest"], "platform": AMD64}] * 3000)
layout.tag("bomb", bomb)
layout.tag("good", layout.image([layout.layer(tar.bytes())], AMD64))
layout.close()
END
mount_imgfs "oci:$work/layout" "$work/mnt"
attestation=$(jq -r '.manifests[1].digest' "$work/mnt/attested/index.json")

no_docker() { # DIRECTORY
	assert_contains " $(names "$1") " " oci " "$1"
	[[ " $(names "$1") " != *" docker "* ]] || fail "docker/ is listed in $1"
	assert_fails "not supported" ls "$1/docker"
	assert_fails "not supported" cat "$1/docker/manifest.json"
	assert_eq "$(cat "$work/mnt/good/linux_amd64/rootfs/fine")" fine "the neighbour of $1"
	assert_eq "$(json "$work/mnt/good/docker/manifest.json" .mediaType)" "$schema2" \
		"docker/ of the neighbour of $1"
}
no_docker "$work/mnt/artifact"
no_docker "$work/mnt/encrypted"
no_docker "$work/mnt/encrypted/linux_amd64"
assert_fails "not supported" ls "$work/mnt/encrypted/linux_amd64/docker.tar"

# An index goes without what it cannot keep, and says so.
for tag in attested half; do
	docker=$work/mnt/$tag/docker
	assert_eq "$(json "$docker/manifest.json" '.manifests | length')" 1 "manifests of $tag"
	assert_eq "$(json "$docker/manifest.json" '.manifests[0].platform.architecture')" amd64 \
		"the platform left in $tag"
	skopeo copy -q --all "dir:$docker" "dir:$work/copy-$tag"
done
assert_contains "$(attribute converted "$work/mnt/attested/docker/manifest.json")" \
	"${attestation:0:19}" "what was left out"
# Of what was left out nothing is left: manifest, config, layer.
assert_eq "$(names "$work/mnt/half/docker" | wc -w)" 5 "files in docker/ of half an index"
no_docker "$work/mnt/half/linux_arm64"
[[ -d $work/mnt/half/linux_amd64/docker ]] || fail "docker/ of a sibling"

mount_imgfs "oci:$work/layout-bomb" "$work/bomb"
assert_fails "File too large" timeout -s KILL 60 cat "$work/bomb/bomb/docker/manifest.json"
assert_eq "$(timeout -s KILL 60 cat "$work/bomb/good/linux_amd64/rootfs/fine")" fine \
	"the neighbour of a bomb"

# ---- schema 1 ---------------------------------------------------------------------------------

mount_imgfs "oci:$forms/oci" "$work/oci"
mount_imgfs "dir:$forms/schema2" "$work/schema2"
for image in "$work/oci/1.0/linux_amd64" "$work/schema2/linux_amd64"; do
	[[ " $(names "$image") " != *" schema1 "* ]] || fail "schema1 is listed in $image"
	schema1=$image/schema1
	skopeo inspect "dir:$schema1" >"$work/inspect.json" || fail "skopeo inspect dir:$schema1"
	assert_eq "$(json "$work/inspect.json" .Architecture)" amd64 "architecture in schema 1"
	assert_eq "$(json "$schema1/manifest.json" .schemaVersion)" 1 "schemaVersion"
	# Skopeo writes the same history, with the same ids, but for the tag and its signature.
	for part in .architecture .fsLayers '[.history[].v1Compatibility | fromjson]'; do
		jq -S "$part" "$schema1/manifest.json" >"$work/a"
		jq -S "$part" "$forms/schema1/manifest.json" >"$work/b"
		diff "$work/a" "$work/b" >&2 || fail "$part of $schema1"
	done
done
# With its blobs, of which the one for steps without a change is made up, it is an image.
skopeo copy -q "dir:$work/oci/1.0/linux_amd64/schema1" "dir:$work/copy-schema1"

# ---- the bytes that skopeo pushes -------------------------------------------------------------

assert_same_file "$work/oci/1.0/docker/manifest.json" "$forms/schema2/manifest.json"
assert_same_file "$work/schema2/docker/manifest.json" "$forms/schema2/manifest.json"
mount_imgfs "oci:$demo" "$work/demo"
skopeo copy -q --all --format v2s2 "oci:$demo:1.0" "dir:$work/list"
assert_same_file "$work/demo/1.0/docker/manifest.json" "$work/list/manifest.json"
for manifest in "$work"/list/*.manifest.json; do
	assert_same_file "$work/demo/1.0/docker/$(basename "$manifest")" "$manifest"
done
# To OCI we keep the config's bytes, where skopeo rewrites them: the rest is equal.
skopeo copy -q --format oci "dir:$forms/schema2" "dir:$work/back"
jq -S 'del(.config.digest, .config.size)' "$work/back/manifest.json" >"$work/a"
jq -S 'del(.config.digest, .config.size)' "$work/schema2/linux_amd64/oci/manifest.json" >"$work/b"
assert_same_file "$work/a" "$work/b"

# Recorded from outside images; they are in conversions.sh, too, as flavours of layouts.
if [[ -d ${IMGFS_FIXTURES:=$repository/../shared/fixtures}/manifests/layouts/multi ]]; then
	manifests=$IMGFS_FIXTURES/manifests
	mount_imgfs "oci:$manifests/layouts/multi" "$work/multi"
	assert_contains "$(attribute converted "$work/multi/multi/docker/manifest.json")" \
		"sha256:35f664846309" "attestations of an outside image"
	# The same platforms without and with attestations.
	jq -S .manifests "$work/multi/multi/docker/manifest.json" >"$work/a"
	jq -S .manifests "$work/multi/multi-noatt/docker/manifest.json" >"$work/b"
	assert_same_file "$work/a" "$work/b"
	cp -r "$manifests/conversions/schema1-legacy/src/throwaway" "$work/throwaway"
	mount_imgfs "dir:$work/throwaway" "$work/legacy"
	recorded=$manifests/conversions/schema1-legacy/out/throwaway.v2s2
	for part in .layers[].digest .config.digest; do
		assert_eq "$(json "$work/legacy/linux_amd64/docker/manifest.json" "$part")" \
			"$(json "$recorded/manifest.json" "$part")" "$part of schema 1"
	done
	hex=$(config_digest "$recorded" | cut -d : -f 2)
	assert_same_file "$work/legacy/linux_amd64/docker/$hex" "$recorded/config.json"
fi

# ---- two mounts, nothing shared ---------------------------------------------------------------

digests() { # SOURCE NAME: of everything that says what an image is
	cache=$work/cache-$2
	mount_imgfs "$1" "$work/$2"
	(cd "$work/$2" && find . \( -name rootfs -o -name layers \) -prune -o \
		-type f \( -name digest -o -name '*.json' \) -exec sha256sum {} + | LC_ALL=C sort -k 2)
}
for source in "oci:$demo" "dir:$forms/schema1" "docker-archive:$forms/docker-archive.tar" \
	"docker-archive:$forms/v1.tar" "dir:$forms/schema2"; do
	digests "$source" first >"$work/a"
	unmount "$work/first"
	digests "$source" second >"$work/b"
	unmount "$work/second"
	[[ -s $work/a ]] || fail "nothing in $source"
	diff "$work/a" "$work/b" >&2 || fail "two mounts of $source differ"
	rm -rf "$work/cache-first" "$work/cache-second"
done
