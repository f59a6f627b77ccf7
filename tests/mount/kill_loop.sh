#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 at random moments of cold reads, again and again over one cache: what the next mount reads is right,
# nothing wrong is ever in the cache, and nothing is left behind that grows.
#
#   KILLS  how often; default 25
#   SEED   of the moments and of what the cache loses; printed
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq python3
: "${KILLS:=25}" "${SEED:=$RANDOM}"
RANDOM=$SEED
say "SEED=$SEED"

# Layers that are read through their own blocks, and one that needs a spool.
tags=(one two three)
python - "$work" "${tags[@]}" <<'END'
import os, random, sys
from ocilayout import Layout, Tar
random = random.Random(5)
layout = Layout(sys.argv[1] + "/layout")
def layer(image, name, coding):
    tar = Tar()
    for n in range(40):
        data = random.randbytes(4000) + b"line after line\n" * 400 if n else random.randbytes(400000)
        tar.file(f"{name}/{n}", data)
        path = f"{sys.argv[1]}/content/{image}/{name}/{n}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(data)
    return layout.layer(tar.bytes(), coding)
for image in sys.argv[2:]:
    layers = [layer(image, coding, coding) for coding in ("gzip", "zstd", "plain")]
    layout.tag(image, layout.image(layers, {"architecture": "amd64", "os": "linux"}))
layout.close()
END
start_faultregistry "app=$work/layout"
mnt=$work/mnt
# A cold read of an image takes about a second.
rules '[{"match": {"path": "/blobs/"}, "do": {"rate": 1500000}}]'

residue() { find "$cache/tmp" -type f | wc -l; }
partials() { find "$cache/partial" -type f | wc -l; }
same() { diff -r "$mnt/$1/linux_amd64/rootfs" "$work/content/$1"; }
mount_again() { mount_imgfs "docker://$registry/app" "$mnt" ttl=forever; }
blobs=$(find "$work/layout/blobs" -type f | wc -l)
most=0 begun=0 unfinished=0

check_blobs() { # WHEN
	local blob count=0
	for blob in "$cache"/blobs/sha256/*; do
		assert_eq "$(sha256 "$blob")" "${blob##*/}" "digest of a cached blob $1"
		count=$((count + 1))
	done
	((count >= 2)) || fail "$count blobs in the cache $1, with at least a manifest and a config read"
}

for ((kill = 1; kill <= KILLS; kill++)); do
	tag=${tags[RANDOM % ${#tags[@]}]}
	mount_again
	LC_ALL=C same "$tag" >"$work/killed" 2>"$work/stderr" &
	reader=$!
	sleep "$(printf '0.%03d' $((RANDOM % 1000)))"
	pid=${daemons[$mnt]}
	kill -KILL "$pid"
	wait_gone "$pid" || fail "kill $kill: the daemon lives on"
	wait_gone "$reader" || fail "kill $kill: its reader hangs"
	wait "$reader" || unfinished=$((unfinished + 1))
	(($(partials) == 0)) || begun=$((begun + 1))
	umount -l "$mnt"
	unset "daemons[$mnt]"
	# An error is what a reader may see of it; other bytes, or a name less, are not.
	! grep -E '^(Files|Binary files|Only in |diff )|No such file' "$work/killed" "$work/stderr" >&2 ||
		fail "kill $kill: $tag was read wrong"

	mount_again
	same "$tag" >&2 || fail "$tag after kill $kill"
	unmount "$mnt"
	left=$(residue)
	((left == 0)) || fail "$left temporary files after kill $kill"
	((most >= $(partials))) || most=$(partials)
	((most <= blobs)) || fail "$most partial blobs of $blobs after kill $kill"
	check_blobs "after kill $kill"
	((kill < KILLS)) || break
	# Something is missing the next time, and something is there.
	mapfile -t entries < <(find "$cache" -type f -path '*/sha256/*' | LC_ALL=C sort)
	for entry in "${entries[@]}"; do
		((RANDOM % 3 == 0)) || rm "$entry"
	done
done
say "$KILLS kills, $unfinished before the reader was done, $begun in a transfer; at most $most partial blobs stay"
((unfinished * 4 >= KILLS)) || fail "$unfinished of $KILLS kills came before the reader was done: too few to tell"
((begun)) || fail "no kill came in the middle of a transfer"
