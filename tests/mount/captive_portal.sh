#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A page of somebody in between becomes no image, is said to be one, and replaces nothing in the cache.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq

demo=$(demo_layout)
start_faultregistry "app=$demo"
mnt=$work/mnt
page='{"do": {"status": 200, "content_type": "text/html", "body": "<html>log in</html>"}}'
json='{"do": {"status": 200, "content_type": "application/json", "body": "{\"login\": 1}"}}'

# refused SOURCE TEXT: it is no mount, and the message says what came.
refused() {
	mkdir -p "$mnt"
	at_exit unmount_quietly "$mnt"
	assert_eq "$(exit_code "$IMGFS" "$1" "$mnt" -o "cache_dir=$work/empty")" 32 "$1 behind $2"
	assert_contains "$(<"$work/stderr")" "$2" "message for $1"
}

rules "[$page]"
refused "docker://$registry/app:1.0" "instead of a manifest came 19 bytes of 'text/html'"
refused "docker://$registry/app" "instead of a list of tags came 19 bytes of 'text/html'"
refused "docker://$registry/" "instead of an API came 19 bytes of 'text/html'"
rules "[$json]"
refused "docker://$registry/app:1.0" "instead of a manifest came 12 bytes of 'application/json'"
refused "docker://$registry/app" "instead of a list of tags came 12 bytes of 'application/json'"
[[ -z $(find "$work/empty/refs" "$work/empty/blobs" -type f) ]] || fail "a page is in the cache"

# What was there before stays what it was: in a mount whose tags are asked for each time, and after it.
rules "[]"
mount_imgfs "docker://$registry/app" "$mnt" ttl=0s
expected=$(sha256sum <"$mnt/1.0/index.json")
tags=$(names "$mnt")
for answer in "$page" "$json"; do
	rules "[$answer]"
	assert_eq "$(names "$mnt")" "$tags" "tags behind a portal"
	assert_eq "$(sha256sum <"$mnt/1.0/index.json")" "$expected" "a tag behind a portal"
	assert_fails "Input/output error" ls "$mnt/zstd"
	[[ -d $mnt/1.1 && ! -e $mnt/2.0 ]] || fail "the tags that were listed are not known"
done
unmount "$mnt"
rules "[]"
mount_imgfs "docker://$registry/app" "$mnt" offline
assert_eq "$(names "$mnt")" "$tags" "tags afterwards"
assert_eq "$(sha256sum <"$mnt/1.0/index.json")" "$expected" "a tag afterwards"
