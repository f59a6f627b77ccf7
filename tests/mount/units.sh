#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The services, the sample units and tmpfiles: systemd understands them, the service is as confined as it can
# be, and what it starts mounts.
. "$(dirname "$0")/../lib.sh"
need_root
need systemd-analyze systemd-tmpfiles

source=$repository/fs/system
mkdir "$work/bin" "$work/run" "$work/root" "$work/mnt"
ln -s "$IMGFS" "$work/bin/imgfs"
for unit in imgfs@ imgfs-user@; do
	sed "s|@bindir@|$work/bin|" "$source/$unit.service.in" >"$work/$unit.service"
done
cp "$repository"/examples/systemd/* "$work"

# Without a word: unknown keys and system calls are worth a line to it, but no status.
verify() {
	local said
	said=$(XDG_RUNTIME_DIR=$work/run systemd-analyze verify --man=no "$@" 2>&1) || fail "$*: $said"
	assert_eq "$said" "" "systemd-analyze verify $*"
}
verify "$work/imgfs@.service"
verify --user "$work/imgfs-user@.service"
verify "$work/mnt-app.mount" "$work/mnt-app.automount"

# 10 is no confinement; what keeps it from being less is told in the unit.
systemd-analyze security --offline=true --no-pager --threshold=40 "$work/imgfs@.service" >"$work/security" ||
	fail "$(tail -n 1 "$work/security")"
# With one of these the service has mounts of its own, and nobody sees what it mounts.
! grep -E '^(Private(Tmp|Devices|Mounts|IPC)|Protect(System|Home|Proc|Kernel[A-Z][a-z]*|ControlGroups)|ProcSubset|DynamicUser|Root[A-Z][a-z]*|(Read|In|No|Exec)[A-Za-z]*Paths|BindPaths|MountFlags)=' \
	"$source"/*.service.in || fail "a mount namespace"

systemd-tmpfiles --root="$work/root" --create "$source/tmpfiles.conf"
assert_eq "$(stat -c '%F %a %U' "$work/root/var/cache/imgfs")" "directory 700 root" "the cache of tmpfiles"

# ExecStart=, as systemd replaces the variables: each is one word, perhaps an empty one.
start() {
	local SOURCE DIR OPTIONS line
	eval "$(sed -n 's/^Environment=//p' "$work/imgfs@.service")"
	. "$work/app.env"
	line=$(sed -n 's/^ExecStart=//p' "$work/imgfs@.service" | sed 's/\${[A-Z]*}/"&"/g')
	eval "IMGFS_CACHE_DIR=$cache exec $line"
}
printf 'SOURCE=oci:%s\nDIR=%s\n' "$(demo_layout)" "$work/mnt" >"$work/app.env"
at_exit umount -q "$work/mnt"
start >"$work/start.log" 2>&1 </dev/null &
pid=$!
poll 20 mountpoint -q "$work/mnt" || fail "not mounted: $(<"$work/start.log")"
assert_contains "$(names "$work/mnt")" "1.0" "names in the mount"
kill -TERM "$pid"
wait "$pid" || fail "the service ends with $?: $(<"$work/start.log")"
! mountpoint -q "$work/mnt" || fail "still mounted"
