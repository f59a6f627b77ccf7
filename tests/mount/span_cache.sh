#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Decoded spans in memory: what is returned to outlives a scan, who reads on decodes nothing twice, and
# room for one span is enough for everything.
. "$(dirname "$0")/../lib.sh"
need jq python3

# Random bytes do not compress, so each MiB begins another span.
python - "$work/layout" "$work/content" <<'END'
import random, sys
from ocilayout import Layout, Tar
content = random.Random(1).randbytes(40 << 20)
tar = Tar()
tar.file("big", content)
for n in range(200):
    tar.file("small%03d" % n, content[n << 15:n + 1 << 15])
layout = Layout(sys.argv[1])
layout.tag("one", layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"}))
layout.close()
with open(sys.argv[2], "wb") as out:
    out.write(content)
with open(sys.argv[2] + ".tar", "wb") as out:
    out.write(tar.bytes())
END
# inner_files: the small files of three spans that hold no span's last byte.
inner_files() {
	python3 - "$work/content.tar" <("$IMGFS" index --show "$cache"/index/sha256/*) <<'END'
import re, sys, tarfile
ends = [int(a) + int(b) for a, b in re.findall(r"^# span \d+ plain=(\d+)\+(\d+)", open(sys.argv[2]).read(), re.M)]
first = next(n for n, end in enumerate(ends) if end > 41 << 20)
for member in tarfile.open(sys.argv[1]):
    begin, end = member.offset_data, member.offset_data + member.size
    if ends[first - 1] <= begin and end < ends[first + 2] and not any(begin < at <= end for at in ends):
        print(member.name)
END
}
mnt=$work/mnt
file=$mnt/one/linux_amd64/rootfs/big

# touch_at STEP MIB...: 4 KiB in the midst of each; another STEP reads other pages of them.
touch_at() {
	local step=$1 mib offsets=()
	shift
	for mib; do
		offsets+=($(((mib << 20) + (512 << 10) + 4096 * step)))
	done
	read_at "$file" "$work/content" "${offsets[@]}"
}
decoded() { counter "$mnt" .spans_decoded; }

mount_imgfs "oci:$work/layout" "$mnt" span_cache=8M
touch_at 0 20
assert_eq "$(decoded)" 1 "spans for one read"
touch_at 0 {11..0} # backwards: nothing is decoded ahead
assert_eq "$(decoded)" 13 "spans for a scan"
touch_at 1 20
assert_eq "$(decoded)" 14 "spans when the scan had pushed it out"
touch_at 0 {35..24}
assert_eq "$(decoded)" 26 "spans for another scan"
touch_at 2 20
assert_eq "$(decoded)" 26 "spans for what was returned to before"
unmount "$mnt"

mount_imgfs "oci:$work/layout" "$mnt"
touch_at 0 {0..39}
(($(decoded) <= 41)) || fail "$(decoded) spans decoded for 40 MiB in order"
unmount "$mnt"

# Decoded ahead is for those who read on, in one file or from file to file; not for who looks here and there.
ahead() { (($(decoded) >= $1)); }
mount_imgfs "oci:$work/layout" "$mnt"
touch_at 0 {0..5}
assert_eq "$(decoded)" 6 "spans for reads here and there"
unmount "$mnt"
mount_imgfs "oci:$work/layout" "$mnt"
head -c 3M "$file" | cmp - <(head -c 3M "$work/content")
poll 5 ahead 6 || fail "$(decoded) spans decoded for 3 MiB of a file"
unmount "$mnt"
mount_imgfs "oci:$work/layout" "$mnt"
mapfile -t small < <(inner_files)
((${#small[@]} >= 30)) || fail "only ${#small[@]} files inside spans"
for name in "${small[@]}"; do
	cat "${file%big}$name" >"$work/stdout"
done
poll 5 ahead 6 || fail "$(decoded) spans decoded for files in three of them"
unmount "$mnt"

mount_imgfs "oci:$work/layout" "$mnt" span_cache=1
assert_same_file "$file" "$work/content"
