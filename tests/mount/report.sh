#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `imgfs report`: its figures are those that tests/check-report.py finds in the blobs, its page is XML that
# refers to nothing, whatever an image is called and holds.
. "$(dirname "$0")/../lib.sh"
need_root
need python3 jq curl

python - "$work/layout" <<'END'
import sys, tarfile
from ocilayout import CREATED, OCI, Layout, Tar, compact

AMD64 = {"architecture": "amd64", "os": "linux"}
HOSTILE = ["<script>alert(1)<!--", "\"quoted\" & 'so'", "line\nbreak", "escape\x1b[31m", "\udcff\udcfe",
           "turned\u202egpj.exe", "<title><b>", "%2e%2e", "&amp;", "]]>", "x" * 255]
def numbers(count):
    return "".join(f"{n}\n" for n in range(count))

base = Tar()
for name in "etc lib lib/deep lib/deep/er opaque opaque/sub gone links hostile replaced mode late".split():
    base.directory(name)
base.file("etc/overwritten", numbers(3000))
base.file("etc/grows", "small")
base.file("etc/shrinks", numbers(2000))
base.file("etc/comes-back", numbers(500))
base.file("etc/empty", "")
base.file("lib/kept", numbers(20000))
base.file("lib/deep/er/deleted", numbers(4000))
base.file("lib.so", numbers(10))
for name in "one two".split():
    base.file("opaque/" + name, numbers(700))
    base.file("opaque/sub/" + name, numbers(300))
base.file("gone/a", numbers(100))
base.directory("gone/sub")
base.file("gone/sub/b", numbers(200))
base.file("links/first", numbers(1500))
base.hardlink("links/second", "links/first")
base.hardlink("links/third", "links/first")
base.file("links/lost-a", numbers(1600))
base.hardlink("links/lost-b", "links/lost-a")
base.file("replaced/by-directory", numbers(50))
base.file("replaced/by-link", numbers(60))
base.symlink("replaced/by-file", "nowhere")
base.directory("replaced/directory")
base.file("replaced/directory/inside", numbers(70))
base.add("replaced/device", type=tarfile.CHRTYPE, device=(1, 3))
base.file("late/file", numbers(80))
for n, name in enumerate(HOSTILE):
    base.file("hostile/" + name, numbers(100 + n))

change = Tar()
change.file("etc/overwritten", numbers(3001))
change.file("etc/grows", numbers(900))
change.file("etc/shrinks", numbers(3))
change.whiteout("etc/comes-back")
change.file("etc/empty", numbers(7))
change.whiteout("lib/deep/er/deleted")
change.whiteout("nothing")
change.directory("opaque")
change.file("opaque/two", numbers(20))
change.opaque("opaque")
change.whiteout("gone")
change.whiteout("links/first")
change.whiteout("links/lost-a")
change.directory("replaced/by-directory")
change.file("replaced/by-directory/inside", numbers(5))
change.symlink("replaced/by-link", "nowhere")
change.file("replaced/by-file", numbers(6))
change.file("replaced/directory", numbers(8))
change.directory("mode", mode=0o700)
change.file("late/new", numbers(9))
change.whiteout("late")     # what is below goes, what this layer puts there stays, in whatever order they come
for name in HOSTILE[:-1]:
    change.whiteout("hostile/" + name)

last = Tar()
last.file("etc/comes-back", numbers(500))
last.whiteout("links/lost-b")
last.file("links/third", numbers(30))
last.whiteout("links/third")
last.file("hostile/" + HOSTILE[-1], numbers(1))

layout = Layout(sys.argv[1])
archives = [base.bytes(), change.bytes(), Tar().bytes(), last.bytes()]
history = [{"created": CREATED, "created_by": by} for by in (
    "ADD <base> /", "RUN </style><script src=\"http://h\">\x1b[2J\n\tset -eux; \\\n" + "echo & " * 100,
    "", "RUN rm -rf /tmp/*")]
layers = [layout.layer(archive, coding) for archive, coding in zip(archives, ("gzip", "plain", "gzip", "gzip"))]
layout.tag("hostile", layout.image(layers, AMD64, history=history))
layout.tag("single", layout.image(layers[:1], AMD64))
layout.tag("empty", layout.image([layout.layer(Tar().bytes())], AMD64))
layout.tag("none", layout.image([], AMD64))
layout.tag("artifact", {"mediaType": OCI["manifest"], **layout.put(compact({
    "schemaVersion": 2, "mediaType": OCI["manifest"], "artifactType": "application/vnd.example",
    "config": {"mediaType": "application/vnd.oci.empty.v1+json", **layout.put(b"{}")},
    "layers": [{"mediaType": "application/vnd.example", **layout.put(b"<hello>\n")}]}))})
layout.close()
END

# report IMAGEDIR: as report.json and report.html.
report() {
	"$IMGFS" report --json "$1" -o "$work/report.json" || fail "report --json of $1"
	"$IMGFS" report "$1" >"$work/report.html" || fail "report of $1"
}

check() { # TAG WHAT
	"$tests/check-report.py" "$work/layout" "$1" "$work/report.json" "$work/report.html" >"$work/differences" ||
		fail "$2: $(<"$work/differences")"
}

