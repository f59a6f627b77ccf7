#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory that is the daemon's own (indexes are mapped, their pages are the kernel's) stays below 16 MiB, 100
# bytes for each entry that somebody looked at, and the room for decoded spans; reading on takes no more.
. "$(dirname "$0")/../lib.sh"
need python3
: "${IMGFS_RELEASE:=$repository/build-O2/fs/imgfs}"
[[ -x $IMGFS_RELEASE ]] || skip "no build-O2: tests/run memory makes it"
IMGFS=$IMGFS_RELEASE # sanitizers take memory of their own

entries=100000
spans=$((4 << 20))
python - "$work/layout" "$entries" <<'END'
import random, sys
from ocilayout import Layout, Tar
tar = Tar()
for number in range(int(sys.argv[2])):
    tar.file(f"small/{number // 1000:03}/{number:06}", "")
tar.file("big", random.Random(5).randbytes(1 << 20) * 32)
layout = Layout(sys.argv[1])
image = layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"})
layout.tag("one", image)
layout.close()
END
mnt=$work/mnt
root=$mnt/one/linux_amd64/rootfs
mount_imgfs "oci:$work/layout" "$mnt"
[[ -e $root/big ]] || fail "no big file"
unmount "$mnt" # the index is there: what making it takes is not measured

anonymous() { awk '/^RssAnon:/ { print $2 * 1024 }' "/proc/${daemons[$mnt]}/status"; }

within() { # LIMIT WHAT
	local bytes
	bytes=$(anonymous)
	say "$bytes bytes $2, at most $1"
	((bytes > 0 && bytes <= $1)) || failures_after+=("$bytes bytes $2, not $1 at most")
}

mount_imgfs "oci:$work/layout" "$mnt" "span_cache=$spans"
assert_eq "$(find "$root/small" -type f -size 0 | wc -l)" "$entries" "files"
within $(((16 << 20) + 100 * entries)) "after a walk"
cat "$root/big" >"$work/big"
before=$(anonymous)
within $(((16 << 20) + 100 * entries + spans)) "after a read"
for _ in 1 2 3 4 5; do
	dd if="$root/big" of="$work/big" bs=1M iflag=nocache status=none
	find "$root/small" -type f -size +0
done
within $((before + spans)) "after more of both"
