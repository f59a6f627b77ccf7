#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the process itself may lack: memory, threads, somebody to talk to, a clock that goes right.
. "$(dirname "$0")/../rows.sh"
need_root
need curl jq pgrep python3 setpriv prlimit unshare

make_images "$work" 60
start_faultregistry "app=$work/layout"
mnt=$work/mnt
source=docker://$registry/app
mkdir "$mnt"

mount_app() { # [OPTIONS]
	mount_imgfs "$source" "$mnt" "retries=1,$logged${1:+,$1}"
	ls "$mnt" >"$work/stdout"
}

# took_over: a mount on $mnt that was made without mount_imgfs.
took_over() {
	daemons["$mnt"]=$(<"$mnt/.imgfs/pid")
	at_exit unmount_quietly "$mnt"
}

# goes_on: the mount on $mnt reads what it had not read before, and tells of what cannot be had.
goes_on() {
	next_image
	rules "[{\"match\": {\"path\": \"/blobs/$layer\"}, \"do\": {\"status\": 404}}]"
	assert_fails "Input/output error" timeout 30 ls "$mnt/$tag/linux_amd64/rootfs"
	assert_contains "$(<"$mnt/.imgfs/log")" "${layer:0:19}" "$row: .imgfs/log"
	rules '[]'
	next_image
	root=$mnt/$tag/linux_amd64/rootfs
	is_right
}

row_log_full() {
	timeout 30 "$IMGFS" "$source" "$mnt" -o "cache_dir=$cache,retries=1,log=/dev/full,log_level=debug" \
		</dev/null >"$work/stdout" 2>"$work/stderr" || fail "no mount: $(<"$work/stderr")"
	took_over
	goes_on
	unmount "$mnt"
}

# in_foreground COMMAND...: a mount on $mnt by COMMAND, with -f; its process is $pid, and $mnt the way there
# through that.
in_foreground() {
	"$@" -f -o "cache_dir=$cache,retries=1,log_level=debug,log=${log_to:-stderr}" </dev/null >/dev/null 2>"$work/stderr" &
	pid=$!
	at_exit end_process "$pid"
	there() { [[ -e /proc/$pid/root$mnt/.imgfs/pid ]]; }
	poll 20 there || fail "no mount"
	mnt=/proc/$pid/root$mnt
}

# Where there is one, it is not there for this mount.
row_no_syslog() {
	local pid outside=$mnt
	# shellcheck disable=SC2016 # it is that shell's
	log_to=syslog in_foreground "${apart[@]}" sh -c '[ ! -e /dev/log ] || mount --bind /dev/null /dev/log; exec "$@"' _ \
		"$IMGFS" "$source" "$mnt"
	goes_on
	mnt=$outside
	kill "$pid"
	wait "$pid" || fail "exit status $?: $(<"$work/stderr")"
}

row_broken_pipe() {
	local pid reader outside=$mnt
	mkfifo "$work/pipe"
	head -n 1 "$work/pipe" >"$work/stdout" &
	reader=$!
	ln -sf "$work/pipe" "$work/stderr"
	in_foreground timeout -k 5 60 "$IMGFS" "$source" "$mnt"
	wait "$reader"
	goes_on
	kill -PIPE "$(<"$mnt/.imgfs/pid")"
	goes_on
	mnt=$outside
	umount "$mnt"
	wait "$pid" || fail "exit status $?"
	rm "$work/stderr"
}

# says_much: more lines than wait for whoever takes them; each listing is a request, which is a line.
says_much() {
	local n
	for n in {1..300}; do
		env kill -q 0 -HUP "$(<"$mnt/.imgfs/pid")" # as imgfs refresh does
		timeout 10 ls "$mnt" >"$work/stdout" || fail "listing $n: exit status $?"
	done
}

