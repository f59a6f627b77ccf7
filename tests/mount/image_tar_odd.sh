#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# oci.tar and docker.tar of images that cannot be had whole, are no images, or have odd names.
. "$(dirname "$0")/../lib.sh"
need jq python3 skopeo zstd

python - "$work/My Layout" "$work/named" <<'END'
import sys
from ocilayout import OCI, Layout, Tar, compact, compress, sha256

AMD64 = {"architecture": "amd64", "os": "linux"}
def archive(name):
    tar = Tar()
    tar.file(name, name * 100000)
    return tar.bytes()
layout = Layout(sys.argv[1])
one, two = layout.layer(archive("one")), layout.layer(archive("two"))
layout.tag("twice", layout.image([one, two, one], AMD64))
layout.tag("base", layout.image([], AMD64))
absent = {"mediaType": OCI["gzip"], "digest": sha256(b"absent"), "size": 1 << 40}
layout.tag("absent", layout.image([one, (absent, sha256(b""))], AMD64))
damaged = {"mediaType": OCI["gzip"], **layout.put(b"x" * 5000, sha256(b"damaged"))}
layout.tag("damaged", layout.image([one, (damaged, sha256(b""))], AMD64))
large = {"mediaType": OCI["gzip"], "digest": sha256(b"large"), "size": (1 << 63) - 100}
layout.tag("large", layout.image([one, (large, sha256(b""))], AMD64))
locked = {"mediaType": OCI["gzip"] + "+encrypted", **layout.put(b"secret")}
layout.tag("encrypted", layout.image([(locked, sha256(b""))], AMD64))
called_gzip, diff_id = layout.layer(archive("three"), stored=compress("zstd", archive("three")))
layout.tag("called-gzip", layout.image([(called_gzip, diff_id)], AMD64))
manifest = {"schemaVersion": 2, "mediaType": OCI["manifest"], "artifactType": "text/plain",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", **layout.put(b"{}")},
            "layers": [{"mediaType": "text/plain", **layout.put(b"hello")}]}
layout.tag("artifact", {"mediaType": OCI["manifest"], **layout.put(compact(manifest))})
layout.close()

named = Layout(sys.argv[2])
image = named.image([named.layer(archive("four"))], AMD64)
named.tag("registry.example.com:5000/team/app:1.0", image)
named.tag("Registry/App:1.0", image)
named.close()
END
mnt=$work/mnt
mount_imgfs "oci:$work/My Layout" "$mnt"

repo_tags() { tar xOf "$1/docker.tar" manifest.json | jq -c '.[].RepoTags'; }

skopeo copy -q "docker-archive:$mnt/twice/linux_amd64/docker.tar" "dir:$work/twice"
assert_eq "$(json "$work/twice/manifest.json" '[.layers[].digest] | join(" ")')" \
	"$(json "$mnt/twice/linux_amd64/config.json" '.rootfs.diff_ids | join(" ")')" "a layer twice"
assert_eq "$(repo_tags "$mnt/twice/linux_amd64")" '["my-layout:twice"]' "RepoTags"
tar tf "$mnt/base/linux_amd64/docker.tar" >"$work/members"
assert_eq "$(grep -c / "$work/members" || true)" 0 "layers of an image that has none"
tar tf "$mnt/base/linux_amd64/oci.tar" >"$work/members"

# A blob that cannot be had costs nothing before it is read.
for name in oci docker; do
	size=$(stat -c %s "$mnt/absent/linux_amd64/$name.tar")
	((size > 1 << 40)) || fail "size of $name.tar"
	assert_fails "Input/output error" cat "$mnt/absent/linux_amd64/$name.tar"
	assert_fails "Bad message" cat "$mnt/damaged/linux_amd64/$name.tar"
	assert_fails "File too large" stat "$mnt/large/linux_amd64/$name.tar"
done
tar -b 1 -xOf "$mnt/absent/linux_amd64/docker.tar" --occurrence=1 manifest.json >"$work/manifest.json"
assert_eq "$(json "$work/manifest.json" '.[].Layers | length')" 2 "layers named"

# What is no image for Docker is one blob beside the other for OCI.
for tag in encrypted/linux_amd64 artifact; do
	assert_fails "Operation not supported" stat "$mnt/$tag/docker.tar"
	skopeo copy -q "oci-archive:$mnt/$tag/oci.tar" "dir:$work/${tag%/*}"
	assert_same_file "$work/${tag%/*}/manifest.json" "$mnt/$tag/manifest.json"
done

# Its type says what is in layer.tar, until the layer was read and is known better.
layer_tar() { tar xOf "$1" "$(tar xOf "$1" manifest.json | jq -r '.[].Layers[0]')"; }
image=called-gzip/linux_amd64
layer_tar "$mnt/$image/docker.tar" >"$work/layer.tar"
assert_same_file "$work/layer.tar" "$(echo "$mnt/$image"/layers/01-*/layer.tar.*)"
ls "$mnt/$image/rootfs" >"$work/stdout"
layer_tar "$mnt/$image/docker.tar" >"$work/layer.tar"
mount_imgfs "oci:$work/My Layout" "$work/again"
ls "$work/again/$image/rootfs" >"$work/stdout"
layer_tar "$work/again/$image/docker.tar" >"$work/layer.tar"
assert_eq "sha256:$(sha256 "$work/layer.tar")" \
	"$(json "$mnt/$image/config.json" '.rootfs.diff_ids[0]')" "a layer known better"

# Names that are whole stay as they are; those that Docker has no way to say are left out.
mount_imgfs "oci:$work/named" "$work/names"
assert_eq "$(repo_tags "$work/names/registry.example.com:5000/team/app/_tags/1.0/linux_amd64")" \
	'["registry.example.com:5000/team/app:1.0"]' "RepoTags"
odd=$work/names/Registry/App/_tags/1.0/linux_amd64
assert_eq "$(repo_tags "$odd")" null "RepoTags"
assert_eq "$(tar tf "$odd/docker.tar" | grep -c repositories || true)" 0 "repositories"

# Where the platform is chosen they are at the top.
mount_imgfs "oci:$work/My Layout:twice" "$work/one" platform=linux/amd64
assert_same_file "$work/one/docker.tar" "$mnt/twice/linux_amd64/docker.tar"
