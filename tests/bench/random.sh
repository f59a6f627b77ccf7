#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Random 4 KiB reads in one big file of a gzip layer, cold, against archivemount on the same archive
# and squashfuse on an image made of it; then one sequential read.
#
#   MIB=1024  size of the file    READS=200  how many reads (archivemount: a tenth)
. "$(dirname "$0")/lib.sh"
need mksquashfs squashfuse archivemount
: "${MIB:=1024}" "${READS:=200}"

mkdir "$work/tree" "$work/squash" "$work/archive"
compressible "$work/tree/data.bin" "$MIB"
tar -C "$work/tree" --format=pax -cf "$work/layer.tar" .
mksquashfs "$work/tree" "$work/peer.squashfs" -comp gzip -no-progress -quiet >/dev/null
rm -r "$work/tree"
layout_of "$work/layout" "$work/layer.tar"
rm "$work/layer.tar"
cp "$(find "$work/layout/blobs" -type f -size +1M)" "$work/layer.tar.gz"

# read_random FILE COUNT: median and 99th percentile, in milliseconds.
read_random() {
	python - "$1" "$2" <<-'END'
		import os, random, sys, time
		file = os.open(sys.argv[1], os.O_RDONLY)
		os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
		size, times = os.fstat(file).st_size, []
		random.seed(2)
		for _ in range(int(sys.argv[2])):
		    offset = random.randrange(size // 4096) * 4096
		    begin = time.perf_counter()
		    os.pread(file, 4096, offset)
		    times.append((time.perf_counter() - begin) * 1000)
		times.sort()
		print(times[len(times) // 2], times[len(times) * 99 // 100])
	END
}
ours=$work/mnt/bench/linux_amd64/rootfs/data.bin
mount_imgfs "oci:$work/layout" "$work/mnt"
stat "$ours" >/dev/null
squashfuse "$work/peer.squashfs" "$work/squash"
at_exit unmount_quietly "$work/squash"
archivemount -o readonly "$work/layer.tar.gz" "$work/archive" 2>/dev/null
at_exit unmount_quietly "$work/archive"

read -r our_p50 our_p99 < <(read_random "$ours" "$READS")
read -r squash_p50 squash_p99 < <(read_random "$work/squash/data.bin" "$READS")
read -r archive_p50 archive_p99 < <(read_random "$work/archive/data.bin" $(((READS + 9) / 10)))
row "random 4 KiB, median" ms "$our_p50" "$archive_p50" archivemount
row "random 4 KiB, 99th percentile" ms "$our_p99" "$archive_p99" archivemount
row "random 4 KiB, median" ms "$our_p50" "$squash_p50" squashfuse
row "random 4 KiB, 99th percentile" ms "$our_p99" "$squash_p99" squashfuse

drop_caches
row "sequential read" s "$(elapsed cat "$ours")" "$(elapsed cat "$work/squash/data.bin")" squashfuse
