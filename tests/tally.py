#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the cases of a meson test run: tally.py TESTLOG.json [SUITE]

Prints what failed, then "PASSED FAILED SKIPPED".  A program that ended badly without naming a
failed case counts as one failure.
"""
import json
import sys


def cases(program):
    """Yields (outcome, name) for each TAP line of one test program."""
    for line in program["stdout"].splitlines():
        if not line.startswith(("ok", "not ok")):
            continue
        if "# SKIP" in line.upper():
            yield "skipped", line
        else:
            yield ("failed" if line.startswith("not") else "passed"), line


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    prefix = sys.argv[2] + ": " if len(sys.argv) > 2 else ""
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        for program in map(json.loads, log):
            bad_cases = skipped_cases = 0
            for outcome, name in cases(program):
                counts[outcome] += 1
                skipped_cases += outcome == "skipped"
                if outcome == "failed":
                    bad_cases += 1
                    print(f"FAIL {prefix}{program['name']}: {name}", file=sys.stderr)
            # cmocka 1.1 says "not ok # SKIP", which meson takes for a failure.
            if program["result"] == "FAIL" and skipped_cases and not bad_cases:
                continue
            if program["result"] not in ("OK", "SKIP"):
                if not bad_cases:
                    counts["failed"] += 1
                    print(f"FAIL {prefix}{program['name']}: {program['result']}", file=sys.stderr)
                output = (program["stdout"] + program.get("stderr", "")).splitlines()
                print("\n".join(output[-40:]), file=sys.stderr)
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main()