mount_imgfs "oci:$work/layout" "$work/mnt"
for tag in hostile single empty none; do
	image=$work/mnt/$tag/linux_amd64
	report "$image"
	check "$tag" "$tag"
	assert_eq "$(json "$work/report.json" '.source + " " + .image')" "oci:$work/layout $tag/linux_amd64" "its name"
	assert_eq "$(find "$image/rootfs" -type f -printf '%i %s\n' | sort -u |
		awk '{ files++; bytes += $2 } END { print files + 0, bytes + 0 }')" \
		"$(json "$work/report.json" '"\(.rootfs_files) \(.rootfs_bytes)"')" "what is in the rootfs of $tag"
	for directory in "$image"/layers/*/; do
		[[ -d $directory ]] || continue
		number=$((10#$(basename "$directory" | cut -c 1-2)))
		assert_eq "$(json "$work/report.json" ".layers[$number - 1] | \"\(.added) \(.modified) \(.deleted)\"")" \
			"$(awk '{ n[$1]++ } END { print n["A"] + 0, n["M"] + 0, n["D"] + 0 }' "$directory/changes.txt")" \
			"changes of layer $number of $tag"
	done
done

# What comes from the image, as it may stand in the page.
report "$work/mnt/hostile/linux_amd64"
page=$(<"$work/report.html")
for text in '/hostile/&lt;script&gt;alert(1)&lt;!--<' '/hostile/&quot;quoted&quot; &amp; &#39;so&#39;<' \
	'/hostile/line\nbreak<' '/hostile/escape\x1b[31m<' '/hostile/\xff\xfe<' '/hostile/turned\u{202e}gpj.exe<' \
	'/hostile/&lt;title&gt;&lt;b&gt;<' '/hostile/&amp;amp;<' '/hostile/]]&gt;<' \
	'&lt;script src=&quot;http://h&quot;&gt;\x1b[2J\n\tset -eux'; do
	assert_contains "$page" "$text" "hostile text"
done
[[ $page != *'<script'* && $page != *$'\e'* ]] || fail "hostile text in the page as it is"
assert_eq "$(json "$work/report.json" '.wasted[] | select(.path == "/links/lost-b" or .path == "/etc/comes-back") |
	"\(.path) \(.how) \(.by)"' | sort | paste -s -d ,)" "/etc/comes-back deleted 2,/links/lost-b deleted 4" "waste"

# An artifact's layers are all there is to tell.
report "$work/mnt/artifact"
assert_eq "$(json "$work/report.json" '"\(.stored_size) \(.layers | length) \(.plain_size) \(has("wasted_bytes"))"')" \
	"8 1 null false" "an artifact"
python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$work/report.html" ||
	fail "the page of an artifact is no XML"

# Deletions as overlayfs has them are the same deletions.
mount_imgfs "oci:$work/layout:hostile" "$work/overlay" whiteouts=overlay,platform=linux/amd64
report "$work/overlay"
check hostile "whiteouts=overlay"
assert_eq "$(json "$work/report.json" '"\(.source) \(.image)"')" "oci:$work/layout:hostile null" "its name"

# Usage, and failures.
assert_eq "$(exit_code "$IMGFS" report --help)" 0 "--help"
assert_contains "$(<"$work/stdout")" "--json" "--help"
for words in "" "--no-such $work/mnt" "a b" "-o" "$work/mnt -o"; do
	# shellcheck disable=SC2086 # words
	assert_eq "$(exit_code "$IMGFS" report $words)" 1 "imgfs report $words"
	assert_contains "$(<"$work/stderr")" "hint: imgfs report --help" "imgfs report $words"
done
assert_eq "$(exit_code "$IMGFS" report "$work/absent" -o "$work/new.html")" 2 "no such directory"
assert_eq "$(<"$work/stderr")" "imgfs: report: $work/absent: No such file or directory" "no such directory"
assert_eq "$(exit_code "$IMGFS" report "$work/mnt/hostile" -o "$work/new.html")" 2 "no image"
assert_contains "$(<"$work/stderr")" $'no directory of an image\nhint: ' "no image"
[[ ! -e $work/new.html ]] || fail "a report of nothing"
single=$work/mnt/single/linux_amd64
assert_eq "$(exit_code "$IMGFS" report "$single" -o "$work/absent/new.html")" 2 "no such place"
if [[ -e /dev/full ]]; then
	assert_eq "$(exit_code "$IMGFS" report "$single" -o /dev/full)" 2 "a full disk"
	assert_contains "$(<"$work/stderr")" "/dev/full: No space left" "a full disk"
	"$IMGFS" report "$single" >/dev/full 2>"$work/stderr" && fail "a full disk was not seen"
	assert_contains "$(<"$work/stderr")" "No space left" "a full disk"
fi

# Who does not want to wait for a layer is let go, and keeps the report that was there.
start_faultregistry "app=$work/layout"
hanging=$(json "$work/report.json" '.layers[0].digest')
rules "[{\"match\": {\"path\": \"/blobs/$hanging\"}, \"do\": {\"hang\": true}}]"
cache=$work/cold
mount_imgfs "docker://$registry/app:hostile" "$work/cold-mnt" platform=linux/amd64
echo old >"$work/old.html"
env --default-signal "$IMGFS" report "$work/cold-mnt" -o "$work/old.html" >"$work/stdout" 2>"$work/stderr" &
reporter=$!
# The tag with its manifest, and the config came; the registry has begun a third request.
is_asked_for() { [[ $(requests '"\(.requests) \(.active)"') == "2 1" ]]; }
poll 20 is_asked_for || fail "the layer is not asked for"
kill -INT "$reporter"
wait_gone "$reporter" 5 || fail "a report lives 5 s after SIGINT"
rc=0
wait "$reporter" || rc=$?
assert_eq "$rc" 130 "status after SIGINT"
assert_eq "$(<"$work/old.html")" old "the report that was there"
