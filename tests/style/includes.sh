#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rooms include only what lies below them (fs -> fetch -> model), and libraries stay in their room.
set -euo pipefail
cd "$(dirname "$0")/../.."
bad=0

# forbid WHY INCLUDE-PATTERN FILE...: no file has such an #include.
forbid() {
	local why=$1 pattern=$2
	shift 2
	(($#)) || return 0
	if grep -nP "^[[:space:]]*#[[:space:]]*include[[:space:]]+$pattern" "$@"; then
		echo "^ $why" >&2
		bad=1
	fi
}

mapfile -t model < <(find model -name '*.[ch]')
mapfile -t fetch < <(find fetch -name '*.[ch]')
mapfile -t fs < <(find fs -name '*.[ch]')
mapfile -t headers < <(find model fetch fs -name '*.h')
mapfile -t no_http < <(find fetch fs model -name '*.[ch]' -not -path 'fetch/http/*')

forbid "model includes nothing above it" '"(fetch|fs|tests)/' "${model[@]}"
forbid "fetch includes only itself and model" '"(fs|tests)/' "${fetch[@]}"
forbid "the program does not include its tests" '"tests/' "${fs[@]}"
# (version.h is made by the build, in no room.)
forbid "includes are spelled from the root" '"(?!version\.h)[^/"]+"' "${model[@]}" "${fetch[@]}" "${fs[@]}"
forbid "only fs knows FUSE" '<(fuse|fuse3/)' "${model[@]}" "${fetch[@]}"
forbid "only fetch/http knows curl" '<curl/' "${no_http[@]}"
mapfile -t no_json < <(printf "%s\n" "${headers[@]}" | grep -v "^model/json\.h$")
forbid "JSON library types stay out of headers" "<json-c/" "${no_json[@]}"
forbid "model does no I/O" '<(sys/socket|netdb|poll|pthread|threads|sys/epoll)\.h>' "${model[@]}"

# A module's internal.h is its own.
while IFS=: read -r file _ line; do
	included=$(sed -E 's/.*"([^"]+)".*/\1/' <<<"$line")
	if [[ $(dirname "$included") != "$(dirname "$file")" ]]; then
		echo "$file includes $included, which is private" >&2
		bad=1
	fi
done < <(grep -nE '#include "[^"]*internal\.h"' "${model[@]}" "${fetch[@]}" "${fs[@]}" || true)
exit "$bad"
