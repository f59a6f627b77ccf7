#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Manifests as people paste them: with a comma too many they can be read and nothing else, without a
# media type they are what they are.
. "$(dirname "$0")/../lib.sh"
need skopeo jq python3

# ---- documents made here, like the ones of the article ----------------------------------------

forms=$(generations)
demo=$(demo_layout)
made=$work/made
mkdir "$made"
index=$(jq -r '.manifests[] | select(.annotations[]? == "1.0").digest' "$demo/index.json")
index=$demo/blobs/sha256/${index#sha256:}
skopeo copy -q --all --format v2s2 "oci:$demo:1.0" "dir:$made/list"
jq . "$forms/schema1/manifest.json" |
	sed -z 's/}\n  \],\n  "schemaVersion"/},\n  ],\n  "schemaVersion"/' >"$made/schema1.json"
jq . "$made/list/manifest.json" | sed -z 's/\("os": "linux"\)\n/\1,\n/' >"$made/list.json"
jq . "$forms/schema2/manifest.json" >"$made/schema2-manifest.json"
jq 'del(.mediaType)' "$index" >"$made/oci-index.json"
jq 'del(.mediaType) | .annotations = {"com.example.key1": "value1"}' \
	"$forms/oci/blobs/sha256/$(jq -r '.manifests[0].digest' "$forms/oci/index.json" |
		cut -d : -f 2)" >"$made/oci-manifest.json"

# image DOCUMENT: a "dir:" image of which there is no more than that; prints its path.
image() {
	local directory
	directory=$(mktemp -d "$work/dir.XXXXXX")
	printf 'Directory Transport Version: 1.1\n' >"$directory/version"
	cp "$1" "$directory/manifest.json"
	printf '%s\n' "$directory"
}

count=0
mount_document() { # DOCUMENT [OPTIONS]: sets mnt
	count=$((count + 1))
	mnt=$work/mnt-$count
	mount_imgfs "dir:$(image "$1")" "$mnt" "${2:-}"
}

# ---- what does not parse ----------------------------------------------------------------------

# Where another parser stops: "LINE BYTE", both from 1.
stops_at() {
	python3 - "$1" <<-'END'
		import json, sys
		with open(sys.argv[1], "rb") as source:
		    text = source.read()
		try:
		    json.loads(text)
		except json.JSONDecodeError as error:
		    print(error.lineno, error.pos + 1)
	END
}

check_broken() { # DOCUMENT
	local line byte name
	read -r line byte < <(stops_at "$1") || fail "$1 is not broken"
	mount_document "$1"
	assert_same_file "$mnt/manifest.json" "$1"
	for name in linux_amd64 oci docker index.json; do
		assert_fails "Input/output error" ls "$mnt/$name"
	done
	grep -qE "line $line\b.*byte" "$mnt/.imgfs/log" ||
		fail "$1: line $line (byte $byte) is not in the log: $(tail -n 3 "$mnt/.imgfs/log")"
	assert_eq "$(<"$mnt/digest")" "sha256:$(sha256 "$1")" "digest of $1"
}

# ---- what does --------------------------------------------------------------------------------

# converted DOCUMENT FAMILY: a manifest with the types of the other family, and without what that
# one cannot say.
converted() {
	python3 - "$@" <<-'END'
		import json, sys
		TYPES = [["application/vnd.docker.distribution.manifest.v2+json",
		          "application/vnd.oci.image.manifest.v1+json"],
		         ["application/vnd.docker.container.image.v1+json",
		          "application/vnd.oci.image.config.v1+json"],
		         ["application/vnd.docker.image.rootfs.diff.tar.gzip",
		          "application/vnd.oci.image.layer.v1.tar+gzip"],
		         ["application/vnd.docker.image.rootfs.diff.tar",
		          "application/vnd.oci.image.layer.v1.tar"]]
		to = ["docker", "oci"].index(sys.argv[2])
		swap = {pair[1 - to]: pair[to] for pair in TYPES}
		with open(sys.argv[1]) as source:
		    manifest = json.load(source)
		manifest["mediaType"] = TYPES[0][to]
		for descriptor in [manifest["config"], *manifest["layers"]]:
		    descriptor["mediaType"] = swap[descriptor["mediaType"]]
		if sys.argv[2] == "docker":
		    manifest.pop("annotations", None)
		print(json.dumps(manifest))
	END
}

