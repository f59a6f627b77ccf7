#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All benchmarks run to their end on tiny data, and each row of the table of goals has a verdict.  What
# the figures are is not looked at.
. "$(dirname "$0")/../lib.sh"
need_root
need python3 umoci skopeo docker-registry curl

mkdir "$work/docs"
cp "$repository/docs/benchmarks.md" "$work/docs"
BENCH_DATA=$work/data SCALE=tiny ROUNDS=1 NO_INSTALL=1 "$tests/bench/run" --write="$work/docs" \
	>"$work/stdout" 2>"$work/stderr" || fail "run exited with $?: $(tail -n 20 "$work/stderr")"
for row in {1..19}; do
	grep -qE "^ *$row  .* (met|not met|not judged|no peer here: .+)$" "$work/stdout" ||
		fail "nothing measured for row $row: $(<"$work/stdout")"
	grep -qE "^row +$row: (met|not met|no peer here: .+) \(.+\)$" "$work/stdout" ||
		fail "no verdict on row $row: $(tail -n 20 "$work/stdout")"
	grep -qE "^\| \*\*$row\*\* \|" "$work/docs/benchmarks.md" || fail "row $row is not in the page"
done
assert_eq "$(tail -n 1 "$work/stdout" | cut -d : -f 1)" "19 rows" "the last line"
assert_eq "$(grep -cE 'verifying alone [0-9.]+ s' "$work/stdout")" 2 "rows that verifying alone is shown for"
assert_eq "$(sed '/^<!-- written/,/^<!-- to here/d' "$work/docs/benchmarks.md")" \
	"$(sed '/^<!-- written/,/^<!-- to here/d' "$repository/docs/benchmarks.md")" "what is kept by hand"

python - "$work"/docs/{latency,cold-start,growth}.svg <<'END'
import sys, xml.etree.ElementTree
for path in sys.argv[1:]:
    lines = xml.etree.ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}polyline")
    curves = [line for line in lines if line.get("stroke-width") == "2"]
    assert curves and all(line.get("points") for line in curves), f"{path}: no curves"
END

# A goal that is missed is a result; a benchmark that cannot be carried out is an error.
rc=0
IMGFS=/bin/false BENCH_DATA=$work/data SCALE=tiny ROUNDS=1 NO_INSTALL=1 "$tests/bench/run" memory \
	>"$work/stdout" 2>"$work/stderr" || rc=$?
assert_eq "$rc" 1 "exit status without a program"
assert_contains "$(<"$work/stdout")" "row 16: failed: CommandFailed: /bin/false exited with 1" "verdict"
