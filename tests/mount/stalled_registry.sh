#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A registry that stops answering, for more requests than may be under way: all that is here is read as ever,
# and what is small does not wait for what is long.
. "$(dirname "$0")/../lib.sh"
need curl jq python3

# Each tag has one layer of its own; "three" is an index, whose one image has three.
tags=(here other cold1 cold2 cold3 cold4 part1 part2 part3 part4 part5)
python - "$work" "${tags[@]}" <<'END'
import os, random, sys
from ocilayout import Layout, Tar
random = random.Random(5)
layout = Layout(sys.argv[1] + "/layout")
def layer(name):
    tar = Tar()
    for file, size in (("first", 9000), ("body", 4 << 20), ("last", 9000)):
        data = random.randbytes(size)
        tar.file(f"{name}/{file}", data)
        path = f"{sys.argv[1]}/content/{name}/{file}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(data)
    return layout.layer(tar.bytes())
for name in sys.argv[2:]:
    layout.tag(name, layout.image([layer(name)], {"architecture": "amd64", "os": "linux"}))
platform = {"architecture": "amd64", "os": "linux"}
layout.tag("three", layout.index([layout.image([layer(f"three{n}") for n in range(3)], platform)]))
layout.close()
END
blobs=$work/layout/blobs/sha256
manifest_of() {
	jq -r ".manifests[] | select(.annotations[\"org.opencontainers.image.ref.name\"] == \"$1\").digest" \
		"$work/layout/index.json"
}
three=$(json "$blobs/$(manifest_of three | cut -d : -f 2)" '.manifests[].digest')
layers_of() { json "$blobs/$(manifest_of "$1" | cut -d : -f 2)" '.layers[].digest'; }
config_of() { json "$blobs/$(manifest_of "$1" | cut -d : -f 2)" .config.digest; }
# hang PATTERN: what matches is not answered any more, all else is.
hang() { rules "[{\"match\": {\"path\": \"$1\"}, \"do\": {\"hang\": true}}]"; }
either() { paste -s -d '|'; }

requests_max=16 # REQUEST_THREADS of fs/fs.h
transfers_max=2
start_faultregistry "app=$work/layout" --extra-tags $((requests_max + 8))
mnt=$work/mnt
# Nothing is given up while this test runs.
options=max_transfers=$transfers_max,stall_timeout=3600s,ttl=forever

# What is here: all of two images; of some more the indexes alone.
mount_imgfs "docker://$registry/app" "$mnt" "$options"
for tag in here other part1 part2 part3 part4 part5; do
	find "$mnt/$tag/linux_amd64/rootfs" -type f -exec cat {} + >"$work/stdout"
done
unmount "$mnt"
for tag in part1 part2 part3 part4 part5; do
	rm "$cache/blobs/sha256/$(layers_of "$tag" | cut -d : -f 2)"
done
mount_imgfs "docker://$registry/app" "$mnt" "$options"
for tag in "${tags[@]}"; do
	[[ $tag == here ]] || ls "$mnt/$tag/linux_amd64" >"$work/stdout"
done
ls "$mnt" >"$work/stdout"

readers=()
# waiting COMMAND...: one that will not be answered, in the background, and that minds its signals.
waiting() {
	env --default-signal "$@" >/dev/null 2>&1 &
	readers+=("$!")
}
under_way() { [[ $(requests .active) == "$1" ]]; }
# soon COMMAND...: it needs nobody who is stalled.
soon() { timeout 10 "$@" || fail "not answered while the registry is stalled: $*"; }

# ---- more long transfers than may be under way: small requests do not queue behind them ---------

hang "/blobs/($(for n in 1 2 3 4; do layers_of cold$n; done | either))"
for n in 1 2 3 4; do
	waiting ls "$mnt/cold$n/linux_amd64/rootfs/cold$n"
done
poll 20 under_way $transfers_max || fail "$(requests .active) transfers, not $transfers_max"
soon cat "$mnt/three/linux_amd64/config.json" >"$work/three"
assert_same_file "$work/three" "$blobs/$(json "$blobs/${three#*:}" .config.digest | cut -d : -f 2)"
soon head -c 4096 "$mnt/part5/linux_amd64/rootfs/part5/first" >"$work/part"
assert_same_file "$work/part" <(head -c 4096 "$work/content/part5/first")
assert_eq "$(requests .active)" $transfers_max "transfers under way"

# ---- more requests of every kind than may be under way: what is here needs none of them ---------

hang /v2/
for n in 1 2 3 4; do
	waiting cat "$mnt/part$n/linux_amd64/rootfs/part$n/last"
done
for ((n = 0; n < requests_max + 8; n++)); do
	waiting ls "$mnt/t$(printf %06d "$n")/linux_amd64"
done
all=$((requests_max + 2 * transfers_max))
poll 20 under_way $all || fail "$(requests .active) requests, not $all"

# By its digest: a document, a listing and a first use of an index, a span, and a blob that has to be verified.
image=$mnt/.imgfs/digests/sha256/$(manifest_of here | cut -d : -f 2)/linux_amd64
soon cat "$image/manifest.json" >"$work/manifest"
assert_same_file "$work/manifest" "$blobs/$(manifest_of here | cut -d : -f 2)"
soon cat "$image/config.json" >"$work/config"
assert_same_file "$work/config" "$blobs/$(config_of here | cut -d : -f 2)"
assert_eq "$(soon find "$image/rootfs/here" -mindepth 1 -printf '%f\n' | LC_ALL=C sort | paste -s -d ' ')" \
	"body first last" "a listing"
soon diff -r "$image/rootfs/here" "$work/content/here"
soon cat "$image"/layers/01-*/layer.tar.gz >"$work/stored"
assert_same_file "$work/stored" "$blobs/$(layers_of here | cut -d : -f 2)"
# By its tag, which was asked for before; and the lists.
soon diff -r "$mnt/other/linux_amd64/rootfs/other" "$work/content/other"
soon ls "$mnt" "$mnt/other" >"$work/stdout"
soon cat "$mnt/.imgfs/status" >"$work/stdout"
assert_eq "$(requests .active)" $all "requests under way"

# ---- nobody is held -----------------------------------------------------------------------------

kill -INT "${readers[@]}"
for reader in "${readers[@]}"; do
	wait_gone "$reader" 5 || fail "a reader lives 5 s after SIGINT"
	rc=0
	wait "$reader" || rc=$?
	assert_eq "$rc" 130 "status after SIGINT"
done
# What is left was ordered by the kernel, for its page cache: it does not take that back.
poll 20 under_way $transfers_max || fail "$(requests .active) requests that nobody waits for"
rules '[]'
soon diff -r "$mnt/cold4/linux_amd64/rootfs/cold4" "$work/content/cold4"
unmount "$mnt"

# ---- a cold image: its config and all layers are asked for as soon as the manifest tells them ----

rm -r "$cache"
mount_imgfs "docker://$registry/app" "$mnt" max_transfers=3
ls "$mnt" >"$work/stdout"
hang "/blobs/"
waiting ls "$mnt/three/linux_amd64/rootfs/three0"
poll 20 under_way 4 || fail "$(requests .active) of config and three layers are under way"
rules '[]'
kill -TERM "${daemons[$mnt]}"
wait_gone "${daemons[$mnt]}" 10 || fail "the daemon lives 10 s after SIGTERM"
