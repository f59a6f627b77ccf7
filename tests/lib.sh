# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# lib -- what the mount tests share: a temporary directory, hooks that undo what a test did, mounts,
# registries, test images and a few assertions.
#
# A test sources this file and then is a plain script: the first command that fails, fails it.  Exit
# status: 0 passed, 77 skipped (the reason is printed), anything else failed.
#
#   IMGFS           the program under test; default: the newest build of it
#   IMGFS_FIXTURES  directory of outside fixtures; tests that need it are skipped without it
#   TEST_CACHE      where costly test images are kept between tests; default: per test

set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tests=$repository/tests
test_name=$(basename "$0" .sh)
# Where the faults and counters of tests/faultregistry.py are described: --help, --help-rules.
fault_program=$tests/faultregistry.py
[[ -e $fault_program ]] || fault_program=$repository/../shared/tools/faultregistry.py

# ---- outcome ----------------------------------------------------------------------------------

say() { printf '# %s\n' "$*" >&2; }

fail() {
	printf 'FAIL %s: %s\n' "$test_name" "$*" >&2
	exit 1
}

skip() {
	printf 'skipped: %s\n' "$*" >&2
	exit 77
}

# need COMMAND...: without one of them the test cannot run.
need() {
	local command
	for command; do
		command -v "$command" >/dev/null || skip "no $command"
	done
}

need_root() { [[ $(id -u) = 0 ]] || skip "needs root"; }

need_fixtures() {
	if [[ -z ${IMGFS_FIXTURES:-} && -d $repository/../shared/fixtures ]]; then
		IMGFS_FIXTURES=$(cd "$repository/../shared/fixtures" && pwd)
	fi
	[[ -d ${IMGFS_FIXTURES:-} ]] || skip "no fixtures (IMGFS_FIXTURES)"
	export IMGFS_FIXTURES
}

assert_eq() { # ACTUAL EXPECTED WHAT
	[[ $1 == "$2" ]] || fail "${3:-values differ}: got '$1', expected '$2'"
}

assert_contains() { # TEXT PART WHAT
	[[ $1 == *"$2"* ]] || fail "${3:-text}: '$2' is not in '$1'"
}

# assert_fails ERROR COMMAND...: it fails, and says ERROR (strerror's text, as the tools print it).
assert_fails() {
	local expected=$1 text
	shift
	if text=$(LC_ALL=C "$@" 2>&1 >/dev/null); then
		fail "succeeded, where '$expected' was expected: $*"
	fi
	[[ $text == *"$expected"* ]] || fail "$*: '$expected' is not in '$text'"
}

assert_same_file() { cmp -- "$1" "$2" || fail "$1 and $2 differ"; }

# read_at FILE EXPECTED OFFSET...: 4 KiB of FILE at each, without the kernel reading ahead, are those of EXPECTED.
read_at() {
	python3 - "$@" <<'END'
import os, sys
with open(sys.argv[1], "rb", buffering=0) as file, open(sys.argv[2], "rb") as expected:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
    for offset in map(int, sys.argv[3:]):
        expected.seek(offset)
        assert os.pread(file.fileno(), 4096, offset) == expected.read(4096), offset
END
}

# exit_code COMMAND...: prints it, and keeps what was said in $work/stderr.
exit_code() {
	local rc=0
	"$@" >"$work/stdout" 2>"$work/stderr" </dev/null || rc=$?
	printf '%s\n' "$rc"
}

# ---- undoing ----------------------------------------------------------------------------------

hooks=()
failures_after=()

# at_exit COMMAND...: run in the reverse order when the test ends, however it ends.
at_exit() { hooks+=("$(printf '%q ' "$@")"); }

