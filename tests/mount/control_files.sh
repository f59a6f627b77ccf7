#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# .imgfs/ for programs: stats.json is what its schema says, and the schema has all of it; metrics are what Prometheus'
# own tool accepts, and say the same; sizes are exact, as who reads by size needs it.
. "$(dirname "$0")/../lib.sh"
need_root
need curl jq python3 promtool
# Debian's own python3 has the package, whichever comes first in PATH.
/usr/bin/python3 -c 'import jsonschema' 2>/dev/null || skip "no python3-jsonschema"

layout=$(demo_layout)
start_faultregistry "app=$layout"
mnt=$work/mnt
mount_imgfs "docker://$registry/app" "$mnt"
cat "$mnt/1.0/linux_amd64/rootfs/etc/os-release" >/dev/null
assert_fails "No such file" cat "$mnt/none"

# valid FILE: and the schema has all that is in it.  Of some changes it must know that they are none of ours.
valid() {
	/usr/bin/python3 - "$repository/docs/stats.schema.json" "$1" <<'END' || fail "not as docs/stats.schema.json says: $(<"$1")"
import copy, json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
schema["additionalProperties"] = False
validator = jsonschema.Draft202012Validator(schema)
stats = json.load(open(sys.argv[2]))
validator.validate(stats)
for name, value in (("fetched_bytes", None), ("schema", 2), ("http_requests", "7"), ("fuse", {}), ("in_flight", [{}])):
    changed = copy.deepcopy(stats)
    changed[name] = value
    assert not validator.is_valid(changed), name
END
}
cat "$mnt/.imgfs/stats.json" >"$work/stats.json"
valid "$work/stats.json"

# cp looks at a file before it opens it, and must find the same one though it has changed.
for name in stats.json metrics status log; do
	ls "$mnt/1.0" >/dev/null
	cp "$mnt/.imgfs/$name" "$work/copied" 2>"$work/stderr" || fail "cp of $name: $(<"$work/stderr")"
	[[ -s $work/copied ]] || fail "cp of $name copied nothing"
done

# With a transfer under way.
rules '[{"match": {"path": "/blobs/"}, "do": {"hang": true}}]'
cat "$mnt/plain/linux_amd64/rootfs/etc/os-release" >/dev/null 2>&1 &
at_exit end_process $!
is_fetching() {
	cp "$mnt/.imgfs/stats.json" "$work/stats.json"
	cp "$mnt/.imgfs/metrics" "$work/metrics"
	jq -e '.in_flight | length > 0' "$work/stats.json" >/dev/null
}
poll 20 is_fetching || fail "no transfer: $(<"$mnt/.imgfs/status")"
valid "$work/stats.json"

promtool check metrics <"$work/metrics" >"$work/lint" 2>&1 || fail "promtool: $(<"$work/lint")"
[[ ! -s $work/lint ]] || fail "promtool: $(<"$work/lint")"
metric() { awk -v name="imgfs_$1" '$1 == name { print $2 }' "$work/metrics"; }
for name in http_requests http_retries fetched_bytes cache_hits cache_misses layers_indexed auth_failures net_stall; do
	assert_eq "$(metric "${name}_total")" "$(jq ".$name" "$work/stats.json")" "$name"
done
assert_eq "$(metric inflight)" "$(jq '.in_flight | length' "$work/stats.json")" "inflight"
assert_eq "$(metric 'fuse_requests_total{op="readdirplus"}')" "$(jq .fuse.readdirplus "$work/stats.json")" "fuse"
# All that is counted in one is in the other.
sed -nE 's/^# TYPE imgfs_(.*)_total counter$/\1/p' "$work/metrics" | grep -v fuse_requests >"$work/counted"
while read -r name; do
	jq -e "has(\"$name\")" "$work/stats.json" >"$work/stdout" || fail "$name is in metrics, not in stats.json"
done <"$work/counted"
(($(wc -l <"$work/counted") > 20)) || fail "counters: $(<"$work/counted")"

# A file as large as it says, at once and whole.
python3 - "$mnt/.imgfs" status stats.json metrics log source options version pid <<'END' || fail "not as large as it says"
import os, sys
for name in sys.argv[2:]:
    fd = os.open(f"{sys.argv[1]}/{name}", os.O_RDONLY)
    size = os.fstat(fd).st_size
    data = b"".join(iter(lambda: os.read(fd, 65536), b""))
    assert len(data) == size, (name, len(data), size)
    assert not data or data.endswith(b"\n"), (name, data[-20:])
END
