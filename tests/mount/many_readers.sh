#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Thousands of readers of a layer that is not here, at once: it is fetched once, everybody gets the right bytes,
# and neither memory nor threads grow with their number.
#
#   READERS  how many; default 4000
#   SIZE     MiB of the layer; default 40
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq python3
: "${IMGFS_RELEASE:=$repository/build-O2/fs/imgfs}"
[[ -x $IMGFS_RELEASE ]] || skip "no build-O2: tests/run many_readers makes it"
IMGFS=$IMGFS_RELEASE # sanitizers take memory of their own
: "${READERS:=4000}" "${SIZE:=40}"
resident_max=$((150 << 20)) # of the daemon, at its peak, the pages of mapped files among it
threads_max=64              # of the daemon, with everybody waiting

# A small file for each reader, and a big one for all of them; each reads the layer as it is stored as well,
# and that first: it is what all of them can wait for at once (the kernel asks once for one directory).
python - "$work" "$READERS" "$SIZE" <<'END'
import random, sys
from ocilayout import Layout, Tar
random = random.Random(5)
tar = Tar()
with open(sys.argv[1] + "/small", "wb") as out:
    for n in range(int(sys.argv[2])):
        data = random.randbytes(1000)
        tar.file(f"{n:05}", data)
        out.write(data)
with open(sys.argv[1] + "/big", "wb") as out:
    data = random.randbytes(int(sys.argv[3]) << 20)
    tar.file("big", data)
    out.write(data)
layout = Layout(sys.argv[1] + "/layout")
layout.tag("one", layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"}))
layout.close()
END
blob=$(find "$work/layout/blobs" -type f -size +100k -printf '%f\n')
stored=$(stat -c %s "$work/layout/blobs/sha256/$blob")
path=/v2/app/blobs/sha256:$blob

start_faultregistry "app=$work/layout"
mnt=$work/mnt
mount_imgfs "docker://$registry/app" "$mnt" stall_timeout=600s,connect_timeout=600s
daemon=${daemons[$mnt]}
image=$mnt/one/linux_amd64
ls "$image" >"$work/stdout"
status() { awk -v "field=$1:" '$1 == field { print $2 }' "/proc/$daemon/status"; }

mkdir "$work/fusectl"
mount -t fusectl none "$work/fusectl"
at_exit umount "$work/fusectl"
connection=$work/fusectl/$(mountpoint -d "$mnt" | cut -d : -f 2)

# The registry stops until everybody waits.
reset_requests
kill -STOP "$registry_pid"
(
	ulimit -n $((2 * READERS + 100))
	exec python3 - "$image" "$work" "$READERS" "$work/layout/blobs/sha256/$blob" 2>"$work/readers.log" <<'END'
import glob, os, sys, threading
image, work, count, stored = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
root, layer = image + "/rootfs", glob.glob(image + "/layers/01-*")[0] + "/layer.tar.gz"
with open(work + "/small", "rb") as file:
    small = file.read()
done = []
def read_share(n, path, expected):
    """A page of path, the n-th of count places in it."""
    with open(path, "rb", buffering=0) as file, open(expected, "rb", buffering=0) as truth:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        offset = n * (os.fstat(truth.fileno()).st_size // count)
        assert os.pread(file.fileno(), 4096, offset) == os.pread(truth.fileno(), 4096, offset), path
def read(n):
    try:
        read_share(n, layer, stored)
        with open(f"{root}/{n:05}", "rb") as file:
            assert file.read() == small[n * 1000:(n + 1) * 1000], n
        read_share(n, root + "/big", work + "/big")
        done.append(n)
    except Exception as error:
        print(f"reader {n}: {error!r}", file=sys.stderr)
threading.stack_size(256 << 10)
threads = [threading.Thread(target=read, args=(n,)) for n in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(len(done) != count)
END
) &
readers=$!
all_wait() { (($(<"$connection/waiting") >= READERS)); }
poll 120 all_wait || fail "$(<"$connection/waiting") readers wait, not $READERS: $(tail -n 3 "$work/readers.log")"
threads=$(status Threads)
kill -CONT "$registry_pid"
wait "$readers" || fail "$(wc -l <"$work/readers.log") of $READERS readers: $(head -n 3 "$work/readers.log")"

fetched=$(requests ".paths[\"$path\"].bytes")
peak=$(($(status VmHWM) * 1024))
say "$READERS readers, layer of $stored bytes: $fetched bytes fetched, $peak resident at the peak, $threads threads"
assert_eq "$(requests ".paths[\"$path\"].methods.GET")" 1 "downloads of the layer"
((fetched * 100 <= stored * 102)) || fail "$fetched bytes for a layer of $stored"
((peak < resident_max)) || fail "$peak bytes resident, not below $resident_max"
((threads <= threads_max)) || fail "$threads threads, not $threads_max at most"
