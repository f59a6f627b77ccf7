# SPDX-License-Identifier: Apache-2.0
"""data -- the reference workload: five layers and two images, made once, kept in BENCH_DATA.

    base        a minimal Debian
    toolchain   compilers and interpreters: few, large files
    small       icons, headers and manuals: many small files and symbolic links
    big         one file, every fourth MiB of it random
    change-a    edits, 20 whiteouts, an opaque directory; change-b: others

Tags: v1 = all with change-a, v2 = all with change-b; base, toolchain, small, big: that layer alone.
The scale `tiny` makes up its layers and needs neither network nor mirror.

Each part is made when it is first asked for, and is complete when its stamp is there.
"""
import contextlib
import glob
import json
import os
import platform
import random
import re
import shutil
import sys
import tarfile
import tempfile

import servers
from machine import REPOSITORY, codename, mirror
from measure import for_a_peer, needing, run, text_of
from mounts import tool

sys.path.insert(0, f"{REPOSITORY}/examples")
from ocilayout import Layout  # noqa: E402

VERSION = 2                 # of the recipes below: another one makes everything anew
LAYERS = ("base", "toolchain", "small", "big")
CHANGES = {"v1": "change-a", "v2": "change-b"}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
BIG_FILE = "srv/data.bin"
FIRST_FILE = "usr/lib/os-release"
SMALL_FOLDER = "usr/src"
PLACE = 256 << 10           # bytes of the tar in which neighbours lie: less than a span

COMPILERS = ("gcc-12 g++-12 cpp-12 libstdc++-12-dev libpython3.11-stdlib libpython3.11-dev "
             "perl-modules-5.36 binutils-x86-64-linux-gnu libllvm14")
SCALES = {
    "tiny": {"small_files": 3000, "tool_mib": 16, "big_mib": 16},
    "medium": {"big_mib": 256, "toolchain": COMPILERS,
               "small": "HEADERS libboost1.74-dev adwaita-icon-theme breeze-icon-theme"},
    "full": {"big_mib": 1024,
             "toolchain": COMPILERS + " llvm-14 llvm-14-dev libclang-cpp14 golang-1.19-go libnode108",
             "small": "HEADERS libboost1.74-dev adwaita-icon-theme papirus-icon-theme "
                      "linux-doc-6.1 openjdk-17-doc python3.11-doc"},
}


