#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The table of README.md that says what commands cost: each is run, in that order, over a registry that counts,
# and costs the requests and bytes that are printed there.  To record them anew:
#
#   tests/mount/costs.sh --record
. "$(dirname "$0")/../lib.sh"
need curl jq python3

# The demo image, with a program that is the same everywhere.
python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(1 << 20))' >"$work/program"
BUSYBOX=$work/program "$repository/examples/make-demo-layout" "$work/demo"
start_faultregistry "team/app=$work/demo"

mkdir "$work/here" "$work/bin"
cd "$work/here"
mkdir mnt
export PATH=$work/bin:$PATH IMGFS_CACHE_DIR=$cache LC_ALL=C
# README.md's name of it.
cat >"$work/bin/imgfs" <<END
#!/bin/sh
exec "$IMGFS" "\$(printf '%s' "\$1" | sed 's|registry.example|$registry|')" "\$2"
END
chmod +x "$work/bin/imgfs"

mnt=$work/here/mnt
at_exit unmount_quietly "$mnt"
bytes() { awk '{ if ($1 < 10000) printf "%d", $1; else printf "%.0f kB", $1 / 1000 }'; }

while read -r command <&3; do
	reset_requests
	bash -c "$command" >"$work/stdout" 2>"$work/stderr" </dev/null || [[ $? = 1 && $command == diff* ]] ||
		fail "$command: $(<"$work/stderr")"
	[[ $command != *umount* ]] || wait_gone "${daemons[$mnt]}" || fail "the daemon lives on after umount"
	daemons[$mnt]=$(<mnt/.imgfs/pid)
	printf '%s\t%s\n' "$(requests)" "$(requests .bytes | bytes)" >>"$work/report"
done 3< <("$tests/readme.py" --table "$repository/README.md")
cd /
[[ -s $work/report ]] || fail "README.md has no table of costs"
"$tests/readme.py" "$@" --table "$repository/README.md" "$work/report" >"$work/difference" ||
	fail "README.md shows something else: $(<"$work/difference")"
