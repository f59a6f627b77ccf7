#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A cache that cannot be written, was left by a power cut or by another program, or is shared by two.
. "$(dirname "$0")/../rows.sh"
need_root
need curl jq python3

make_images "$work" 40
start_faultregistry "app=$work/layout"
mnt=$work/mnt

mount_app() { # [OPTIONS]
	mount_imgfs "docker://$registry/app" "$mnt" "retries=1,$logged${1:+,$1}"
	ls "$mnt" >"$work/stdout"
}

row_unwritable() {
	# Not a directory, and one on a disk that is read-only.
	: >"$work/file"
	mount_app "cache_dir=$work/file/cache"
	cold
	is_right
	unmount "$mnt"
	assert_contains "$(<"$log")" "$work/file/cache" "the warning"
	mkdir -p "$work/ro"
	mount -t tmpfs -o ro,mode=0700 imgfs-test "$work/ro"
	at_exit umount -l "$work/ro"
	from=$(stat -c %s "$log")
	mount_app "cache_dir=$work/ro"
	cold
	is_right
	(($(counted cache_errors) >= 1)) || fail "cache_errors was not counted"
	assert_counted cache_full 0
	[[ -z $(ls "$work/ro") ]] || fail "something in a read-only cache"
	unmount "$mnt"
	assert_contains "$(tail -c +$((from + 1)) "$log")" "$work/ro" "the warning"
	# One that is not there is made.
	mount_app "cache_dir=$work/new/cache"
	cold
	is_right
	unmount "$mnt"
	[[ -s $work/new/cache/blobs/sha256/${layer#*:} ]] || fail "no cache was made"
}

# What a power cut leaves: files that are empty, cut, or have zeros where there was something.
row_power_cut() {
	local how kind file
	for how in 'truncate -s 0' 'truncate -s 100' 'truncate -s -1' zeros; do
		mount_app
		cold
		is_right
		unmount "$mnt"
		while read -r file; do
			$how "$file"
		done < <(find "$cache" -type f)
		mount_app
		root=$mnt/$tag/linux_amd64/rootfs
		is_right
		assert_eq "$(<"$mnt/$tag/digest")" "$manifest" "the tag after $how"
		unmount "$mnt"
	done
	# In a layer that was under way.
	for how in 'truncate -s 0' 'truncate -s 1000' zeros; do
		mount_app
		cold
		rules "[{\"match\": {\"path\": \"/blobs/$layer\", \"range\": false}, \"do\": {\"disconnect_after\": 300000}},
			{\"match\": {\"path\": \"/blobs/$layer\", \"range\": true}, \"do\": {\"status\": 404}}]"
		cat "$root/body" >"$work/stdout" 2>"$work/stderr" && fail "read what is not there"
		unmount "$mnt"
		file=$cache/partial/sha256-${layer#*:}
		[[ -e $file ]] || file=$(find "$cache/partial" -type f -name "*${layer#*:}*")
		[[ -s $file ]] || fail "nothing was kept of $layer"
		$how "$file"
		rules '[]'
		mount_app
		root=$mnt/$tag/linux_amd64/rootfs
		is_right
		unmount "$mnt"
	done
}
zeros() { dd if=/dev/zero of="$1" bs=64 seek=1 count=2 conv=notrunc status=none; }

row_version() {
	local other=$work/other version
	for version in 0 2 99999999999999999999 '' "$(printf '\377\376')" "$(printf '%4096s' 1)"; do
		rm -rf "$other"
		mount_app "cache_dir=$other"
		cold
		is_right
		unmount "$mnt"
		[[ -s $other/version ]] || fail "a cache without a version"
		printf '%s\n' "$version" >"$other/version"
		(cd "$other" && find blobs index -type f -exec sha256sum {} +) >"$work/before"
		mount_app "cache_dir=$other"
		root=$mnt/$tag/linux_amd64/rootfs
		is_right
		unmount "$mnt"
		# It is somebody else's: what lies there stays.
		(cd "$other" && sha256sum --quiet -c "$work/before") || fail "version '$version': changed"
	done
}

row_planted() {
	local kind
	for kind in blobs index; do
		mount_app
		cold
		is_right
		unmount "$mnt"
		mv "$cache/$kind/sha256/${layer#*:}" "$work/moved"
		ln -s "$work/moved" "$cache/$kind/sha256/${layer#*:}"
		mount_app
		root=$mnt/$tag/linux_amd64/rootfs
		from_here
		is_right
		cat "$mnt/$tag/linux_amd64/layers/"*/layer.tar.gz >"$work/stdout"
		assert_eq "$(sha256 "$work/stdout")" "${layer#*:}" "the blob"
		log_says "$kind/sha256/${layer#*:} is not a file of ours; not used"
		unmount "$mnt"
	done
	# Somebody else's, and none.
	mount_app
	cold
	is_right
	unmount "$mnt"
	chown 65534 "$cache/blobs/sha256/${layer#*:}"
	rm "$cache/index/sha256/${layer#*:}"
	mkfifo "$cache/index/sha256/${layer#*:}"
	mount_app
	root=$mnt/$tag/linux_amd64/rootfs
	from_here
	is_right
	log_says "index/sha256/${layer#*:} is not a file of ours; not used"
	log_says "blobs/sha256/${layer#*:} is not a file of ours; not used"
	unmount "$mnt"
}

row_evicted() {
	# Less than one of the files that are read, and readers that have several open.
	mount_app "cache_dir=$work/small,cache_size=700K"
	cold
	exec 9<"$root/body"
	head -c 4096 <&9 >"$work/begin"
	for _ in 1 2 3; do
		cold
		is_right
	done
	root=$mnt/i00
	cat "$work/begin" - <&9 >"$work/body"
	exec 9<&-
	assert_same_file "$work/body" "$work/content/$(printf 'i%02d' $((image_number - 3)))/body"
	unmount "$mnt"
}

row_two_mounts() {
	local second=$work/second before n
	mount_imgfs "docker://$registry/app" "$second" "retries=1,$logged"
	ls "$second" >"$work/stdout"
	mount_app
	# Each blob once.
	for n in {1..4}; do
		cold
		layer_is '{"rate": 1000000}'
		diff -r "$second/$tag/linux_amd64/rootfs" "$content" >"$work/diff" 2>&1 &
		is_right
		wait $! || fail "the second mount: $(<"$work/diff")"
		assert_eq "$(layer_requests)" 1 "requests for a layer by two mounts"
	done
	(($(counter "$mnt" .cache_waits) + $(counter "$second" .cache_waits) >= 1)) || fail "cache_waits"
	# One of them dies: the other goes on where it was.
	cold
	ls "$second/$tag/linux_amd64" >"$work/stdout"
	layer_is '{"rate": 200000}'
	cat "$second/$tag/linux_amd64/rootfs/body" >"$work/stdout" 2>"$work/stderr" &
	before=$!
	under_way() { [[ $(requests .active) == 1 ]]; }
	poll 20 under_way || fail "the second mount does not fetch"
	cat "$root/body" >"$work/body" &
	n=$!
	kill -KILL "${daemons[$second]}"
	wait_gone "${daemons[$second]}"
	unset "daemons[$second]"
	umount -l "$second"
	wait "$before" && fail "a reader without a daemon succeeded"
	wait "$n" || fail "the other mount's reader failed"
	assert_same_file "$work/body" "$content/body"
	unmount "$mnt"
}

run_rows
