#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# "dir:" images as skopeo leaves them: one image or several platforms, of any schema, whole or not.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo jq getfattr

forms=$(generations)
demo=$(demo_layout)

# ---- one image --------------------------------------------------------------------------------

cp -r "$forms/schema1" "$work/schema1"
mount_imgfs "dir:$work/schema1" "$work/one"
assert_eq "$(names "$work/one")" "digest docker linux_amd64 manifest.json oci" "one image"
expected=$work/one/linux_amd64/rootfs
assert_eq "$(attribute signature "$work/one/manifest.json")" \
	"valid $(json "$work/schema1/manifest.json" '.signatures[0].header.jwk.kid')" "signature"

# A signature that is not of this text: said so, and no more than that; the payload names the image.
cp -r "$forms/schema1" "$work/invalid"
signature=$(json "$work/invalid/manifest.json" '.signatures[0].signature')
sed -i "s/$signature/$(rev <<<"$signature" | tr -d '\n')/" "$work/invalid/manifest.json"
mount_imgfs "dir:$work/invalid" "$work/invalid-mnt"
assert_eq "$(attribute signature "$work/invalid-mnt/manifest.json" |
	cut -d ' ' -f 1)" invalid "a wrong signature"
assert_eq "$(<"$work/invalid-mnt/digest")" "$(<"$work/one/digest")" "digest in spite of it"
same_trees "$expected" "$work/invalid-mnt/linux_amd64/rootfs"

# What stands behind the signed part is not believed.
cp -r "$forms/schema1" "$work/behind"
sed -i 's/}$/,"fsLayers":[],"history":[]}/' "$work/behind/manifest.json"
jq -e '.fsLayers == []' "$work/behind/manifest.json" >"$work/stdout"
mount_imgfs "dir:$work/behind" "$work/behind-mnt"
assert_eq "$(<"$work/behind-mnt/digest")" "$(<"$work/one/digest")" "digest of what was signed"
same_trees "$expected" "$work/behind-mnt/linux_amd64/rootfs"

# ---- several platforms ------------------------------------------------------------------------

for format in oci v2s2; do
	skopeo copy -q --all --format "$format" "oci:$demo:1.0" "dir:$work/$format"
	mount_imgfs "dir:$work/$format" "$work/$format-mnt"
	assert_eq "$(names "$work/$format-mnt")" \
		"digest docker index.json linux_amd64 linux_arm64 linux_arm_v7 oci" "an index as $format"
	assert_same_file "$work/$format-mnt/index.json" "$work/$format/manifest.json"
	assert_eq "$(<"$work/$format-mnt/digest")" "sha256:$(sha256 "$work/$format/manifest.json")" \
		"digest of an index as $format"
done
mount_imgfs "oci:$demo" "$work/demo"
for platform in linux_amd64 linux_arm64 linux_arm_v7; do
	"$tests/compare-trees.py" --nanoseconds "$work/demo/1.0/$platform/rootfs" \
		"$work/v2s2-mnt/$platform/rootfs" >&2 || fail "$platform"
done
assert_same_file "$work/v2s2-mnt/docker/manifest.json" "$work/v2s2/manifest.json"
mount_imgfs "dir:$work/v2s2" "$work/arm" platform=linux/arm/v7
assert_same_file "$work/arm/manifest.json" "$work/v2s2-mnt/linux_arm_v7/manifest.json"
mount_imgfs "dir:$work/v2s2" "$work/rootfs" rootfs,platform=linux/amd64
"$tests/compare-trees.py" --nanoseconds "$work/demo/1.0/linux_amd64/rootfs" "$work/rootfs" >&2 ||
	fail "-o rootfs"

# What we show as docker/ is such an image itself.
mount_imgfs "dir:$work/demo/1.1/docker" "$work/again"
assert_same_file "$work/again/index.json" "$work/demo/1.1/docker/manifest.json"
"$tests/compare-trees.py" --nanoseconds "$work/demo/1.1/linux_amd64/rootfs" \
	"$work/again/linux_amd64/rootfs" >&2 || fail "a mount of a mount"

# ---- not whole --------------------------------------------------------------------------------

# A layer less: an error where it is missing, all else is there.
cp -r "$forms/schema2" "$work/less"
hex=$(json "$work/less/manifest.json" '.layers[2].digest' | cut -d : -f 2)
rm "$work/less/$hex"
mount_imgfs "dir:$work/less" "$work/less-mnt"
image=$work/less-mnt/linux_amd64
assert_fails "Input/output error" ls "$image/rootfs"
ls "$image"/layers/01-*/diff "$image"/layers/02-*/diff >"$work/stdout"
cat "$image/config.json" "$image/manifest.json" "$image/history.txt" >"$work/stdout"

# A layer that is another one: found when it is indexed, and with an index when it is read.
cp -r "$forms/schema2" "$work/other"
printf X | dd of="$work/other/$hex" bs=1 seek=100 conv=notrunc status=none
mount_imgfs "dir:$work/other" "$work/indexed-mnt"
assert_fails "Bad message" cat "$work/indexed-mnt/linux_amd64/rootfs/srv/readme"
with_index=$cache
cache=$work/cache-empty
mount_imgfs "dir:$work/other" "$work/other-mnt"
assert_fails "Bad message" ls "$work/other-mnt/linux_amd64/rootfs"
ls "$work/other-mnt"/linux_amd64/layers/01-*/diff >"$work/stdout"
cache=$with_index

# Links lead to other files of the image, never out of it.
cp -r "$forms/schema2" "$work/linked"
mv "$work/linked/$hex" "$work/linked/moved"
ln -s moved "$work/linked/$hex"
mount_imgfs "dir:$work/linked" "$work/linked-mnt"
same_trees "$expected" "$work/linked-mnt/linux_amd64/rootfs"
cp -r "$forms/schema2" "$work/outward"
mv "$work/outward/$hex" "$work/outside"
ln -s ../outside "$work/outward/$hex"
mount_imgfs "dir:$work/outward" "$work/outward-mnt"
! ls "$work/outward-mnt/linux_amd64/rootfs" >"$work/stdout" 2>&1 || fail "a link led out of the image"

mkdir "$work/nothing"
assert_eq "$(exit_code "$IMGFS" "dir:$work/nothing" "$work/again" -o "cache_dir=$cache")" 32 \
	"an empty directory"
