#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# diff/ of every layer holds what bsdtar lists of the stored blob, whiteouts included.
. "$(dirname "$0")/../lib.sh"
need bsdtar

compare() { # LAYERS-DIRECTORY
	local layer blob
	for layer in "$1"/*/; do
		blob=$(echo "$layer"layer.tar*)
		LC_ALL=C.UTF-8 bsdtar -cf "$work/mtree" --format=mtree \
			--options='!all,type,mode,uid,gid,size,time,link,device,sha256' "@$blob"
		"$tests/compare-mtree.py" "$work/mtree" "${layer}diff" >&2 || fail "$layer"
	done
}

mount_imgfs "oci:$(demo_layout)" "$work/demo"
for image in 1.0/linux_amd64 1.0/linux_arm64 1.1/linux_amd64 docker/linux_amd64 zstd/linux_amd64 \
	plain/linux_amd64; do
	compare "$work/demo/$image/layers"
done

mount_imgfs "oci:$(debian_layout)" "$work/debian"
compare "$work/debian/a/linux_amd64/layers"

# whiteouts=overlay shows the same layers as overlayfs wants its lower directories.
mount_imgfs "oci:$(demo_layout)" "$work/overlay" whiteouts=overlay
top=$(echo "$work"/overlay/1.0/linux_amd64/layers/03-*/diff)
assert_eq "$(stat -c '%F %t,%T' "$top/etc/motd")" "character special file 0,0" "a whiteout"
[[ ! -e $top/etc/.wh.motd ]] || fail "the stored whiteout shows too"
assert_eq "$(getfattr --only-values -h -n trusted.overlay.opaque "$top/usr/share/doc" 2>/dev/null ||
	getfattr --only-values -h -n user.overlay.opaque "$top/usr/share/doc")" y "an opaque directory"

# A directory whose name the same layer deletes below is opaque as well: overlayfs has no other way to say it.
python - "$work/layout" <<'END'
import sys
from ocilayout import Layout, Tar

layout, layers = Layout(sys.argv[1]), [Tar(), Tar()]
layers[0].file("replaced/old", "old\n")
layers[0].file("kept/old", "old\n")
layers[1].file("replaced/new", "new\n")
layers[1].whiteout("replaced")
layers[1].file("kept/new", "new\n")
layout.tag("1", layout.image([layout.layer(layer.bytes()) for layer in layers],
                             {"architecture": "amd64", "os": "linux"}))
layout.close()
END
mount_imgfs "oci:$work/layout" "$work/replaced" whiteouts=overlay
image=$work/replaced/1/linux_amd64
top=$(echo "$image"/layers/02-*/diff)
assert_eq "$(names "$image/rootfs/replaced") $(names "$top/replaced")" "new new" "a replaced directory"
assert_eq "$(getfattr --absolute-names --only-values -h -n trusted.overlay.opaque "$top/replaced")" y "a replaced directory"
assert_eq "$(getfattr --absolute-names -h -m - "$top/replaced" "$top/kept" 2>/dev/null | grep -c opaque)" 1 "opaque attributes listed"
