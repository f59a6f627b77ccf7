#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# 16 processes read a layer at random, 10,000 ranges of each coding, where there is room for one decoded span
# alone: every byte is the one that the coding's own tool decodes.
. "$(dirname "$0")/../lib.sh"
need bsdtar python3 jq zstd xz bzip2

coded=$(cached_image coded "$tests/make-coded-layers" 24)
declare -A decoder=([gzip]="gzip -dc" [gzip-members]="gzip -dc" [gzip-stored]="gzip -dc" [zstd]="zstd -dqc"
	[zstd-frames]="zstd -dqc" [xz]="xz -dc" [bzip2]="bzip2 -dc" [plain]=cat)
mnt=$work/mnt
mount_imgfs "oci:$coded/layout" "$mnt" span_cache=1

# read_at_random PAIRS READERS (FILE EXPECTED)...: prints how many ranges were compared.  Half-way, some
# readers have the kernel forget a file, so that reads reach the mount again.
read_at_random() {
	python3 - "$@" <<'END'
import mmap, os, random, sys
pairs, readers = int(sys.argv[1]), int(sys.argv[2])
def read_some(seed):
    rng = random.Random(seed)
    files = []
    for path, expected in zip(sys.argv[3::2], sys.argv[4::2]):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        with open(expected, "rb") as file:
            files.append((path, fd, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
        assert os.fstat(fd).st_size == len(files[-1][2]), path
    for number in range(pairs // readers):
        path, fd, expected = rng.choice(files)
        offset, length = rng.randrange(len(expected)), rng.randrange(1, 128 << 10)
        if os.pread(fd, length, offset) != expected[offset:offset + length]:
            sys.exit(f"{path}: {length} bytes at {offset} differ")
        if number == 300 and seed % 4 == 0:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
children = []
for seed in range(readers):
    child = os.fork()
    if not child:
        read_some(seed)
        os._exit(0)
    children.append(child)
good = sum(os.waitpid(child, 0)[1] == 0 for child in children)
print(good * (pairs // readers))
END
}

for coding in "${!decoder[@]}"; do
	image=$mnt/$coding/linux_amd64
	${decoder[$coding]} "$coded/$coding" >"$work/plain"
	bsdtar -xf "$work/plain" -C "$work" d/mixed
	before=$(counter "$mnt" .spans_decoded)
	assert_eq "$(read_at_random 10000 16 "$image"/layers/*/layer.tar "$work/plain" \
		"$image/rootfs/d/mixed" "$work/d/mixed")" 10000 "ranges of $coding that were right"
	decoded=$(($(counter "$mnt" .spans_decoded) - before))
	# There are about 25: each was pushed out and decoded again.
	((decoded > 100)) || fail "$coding: $decoded spans decoded"
done
