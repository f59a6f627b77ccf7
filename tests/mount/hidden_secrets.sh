#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A password that was given is nowhere to be read: not in the list of processes, not in the control files, not
# in the log, and not by another process of the same user or in a core file.
. "$(dirname "$0")/../lib.sh"
need_root
need setpriv curl jq

layout=$(demo_layout)
password=Pw-7f3a91
mnt=$work/mnt

# no_secret WHAT FILE...
no_secret() {
	local what=$1
	shift
	! grep -qa -e "$password" -- "$@" || fail "the password is in $what"
}

mount_imgfs "oci:$layout" "$mnt" "proxy=http://me:$password@127.0.0.1:9,log=$work/log,log_level=trace"
pid=${daemons[$mnt]}
no_secret "the command line" "/proc/$pid/cmdline"
assert_contains "$(tr '\0' ' ' <"/proc/$pid/cmdline")" "@127.0.0.1:9" "the command line"
for name in options status log source stats.json metrics; do
	no_secret ".imgfs/$name" "$mnt/.imgfs/$name"
done
assert_contains "$(<"$mnt/.imgfs/options")" "proxy=http://***@127.0.0.1:9" ".imgfs/options"
unmount "$mnt"

# One that is used: the proxy is not there, and the message names it without its password.
mkdir -p "$mnt"
assert_eq "$(exit_code "$IMGFS" docker://registry.invalid/app "$mnt" \
	-o "cache_dir=$cache,retries=0,log=$work/log,proxy=http://me:$password@127.0.0.1:9")" 32 "no proxy"
no_secret "a message" "$work/stderr" "$work/stdout"
no_secret "the log" "$work/log"

# What belongs to root is not for other processes of the same user; nor is there a core file of it.  The
# registry does not answer, so that this can be looked at without a mount.
start_faultregistry "app=$layout"
rules '[{"match": {"path": "/v2/"}, "do": {"hang": true}}]'
chmod 0755 "$work"
cp "$IMGFS" "$work/imgfs"
mkdir "$work/home" "$work/home/mnt"
chown -R nobody "$work/home"
(
	cd "$work/home"
	exec env HOME="$work/home" setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$work/imgfs" mount -f "docker://$registry/app" "$work/home/mnt"
) >"$work/stdout" 2>"$work/stderr" </dev/null &
pid=$!
at_exit kill -KILL "$pid"
has_asked() { (($(requests .active))); }
poll 20 has_asked || fail "a user's mount: $(<"$work/stderr")"
assert_eq "$(ps -o user= -p "$pid")" nobody "who runs it"
assert_eq "$(stat -c %U "/proc/$pid/mem" "/proc/$pid/environ" | sort -u)" root "owner of /proc/PID/mem"
assert_fails "Permission denied" setpriv --reuid=nobody --regid=nogroup --clear-groups \
	cat "/proc/$pid/environ"
