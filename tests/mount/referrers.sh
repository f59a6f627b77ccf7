#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What refers to an image shows below it: by the API, by the fallback tag, by cosign's tags; in a layout
# and from the cache.  Looking for it costs one request, and only who lists a directory pays it.
. "$(dirname "$0")/../lib.sh"
need curl jq getfattr

names() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | LC_ALL=C sort | paste -s -d ' '; }

# Tags: "app", an index of two platforms, and "alone", the first of them.  The first platform and the
# index are referred to, one referrer too; the second has cosign's tags.  "digests" says which is what.
cat >"$work/make.py" <<'END'
import os, sys
from ocilayout import Layout, OCI, Tar, compact

layout = Layout(os.path.join(sys.argv[1], "layout"))
tagged = Layout(os.path.join(sys.argv[1], "tagged"))    # without subjects: by the fallback tag alone
out = open(os.path.join(sys.argv[1], "digests"), "w")
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", **layout.put(b"{}")}


def say(name, descriptor):
    print(f"{name}={descriptor['digest'].split(':')[1]}", file=out)
    return descriptor


def artifact(layout, text, artifact_type=None, subject=None, config=EMPTY):
    layout.put(b"{}")
    blob = {"mediaType": "text/plain", **layout.put(text.encode()),
            "annotations": {"org.opencontainers.image.title": "said.txt"}}
    manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"]}
    if artifact_type:
        manifest["artifactType"] = artifact_type
    manifest |= {"config": config, "layers": [blob]}
    if subject:
        manifest["subject"] = {key: subject[key] for key in ("mediaType", "digest", "size")}
    return {"mediaType": OCI["manifest"], **layout.put(compact(manifest))}


def image(layout, architecture):
    archive = Tar()
    archive.file("who", architecture)
    return layout.image([layout.layer(archive.bytes())],
                        {"os": "linux", "architecture": architecture})


amd64, arm64 = say("amd64", image(layout, "amd64")), say("arm64", image(layout, "arm64"))
app = say("app", layout.index([amd64, arm64]))
layout.tag("app", app)
layout.tag("alone", amd64)
for n in range(2):
    layout.tag(f"sbom{n}", say(f"sbom{n}", artifact(layout, f"sbom {n}", "example/sbom", amd64)))
sbom = artifact(layout, "sbom 0", "example/sbom", amd64)
layout.tag("remark", say("remark", artifact(layout, "remark", "example/remark", sbom)))
layout.tag("config", say("config", artifact(
    layout, "by its config", None, amd64, {**EMPTY, "mediaType": "example/config"})))
layout.tag("index", say("index", artifact(layout, "of the index", "example/index", app)))
cosign = say("cosign", artifact(layout, "signature"))
layout.tag("sha256-" + arm64["digest"].split(":")[1] + ".sig", cosign)
layout.close()

amd64 = image(tagged, "amd64")
tagged.tag("alone", amd64)
first, second = artifact(tagged, "typed"), artifact(tagged, "untyped")
say("typed", first), say("untyped", second)
twins = [{**second, "digest": "sha256:" + "abcdef" * 2 + digits, "artifactType": "example/twin"}
         for digits in ("0" * 52, "0123" + "1" * 48, "0123" + "2" * 48)]
strange = [{**second, "digest": "sha256:" + digit * 64, "artifactType": type}
           for digit, type in (("1", "../../x"), ("2", "x" * 256), ("3", ""))]
fallback = tagged.index([{**first, "artifactType": "example/typed"}, second, *twins, *strange])
tagged.tag("sha256-" + amd64["digest"].split(":")[1], fallback)
tagged.close()
END
python "$work/make.py" "$work"
. "$work/digests"
short() { printf '%.12s' "$1"; }

