#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Our attributes can be asked for and are never listed; the image's own are listed and copied.
. "$(dirname "$0")/../lib.sh"
need_root
need getfattr jq python3

mnt=$work/mnt
mount_imgfs "oci:$(demo_layout)" "$mnt"
image=$mnt/1.1/linux_amd64

assert_eq "$(attribute digest "$mnt/1.1")" "$(<"$mnt/1.1/digest")" "digest of a tag"
assert_eq "$(attribute digest "$image/manifest.json")" "$(<"$image/digest")" "digest of a manifest"
assert_eq "$(attribute media_type "$image/manifest.json")" \
	application/vnd.oci.image.manifest.v1+json "media type"
assert_eq "$(attribute platform "$mnt/1.1/linux_arm_v7")" linux/arm/v7 "platform"
layer=$(echo "$image"/layers/02-*)
assert_eq "$(attribute diff_id "$layer")" "$(json "$image/config.json" '.rootfs.diff_ids[1]')" diff_id
assert_eq "$(attribute state "$layer")" unfetched "state before"
find "$layer/diff" >"$work/stdout"
[[ $(attribute state "$layer") =~ ^(indexed|cached)$ ]] || fail "state after: $(attribute state "$layer")"

# Which layer a file comes from.
from() { basename "$(attribute layer "$image/rootfs/$1")"; }
for row in "bin/busybox 01" "app/table.txt 02" "etc/os-release 03" "etc/app/app.conf 04"; do
	read -r path n <<<"$row"
	digest=$(json "$image/manifest.json" ".layers[$((10#$n - 1))].digest")
	assert_contains "$(from "$path")" "${digest:7:12}" "layer of $path"
done
assert_contains "$(attribute created_by "$image/rootfs/app/readme")" "COPY app /app" created_by
assert_contains "$(attribute converted "$image/docker/manifest.json")" oci "converted"

# Listed: the image's, exactly.
list() { getfattr --absolute-names -h -m - "$1" | grep -v '^#' | grep . || true; }
assert_eq "$(list "$image/rootfs/app/readme" | paste -s -d ' ')" "user.origin user.reviewed" "listed"
assert_eq "$(list "$image/rootfs/app/bin/ping")" security.capability "listed capability"
assert_eq "$(getfattr --only-values -n user.origin "$image/rootfs/app/readme")" demo "user.origin"
for path in "$mnt/1.1" "$image/manifest.json" "$layer" "$layer/layer.tar.gz" \
	"$image/rootfs/etc/os-release"; do
	assert_eq "$(list "$path")" "" "attributes listed of $path"
done
cp -a "$image/rootfs/app/readme" "$work/copy"
assert_eq "$(list "$work/copy" | paste -s -d ' ')" "user.origin user.reviewed" "copied"

assert_fails "No such attribute" getfattr -n user.imgfs.nonsense "$image/manifest.json"
# ls -l asks each entry for these unless it is told that they do not exist here.
assert_fails "not supported" getfattr -h -n system.posix_acl_access "$image/rootfs/etc/passwd"
before=$(counter "$mnt" .fuse.getxattr)
ls -lR "$image/rootfs" >"$work/stdout"
asked=$(($(counter "$mnt" .fuse.getxattr) - before))
((asked < 60)) || fail "ls -lR asked for $asked attributes"

# A door has the attributes of the root behind it when somebody has been inside; before, asking fetches nothing.
python - "$work/layout" <<'END'
import sys
from ocilayout import Layout, Tar
layout, tar = Layout(sys.argv[1]), Tar()
tar.directory("./", xattrs={"user.of.root": "yes"})
tar.file("file", "")
layout.tag("1.0", layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"}))
layout.close()
END
mount_imgfs "oci:$work/layout" "$work/root"
image=$work/root/1.0/linux_amd64
layer=$(echo "$image"/layers/01-*)
for door in "$image/rootfs" "$layer/diff"; do
	assert_fails "No such attribute" getfattr -n user.of.root "$door"
	assert_eq "$(list "$door")" "" "attributes listed of a door"
done
assert_eq "$(attribute state "$layer")" unfetched "state after asking doors"
ls "$image/rootfs" "$layer/diff" >"$work/stdout"
for door in "$image/rootfs" "$layer/diff"; do
	assert_eq "$(getfattr --absolute-names --only-values -n user.of.root "$door")" yes "an attribute of an open door"
	assert_eq "$(list "$door")" user.of.root "attributes listed of an open door"
done
