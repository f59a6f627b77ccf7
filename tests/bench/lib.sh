# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the benchmarks share.  Each makes its data, measures us and a peer alternately in one run, and
# prints both figures and their ratio; nothing is asserted.  IMGFS should be a release build:
#
#   meson setup build-release --buildtype=release && ninja -C build-release
#   IMGFS=build-release/fs/imgfs tests/bench/walk.sh

: "${ROUNDS:=3}"
bench_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ -z ${IMGFS:-} ]]; then
	for candidate in "$bench_root"/build-release/fs/imgfs "$bench_root"/build/fs/imgfs; do
		[[ ! -x $candidate ]] || { IMGFS=$candidate && break; }
	done
fi
. "$bench_root/tests/lib.sh"

now() { date +%s.%N; }

# elapsed COMMAND...: wall seconds.
elapsed() {
	local begin
	begin=$(now)
	"$@" >/dev/null
	echo "$(now) $begin" | awk '{ printf "%.4f\n", $1 - $2 }'
}

# cpu_of PID: user and system seconds that a process has used so far.
cpu_of() {
	local hertz
	hertz=$(getconf CLK_TCK)
	awk -v hertz="$hertz" '{ printf "%.2f\n", ($14 + $15) / hertz }' "/proc/$1/stat"
}

# median NUMBER...
median() { printf '%s\n' "$@" | sort -g | awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }'; }

# row WHAT UNIT OURS PEER PEER'S-NAME
row() {
	awk -v what="$1" -v unit="$2" -v ours="$3" -v peer="$4" -v name="$5" 'BEGIN {
		ratio = peer > 0 ? ours / peer : 0
		printf "%-40s imgfs %10.3f %s   %s %10.3f %s   ratio %.3f\n",
			what, ours, unit, name, peer, unit, ratio }'
}

# drop_caches DIR: what the kernel keeps of a mount (needs root; without it, everything is warm).
drop_caches() { [[ ! -w /proc/sys/vm/drop_caches ]] || { sync && echo 3 >/proc/sys/vm/drop_caches; }; }

# layout_of DIR TAR...: an OCI layout with one image, tag "bench", of these archives as gzip layers.
layout_of() {
	python - "$@" <<-'END'
		import sys
		from ocilayout import Layout
		layout = Layout(sys.argv[1])
		layers = [layout.layer_file(path) for path in sys.argv[2:]]
		layout.tag("bench", layout.image(layers, {"architecture": "amd64", "os": "linux"}))
		layout.close()
	END
}

# compressible FILE MIB: text-like and random pieces by turns, the same on each run.
compressible() {
	python - "$@" <<-'END'
		import random, sys
		random.seed(1)
		words = [random.randbytes(random.randrange(3, 12)).hex().encode() for _ in range(4000)]
		with open(sys.argv[1], "wb") as out:
		    for piece in range(int(sys.argv[2])):
		        if piece % 4 == 3:
		            out.write(random.randbytes(1 << 20))
		        else:
		            text = b" ".join(random.choices(words, k=140000))
		            out.write((text + b" " * (1 << 20))[:1 << 20])
	END
}
