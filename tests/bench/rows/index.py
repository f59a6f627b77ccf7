# SPDX-License-Identifier: Apache-2.0
"""The index of one layer: what the pass over it costs, and what it takes on disk."""
import glob
import os
import struct

from measure import CommandFailed, Missing, by_turns, figure, needing, run, text_of
from mounts import imgfs, tool
from table import Check

ROWS = (6, 7, 17)

PYTHON = "/usr/bin/python3"

# What ratarmount does first, with its distance between seek points: names and sizes, through an index
# of the compressed stream.
ENGINE = """
import sys, tarfile, indexed_gzip
with indexed_gzip.IndexedGzipFile(sys.argv[1], spacing=16 << 20) as stream:
    for member in tarfile.open(fileobj=stream):
        pass
    stream.export_index(sys.argv[2])
"""


def engine():
    """Debian's Python with ratarmount's engine, for Debian 12 has no ratarmount."""
    try:
        run([PYTHON, "-c", "import indexed_gzip"])
    except (CommandFailed, OSError):
        return Missing("no python3-indexed-gzip")
    return PYTHON


def index_cost(bench, layer, program):
    """From an empty cache to the first listing."""
    def turn():
        with bench.directory() as cache, \
                imgfs(bench, f"oci:{bench.data.layout}:{layer}", cache, "rootfs", program=program) as mount:
            daemon = mount()
            before = daemon.cpu()
            cost = run(["ls", daemon.path])
            return {"wall": cost["wall"], "cpu": cost["cpu"] + daemon.cpu() - before}
    return turn


def verifying(bench, layer):
    """The least that both digests and the CRC-32 take; that they are right is seen once."""
    program, blob = bench.verify(), bench.data.blob(layer)
    if isinstance(program, Missing):
        return program
    stored, plain = text_of([program, blob]).split()
    expected = text_of(["sh", "-c", f"gzip -dc '{blob}' | sha256sum"]).split()[0]
    if stored != os.path.basename(blob) or plain != expected:
        raise CommandFailed(f"{program} gives other digests for layer {layer}")
    return lambda: run([program, blob])


def measure(bench):
    yield from few_large(bench)
    yield from many_small(bench)
    yield from sizes(bench)


def few_large(bench):
    blob = bench.data.blob("toolchain")
    result = by_turns(bench.rounds, {
        "gzip": lambda: run(["gzip", "-dc", blob]),
        "igzip": needing(lambda: run(["igzip", "-dc", blob]), tool("igzip")),
        "verify": verifying(bench, "toolchain"),
        "imgfs": index_cost(bench, "toolchain", bench.imgfs),
        "imgfs_zlib": needing(index_cost(bench, "toolchain", bench.imgfs_zlib), bench.imgfs_zlib),
    })
    ours, gzip = result["imgfs"], result["gzip"]
    yield Check(6, "processor, layer toolchain", "s", ours["cpu"], "gzip -dc", gzip["cpu"], 0.42)
    yield Check(6, "the same", "s", ours["cpu"], "verifying alone", figure(result["verify"], "cpu"), None)
    yield Check(6, "processor, zlib instead of ISA-L", "s", figure(result["imgfs_zlib"], "cpu"),
                "gzip -dc", gzip["cpu"], 0.75)
    yield Check(6, "wall, layer toolchain", "s", ours["wall"], "igzip -dc", figure(result["igzip"], "wall"), 1.15)


def many_small(bench):
    blob = bench.data.blob("small")
    result = by_turns(bench.rounds, {
        "gzip": lambda: run(["gzip", "-dc", blob]),
        "engine": needing(lambda: run([engine(), "-c", ENGINE, blob, f"{bench.work}/engine.index"]), engine()),
        "verify": verifying(bench, "small"),
        "imgfs": index_cost(bench, "small", bench.imgfs),
    })
    ours = result["imgfs"]
    yield Check(7, "processor, layer small", "s", ours["cpu"], "gzip -dc", result["gzip"]["cpu"], 0.40)
    yield Check(7, "the same", "s", ours["cpu"], "verifying alone", figure(result["verify"], "cpu"), None)
    yield Check(7, "wall, layer small", "s", ours["wall"],
                "ratarmount's engine", figure(result["engine"], "wall"), 0.25, is_bound=True)


def read_index(path):
    """The lengths of an index's parts, and its spans' places in the tar (docs/index-format.md)."""
    with open(path, "rb") as source:
        content = source.read()
    magic, = struct.unpack_from("8s", content)
    plain_size, _, tree, windows, spans, window_count = struct.unpack_from("=4Q2I", content, 64)
    states, = struct.unpack_from("=I", content, 128)
    padded = (tree + 7) // 8 * 8
    header = len(content) - padded - spans * 64 - states * 104 - window_count * 16 - windows
    places = [struct.unpack_from("=Q", content, header + padded + 64 * n)[0] for n in range(spans)]
    assert magic == b"imgfsidx" and places[0] == 0 and places == sorted(places) and places[-1] < plain_size, \
        "docs/index-format.md describes another index"
    return {"tree": tree, "rest": len(content) - tree, "spans": places}


def index_of(bench, layer):
    name = os.path.basename(bench.data.blob(layer))
    path, = glob.glob(f"{bench.indexed()}/index/sha256/{name}")
    return read_index(path)


def sizes(bench):
    for layer in ("toolchain", "big"):
        yield Check(17, f"seek points of layer {layer}, of the layer", "MB", index_of(bench, layer)["rest"],
                    "3.5 % are", 0.035 * os.path.getsize(bench.data.blob(layer)), 1)
    entries = int(text_of(["sh", "-c", f"gzip -dc '{bench.data.blob('small')}' | tar -tf - | wc -l"]))
    yield Check(17, "tree of layer small, an entry", "B", index_of(bench, "small")["tree"] / entries,
                "goal", 80, 1)
