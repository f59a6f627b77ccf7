#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Cold index of one gzip layer (both digests, seek points, entries) against `gzip -dc | sha256sum`,
# `gzip -dc` and, where it is installed, `igzip -dc`.  Processor time is that of all processes.
#
#   MIB=256      size of the layer, unpacked
#   FILES=20000  of it, how many small files
#   LAYER=FILE   another gzip layer instead
#   IMGFS_ZLIB   a second imgfs, built with -Disal=disabled, measured besides
. "$(dirname "$0")/lib.sh"
: "${MIB:=256}" "${FILES:=20000}"

make_tar() {
	mkdir -p "$work/tree/small"
	python - "$work/tree/small" "$FILES" <<-'END'
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
}

if [[ -n ${LAYER:-} ]]; then
	gzip -dc "$LAYER" >"$work/layer.tar"
else
	make_tar
fi
layout_of "$work/layout" "$work/layer.tar"
blob=$(find "$work/layout/blobs" -type f -size +1M)
size=$(stat -c %s "$work/layer.tar")
cat "$blob" >/dev/null

# measure NAME COMMAND...: one more wall time into wall_NAME, one more processor time into cpu_NAME.
measure() {
	local name=$1 TIMEFORMAT="%R %U %S" real user system
	shift
	read -r real user system < <({ time "$@" >/dev/null 2>&1; } 2>&1)
	declare -ga "wall_$name" "cpu_$name"
	eval "wall_$name+=($real) cpu_$name+=($(echo "$user $system" | awk '{ print $1 + $2 }'))"
}

# index NAME IMGFS: mounts with an empty cache, and lists the root, for which the index is made.
index() {
	local before IMGFS=$2
	declare -ga "wall_$1" "cpu_$1"
	rm -rf "$cache"
	mount_imgfs "oci:$work/layout" "$work/mnt"
	before=$(cpu_of "${daemons[$work/mnt]}")
	eval "wall_$1+=($(elapsed ls "$work/mnt/bench/linux_amd64/rootfs"))"
	eval "cpu_$1+=($(echo "$(cpu_of "${daemons[$work/mnt]}") $before" | awk '{ print $1 - $2 }'))"
	unmount "$work/mnt"
}

peer() { gzip -dc "$blob" | sha256sum; }

peers=(gzip_sha256sum gzip)
engines=(imgfs)
for ((round = 1; round <= ROUNDS; round++)); do
	measure gzip_sha256sum peer
	measure gzip gzip -dc "$blob"
	[[ -z $(command -v igzip) ]] || measure igzip igzip -dc "$blob"
	[[ -z ${IMGFS_ZLIB:-} ]] || index imgfs_zlib "$IMGFS_ZLIB"
	index imgfs "$IMGFS"
done
[[ -z $(command -v igzip) ]] || peers+=(igzip)
[[ -z ${IMGFS_ZLIB:-} ]] || engines+=(imgfs_zlib)

# middle KIND_NAME: the median of that list.
middle() {
	local -n list=$1
	median "${list[@]}"
}

for engine in "${engines[@]}"; do
	for peer in "${peers[@]}"; do
		row "cold index, wall ($engine)" s "$(middle "wall_$engine")" "$(middle "wall_$peer")" "$peer"
		row "cold index, processor ($engine)" s "$(middle "cpu_$engine")" "$(middle "cpu_$peer")" "$peer"
	done
	echo "$size $(middle "wall_$engine")" |
		awk '{ printf "%.0f MiB/s unpacked\n", $1 / $2 / 1048576 }'
done
# tree_len and windows_len of the index's header.
index=$(find "$cache" -path '*index*' -type f -size +4k -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
read -r tree windows < <(od -A n -t u8 -j 80 -N 16 "$index")
echo "$tree $windows $(stat -c '%s' "$index" "$blob" | xargs) $(tar -tf "$work/layer.tar" | wc -l)" | awk '{
	printf "index: %.1f bytes an entry, windows %.2f %% of the layer, other %.2f %%; %d entries\n",
		$1 / $5, 100 * $2 / $4, 100 * ($3 - $1 - $2) / $4, $5 }'
