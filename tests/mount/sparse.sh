#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Files that are nearly all hole: 200 GB of which a few KB are stored, in each format of GNU tar.
. "$(dirname "$0")/../lib.sh"
need jq tar gzip

"$tests/make-scale-layout" --sparse 200G "$work/layout"
mnt=$work/mnt
mount_imgfs "oci:$work/layout" "$mnt"
root=$mnt/sparse/linux_amd64/rootfs
eighth=$((25 << 30))
size=$((8 * eighth))
piece() { dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none; } # FILE OFFSET LENGTH
assert_eq "$(names "$root")" "gnu pax-0.0 pax-0.1 pax-1.0" "files"

for file in "$root"/*; do
	name=$(basename "$file")
	assert_eq "$(stat -c %s "$file")" "$size" "$name: st_size"
	blocks=$(stat -c %b "$file")
	((blocks > 0 && blocks < 2048)) || fail "$name: $blocks blocks for 8 pieces"
	for n in 0 1 7; do
		text=$(piece "$file" $((n * eighth)) $((12 + ${#name})) | tr '\n' .)
		assert_eq "$text" "piece $n of $name." "$name: at $n eighths"
	done
	assert_eq "$(tail -c 4 "$file")" end "$name: its end"
	# Inside of a hole, over a reply's limit, and over the edge of a hole.
	head -c $((4 << 20)) /dev/zero | cmp - <(piece "$file" $((100 << 20)) $((4 << 20))) ||
		fail "$name: a hole that is no zeroes"
	assert_eq "$(piece "$file" $((eighth - 100)) 100 | tr -d '\0')" "" \
		"$name: before a piece"
done
assert_eq "$(du -s --apparent-size -B 1G "$root" | cut -f 1)" 800 "du --apparent-size, in GB"
(($(du -s -B 1M "$root" | cut -f 1) < 4)) || fail "du: $(du -sh "$root")"

# Where the data is: as SEEK_DATA and SEEK_HOLE have it, for the file and for one without a hole.
python3 - "$root/pax-1.0" "$size" "$mnt/sparse/linux_amd64/config.json" <<'END'
import errno, os, sys

def map_of(path):
    """(offset, length) of the data in a file, as cp(1) finds them."""
    fd, at, found = os.open(path, os.O_RDONLY), 0, []
    while True:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            return found
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        found.append((begin, at - begin))

size = int(sys.argv[2])
pieces = map_of(sys.argv[1])
for n in range(8):
    assert any(begin <= size // 8 * n < begin + length for begin, length in pieces), (n, pieces)
assert pieces[-1][0] + pieces[-1][1] == size, pieces
assert sum(length for _, length in pieces) < 1 << 20, pieces
assert len(pieces) == 9, pieces
dense = os.path.getsize(sys.argv[3])
assert map_of(sys.argv[3]) == [(0, dense)]
END
cp --sparse=auto "$root/gnu" "$work/copy"
assert_eq "$(stat -c %s "$work/copy")" "$size" "a copy's size"
(($(stat -c %b "$work/copy") < 2048)) || fail "a copy of $(stat -c %b "$work/copy") blocks"
for n in 0 3; do
	assert_eq "$(piece "$work/copy" $((n * eighth)) 15 | tr '\n' .)" "piece $n of gnu." "a copy"
done

# All that costs one span of each layer, and indexes of a few KB.
assert_eq "$(counter "$mnt" .spans_decoded)" 4 "spans decoded"
(($(du -s -B 1K "$cache/index" | cut -f 1) < 100)) || fail "indexes: $(du -sh "$cache/index")"
