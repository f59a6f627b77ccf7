# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# rows -- what the fault tests share: a table of faults, images that are cold, and what was said and counted.
#
# tests/fault/rows names every fault and the script that asserts what a user then sees.  A script of
# tests/fault defines a function row_ID for each row that the table gives it, and ends in run_rows,
# which runs these, each in the script's own shell, and prints "ok ID".  With ROW=ID it runs
# that one alone: rows share mounts, but each takes images of its own.
#
# A row asserts what the reader got, a part of the log that says what and where, and counters: the
# registry's (requests) and ours (counted).

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

table=$tests/fault/rows

# table_rows: "ID SCRIPT", without comments.
table_rows() { grep -v '^#' "$table" | awk 'NF { print $1, $2 }'; }

run_rows() {
	local id script defined done=0
	while read -r id script <&3; do
		[[ $script == "fault/$test_name" ]] || continue
		declare -F "row_$id" >/dev/null || fail "there is no row_$id"
		[[ -z ${ROW:-} || $ROW == "$id" ]] || continue
		row=$id
		"row_$id"
		printf 'ok %s\n' "$id"
		done=$((done + 1))
	done 3< <(table_rows)
	defined=$(declare -F | grep -c ' row_')
	[[ -n ${ROW:-} ]] || assert_eq "$done" "$defined" "rows of $table for $test_name"
}

# ---- images -----------------------------------------------------------------------------------

# make_images DIR COUNT: a layout of COUNT tags, i00 and on, of one image each; its layer holds first, body
# and last, of 5000, 600000 and 5000 bytes that nothing compresses, as DIR/content/TAG/FILE has them.
make_images() {
	python - "$1" "$2" <<'END'
import os, random, sys
from ocilayout import Layout, Tar
random = random.Random(7)
layout = Layout(sys.argv[1] + "/layout")
for n in range(int(sys.argv[2])):
    tag, tar = "i%02d" % n, Tar()
    os.makedirs(f"{sys.argv[1]}/content/{tag}")
    for name, size in (("first", 5000), ("body", 600000), ("last", 5000)):
        data = random.randbytes(size)
        tar.file(name, data)
        with open(f"{sys.argv[1]}/content/{tag}/{name}", "wb") as out:
            out.write(data)
    layout.tag(tag, layout.image([layout.layer(tar.bytes())], {"architecture": "amd64", "os": "linux"}))
layout.close()
END
	image_number=-1
}

# next_image: the next of them: tag, content (a directory), manifest, config and layer (digests), layer_size.
next_image() {
	local blobs=$work/layout/blobs/sha256
	image_number=$((image_number + 1))
	tag=$(printf 'i%02d' "$image_number")
	content=$work/content/$tag
	manifest=$(jq -r ".manifests[] | select(.annotations[\"org.opencontainers.image.ref.name\"] == \"$tag\").digest" \
		"$work/layout/index.json")
	config=$(json "$blobs/${manifest#*:}" .config.digest)
	layer=$(json "$blobs/${manifest#*:}" '.layers[0].digest')
	layer_size=$(stat -c %s "$blobs/${layer#*:}")
}

# A script whose rows say the same thing often defines again(), which mounts anew: a mount's log leaves out
# what it has just said five times.
#
# cold: the next image, entered as far as its manifest in $mnt; its layer has not been asked for, nothing
# is wrong, and what is said and counted from here on is what log_says and counted look at.
cold() {
	next_image
	rules '[]'
	if declare -F again >/dev/null; then
		again
	fi
	image=$mnt/$tag/linux_amd64 root=$mnt/$tag/linux_amd64/rootfs
	ls "$image" >"$work/stdout"
	cat "$image/config.json" >"$work/stdout"
	from_here
}

# layer_is DO [MORE]: from now on its registry does that with the layer.
layer_is() { rules "[{\"id\": \"fault\", \"match\": {\"path\": \"/blobs/$layer\"}, ${2:+$2,} \"do\": $1}]"; }

# is_right: all files of the image are.
is_right() { diff -r "$root" "$content" >&2 || fail "$row: $tag differs; $(recent_log)"; }

applied() { requests '.faults.fault // 0'; }
layer_requests() { requests "[.paths[\"/v2/app/blobs/$layer\"].methods[]?] | add // 0"; }
layer_bytes() { requests "[.paths[\"/v2/app/blobs/$layer\", \"cdn:/v2/app/blobs/$layer\"].bytes // 0] | add"; }

# ---- what was said and counted ----------------------------------------------------------------

# Mounts of these tests log to a file of their own, because .imgfs/log keeps the last lines alone.
log=$work/log
: >"$log"
logged="log=$log,log_level=info"

from_here() {
	reset_requests
	log_start=$(stat -c %s "$log")
	cat "$mnt/.imgfs/stats.json" >"$work/stats.json"
}

recent_log() { tail -c +$((log_start + 1)) "$log"; }

log_says() { # PART...: one line has them all
	local lines part
	lines=$(recent_log)
	for part; do
		lines=$(grep -F -e "$part" <<<"$lines") || fail "$row: the log does not say '$part': $(recent_log)"
	done
}

# counted NAME: by how much a counter of ours has grown.
counted() { echo $(($(counter "$mnt" ".$1") - $(json "$work/stats.json" ".$1 // 0"))); }

assert_counted() { # NAME NUMBER
	assert_eq "$(counted "$1")" "$2" "$row: $1"
}
