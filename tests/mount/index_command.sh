#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `imgfs index` makes the file that a mount keeps in its cache, for every coding, and prints what bsdtar and
# the decompressors say of the same layer.
. "$(dirname "$0")/../lib.sh"
need bsdtar python3 zstd xz bzip2

coded=$(cached_image coded "$tests/make-coded-layers" 24)
declare -A decoder=([gzip]="gzip -dc" [gzip-members]="gzip -dc" [gzip-stored]="gzip -dc" [zstd]="zstd -dqc"
	[zstd-frames]="zstd -dqc" [xz]="xz -dc" [bzip2]="bzip2 -dc" [plain]=cat)
mount_imgfs "oci:$coded/layout" "$work/mnt"

bsdtar -cf - --format=mtree --options='!all,type,mode,uid,gid,time,size,link,device,sha256' \
	"@$coded/layer.tar" >"$work/mtree"

# compare_entries SHOWN PLAIN: each entry is what bsdtar says it is, and its content is where it should be.
compare_entries() {
	python3 - "$work/mtree" "$1" "$2" <<'END'
import hashlib, sys
from decimal import Decimal
def entries(path):
    with open(path) as lines:
        for line in lines:
            if not line.startswith("#"):
                name, *words = line.split()
                yield name, dict(word.split("=", 1) for word in words)
wanted, shown = dict(entries(sys.argv[1])), dict(entries(sys.argv[2]))
tar = open(sys.argv[3], "rb").read()
# A member of the archive that is another name has nothing of its own.
links = {"./d/hard": "./d/text", "./d/outside": None}
implied = {name for name, entry in shown.items() if "implied" in entry.get("flags", "")}
assert implied == {".", "./small"}, implied
assert set(shown) - implied == set(wanted), set(shown) ^ set(wanted)
for name, entry in wanted.items():
    found = shown[name]
    if name in links:
        assert found["type"] == "file", name
        continue
    content = entry.pop("sha256digest", None)
    for key, value in entry.items():
        same = Decimal(found[key]) == Decimal(value) if key == "time" else found[key] == value
        assert same, (name, key, found[key], value)
    if content:
        begin = int(found.get("offset", 0))
        data = tar[begin:begin + int(found["size"])]
        assert hashlib.sha256(data).hexdigest() == content, name
assert shown["./d/hard"]["inode"] == shown["./d/text"]["inode"]
assert shown["./d/hard"]["size"] == shown["./d/text"]["size"]
assert shown["./d/text"]["nlink"] == "2" and "inode" not in shown["./d/random"]
assert shown["./d/outside"]["link"] == "in/another/layer" and "outside" in shown["./d/outside"]["flags"]
assert shown["./d/a\\040b\\075c\\043d\\134e\\012\\303\\251"]["xattr.user.odd"] == "a\\040b\\075c"
assert "opaque" in shown["./small"]["flags"] and "whiteouts" in shown["./d"]["flags"]
END
}

# compare_spans SHOWN PLAIN: stored bytes are of one span each, and checksums are zlib's.
compare_spans() {
	python3 - "$1" "$2" <<'END'
import re, sys, zlib
tar = open(sys.argv[2], "rb").read()
before = None
for line in open(sys.argv[1]):
    if not line.startswith("# span "):
        continue
    place, count, where, stored, stored_count = re.search(r" plain=(\d+)\+(\d+) (blob|spool)=(\d+)\+(\d+) ", line).groups()
    place, count, stored, stored_count = int(place), int(count), int(stored), int(stored_count)
    assert (where, stored) == before or not before or before[0] != where, line
    before = where, stored + stored_count
    crc = re.search(r" crc=([0-9a-f]{8})$", line)
    assert bool(crc) == bool(re.search(r" start=(gzip|deflate) ", line)), line
    assert not crc or int(crc[1], 16) == zlib.crc32(tar[place:place + count]), line
END
}

# header NAME: of what was shown last.
header() { sed -n "s/^# $1 //p" "$work/shown"; }