class Data:
    def __init__(self, directory, scale):
        self.scale, self.sizes = scale, SCALES[scale]
        self.path = f"{directory}/{scale}-{VERSION}"
        self.layout = f"{self.path}/layout"
        os.makedirs(self.path, exist_ok=True)

    @contextlib.contextmanager
    def part(self, name):
        """Yields an empty directory when the part has to be made, else None."""
        stamp, scratch = f"{self.path}/{name}.done", f"{self.path}/{name}.partial"
        if os.path.exists(stamp):
            yield None
            return
        print(f"making {name} ({self.scale})", file=sys.stderr, flush=True)
        shutil.rmtree(scratch, ignore_errors=True)
        os.makedirs(scratch)
        yield scratch
        shutil.rmtree(scratch)
        os.sync()
        with open(stamp, "w"):
            pass

    def facts(self):
        """What the layers hold: {layer: {blob, tar, entries}, "neighbours": {name: place in the tar}}."""
        self.make_layout()
        with open(f"{self.path}/facts.json") as facts:
            return json.load(facts)

    def blob(self, layer):
        return f"{self.layout}/blobs/sha256/{self.facts()[layer]['blob']}"

    def entries(self):
        return sum(self.facts()[layer]["entries"] for layer in LAYERS)

    # ---- layers ---------------------------------------------------------------------------------

    def make_layout(self):
        with self.part("layout") as scratch:
            if scratch:
                self.fill_layout(scratch)

    def fill_layout(self, scratch):
        if self.scale == "tiny":
            make_base(f"{scratch}/base")
            make_tools(f"{scratch}/toolchain", self.sizes["tool_mib"])
            make_small(f"{scratch}/small", self.sizes["small_files"])
        else:
            bootstrap(f"{scratch}/base")
            for layer in ("toolchain", "small"):
                unpack_packages(f"{scratch}/{layer}", self.sizes[layer])
        os.makedirs(os.path.dirname(f"{scratch}/big/{BIG_FILE}"))
        write_big(f"{scratch}/big/{BIG_FILE}", self.sizes["big_mib"])
        for change, names in (("change-a", "[a-l]"), ("change-b", "[l-z]")):
            make_change(f"{scratch}/{change}", f"{scratch}/base", names)
        shutil.rmtree(self.layout, ignore_errors=True)
        layout, layers, facts = Layout(self.layout), {}, {}
        for name in (*LAYERS, *CHANGES.values()):
            archive = f"{scratch}/{name}.tar"
            pack(f"{scratch}/{name}", archive)
            shutil.rmtree(f"{scratch}/{name}")
            layers[name] = layout.layer_file(archive)
            facts[name] = {"blob": layers[name][0]["digest"].split(":")[1],
                           "blob_size": layers[name][0]["size"],
                           "tar": os.path.getsize(archive),
                           "entries": int(text_of(["sh", "-c", f"tar -tf '{archive}' | wc -l"]))}
        facts["neighbours"] = neighbours(f"{scratch}/small.tar")
        where = {"architecture": ARCHITECTURE, "os": "linux"}
        for name in LAYERS:
            layout.tag(name, layout.image([layers[name]], where))
        for tag, change in CHANGES.items():
            layout.tag(tag, layout.image([layers[name] for name in (*LAYERS, change)], where))
        layout.close()
        with open(f"{self.path}/facts.json", "w") as out:
            json.dump(facts, out, indent=1)

    # ---- what peers need ------------------------------------------------------------------------

    @for_a_peer
    def tree(self, tag):
        """An image unpacked by umoci, on the native file system."""
        if missing := needing(None, tool("umoci")):
            return missing
        self.make_layout()
        bundle = f"{self.path}/tree-{tag}"
        with self.part(f"tree-{tag}") as scratch:
            if scratch:
                shutil.rmtree(bundle, ignore_errors=True)
                run(["umoci", "unpack", "--image", f"{self.layout}:{tag}", bundle])
        return f"{bundle}/rootfs"

    @for_a_peer
    def packed(self, kind, *command):
        """The tree of v1 as a file system image; command takes the image and the tree."""
        tree = self.tree("v1")
        if missing := needing(None, tree, tool(command[0])):
            return missing
        image = f"{self.path}/v1.{kind}"
        with self.part(kind) as scratch:
            if scratch:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(image)
                run([word.format(image=image, tree=tree) for word in command])
        return image

    def squashfs(self):
        return self.packed("squashfs", "mksquashfs", "{tree}", "{image}", "-comp", "zstd",
                           "-Xcompression-level", "3", "-no-progress", "-quiet")

    def erofs(self):
        return self.packed("erofs", "mkfs.erofs", "-zlz4", "{image}", "{tree}")

    def storage(self):
        """A directory for docker-registry that holds all tags in the repository `bench`."""
        if missing := needing(None, tool("docker-registry"), tool("skopeo")):
            return missing
        self.make_layout()
        storage = f"{self.path}/registry"
        with self.part("registry") as scratch:
            if scratch:
                shutil.rmtree(storage, ignore_errors=True)
                with servers.registry(storage) as host:
                    for tag in (*LAYERS, *CHANGES):
                        push(f"oci:{self.layout}:{tag}", f"docker://{host}/bench:{tag}")
        return storage

    @for_a_peer
    def add_estargz(self, stargz):
        """Adds v1 as the tag `estargz` to the registry; returns its layers' digests, base first."""
        storage, layout_path = self.storage(), f"{self.path}/estargz-layout"
        with self.part("estargz") as scratch:
            if scratch:
                shutil.rmtree(layout_path, ignore_errors=True)
                self.convert(stargz, scratch, layout_path)
                with servers.registry(storage) as host:
                    push(f"oci:{layout_path}:estargz", f"docker://{host}/bench:estargz")
        with open(f"{self.path}/estargz.json") as digests:
            return json.load(digests)

    def convert(self, stargz, scratch, layout_path):
        layout, layers = Layout(layout_path), []
        for name in (*LAYERS, CHANGES["v1"]):
            contents, diff_id = text_of([stargz, "convert", self.blob(name), f"{scratch}/blob"]).split()
            with open(f"{scratch}/blob", "rb") as blob:
                stored = layout.put(blob.read())
            layers.append(({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **stored,
                            "annotations": {"containerd.io/snapshot/stargz/toc.digest": contents}}, diff_id))
        layout.tag("estargz", layout.image(layers, {"architecture": ARCHITECTURE, "os": "linux"}))
        layout.close()
        with open(f"{self.path}/estargz.json", "w") as out:
            json.dump([layer["digest"] for layer, _ in layers], out)


