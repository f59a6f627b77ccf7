#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many readers, few descriptors, and a daemon that is stopped, killed or unmounted under them.
. "$(dirname "$0")/../rows.sh"
need_root
need curl jq python3 fusermount3

make_images "$work" 60
start_faultregistry "app=$work/layout"
mnt=$work/mnt

mount_app() { # [OPTIONS]
	mount_imgfs "docker://$registry/app" "$mnt" "retries=1,$logged${1:+,$1}"
	ls "$mnt" >"$work/stdout"
}

# parallel_read COUNT FILE EXPECTED: all of FILE, by so many threads of a few processes that start together.
parallel_read() {
	python3 - "$@" <<'END'
import multiprocessing, sys, threading
count, path, expected = int(sys.argv[1]), sys.argv[2], open(sys.argv[3], "rb").read()
processes = 4
def process(gate, wrong):
    def read():
        gate.wait()
        try:
            with open(path, "rb", buffering=0) as file:
                data = b""
                while piece := file.read(1 << 20):
                    data += piece
        except OSError as error:
            data = error
        if data != expected:
            with wrong.get_lock():
                wrong.value += 1
    threading.stack_size(128 << 10)
    threads = [threading.Thread(target=read) for _ in range(count // processes)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
gate, wrong = multiprocessing.Event(), multiprocessing.Value("i", 0)
workers = [multiprocessing.Process(target=process, args=(gate, wrong)) for _ in range(processes)]
for worker in workers: worker.start()
gate.set()
for worker in workers: worker.join()
sys.exit(f"{wrong.value} readers got something else" if wrong.value else 0)
END
}
# took_over: a mount on $mnt that this script made without mount_imgfs.
took_over() {
	daemons["$mnt"]=$(<"$mnt/.imgfs/pid")
	at_exit unmount_quietly "$mnt"
}
threads_of() { find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l; }

row_many_readers() {
	mount_app
	cold
	layer_is '{"delay": 1}'
	parallel_read 1000 "$root/body" "$content/body" || fail "1000 readers"
	assert_eq "$(layer_requests)" 1 "requests for a layer by 1000 readers"
	(($(layer_bytes) <= layer_size * 102 / 100)) || fail "$(layer_bytes) bytes of $layer_size"
	local threads
	threads=$(threads_of "${daemons[$mnt]}")
	((threads <= 64)) || fail "$threads threads"
	unmount "$mnt"
}

row_many_files() {
	local n depth deepest=0
	mount_app
	cold
	local here=$image
	for n in {1..12}; do
		cold
	done
	rules '[{"match": {"path": "/blobs/"}, "do": {"rate": 400000}}]'
	for n in {01..12}; do
		printf '%s\n' "$mnt/i$n/linux_amd64/rootfs/"{first,body,last}
	done >"$work/files"
	for n in {1..10}; do cat "$work/files"; done | xargs -P 256 -n 1 cat >"$work/bytes" 2>"$work/stderr" &
	local readers=$!
	while ! has_ended "$readers"; do
		timeout 2 cat "$here/config.json" >"$work/stdout" || fail "a cached document waits for layers"
		depth=$(timeout 2 jq .queue_depth "$mnt/.imgfs/stats.json") || fail "the statistics wait for layers"
		deepest=$((depth > deepest ? depth : deepest))
	done
	((deepest >= 12)) || fail "never more than $deepest requests wait"
	poll 5 nobody_waits || fail "queue_depth without readers"
	(($(threads_of "${daemons[$mnt]}") <= 64)) || fail "$(threads_of "${daemons[$mnt]}") threads"
	wait "$readers" || fail "readers failed: $(head -n 3 "$work/stderr")"
	assert_eq "$(stat -c %s "$work/bytes")" $((10 * 12 * 610000)) "bytes"
	(($(requests .peak_active) <= 16)) || fail "$(requests .peak_active) at once"
	unmount "$mnt"
}

nobody_waits() { [[ $(counter "$mnt" .queue_depth) == 0 ]]; }

row_descriptors() {
	# Files that are kept open for who may come again make room for who comes.
	few_descriptors 64
	read_with_few 0
	unmount "$mnt"
	rm -r "$cache"
	# As few as a mount can live with: what goes wrong is an error, and the daemon goes on.
	few_descriptors 40
	read_with_few 0
	kill -0 "${daemons["$mnt"]}" || fail "the daemon has ended"
	timeout 10 ls "$mnt" "$mnt/.imgfs/blobs" >"$work/stdout" || fail "names do not answer"
	unmount "$mnt"
	rm -r "$cache"
	mount_app
	cold
	is_right
	unmount "$mnt"
}
few_descriptors() { # COUNT: a mount with so many
	mkdir -p "$mnt"
	prlimit --nofile="$1:$1" "$IMGFS" "docker://$registry/app" "$mnt" -o "cache_dir=$cache,retries=1,$logged" \
		>"$work/stdout" 2>"$work/stderr" </dev/null || fail "no mount with $1 descriptors: $(<"$work/stderr")"
	took_over
}
read_with_few() { # COUNT: of all images three files each, of which so many may be refused
	python3 - "$mnt" "$work/content" 59 "$1" <<'END' || fail "with too few descriptors"
import errno, os, sys
mount, content, count, may_fail = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
files, failed = [], 0
for n in range(count):
    for name in "first", "body", "layer.tar.gz":
        root = f"{mount}/i{n:02d}/linux_amd64"
        try:
            if name == "layer.tar.gz":
                layers = root + "/layers/"
                file = open(layers + os.listdir(layers)[0] + "/" + name, "rb", buffering=0)
                file.read(1)
            else:
                file = open(f"{root}/rootfs/{name}", "rb", buffering=0)
                assert file.read(1) == open(f"{content}/i{n:02d}/{name}", "rb").read(1), "another byte"
            files.append(file)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.EIO):
                raise
            failed += 1
print(f"# {len(files)} files open, {failed} refused", file=sys.stderr)
sys.exit(failed > may_fail)
END
}

row_unmount() {
	local pid reader
	# Lazily, and busy, under a slow transfer; by a signal, in five seconds.
	mount_app
	cold
	layer_is '{"rate": 20000}'
	pid=${daemons[$mnt]}
	cat "$root/body" >"$work/stdout" 2>"$work/stderr" &
	reader=$!
	under_way() { [[ $(requests .active) == 1 ]]; }
	poll 20 under_way || fail "no transfer"
	assert_fails "busy" fusermount3 -u "$mnt"
	fusermount3 -u -z "$mnt" || fail "fusermount3 -u -z"
	! mountpoint -q "$mnt" || fail "still mounted"
	kill -TERM "$reader"
	wait_gone "$reader" 5 || fail "the reader lives on after its mount"
	wait "$reader" || true
	wait_gone "$pid" 10 || fail "the daemon lives on after its last user"
	unset "daemons[$mnt]"
	mount_app
	root=$mnt/$tag/linux_amd64/rootfs
	cat "$root/body" >"$work/stdout" 2>"$work/stderr" &
	reader=$!
	poll 20 under_way || fail "no transfer"
	pid=${daemons[$mnt]}
	kill -TERM "$pid"
	wait_gone "$pid" 5 || fail "the daemon lives 5 s after SIGTERM"
	wait_gone "$reader" 5 || fail "the reader outlives it"
	wait "$reader" && fail "read all of it"
	! mountpoint -q "$mnt" || fail "still mounted after SIGTERM"
	unset "daemons[$mnt]"
	rules '[]'
	mount_app
	root=$mnt/$tag/linux_amd64/rootfs
	is_right
	unmount "$mnt"
}

row_killed() {
	mount_app
	local pid=${daemons[$mnt]}
	kill -KILL "$pid"
	wait_gone "$pid"
	# While its threads end, a request may still be taken and then be aborted.
	is_dead() { [[ $(LC_ALL=C cat "$mnt/i40/linux_amd64/rootfs/body" 2>&1) == *"Transport endpoint is not connected"* ]]; }
	poll 20 is_dead || fail "a mount without its daemon: $(cat "$mnt/i40/linux_amd64/rootfs/body" 2>&1)"
	umount "$mnt"
	unset "daemons[$mnt]"
	mount_app auto_unmount
	pid=${daemons[$mnt]}
	kill -KILL "$pid"
	wait_gone "$pid"
	unset "daemons[$mnt]"
	gone() { ! grep -q " $mnt " /proc/self/mountinfo; } # mountpoint(1) takes a dead one for none
	poll 20 gone || fail "auto_unmount: still mounted"
}

row_stopped() {
	mount_app
	cold
	kill -STOP "${daemons[$mnt]}"
	cat "$root/body" >"$work/body" 2>"$work/stderr" &
	local reader=$!
	asleep() { [[ $(cut -d ' ' -f 3 "/proc/$reader/stat") == [SD] ]]; }
	poll 20 asleep || fail "the reader does not wait"
	kill -CONT "${daemons[$mnt]}"
	wait "$reader" || fail "the reader failed: $(<"$work/stderr")"
	assert_same_file "$work/body" "$content/body"
	unmount "$mnt"
}

run_rows
