#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# layer.tar hashes to the config's diff_id, the stored blob to the manifest's digest.
. "$(dirname "$0")/../lib.sh"
need jq

check() { # IMAGE-DIRECTORY
	local n=0 digest diff_id layer stored
	while read -r digest diff_id; do
		n=$((n + 1))
		layer=$(echo "$1/layers/$(printf %02d "$n")-"*)
		# Not the other way round: what is asked for first must not matter.
		assert_eq "sha256:$(sha256 "$layer/layer.tar")" "$diff_id" "diff_id of $layer"
		stored=$(find "$layer" -name 'layer.tar*')
		assert_eq "sha256:$(sha256 "$stored")" "$digest" "digest of $stored"
		assert_eq "$(stat -c %s "$layer/layer.tar")" "$(wc -c <"$layer/layer.tar")" "size"
		assert_eq "$(getfattr --only-values -n user.imgfs.digest "$layer/diff")" "$digest" "xattr"
	done < <(paste -d ' ' <(json "$1/manifest.json" '.layers[].digest') \
		<(json "$1/config.json" '.rootfs.diff_ids[]'))
	((n)) || fail "$1 has no layers"
}

mount_imgfs "oci:$(demo_layout)" "$work/demo"
for image in "$work"/demo/{1.0,1.1,docker}/linux_{amd64,arm64,arm_v7} \
	"$work"/demo/{zstd,plain}/linux_amd64; do
	check "$image"
done

mount_imgfs "oci:$(debian_layout)" "$work/debian"
check "$work/debian/b/linux_amd64"

# Any part of an uncompressed layer, in any order, is what a whole read says.
layer=$(echo "$work"/debian/b/linux_amd64/layers/01-*)
cp "$layer/layer.tar" "$work/whole"
python - "$layer/layer.tar" "$work/whole" <<'END'
import os, random, sys
mounted, whole = (os.open(path, os.O_RDONLY) for path in sys.argv[1:])
size = os.fstat(whole).st_size
random.seed(1)
for _ in range(300):
    offset, length = random.randrange(size + 4096), random.choice([1, 511, 4096, 70000])
    if os.pread(mounted, length, offset) != os.pread(whole, length, offset):
        sys.exit(f"{length} bytes at {offset} differ")
END