def push(source, target):
    run(["skopeo", "copy", "-q", "--dest-tls-verify=false", source, target])


# ---- recipes --------------------------------------------------------------------------------------

def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb" if isinstance(content, bytes) else "w") as out:
        out.write(content)


def make_base(root):
    write(f"{root}/{FIRST_FILE}", 'PRETTY_NAME="made up"\nID=bench\n')
    for letter in "abcdefghijklmnopqrstuvwxyz":
        for number in range(5):
            write(f"{root}/usr/share/doc/{letter}{number}/copyright", f"{letter}{number}\n" * 50)
            write(f"{root}/usr/share/perl5/{letter}{number}.pm", f"package {letter}{number};\n")


def make_tools(root, mib):
    for number in range(mib):
        write_big(f"{root}/usr/lib/library-{number}.so", 1, seed=number)


def make_small(root, files):
    for number in range(files):
        folder = f"{root}/{SMALL_FOLDER if number % 2 else 'usr/share/icons'}/{number // 100:03}"
        os.makedirs(folder, exist_ok=True)
        if number % 6 == 4:
            os.symlink(f"file-{number - 2}.h", f"{folder}/file-{number}.h")
        else:
            write(f"{folder}/file-{number}.h", f"#define N{number}\n" * (1 + number % 100))


def write_big(path, mib, seed=1):
    """Text-like and random pieces by turns, the same on each run."""
    generator = random.Random(seed)
    words = [generator.randbytes(generator.randrange(3, 12)).hex().encode() for _ in range(4000)]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        for piece in range(mib):
            if piece % 4 == 3:
                out.write(generator.randbytes(1 << 20))
            else:
                text = b" ".join(generator.choices(words, k=140000))
                out.write((text + b" " * (1 << 20))[:1 << 20])


def bootstrap(root):
    run(["debootstrap", "--variant=minbase", codename(), root, mirror()])
    for leftover in glob.glob(f"{root}/var/cache/apt/archives/*.deb") + glob.glob(f"{root}/dev/*"):
        run(["rm", "-rf", leftover])


def unpack_packages(root, packages):
    os.makedirs(root)
    names = packages.replace("HEADERS", " ".join(header_packages())).split()
    with tempfile.TemporaryDirectory(dir=os.path.dirname(root)) as downloads:
        run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names], cwd=downloads)
        for package in sorted(os.listdir(downloads)):
            run(["dpkg-deb", "-x", f"{downloads}/{package}", root])
    # The base has /bin, /sbin and /lib in /usr, older packages do not know.
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.isdir(f"{root}/{name}") and not os.path.islink(f"{root}/{name}"):
            os.makedirs(f"{root}/usr/{name}", exist_ok=True)
            run(["cp", "-al", f"{root}/{name}/.", f"{root}/usr/{name}/"])
            shutil.rmtree(f"{root}/{name}")


def header_packages():
    """The kernel headers that the current kernel's package wants: they have its version in their names."""
    pattern = r"Depends: (linux-headers-\d\S+)"
    newest = re.search(pattern, text_of(["apt-cache", "depends", f"linux-headers-{ARCHITECTURE}"]))[1]
    return [newest] + re.findall(pattern, text_of(["apt-cache", "depends", newest]))


def make_change(root, base, names):
    for number in range(20):
        write(f"{root}/etc/app/conf.{number}", f"setting {number} of {os.path.basename(root)}\n")
    for victim in sorted(glob.glob(f"{base}/usr/share/doc/{names}*"))[:20]:
        write(f"{root}/usr/share/doc/.wh.{os.path.basename(victim)}", "")
    write(f"{root}/usr/share/perl5/.wh..wh..opq", "")
    write(f"{root}/usr/share/perl5/README", "only this\n")


def pack(tree, archive):
    run(["tar", "--sort=name", "--format=pax", "--pax-option=delete=atime,delete=ctime", "--numeric-owner",
         "--mtime=@1704067200", "--clamp-mtime", "-C", tree, "-cf", archive, "."])


def neighbours(archive):
    """Twenty small files that lie beside each other in the middle of the archive."""
    with tarfile.open(archive) as members:
        files = [(member.name.removeprefix("./"), member.offset_data) for member in members
                 if member.isreg() and 0 < member.size < PLACE // 32]
    first = len(files) // 2
    found = [file for file in files[first:first + 20] if file[1] < files[first][1] + PLACE]
    return dict(found)
