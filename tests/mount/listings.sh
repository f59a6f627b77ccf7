#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Lists of names that change: seen when they may be, by everybody, without a name coming twice or not at
# all; and none is asked for twice, neither of the registry nor of us.
. "$(dirname "$0")/../lib.sh"
need curl jq python3

demo=$(demo_layout)
start_faultregistry "app=$demo"

# list_of NAME...: a rule for the registry's list to hold these.
list_of() {
	jq -n '[{match: {path: "/tags/list"}, do: {status: 200,
		headers: {"Content-Type": "application/json"},
		body: ({name: "app", tags: $ARGS.positional} | tojson)}}]' --args "$@"
}

# tags NAME...: what it holds from now on.
tags() { rules "$(list_of "$@")"; }

# lists DIR NAMES
lists() { [[ $(names "$1") == "$2" ]]; }

# asked DIR: how often the kernel came for names, or to open a directory.
asked() { counter "$1" '.fuse | .readdir + .readdirplus'; }

# ---- as long as a list is good, the kernel keeps it --------------------------------------------------

mnt=$work/kept
tags 1.0 1.1
mount_imgfs "docker://$registry/app" "$mnt" ttl=1h
assert_eq "$(names "$mnt")" "1.0 1.1" "tags"
tags 1.0 1.1 new
reset_requests
before=$(asked "$mnt")
assert_eq "$(names "$mnt")" "1.0 1.1" "tags within ttl"
assert_eq "$(($(asked "$mnt") - before)) $(requests .requests)" "0 0" "requests for names within ttl"
time=$(stat -c %Y "$mnt")
kill -HUP "${daemons[$mnt]}"
poll 20 lists "$mnt" "1.0 1.1 new" || fail "after SIGHUP: $(names "$mnt")"
assert_eq "$(stat -c %Y "$mnt")" "$time" "the time of the directory"
assert_eq "$(requests .requests)" 1 "requests for a list after SIGHUP"
# A tree.  It is another one once, when its layers have been read.
tree=$mnt/1.0/linux_amd64/rootfs
find "$tree" >"$work/stdout"
find "$tree" >"$work/stdout"
before=$(asked "$mnt")
find "$tree" | cmp - "$work/stdout" || fail "another listing"
assert_eq "$(($(asked "$mnt") - before))" 0 "requests for names that are known"
unmount "$mnt"

# ---- after ttl it is another one: what is new is there, what went is gone ------------------------------

mnt=$work/second
tags 1.0 1.1
mount_imgfs "docker://$registry/app" "$mnt" ttl=1s
assert_eq "$(names "$mnt")" "1.0 1.1" "tags"
exec {open}<"$mnt"
tags 1.1 later
poll 20 lists "$mnt" "1.1 later" || fail "after ttl: $(names "$mnt")"
tags later
poll 20 lists "/dev/fd/$open/." "later" || fail "after ttl, in an open directory: $(names "$mnt")"
exec {open}<&-
unmount "$mnt"

# ---- it changes while it is read ----------------------------------------------------------------------

mnt=$work/changing
mapfile -t many < <(seq -f 'b%03g' 300)
tags "${many[@]}"
mount_imgfs "docker://$registry/app" "$mnt" ttl=0
list_of a "${many[@]/b200/b100a}" z >"$work/changed"
python3 - "$mnt" "$work/changed" "$fault/__rules" <<'END' || fail "a list that changes while it is read"
import ctypes, os, struct, sys, urllib.request

GETDENTS64 = 217 if os.uname().machine == "x86_64" else 61
libc = ctypes.CDLL(None, use_errno=True)


class Directory:
    """Reads with a buffer that holds two or three names."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def seek(self, place):
        os.lseek(self.fd, place, os.SEEK_SET)

    def some(self):
        buf = ctypes.create_string_buffer(100)
        n = libc.syscall(GETDENTS64, self.fd, buf, len(buf))
        assert n >= 0, os.strerror(ctypes.get_errno())
        entries, at = [], 0
        while at < n:
            _, place, size, _ = struct.unpack_from("=QqHB", buf.raw, at)
            entries.append((buf.raw[at + 19:at + size].split(b"\0")[0].decode(), place))
            at += size
        return entries

    def entries(self, most=10**9):
        entries = []
        while len(entries) < most and (some := self.some()):
            entries += some
        return entries

    def names(self, most=10**9):
        return [name for name, _ in self.entries(most)]


path, changed, url = sys.argv[1:]
old = [".", ".."] + [f"b{i:03}" for i in range(1, 301)]
one, other = Directory(path), Directory(path)
read = one.names(100)
assert sorted(other.names()) == sorted(old), "another one in the same directory"
# Names come in front, behind and in the middle, others go; and somebody else lists them.
with open(changed, "rb") as rules:
    urllib.request.urlopen(urllib.request.Request(url, rules.read(), method="PUT")).close()
other.seek(0)
new = other.names()
stayed = [name for name in old if name != "b200"]
assert sorted(new) == sorted(stayed + ["a", "b100a", "z"]), "the new listing"
read += one.names()
assert sorted(name for name in read if name in stayed) == sorted(stayed), "what stayed comes once"
assert len(read) == len(set(read)), "a name comes twice"
one.seek(0)
places = one.entries()
assert [name for name, _ in places] == new, "rewinddir"
assert len({place for _, place in places}) == len(places), "two names have one place"
for i in range(len(places) - 2, -1, -37):
    other.seek(places[i][1])
    assert other.some()[0][0] == new[i + 1], f"seekdir to {new[i + 1]}"
END

# ---- many at once, and one that waits for the network ---------------------------------------------------

tags "${many[@]/b/c}"
readers=()
for i in {1..8}; do
	find "$mnt" -mindepth 1 -maxdepth 1 -printf '%f\n' >"$work/many.$i" &
	readers+=("$!")
done
wait "${readers[@]}"
for i in {1..8}; do
	sort "$work/many.$i" | cmp - <(seq -f 'c%03g' 300) || fail "one of many at once"
done
unmount "$mnt"

mnt=$work/waiting cache=$work/empty
rules '[{"match": {"path": "/tags/list"}, "do": {"hang": true}}]'
mount_imgfs "docker://$registry/app" "$mnt" nocheck
env --default-signal ls "$mnt" >"$work/stdout" 2>"$work/stderr" &
reader=$!
asked_for() { (($(counter "$mnt" .http_requests) > 0)); }
poll 20 asked_for || fail "nobody asks for the list"
timeout 20 cat "$mnt/.imgfs/pid" >"$work/stdout" || fail "another one waits, too"
timeout 20 stat "$mnt" >"$work/stdout" || fail "looking at the directory waits"
kill -INT "$reader"
wait_gone "$reader" 5 || fail "who lists lives 5 s after SIGINT"