# A terminal after Ctrl-S, a pager that nobody scrolls.
row_log_stopped() {
	local pid reader outside=$mnt
	mkfifo "$work/stopped"
	exec {reader}<>"$work/stopped"
	dd if=/dev/zero of="$work/stopped" bs=4096 oflag=nonblock status=none 2>"$work/stdout" || :
	ln -sf "$work/stopped" "$work/stderr"
	in_foreground timeout -k 5 60 "$IMGFS" "$source" "$mnt"
	goes_on
	says_much
	goes_on
	timeout 60 cat <&"$reader" >"$work/said" &
	at_exit end_process "$!"
	told() { grep -aqE "warning: [1-9][0-9]* lines were lost" "$work/said"; }
	poll 10 told || fail "nothing of what was lost"
	goes_on
	mnt=$outside
	umount "$mnt"
	wait "$pid" || fail "exit status $?"
	rm "$work/stderr"
}

# In a /dev of its own, with a socket that nobody reads.
row_syslog_stopped() {
	local pid socket outside=$mnt
	# A short path: that of a socket has little room.
	python3 -c 'import os, signal, socket, sys
os.chdir(sys.argv[1])
unread = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
unread.bind("socket")
signal.pause()' "$work" &
	socket=$!
	at_exit end_process "$socket"
	poll 10 test -S "$work/socket" || fail "no socket"
	mkdir "$work/dev"
	# shellcheck disable=SC2016 # it is that shell's
	log_to=syslog in_foreground "${apart[@]}" sh -ec '
		dev=$1/dev
		for node in null zero random urandom fuse; do
			: >"$dev/$node"
			mount --bind "/dev/$node" "$dev/$node"
		done
		ln -s "$1/socket" "$dev/log"
		mount --rbind "$dev" /dev
		shift
		exec "$@"' _ "$work" "$IMGFS" "$source" "$mnt"
	goes_on
	says_much
	goes_on
	mnt=$outside
	kill "$pid"
	wait "$pid" || fail "exit status $?: $(<"$work/stderr")"
}

# Nothing that is opened takes their place: messages would go there.
row_closed() {
	local fd
	timeout 30 "$IMGFS" "$source" "$mnt" -o "cache_dir=$cache,retries=1,log_level=debug" <&- >&- 2>&- ||
		fail "no mount: exit status $?"
	took_over
	goes_on
	unmount "$mnt"
	timeout -k 5 60 "$IMGFS" "$source" "$mnt" -f -o "cache_dir=$cache,retries=1,log_level=debug" <&- >&- 2>&- &
	local pid=$!
	at_exit end_process "$pid"
	there() { [[ -e $mnt/.imgfs/pid ]]; }
	poll 20 there || fail "no mount in the foreground"
	for fd in 0 1 2; do
		assert_eq "$(readlink "/proc/$(<"$mnt/.imgfs/pid")/fd/$fd")" /dev/null "descriptor $fd"
	done
	goes_on
	umount "$mnt"
	wait "$pid" || fail "exit status $?"
}

# A user's, since root has no such limit; and one that no other test is, whose processes would count.
row_threads() {
	local home=$work/user user=(setpriv --reuid=games --regid=nogroup --clear-groups) pid n readers=()
	need fusermount3
	chmod 0755 "$work"
	chmod 0777 "$work/sanitizer"
	mkdir -p "$home/mnt"
	cp "$IMGFS" "$home/imgfs"
	chown -R games "$home"
	cat >"$home/session" <<-'END'
		cd "$1"
		export HOME=$1
		./imgfs mount --cache_dir="$1/cache" --retries=1 "$2" "$1/mnt" || exit
		pid=$(cat mnt/.imgfs/pid)
		ls mnt >stdout
		prlimit --nproc=1:1 --pid "$pid" || exit
		for n in 1 2 3 4 5 6 7 8; do
			for file in first body last; do
				cmp "mnt/i0$n/linux_amd64/rootfs/$file" "$3/i0$n/$file" || touch failed &
			done
		done
		wait
		[ -e "/proc/$pid" ] || echo "the daemon has ended" >failed
		[ ! -e failed ] || { cat failed mnt/.imgfs/log; exit 1; }
		fusermount3 -u mnt
	END
	# A device that users may open, as most systems have it.
	# shellcheck disable=SC2016 # it is that shell's
	ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" "${apart[@]}" sh -c '
		mknod "$1/fuse" c 10 229 && chmod 0666 "$1/fuse" && mount --bind "$1/fuse" /dev/fuse && shift && exec "$@"' _ \
		"$work" timeout 60 "${user[@]}" sh "$home/session" "$home" "$source" "$work/content" \
		>"$work/stdout" 2>"$work/stderr" || fail "without threads: $(<"$work/stdout") $(<"$work/stderr")"
	# None at all is a message.
	alone() { ! pgrep -u games >"$work/stdout"; }
	poll 20 alone || fail "processes of the user's: $(<"$work/stdout")"
	assert_eq "$(ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0" exit_code prlimit --nproc=1:1 "${user[@]}" "$home/imgfs" mount -f --cache_dir="$home/cache" \
		"$source" "$home/mnt")" 2 "a mount without any thread"
	assert_contains "$(<"$work/stderr")" "Resource temporarily unavailable" "the message"
}

