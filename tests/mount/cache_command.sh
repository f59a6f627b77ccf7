#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `imgfs cache` tells what is in the cache, removes what no mount has open, and finds each damaged byte; the
# next read has the right ones again.
. "$(dirname "$0")/../lib.sh"
need curl jq python3

demo=$(demo_layout)
start_faultregistry "app=$demo"
mnt=$work/mnt image=1.0/linux_amd64
mount_imgfs "oci:$demo" "$work/demo" "cache_dir=$work/reference"
manifest=$work/demo/$image/manifest.json
base=$(json "$manifest" '.layers[0].digest') table=$(json "$manifest" '.layers[1].digest')

run() { # STATUS WORDS...: what is said is in $work/stdout and $work/stderr
	local status=$1 verb=$2
	shift 2
	assert_eq "$(exit_code "$IMGFS" cache "$verb" -o "cache_dir=$cache" "$@")" "$status" \
		"imgfs cache $verb $*: $(<"$work/stderr") $(<"$work/stdout")"
}
files() { find "$cache/blobs" "$cache/index" "$cache/spool" "$cache/partial" -type f | wc -l; }
read_all() {
	"$tests/compare-trees.py" --nanoseconds "$mnt/$image/rootfs" "$work/demo/$image/rootfs" >&2 ||
		fail "the trees differ"
	for layer in "$mnt/$image/layers/"*/; do
		assert_same_file "$layer/layer.tar.gz" \
			"$work/demo/$image/layers/$(basename "$layer")/layer.tar.gz"
	done
}

# ---- where it is ------------------------------------------------------------------------------

assert_eq "$("$IMGFS" cache dir -o "cache_dir=$work/some,cache_dir=$work/other")" "$work/other" "dir"
assert_eq "$(env -u IMGFS_CACHE_DIR XDG_CACHE_HOME="$work/xdg" "$IMGFS" cache dir)" "$work/xdg/imgfs" "dir, XDG"
assert_eq "$(IMGFS_CACHE_DIR=$work/own "$IMGFS" cache dir)" "$work/own" "dir, IMGFS_CACHE_DIR"
[[ ! -e $work/own ]] || fail "dir made it"

# ---- what is no cache of ours is left alone ---------------------------------------------------

for verb in list prune verify; do
	assert_eq "$(exit_code "$IMGFS" cache $verb --cache-dir="$work/own")" 2 "$verb of nothing"
	assert_contains "$(<"$work/stderr")" "imgfs: cache '$work/own': No such file or directory" "$verb of nothing"
	[[ ! -e $work/own ]] || fail "$verb made a cache"
	mkdir "$work/own" "$work/own/blobs"
	: >"$work/own/blobs/precious"
	assert_eq "$(exit_code "$IMGFS" cache $verb -o "cache_dir=$work/own")" 2 "$verb of no cache"
	assert_contains "$(<"$work/stderr")" "not a cache of imgfs" "$verb of no cache"
	printf '999\n' >"$work/own/version"
	assert_eq "$(exit_code "$IMGFS" cache $verb -o "cache_dir=$work/own")" 2 "$verb of a version to come"
	printf '1\n' >"$work/own/version"
	chmod 0777 "$work/own"
	assert_eq "$(exit_code "$IMGFS" cache $verb -o "cache_dir=$work/own")" 2 "$verb of an open directory"
	assert_contains "$(<"$work/stderr")" "others may write to it" "$verb of an open directory"
	assert_eq "$(cd "$work/own" && find . | LC_ALL=C sort | paste -s -d ' ')" \
		". ./blobs ./blobs/precious ./version" "what is there after $verb"
	rm -r "$work/own"
done

# ---- list -------------------------------------------------------------------------------------

mount_imgfs "docker://$registry/app" "$mnt"
read_all
# sha256sum and stat of what lies there; which of it the image is made of, its manifest says.
run 0 list --json
jq -e '.schema == 1' "$work/stdout" >"$work/answer" || fail "schema"
assert_eq "$(json "$work/stdout" .directory)" "$cache" "directory"
assert_eq "$(jq -r '.entries[] | "\(.kind) \(.digest) \(.size)"' "$work/stdout" | sort)" \
	"$(cd "$cache" && for file in blobs/sha256/* index/sha256/*; do
		kind=${file%%/*}
		printf '%s sha256:%s %s\n' "${kind%s}" "${file##*/}" "$(stat -c %s "$file")"
	done | sort)" "entries"
for digest in "$base" "$table" "$(json "$manifest" .config.digest)" "sha256:$(sha256 "$manifest")"; do
	assert_contains "$(jq -r --arg digest "$digest" '.entries[] | select(.digest == $digest) | .names[]' \
		"$work/stdout")" "$registry/app:1.0" "the names of $digest"
done
assert_eq "$(jq -r --arg digest "$base" '.entries[] | select(.digest == $digest) | .in_use' "$work/stdout" |
	sort -u)" true "a layer that is open"
run 0 list
assert_contains "$(<"$work/stdout")" "$base  $registry/app:1." "list"
assert_contains "$(<"$work/stdout")" "$(files) entries, " "list"

# ---- prune ------------------------------------------------------------------------------------

