#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# diff -r of two tags is right, and touches nothing that they share.
. "$(dirname "$0")/../lib.sh"
need_root
need umoci skopeo jq

layout=$(debian_layout)
mnt=$work/mnt
mount_imgfs "oci:$layout" "$mnt"
for tag in a b; do
	image=$(single "$layout" "$tag")
	umoci unpack --image "$image:$tag" "$work/$tag" >"$work/umoci.log" 2>&1 ||
		fail "umoci: $(tail -n 3 "$work/umoci.log")"
done

differ() { # DIRECTORY-A DIRECTORY-B
	(LC_ALL=C diff -rq --no-dereference "$1" "$2" || [[ $? = 1 ]]) |
		sed -e "s|$1|A|g" -e "s|$2|B|g" | LC_ALL=C sort
}
differ "$work/a/rootfs" "$work/b/rootfs" >"$work/expected"
# The indexes first, so that what is counted is the walk alone.
ls "$mnt/a/linux_amd64/rootfs" "$mnt/b/linux_amd64/rootfs" >"$work/stdout"

used() { # OPERATION...: how many requests the kernel has made
	local operation sum=0
	for operation; do
		sum=$((sum + $(counter "$mnt" ".fuse.$operation")))
	done
	echo "$sum"
}
reads=$(used read) listings=$(used readdir readdirplus)
differ "$mnt/a/linux_amd64/rootfs" "$mnt/b/linux_amd64/rootfs" >"$work/actual"
reads=$(($(used read) - reads))
listings=$(($(used readdir readdirplus) - listings))

assert_same_file "$work/actual" "$work/expected"
files=$(find "$work/a/rootfs" -type f | wc -l)
directories=$(find "$work/a/rootfs" -type d | wc -l)
say "reads $reads, listings $listings; $files files, $directories directories"
# 24 files are in the small top layers, in 9 directories: those and nothing else, in both images.  A
# listing is two requests: the names, and that there are no more.
((reads <= 2 * 24 + 8)) || fail "$reads reads for $files files"
((listings <= 2 * 2 * (9 + 1))) || fail "$listings listings of $directories directories"

# Of what is equal in name and identity, the inode numbers say so; names of images stay apart.
inode() { stat -c %i "$1"; }
for path in usr/bin usr/bin/perl etc/passwd; do
	assert_eq "$(inode "$mnt/a/linux_amd64/rootfs/$path")" \
		"$(inode "$mnt/b/linux_amd64/rootfs/$path")" "inode of $path"
done
[[ $(inode "$mnt/a") != "$(inode "$mnt/b")" ]] || fail "two tags have one inode number"
cp -r "$mnt/a/linux_amd64/layers" "$mnt/b/linux_amd64/layers" "$work" 2>"$work/stderr" || true
du -s "$mnt/a/linux_amd64/rootfs" "$mnt/b/linux_amd64/rootfs" >"$work/du"
second=$(tail -n 1 "$work/du" | cut -f 1)
((second < 4000)) || fail "du counts $second KiB for what the second image adds"
