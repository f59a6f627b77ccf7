#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One image in every form that it could have since 2013: the same tree, layer by layer the same
# content, and in both flavours a complete image that other tools open in place.
. "$(dirname "$0")/../lib.sh"
need_root
need skopeo umoci jq getfattr

forms=$(generations)
name=localhost/team/app
tagged=$name/_tags/1.0

# What to mount, and where the image's tag level is in it.
rows=(
	"oci:$forms/oci                                   1.0"
	"oci:$forms/oci:1.0                               ."
	"$forms/oci                                       1.0"
	"dir:$forms/schema2                               ."
	"$forms/schema2                                   ."
	"dir:$forms/schema1                               ."
	"dir:$forms/schema1-unsigned                      ."
	"docker-archive:$forms/docker-archive.tar         $tagged"
	"docker-archive:$forms/docker-archive.tar:$name:1.0 ."
	"$forms/docker-archive.tar.gz                     $tagged"
	"docker-archive:$forms/docker-archive.tar.zst     $tagged"
	"docker-archive:$forms/docker-1.10.tar            $tagged"
	"docker-archive:$forms/docker-25.tar              $tagged"
	"$forms/docker-25.tar                             $tagged"
	"docker-archive:$forms/docker-25.tar.gz           $tagged"
	"oci-archive:$forms/docker-25.tar                 $tagged"
	"oci-archive:$forms/oci-archive.tar               1.0"
	"oci-archive:$forms/oci-archive.tar:1.0           ."
	"$forms/oci-archive.tar.gz                        1.0"
	"oci-archive:$forms/oci-archive.tar.zst           1.0"
	"docker-archive:$forms/v1.tar                     $tagged"
	"docker-archive:$forms/v1.tar:$name:1.0           ."
	"$forms/v1.tar                                    $tagged"
	"docker-archive:$forms/v1.tar.gz                  $tagged"
	"$forms/v1.tar.zst                                $tagged"
	"docker-archive:$forms/v1                         $tagged"
	"$forms/v1                                        $tagged"
)

hex=$(jq -r '.manifests[0].digest' "$forms/oci/index.json" | cut -d : -f 2)
config=$(jq -r .config.digest "$forms/oci/blobs/sha256/$hex" | cut -d : -f 2)
expected=$(json "$forms/oci/blobs/sha256/$config" '.rootfs.diff_ids[]' | paste -s -d ' ')
# What a step that changed nothing left behind before there was a way to say so.
empty_tar=sha256:$(head -c 1024 /dev/zero | sha256sum | cut -d ' ' -f 1)

umoci_unpack "$forms/oci" "$work/reference"
reference=

check_flavours() { # IMAGE WHAT
	local image=$1 flavour found
	for flavour in oci docker; do
		found=$(diff_ids "$image" "$flavour")
		found=$(sed "s/$empty_tar *//g; s/ $//" <<<"$found")
		assert_eq "$found" "$expected" "diff_ids in $flavour/ of $2"
	done
	assert_eq "$(layer_digests "$image/oci")" "$(layer_digests "$image/docker")" "layers of $2"

	rm -rf "$work/from-oci" "$work/from-docker"
	skopeo copy -q "oci:$image/oci" "dir:$work/from-oci" || fail "skopeo: oci/ of $2"
	assert_same_file "$work/from-oci/manifest.json" "$image/oci/manifest.json"
	skopeo copy -q "dir:$image/docker" "dir:$work/from-docker" || fail "skopeo: docker/ of $2"
	assert_same_file "$work/from-docker/manifest.json" "$image/docker/manifest.json"
	umoci_unpack "$image/oci" "$work/bundle"
	"$tests/compare-trees.py" --skip-root "$work/bundle/rootfs" "$image/rootfs" >&2 ||
		fail "umoci: oci/ of $2"
}

# What was done, from the history; of schema 1 the newest step only has a config.
commands() { sed -E 's/^([^ ]+ +){4}//' "$1/history.txt" | head -n 6; }

count=0
for row in "${rows[@]}"; do
	read -r source place <<<"$row"
	count=$((count + 1))
	mnt=$work/mnt-$count
	say "$source"
	mount_imgfs "$source" "$mnt"
	tag=$mnt/$place
	image=$tag/linux_amd64
	assert_eq "$(names "$tag")" "digest docker linux_amd64 manifest.json oci" "names in $source"
	if [[ -z $reference ]]; then
		reference=$image/rootfs
		"$tests/compare-trees.py" --skip-root "$work/reference/rootfs" "$reference" >&2 ||
			fail "the tree differs from what umoci unpacks"
	else
		same_trees "$reference" "$image/rootfs"
	fi
	commands "$image" >"$work/history"
	assert_eq "$(sed -n 5p "$work/history")" "RUN clean-up && echo '<&>'" "history of $source"
	commands "$work/mnt-1/1.0/linux_amd64" | diff - "$work/history" >&2 || fail "history of $source"
	check_flavours "$image" "$source"
	# The level above holds the same image.
	assert_same_file "$tag/docker/manifest.json" "$image/docker/manifest.json"
	assert_same_file "$tag/oci/blobs/sha256/$(sha256 "$image/oci/manifest.json")" \
		"$image/oci/manifest.json"
done

# Schema 1: named by its payload, which is all that the unsigned form holds.
unsigned=sha256:$(sha256 "$forms/schema1-unsigned/manifest.json")
for row in "${!rows[@]}"; do
	mnt=$work/mnt-$((row + 1))
	case ${rows[row]} in
	*/schema1\ *)
		assert_eq "$(<"$mnt/digest")" "$unsigned" "digest of schema 1"
		assert_same_file "$mnt/manifest.json" "$forms/schema1/manifest.json"
		assert_contains "$(attribute signature "$mnt/manifest.json")" \
			"valid " "signature"
		;;
	*/schema1-unsigned\ *)
		assert_eq "$(<"$mnt/digest")" "$unsigned" "digest of unsigned schema 1"
		assert_same_file "$mnt/manifest.json" "$forms/schema1-unsigned/manifest.json"
		assert_eq "$(attribute signature "$mnt/manifest.json")" \
			unsigned "signature"
		;;
	*/schema2\ *)
		assert_same_file "$mnt/manifest.json" "$forms/schema2/manifest.json"
		assert_same_file "$mnt/docker/manifest.json" "$forms/schema2/manifest.json"
		;;
	esac
done