before=$(files)
run 0 prune --dry-run
assert_contains "$(<"$work/stdout")" "would remove " "prune --dry-run"
assert_eq "$(files)" "$before" "files after --dry-run"
run 0 prune -o cache_size=1T
assert_contains "$(<"$work/stdout")" "removed 0 B in 0 files; left: " "prune to 1T"
assert_eq "$(files)" "$before" "files after a prune to 1T"
run 0 prune
assert_contains "$(<"$work/stdout")" "; in use: " "prune beside a mount"
[[ -e $cache/index/sha256/${base#sha256:} ]] || fail "an index in use is gone"
[[ ! -e $cache/blobs/sha256/$(sha256 "$manifest") ]] || fail "a manifest that nobody has open is there"
(($(files) < before)) || fail "nothing was pruned"
reset_requests
read_all
assert_eq "$(requests '[.log[]? | select(.path | contains("/blobs/"))] | length')" 0 "blobs fetched after prune"
unmount "$mnt"
run 0 prune
assert_contains "$(<"$work/stdout")" "left: 0 B" "prune of all"
assert_eq "$(cd "$cache" && find . -type f | LC_ALL=C sort | paste -s -d ' ')" "./secret ./version" \
	"what is left after a prune of all"
mount_imgfs "docker://$registry/app" "$mnt"
read_all

# ---- verify -----------------------------------------------------------------------------------

run 0 verify
assert_contains "$(<"$work/stdout")" "damaged: 0" "verify"
assert_contains "$(<"$work/stdout")" "blobs: $(find "$cache/blobs" -type f | wc -l), " "verify"
unmount "$mnt"

# Each byte of a small index, blob and record, or every few of them, and some of a long one with windows: each
# is found, told by its name, and dropped; with --dry-run it stays.
small=$(cd "$cache" && find index -type f -printf '%s %p\n' | sort -n | head -n 1 | cut -d ' ' -f 2)
tag=$(cd "$cache" && find refs -name 1.0)
cat >"$work/flip.py" <<'END'
import os, subprocess, sys
program, cache, name, step = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
path = os.path.join(cache, name)
with open(path, "rb") as file:
    right = file.read()
def verify(*words):
    return subprocess.run([program, "cache", "verify", "-o", "cache_dir=" + cache, *words],
                          stdout=subprocess.PIPE, text=True)
for count, at in enumerate(range(0, len(right), step)):
    wrong = bytearray(right)
    wrong[at] ^= 1 << at % 8
    with open(path, "wb") as file:
        file.write(wrong)
    if count == 0:
        done = verify("--dry-run")
        assert done.returncode == 2 and name + ": " in done.stdout, (at, done)
        assert os.path.exists(path), at
    done = verify()
    assert done.returncode == 2, (name, at, done)
    assert done.stdout.startswith(name + ": ") and "; dropped\n" in done.stdout, (at, done)
    assert "damaged: 1\n" in done.stdout, (at, done)
    assert not os.path.exists(path), (name, at)
    with open(path, "wb") as file:
        file.write(right)
assert verify().returncode == 0
END
step=29
[[ -z ${EVERY_BYTE:-} ]] || step=1
flips() { python3 "$work/flip.py" "$IMGFS" "$cache" "$1" "$2" || fail "a flipped byte of $1"; }
flips "$small" "$step"
flips "blobs/sha256/$(sha256 "$manifest")" "$step"
flips "$tag" "$step"
flips "index/sha256/${base#sha256:}" 5003
flips "blobs/sha256/${base#sha256:}" 300007

# The same for a spool, whose layer lies elsewhere.
coded=$(cached_image coded "$tests/make-coded-layers" 24)
mount_imgfs "oci:$coded/layout" "$work/coded"
spooled=$(sha256 "$coded/zstd")
test -n "$(names "$work/coded/zstd/linux_amd64/rootfs")"
unmount "$work/coded"
[[ -s $cache/spool/sha256/$spooled ]] || fail "no spool"
flips "spool/sha256/$spooled" $(($(stat -c %s "$cache/spool/sha256/$spooled") / 5))

# A byte of everything at once: the next read is right, and everything is sound again.
python3 - "$cache" <<'END'
import os, sys
for kind in "blobs", "index", "refs":
    for directory, _, names in os.walk(os.path.join(sys.argv[1], kind)):
        for name in names:
            with open(os.path.join(directory, name), "r+b") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(size * 2 // 3)
                byte = file.read(1)[0]
                file.seek(size * 2 // 3)
                file.write(bytes([byte ^ 4]))
END
run 2 verify
assert_eq "$(find "$cache/blobs" "$cache/index" "$cache/refs" -type f)" "" "what is left where all was damaged"
mount_imgfs "docker://$registry/app" "$mnt"
read_all
# Beside the mount, and what it has open is damaged.
printf '\377' | dd of="$cache/blobs/sha256/${table#sha256:}" bs=1 seek=700 conv=notrunc status=none
run 2 verify
assert_contains "$(<"$work/stdout")" "blobs/sha256/${table#sha256:}: its digest is sha256:" "verify beside a mount"
unmount "$mnt"
mount_imgfs "docker://$registry/app" "$mnt"
read_all
run 0 verify
unmount "$mnt"

# ---- usage ------------------------------------------------------------------------------------

assert_eq "$(exit_code "$IMGFS" cache --help)" 0 "--help"
assert_contains "$(<"$work/stdout")" "imgfs cache verify [--dry-run]" "--help"
for words in "" "nonsense" "list list" "list --dry-run" "prune --json" "verify --no-such" "list -o cache_size=1G" \
	"prune -o cache_size=much" "prune -o size=1G" "list -o cache_dir="; do
	# shellcheck disable=SC2086 # words
	assert_eq "$(exit_code "$IMGFS" cache $words)" 1 "imgfs cache $words"
	assert_contains "$(<"$work/stderr")" "hint: imgfs cache --help" "imgfs cache $words"
done
if [[ -e /dev/full ]]; then
	"$IMGFS" cache list -o "cache_dir=$cache" >/dev/full 2>"$work/stderr" && fail "a full disk was not seen"
	assert_contains "$(<"$work/stderr")" "No space left" "a full disk"
fi