# check_tree MNT: all that the first layout has, by whatever source.
check_tree() {
	local image=$1/app/linux_amd64 sbom=$1/app/linux_amd64/referrers/example%2Fsbom
	assert_eq "$(names "$image")" "config.json digest docker history.txt layers manifest.json \
oci referrers rootfs" "a platform with referrers"
	assert_eq "$(names "$image/referrers")" "example%2Fconfig example%2Fsbom" "their types"
	assert_eq "$(names "$sbom")" \
		"$(printf '%.12s\n' "$sbom0" "$sbom1" | sort | paste -s -d ' ')" "those of one type"
	assert_eq "$(<"$sbom/$(short "$sbom0")/digest")" "sha256:$sbom0" "a referrer's digest"
	assert_same_file "$sbom/$(short "$sbom0")/manifest.json" \
		"$work/layout/blobs/sha256/$sbom0"
	assert_eq "$(names "$1/app/referrers")" "example%2Findex" "referrers of the index"
	assert_eq "$(names "$1/app/referrers/example%2Findex")" "$(short "$index")" "of the index"
	# Referrers are images: they have referrers, and artifacts have no platform level.
	assert_eq "$(<"$sbom/$(short "$sbom0")/referrers/example%2Fremark/$(short "$remark")/digest")" \
		"sha256:$remark" "a referrer of a referrer"
	[[ ! -e $sbom/$(short "$sbom1")/referrers ]] || fail "referrers of what has none"
	assert_eq "$(getfattr --absolute-names -h --only-values -n user.imgfs.subject "$sbom/$(short "$sbom0")")" \
		"sha256:$amd64" "user.imgfs.subject"
	assert_eq "$(getfattr --absolute-names -h --only-values -n user.imgfs.artifact_type \
		"$sbom/$(short "$sbom0")")" "example/sbom" "user.imgfs.artifact_type"
	assert_fails "No such attribute" getfattr --absolute-names -h -n user.imgfs.subject "$1/app/linux_amd64"
	# A tag straight on the manifest: its platform has them, the tag's directory does not.
	assert_eq "$(names "$1/alone")" "digest docker linux_amd64 manifest.json oci" "a manifest's tag"
	[[ -d $1/alone/linux_amd64/referrers ]] || fail "no referrers by another tag"
	assert_fails "No such file" ls "$sbom/$(short "$sbom0")0"
	assert_fails "No such file" ls "$image/referrers/example"
}

# check_cosign MNT: the signature that has no subject.
check_cosign() {
	local type=application%2Fvnd.dev.cosign.artifact.sig.v1+json
	assert_eq "$(names "$1/app/linux_arm64/referrers")" "$type" "cosign's type"
	assert_eq "$(names "$1/app/linux_arm64/referrers/$type")" "$(short "$cosign")" "cosign's tag"
	assert_eq "$(<"$1/app/linux_arm64/referrers/$type/$(short "$cosign")/digest")" \
		"sha256:$cosign" "cosign's manifest"
}

# check_tagged MNT: the second layout.  Types are names of files, whatever they hold; names of one type
# are as long as it takes to tell them apart.
check_tagged() {
	local referrers=$1/alone/linux_amd64/referrers
	assert_eq "$(names "$referrers")" \
		"%2E.%2F..%2Fx example%2Ftwin example%2Ftyped unknown" "types by the fallback tag"
	assert_eq "$(names "$referrers/example%2Ftwin")" \
		"abcdefabcdef0000 abcdefabcdef01231111 abcdefabcdef01232222" "names of one beginning"
	assert_eq "$(names "$referrers/unknown")" \
		"$(printf '%s\n' 222222222222 333333333333 "$(short "$untyped")" |
			sort | paste -s -d ' ')" "those without a type that could be a name"
	assert_same_file "$referrers/example%2Ftyped/$(short "$typed")/manifest.json" \
		"$work/tagged/blobs/sha256/$typed"
	assert_fails "Input/output error" ls "$referrers/example%2Ftwin/abcdefabcdef0000"
	assert_fails "No such file" ls "$referrers/example%2Ftwin/abcdefabcdef"
}

# ---- a layout -----------------------------------------------------------------------------------

mount_imgfs "oci:$work/layout" "$work/mnt-layout"
check_tree "$work/mnt-layout"
check_cosign "$work/mnt-layout"
# A directory that was entered stays the same one, however often its name is asked for anew.
mount_imgfs "oci:$work/layout" "$work/mnt-anew" ttl=0
sbom=$work/mnt-anew/app/linux_amd64/referrers/example%2Fsbom/$(short "$sbom0")
before=$(stat -c %i "$sbom")
ls "$sbom" >"$work/stdout"
assert_eq "$(stat -c %i "$sbom")" "$before" "the inode of a referrer that was entered"
mount_imgfs "oci:$work/tagged" "$work/mnt-tagged"
check_tagged "$work/mnt-tagged"

# ---- the API ------------------------------------------------------------------------------------

# asked: requests for referrers, by the API or the fallback tag.
asked() {
	requests '[.paths | to_entries[] | select(.key | test("/referrers/|/manifests/sha256-[0-9a-f]*$"))
		| .value.methods | add] | add // 0'
}

