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

# packages: the development packages that the input names.
packages() { grep -oE '\b[a-z0-9.+-]+-dev\b' | sort -u; }

wanted=$(sed -n '/^Build-Depends:/,/^Standards-Version:/p' debian/control | grep -v '<!nocheck>' | packages)
for builder in "${builders[@]}"; do
	while read -r package; do
		complain "$builder: $package is missing"
	done < <(comm -23 - <(packages <"$builder") <<<"$wanted")
	grep -qE '\bg\+\+' "$builder" || complain "$builder: g++ is missing"
done
exit "$bad"