# is_whole CACHE: what a mount that lacked something has left there, and the image it was reading.
is_whole() {
	assert_eq "$(exit_code "$IMGFS" cache verify -o "cache_dir=$1")" 0 "imgfs cache verify"
	mount_app cache_dir="$1"
	root=$mnt/$tag/linux_amd64/rootfs
	is_right
	unmount "$mnt"
}

# ENOMEM to who asks, or a clean end; in either case the cache is as good as before.
row_memory() {
	local pid size oom failed=0 n tags=() readers=()
	# The sanitizers say so when there is no memory, and end the program where they need it themselves.
	ASAN_OPTIONS="$ASAN_OPTIONS:log_path=$work/no-memory:allocator_may_return_null=1" \
		LSAN_OPTIONS="$LSAN_OPTIONS:log_path=$work/no-memory" TSAN_OPTIONS="$TSAN_OPTIONS:log_path=$work/no-memory" \
		mount_app cache_dir="$work/memory"
	cold
	is_right
	pid=${daemons[$mnt]}
	size=$(awk '/^VmSize/ { printf "%.0f", $2 * 1024 }' "/proc/$pid/status")
	prlimit --as="$size:" --pid "$pid"
	# More at once than there was memory for before.
	for n in {1..6}; do
		next_image
		tags+=("$tag")
		timeout 30 cat "$mnt/$tag/linux_amd64/rootfs/body" >"$work/body.$n" 2>"$work/stderr.$n" &
		readers+=("$!")
	done
	for n in {1..6}; do
		if wait "${readers[n - 1]}"; then
			assert_same_file "$work/body.$n" "$work/content/${tags[n - 1]}/body"
		else
			failed=$((failed + 1))
			grep -qE 'Cannot allocate memory|Transport endpoint|Software caused connection abort' \
				"$work/stderr.$n" || fail "without memory: $(<"$work/stderr.$n")"
		fi
	done
	say "$failed of 6 reads failed"
	ended() { has_ended "$pid"; }
	# Whoever asks hears of its end before it has ended, and be it of the counter.
	if grep -qE 'Transport endpoint|Software caused' "$work"/stderr.? ||
		! oom=$(counter "$mnt" .oom 2>"$work/stderr"); then
		poll 20 ended || fail "they heard of an end that does not come: $(<"$work/stderr")"
	fi
	if ended; then
		umount -l "$mnt"
		unset "daemons[$mnt]"
	else
		((!failed || oom >= 1)) || fail "oom was not counted"
		prlimit --as=unlimited: --pid "$pid"
		readable() { timeout 20 cat "$mnt/$tag/linux_amd64/rootfs/body" >"$work/body" 2>"$work/stderr"; }
		poll 20 readable || fail "with memory again: $(<"$work/stderr")"
		unmount "$mnt"
	fi
	is_whole "$work/memory"
}

