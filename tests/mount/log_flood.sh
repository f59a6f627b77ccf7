#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many readers of what cannot be had are one incident: some lines, and the number of the others.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq

demo=$(demo_layout)
mnt=$work/mnt
log=$work/log
start_faultregistry "app=$demo"
rules '[{"match": {"path": "/blobs/"}, "do": {"status": 500}}]'
mount_imgfs "docker://$registry/app" "$mnt" "retries=0,log=$log"

for file in {a..z}{a..d}; do
	assert_fails "Input/output error" cat "$mnt/1.0/linux_amd64/rootfs/$file"
done
errors=$(counter "$mnt" .errors)
((errors >= 104)) || fail "$errors errors were counted"
lines=$(grep -c "/rootfs" "$log")
((lines >= 1 && lines <= 20)) || fail "$lines lines about $errors errors: $(tail -n 3 "$log")"
assert_contains "$(head -n 1 "$log")" "500" "the cause"
unmount "$mnt"
told=$(sed -n 's/.*: \([0-9]*\) more like it not written: .*/\1/p' "$log" | paste -s -d +)
((told + lines >= errors)) || fail "of $errors errors $lines were written, and $told told of"
