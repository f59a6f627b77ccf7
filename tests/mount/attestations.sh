#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# BuildKit's attestations show below the platform they speak of, as files named by what they say.
. "$(dirname "$0")/../lib.sh"
need curl jq getfattr

names() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | LC_ALL=C sort | paste -s -d ' '; }

# As BuildKit stores them (docs/attestations/attestation-storage.md): linux/amd64 has two provenances,
# an SBOM of either kind and a statement of another type; linux/arm64 has one provenance, linux/s390x
# none; and there is one of an image that is not in the index.
cat >"$work/make.py" <<'END'
import os, sys
from ocilayout import Layout, OCI, Tar, compact

layout = Layout(os.path.join(sys.argv[1], "layout"))
out = open(os.path.join(sys.argv[1], "digests"), "w")
PROVENANCE, SPDX = "https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"
CYCLONEDX, OTHER = "https://cyclonedx.org/bom/v1.4", "https://example.com/review"


def image(architecture):
    archive = Tar()
    archive.file("who", architecture)
    return layout.image([layout.layer(archive.bytes())],
                        {"os": "linux", "architecture": architecture})


def attestation(subject, statements):
    layers = []
    for name, predicate in statements:
        body = compact({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": predicate,
                        "subject": [], "predicate": {"name": name}})
        layers.append({"mediaType": "application/vnd.in-toto+json", **layout.put(body),
                       "annotations": {"in-toto.io/predicate-type": predicate}})
        print(f"{name}={layers[-1]['digest'].split(':')[1]}", file=out)
    manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"],
                "config": {"mediaType": OCI["config"],
                           **layout.put(compact({"architecture": "unknown", "os": "unknown"}))},
                "layers": layers}
    return {"mediaType": OCI["manifest"], **layout.put(compact(manifest)),
            "annotations": {"vnd.docker.reference.digest": subject["digest"],
                            "vnd.docker.reference.type": "attestation-manifest"},
            "platform": {"architecture": "unknown", "os": "unknown"}}


amd64, arm64, s390x = image("amd64"), image("arm64"), image("s390x")
broken = {**attestation(arm64, []), "digest": "sha256:" + "0" * 64}
layout.tag("app", layout.index([
    amd64, arm64, s390x,
    attestation(amd64, [("made1", PROVENANCE), ("spdx", SPDX), ("cdx", CYCLONEDX)]),
    attestation(amd64, [("made2", PROVENANCE), ("other", OTHER)]),
    broken, attestation(arm64, [("made3", PROVENANCE)]),
    attestation({"digest": "sha256:" + "1" * 64}, [("nobody", PROVENANCE)])]))
layout.tag("alone", amd64)
layout.close()
END
python "$work/make.py" "$work"
. "$work/digests"

# check_tree MNT
check_tree() {
	local files=$1/app/linux_amd64/attestations name
	assert_eq "$(names "$1/app")" \
		"digest docker index.json linux_amd64 linux_arm64 linux_s390x oci" "platforms"
	assert_eq "$(names "$1/app/linux_amd64")" "attestations config.json digest docker \
history.txt layers manifest.json oci rootfs" "a platform with attestations"
	assert_eq "$(names "$files")" "$(LC_ALL=C sort <<-END | paste -s -d ' '
		provenance.json
		$(printf 'provenance.%.12s.json' "$made2")
		sbom.cdx.json
		sbom.spdx.json
		$(printf '%.12s.json' "$other")
	END
	)" "attestations"
	for name in "made1 provenance" "made2 provenance.${made2:0:12}" "spdx sbom.spdx" \
		"cdx sbom.cdx" "other ${other:0:12}"; do
		local digest=${name%% *}
		assert_same_file "$files/${name#* }.json" "$work/layout/blobs/sha256/${!digest}"
	done
	assert_eq "$(json "$files/sbom.spdx.json" .predicate.name)" spdx "a statement"
	assert_eq "$(getfattr --absolute-names -h --only-values -n user.imgfs.digest \
		"$files/provenance.json")" "sha256:$made1" "user.imgfs.digest"
	assert_eq "$(names "$1/app/linux_arm64/attestations")" provenance.json \
		"beside an attestation that is missing"
	# None: of a platform that has none, and of the same manifest without its index.
	for name in app/linux_s390x alone/linux_amd64; do
		[[ $(names "$1/$name") != *attestations* && ! -e $1/$name/attestations ]] ||
			fail "attestations of $name"
	done
	assert_fails "No such file" ls "$files/provenance.000000000000.json"
	# The index in oci/ has them as they are.
	assert_eq "$(jq '.manifests[0].digest' "$1/app/oci/index.json")" \
		"\"$(<"$1/app/digest")\"" "oci/ of the index"
}

mount_imgfs "oci:$work/layout" "$work/mnt-layout"
check_tree "$work/mnt-layout"
mount_imgfs "oci:$work/layout:app" "$work/mnt-platform" platform=linux/amd64
[[ -f $work/mnt-platform/attestations/provenance.json ]] || fail "with platform="

start_faultregistry "app=$work/layout"
mnt=$work/mnt
mount_imgfs "docker://$registry/app" "$mnt"
ls "$mnt/app" >"$work/stdout"
cat "$mnt/app/linux_amd64/config.json" >"$work/stdout"
reset_requests
# That there are some is in the index; what they are is in their manifests; a file is one blob.
ls "$mnt/app/linux_amd64" >"$work/stdout"
assert_eq "$(requests '[.paths | keys[] | select(test("/referrers/") | not)] | length')" 0 \
	"requests for listing a platform"
reset_requests
ls "$mnt/app/linux_amd64/attestations" >"$work/stdout"
assert_eq "$(requests)" 2 "requests for listing two attestation manifests"
cat "$mnt/app/linux_amd64/attestations/provenance.json" >"$work/stdout"
assert_eq "$(requests ".paths[\"/v2/app/blobs/sha256:$made1\"].methods.GET")" 1 "GETs of a statement"
assert_eq "$(requests)" 3 "requests for reading a statement"
check_tree "$mnt"

fixture=${IMGFS_FIXTURES:-$repository/../shared/fixtures}/manifests/layouts/multi
if [[ -d $fixture ]]; then
	mount_imgfs "oci:$fixture" "$work/mnt-fixture"
	image=$work/mnt-fixture/multi
	assert_eq "$(names "$image/linux_amd64/attestations")" provenance.json "of the fixture"
	hex=$(sha256 "$image/linux_amd64/attestations/provenance.json")
	assert_same_file "$image/linux_amd64/attestations/provenance.json" "$fixture/blobs/sha256/$hex"
	[[ ! -e $image/linux_arm64/attestations && ! -e $work/mnt-fixture/multi-noatt/linux_amd64/attestations ]] ||
		fail "attestations of what has none"
fi
