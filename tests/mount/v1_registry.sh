#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A registry that speaks the old V1 protocol: the same tree, and nothing is fetched before it is
# looked at.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo umoci curl jq

forms=$(generations)
mount_imgfs "oci:$forms/oci" "$work/oci"
expected=$work/oci/1.0/linux_amd64/rootfs

# ---- images as they were then -----------------------------------------------------------------

"$tests/v1registry.py" "$work/v1-port" "$forms/v1" >"$work/v1.log" 2>&1 </dev/null &
at_exit end_process $!
poll 20 test -s "$work/v1-port" || fail "V1 registry: $(tail -n 3 "$work/v1.log")"
registry=127.0.0.1:$(<"$work/v1-port")
repository_name=localhost/team/app
requests() { curl -sfS "http://$registry/__requests" | jq -r "$1"; }
layer_requests() { requests '[to_entries[] | select(.key | endswith("/layer")).value] | add // 0'; }

mount_imgfs "docker-v1://$registry/$repository_name" "$work/mnt"
assert_eq "$(names "$work/mnt")" 1.0 "tags"
tag=$work/mnt/1.0
assert_eq "$(names "$tag")" "digest docker linux_amd64 manifest.json oci" "names"
image=$tag/linux_amd64
ls -l "$tag" "$image" "$image/layers" >"$work/stdout"
cat "$tag/digest" "$tag/manifest.json" "$image/config.json" "$image/history.txt" >"$work/stdout"
assert_eq "$(layer_requests)" 0 "layers for looking at an image"
# The newest layer's own JSON, as it was served.
id=$(json "$forms/v1/repositories" '."localhost/team/app"."1.0"')
assert_same_file "$image/config.json" "$forms/v1/$id/json"
assert_eq "$(names "$image/layers" | wc -w)" 7 "layers"

same_trees "$expected" "$image/rootfs"
skopeo copy -q "oci:$image/oci" "dir:$work/from-oci"
skopeo copy -q "dir:$image/docker" "dir:$work/from-docker"
umoci_unpack "$image/oci" "$work/bundle"
"$tests/compare-trees.py" --skip-root "$work/bundle/rootfs" "$image/rootfs" >&2 || fail "umoci"
assert_eq "$(layer_requests)" 7 "layers for all of it"
assert_eq "$(requests '[to_entries[] | select((.key | startswith("/v1/images/")) and .value > 1)]
	| length')" 0 "paths of images asked for twice"

# The archive holds the same image, and so all that is made of it is the same.
mount_imgfs "docker-archive:$forms/v1.tar" "$work/archive"
archived=$work/archive/$repository_name/_tags/1.0
assert_eq "$(<"$tag/digest")" "$(<"$archived/digest")" "digest in registry and archive"
assert_same_file "$tag/docker/manifest.json" "$archived/docker/manifest.json"
assert_same_file "$tag/manifest.json" "$archived/manifest.json"

# Another flavour of manifest.json is made from what is in the layers: looking still costs none.
mount_imgfs "docker-v1://$registry/$repository_name" "$work/new" "manifest=oci,cache_dir=$work/new-cache"
ls -l "$work"/new/1.0 "$work"/new/1.0/linux_amd64 >"$work/stdout"
assert_eq "$(layer_requests)" 7 "layers for looking, with manifest=oci"
mount_imgfs "docker-v1://$registry/$repository_name" "$work/other" manifest=oci
assert_same_file "$work/other/1.0/linux_amd64/manifest.json" "$image/oci/manifest.json"
assert_contains " $(names "$work/other/1.0") " " manifest.json " "names, with the layers read"

mount_imgfs "docker-v1://$registry/$repository_name:1.0" "$work/image"
assert_eq "$(<"$work/image/digest")" "$(<"$tag/digest")" "digest of the image alone"
same_trees "$expected" "$work/image/linux_amd64/rootfs"
# There is no catalogue: what one knows by name can be entered.
mount_imgfs "docker-v1://$registry/" "$work/all"
assert_eq "$(names "$work/all/$repository_name/_tags")" 1.0 "tags of a repository"

assert_fails "No such file" ls "$work/mnt/none"
assert_eq "$(exit_code "$IMGFS" "docker-v1://$registry/team/none" "$work/bundle" \
	-o "cache_dir=$cache")" 32 "an unknown repository"

# ---- compressed layers, and one that is not there ---------------------------------------------

start_faultregistry --v1 "team/app=$forms/oci"
mount_imgfs "docker-v1://$registry/team/app" "$work/gzip"
same_trees "$expected" "$(echo "$work"/gzip/1.0/linux*)/rootfs"
assert_eq "$(diff_ids "$(echo "$work"/gzip/1.0/linux*)" docker)" \
	"$(diff_ids "$work/oci/1.0/linux_amd64" docker)" "diff_ids"
id=$(curl -sf "$fault/v1/repositories/team/app/tags/1.0" | jq -r .)
rules "[{\"match\": {\"path\": \"/v1/images/$id/layer\"}, \"do\": {\"status\": 404}}]"
cache=$work/cache-missing
mount_imgfs "docker-v1://$registry/team/app" "$work/missing"
image=$(echo "$work"/missing/1.0/linux*)
assert_fails "Input/output error" ls "$image/rootfs"
last=$(echo "$image"/layers/01-*)
ls "$last/diff" >"$work/stdout"
cat "$image/config.json" >"$work/stdout"
