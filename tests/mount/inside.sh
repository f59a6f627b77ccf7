#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mount that would wait for itself is refused: its source, its cache, its log or its credentials behind it, or
# itself in what it shows; whatever links and bind mounts lead there.
. "$(dirname "$0")/../lib.sh"
need_root

demo=$(demo_layout)
layout=$work/layout
cp -r "$demo" "$layout"
mnt=$work/mnt
mkdir -p "$mnt/deep" "$work/other" "$work/bind"
cp -r "$demo" "$mnt/layout"
printf '{}' >"$mnt/auth.json"
ln -s mnt/deep "$work/link"
mount --bind "$work" "$work/bind"
at_exit umount "$work/bind"

# refused MESSAGE SOURCE DIR OPTIONS
refused() {
	local actual
	actual=$(exit_code timeout 60 "$IMGFS" "$2" "$3" -o "$4")
	assert_eq "$actual" 32 "exit code of $2 on $3 with $4: $(<"$work/stderr")"
	assert_contains "$(<"$work/stderr")" "$1" "message of $2 on $3 with $4"
	! mountpoint -q "$3" || fail "mounted all the same: $2 on $3 with $4"
}
opts=cache_dir=$work/cache
refused "the source '$mnt/layout'" "oci:$mnt/layout" "$mnt" "$opts"
refused "the source '$mnt/layout'" "$mnt/layout" "$mnt/layout" "$opts"
refused "the source '$work/bind/mnt/layout'" "oci:$work/bind/mnt/layout" "$mnt" "$opts"
refused "lies in what it would show" "oci:$layout" "$layout/blobs" "$opts"
refused "lies in what it would show" "oci:$layout" "$work/bind/layout/blobs" "$opts"
refused "the cache '$mnt/deep'" "oci:$layout" "$mnt" "cache_dir=$mnt/deep"
refused "the cache '$mnt/new/er'" "oci:$layout" "$mnt" "cache_dir=$mnt/new/er"
[[ ! -e $mnt/new ]] || fail "a cache was made in the mount point"
refused "the cache '$work/link/cache'" "oci:$layout" "$mnt" "cache_dir=$work/link/cache"
refused "the cache lies in what is shown" "oci:$layout" "$mnt" "cache_dir=$layout/cache"
[[ ! -e $layout/cache ]] || fail "a cache was made in a layout"
refused "the log '$mnt/log'" "oci:$layout" "$mnt" "$opts,log=$mnt/log"
refused "the log lies in what is shown" "oci:$layout" "$mnt" "$opts,log=$layout/log"
[[ ! -e $mnt/log && ! -e $layout/log ]] || fail "a log was made"
refused "the credentials file '$mnt/auth.json'" "oci:$layout" "$mnt" "$opts,authfile=$mnt/auth.json"
refused "the certificates '$mnt/deep'" "oci:$layout" "$mnt" "$opts,cert_dir=$mnt/deep"
refused "registries.conf '$mnt/conf'" "oci:$layout" "$mnt" "$opts,registries_conf=$mnt/conf"
(cd "$work" && refused "the log 'mnt/log'" "oci:layout" mnt "$opts,log=mnt/log")

# Beside each other they may be, also where one's name begins like the other's.
mount_imgfs "oci:$layout" "$mnt" "cache_dir=$work/mnt-cache,log=$work/mnt.log"
unmount "$mnt"
mount_imgfs "oci:$mnt/layout" "$work/other" "cache_dir=$mnt/cache,log=$mnt/log"
unmount "$work/other"
