#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# imgfs status, umount and refresh: of one mount and of all, for people and programs, live, with a dead mount among
# them, and towards one that lies about who serves it.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq python3 setpriv

python - "$work" <<'END'
import random, sys
from ocilayout import Layout, Tar
random = random.Random(6)
layout = Layout(sys.argv[1] + "/layout")
for name, size in (("slow", 6 << 20), ("short", 1 << 20)):
    tar = Tar()
    tar.file("body", random.randbytes(size))
    layer = layout.layer(tar.bytes())
    layout.tag(name, layout.image([layer], {"architecture": "amd64", "os": "linux"}))
layout.close()
END
start_faultregistry "app=$work/layout"
rules '[{"match": {"path": "/blobs/"}, "do": {"rate": 400000}}]'
mnt=$work/mnt
other=$work/"the other"
mount_imgfs "docker://$registry/app" "$mnt" ttl=forever
ls "$mnt" >/dev/null
blob=$(find "$work/layout/blobs/sha256" -type f -size +5M)
size=$(stat -c %s "$blob")
name=sha256:$(basename "$blob" | cut -c 1-12)

status() { "$IMGFS" status "$@"; }
refused() { # CODE MESSAGE COMMAND...
	assert_eq "$(exit_code "${@:3}")" "$1" "exit code of: ${*:3}: $(<"$work/stderr")"
	assert_contains "$(<"$work/stderr")" "$2" "message of: ${*:3}"
}

# ---- one that fetches ----
cat "$mnt/slow/linux_amd64/rootfs/body" >/dev/null &
reader=$!
at_exit end_process "$reader"
has_begun() { (($(status --json "$mnt" | jq '[.in_flight[] | select(.done > 0)] | length') > 0)); }
poll 20 has_begun || fail "no transfer: $(status "$mnt")"
status --json "$mnt" >"$work/stats"
assert_eq "$(jq -r '.in_flight[] | [.digest, .total, .pid, .comm, .waiters] | @tsv' "$work/stats")" \
	"$name"$'\t'"$size"$'\t'"$reader"$'\tcat\t1' "in flight"
assert_eq "$(jq -r '[.schema, .source, .mountpoint, .pid] | @tsv' "$work/stats")" \
	$'1\t'"docker://$registry/app"$'\t'"$mnt"$'\t'"${daemons[$mnt]}" "stats"
status "$mnt" >"$work/text"
assert_contains "$(head -n 1 "$work/text")" "docker://$registry/app on $mnt, up " "the first line"
grep -qE "^  $name  6\.0 MiB  +[0-9]+%  [0-9.]+ KiB/s  [0-9]+s left  for cat\($reader\)$" "$work/text" ||
	fail "status: $(<"$work/text")"