# memory_group NAME BYTES: a control group of that name that may have so much; its directory is $group.
memory_group() {
	local root=/sys/fs/cgroup limit=memory.max
	if [[ -e $root/memory/cgroup.procs ]]; then
		root=$root/memory limit=memory.limit_in_bytes
	elif ! grep -qw memory "$root/cgroup.subtree_control" 2>/dev/null; then
		skip "no control groups for memory"
	fi
	group=$root/$1
	mkdir "$group"
	at_exit rmdir "$group"
	echo "$2" >"$group/$limit"
}

# Whoever waits gets an error at once, and what the next mount finds is whole.
row_memory_killed() {
	local group pid n rc killed=no
	memory_group "imgfs-test-$$" $((2 << 20))
	mount_app cache_dir="$work/killed"
	pid=${daemons[$mnt]}
	echo "$pid" >"$group/cgroup.procs"
	for ((n = 0; n < 20 && image_number < 58; n++)); do
		next_image
		rc=0
		timeout -k 5 30 cat "$mnt/$tag/linux_amd64/rootfs/body" >"$work/body" 2>"$work/stderr" || rc=$?
		if ((rc)); then
			assert_eq "$rc" 1 "status of the reader"
			killed=yes
			break
		fi
		assert_same_file "$work/body" "$content/body"
	done
	assert_eq "$killed" yes "killed within 2 MiB"
	ended() { has_ended "$pid"; }
	poll 10 ended || fail "it goes on, and its reader got $(<"$work/stderr")"
	grep -qE 'Transport endpoint is not connected|Software caused connection abort' "$work/stderr" ||
		fail "the reader of a mount that was killed: $(<"$work/stderr")"
	umount -l "$mnt"
	unset "daemons[$mnt]"
	is_whole "$work/killed"
}

# Ages and tokens go by a clock that does not jump; what is on disk tolerates any time.
row_clock_jumps() {
	local library at
	library=$(find /usr/lib -name libfaketimeMT.so.1 | head -n 1)
	[[ -n $library ]] || skip "no faketime"
	end_process "$registry_pid"
	start_faultregistry --auth token --user u:secret "app=$work/layout"
	printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$registry" "$(printf u:secret | base64)" >"$work/auth.json"
	chmod 0600 "$work/auth.json"
	at() { date -d "$1" '+@%F %T' >"$work/time.new" && mv "$work/time.new" "$work/time"; }
	fake_mount() {
		ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0" LD_PRELOAD=$library DONT_FAKE_MONOTONIC=1 \
			FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 FAKETIME_TIMESTAMP_FILE=$work/time \
			mount_imgfs "docker://$registry/app" "$mnt" \
			"authfile=$work/auth.json,retries=1,$logged${1:+,$1}"
		ls "$mnt" >"$work/stdout"
	}
	at now
	fake_mount
	for at in '2 years' '-4 years'; do
		at "$at"
		cold
		is_right
		assert_counted auth_tokens 0
		assert_eq "$(requests '.paths["/v2/app/tags/list"].requests // 0')" 0 "lists of tags within ttl"
		assert_counted http_retries 0
	done
	at '3 years'
	rules "[{\"match\": {\"path\": \"/blobs/\"}, \"do\": {\"status\": 404}}]"
	next_image
	assert_fails "Input/output error" ls "$mnt/$tag/linux_amd64/rootfs"
	assert_contains "$(tail -n 1 "$log")" "$(date -u -d '3 years' +%Y)-" "the time in the log"
	rules '[]'
	unmount "$mnt"
	# What a future left, for a past; what a past left, offline.
	for at in '-4 years' '4 years'; do
		at "$at"
		fake_mount
		root=$mnt/i$(printf %02d $((image_number - 1)))/linux_amd64/rootfs
		diff -r "$root" "$work/content/$(basename "$(dirname "$(dirname "$root")")")" >&2 || fail "$at"
		unmount "$mnt"
	done
	fake_mount offline
	diff -r "$root" "$work/content/$(basename "$(dirname "$(dirname "$root")")")" >&2 || fail "offline"
	unmount "$mnt"
}

run_rows
