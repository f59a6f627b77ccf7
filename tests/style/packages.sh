#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whoever builds installs all that debian/control builds with: where everything is installed already,
# nothing else would show that a list lacks a library.
set -euo pipefail
cd "$(dirname "$0")/../.."
builders=(README.md examples/quickstart tests/run tests/bench/machine.py .ci/run)
bad=0
complain() {
	echo "$*" >&2
	bad=1
}

# packages FILE: the development packages that it names, without those of the language itself.
packages() { grep -oE '\b[a-z0-9.+-]+-dev\b' "$1" | grep -vx 'libc6-dev' | sort -u; }

mapfile -t wanted < <(sed -n '/^Build-Depends:/,/^[^ ]*$/p' debian/control | grep -v '<!nocheck>' |
	packages /dev/stdin)
((${#wanted[@]})) || complain "debian/control: no packages found"
for builder in "${builders[@]}"; do
	for package in "${wanted[@]}"; do
		packages "$builder" | grep -qxF -- "$package" || complain "$builder: $package is missing"
	done
	grep -qE '\bg\+\+' "$builder" || complain "$builder: g++ is missing"
done
exit "$bad"