start_faultregistry "app=$work/layout" "tagged=$work/tagged"
mnt=$work/mnt-api
mount_imgfs "docker://$registry/app" "$mnt"
# By path nobody is asked, nor for names that only look into it.
cat "$mnt/app/linux_amd64/rootfs/who" >"$work/stdout"
for name in .git HEAD attestations nothing; do
	[[ ! -e $mnt/app/$name && ! -e $mnt/app/linux_amd64/$name ]] || fail "$name exists"
done
assert_eq "$(asked)" 0 "requests for referrers when a file is read"
reset_requests
ls "$mnt/app" >"$work/stdout"
ls -l "$mnt/app" >"$work/stdout"
assert_eq "$(requests)" 1 "requests for listing an index twice"
ls "$mnt/app/referrers" "$mnt/app/referrers"/* >"$work/stdout"
assert_eq "$(requests)" 1 "requests for listing what refers to it"
check_tree "$mnt"
check_cosign "$mnt"

# One image alone: the tags of its repository are not asked for.
mount_imgfs "docker://$registry/app:app" "$work/mnt-image"
reset_requests
ls "$work/mnt-image/linux_arm64" >"$work/stdout"
assert_eq "$(requests '[.paths | keys[] | select(test("/tags/"))] | length')" 0 "tag lists"
assert_eq "$(names "$work/mnt-image")" \
	"digest docker index.json linux_amd64 linux_arm64 oci referrers" "an image"
unmount "$work/mnt-image"
unmount "$mnt"

# ---- the registry away, or failing --------------------------------------------------------------

mount_imgfs "docker://$registry/app" "$work/mnt-offline" offline
check_tree "$work/mnt-offline"
unmount "$work/mnt-offline"

fresh=$work/fresh
rules '[{"match": {"path": "/referrers/"}, "do": {"status": 503}}]'
mount_imgfs "docker://$registry/app" "$work/mnt-failing" "cache_dir=$fresh"
assert_eq "$(names "$work/mnt-failing/app")" "digest docker index.json linux_amd64 linux_arm64 oci" \
	"siblings of what cannot be had"
assert_fails "Input/output error" ls "$work/mnt-failing/app/referrers"
assert_contains "$(<"$work/mnt-failing/.imgfs/log")" "listed without referrers" "the log"
unmount "$work/mnt-failing"

# One that never answers: a listing does not wait for it, long before its time is up.
rules '[{"match": {"path": "/referrers/"}, "do": {"hang": true}}]'
mount_imgfs "docker://$registry/app" "$work/mnt-hanging" "cache_dir=$work/hanging,stall_timeout=120s"
assert_eq "$(timeout 30 find "$work/mnt-hanging/app" -mindepth 1 -maxdepth 1 -printf '%f\n' |
	LC_ALL=C sort | paste -s -d ' ')" "digest docker index.json linux_amd64 linux_arm64 oci" \
	"siblings of what is never answered"
unmount "$work/mnt-hanging"
rules '[]'

# ---- the fallback tag ---------------------------------------------------------------------------

start_faultregistry --no-referrers "tagged=$work/tagged"
mount_imgfs "docker://$registry/tagged" "$work/mnt-fallback"
reset_requests
ls "$work/mnt-fallback/alone/linux_amd64" >"$work/stdout"
assert_eq "$(asked)" 2 "requests where there is no API"
check_tagged "$work/mnt-fallback"
unmount "$work/mnt-fallback"

# Nobody there, and nothing known from before: the siblings are.
mount_imgfs "docker://$registry/tagged" "$work/mnt-away" "cache_dir=$work/other"
cat "$work/mnt-away/alone/linux_amd64/config.json" >"$work/stdout"
end_process "$registry_pid"
assert_eq "$(names "$work/mnt-away/alone/linux_amd64")" \
	"config.json digest docker history.txt layers manifest.json oci rootfs" "without the registry"
assert_fails "No route to host" ls "$work/mnt-away/alone/linux_amd64/referrers"

# ---- what other tools wrote ---------------------------------------------------------------------

fixture=${IMGFS_FIXTURES:-$repository/../shared/fixtures}/manifests/layouts/referrers
if [[ -d $fixture ]]; then
	mount_imgfs "oci:$fixture" "$work/mnt-fixture"
	assert_eq "$(names "$work/mnt-fixture/base/linux_amd64/referrers")" \
		"application%2Fvnd.example.nolayers application%2Fvnd.example.sbom.v1 \
application%2Fvnd.example.sig.v1" "types in the fixture"
	assert_eq "$(names \
		"$work/mnt-fixture/base/linux_amd64/referrers/application%2Fvnd.example.sig.v1")" \
		c51a9f45131c "a signature in the fixture"
fi
