#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A layout's names at each level: tags, platforms, layers, and what is reachable but not listed.
. "$(dirname "$0")/../lib.sh"
need jq

layout=$(demo_layout)
mnt=$work/mnt
mount_imgfs "oci:$layout" "$mnt"

assert_eq "$(names "$mnt")" "1.0 1.1 docker latest plain zstd" "tags"
assert_eq "$(names "$mnt/1.0")" \
	"digest docker index.json linux_amd64 linux_arm64 linux_arm_v7 oci" "an index's tag"
# A tag that points straight at a manifest has a platform level too.
assert_eq "$(names "$mnt/plain")" "digest docker linux_amd64 manifest.json oci" "a manifest's tag"
image=$mnt/1.0/linux_amd64
assert_eq "$(names "$image")" \
	"config.json digest docker history.txt layers manifest.json oci rootfs" "an image"
assert_eq "$(names "$image/layers" | wc -w)" 3 "layers of 1.0"
assert_eq "$(names "$mnt/1.1/linux_amd64/layers" | wc -w)" 4 "layers of 1.1"

n=0
while read -r digest; do
	n=$((n + 1))
	hex=${digest#sha256:}
	layer=$image/layers/$(printf '%02d-%.12s' "$n" "$hex")
	assert_eq "$(names "$layer")" "diff info.json layer.tar.gz" "layer $n"
	[[ -f $layer/layer.tar && -f $layer/changes.txt ]] || fail "unlisted files of layer $n"
	jq -e . "$layer/info.json" >/dev/null
done < <(jq -r '.layers[].digest' "$image/manifest.json")

[[ -f $(echo "$mnt"/zstd/linux_amd64/layers/01-*/layer.tar.zst) ]] || fail "no layer.tar.zst"
[[ -f $(echo "$mnt"/plain/linux_amd64/layers/01-*/layer.tar) ]] || fail "no layer.tar"
assert_eq "$(names "$mnt/plain/linux_amd64/layers" | wc -w)" 3 "layers of plain"

assert_eq "$(names "$mnt/1.0/oci")" "blobs index.json oci-layout" "oci/ of an index"
assert_contains "$(names "$image/oci")" "blobs index.json" "oci/ of an image"
assert_contains "$(names "$image/docker")" "manifest.json version" "docker/ of an image"

# What the tags point at, from the layout's own index.
while read -r tag digest; do
	assert_eq "$(<"$mnt/$tag/digest")" "$digest" "digest of $tag"
done < <(jq -r '.manifests[] | "\(.annotations["org.opencontainers.image.ref.name"]) \(.digest)"' \
	"$layout/index.json")
assert_eq "$(<"$mnt/latest/digest")" "$(<"$mnt/1.1/digest")" "latest"

# Control files: there, not listed, and of exact size.
for name in status stats.json metrics log source options version pid; do
	[[ -f $mnt/.imgfs/$name ]] || fail ".imgfs/$name is missing"
done
for name in source options version pid; do
	assert_eq "$(wc -c <"$mnt/.imgfs/$name")" "$(stat -c %s "$mnt/.imgfs/$name")" "size of $name"
done
assert_eq "$(json "$mnt/.imgfs/stats.json" .schema)" 1 "schema of stats.json"
hex=$(<"$mnt/1.0/digest")
assert_same_file "$mnt/.imgfs/blobs/sha256/${hex#sha256:}" "$mnt/1.0/index.json"
[[ -d $mnt/.imgfs/digests/sha256/${hex#sha256:}/linux_amd64 ]] || fail ".imgfs/digests"

# The config's history, one line for each entry, base first.
assert_eq "$(wc -l <"$image/history.txt")" "$(jq '.history | length' "$image/config.json")" history
assert_contains "$(head -n 1 "$image/history.txt")" "ADD base.tar" "first line of history.txt"

assert_fails "No such file" ls "$mnt/no-such-tag"
assert_fails "No such file" ls "$mnt/.git"
assert_fails "No such file" ls "$mnt/1.0/linux_riscv64"
