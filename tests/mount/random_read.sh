#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A small read in the middle of a big compressed file decodes one span, and no second time.
. "$(dirname "$0")/../lib.sh"
need jq python3

python - "$work/layout" "$work/content" <<'END'
import random, sys
from ocilayout import Layout, Tar
content = random.Random(1).randbytes(8 << 20) + b"line after line\n" * (1 << 20)
tar = Tar()
tar.file("big", content)
layout = Layout(sys.argv[1])
layout.tag("one", layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"}))
layout.close()
with open(sys.argv[2], "wb") as out:
    out.write(content)
END
mnt=$work/mnt
mount_imgfs "oci:$work/layout" "$mnt"
file=$mnt/one/linux_amd64/rootfs/big
assert_eq "$(stat -c %s "$file")" "$(stat -c %s "$work/content")" "size"
assert_eq "$(counter "$mnt" .spans_decoded)" 0 "spans decoded for a stat"

read_at "$file" "$work/content" 5000000
assert_eq "$(counter "$mnt" .spans_decoded)" 1 "spans decoded for one read"
read_at "$file" "$work/content" 5004096
assert_eq "$(counter "$mnt" .spans_decoded)" 1 "spans decoded for its neighbour"
read_at "$file" "$work/content" 20000000
assert_eq "$(counter "$mnt" .spans_decoded)" 2 "spans decoded for another place"
cmp "$file" "$work/content" || fail "content"
