#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What was read once stays readable without its registry, in this mount and in later ones.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo jq

demo=$(demo_layout)
start_registry
push "$demo" 1.0 team/app:1.0
push "$demo" 1.1 team/app:1.1
mnt=$work/mnt
everything() {
	"$tests/compare-trees.py" --nanoseconds "$mnt/1.1/linux_amd64/rootfs" \
		"$work/demo/1.1/linux_amd64/rootfs" >&2 || fail "$1"
	(cd "$mnt/1.1/linux_amd64" && sha256sum manifest.json config.json history.txt \
		layers/*/layer.tar.gz layers/*/layer.tar oci/manifest.json docker/manifest.json) >"$work/$1"
}

mount_imgfs "oci:$demo" "$work/demo"
mount_imgfs "docker://$registry/team/app" "$mnt"
everything first
# Cached only: 1.0's own top layer has never been asked for.
end_process "$registry_pid"
everything second
assert_same_file "$work/first" "$work/second"
unmount "$mnt"

mount_imgfs "docker://$registry/team/app" "$mnt" offline
everything third
assert_same_file "$work/first" "$work/third"
assert_eq "$(counter "$mnt" .http_requests)" 0 "requests while offline"
top=$(echo "$work"/demo/1.0/linux_amd64/layers/03-*)
assert_fails "Network is unreachable" \
	cat "$mnt/.imgfs/blobs/sha256/$(sha256 "$top/layer.tar.gz")"
unmount "$mnt"

# A cache that was damaged on disk is noticed, and no wrong byte comes out of it.
blob=$(find "$cache/blobs" -type f -size +100k | head -n 1)
[[ -n $blob ]] || fail "no blob in the cache"
printf 'XXXX' | dd of="$blob" bs=1 seek=70000 conv=notrunc status=none
rm -rf "$cache/index"
mount_imgfs "docker://$registry/team/app" "$mnt" offline
if cat "$mnt"/1.1/linux_amd64/layers/*/layer.tar.gz >"$work/stdout" 2>"$work/stderr"; then
	fail "a damaged blob was served"
fi
