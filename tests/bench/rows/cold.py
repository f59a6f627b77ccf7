# SPDX-License-Identifier: Apache-2.0
"""From nothing local to all names of an image, out of a registry next door."""
from measure import Missing, by_turns, figure, needing, run
from mounts import imgfs, tool
from servers import registry
from table import Check

ROWS = (1,)


def list_image(mount):
    """Mounts, and lists everything: the time and the work of all that."""
    daemon = mount()
    listing = run(["ls", "-lR", daemon.path])
    return {"wall": daemon.mounting["wall"] + listing["wall"],
            "cpu": daemon.mounting["cpu"] + listing["cpu"] + daemon.cpu()}


def ours(bench, host):
    with bench.directory() as cache, imgfs(bench, f"docker://{host}/bench:v1", cache, "rootfs") as mount:
        return list_image(mount)


def theirs(bench, host):
    """What a person without an engine does."""
    with bench.directory() as target:
        steps = [run(["skopeo", "copy", "-q", "--src-tls-verify=false",
                      f"docker://{host}/bench:v1", f"oci:{target}/layout:v1"]),
                 run(["umoci", "unpack", "--image", f"{target}/layout:v1", f"{target}/bundle"]),
                 run(["ls", "-lR", f"{target}/bundle/rootfs"])]
        return {name: sum(step[name] for step in steps) for name in ("wall", "cpu")}


def measure(bench):
    storage = bench.data.storage()
    if isinstance(storage, Missing):
        yield Check(1, "no registry", "s", storage, "skopeo + umoci", storage)
        return
    with registry(storage) as host:
        result = by_turns(min(2, bench.rounds), {
            "imgfs": lambda: ours(bench, host),
            "skopeo + umoci": needing(lambda: theirs(bench, host), tool("umoci")),
        })
    for name, words, limit in (("wall", "wall", 1 / 15), ("cpu", "processor", 1 / 10)):
        yield Check(1, words, "s", result["imgfs"][name], "skopeo + umoci",
                    figure(result["skopeo + umoci"], name), limit)
