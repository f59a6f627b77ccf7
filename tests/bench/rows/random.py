# SPDX-License-Identifier: Apache-2.0
"""Random 4 KiB reads in the big file of a gzip layer."""
import contextlib
import json
import os
import random
import subprocess

from measure import by_turns, drop_caches, figure, for_a_peer, needing, percentile, read_times, run, warm
from mounts import imgfs, mounted, tool
from data import BIG_FILE
from rows.index import engine
from table import Check

ROWS = (12, 13)
PAGE = 4096
READS = 200
READS_SLOW = 50             # of those who decode many MiB for each
READS_SLOWEST = 10          # of those who start at the beginning for each
IN_MEMORY = 32 << 20        # bytes that are read before, so that their spans are decoded

# Reads as ratarmount does, its index loaded.  A FUSE round trip comes on top of that.
ENGINE = """
import json, sys, time, indexed_gzip
times = []
with indexed_gzip.IndexedGzipFile(sys.argv[1], index_file=sys.argv[2]) as stream:
    for offset in json.load(sys.stdin):
        start = time.perf_counter()
        stream.seek(offset)
        stream.read(4096)
        times.append(time.perf_counter() - start)
print(json.dumps(times))
"""
ENGINE_INDEX = """
import sys, indexed_gzip
with indexed_gzip.IndexedGzipFile(sys.argv[1], spacing=16 << 20) as stream:
    stream.build_full_index()
    stream.export_index(sys.argv[2])
"""


def scattered(size, count):
    """One place in each of count equal parts of the file, in no order."""
    generator = random.Random(2)
    part = size // count
    places = [n * part + generator.randrange(part // PAGE) * PAGE for n in range(count)]
    generator.shuffle(places)
    return places


def within(begin, length, count):
    generator = random.Random(3)
    return [begin + PAGE * page for page in generator.sample(range(length // PAGE), count)]


def summary(bench, name, times):
    bench.series["latency"].setdefault(name, []).extend(times)
    return {"p50": percentile(times, 50), "p99": percentile(times, 99)}


def nothing_cached(bench, name, fresh, offsets, *sources):
    def turn():
        drop_caches(1)
        warm(*sources)
        with fresh() as root:
            return summary(bench, name, read_times(f"{root}/{BIG_FILE}", offsets))
    return turn


def engine_reads(bench, index, offsets):
    def turn():
        warm(bench.data.blob("big"))
        done = subprocess.run([engine(), "-c", ENGINE, bench.data.blob("big"), index],
                              input=json.dumps(offsets), capture_output=True, check=True, text=True)
        return summary(bench, "ratarmount's engine", json.loads(done.stdout))
    return turn


def span_in_memory(bench, name, fresh, size, *sources):
    length = min(IN_MEMORY, size // 2)
    begin = size // 4 // PAGE * PAGE
    offsets = within(begin, length, READS)

    def turn():
        with fresh() as root:
            path = f"{root}/{BIG_FILE}"
            read_times(path, range(begin, begin + length, 1 << 17), 1 << 17)
            drop_caches(1)
            warm(*sources)
            return summary(bench, name, read_times(path, offsets))
    return turn


@contextlib.contextmanager
def ours(bench):
    with imgfs(bench, f"oci:{bench.data.layout}:big", bench.indexed(), "rootfs") as mount:
        path = mount().path
        run(["stat", f"{path}/{BIG_FILE}"])
        yield path


@contextlib.contextmanager
def archivemount(bench):
    """It knows archives by their names."""
    with bench.directory() as parent:
        os.symlink(bench.data.blob("big"), f"{parent}/big.tar.gz")
        with mounted(bench, "archivemount", "-o", "readonly", f"{parent}/big.tar.gz") as path:
            yield path


@for_a_peer
def engine_index(bench):
    """The index that ratarmount would have saved."""
    if missing := needing(None, engine()):
        return missing
    path = f"{bench.work}/big.engine.index"
    run([engine(), "-c", ENGINE_INDEX, bench.data.blob("big"), path])
    return path


def measure(bench):
    yield from measure_cold(bench)
    yield from measure_warm(bench)


def measure_cold(bench):
    offsets = scattered(bench.data.sizes["big_mib"] << 20, READS)
    index = engine_index(bench)
    slow = nothing_cached(bench, "archivemount", lambda: archivemount(bench), offsets[:READS_SLOWEST],
                          bench.data.blob("big"))
    result = by_turns(bench.rounds, {
        "imgfs": nothing_cached(bench, "imgfs, nothing cached", lambda: ours(bench), offsets,
                                *bench.sources("big")),
        "engine": needing(engine_reads(bench, index, offsets[:READS_SLOW]), index),
        "archivemount": needing(slow, tool("archivemount")),
    })
    own = result["imgfs"]
    yield Check(12, "median", "ms", own["p50"], "ratarmount's engine", figure(result["engine"], "p50"), 1 / 80,
                is_bound=True)
    yield Check(12, "median", "ms", own["p50"], "archivemount", figure(result["archivemount"], "p50"), 1 / 500)
    yield Check(12, "99th percentile", "ms", own["p99"], "own median", own["p50"], 3)


def measure_warm(bench):
    size, squashfs = bench.data.sizes["big_mib"] << 20, bench.data.squashfs()
    theirs = span_in_memory(bench, "squashfuse_ll", lambda: mounted(bench, "squashfuse_ll", squashfs), size, squashfs)
    result = by_turns(bench.rounds, {
        "imgfs": span_in_memory(bench, "imgfs, span in memory", lambda: ours(bench), size,
                                *bench.sources("big")),
        "squashfuse_ll": needing(theirs, tool("squashfuse_ll"), squashfs),
    })
    own, peer = result["imgfs"], result["squashfuse_ll"]
    yield Check(13, "median", "ms", own["p50"], "squashfuse_ll", figure(peer, "p50"), 1.2)
    yield Check(13, "99th percentile", "ms", own["p99"], "squashfuse_ll", figure(peer, "p99"))