check_manifest() { # DOCUMENT OTHER-FAMILY
	mount_document "$1"
	assert_same_file "$mnt/manifest.json" "$1"
	assert_eq "$(<"$mnt/digest")" "sha256:$(sha256 "$1")" "digest of $1"
	[[ ! -e $mnt/index.json ]] || fail "$1 has an index.json"
	mount_document "$1" "manifest=$2"
	jq -S . "$mnt/manifest.json" >"$work/a"
	converted "$1" "$2" | jq -S . >"$work/b"
	diff "$work/a" "$work/b" >&2 || fail "$1 with manifest=$2"
	assert_eq "$(<"$mnt/digest")" "sha256:$(sha256 "$1")" "digest of $1 with manifest=$2"
}

check_index() { # DOCUMENT
	local flavour
	for flavour in raw oci docker; do
		mount_document "$1" "manifest=$flavour"
		assert_same_file "$mnt/index.json" "$1"
		assert_eq "$(<"$mnt/digest")" "sha256:$(sha256 "$1")" "digest of $1"
		[[ ! -e $mnt/manifest.json ]] || fail "$1 has a manifest.json"
		# Its platforms are in it, though their manifests are not here.
		assert_contains " $(names "$mnt") " " linux_amd64 " "platforms of $1"
	done
}

check_broken "$made/schema1.json"
check_broken "$made/list.json"
check_manifest "$made/schema2-manifest.json" oci
check_manifest "$made/oci-manifest.json" docker
check_index "$made/oci-index.json"

if [[ -n ${IMGFS_FIXTURES:=$repository/../shared/fixtures} && -d $IMGFS_FIXTURES/manifests/seed ]]; then
	seed=$IMGFS_FIXTURES/manifests/seed
	check_broken "$seed/01-schema1-hello-world.invalid-json.json"
	check_broken "$seed/02-manifest-list.invalid-json.json"
	check_manifest "$seed/03-schema2-manifest.json" oci
	check_index "$seed/04-oci-index-no-mediatype.json"
	check_manifest "$seed/05-oci-manifest-no-mediatype.json" docker
fi

# ---- and with all that belongs to it ----------------------------------------------------------

# Without the type a manifest and an index are the same images, in both flavours.
mkdir "$work/whole"
cp "$forms/schema2"/* "$work/whole"
cp "$made/oci-manifest.json" "$work/whole/manifest.json"
mount_imgfs "dir:$work/whole" "$work/whole-mnt"
mount_imgfs "dir:$forms/schema2" "$work/schema2-mnt"
same_trees "$work/whole-mnt/linux_amd64/rootfs" "$work/schema2-mnt/linux_amd64/rootfs"
assert_eq "$(layer_digests "$work/whole-mnt/docker")" "$(layer_digests "$work/schema2-mnt/docker")" \
	"layers without a type"
skopeo copy -q "dir:$work/whole-mnt/docker" "dir:$work/copy"
skopeo copy -q "oci:$work/whole-mnt/oci" "dir:$work/copy-oci"

skopeo copy -q --all "oci:$demo:1.0" "dir:$work/index"
cp "$made/oci-index.json" "$work/index/manifest.json"
mount_imgfs "dir:$work/index" "$work/index-mnt"
assert_same_file "$work/index-mnt/index.json" "$made/oci-index.json"
jq -S '[.manifests[].platform]' "$work/index-mnt/docker/manifest.json" >"$work/a"
jq -S '[.manifests[].platform]' "$made/list/manifest.json" >"$work/b"
assert_same_file "$work/a" "$work/b"
skopeo copy -q --all "dir:$work/index-mnt/docker" "dir:$work/copy-list"
