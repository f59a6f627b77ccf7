#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A registry shows what was pushed to it: as a registry, as a repository, as one image.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo jq

demo=$(demo_layout)
debian=$(debian_layout)
start_registry
push "$demo" 1.0 team/app:1.0
push "$demo" 1.1 team/app:1.1
push "$demo" 1.1 team/app:latest
push "$demo" zstd team/app/cache:zstd
push "$debian" a os/debian:a
push "$debian" b os/debian:b

mount_imgfs "oci:$demo" "$work/demo"
mount_imgfs "oci:$debian" "$work/debian"

mount_imgfs "docker://$registry/" "$work/all"
assert_eq "$(names "$work/all")" "os team" "repositories"
assert_eq "$(names "$work/all/team/app")" "_tags cache" "a repository with one below it"
assert_eq "$(names "$work/all/team/app/_tags")" "1.0 1.1 latest" "tags"
assert_eq "$(names "$work/all/team/app/cache/_tags")" zstd "tags of the nested repository"
tags=$work/all/team/app/_tags
digest=$(<"$tags/1.0/digest")
assert_same_file "$tags/1.0/index.json" <(skopeo inspect --raw --tls-verify=false \
	"docker://$registry/team/app:1.0")
[[ -d $work/all/team/app/_digests/sha256/${digest#sha256:}/linux_amd64 ]] || fail "_digests"

for image in {1.0,1.1}/{linux_amd64,linux_arm64,linux_arm_v7}; do
	assert_same_file "$tags/$image/manifest.json" "$work/demo/$image/manifest.json"
	assert_same_file "$tags/$image/history.txt" "$work/demo/$image/history.txt"
	"$tests/compare-trees.py" --nanoseconds "$tags/$image/rootfs" "$work/demo/$image/rootfs" >&2 ||
		fail "$image"
done
"$tests/compare-trees.py" --nanoseconds "$work/all/os/debian/_tags/a/linux_amd64/rootfs" \
	"$work/debian/a/linux_amd64/rootfs" >&2 || fail "debian"
"$tests/compare-trees.py" --nanoseconds "$work/all/team/app/cache/_tags/zstd/linux_amd64/rootfs" \
	"$work/demo/zstd/linux_amd64/rootfs" >&2 || fail "zstd"

mount_imgfs "docker://$registry/team/" "$work/namespace"
assert_eq "$(names "$work/namespace")" app "a namespace"

mount_imgfs "docker://$registry/team/app" "$work/repository"
assert_eq "$(names "$work/repository")" "1.0 1.1 latest" "a repository"
assert_eq "$(<"$work/repository/latest/digest")" "$(<"$work/demo/1.1/digest")" "latest"

mount_imgfs "docker://$registry/team/app:1.0" "$work/image"
assert_eq "$(names "$work/image")" \
	"digest docker index.json linux_amd64 linux_arm64 linux_arm_v7 oci" "an image"
mount_imgfs "docker://$registry/team/app@$digest" "$work/by-digest"
assert_same_file "$work/by-digest/index.json" "$work/image/index.json"
mount_imgfs "docker://$registry/team/app:1.0" "$work/rootfs" rootfs,platform=linux/amd64
assert_same_file "$work/rootfs/etc/os-release" "$work/image/linux_amd64/rootfs/etc/os-release"
mount_imgfs "docker://$registry/team/app:1.0" "$work/arm" platform=linux/arm/v7
assert_same_file "$work/arm/manifest.json" "$work/image/linux_arm_v7/manifest.json"

# A tag that moved is seen after the time it may be believed for: here, at once.
mount_imgfs "docker://$registry/team/app" "$work/fresh" ttl=0s
assert_eq "$(<"$work/fresh/latest/digest")" "$(<"$work/demo/1.1/digest")" "latest before"
push "$demo" 1.0 team/app:latest
assert_eq "$(<"$work/fresh/latest/digest")" "$(<"$work/demo/1.0/digest")" "latest after"

# What does not exist is refused before the mount, with a message.
assert_eq "$(exit_code "$IMGFS" "docker://$registry/team/app:none" "$work/arm" \
	-o "cache_dir=$cache")" 32 "an unknown tag"
assert_contains "$(<"$work/stderr")" "team/app:none" "its message"
