#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A layer whose index is cached, and whose blob is not: reading fetches the spans it needs by range.
. "$(dirname "$0")/../lib.sh"
need curl jq python3 zstd

# One layer per tag: gzip with a file longer than what is kept in memory decoded, and small files before
# and behind it; and one zstd frame, which can be entered at its start alone.
write_layout() {
	python - "$1" "$work/content" <<'END'
import os, random, subprocess, sys
from ocilayout import Layout, Tar
random = random.Random(1)
block = lambda: random.randbytes(32 << 10) + b"line after line\n" * (96 << 6)
files = {"small/%02d" % n: random.randbytes(7000) for n in range(20)}
files["big"] = b"".join(block() for _ in range(720))
files["other"] = b"".join(block() for _ in range(72))
files["last"] = random.randbytes(50000)
layout = Layout(sys.argv[1])
def tag(name, names, coding):
    tar = Tar()
    for each in names:
        tar.file(each, files[each])
    archive = tar.bytes()
    stored = subprocess.run({"gzip": ["gzip", "-n1"], "zstd": ["zstd", "-q1"]}[coding],
                            input=archive, stdout=subprocess.PIPE, check=True).stdout
    layer = layout.layer(archive, coding, stored=stored)
    layout.tag(name, layout.image([layer], {"architecture": "amd64", "os": "linux"}))
tag("gzip", files, "gzip")
tag("zstd", ["other", "last"], "zstd")
layout.close()
for name, content in files.items():
    path = os.path.join(sys.argv[2], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(content)
END
}
write_layout "$work/layout"
start_faultregistry "app=$work/layout"
mnt=$work/mnt

# use TAG: from now on, the image, its layer's digest and path in the registry's counters.
use() {
	root=$mnt/$1/linux_amd64/rootfs
	manifest=$(jq -r ".manifests[] | select(.annotations[\"org.opencontainers.image.ref.name\"] == \"$1\").digest" \
		"$work/layout/index.json")
	digest=$(json "$work/layout/blobs/sha256/${manifest#*:}" '.layers[0].digest')
	path=/v2/app/blobs/$digest
	stored=$(stat -c %s "$work/layout/blobs/sha256/${digest#*:}")
}

# layer_requests, layer_bytes: what the blob cost; in_cache: is it here?
layer_requests() { requests "[.paths[\"$path\"].methods[]?] | add // 0"; }
layer_bytes() { requests ".paths[\"$path\"].bytes // 0"; }
in_cache() { [[ -e $cache/blobs/sha256/${digest#*:} ]]; }

# again [OPTIONS]: a new mount, with the blob gone from the cache, and no rules.
again() {
	[[ -z ${daemons[$mnt]:-} ]] || unmount "$mnt"
	rm -f "$cache/blobs/sha256/${digest#*:}"
	rules '[]'
	mount_imgfs "docker://$registry/app" "$mnt" "retries=1${1:+,$1}"
	ls "$root" >"$work/stdout"
	reset_requests
}

forget_pages() { dd if="$root/$1" iflag=nocache count=0 status=none; }

use zstd
mount_imgfs "docker://$registry/app" "$mnt"
cat "$root/last" >"$work/stdout"
use gzip
cat "$root/last" >"$work/stdout"

# ---- what it costs ----------------------------------------------------------------------------

again
assert_eq "$(layer_requests)" 0 "requests for a listing"
assert_same_file "$root/last" "$work/content/last"
assert_eq "$(layer_requests)" 1 "requests for a small file"
bytes=$(layer_bytes)
((bytes <= 1500000 && bytes < stored / 20)) || fail "$bytes bytes of $stored for a small file"
[[ $(curl -sfS "$fault/__log" | jq -r ".[] | select(.path == \"$path\").range") =~ ^bytes=[0-9]+-[0-9]+$ ]] ||
	fail "not a closed range"
! in_cache || fail "the blob is back in the cache"

again
read_at "$root/big" "$work/content/big" 47000000
assert_eq "$(layer_requests)" 1 "requests for 4 KiB"
bytes=$(layer_bytes)
((bytes <= 1200000)) || fail "$bytes bytes for 4 KiB"
read_at "$root/big" "$work/content/big" 47004096
read_at "$root/big" "$work/content/big" 4096
assert_eq "$(layer_requests)" 2 "requests for 4 KiB nearby, and elsewhere"

again
for file in "$work"/content/small/*; do
	assert_same_file "$root/small/${file##*/}" "$file"
done
count=$(layer_requests)
((count <= $(counter "$mnt" .spans_decoded))) || fail "$count requests for small files"
((count <= 2)) || fail "$count requests for small files of one span"

# All of a big file: each stored byte once, many spans by one request.
again
assert_same_file "$root/big" "$work/content/big"
bytes=$(layer_bytes)
count=$(layer_requests)
spans=$(counter "$mnt" .spans_decoded)
((spans >= 50)) || fail "$spans spans: too few to tell"
((count <= spans / 5)) || fail "$count requests for $spans spans"
((bytes <= stored * 11 / 10)) || fail "$bytes bytes of $stored for all of big"
repeated=$(requests ".paths[\"$path\"].repeated_bytes")
((repeated <= count * 1000)) || fail "$repeated bytes fetched twice"

# Eighty readers all over it, at once, each with a span of its own: nobody goes on to the next one, so
# nothing is fetched ahead, and for nothing.
again
python3 - "$root/big" "$work/content/big" <<'END'
import concurrent.futures, os, sys
content = open(sys.argv[2], "rb").read()
file = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
def is_right(n):
    offset = n * 37 % 80 * (len(content) // 80)
    return os.pread(file, 4096, offset) == content[offset:offset + 4096]
with concurrent.futures.ThreadPoolExecutor(80) as pool:
    assert all(pool.map(is_right, range(80)))
END
bytes=$(layer_bytes)
((bytes <= stored)) || fail "$bytes bytes of $stored for 80 readers"

# Nothing is fetched ahead behind the end of what is read.
again
assert_same_file "$root/other" "$work/content/other"
bytes=$(layer_bytes)
((bytes <= stored / 10 + 1100000)) || fail "$bytes bytes of $stored for other"

# Whoever comes again for what memory had to let go gets it, and then the whole blob.
again
for pass in 1 2 3; do
	forget_pages big
	assert_same_file "$root/big" "$work/content/big"
done
in_cache || fail "ranges for ever"
bytes=$(layer_bytes)
((bytes >= stored && bytes <= stored * 21 / 10)) || fail "$bytes bytes of $stored for $pass passes"

# From no mount to a file: the tag and a range; with nothing local but the index, the manifest, the config
# and whether we may read the layer as well.
unmount "$mnt"
rm "$cache/blobs/sha256/${digest#*:}"
reset_requests
mount_imgfs "docker://$registry/app:gzip" "$mnt" rootfs
assert_same_file "$mnt/last" "$work/content/last"
assert_eq "$(requests)" 2 "requests for a mount and a file"
unmount "$mnt"
find "$cache" -mindepth 1 -maxdepth 1 ! -name index ! -name spool -exec rm -r {} +
reset_requests
mount_imgfs "docker://$registry/app:gzip" "$mnt" rootfs
assert_same_file "$mnt/last" "$work/content/last"
assert_eq "$(requests)" 4 "requests for a mount and a file, with nothing but the index"
bytes=$(requests .bytes)
((bytes <= 1500000)) || fail "$bytes bytes for a mount and a file"

# ---- what is wrong ----------------------------------------------------------------------------

# faulty DO [MORE]: rules for ranges of the layer.
faulty() {
	again
	rules "[{\"match\": {\"path\": \"$path\", \"range\": true}, ${2:-} \"do\": $1}]"
}

faulty "{\"corrupt\": {\"at\": $((stored - 30000)), \"len\": 9}}" '"times": 1,'
assert_same_file "$root/last" "$work/content/last"
assert_eq "$(layer_requests)" 2 "requests for one wrong span"
! in_cache || fail "fetched whole for one wrong span"

for do in '{"ignore_range": true}' '{"content_range_shift": 1}' '{"content_range": null}' \
	'{"multipart": true}' '{"status": 416}'; do
	faulty "$do"
	assert_same_file "$root/last" "$work/content/last"
	in_cache || fail "$do: the blob was not fetched whole"
done

faulty '{"disconnect_after": 1000}' '"times": 1,'
assert_same_file "$root/last" "$work/content/last"
! in_cache || fail "fetched whole for one cut"

faulty '{"status": 404}'
assert_fails "Input/output error" cat "$root/last"
faulty '{"status": 403}'
assert_fails "Permission denied" cat "$root/last"
faulty '{"disconnect_after": 0}'
assert_fails "Input/output error" cat "$root/last"

# A range that does not come: its reader can be interrupted, and others get it when it does.
again stall_timeout=3s
rules "[{\"match\": {\"path\": \"$path\"}, \"times\": 1, \"do\": {\"hang\": true}}]"
rc=0
timeout -k 5 0.5 cat "$root/last" >"$work/stdout" || rc=$?
assert_eq "$rc" 124 "status of a reader interrupted"
assert_same_file "$root/last" "$work/content/last"
! in_cache || fail "fetched whole for a range that came late"

again offline
assert_fails "Network is unreachable" cat "$root/last"
assert_eq "$(counter "$mnt" .http_requests)" 0 "requests while offline"

# Nothing that the registry sends is right: no wrong byte comes out, or stays.
again
rules "[{\"match\": {\"path\": \"$path\"}, \"do\": {\"corrupt\": {\"at\": $((stored - 30000)), \"len\": 9}}}]"
assert_fails "Bad message" cat "$root/last"
! in_cache || fail "a corrupt blob in the cache"

# ---- a spool ----------------------------------------------------------------------------------

use zstd
[[ -e $cache/spool/sha256/${digest#*:} ]] || fail "no spool in the cache"
again
assert_same_file "$root/other" "$work/content/other"
assert_eq "$(layer_requests)" 0 "requests for what is in the spool"
again offline
assert_same_file "$root/last" "$work/content/last"
rm "$cache/spool/sha256/${digest#*:}"
again
assert_same_file "$root/last" "$work/content/last"
assert_eq "$(layer_requests)" 1 "requests for a layer without its spool"
assert_eq "$(layer_bytes)" "$stored" "bytes for a layer without its spool"
