#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ls -lR over an indexed tree, first and second time, against squashfuse on the same tree.
#
#   ENTRIES=100000
. "$(dirname "$0")/lib.sh"
need mksquashfs squashfuse
: "${ENTRIES:=100000}"

mkdir "$work/tree" "$work/peer"
python - "$work/tree" "$ENTRIES" <<'END'
import os, sys
for n in range(int(sys.argv[2])):
    if n % 200 == 0:
        directory = f"{sys.argv[1]}/{n // 20000:02d}/directory-{n // 200:04d}"
        os.makedirs(directory)
    name = f"{directory}/some-file-name-{n:06d}"
    if n % 4 == 3:
        os.symlink(f"some-file-name-{n - 1:06d}", name)
    else:
        with open(name, "w") as out:
            out.write(f"{n}\n")
END
tar --sort=name --format=pax -C "$work/tree" -cf "$work/layer.tar" .
mksquashfs "$work/tree" "$work/peer.squashfs" -comp zstd -no-progress -quiet >/dev/null
layout_of "$work/layout" "$work/layer.tar"
rm -r "$work/tree" "$work/layer.tar"

# The index, once, before anything is measured.
mount_imgfs "oci:$work/layout" "$work/mnt"
ls "$work/mnt/bench/linux_amd64/rootfs" >/dev/null
unmount "$work/mnt"

first=() second=() peer_first=() peer_second=()
for ((round = 1; round <= ROUNDS; round++)); do
	mount_imgfs "oci:$work/layout" "$work/mnt"
	first+=("$(elapsed ls -lR "$work/mnt/bench/linux_amd64/rootfs")")
	second+=("$(elapsed ls -lR "$work/mnt/bench/linux_amd64/rootfs")")
	unmount "$work/mnt"
	squashfuse "$work/peer.squashfs" "$work/peer"
	at_exit unmount_quietly "$work/peer"
	peer_first+=("$(elapsed ls -lR "$work/peer")")
	peer_second+=("$(elapsed ls -lR "$work/peer")")
	umount "$work/peer"
done
row "ls -lR of $ENTRIES entries, first" s "$(median "${first[@]}")" "$(median "${peer_first[@]}")" squashfuse
row "ls -lR of $ENTRIES entries, second" s "$(median "${second[@]}")" "$(median "${peer_second[@]}")" \
	squashfuse
