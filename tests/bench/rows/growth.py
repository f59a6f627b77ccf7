# SPDX-License-Identifier: Apache-2.0
"""How time and memory grow with entries of a directory, layers of an image, tags of a repository.

No row of the table of goals asks for it: it fills the plots.
"""
import tarfile

from data import ARCHITECTURE, Layout
from measure import run
from mounts import imgfs

ROWS = ()
SIZES = {
    "tiny": {"entries": (100, 1000), "layers": (2, 10), "tags": (10, 100)},
    "medium": {"entries": (1000, 10_000, 100_000), "layers": (10, 100, 500), "tags": (10, 100, 1000, 10_000)},
    "full": {"entries": (1000, 10_000, 100_000, 1_000_000), "layers": (10, 50, 100, 250, 500),
             "tags": (10, 100, 1000, 10_000)},
}
WHERE = {"architecture": ARCHITECTURE, "os": "linux"}


def small_tar(path, names):
    """Empty files: a header each."""
    with open(path, "wb") as out:
        blank = bytearray(tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT))
        blank[148:156] = b" " * 8
        total = sum(blank)
        for name in names:
            field = name.encode().ljust(100, b"\0")
            checksum = b"%06o\0 " % (total + sum(field))
            out.write(field + blank[100:148] + checksum + blank[156:])
        out.write(bytes(1024))


def entries(layout, count):
    archive = f"{layout.path}/layer.tar"
    small_tar(archive, (f"directory/entry-{n:07}" for n in range(count)))
    layout.tag("bench", layout.image([layout.layer_file(archive)], WHERE))
    return "rootfs/directory"


def layers(layout, count):
    made = []
    for number in range(count):
        archive = f"{layout.path}/layer.tar"
        small_tar(archive, (f"directory/layer-{number}-file-{n}" for n in range(10)))
        made.append(layout.layer_file(archive))
    layout.tag("bench", layout.image(made, WHERE))
    return "rootfs/directory"


def tags(layout, count):
    archive = f"{layout.path}/layer.tar"
    small_tar(archive, ["file"])
    image = layout.image([layout.layer_file(archive)], WHERE)
    for number in range(count):
        layout.tag(f"tag-{number}", image)
    return None


def look(bench, layout, below):
    """Mounts and lists: seconds, and bytes of memory."""
    image = "" if below is None else f"/bench/linux_{ARCHITECTURE}/{below}"
    with bench.directory() as cache, imgfs(bench, f"oci:{layout}", cache) as mount:
        daemon = mount()
        first = run(["ls", "-l", f"{daemon.path}{image}"])["wall"]
        second = run(["ls", "-l", f"{daemon.path}{image}"])["wall"]
        return {"first": daemon.mounting["wall"] + first, "second": second, "memory": daemon.memory()}


def measure(bench):
    for axis, make in (("entries", entries), ("layers", layers), ("tags", tags)):
        points = bench.series["growth"].setdefault(axis, [])
        for count in SIZES[bench.data.scale][axis]:
            with bench.directory() as path:
                layout = Layout(path)
                below = make(layout, count)
                layout.close()
                point = look(bench, path, below)
            points.append((count, point))
            print(f"growth  {count:8} {axis}: first ls -l {point['first']:.3f} s, second {point['second']:.3f} s, "
                  f"memory {point['memory'] / 1e6:.1f} MB", flush=True)
    yield from ()
