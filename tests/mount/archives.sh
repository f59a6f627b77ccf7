#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Archives of images as other tools wrote them, and as nobody should have: what can be read is, what
# cannot is an error of its own, and its neighbours live.
. "$(dirname "$0")/../lib.sh"
need jq python3 zstd xz bzip2 bsdtar

# ---- made here --------------------------------------------------------------------------------

python - "$work" <<'END'
import json, os, sys
from ocilayout import CREATED, Tar, compact, compress, sha256

top = sys.argv[1]

def layer(name):
    tar = Tar()
    tar.file(name, name + "\n")
    return tar.bytes()

def ident(name):
    return sha256(name.encode()).split(":")[1]

def write(name, tar):
    with open(os.path.join(top, name), "wb") as out:
        out.write(tar.bytes())

# V1: a tag for each image; ids are hashes of their names.
def image(tar, name, parent=None, data=None, body=None):
    v1 = {"id": ident(name), "created": CREATED, "architecture": "amd64", "os": "linux",
          "container_config": {"Cmd": [name]}, "config": {}}
    if parent:
        v1["parent"] = ident(parent)
    tar.file(ident(name) + "/VERSION", "1.0")
    tar.file(ident(name) + "/json", compact(v1) if body is None else body)
    if data is not None:
        tar.file(ident(name) + "/layer.tar", data)

v1 = Tar()
image(v1, "top", "base", layer("top"))          # before its parent
image(v1, "base", None, layer("base"))
image(v1, "empty", "base", b"")                 # moby wrote files of no bytes,
image(v1, "zeros", "base", bytes(512))          # and of one zero block
image(v1, "loop", "pool", layer("loop"))
image(v1, "pool", "loop", layer("pool"))
image(v1, "self", "self", layer("self"))
image(v1, "orphan", "nobody", layer("orphan"))
image(v1, "broken", None, layer("broken"), b'{"id":')
image(v1, "windows", "base", layer("windows"),
      json.dumps({"id": ident("windows"), "parent": ident("base"), "created": CREATED,
                  "architecture": "amd64", "os": "linux"}, indent="\t").replace("\n", "\r\n"))
tags = {name: ident(name) for name in
        "top base empty zeros loop self orphan broken windows gone".split()}
tags["hostile"] = "../../../etc"
v1.file("repositories", compact({"localhost:5000/v1": tags}))
write("v1.tar", v1)
v1 = Tar()
image(v1, "base", None, layer("base"))
write("v1-nameless.tar", v1)

# manifest.json: a tag for each way in which a layer or config can lie in the archive.
def config(archives):
    return compact({"architecture": "amd64", "os": "linux", "created": CREATED, "config": {},
                    "rootfs": {"type": "layers",
                               "diff_ids": [sha256(archive) for archive in archives]}})

tar, manifest = Tar(), []
def entry(tag, names, archives, path=None):
    body = config(archives)
    name = path or ident(str(tag)) + ".json"
    if not path:
        tar.file("./" + name, body)
    manifest.append({"Config": name, "RepoTags": tag and [f"localhost/{tag}:1"], "Layers": names})

base, top_layer = layer("base"), layer("top")
tar.file("./base.tar", base)
tar.file("./dir/top.tar", top_layer)
tar.file("./base.tar.gz", compress("gzip", base))
tar.file("./base.tar.zst", compress("zstd", base))
tar.file("./base.tar.xz", compress("xz", base))
tar.file("./base.tar.bz2", compress("bzip2", base))
tar.symlink("link-1.tar", "dir/link-2.tar")
tar.symlink("dir/link-2.tar", "../base.tar")
tar.hardlink("hard.tar", "base.tar")
tar.symlink("round-1.tar", "round-2.tar")
tar.symlink("round-2.tar", "round-1.tar")
tar.symlink("out.tar", "../../../../../../etc/passwd")
tar.symlink("absolute.tar", "/etc/passwd")
tar.directory("directory.tar")
entry("plain", ["base.tar", "dir/top.tar"], [base, top_layer])
entry("dotted", ["./base.tar", "./dir/top.tar"], [base, top_layer])
entry("symlink", ["link-1.tar", "dir/top.tar"], [base, top_layer])
entry("hardlink", ["hard.tar", "dir/top.tar"], [base, top_layer])
entry("gzip", ["base.tar.gz"], [base])
entry("zstd", ["base.tar.zst"], [base])
entry("xz", ["base.tar.xz"], [base])
entry("bzip2", ["base.tar.bz2"], [base])
entry("twice", ["base.tar", "base.tar"], [base, base])
entry("round", ["round-1.tar"], [base])
entry("out", ["out.tar"], [base])
entry("absolute", ["absolute.tar"], [base])
entry("climb", ["../../etc/passwd"], [base])
entry("missing", ["nothing.tar"], [base])
entry("directory", ["directory.tar"], [base])
entry("config-climbs", ["base.tar"], [base], "../../etc/passwd")
entry("config-missing", ["base.tar"], [base], "nothing.json")
entry("config-no-json", ["base.tar"], [base], "base.tar")
entry(None, ["dir/top.tar"], [top_layer])
manifest.append({**manifest[0], "RepoTags": [
    "localhost/other:1", "localhost/other:2", "../../climbs:1", "localhost/_tags/x:1", ":", "",
    "localhost/" + "long" * 100 + ":1"]})