# On a terminal of 80 columns, then of 40: bars that grow, lines that do not wrap, Ctrl-C.
cat >"$work/terminal.py" <<'TERMINAL'
import fcntl, os, pty, re, struct, sys, termios, time
columns, program = int(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.environ["TERM"] = "xterm"
    os.execv(program[0], program)
seen = b""
deadline = time.monotonic() + 20
while seen.count(b"\x1b[J") < 4 and time.monotonic() < deadline:
    seen += os.read(terminal, 65536)
os.write(terminal, b"\x03")
try:
    while os.read(terminal, 65536):
        pass
except OSError:
    pass # the other end is closed
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
pictures = seen.decode().split("\x1b[J")[:4]
for picture in pictures[1:]: # each goes up over the lines of the one before
    assert picture.startswith("\x1b[3A"), repr(picture)
plain = [re.sub(r"\x1b\[[0-9]*[A-Z]", "", picture) for picture in pictures]
lines = [line for picture in plain for line in picture.split("\r\n")]
assert max(map(len, lines)) < columns, lines
print("\n".join(lines))
sys.exit(status)
TERMINAL
python3 "$work/terminal.py" 80 "$IMGFS" status --watch "$mnt" >"$work/pictures" || fail "watch exits $?: $(<"$work/pictures")"
bar="${name#*:} \[#*\.*\] +([0-9]+)%  [0-9.]+ [KM]iB/6\.0 MiB  [0-9.]+ [KM]?i?B/s  ([0-9]+s left  )?cat\($reader\)"
sed -nE "s|^$bar$|\1|p" "$work/pictures" >"$work/percents"
assert_eq "$(wc -l <"$work/percents")" 4 "bars in: $(<"$work/pictures")"
sort -n -c "$work/percents" || fail "backwards: $(paste -s "$work/percents")"
(($(head -n 1 "$work/percents") < $(tail -n 1 "$work/percents"))) || fail "no progress: $(paste -s "$work/percents")"
python3 "$work/terminal.py" 40 "$IMGFS" status --watch "$mnt" >"$work/pictures" || fail "watch of 40 columns exits $?"
assert_contains "$(<"$work/pictures")" "${name#*:} " "40 columns"

# Elsewhere: lines, which end when the mount does.
"$IMGFS" status --watch "$mnt" >"$work/lines" 2>&1 &
watcher=$!
at_exit end_process "$watcher"
kill "$reader" && { wait "$reader" || true; }
cat "$mnt/short/linux_amd64/rootfs/body" >/dev/null
is_over() { grep -q ": over$" "$work/lines"; }
poll 20 is_over || fail "watch: $(<"$work/lines")"

# ---- several, one of them dead ----
mount_imgfs "oci:$work/layout" "$other"
status >"$work/text"
grep -qx "docker://$registry/app on $mnt, up .*" "$work/text" || fail "$mnt is not in $(<"$work/text")"
grep -qx "oci:$work/layout on $other, up .*" "$work/text" || fail "$other is not in $(<"$work/text")"
refused 2 "name the directory of one" "$IMGFS" status --watch
kill -KILL "${daemons[$other]}"
wait_gone "${daemons[$other]}"
status >"$work/text"
assert_eq "$(grep -A 1 -x "oci:$work/layout on $other" "$work/text" | tail -n 1)" \
	"error     $other: a dead mount, its process has ended; hint: imgfs umount '$other'" "a dead mount"
assert_eq "$(status --json | jq -r --arg at "$other" '.[] | select(.mountpoint == $at) | .error' | head -n 1)" \
	"$other: a dead mount, its process has ended" "a dead mount"
assert_eq "$(status --json | jq -r --arg at "$mnt" '.[] | select(.mountpoint == $at) | .schema')" 1 "--json of all"
refused 2 "a dead mount" "$IMGFS" status "$other"
refused 2 "nothing of imgfs is mounted there" "$IMGFS" status "$work"
refused 2 "$work/none" "$IMGFS" status "$work/none"
refused 1 "--watch is for people" "$IMGFS" status --watch --json
refused 1 "hint: imgfs status --help" "$IMGFS" status --wtach
assert_eq "$(exit_code "$IMGFS" umount "$other/")" 0 "umount of a dead mount: $(<"$work/stderr")"
unset "daemons[$other]"

# ---- refresh ----
reset_requests
ls "$mnt" >/dev/null
assert_eq "$(requests .requests)" 0 "requests of a list that is pinned"
"$IMGFS" refresh "$mnt/"
poll 20 grep -q "forgetting tag lists" "$mnt/.imgfs/log" || fail "not refreshed"
ls "$mnt" >/dev/null
assert_eq "$(requests .requests)" 1 "requests after a refresh"
refused 1 "one directory is needed" "$IMGFS" refresh
refused 2 "nothing of imgfs is mounted there" "$IMGFS" refresh "$work"

# Who serves it, it says itself.  What is no imgfs, or not of the user who mounted, gets no signal.
mkdir "$work/lies"
cp "$(command -v sleep)" "$work/imgfs"
chmod 755 "$work" "$work/imgfs"
sleep 600 &
victim=$!
at_exit end_process "$victim"
setpriv --reuid=nobody --regid=nogroup --clear-groups "$work/imgfs" 600 &
namesake=$!
at_exit end_process "$namesake"
poll 20 grep -qx imgfs "/proc/$namesake/comm" || fail "no namesake"
mount_imgfs "oci:$work/layout" "$other"
unmount_lies() { ! mountpoint -q "$other/.imgfs" || umount "$other/.imgfs"; }
mount --bind "$work/lies" "$other/.imgfs"
at_exit unmount_lies
for pid in "$victim" "$namesake" 0 -1 1 nonsense 99999999; do
	echo "$pid" >"$work/lies/pid"
	refused 2 "does not serve it" "$IMGFS" refresh "$other"
done
for pid in "$victim" "$namesake"; do
	kill -0 "$pid" || fail "a stranger got the signal"
done
# Nor does what it says reach the terminal as it is.
printf 'up \033]0;title\007\n' >"$work/lies/status"
assert_eq "$(status "$other")" 'up \x1b]0;title\x07' "a status with escapes"
unmount_lies
unmount "$other"

# ---- umount ----
exec {busy}<"$mnt/slow/digest"
refused 2 "hint: imgfs umount -z $mnt" "$IMGFS" umount "$mnt"
mountpoint -q "$mnt" || fail "unmounted, though busy"
assert_eq "$(exit_code "$IMGFS" umount -z "$mnt")" 0 "umount -z: $(<"$work/stderr")"
! mountpoint -q "$mnt" || fail "umount -z: still there"
exec {busy}<&-
wait_gone "${daemons[$mnt]}" || fail "the daemon lives on"
unset "daemons[$mnt]"
refused 2 "nothing of imgfs is mounted there" "$IMGFS" umount "$mnt"
refused 1 "hint: imgfs umount --help" "$IMGFS" umount
rc=0
wait "$watcher" || rc=$?
assert_eq "$rc" 0 "exit code of watch when the mount is gone: $(<"$work/lines")"
assert_eq "$(tail -n 1 "$work/lines")" "$mnt: not mounted any more" "the last line of watch"
assert_eq "$(head -n 1 "$work/lines")" "docker://$registry/app on $mnt" "the first line of watch"
grep -qE "^sha256:[0-9a-f]{12} +[0-9]+%  .*/1\.0 MiB  .*  cat\([0-9]+\)" "$work/lines" || fail "watch: $(<"$work/lines")"
! grep -q $'\033' "$work/lines" || fail "escapes where there is no terminal"

# ---- words ----
refused 1 "unknown command 'stauts' (did you mean 'status'?)" "$IMGFS" stauts
refused 1 "did you mean 'umount'" "$IMGFS" unmount "$mnt"
refused 1 "did you mean 'mount'" "$IMGFS" mout "oci:$work/layout" "$mnt"
