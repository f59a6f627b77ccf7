#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Cold index of one gzip layer (both digests, seek points, entries) against gzip -dc | sha256sum.
#
#   MIB=256      size of the layer, unpacked
#   FILES=20000  of it, how many small files
. "$(dirname "$0")/lib.sh"
: "${MIB:=256}" "${FILES:=20000}"

mkdir -p "$work/tree/small"
python - "$work/tree/small" "$FILES" <<'END'
import os, sys
for n in range(int(sys.argv[2])):
    if n % 500 == 0:
        directory = f"{sys.argv[1]}/{n // 500:04d}"
        os.mkdir(directory)
    with open(f"{directory}/file-{n}.txt", "w") as out:
        out.write(f"file {n}\n" * (n % 100))
END
compressible "$work/tree/big" "$MIB"
tar --sort=name --format=pax -C "$work/tree" -cf "$work/layer.tar" .
rm -r "$work/tree"
layout_of "$work/layout" "$work/layer.tar"
blob=$(find "$work/layout/blobs" -type f -size +1M)
size=$(stat -c %s "$work/layer.tar")
cat "$blob" >/dev/null

peer() { gzip -dc "$blob" | sha256sum; }
ours=() theirs=() cpus=()
for ((round = 1; round <= ROUNDS; round++)); do
	theirs+=("$(elapsed peer)")
	rm -rf "$cache"
	mount_imgfs "oci:$work/layout" "$work/mnt"
	before=$(cpu_of "${daemons[$work/mnt]}")
	ours+=("$(elapsed ls "$work/mnt/bench/linux_amd64/rootfs")")
	cpus+=("$(echo "$(cpu_of "${daemons[$work/mnt]}") $before" | awk '{ print $1 - $2 }')")
	unmount "$work/mnt"
done
mib() { echo "$size $1" | awk '{ printf "%.1f\n", $1 / $2 / 1048576 }'; }
row "cold index, wall" s "$(median "${ours[@]}")" "$(median "${theirs[@]}")" "gzip|sha256sum"
row "cold index, unpacked" MiB/s "$(mib "$(median "${ours[@]}")")" "$(mib "$(median "${theirs[@]}")")" \
	"gzip|sha256sum"
echo "processor time of imgfs: $(median "${cpus[@]}") s; index on disk:" \
	"$(du -sh "$cache" | cut -f 1) for $(du -h "$blob" | cut -f 1) of layer"