for coding in "${!decoder[@]}"; do
	blob=$coded/$coding index=$work/$coding.index
	"$IMGFS" index "$blob" -o "$index" || fail "index of $coding"
	"$IMGFS" index --show "$index" >"$work/shown" || fail "--show of $coding"
	${decoder[$coding]} "$blob" >"$work/plain"
	assert_eq "$(header digest)" "sha256:$(sha256 "$blob")" "digest of $coding"
	assert_eq "$(header diff_id)" "sha256:$(sha256 "$work/plain")" "diff_id of $coding"
	assert_eq "$(header coding)" "${coding%%-*}" "coding of $coding"
	assert_eq "$(header stored_size)" "$(stat -c %s "$blob")" "stored_size of $coding"
	assert_eq "$(header plain_size)" "$(stat -c %s "$work/plain")" "plain_size of $coding"
	assert_eq "$(header entries)" "$(grep -vc '^#' "$work/shown")" "entries of $coding"
	assert_eq "$(header spans)" "$(grep -c '^# span ' "$work/shown")" "spans of $coding"
	assert_eq "$(sed -nE 's/^# span .* plain=([0-9]+)\+([0-9]+) .*/\1 \2/p' "$work/shown" |
		awk '{ if ($1 != end) exit 1; end += $2 } END { print end }')" \
		"$(header plain_size)" "what the spans of $coding cover"
	compare_entries "$work/shown" "$work/plain" || fail "entries of $coding"
	compare_spans "$work/shown" "$work/plain" || fail "spans of $coding"

	test -n "$(names "$work/mnt/$coding/linux_amd64/rootfs")"
	hex=$(sha256 "$blob")
	"$IMGFS" index --show "$cache/index/sha256/$hex" >"$work/kept" || fail "--show of $coding in the cache"
	diff "$work/shown" <(sed -E '/^# span /s/ mac=[0-9a-f]{32}$//' "$work/kept") >&2 ||
		fail "the index of $coding and the one in the cache"
	assert_eq "$(grep -c ' mac=' "$work/kept")" "$(header spans)" "MACs of $coding in the cache"
	assert_eq "$(grep -c ' mac=' "$work/shown")" 0 "MACs of $coding"
	case $coding in
	zstd | xz | bzip2) assert_same_file "$index.spool" "$cache/spool/sha256/$hex" ;;
	*) [[ ! -e $index.spool ]] || fail "$coding needs no spool" ;;
	esac
done

# What is there already stays, and what was begun does not.
before=$(sha256 "$work/xz.index")
assert_eq "$(exit_code "$IMGFS" index "$coded/gzip" -o "$work/xz.index")" 2 "an index that is there"
assert_contains "$(<"$work/stderr")" "imgfs: $work/xz.index: File exists" "message"
assert_eq "$(sha256 "$work/xz.index")" "$before" "the index that was there"
touch "$work/second.spool"
assert_eq "$(exit_code "$IMGFS" index "$coded/xz" -o "$work/second")" 2 "a spool that is there"
[[ ! -e $work/second && -e $work/second.spool ]] || fail "a spool that is there: index left behind"
assert_eq "$(exit_code "$IMGFS" index "$work/absent" -o "$work/second")" 2 "no such blob"
[[ ! -e $work/second ]] || fail "no such blob: index left behind"

# No tar: an index that says so, which the cache would hold too.
printf 'no tar\033\n' >"$work/text"
assert_eq "$(exit_code "$IMGFS" index "$work/text" -o "$work/text.index")" 0 "no tar"
assert_contains "$(<"$work/stderr")" "imgfs: $work/text: no files: " "no tar"
"$IMGFS" index --show "$work/text.index" >"$work/shown"
assert_contains "$(<"$work/shown")" "# no_tree " "no tar"

# Damage is refused wherever it is.
for offset in 0 9 100 600 5000 -1; do
	cp "$work/plain.index" "$work/damaged"
	python3 - "$work/damaged" "$offset" <<'END'
import os, sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]), os.SEEK_END if int(sys.argv[2]) < 0 else os.SEEK_SET)
    byte = file.read(1)[0]
    file.seek(-1, os.SEEK_CUR)
    file.write(bytes([byte ^ 0x10]))
END
	assert_eq "$(exit_code "$IMGFS" index --show "$work/damaged")" 2 "damage at $offset"
	assert_contains "$(<"$work/stderr")" "imgfs: $work/damaged: layer index: " "damage at $offset"
	[[ ! -s $work/stdout ]] || fail "damage at $offset: something was shown"
done

# Usage.
assert_eq "$(exit_code "$IMGFS" index --help)" 0 "--help"
assert_contains "$(<"$work/stdout")" "--show FILE" "--help"
for words in "" "$coded/gzip" "-o $work/x" "--show" "--show a b" "--show a -o b" "--no-such" "a b -o c"; do
	# shellcheck disable=SC2086 # words
	assert_eq "$(exit_code "$IMGFS" index $words)" 1 "imgfs index $words"
	assert_contains "$(<"$work/stderr")" "hint: imgfs index --help" "imgfs index $words"
done
if [[ -e /dev/full ]]; then
	"$IMGFS" index --show "$work/plain.index" >/dev/full 2>"$work/stderr" && fail "a full disk was not seen"
	assert_contains "$(<"$work/stderr")" "No space left" "a full disk"
fi
