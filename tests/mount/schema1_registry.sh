#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A registry that has schema 1 only, and signs it anew each time it is asked: one digest, one body, the
# same tree, and both flavours, for which each layer is fetched once.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo umoci curl jq getfattr

forms=$(generations)
mount_imgfs "oci:$forms/oci" "$work/oci"
expected=$work/oci/1.0/linux_amd64

signature() { attribute signature "$1/manifest.json"; }
newest() { jq -j '.history[0].v1Compatibility' "$1"; }

# ---- a real registry --------------------------------------------------------------------------

start_registry
push "$forms/oci" 1.0 team/app:1.0 --format v2s1
mount_imgfs "docker://$registry/team/app" "$work/mnt"
tag=$work/mnt/1.0
image=$tag/linux_amd64
skopeo inspect --tls-verify=false "docker://$registry/team/app:1.0" >"$work/inspect.json"
assert_eq "$(<"$tag/digest")" "$(json "$work/inspect.json" .Digest)" "digest, as skopeo has it"
assert_eq "$(<"$image/digest")" "$(<"$tag/digest")" "digest of the one platform"
assert_eq "$(names "$tag")" "digest docker linux_amd64 manifest.json oci" "names"

# Each GET is signed anew; what was read once stays.
for n in 1 2; do
	skopeo inspect --raw --tls-verify=false "docker://$registry/team/app:1.0" >"$work/get-$n"
	cat "$tag/manifest.json" >"$work/read-$n"
done
! cmp -s "$work/get-1" "$work/get-2" || fail "this registry does not sign anew"
assert_same_file "$work/read-1" "$work/read-2"
assert_eq "$(stat -c %s "$tag/manifest.json")" "$(wc -c <"$work/read-1")" "size of manifest.json"
assert_same_file "$image/manifest.json" "$work/read-1"
unmount "$work/mnt"
mount_imgfs "docker://$registry/team/app" "$work/mnt"
assert_same_file "$tag/manifest.json" "$work/read-1"

assert_eq "$(signature "$tag")" "valid $(json "$work/read-1" '.signatures[0].header.jwk.kid')" \
	"signature"
newest "$work/read-1" >"$work/newest.json"
assert_same_file "$image/config.json" "$work/newest.json"

same_trees "$expected/rootfs" "$image/rootfs"
skopeo copy -q "oci:$image/oci" "dir:$work/from-oci"
skopeo copy -q "dir:$image/docker" "dir:$work/from-docker"
umoci_unpack "$image/oci" "$work/bundle"
"$tests/compare-trees.py" --skip-root "$work/bundle/rootfs" "$image/rootfs" >&2 || fail "umoci"
# Skopeo converts it likewise: the same manifest and the same config, to the byte.
skopeo copy -q --src-tls-verify=false --format v2s2 "docker://$registry/team/app:1.0" \
	"dir:$work/converted"
assert_same_file "$image/docker/manifest.json" "$work/converted/manifest.json"
hex=$(config_digest "$work/converted" | cut -d : -f 2)
assert_same_file "$image/docker/$hex" "$work/converted/$hex"

# ---- what it costs ----------------------------------------------------------------------------

start_faultregistry --schema1 "team/app=$forms/oci"
layers=$(json "$expected/manifest.json" '.layers[].digest' | sort -u)
blob_requests() { requests '[.paths | to_entries[] | select(.key | test("/blobs/"))
	| .value.methods.GET // 0] | add // 0'; }
each_layer_once() { # WHAT
	local digest
	for digest in $layers; do
		assert_eq "$(requests ".paths[\"/v2/team/app/blobs/$digest\"].methods.GET // 0")" 1 \
			"GETs of $digest after $1"
	done
}

cache=$work/cache-counted
mount_imgfs "docker://$registry/team/app" "$work/counted"
for tag in "$work/counted/1.0.v1" "$work/counted/1.0.v1u"; do
	ls -l "$tag" "$tag/linux_amd64" >"$work/stdout"
	cat "$tag/digest" "$tag/manifest.json" "$tag/linux_amd64/config.json" >"$work/stdout"
done
assert_eq "$(blob_requests)" 0 "blobs for looking at an image"

image=$work/counted/1.0.v1/linux_amd64
ls -l "$image/docker" >"$work/stdout"
each_layer_once "ls docker"
ls -l "$image/oci/blobs/sha256" >"$work/stdout"
cat "$image/docker/manifest.json" "$image/oci/manifest.json" >"$work/stdout"
find "$image/rootfs" -type f -exec cat {} + >/dev/null
ls -l "$work/counted/1.0.v1u/linux_amd64/docker" >"$work/stdout"
each_layer_once "all the rest"
same_trees "$expected/rootfs" "$image/rootfs"
same_trees "$expected/rootfs" "$work/counted/1.0.v1u/linux_amd64/rootfs"

# Unsigned, its digest is that of its bytes; signed, of what the unsigned one would be.
unsigned=$work/counted/1.0.v1u
assert_eq "$(signature "$unsigned")" unsigned "signature"
assert_eq "$(<"$unsigned/digest")" "sha256:$(sha256 "$unsigned/manifest.json")" "unsigned digest"
for tag in 1.0.v1 1.0.v1u; do
	assert_eq "$(<"$work/counted/$tag/digest")" \
		"$(curl -sfI "$fault/v2/team/app/manifests/$tag" | tr -d '\r' |
			sed -n 's/^docker-content-digest: //Ip')" "digest of $tag, as the registry has it"
done
assert_contains "$(signature "$work/counted/1.0.v1")" "valid " "signature"