manifest.append({**manifest[0], "RepoTags": ["localhost/nul\x00l:1"]})
manifest.append({**manifest[0], "RepoTags": None, "Config": None})
tar.file("./manifest.json", compact(manifest))
write("mixed.tar", tar)

for name, text in {"null": "null", "empty": "[]", "object": "{}", "cut": "[{"}.items():
    tar = Tar()
    tar.file("manifest.json", text)
    write(name + ".tar", tar)

# The same member twice: the last one counts.
tar = Tar()
tar.file("manifest.json", "[]")
tar.file("config.json", config([base]))
tar.file("base.tar", top_layer)
tar.file("base.tar", base)
tar.file("manifest.json", compact([{"Config": "config.json", "RepoTags": ["localhost/last:1"],
                                    "Layers": ["base.tar"]}]))
write("twice.tar", tar)
END
for coding in gzip zstd xz bzip2; do
	"$coding" -qkc "$work/mixed.tar" >"$work/mixed.$coding"
	"$coding" -qkc "$work/v1.tar" >"$work/v1.$coding"
done

failures=0
complain() {
	say "$*"
	failures=$((failures + 1))
}

# check_rows MOUNT < "PLACE EXPECTED...": the names in the image's rootfs, or "error TEXT".
check_rows() {
	local place expected image text
	while read -r place expected; do
		[[ -n $place ]] || continue
		case $expected in
		error*)
			expected=${expected#error}
			expected=${expected# }
			if text=$(LC_ALL=C find "$1/$place" -type f -exec cat {} + 2>&1 >/dev/null); then
				complain "$place can be read"
			elif [[ $text != *"${expected:-Input/output error}"* ]]; then
				complain "$place: ${expected:-Input/output error} is not in: $(head -n 1 <<<"$text")"
			fi
			;;
		*)
			image=$(compgen -G "$1/$place/linux_*" | head -n 1) || true # the place may be a pattern
			text=$(names "$image/rootfs" 2>&1) || true
			[[ $text == "$expected" ]] || complain "$place: rootfs has '$text', not '$expected'"
			find "$image/rootfs" -type f -exec cat {} + >/dev/null 2>"$work/stderr" ||
				complain "$place: $(head -n 1 "$work/stderr")"
			;;
		esac
	done
}

for file in v1.tar v1.gzip v1.zstd v1.xz v1.bzip2; do
	mount_imgfs "docker-archive:$work/$file" "$work/mnt"
	check_rows "$work/mnt/localhost:5000/v1/_tags" <<-END
		top      base top
		base     base
		empty    base
		zeros    base
		windows  base windows
		loop     error
		self     error
		orphan   error
		broken   error
		gone     error
		hostile  error
		base     base
	END
	unmount "$work/mnt"
done
mount_imgfs "docker-archive:$work/v1-nameless.tar" "$work/nameless"
check_rows "$work/nameless" <<<"_untagged/sha256/* base"

