#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# oci.tar and docker.tar are the image as one file each, made up while it is read, whatever part is
# read first.
. "$(dirname "$0")/../lib.sh"
need_root
need jq skopeo curl python3

layout=$(demo_layout)
start_faultregistry "team/app=$layout"
mnt=$work/mnt
mount_imgfs "docker://$registry/team/app" "$mnt"
image=$mnt/1.0/linux_amd64

blob_gets() { requests '[.paths | to_entries[] | select(.key | test("/blobs/"))] | length'; }

# The size is known without a layer, and none is listed.
size=$(stat -c %s "$image/oci.tar")
assert_eq "$(blob_gets)" 0 "blobs asked for by a stat"
assert_eq "$(stat -c %b "$image/oci.tar")" $(((size + 511) / 512)) "blocks"
assert_eq "$(find "$image" -maxdepth 1 -name '*.tar')" "" "listed"
docker_size=$(stat -c %s "$image/docker.tar")
assert_eq "$(requests '[.paths | to_entries[] | select(.key | test("/blobs/")) | .key]
	| map(split("/")[-1]) | join(" ")')" "$(json "$image/manifest.json" .config.digest)" \
	"blobs asked for by a stat of docker.tar"

# What other tools see, the first time that anybody asks for this image's blobs.
tar tf "$image/oci.tar" >"$work/members"
{
	printf '%s\n' oci-layout index.json blobs/ blobs/sha256/
	jq -r '.config, .layers[] | .digest' "$image/manifest.json" | sed 's,sha256:,blobs/sha256/,'
	sed 's,sha256:,blobs/sha256/,' "$image/digest"
} | sort >"$work/expected"
sort "$work/members" | cmp - "$work/expected" || fail "members"
skopeo copy -q "oci-archive:$image/oci.tar" "dir:$work/oci"
assert_same_file "$work/oci/manifest.json" "$image/manifest.json"
skopeo inspect "oci-archive:$image/oci.tar:1.0" >"$work/inspect"
assert_eq "$(json "$work/inspect" '.Labels["org.opencontainers.image.version"]')" 1.0 "by its name"

tar tf "$image/docker.tar" >"$work/members-docker"
config=$(jq -r .config.digest "$image/manifest.json")
tar xf "$image/docker.tar" -C "$work" manifest.json repositories
{
	printf '%s\n' manifest.json repositories "${config#sha256:}.json"
	jq -r '.[].Layers[]' "$work/manifest.json" | while read -r layer; do
		printf '%s\n' "${layer%/*}"/{,VERSION,json,layer.tar}
	done
} >"$work/expected"
assert_same_file "$work/members-docker" "$work/expected"
assert_eq "$(json "$work/manifest.json" '.[].RepoTags[]')" "$registry/team/app:1.0" "RepoTags"
top=$(json "$work/manifest.json" '.[].Layers[-1]')
assert_eq "$(json "$work/repositories" ".[\"$registry/team/app\"][\"1.0\"]")" "${top%/*}" "its top layer"

# docker_archive_is TAR IMAGE: skopeo, which unpacks layers as `docker load` does, finds IMAGE in it.
docker_archive_is() {
	rm -rf "$work/loaded"
	skopeo copy -q "docker-archive:$1" "dir:$work/loaded"
	assert_eq "$(json "$work/loaded/manifest.json" .config.digest)" \
		"$(json "$2/manifest.json" .config.digest)" "config in $1"
	assert_eq "$(json "$work/loaded/manifest.json" '[.layers[].digest] | join(" ")')" \
		"$(json "$2/config.json" '.rootfs.diff_ids | join(" ")')" "layers in $1"
}
docker_archive_is "$image/docker.tar" "$image"
# What `docker load` does not take is unpacked.
docker_archive_is "$mnt/zstd/linux_amd64/docker.tar" "$mnt/zstd/linux_amd64"
tar xOf "$mnt/zstd/linux_amd64/docker.tar" "$top" | sha256sum | cut -d ' ' -f 1 >"$work/diff_id"
assert_eq "sha256:$(<"$work/diff_id")" \
	"$(json "$mnt/zstd/linux_amd64/config.json" '.rootfs.diff_ids[-1]')" "an unpacked layer"
docker_archive_is "$mnt/plain/linux_amd64/docker.tar" "$mnt/plain/linux_amd64"

# Any order of reading gives the same bytes, and so does another mount.
cat "$image/oci.tar" >"$work/oci.tar"
assert_eq "$(stat -c %s "$work/oci.tar")" "$size" "bytes read"
cat "$image/docker.tar" >"$work/docker.tar"
assert_eq "$(stat -c %s "$work/docker.tar")" "$docker_size" "bytes read"
cat "$mnt/zstd/linux_amd64/docker.tar" >"$work/zstd.tar"
read_randomly() { # FILE COPY
	python3 - "$@" <<'END'
import os, random, sys
copy = open(sys.argv[2], "rb").read()
place = random.Random(7)
with open(sys.argv[1], "rb", buffering=0) as file:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
    for _ in range(200):
        offset, length = place.randrange(len(copy) + 100), place.randrange(1, 70001) | 1
        assert os.pread(file.fileno(), length, offset) == copy[offset:offset + length], offset
END
}
unmount "$mnt"
rm -rf "$cache"
mount_imgfs "docker://$registry/team/app" "$mnt"
read_randomly "$image/oci.tar" "$work/oci.tar" || fail "random reads"
read_randomly "$image/docker.tar" "$work/docker.tar" || fail "random reads of docker.tar"
read_randomly "$mnt/zstd/linux_amd64/docker.tar" "$work/zstd.tar" || fail "random reads of unpacked layers"
assert_eq "$(sha256 "$image/oci.tar")" "$(sha256 "$work/oci.tar")" "another mount's"
assert_eq "$(sha256 "$image/docker.tar")" "$(sha256 "$work/docker.tar")" "another mount's"
mount_imgfs "oci:$layout" "$work/layout"
assert_same_file "$work/layout/1.0/linux_amd64/oci.tar" "$work/oci.tar"
# The name that Docker gives it there is made from the layout's.
tar xOf "$work/layout/1.0/linux_amd64/docker.tar" manifest.json >"$work/manifest.json"
assert_eq "$(json "$work/manifest.json" '.[].RepoTags[]')" "demo:1.0" "RepoTags of a layout's"
# What has no name has none there.
mount_imgfs "docker://$registry/team/app@$(<"$image/digest")" "$work/digest"
tar xOf "$work/digest/linux_amd64/docker.tar" manifest.json >"$work/manifest.json"
assert_eq "$(json "$work/manifest.json" '.[].RepoTags')" null "RepoTags of a digest's"

# The blobs are not fetched one after the other: a registry that never gives the first one is asked
# for the others all the same.
unmount "$mnt"
rm -rf "$cache"
mount_imgfs "docker://$registry/team/app" "$mnt"
stat "$image/oci.tar" >"$work/stdout"
first=$(tail -n 4 "$work/members" | head -n 1)
rules "[{\"match\": {\"path\": \"/blobs/sha256:${first##*/}\"}, \"do\": {\"hang\": true}}]"
reset_requests
cat "$image/oci.tar" >"$work/stdout" 2>"$work/stderr" &
reader=$!
others_are_asked_for() { [[ $(blob_gets) = 3 ]]; } # one that hangs is not counted
poll 20 others_are_asked_for || fail "$(blob_gets) of the 3 other blobs asked for"
kill "$reader"
wait "$reader" || true
