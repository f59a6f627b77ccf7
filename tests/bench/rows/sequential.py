# SPDX-License-Identifier: Apache-2.0
"""The big file from beginning to end, once."""
import os

from data import BIG_FILE
from measure import Missing, by_turns, drop_caches, figure, needing, run, warm
from mounts import mounted, tool
from rows.random import ours
from table import Check

ROWS = (14,)
FUSE_RATE = 2e9             # bytes a second: what FUSE carries where it was measured


def reading(fresh, *sources):
    def turn():
        drop_caches(1)
        warm(*sources)
        with fresh() as root:
            return run(["cat", f"{root}/{BIG_FILE}"])
    return turn


def bound(size, inflating):
    """The least time: all cores inflate, at ISA-L's rate, until FUSE is what limits."""
    if isinstance(inflating, Missing):
        return inflating
    return size / min(0.9 * os.cpu_count() * size / inflating, FUSE_RATE)


def measure(bench):
    squashfs, blob = bench.data.squashfs(), bench.data.blob("big")
    result = by_turns(bench.rounds, {
        "imgfs": reading(lambda: ours(bench), *bench.sources("big")),
        "squashfuse_ll": needing(reading(lambda: mounted(bench, "squashfuse_ll", squashfs), squashfs),
                                 tool("squashfuse_ll"), squashfs),
        "igzip": needing(lambda: run(["igzip", "-dc", blob]), tool("igzip")),
    })
    size = bench.data.sizes["big_mib"] << 20
    wall = result["imgfs"]["wall"]
    yield Check(14, f"cat of {size >> 20} MiB", "s", wall, "squashfuse_ll", figure(result["squashfuse_ll"], "wall"), 1)
    yield Check(14, f"cat of {size >> 20} MiB", "s", wall, f"0.9 x {os.cpu_count()} cores of igzip",
                bound(size, figure(result["igzip"], "wall")), 1)
