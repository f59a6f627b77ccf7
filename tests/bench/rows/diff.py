# SPDX-License-Identifier: Apache-2.0
"""What differs between two images that share all layers but one."""
from data import ARCHITECTURE
from measure import by_turns, figure, needing, run
from mounts import imgfs
from table import Check

ROWS = (18,)


def compare(one, other):
    return run(["diff", "-rq", "--no-dereference", one, other], good=(0, 1))


def ours(bench):
    with imgfs(bench, f"oci:{bench.data.layout}", bench.indexed()) as mount:
        top = mount().path
        return compare(*(f"{top}/{tag}/linux_{ARCHITECTURE}/rootfs" for tag in ("v1", "v2")))


def measure(bench):
    trees = [bench.data.tree(tag) for tag in ("v1", "v2")]
    native = needing(lambda: compare(*trees), *trees)
    by_turns(1, {"native": native})     # so that it is in memory
    result = by_turns(bench.rounds, {"imgfs": lambda: ours(bench), "native": native})
    for name, limit in (("wall", 1 / 100), ("cpu", None)):
        yield Check(18, f"diff -rq, {name}", "s", result["imgfs"][name],
                    "unpacked trees", figure(result["native"], name), limit)
