# SPDX-License-Identifier: Apache-2.0
"""A folder of small files, each read once."""
from data import SMALL_FOLDER
from measure import by_turns, drop_caches, figure, needing, run, warm
from rows.walk import trees
from table import Check

ROWS = (15,)


def reading(bench, name, fresh):
    """Caches dropped; images, layers and indexes in memory again.  The native file system reads its disk."""
    sources = {"imgfs": bench.sources("small"), "erofsfuse": [bench.data.erofs()],
               "squashfuse_ll": [bench.data.squashfs()], "native": []}[name]

    def turn():
        drop_caches(1)
        warm(*sources)
        with fresh() as root:
            return run(["sh", "-c", f"find '{root}/{SMALL_FOLDER}' -type f -print0 | xargs -0 cat"])
    return turn


def measure(bench):
    result = by_turns(bench.rounds, {
        name: needing(reading(bench, name, fresh), fresh)
        for name, fresh in trees(bench).items()})
    for peer, times in (("erofsfuse", 1.3), ("squashfuse_ll", 3), ("native", 0.7)):
        yield Check(15, f"cat of all files in {SMALL_FOLDER}", "s", result["imgfs"]["wall"],
                    peer, figure(result[peer], "wall"), 1 / times)
