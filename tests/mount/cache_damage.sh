#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A damaged cache is found out and made whole again: the reader gets the right bytes.
. "$(dirname "$0")/../lib.sh"
need curl jq python3

demo=$(demo_layout)
start_faultregistry "app=$demo"
mnt=$work/mnt image=1.0/linux_amd64
mount_imgfs "oci:$demo" "$work/demo"
digest=$(json "$work/demo/$image/manifest.json" '.layers[1].digest')
read_all() {
	mount_imgfs "docker://$registry/app" "$mnt"
	"$tests/compare-trees.py" --nanoseconds "$mnt/$image/rootfs" "$work/demo/$image/rootfs" >&2 ||
		fail "$1"
	cmp "$mnt/$image/layers/02-"*/layer.tar.gz "$work/demo/$image/layers/02-"*/layer.tar.gz ||
		fail "the blob $1"
}
read_all "at first"
unmount "$mnt"

flip() { # FILE: one bit in every 4 KiB
	python3 - "$1" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    data = bytearray(file.read())
    for at in range(100, len(data), 4096):
        data[at] ^= 1
    file.seek(0)
    file.write(data)
END
}

for kind in blobs index; do
	entry=$cache/$kind/sha256/${digest#sha256:}
	[[ -s $entry ]] || fail "no $kind entry in the cache"
	flip "$entry"
	read_all "with damaged $kind"
	if [[ $kind = blobs ]]; then
		assert_contains "$(<"$mnt/.imgfs/log")" "${digest:0:19}" "the log"
	fi
	unmount "$mnt"
	mount_imgfs "docker://$registry/app" "$mnt" offline
	cat "$mnt/$image/rootfs/app/table.txt" >"$work/stdout" || fail "offline after damaged $kind"
	assert_same_file "$work/stdout" "$work/demo/$image/rootfs/app/table.txt"
	unmount "$mnt"
done

# Without the secret that its MACs were made with, what is right stays, and what is not is found out.
made_with=$(sha256 "$cache/secret")
rm "$cache/secret"
reset_requests
read_all "without its secret"
unmount "$mnt"
assert_eq "$(requests '[.log[]? | select(.path | contains("/blobs/"))] | length')" 0 "blobs fetched without the secret"
[[ $(sha256 "$cache/secret") != "$made_with" ]] || fail "the secret is the old one"
flip "$cache/blobs/sha256/${digest#sha256:}"
read_all "with damaged blobs and another secret"
assert_contains "$(<"$mnt/.imgfs/log")" "${digest:0:19}" "the log"
unmount "$mnt"

# An entry that is cut short, or empty, is no entry.
for kind in blobs index; do
	: >"$cache/$kind/sha256/${digest#sha256:}"
	read_all "with an empty entry in $kind"
	unmount "$mnt"
done

# A copy that was right when it was opened, and cannot be read later: the reader does not notice.
mount_imgfs "docker://$registry/app" "$mnt"
blob=$(echo "$mnt/$image/layers/02-"*/layer.tar.gz)
expected=$(echo "$work/demo/$image/layers/02-"*/layer.tar.gz)
(($(stat -c %s "$blob") > 8192)) || fail "the blob is one read"
read_at "$blob" "$expected" 0
: >"$cache/blobs/sha256/${digest#sha256:}"
assert_same_file "$blob" "$expected"
assert_contains "$(<"$mnt/.imgfs/log")" "the file became shorter: ends at" "the log"
unmount "$mnt"

# A disk that became read-only, as they do when they fail: what is damaged cannot even be removed.
if [[ $(id -u) = 0 ]] && mount --bind "$cache" "$cache" 2>"$work/stderr"; then
	at_exit umount -l "$cache"
	flip "$cache/blobs/sha256/${digest#sha256:}"
	flip "$cache/index/sha256/${digest#sha256:}"
	mount -o remount,ro,bind "$cache"
	read_all "with a read-only cache"
	assert_contains "$(<"$mnt/.imgfs/log")" "is damaged and cannot be removed" "the log"
	unmount "$mnt"
fi