run_hooks() {
	local rc=$? i
	trap - EXIT
	trap '' INT TERM
	set +e
	for ((i = ${#hooks[@]} - 1; i >= 0; i--)); do
		eval "${hooks[i]}"
	done
	if ((${#failures_after[@]} && rc == 0)); then
		printf '%s\n' "${failures_after[@]/#/FAIL $test_name: }" >&2
		rc=1
	fi
	exit "$rc"
}
trap run_hooks EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# What is mounted below may be a part of the system on the same device: nothing is removed through it.
mounted_below() { awk -v below="$work/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo; }
remove_work() {
	mounted_below | sort -r | while read -r directory; do umount -l "$directory"; done
	if [[ -n $(mounted_below) ]]; then
		echo "still mounted below $work: $(mounted_below)" >&2
		return 1
	fi
	rm -rf --one-file-system -- "$work"
}

work=$(mktemp -d "${TMPDIR:-/tmp}/imgfs-$test_name.XXXXXX")
at_exit remove_work
mkdir "$work/sanitizer"
cache=$work/cache

# ---- the program ------------------------------------------------------------------------------

if [[ -z ${IMGFS:-} ]]; then
	for candidate in "$repository"/build-san/fs/imgfs "$repository"/build/fs/imgfs; do
		[[ -x $candidate ]] || continue
		[[ -n ${IMGFS:-} && $IMGFS -nt $candidate ]] || IMGFS=$candidate
	done
fi
[[ -x ${IMGFS:-} ]] || fail "no program to test: build it, or set IMGFS"
export IMGFS
[[ -w /dev/fuse ]] || skip "no /dev/fuse"

export ASAN_OPTIONS="log_path=$work/sanitizer/asan:detect_leaks=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="log_path=$work/sanitizer/ubsan:print_stacktrace=1:${UBSAN_OPTIONS:-}"
export LSAN_OPTIONS="log_path=$work/sanitizer/lsan:${LSAN_OPTIONS:-}"
export TSAN_OPTIONS="log_path=$work/sanitizer/tsan:${TSAN_OPTIONS:-}"

check_sanitizers() {
	local report
	for report in "$work"/sanitizer/*; do
		[[ -e $report ]] || continue
		head -n 60 "$report" >&2
		failures_after+=("sanitizer report $(basename "$report")")
	done
}
at_exit check_sanitizers

# poll SECONDS COMMAND...: until it succeeds; for things that offer no event to wait for.
poll() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# Ended, though its parent may not have asked for its status yet: init takes its time on some machines.
has_ended() { [[ $(ps -o state= -p "$1") != [!Z]* ]]; }

# wait_gone PID [SECONDS]: until the process has ended; fails after a while.
wait_gone() { poll "${2:-20}" has_ended "$1"; }

declare -A daemons=()

# mount_imgfs SOURCE DIR [OPTIONS]: mounts with this test's cache, and unmounts at the end.
mount_imgfs() {
	local options="cache_dir=$cache${3:+,$3}"
	mkdir -p "$2"
	"$IMGFS" "$1" "$2" -o "$options" </dev/null >"$work/mount.log" 2>&1 ||
		fail "mount of $1 exited with $?: $(<"$work/mount.log")"
	mountpoint -q "$2" || fail "$1 is not mounted on $2, though the program said so"
	daemons[$2]=$(<"$2/.imgfs/pid")
	at_exit unmount_quietly "$2"
}

# unmount DIR: and waits until the daemon has gone, so that it has written what it had to say.
unmount() {
	local pid=${daemons[$1]:-}
	umount "$1" || fail "umount $1"
	unset "daemons[$1]"
	[[ -z $pid ]] || wait_gone "$pid" || fail "the daemon of $1 lives on after umount"
}

unmount_quietly() {
	local pid=${daemons[$1]:-}
	unset "daemons[$1]"
	if mountpoint -q "$1" 2>/dev/null || [[ -n $pid && -e /proc/$pid ]]; then
		umount "$1" 2>/dev/null || umount -l "$1" 2>/dev/null
		if [[ -n $pid ]] && ! wait_gone "$pid"; then
			failures_after+=("the daemon of $1 lives on after umount")
			kill -KILL "$pid"
		fi
	fi
}

# "${apart[@]}" COMMAND: with mounts of its own.  A namespace begins with copies of all there are, those of
# other tests among them, and a copy keeps a mount and its daemon alive when they unmount it.
# shellcheck disable=SC2016 # it is that shell's
apart=(unshare --mount --propagation private
	sh -c 'umount --all --lazy --types fuse.imgfs 2>/dev/null; exec "$@"' apart)

# counter DIR JQ-PATH: a number out of the mount's statistics, 0 when it has not been counted yet.
counter() { jq -r "$2 // 0" "$1/.imgfs/stats.json"; }

# ---- images -----------------------------------------------------------------------------------

# cached_image NAME COMMAND...: runs COMMAND DIR once for all tests; prints DIR.
cached_image() {
	local name=$1 directory=${TEST_CACHE:-$work}/images/$1
	shift
	if [[ ! -e $directory.done ]]; then
		rm -rf "$directory"
		mkdir -p "$(dirname "$directory")"
		"$@" "$directory" >"$work/$name.log" 2>&1 </dev/null ||
			fail "$name: $(tail -n 5 "$work/$name.log")"
		: >"$directory.done"
	fi
	printf '%s\n' "$directory"
}

demo_layout() {
	[[ -e ${BUSYBOX:-/bin/busybox} ]] || skip "no busybox (package busybox-static)"
	cached_image demo "$repository/examples/make-demo-layout"
}

debian_layout() {
	need_root
	need debootstrap apt-get
	cached_image debian "$tests/make-debian-layout"
}

# single LAYOUT TAG: the linux/amd64 image of TAG alone, with gzip layers, as umoci wants it.
single() {
	cached_image "$(basename "$1")-$2-single" single_copy "$1" "$2"
}

single_copy() {
	skopeo --override-os linux --override-arch amd64 copy -q "oci:$1:$2" "oci:$3:$2"
}

# generations: one image in every form (see tests/make-generations).
generations() {
	need skopeo zstd
	[[ -e ${BUSYBOX:-/bin/busybox} ]] || skip "no busybox (package busybox-static)"
	cached_image generations "$tests/make-generations"
}

# config_digest FLAVOUR-DIRECTORY, layer_digests FLAVOUR-DIRECTORY: what its manifest names.
config_digest() { json "$1/manifest.json" .config.digest; }
layer_digests() { json "$1/manifest.json" '.layers[].digest' | paste -s -d ' '; }

# diff_ids IMAGE FLAVOUR: those in the config that IMAGE/oci or IMAGE/docker holds.
diff_ids() {
	local hex
	hex=$(config_digest "$1/$2" | cut -d : -f 2)
	case $2 in
	oci) json "$1/oci/blobs/sha256/$hex" '.rootfs.diff_ids[]' ;;
	docker) json "$1/docker/$hex" '.rootfs.diff_ids[]' ;;
	esac | paste -s -d ' '
}

# umoci_unpack OCI-LAYOUT BUNDLE: of one image, which umoci wants to have a name.
umoci_unpack() {
	local named=$work/named
	rm -rf "$named" "$2"
	mkdir "$named"
	ln -s "$1/blobs" "$1/oci-layout" "$named"
	jq '.manifests[0].annotations["org.opencontainers.image.ref.name"] = "named"' \
		"$1/index.json" >"$named/index.json"
	umoci unpack --image "$named:named" "$2" >"$work/umoci.log" 2>&1 ||
		fail "umoci unpack of $1: $(tail -n 3 "$work/umoci.log")"
}

# same_trees A B: nothing differs, for diff nor by attributes.
same_trees() {
	diff -r --no-dereference "$1" "$2" >&2 || fail "diff -r $1 $2"
	"$tests/compare-trees.py" --nanoseconds "$1" "$2" >&2 || fail "$1 and $2 differ"
}

# names DIRECTORY: sorted, on one line.
names() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | LC_ALL=C sort | paste -s -d ' '; }

# attribute NAME PATH: user.imgfs.NAME
attribute() { getfattr --absolute-names -h --only-values -n "user.imgfs.$1" "$2"; }

# python SCRIPT ARGS...: with the layout writer at hand.
python() { PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$repository/examples python3 "$@"; }

# json FILE FILTER: jq's raw output.
json() { jq -r "$2" "$1"; }

sha256() { sha256sum -- "$1" | cut -d ' ' -f 1; }

# ---- registries, on the loopback interface only -----------------------------------------------

free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

end_process() {
	kill "$1" 2>/dev/null && { wait "$1" 2>/dev/null || true; }
}

answers() { curl -sf -o "$work/answer" --max-time 5 "$1"; }

# start_registry: Debian's docker-registry, empty; sets registry (host:port) and registry_pid.
start_registry() {
	need docker-registry curl
	local port
	port=$(free_port)
	cat >"$work/registry.yml" <<-END
		version: 0.1
		log: {level: error}
		storage: {filesystem: {rootdirectory: $work/registry}}
		http: {addr: "127.0.0.1:$port"}
		compatibility: {schema1: {enabled: true}}
	END
	docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 </dev/null &
	registry_pid=$!
	registry=127.0.0.1:$port
	at_exit end_process "$registry_pid"
	poll 20 answers "http://$registry/v2/" || fail "registry: $(tail -n 3 "$work/registry.log")"
}

# push LAYOUT TAG REPOSITORY[:TAG] [skopeo options]
push() {
	local layout=$1 tag=$2 to=$3
	shift 3
	skopeo copy -q --all --dest-tls-verify=false "$@" "oci:$layout:$tag" "docker://$registry/$to"
}

# start_faultregistry ARGS...: sets registry, fault (its URL) and registry_pid.
start_faultregistry() {
	[[ -e $fault_program ]] || skip "no faultregistry.py"
	rm -f "$work/ports"
	PYTHONDONTWRITEBYTECODE=1 python3 "$fault_program" --port-file "$work/ports" "$@" \
		>"$work/faultregistry.log" 2>&1 </dev/null &
	registry_pid=$!
	at_exit end_process "$registry_pid"
	poll 20 test -s "$work/ports" ||
		fail "fault registry: $(tail -n 3 "$work/faultregistry.log")"
	registry=127.0.0.1:$(cut -d ' ' -f 1 "$work/ports")
	fault=http://$registry
}

# rules JSON: replaces the fault registry's rules.
rules() { curl -sfS -X PUT --data "$1" "$fault/__rules" >/dev/null; }

reset_requests() { curl -sfS -X POST "$fault/__stats/reset" >/dev/null; }

# requests [JQ-FILTER]: out of the fault registry's counters; default: all requests.
requests() { curl -sfS "$fault/__stats" | jq -r "${1:-.requests}"; }
