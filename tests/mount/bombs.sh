#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Small images that become large: they cost bounded memory and bounded disk, are interrupted at once, and what a
# reader gets is what LIMITS in imgfs(5) says.
#
# Sizes are such that it takes seconds with sanitizers: 10 GiB where nobody reads to the end, less where somebody
# does; nothing but the time grows with them.
. "$(dirname "$0")/../lib.sh"
need_root
need jq python3 xz zstd
# Freed memory that a sanitizer holds back is none of ours.
export ASAN_OPTIONS="$ASAN_OPTIONS:quarantine_size_mb=1"
resident_max=$((200 << 20)) # of the daemon at its peak; a few spans, zstd's window and a sanitizer's share
disk_max=$((8 << 20))       # of the cache, where what comes out is zeroes

python - "$work/bombs" <<'END'
import gzip, lzma, random, struct, subprocess, sys, tarfile, zlib
from ocilayout import Layout
layout = Layout(sys.argv[1])
MIB, GIB = 1 << 20, 1 << 30

def header(name, size=0, type=tarfile.REGTYPE, pax=None):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.pax_headers = size, type, pax or {}
    return info.tobuf(tarfile.PAX_FORMAT)

def member(data):
    return gzip.compress(data, 9, mtime=0)

def gz(head, size):                     # members of 64 MiB of zeroes
    return member(head) + member(bytes(64 * MIB)) * (size // (64 * MIB)) + member(bytes(1024))

def xz(head, size):
    return b"".join((lzma.compress(head), lzma.compress(bytes(64 * MIB), preset=0) * (size // (64 * MIB)),
                     lzma.compress(bytes(1024))))

def zst(head, size):                    # RFC 8878: one frame, blocks of RLE: 10 GiB in 330 KB
    def block(type, size, last=0):
        return struct.pack("<I", last | type << 1 | size << 3)[:3]
    piece = 128 << 10
    return (struct.pack("<IBB", 0xFD2FB528, 0, (17 - 10) << 3) + block(0, len(head)) + head +
            (block(1, piece) + b"\0") * (size // piece) + block(1, 1024, 1) + b"\0")

def one_block(head, size):              # RFC 1951: stored, then fixed codes without an end: 0, and 258 times the same
    repeats, rest = divmod(size + 1023, 258)
    bits = "110" + "00110000" + "1100010100000" * repeats + "00110000" * rest + "0000000"
    bits += "0" * (-len(bits) % 8)
    packed = int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")
    crc = zlib.crc32(bytes(size + 1024), zlib.crc32(head))
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + struct.pack("<BHH", 0, len(head), len(head) ^ 0xffff) + head +
            packed + struct.pack("<II", crc, len(head) + size + 1024))

def tag(name, stored, coding, diff_id="sha256:" + "0" * 64):
    layer, _ = layout.layer(b"", coding, stored=stored)
    layout.tag(name, layout.image([(layer, diff_id)], {"architecture": "amd64", "os": "linux"}))

for coding, make in (("gzip", gz), ("zstd", zst)):
    tag(coding + "-10G", make(header("zeroes", 10 * GIB), 10 * GIB), coding)
    tag(coding, make(header("zeroes", GIB // 2), GIB // 2), coding)
tag("block", one_block(header("zeroes", GIB // 8), GIB // 8), "gzip")
tag("xz", xz(header("zeroes", GIB // 2), GIB // 2), "plain")

# What does not repeat within what is compressed alone: 16 times as large in the cache.
noise = random.Random(1).randbytes(4 * MIB)
plain = header("noise", 64 * MIB) + noise * 16 + bytes(1024)
tag("noise", subprocess.run(["zstd", "-q", "-c", "--long=27"], input=plain, stdout=subprocess.PIPE, check=True).stdout,
    "zstd")

# A million headers: each name ten times.
names = member(b"".join(header(f"{n:06}") for n in range(100000)))
tag("headers", names * 10 + member(bytes(1024)), "gzip")

# A petabyte that is not there, by pax records (GNU.sparse 0.1) of one file.
def sparse(map, size, data):
    pax = {"GNU.sparse.size": str(size), "GNU.sparse.numblocks": str(len(map) // 2),
           "GNU.sparse.map": ",".join(str(n) for n in map), "GNU.sparse.name": "sparse"}
    return header("sparse", len(data), pax=pax) + data
tag("sparse", gzip.compress(sparse([0, 512, 1 << 50, 0], 1 << 50, b"x" * 512) + bytes(1024)), "gzip")

# 30 levels, each with ten references to the next one.
below = layout.image([], {"architecture": "amd64", "os": "linux"})
shallow = None
for level in range(30):
    below = layout.index([below] * 10)
    shallow = below if level == 2 else shallow
layout.tag("laughs", below)
layout.tag("shallow", shallow)
layout.close()
END
stored=$(du -sb "$work/bombs" | cut -f 1)
say "all bombs: $stored bytes"

mnt=$work/mnt
status() { awk -v "field=$1:" '$1 == field { print $2 }' "/proc/${daemons[$mnt]}/status"; }
in_cache() { du -sb "$cache" | cut -f 1; }
# layer TAG: its directory.
layer() { echo "$mnt/$1"/linux_amd64/layers/01-*; }

check_bounds() { # WHAT DISK
	local peak disk
	peak=$(($(status VmHWM) << 10))
	disk=$(in_cache)
	say "$1: $peak bytes resident at the peak, $disk in the cache"
	((peak <= resident_max)) || fail "$1: $peak bytes resident, not $resident_max at most"
	((disk <= $2)) || fail "$1: $disk bytes in the cache, not $2 at most"
}

# ---- with a limit ------------------------------------------------------------------------------

mount_imgfs "oci:$work/bombs" "$mnt" fetch_limit=64M
for name in gzip-10G zstd-10G gzip zstd xz block; do
	assert_fails "File too large" ls "$(layer "$name")/diff"
	assert_fails "File too large" ls "$mnt/$name/linux_amd64/rootfs"
done
# The blob itself is small, and can be read.
cmp "$(layer zstd-10G)"/layer.tar.zst "$work/bombs/blobs/sha256/$(attribute digest "$(layer zstd-10G)"/layer.tar.zst | cut -d : -f 2)"
check_bounds "with fetch_limit" "$disk_max"

# ---- headers, names, holes, references ---------------------------------------------------------

diff=$(layer sparse)/diff
assert_eq "$(stat -c %s "$diff/sparse")" "$((1 << 50))" "size of the sparse file"
(($(stat -c %b "$diff/sparse") < 100)) || fail "the sparse file is said to take $(stat -c %b "$diff/sparse") blocks"
python3 - "$diff/sparse" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
assert os.lseek(fd, 0, os.SEEK_HOLE) == 512
assert os.pread(fd, 4096, 0) == b"x" * 512 + bytes(4096 - 512)
for offset in (1 << 30, 1 << 49, (1 << 50) - 4096):
    assert os.pread(fd, 4096, offset) == bytes(4096), offset
try:
    where = os.lseek(fd, 512, os.SEEK_DATA)
    assert where >= (1 << 50) - 4096, where
except OSError as error:
    assert error.errno == 6, error # ENXIO
END

# Each manifest once, however many ways lead to it; 30 levels are too many.
assert_eq "$(find "$mnt/shallow" -maxdepth 1 -name 'linux*' | wc -l)" 1 "platforms behind three levels of ten"
assert_fails "File too large" timeout 10 ls "$mnt/laughs"
check_bounds "holes and references" "$disk_max"
unmount "$mnt"

# ---- without one -------------------------------------------------------------------------------

mount_imgfs "oci:$work/bombs" "$mnt" cache_size=24M
diff=$(layer headers)/diff
assert_eq "$(find "$diff" -name '0999*' | wc -l)" 100 "files of a million headers"
check_bounds "a million headers" $((24 << 20))

# What comes out of this takes no less than 64 MiB: more than the cache may have.
assert_fails "File too large" ls "$(layer noise)/diff"
check_bounds "noise" $((24 << 20))
assert_contains "$(<"$mnt/.imgfs/log")" "more than cache_size" "the log"

# Zeroes are no harm: they are there, in little room.
for name in zstd xz block; do
	diff=$(layer "$name")/diff
	(($(stat -c %s "$diff/zeroes") >= 1 << 27)) || fail "size of what is in $name: $(stat -c %s "$diff/zeroes")"
	assert_eq "$(dd if="$diff/zeroes" bs=64K skip=1500 count=1 status=none | tr -d '\0' | wc -c)" 0 "bytes other than 0"
done
check_bounds "zeroes" $((24 << 20))
[[ -n $(find "$cache/spool" -name "$(attribute digest "$(layer block)"/layer.tar.gz | cut -d : -f 2)") ]] ||
	fail "a block of 128 MiB is not in a seekable copy"

# Whoever waits for ten gigabytes can change his mind.
for name in gzip-10G zstd-10G; do
	env --default-signal ls "$(layer "$name")/diff" >"$work/stdout" 2>"$work/stderr" &
	reader=$!
	indexing() { [[ $(attribute state "$(layer "$name")") == indexing* ]]; }
	poll 10 indexing || fail "$name: nobody waits: $(attribute state "$(layer "$name")")"
	begin=$(date +%s%N)
	kill -INT "$reader"
	wait_gone "$reader" 5 || fail "a reader of $name lives 5 s after SIGINT"
	say "$name: interrupted after $((($(date +%s%N) - begin) / 1000000)) ms"
done
check_bounds "interrupted" $((24 << 20))
unmount "$mnt"
