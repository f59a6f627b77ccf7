#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs that look at everything: what each costs at the registry, and that what it copies is right.  Listing is
# free; what enters a tree costs each of its layers once, whatever enters it.
. "$(dirname "$0")/../lib.sh"
need_root
need curl git getfattr jq python3 rsync skopeo umoci updatedb.plocate plocate

demo=$(demo_layout)
start_faultregistry "team/app=$demo"
mnt=$work/mnt
mount_imgfs "docker://$registry/team/app" "$mnt"

layer_digests=$(for file in "$demo"/blobs/sha256/*; do
	[[ $(head -c 1 "$file") == '{' ]] && jq -r '.layers[]?.digest' "$file"
done | sort -u | paste -s -d '|')

# costs REQUESTS LAYERS COMMAND...: so many requests, of which so many were for layers.
costs() {
	local all=$1 layers=$2 rc=0
	shift 2
	reset_requests
	"$@" >"$work/stdout" 2>"$work/stderr" || rc=$?
	assert_eq "$(requests "[.requests, ([.paths | to_entries[] | select(.key | test(\"/blobs/($layer_digests)\$\"))
		| .value.requests] | add // 0)] | join(\" \")")" "$all $layers" "requests, and those for layers: $*"
	return "$rc"
}
opened() { counter "$mnt" .fuse.opendir; }
looked_up() { counter "$mnt" .fuse.lookup; }

# ---- what lists, and enters nothing ------------------------------------------------------------------

# A file manager: names, attributes, what its attributes say.  With "count" it also counts what is in each directory.
cat >"$work/manager.py" <<'END'
import os, sys
top, counts = sys.argv[1], "count" in sys.argv
for entry in os.scandir(top):
    entry.stat(follow_symlinks=False)
    for name in ("security.selinux", "system.posix_acl_access", "user.xdg.tags", "user.mime_type"):
        try:
            os.getxattr(entry.path, name)
        except OSError:
            pass
    os.listxattr(entry.path)
    if counts and entry.is_dir():
        print(entry.name, len(os.listdir(entry.path)))
END
image=$mnt/1.0/linux_arm64

costs 1 0 ls "$mnt"
assert_eq "$(paste -s -d ' ' "$work/stdout")" "1.0 1.1 docker latest plain zstd" "tags"
for command in "ls -l" "ls -la --color=always" "ls -lZ" stat "python3 $work/manager.py"; do
	read -ra words <<<"$command"
	costs 0 0 "${words[@]}" "$mnt"
done
costs 0 0 find "$mnt" -maxdepth 1

# A tag's directory: what it points at, and who refers to that.
costs 3 0 ls "$mnt/1.0"
costs 0 0 ls -l --color=always "$mnt/1.0"
# The platform: manifest, config, and who refers to it.
costs 3 0 ls -l "$image"
for directory in "$mnt" "$mnt/1.0" "$image" "$image/layers" "$image"/layers/01-*; do
	costs 0 0 ls -la --color=always "$directory"
	costs 0 0 python3 "$work/manager.py" "$directory"
done
costs 0 0 du -a "$image"/layers/*/layer.tar.gz
assert_eq "$(awk '{ sum += $1 } END { print sum }' "$work/stdout")" \
	"$(jq '[.layers[].size | . / 512 | ceil / 2 | ceil] | add' "$image/manifest.json")" "du of blobs, in KiB"
# Nor does find, to where the doors are: two more platforms.
costs 6 0 find "$mnt/1.0" -maxdepth 2
grep -q 'linux_amd64/rootfs$' "$work/stdout" || fail "find does not see rootfs"

# ---- those who look for what belongs to them ----------------------------------------------------------

look_up() {
	local directory name
	for directory in "$mnt" "$mnt/1.0" "$image" "$image/layers" "$image"/layers/01-*; do
		for name in .git HEAD package.json .editorconfig .vscode Cargo.toml node_modules .hg CACHEDIR.TAG .trackerignore \
			desktop.ini .DS_Store .directory; do
			[[ ! -e $directory/$name ]] || fail "$directory/$name exists"
		done
	done
}
costs 0 0 look_up
before=$(looked_up)
look_up
# The kernel remembers; stats.json itself is three names, and perhaps a few of the path to it.
(($(looked_up) - before < 10)) || fail "$(($(looked_up) - before)) lookups of names that are known to be absent"

for directory in "$mnt" "$mnt/1.0" "$image" "$image/layers"; do
	cd "$directory"
	costs 0 0 git status && fail "git found a repository"
	assert_contains "$(<"$work/stderr")" "not a git repository" "git status"
	cd /
done

# ---- those who have to be told to stay out -------------------------------------------------------------

# updatedb walks mounts of root.  Told of fuse.imgfs it opens the root of one, and no more.
database() { # DIRECTORY [OPTIONS]
	updatedb.plocate -U "$1" -o "$work/plocate.db" -l no --prunepaths '' --prunenames '' "${@:2}"
}
before=$(opened)
costs 0 0 database "$work" --prunefs "tmpfs fuse.imgfs"
(($(opened) - before <= 1)) || fail "updatedb opened $(($(opened) - before)) directories"
plocate -d "$work/plocate.db" "$mnt" >"$work/located"
assert_eq "$(<"$work/located")" "$mnt" "what is in the database"

# So with programs that stay in one file system.
before=$(opened)
costs 0 0 find "$work" -xdev -name os-release -path "$mnt/*"
assert_eq "$(<"$work/stdout")" "" "find -xdev"
costs 0 0 du -sx "$work"
assert_eq "$(opened)" "$before" "directories that find -xdev and du -x opened"

# ---- those who walk through everything: each layer once, whoever comes --------------------------------------

reference=$work/reference
umoci unpack --image "$(single "$demo" 1.0):1.0" "$reference" >"$work/umoci.log" 2>&1 ||
	fail "umoci: $(tail -n 3 "$work/umoci.log")"
root=$mnt/1.0/linux_amd64/rootfs
copy=$work/copy

# is_right: the copy is what umoci unpacked, and has none of our attributes.
is_right() {
	"$tests/compare-trees.py" --skip-root "$copy" "$reference/rootfs" >&2 || fail "$copied"
	! getfattr -R -h -d -m - "$copy" 2>"$work/stderr" | grep '^user.imgfs' || fail "$copied: attributes of ours"
	rm -rf "$copy"
	mkdir "$copy"
}
mkdir "$copy"

# Its three layers; manifest and config came by find.
copied="cp -a"
costs 3 3 cp -a "$root/." "$copy"
is_right
for copied in "tar" "tar -S" "rsync" "rsync -S"; do
	case $copied in
	tar*) costs 0 0 sh -c "$copied --xattrs --xattrs-include='*' -C '$root' -cf - . |
		tar --xattrs --xattrs-include='*' -C '$copy' -xpf -" ;;
	rsync*) costs 0 0 sh -c "$copied -aHAX '$root/' '$copy/'" ;;
	esac
	is_right
done

# All of a tag, with everything that is listed there, and counting what is where: no layer comes twice.
all() {
	du -s "$mnt/1.0"
	find "$mnt/1.0" -type f -size -100k -exec cat {} + | wc -c
	python3 "$work/manager.py" "$mnt/1.0/linux_arm_v7" count
}
reset_requests
all >"$work/stdout"
assert_eq "$(requests "[.paths | to_entries[] | select(.key | test(\"/blobs/\")) | .value.requests] | max")" 1 \
	"requests for one blob"
costs 0 0 all

# Such a one is updatedb that was not told: all of it is in the database then.
costs 0 0 database "$image" --prunefs tmpfs
plocate -d "$work/plocate.db" "$image/rootfs/etc/os-release" >"$work/located"
