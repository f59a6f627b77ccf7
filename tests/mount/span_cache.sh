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
layout = Layout(sys.argv[1])
layout.tag("one", layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"}))
layout.close()
with open(sys.argv[2], "wb") as out:
    out.write(content)
END
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

mount_imgfs "oci:$work/layout" "$mnt" span_cache=1
assert_same_file "$file" "$work/content"
