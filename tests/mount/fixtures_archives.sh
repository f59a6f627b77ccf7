#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Other readers' test archives as layers: what all accept shows as bsdtar lists it, what all refuse
# is an error, and what they disagree on does no harm.
. "$(dirname "$0")/../lib.sh"
need_fixtures
need jq zstd python3 bsdtar

archives=$IMGFS_FIXTURES/archives
python - "$work/layout" "$archives" <<'END'
import json, os, subprocess, sys
from ocilayout import OCI, Layout, Tar, sha256

layout, directory = Layout(sys.argv[1]), sys.argv[2]
AMD64 = {"architecture": "amd64", "os": "linux"}
with open(os.path.join(directory, "EXPECT", "INDEX.json")) as index:
    names = json.load(index)["archives"]
for name in names:
    coding = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"}.get(os.path.splitext(name)[1], "plain")
    with open(os.path.join(directory, name), "rb") as source:
        stored = source.read()
    command = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-qdc"], "plain": ["cat"]}[coding]
    plain = subprocess.run(command, input=stored, capture_output=True).stdout
    descriptor = {"mediaType": OCI[coding], **layout.put(stored)}
    layout.tag(name, layout.image([(descriptor, sha256(plain))], AMD64))
tar = Tar()
tar.file("fine", "fine\n")
layout.tag("good", layout.image([layout.layer(tar.bytes())], AMD64))
layout.close()
END

mnt=$work/mnt
mount_imgfs "oci:$work/layout" "$mnt"
good() { assert_eq "$(cat "$mnt/good/linux_amd64/rootfs/fine")" fine "the neighbour of $1"; }

failures=0
complain() {
	say "$*"
	failures=$((failures + 1))
}
# Where bsdtar is no measure; tests/unit/tar.c and tree.c have these by the specification.
declare -A differing=(
	[go--pax-global-records.tar]="bsdtar passes over global records"
	[go--nil-uid.tar]="bsdtar reads a field that the header's kind does not have"
	[commons-compress--long-name-gnu.tar]="a name that no file system takes"
	[node-tar--links-invalid.tar]="a hard link to nothing"
)
while read -r name kind verdict; do
	diff=$(echo "$mnt/$name"/linux_amd64/layers/01-*)/diff
	rc=0
	timeout 30 find "$diff" -type f -exec cat {} + >"$work/stdout" 2>"$work/stderr" || rc=$?
	case $kind-$verdict in
	tar-valid)
		if ((rc)); then
			complain "$name: $(head -n 1 "$work/stderr")"
		elif [[ -z ${differing[$name]:-} ]]; then
			rm -rf "$work/extracted"
			mkdir "$work/extracted"
			LC_ALL=C.UTF-8 bsdtar -xf "$archives/$name" -C "$work/extracted" 2>"$work/bsdtar" || true
			"$tests/compare-mtree.py" "$archives/EXPECT/$name.mtree" "$diff" "$work/extracted" >&2 ||
				complain "$name: the tree differs"
		fi
		;;
	*-invalid)
		((rc)) || complain "$name: accepted, though nobody else does"
		grep -q -e 'Input/output error' -e 'not supported' -e 'File too large' "$work/stderr" ||
			complain "$name: $(head -n 1 "$work/stderr")"
		;;
	*) # a stream that is no archive, or a disputed one: an answer, whichever
		((rc != 124)) || complain "$name: no answer"
		;;
	esac
	good "$name"
done < <(jq -r '.archives | to_entries[] | "\(.key) \(.value.kind) \(.value.verdict)"' \
	"$archives/EXPECT/INDEX.json")
assert_eq "$failures" 0 "archives that differ"
