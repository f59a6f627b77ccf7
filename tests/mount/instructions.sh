#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How many instructions the frequent things cost, counted by valgrind without sanitizers: within 10 % of what
# is recorded in tests/instructions.txt.  Who changes them on purpose records them anew, and commits that:
#
#   tests/mount/instructions.sh --record
#
#   IMGFS_RELEASE  the program that is counted; default: build-O2/fs/imgfs, as tests/run builds it
. "$(dirname "$0")/../lib.sh"
need valgrind python3 gzip
: "${IMGFS_RELEASE:=$repository/build-O2/fs/imgfs}"
[[ -x $IMGFS_RELEASE ]] || skip "no build-O2: tests/run instructions makes it"
# The libraries choose their code by what the processor can do, as far as valgrind can do it too.
grep -qw avx2 /proc/cpuinfo || skip "recorded for processors with AVX2"
recorded=$tests/instructions.txt
margin=10 # per cent

python - "$work" <<'END'
import gzip, random, sys
from ocilayout import Layout, Tar
rng = random.Random(3)
words = [rng.randbytes(rng.randrange(2, 8)).hex().encode() for _ in range(4000)]
def archive(content, **directories):
    tar = Tar()
    for name, count in directories.items():
        for number in range(count):
            tar.file(f"{name}/{number:05}", "")
    tar.file("content", content)
    return tar.bytes()
def store(name, data):
    with open(f"{sys.argv[1]}/{name}", "wb") as out:
        out.write(gzip.compress(data, 6, mtime=0))
text = b" ".join(rng.choices(words, k=1 << 20))[:8 << 20]
layout = Layout(sys.argv[1] + "/layout")
small = layout.layer(archive(text[:2 << 20], once=1000, twice=2000))
layout.tag("one", layout.image([small], {"architecture": "amd64", "os": "linux"}))
layout.close()
store("mib-once", archive(text[:4 << 20]))
store("mib-twice", archive(text[:8 << 20]))
store("entries-once", archive(b"", e=2000))
store("entries-twice", archive(b"", e=4000))
END
mnt=$work/mnt
root=$mnt/one/linux_amd64/rootfs
mount_imgfs "oci:$work/layout" "$mnt" # so that the index is there
[[ -e $root/content ]] || fail "no content"
unmount "$mnt"

count() { # OUT VALGRIND-OPTIONS... -- COMMAND...
	local out=$1
	shift
	valgrind --tool=callgrind --vgdb=no --callgrind-out-file="$out" --log-file="$out.log" "$@"
}

# counted OUT: what was counted.
counted() { sed -n 's/^totals: //p' "$1"; }

# requests COMMAND...: what the operations on a mount cost, from the request to its answer.
requests() {
	count "$work/out" --toggle-collect='op_*' "$IMGFS_RELEASE" -f "oci:$work/layout" "$mnt" \
		-o "cache_dir=$cache" </dev/null >"$work/mount.log" 2>&1 &
	daemons[$mnt]=$!
	at_exit unmount_quietly "$mnt"
	poll 60 mountpoint -q "$mnt" || fail "not mounted: $(<"$work/mount.log")"
	"$@" >"$work/stdout" || fail "$*"
	unmount "$mnt"
	counted "$work/out"
}

walk() { requests find "$root/$1" -printf '%s\n'; }

# 4 KiB at a time, the first time to have the spans in memory; the pages never are.
read_pages() { # TIMES
	requests python3 - "$root/content" "$1" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
for _ in range(1 + int(sys.argv[2])):
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for page in range(400):
        assert len(os.pread(fd, 4096, page * 4096)) == 4096
END
}

index() { # BLOB
	rm -f "$work/index"
	count "$work/out" "$IMGFS_RELEASE" index "$work/$1" -o "$work/index"
	counted "$work/out"
}

# each TIMES COMMAND ONCE TWICE: what one of the TIMES costs by which they differ; all else cancels out.
each() { echo $((($("$2" "$4") - $("$2" "$3")) / $1)); }

{
	echo "# SPDX-License-Identifier: Apache-2.0"
	echo "# Instructions, by tests/mount/instructions.sh --record"
	echo "entry_walked $(each 1000 walk once twice)"
	echo "read_of_4_kib $(each 1600 read_pages 1 5)"
	echo "mib_indexed $(each 4 index mib-once mib-twice)"
	echo "entry_indexed $(each 2000 index entries-once entries-twice)"
} >"$work/counts"

if [[ ${1:-} == --record ]]; then
	cp "$work/counts" "$recorded"
	exit 0
fi
while read -r name value; do
	[[ $name != \#* ]] || continue
	expected=$(awk -v name="$name" '$1 == name { print $2 }' "$recorded")
	[[ -n $expected ]] || fail "$name is not in $recorded"
	say "$name: $value, recorded $expected"
	((100 * value <= (100 + margin) * expected)) || failures_after+=("$name: $value, recorded $expected")
	((100 * value >= (100 - margin) * expected)) ||
		failures_after+=("$name: $value, less than the recorded $expected: --record keeps it so")
done <"$work/counts"
