# SPDX-License-Identifier: Apache-2.0
"""A registry that is 50 ms and 100 Mbit/s away (wan.py)."""
import base64
import bisect
import contextlib
import os
import shutil
import subprocess
import time

from data import BIG_FILE, CHANGES, FIRST_FILE, LAYERS
from measure import Missing, by_turns, figure, needing, read_times, run
from mounts import imgfs, mount_point, started, tool, wait_until
from rows.cold import list_image
from rows.index import index_of
from servers import RATE, ROUND_TRIP, registry, wan
from table import Check

ROWS = (2, 3, 4, 5, 19)
FILE_BYTES = 1.5e6          # what the first file may cost, index saved
READ_BYTES = 1.2e6          # what one read may cost, index saved


class Far:
    """The benchmarks of one registry, near (host) and far (link)."""

    def __init__(self, bench, host, link):
        self.bench, self.host, self.link = bench, host, link
        self.facts = bench.data.facts()

    @contextlib.contextmanager
    def mount(self, tag, index_saved):
        """Like imgfs(), with nothing else in the cache; the link's counters begin at nothing."""
        with self.bench.directory() as cache:
            if index_saved:
                shutil.copytree(f"{self.bench.indexed()}/index", f"{cache}/index")
            with imgfs(self.bench, f"docker://{self.link.host}/bench:{tag}", cache, "rootfs") as mount:
                self.link.far()
                yield mount

    def remember(self, name):
        """The link's counters, and how the bytes came, for the plot."""
        stats = self.link.stats()
        self.bench.series["arrivals"][name] = stats["arrivals"]
        return stats

    # ---- no index -------------------------------------------------------------------------------

    def list_all(self):
        with self.mount("v1", index_saved=False) as mount:
            wall = list_image(mount)["wall"]
            return {"wall": wall, "bytes": self.remember("imgfs, no index: ls -lR")["down"]}

    def copy_all(self):
        with self.bench.directory() as target:
            self.link.far()
            cost = run(["skopeo", "copy", "-q", "--src-tls-verify=false",
                        f"docker://{self.link.host}/bench:v1", f"oci:{target}/layout:v1"])
            self.remember("skopeo copy")
            return cost

    def first_file(self):
        with self.mount("base", index_saved=False) as mount:
            return self.show(mount)

    def show(self, mount):
        daemon = mount()
        return {"wall": daemon.mounting["wall"] + run(["cat", f"{daemon.path}/{FIRST_FILE}"])["wall"]}

    def transfer(self):
        self.link.far()
        return run(["curl", "-sfS", "-o", "/dev/null", self.url(self.link.host, "base")])

    def stream_first_file(self):
        return run(["sh", "-c", f"curl -sfS '{self.url(self.host, 'base')}' | igzip -dc | "
                    f"tar -xO --occurrence=1 -f - './{FIRST_FILE}'"])

    def near_first_file(self):
        with self.bench.directory() as cache, \
                imgfs(self.bench, f"docker://{self.host}/bench:base", cache, "rootfs") as mount:
            return self.show(mount)

    def url(self, host, layer):
        return f"http://{host}/v2/bench/blobs/sha256:{self.facts[layer]['blob']}"

    # ---- index saved ----------------------------------------------------------------------------

    def saved_first_file(self):
        with self.mount("v1", index_saved=True) as mount:
            wall = self.show(mount)["wall"]
            stats = self.remember("imgfs, index saved: first file")
            return {"wall": wall, "bytes": stats["down"], "requests": stats["requests"]}

    def stargz_first_file(self, program, digests):
        """Its store as an engine uses it: all layers are looked up, here at once; then the file."""
        with self.bench.directory() as root, mount_point(self.bench) as directory, \
                started(program, "store", root, directory):
            wait_until(lambda: os.path.ismount(directory), "stargz-store")
            image = base64.b64encode(f"{self.link.host}/bench:estargz".encode()).decode()
            layers = [f"{directory}/{image}/{digest}/diff" for digest in digests]
            self.link.far()
            begin = time.perf_counter()
            looks = [subprocess.Popen(["ls", layer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                     for layer in layers]
            if any([look.wait() for look in looks]):
                raise OSError("its store does not show all layers")
            run(["cat", f"{layers[0]}/{FIRST_FILE}"])
            wall = time.perf_counter() - begin
            self.remember("stargz-store: first file")
            return {"wall": wall}

    def saved_read(self):
        with self.mount("big", index_saved=True) as mount:
            path = f"{mount().path}/{BIG_FILE}"
            run(["stat", path])
            self.link.far()
            middle = (self.bench.data.sizes["big_mib"] << 19) + 4096
            wall, = read_times(path, [middle])
            return {"wall": wall, "bytes": self.link.stats()["down"]}

    def saved_neighbours(self):
        with self.mount("small", index_saved=True) as mount:
            root = mount().path
            files = [f"{root}/{name}" for name in self.facts["neighbours"]]
            run(["stat", *files])
            self.link.far()
            run(["cat", *files])
            stats = self.link.stats()
            return {"requests": stats["blobs"], "bytes": stats["down"]}

    def spans_of_neighbours(self):
        starts = index_of(self.bench, "small")["spans"]
        return len({bisect.bisect(starts, place) for place in self.facts["neighbours"].values()})


def measure(bench):
    storage = bench.data.storage()
    if isinstance(storage, Missing):
        for row in ROWS:
            yield Check(row, "no registry", "s", storage, "", storage)
        return
    store = bench.stargz()
    digests = store if isinstance(store, Missing) else bench.data.add_estargz(store)
    with registry(storage) as host, wan(host) as link:
        far = Far(bench, host, link)
        yield from without_index(bench, far)
        yield from with_index(bench, far, store, digests)


def without_index(bench, far):
    result = by_turns(1, {"imgfs": far.list_all, "skopeo copy": far.copy_all})
    ours = result["imgfs"]
    size = sum(far.facts[layer]["blob_size"] for layer in (*LAYERS, CHANGES["v1"]))
    yield Check(2, f"wall, {ours['bytes'] / 1e6:.0f} MB came", "s", ours["wall"],
                f"{size / 1e6:.0f} MB of layers at that rate", size / RATE, 1.05)
    yield Check(2, "wall", "s", ours["wall"], "skopeo copy", figure(result["skopeo copy"], "wall"))

    result = by_turns(bench.rounds, {
        "imgfs": far.first_file, "curl": needing(far.transfer, tool("curl")),
        "imgfs, near": far.near_first_file,
        "stream, near": needing(far.stream_first_file, tool("curl"), tool("igzip"))})
    yield Check(3, "layer verified whole, over the WAN", "s", result["imgfs"]["wall"],
                "curl of the layer", figure(result["curl"], "wall"), 1.1)
    yield Check(3, "the same on the loopback interface", "s", result["imgfs, near"]["wall"],
                "curl | igzip | tar, nothing verified", figure(result["stream, near"], "wall"))


def with_index(bench, far, store, digests):
    result = by_turns(bench.rounds, {
        "imgfs": far.saved_first_file,
        "stargz-store": needing(lambda: far.stargz_first_file(store, digests), store, digests)})
    ours = result["imgfs"]
    yield Check(4, f"wall, {ours['requests']:.0f} requests", "s", ours["wall"], "6 round trips", 6 * ROUND_TRIP, 1)
    yield Check(4, "wall", "s", ours["wall"], "stargz-store", figure(result["stargz-store"], "wall"), 0.4)
    yield Check(4, "bytes", "MB", ours["bytes"], "goal", FILE_BYTES, 1)

    ours = by_turns(bench.rounds, {"imgfs": far.saved_read})["imgfs"]
    span = min(ours["bytes"], READ_BYTES) / RATE
    yield Check(5, "wall", "ms", ours["wall"], "4 round trips and a span", 4 * ROUND_TRIP + span, 1)
    yield Check(5, "bytes", "MB", ours["bytes"], "goal", READ_BYTES, 1)

    ours = by_turns(1, {"imgfs": far.saved_neighbours})["imgfs"]
    spans = far.spans_of_neighbours()
    files = len(far.facts["neighbours"])
    yield Check(19, f"requests for {files} files", "", ours["requests"], "spans touched", spans, 1)
    yield Check(19, "bytes, no more than reads of these spans", "MB", ours["bytes"], "goal", spans * READ_BYTES, 1)
