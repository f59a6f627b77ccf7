# SPDX-License-Identifier: Apache-2.0
"""Walks over the merged tree, its index saved: the root of a mount with -o rootfs."""
import contextlib
import time

from measure import by_turns, drop_caches, figure, needing, run
from mounts import imgfs, mounted, tool
from table import Check

ROWS = (8, 9, 10, 11)
FIRST_LS = 0.05             # seconds


def walk(root):
    """All names and attributes."""
    return run(["find", root, "-printf", "%s %m\n"])["wall"]


def list_all(root):
    return run(["ls", "-lR", root])["wall"]


@contextlib.contextmanager
def ours(bench):
    with imgfs(bench, f"oci:{bench.data.layout}:v1", bench.indexed(), "rootfs") as mount:
        yield mount().path


@contextlib.contextmanager
def native(tree):
    """Names and attributes forgotten by the kernel, as after a mount; the disk's blocks are in memory."""
    drop_caches(2)
    yield tree


def turns_of(fresh):
    """fresh() is a context that gives the tree as if just mounted."""
    def turn():
        with fresh() as root:
            first = walk(root)
            second = walk(root)
        with fresh() as root:
            return {"first": first, "second": second, "list": list_all(root)}
    return turn


def first_ls(bench):
    with imgfs(bench, f"oci:{bench.data.layout}:v1", bench.indexed(), "rootfs") as mount:
        begin = time.perf_counter()
        daemon = mount()
        run(["ls", daemon.path])
        return {"wall": time.perf_counter() - begin, "cpu": daemon.cpu()}


def trees(bench):
    """What the tree is compared on: {name: callable or Missing}, for a context each."""
    tree, squashfs, erofs = bench.data.tree("v1"), bench.data.squashfs(), bench.data.erofs()
    erofsfuse = bench.erofsfuse()
    return {
        "imgfs": lambda: ours(bench),
        "native": needing(lambda: native(tree), tree),
        "erofsfuse": needing(lambda: mounted(bench, erofsfuse, erofs), erofsfuse, erofs),
        "squashfuse_ll": needing(lambda: mounted(bench, "squashfuse_ll", squashfs), tool("squashfuse_ll"), squashfs),
    }


def measure(bench):
    first = by_turns(bench.rounds * 3, {"imgfs": lambda: first_ls(bench)})["imgfs"]
    yield Check(8, "mount and ls", "s", first["wall"], "goal", FIRST_LS, 1)
    yield Check(8, "its processor time", "s", first["cpu"], "goal", FIRST_LS)

    result = by_turns(bench.rounds, {
        name: needing(turns_of(fresh), fresh)
        for name, fresh in trees(bench).items()})
    goals = [(9, "first", "erofsfuse", 1 / 1.5), (9, "first", "squashfuse_ll", 1 / 5), (9, "first", "native", 1 / 0.6),
             (10, "second", "native", 1 / 0.95),
             (11, "list", "native", 1.5), (11, "list", "erofsfuse", 0.2), (11, "list", "squashfuse_ll", 0.2)]
    what = {"first": "find -printf '%s %m', first", "second": "find -printf '%s %m', second", "list": "ls -lR"}
    for row, name, peer, limit in goals:
        yield Check(row, what[name], "s", result["imgfs"][name], peer, figure(result[peer], name), limit)
