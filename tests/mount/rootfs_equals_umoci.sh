#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rootfs/ is what umoci unpacks, for made-up corner cases and for a whole Debian.
. "$(dirname "$0")/../lib.sh"
need_root
need umoci skopeo

compare() { # LAYOUT TAG ROOTFS
	local image unpacked=$work/unpacked
	image=$(single "$1" "$2")
	rm -rf "$unpacked"
	umoci unpack --image "$image:$2" "$unpacked" >"$work/umoci.log" 2>&1 ||
		fail "umoci: $(tail -n 3 "$work/umoci.log")"
	"$tests/compare-trees.py" --skip-root "$3" "$unpacked/rootfs" >&2 || fail "$1:$2"
}

demo=$(demo_layout)
mount_imgfs "oci:$demo" "$work/demo"
compare "$demo" 1.0 "$work/demo/1.0/linux_amd64/rootfs"
compare "$demo" 1.1 "$work/demo/1.1/linux_amd64/rootfs"
# The codings of a layer do not show.
for tag in docker zstd plain; do
	"$tests/compare-trees.py" --nanoseconds "$work/demo/1.0/linux_amd64/rootfs" \
		"$work/demo/$tag/linux_amd64/rootfs" >&2 || fail "$tag"
done

debian=$(debian_layout)
mount_imgfs "oci:$debian" "$work/debian"
compare "$debian" a "$work/debian/a/linux_amd64/rootfs"
compare "$debian" b "$work/debian/b/linux_amd64/rootfs"

# One image's merged file system as the root of a mount.
mount_imgfs "oci:$demo:1.0" "$work/root" rootfs,platform=linux/amd64
"$tests/compare-trees.py" --nanoseconds "$work/root" "$work/demo/1.0/linux_amd64/rootfs" >&2 ||
	fail "-o rootfs"
