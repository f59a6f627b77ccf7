# SPDX-License-Identifier: Apache-2.0
"""What a mount holds in memory of its own, after it was walked, and after many reads."""
from data import BIG_FILE
from measure import read_times
from mounts import imgfs
from rows.random import within
from rows.walk import walk
from table import Check

ROWS = (16,)
READS = 10000
FIXED = 16 << 20
AN_ENTRY = 100
SPAN_CACHE = 64 << 20       # SPANS_MAX of fs/objects.h
STEADY = 1.05               # growth over the second half of the reads that counts as none


def measure(bench):
    size = bench.data.sizes["big_mib"] << 20
    offsets = within(0, size, min(READS, size // 4096 // 2))
    half = len(offsets) // 2
    with imgfs(bench, f"oci:{bench.data.layout}:v1", bench.indexed(), "rootfs") as mount:
        daemon = mount()
        walk(daemon.path)
        walked = daemon.memory()
        read_times(f"{daemon.path}/{BIG_FILE}", offsets[:half])
        halfway = daemon.memory()
        read_times(f"{daemon.path}/{BIG_FILE}", offsets[half:])
        done = daemon.memory()
    allowed = FIXED + AN_ENTRY * bench.data.entries()
    yield Check(16, f"after a walk over {bench.data.entries()} entries", "MB", walked, "goal", allowed, 1)
    yield Check(16, f"after {len(offsets)} random reads", "MB", done, "goal", allowed + SPAN_CACHE, 1)
    yield Check(16, f"after {len(offsets)} random reads", "MB", done, f"after {half}", halfway, STEADY)
