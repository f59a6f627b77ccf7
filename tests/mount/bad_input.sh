#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damaged or hostile images get a clear error, each its own, and their neighbours live.
. "$(dirname "$0")/../lib.sh"
need python3 getfattr

python - "$work/layout" "$work/names" <<'END'
import sys, tarfile
from ocilayout import OCI, Layout, Tar, compress, compact, sha256

layout = Layout(sys.argv[1])
AMD64 = {"architecture": "amd64", "os": "linux"}

def archive(*extra):
    tar = Tar()
    tar.directory("etc")
    tar.file("etc/fine", "fine\n" * 2000)
    for name in extra:
        tar.file(name, "hostile\n")
    return tar.bytes()

def image(tag, layer, diff_id=None):
    descriptor, own = layer
    layout.tag(tag, layout.image([(descriptor, diff_id or own)], AMD64))

def raw(tag, data, **descriptor):
    layout.tag(tag, {"mediaType": OCI["manifest"], **layout.put(data), **descriptor})

good = archive()
packed = compress("gzip", good)
image("good", layout.layer(good))

# layers
image("layer-truncated", layout.layer(good, stored=packed[:len(packed) // 2]))
image("layer-bad-crc", layout.layer(good, stored=packed[:-8] + b"\0" * 8))
image("layer-not-gzip", layout.layer(good, stored=b"this is text, not gzip\n" * 100))
image("layer-not-tar", layout.layer(b"this is text, not tar\n" * 100))
image("layer-cut-tar", layout.layer(good[:1500]))
image("layer-bad-checksum", layout.layer(good[:148] + b"0000000\0" + good[156:]))
def wrong(stored):
    descriptor = {"mediaType": OCI["gzip"], "digest": sha256(b"another"), "size": len(stored)}
    layout.put(stored, descriptor["digest"])
    return descriptor, sha256(good)
image("layer-wrong-digest", wrong(packed))
missing = {"mediaType": OCI["gzip"], "digest": sha256(b"missing"), "size": 1000}
image("layer-missing", (missing, sha256(good)))
descriptor, diff_id = layout.layer(archive("etc/short"))
image("layer-wrong-size", ({**descriptor, "size": descriptor["size"] + 1}, diff_id))
image("layer-right-size", (descriptor, diff_id))
tar = Tar()
for n in range(100):
    tar.file(f"file{n}", "x", xattrs={f"user.{n}.{k}": "v" for k in range(500)})
image("many-attributes", layout.layer(tar.bytes()))
unknown = {"mediaType": "application/vnd.example.unknown", **layout.put(b"unknown layer")}
image("layer-unknown-type", (unknown, sha256(good)))
image("hostile-names", layout.layer(archive("../outside", "etc/../../outside2", "/absolute", "a\0b")))

# manifests and configs
raw("manifest-not-json", b"{ this is no JSON")
raw("manifest-empty", b"")
raw("manifest-array", b"[]")
raw("manifest-deep", b'{"a":' * 20000 + b"1" + b"}" * 20000)
raw("manifest-bad-digests", compact({"schemaVersion": 2, "mediaType": OCI["manifest"],
    "config": {"mediaType": OCI["config"], "digest": "sha256:../../../etc/passwd", "size": 1},
    "layers": []}))
raw("manifest-negative-size", compact({"schemaVersion": 2, "mediaType": OCI["manifest"],
    "config": {"mediaType": OCI["config"], "digest": sha256(b""), "size": -1}, "layers": []}))
raw("manifest-both", compact({"schemaVersion": 2, "mediaType": OCI["manifest"],
    "config": {"mediaType": OCI["config"], "digest": sha256(b""), "size": 0},
    "layers": [], "manifests": []}))
body = compact({"schemaVersion": 2, "mediaType": OCI["manifest"], "layers": []})
layout.put(body, sha256(b"other manifest"))
layout.tag("manifest-wrong-digest", {"mediaType": OCI["manifest"], "size": len(body),
                                     "digest": sha256(b"other manifest")})
layout.tag("manifest-missing", {"mediaType": OCI["manifest"], "size": 100,
                                "digest": sha256(b"no such manifest")})
level = layout.index([])
for _ in range(6):
    level = layout.index([level] * 2000)
layout.tag("index-of-indexes", level)
config = {"mediaType": OCI["config"], **layout.put(b"no JSON at all")}
raw("config-not-json", compact({"schemaVersion": 2, "mediaType": OCI["manifest"],
                                "config": config, "layers": [layout.layer(good)[0]]}),
    platform=AMD64)
layout.close()

names = Layout(sys.argv[2])
for tag in ("good", "../up", "a/../../b", "has\0nul", "n" * 300, ".", "..", "", "/etc/passwd"):
    names.tag(tag, names.image([names.layer(good)], AMD64))
names.close()
END

tags=$work/mnt
mount_imgfs "oci:$work/layout" "$tags"
good() {
	local text
	text=$(cat "$tags/good/linux_amd64/rootfs/etc/fine")
	assert_eq "${#text}" 9999 "the good neighbour after $1"
}
good mount

list_diff() { ls "$(echo "$tags/$1/linux_amd64/layers/"01-*)/diff"; }
while read -r tag expected; do
	assert_fails "$expected" list_diff "$tag"
	assert_fails "$expected" ls "$tags/$tag/linux_amd64/rootfs"
	cat "$tags/$tag/linux_amd64/manifest.json" >"$work/stdout" # this much is fine
	good "$tag"
done <<-END
	layer-truncated      Input/output error
	layer-bad-crc        Input/output error
	layer-not-gzip       Input/output error
	layer-not-tar        Input/output error
	layer-cut-tar        Input/output error
	layer-bad-checksum   Input/output error
	layer-wrong-digest   Bad message
	layer-missing        Input/output error
	layer-wrong-size     Bad message
	layer-unknown-type   not supported
END

# A descriptor that lies spoils nothing for one that does not.
assert_eq "$(cat "$tags/layer-right-size/linux_amd64/rootfs/etc/short")" hostile "the honest descriptor"
# Work for one answer is bounded, whatever the input multiplies.
timeout 20 getfattr -h -n security.capability "$tags/many-attributes/linux_amd64/rootfs/file1" \
	>"$work/stdout" 2>"$work/stderr" || [[ $? != 124 ]] || fail "50000 names of attributes"
assert_fails "File too large" timeout 20 ls "$tags/index-of-indexes"
good index-of-indexes

manifest() { cat "$tags/$1/manifest.json" && ls "$tags/$1/" && ls "$tags/$1/linux_amd64/layers"; }
while read -r tag expected; do
	assert_fails "$expected" manifest "$tag"
	good "$tag"
done <<-END
	manifest-not-json       Input/output error
	manifest-empty          Input/output error
	manifest-array          Input/output error
	manifest-deep           Input/output error
	manifest-bad-digests    Input/output error
	manifest-negative-size  Input/output error
	manifest-both           Input/output error
	manifest-wrong-digest   Bad message
	manifest-missing        Input/output error
END
assert_fails "Input/output error" ls "$tags/config-not-json/linux_amd64/rootfs"
assert_eq "$(names "$tags/config-not-json")" "digest manifest.json" "what is left without a config"
good config-not-json

# Nothing gets out of the mount, whatever a layer or a reference calls itself.
find "$tags/hostile-names/linux_amd64/rootfs" >"$work/found" 2>"$work/stderr" || true
! grep -q '/\.\./\|/\.\.$' "$work/found" || fail "a name leads upwards"
good hostile-names
(($(counter "$tags" .dropped_entries) >= 2)) || fail "what was left out is not counted"
assert_contains "$(<"$tags/.imgfs/status")" "entries left out" "status"
mount_imgfs "oci:$work/names" "$work/mnt2"
find "$work/mnt2" -maxdepth 5 >"$work/found"
! grep -q '/\.\./\|/\.\.$' "$work/found" || fail "a tag leads upwards"
grep -q '/good$' "$work/found" || fail "the good tag is not among hostile ones"

# Each failure left a sentence, and a failure is not for ever.
assert_contains "$(<"$tags/.imgfs/log")" "layer" "log"
kill -0 "${daemons[$tags]}" || fail "the daemon is gone"