for file in mixed.tar mixed.gzip mixed.zstd mixed.xz mixed.bzip2; do
	mount_imgfs "docker-archive:$work/$file" "$work/mnt"
	check_rows "$work/mnt" <<-END
		localhost/plain/_tags/1           base top
		localhost/dotted/_tags/1          base top
		localhost/symlink/_tags/1         base top
		localhost/hardlink/_tags/1        base top
		localhost/gzip/_tags/1            base
		localhost/zstd/_tags/1            base
		localhost/xz/_tags/1              base
		localhost/bzip2/_tags/1           base
		localhost/twice/_tags/1           base
		localhost/other/_tags/1           base top
		localhost/other/_tags/2           base top
		localhost/round/_tags/1           error
		localhost/out/_tags/1             error
		localhost/absolute/_tags/1        error
		localhost/climb/_tags/1           error
		localhost/missing/_tags/1         error
		localhost/directory/_tags/1       error
		localhost/config-climbs/_tags/1   error
		localhost/config-missing/_tags/1  error
		localhost/config-no-json/_tags/1  error
		_untagged/sha256/*                top
		localhost/plain/_tags/1           base top
	END
	[[ ! -e $work/mnt/.. || ! -e $work/mnt/climbs ]] || complain "a name that climbs is listed"
	unmount "$work/mnt"
done
mount_imgfs "docker-archive:$work/twice.tar" "$work/twice"
check_rows "$work/twice" <<<"localhost/last/_tags/1 base"

# No images are no error; a manifest.json that is none is, before the mount.
for file in null empty; do
	mount_imgfs "docker-archive:$work/$file.tar" "$work/$file"
	assert_eq "$(names "$work/$file")" "" "images in $file.tar"
done
for file in object cut; do
	assert_eq "$(exit_code "$IMGFS" "docker-archive:$work/$file.tar" "$work/twice" \
		-o "cache_dir=$cache")" 32 "$file.tar"
	assert_contains "$(<"$work/stderr")" manifest.json "its message"
done
head -c 1500 "$work/mixed.gzip" >"$work/cut.gzip"
assert_eq "$(exit_code "$IMGFS" "docker-archive:$work/cut.gzip" "$work/twice" \
	-o "cache_dir=$cache")" 32 "a compressed archive that is cut"
printf 'no archive\n' >"$work/text"
assert_eq "$(exit_code "$IMGFS" "$work/text" "$work/twice" -o "cache_dir=$cache")" 32 "a text"

# ---- other people's ---------------------------------------------------------------------------

# What is in them is by tar, bsdtar and skopeo, here written down.
if [[ -d ${IMGFS_FIXTURES:=$repository/../shared/fixtures}/manifests ]]; then
	archives=$IMGFS_FIXTURES/manifests/archives
	layouts=$IMGFS_FIXTURES/manifests/layouts
	count=0 mounted=
	while read -r source row; do
		if [[ $source != "$mounted" ]]; then
			count=$((count + 1)) mounted=$source
			source=${source/ARCHIVES/$archives}
			mount_imgfs "${source/LAYOUTS/$layouts}" "$work/outside-$count"
		fi
		check_rows "$work/outside-$count" <<<"$row"
	done <<-END
		docker-archive:ARCHIVES/test_image_1.tar bazel/v1/tarball/_tags/test_image_1 bar foo
		ARCHIVES/test_link.tar           bazel/v1/tarball/_tags/test_image_1 bar foo
		ARCHIVES/test_link.tar           bazel/v1/tarball/_tags/test_image_3 bar foo test
		ARCHIVES/legacy-no_manifest.tar  bazel/v1/tarball/_tags/test_image foo
		docker-archive:ARCHIVES/hello-world-v25.tar _untagged/sha256/* hello
		oci-archive:ARCHIVES/oci-estargz.tar _untagged/sha256/2e75eb783d1a* README.md
		ARCHIVES/oci-zstd.tar            _untagged/sha256/f5e3515f39a1* README.md
		ARCHIVES/basic.docker-archive.tar example.com/basic/_tags/1.0 bin dev etc opt run srv usr
		oci:LAYOUTS/basic                basic bin dev etc opt run srv usr
		oci:LAYOUTS/multi                multi-noatt bin etc opt usr
		oci:LAYOUTS/referrers            base bin etc opt usr
		oci:LAYOUTS/names                docker.io/library/names/_tags/latest bin etc opt usr
		oci:LAYOUTS/names                docker.io/library/busybox/_tags/1.36 bin etc opt usr
		oci:LAYOUTS/names                example.com/other/_tags/latest bin etc opt usr
		oci:LAYOUTS/ggcr_test_index      2 bat baz
		oci:LAYOUTS/ggcr_test_index      1/linux_amd64 error
	END
	# The same image in a layout and in the archive that skopeo made of it.
	mount_imgfs "oci:$layouts/basic" "$work/basic"
	mount_imgfs "docker-archive:$archives/basic.docker-archive.tar" "$work/basic-archive"
	# (Its capability is none that a kernel would give out.)
	"$tests/compare-trees.py" --nanoseconds --skip-xattrs "$work/basic/basic/linux_amd64/rootfs" \
		"$work/basic-archive/example.com/basic/_tags/1.0/linux_amd64/rootfs" >&2 ||
		complain "basic as an archive"
	assert_eq "$(config_digest "$work/basic-archive/example.com/basic/_tags/1.0/docker")" \
		"$(config_digest "$work/basic/basic/docker")" "its config"
fi
assert_eq "$failures" 0 "archives that differ"
