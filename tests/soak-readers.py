#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Readers for tests/soak: "make WORK" writes images to WORK/layout and what is in them to WORK/truth/IMAGE;
# "run WORK REGISTRY SECONDS SEED DIR DIR COMMAND..." reads them through two mounts, counts, and says what is
# wrong. The second is mounted anew now and then, by COMMAND, or it would hold open for ever what the cache let go.

import collections
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

IMAGES = ["one", "two", "three", "four"]
MOVING = "moving"       # a tag: of the first two images in turn
CODINGS = ["gzip", "zstd", "plain"]
STORED = {"layer.tar", "layer.tar.gz", "layer.tar.zst"}
FILES = 25              # of each layer, the first of which is large
READERS = 6
REMOUNT = 6             # seconds between two mounts of the second directory
OPERATION_MAX = 60      # seconds, with everything tried again: longer is a hang
LEAVE_MAX = 5           # seconds that a reader may live after a signal
# Where the kernel itself lets a process wait for what another looks up in the same directory; no signal ends it.
KERNEL_WAITS = {"fuse_lock_inode", "d_alloc_parallel", "d_wait_lookup"}
WARM_UP = 0.3           # of the time, before growth counts
GROWTH = {"resident": 32 << 20, "threads": 8, "descriptors": 32}    # after it


def make(work):
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "examples"))
    sys.dont_write_bytecode = True
    from ocilayout import Layout, Tar
    rng = random.Random(5)
    layout = Layout(work + "/layout")
    digests = {}
    for image in IMAGES:
        layers = []
        for number, coding in enumerate(CODINGS):
            tar = Tar()
            for n in range(FILES):
                name = f"{coding}/d{n % 3}/f{n}"
                data = rng.randbytes(rng.randrange(9000) if n else 3 << 20) + b"line after line\n" * (n * 100)
                tar.file(name, data)
                path = f"{work}/truth/{image}/{name}"
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as out:
                    out.write(data)
            layers.append(layout.layer(tar.bytes(), coding))
        top = layout.image(layers, {"architecture": "amd64", "os": "linux"})
        layout.tag(image, top)
        digests[image] = top["digest"]
    layout.tag(MOVING, layout.entries[0])
    layout.close()
    with open(work + "/digests", "w") as out:
        json.dump(digests, out)


class Soak:
    def __init__(self, work, registry, seconds, seed, mounts, command):
        self.work, self.registry, self.seed, self.mounts, self.command = work, registry, seed, mounts, command
        self.resting = None                     # a mount that nobody is to use; under lock
        self.end = time.monotonic() + seconds
        self.lock = threading.Lock()
        self.counts = collections.Counter()     # under lock, as all below
        self.errors = collections.Counter()
        self.wrong = []
        self.missing = []
        self.hung = []
        self.under_way = {}                     # reader: (since, mount, what)
        with open(work + "/digests") as file:
            self.digests = json.load(file)
        self.stored, self.truth = {}, {}
        for image in IMAGES:
            manifest = json.loads(self.blob(self.digests[image]))
            self.stored[image] = [self.blob(layer["digest"]) for layer in manifest["layers"]]
            top = f"{work}/truth/{image}"
            for directory, _, files in os.walk(top):
                for name in files:
                    path = os.path.join(directory, name)
                    with open(path, "rb") as file:
                        self.truth[image, os.path.relpath(path, top)] = file.read()
        self.names = {image: sorted(name for owner, name in self.truth if owner == image) for image in IMAGES}

    def blob(self, digest):
        with open(f"{self.work}/layout/blobs/sha256/{digest.partition(':')[2]}", "rb") as file:
            return file.read()

    def note(self, kind, text):
        with self.lock:
            getattr(self, kind).append(text)

    def failed(self, error, what):
        """An error is what a fault may look like; that there is no such thing is a lie."""
        with self.lock:
            self.errors[errno.errorcode.get(error.errno, str(error.errno))] += 1
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
                self.missing.append(f"{what}: {error.strerror}")
            if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
                self.wrong.append(f"{what}: no daemon")

    def is_over(self):
        return time.monotonic() >= self.end

    # ---- what readers do; each is one operation ------------------------------------------------

    def read(self, rng, path, expected, dir_fd=None):
        file = os.open(path, os.O_RDONLY, dir_fd=dir_fd)
        try:
            if rng.random() < 0.5:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
            if os.fstat(file).st_size != len(expected):
                self.note("wrong", f"{path}: size {os.fstat(file).st_size}, not {len(expected)}")
            for _ in range(rng.randrange(1, 6)):
                offset, size = rng.randrange(len(expected) + 1), rng.choice([1, 4096, 65536, 1 << 20])
                end = min(offset + size, len(expected))
                # A read that met an error on its way gives what is before it; the next one tells.
                while True:
                    data = os.pread(file, max(1, end - offset), offset)
                    with self.lock:
                        self.counts["bytes"] += len(data)
                    if data != expected[offset:offset + len(data)] or not data and offset < end:
                        self.note("wrong", f"{path}: {len(data)} bytes at {offset}")
                    offset += len(data)
                    if not data or offset >= end:
                        break
            if rng.random() < 0.7:      # what the kernel keeps is not asked for again
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)

    def read_any(self, rng, root, image, dir_fd=None):
        name = rng.choice(self.names[image])
        self.read(rng, f"{root}/{name}", self.truth[image, name], dir_fd)

    def op_read(self, rng, mnt, image):
        self.read_any(rng, f"{mnt}/{image}/linux_amd64/rootfs", image)

    def op_stored(self, rng, mnt, image):
        """A layer as it is stored, which is fetched whole."""
        number = rng.randrange(len(CODINGS))
        layers = f"{mnt}/{image}/linux_amd64/layers"
        layer = next(name for name in os.listdir(layers) if name.startswith(f"{number + 1:02}-"))
        name = next(name for name in os.listdir(f"{layers}/{layer}") if name in STORED)
        self.read(rng, f"{layers}/{layer}/{name}", self.stored[image][number])

    def op_walk(self, rng, mnt, image):
        root, found = f"{mnt}/{image}/linux_amd64/rootfs", []

        def raise_it(error):
            raise error
        for directory, _, files in os.walk(root, onerror=raise_it):
            for name in files:
                path = os.path.join(directory, name)
                found.append(os.path.relpath(path, root))
                if os.lstat(path).st_size != len(self.truth.get((image, found[-1]), b"")):
                    self.note("wrong", f"{path}: size")
        if sorted(found) != self.names[image]:
            self.note("missing", f"{root}: names {set(found) ^ set(self.names[image])}")

    def op_list(self, rng, mnt, image):
        missing = {MOVING, *IMAGES} - set(os.listdir(mnt))
        if missing:
            self.note("missing", f"{mnt}: names {missing}")

    def op_moving(self, rng, mnt, image):
        """An image that was entered through a tag stays what it is, whatever becomes of the tag."""
        top = os.open(f"{mnt}/{MOVING}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            file = os.open("digest", os.O_RDONLY, dir_fd=top)
            try:
                digest = os.read(file, 200).decode().strip()
            finally:
                os.close(file)
            image = next((name for name in IMAGES[:2] if self.digests[name] == digest), None)
            if not image:
                self.note("wrong", f"{mnt}/{MOVING}/digest: {digest}")
                return
            for _ in range(4):
                self.read_any(rng, "linux_amd64/rootfs", image, dir_fd=top)
        finally:
            os.close(top)

    def op_diff(self, rng, mnt, image):
        root = f"{mnt}/{image}/linux_amd64/rootfs/{rng.choice(CODINGS)}"
        truth = f"{self.work}/truth/{image}/{os.path.basename(root)}"
        done = subprocess.run(["diff", "-r", root, truth], env={**os.environ, "LC_ALL": "C"}, text=True,
                              capture_output=True, errors="replace", timeout=OPERATION_MAX)
        for line in (done.stdout + done.stderr).splitlines():
            if line.startswith(("Only in ", "File ")) or "No such file" in line:
                self.note("missing", line)
            elif line.startswith("diff: "):
                with self.lock:
                    self.errors["diff: " + line.rpartition(": ")[2]] += 1
            elif line.startswith(("Files ", "Binary files ", "diff ")):
                self.note("wrong", line)

    def op_interrupt(self, rng, mnt, image):
        path = f"{mnt}/{image}/linux_amd64/rootfs/{rng.choice(self.names[image])}"
        reader = subprocess.Popen(["env", "--default-signal", "cat", path], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        time.sleep(rng.random() * 0.2)
        reader.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
        try:
            reader.wait(LEAVE_MAX)
        except subprocess.TimeoutExpired:
            with open(f"/proc/{reader.pid}/stack") as file:
                stack = re.findall(r" (\w+)", file.read())
            if not KERNEL_WAITS.intersection(stack):
                self.note("hung", f"cat {path}, {LEAVE_MAX} s after a signal: {stack}")
            with self.lock:
                self.counts["waited for another's lookup"] += 1
            reader.wait(OPERATION_MAX)

    # ---- who does it --------------------------------------------------------------------------

    def reader(self, number):
        rng = random.Random(f"{self.seed} {number}")
        operations = {self.op_read: 60, self.op_stored: 6, self.op_walk: 8, self.op_list: 4, self.op_moving: 12,
                      self.op_diff: 4, self.op_interrupt: 6}
        # Each kind is begun once, dealt out among the readers, however few operations the time allows.
        dealt = list(operations)[number::READERS]
        while not self.is_over():
            operation = dealt.pop() if dealt else rng.choices(list(operations), list(operations.values()))[0]
            mnt, image = rng.choice(self.mounts), rng.choice(IMAGES)
            with self.lock:
                if mnt == self.resting:
                    mnt = self.mounts[0]
                what = f"{operation.__name__[3:]} {mnt} {image}"
                self.under_way[number] = (time.monotonic(), mnt, what)
                self.counts[operation.__name__[3:]] += 1
            try:
                operation(rng, mnt, image)
            except subprocess.TimeoutExpired:
                self.note("hung", what)
            except OSError as error:
                self.failed(error, what)
            except Exception as error:
                self.note("wrong", f"{what}: {error!r}")
            with self.lock:
                del self.under_way[number]

    def move(self, rng):
        body = {"repo": "app", "tag": MOVING, "digest": self.digests[rng.choice(IMAGES[:2])]}
        with urllib.request.urlopen(self.registry + "/__tag", json.dumps(body).encode(), 10):
            self.counts["moves"] += 1

    def remount(self, rng):
        """Unmounts by the book or by SIGKILL, as soon as nobody is there."""
        mnt = self.mounts[1]
        with self.lock:
            self.resting = mnt
        limit = time.monotonic() + OPERATION_MAX
        while True:
            with self.lock:
                if not any(entry[1] == mnt for entry in self.under_way.values()):
                    break
            if time.monotonic() > limit:
                return                          # who hangs is reported in the end
            time.sleep(0.01)
        if rng.random() < 0.5:
            os.kill(self.pid(mnt), signal.SIGKILL)
        subprocess.run(["umount", mnt], check=True)
        for _ in range(20):                     # a mount that meets a fault may fail
            if not subprocess.run([*self.command, mnt], stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=OPERATION_MAX).returncode:
                break
        else:
            self.note("hung", f"mount of {mnt}")
            return
        with self.lock:
            self.counts["remounts"] += 1
            self.resting = None

    @staticmethod
    def pid(mnt):
        with open(mnt + "/.imgfs/pid") as file:
            return int(file.read())

    def sampler(self, pid, series):
        time.sleep((self.end - time.monotonic()) * WARM_UP)
        while not self.is_over():
            series.append(self.sample(pid))
            time.sleep(0.5)

    @staticmethod
    def sample(pid):
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.split(":", 1) for line in file)
        return {"resident": int(status["VmRSS"].split()[0]) << 10, "threads": int(status["Threads"]),
                "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}

    def run(self):
        rng, begin = random.Random(f"{self.seed} main"), time.monotonic()
        samples, daemon, remount_at = [], self.pid(self.mounts[0]), begin + REMOUNT
        threading.Thread(target=self.sampler, args=(daemon, samples), daemon=True).start()
        threads = [threading.Thread(target=self.reader, args=(n,), daemon=True) for n in range(READERS)]
        for thread in threads:
            thread.start()
        half = begin + (self.end - begin) / 2
        while not self.is_over():
            time.sleep(0.5)
            if rng.random() < 0.2:
                self.move(rng)
            if half and time.monotonic() > half:
                os.kill(daemon, signal.SIGHUP)
                half = 0
            if time.monotonic() > remount_at:
                self.remount(rng)
                remount_at = time.monotonic() + REMOUNT
        for thread in threads:
            thread.join(max(0, self.end + OPERATION_MAX - time.monotonic()))
        with self.lock:
            self.hung += [what for _, _, what in self.under_way.values()]
        return samples

    def report(self, samples):
        print("#", ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items())))
        print("# errors:", ", ".join(f"{name} {count}" for name, count in self.errors.most_common()) or "none")
        is_right = True
        for kind, title in (("wrong", "wrong bytes"), ("missing", "false ENOENT"), ("hung", "hung processes")):
            entries = getattr(self, kind)
            print(f"# {title}: {len(entries)}")
            for entry in entries[:10]:
                print("   ", entry)
            is_right &= not entries
        if len(samples) < 8:
            print(f"# only {len(samples)} samples of the daemon")
            is_right = False
        for name, growth in GROWTH.items() if samples else ():
            values = [sample[name] for sample in samples]
            # Of a few each, as one may be taken at a peak.
            few = max(1, len(values) // 4)
            first, last = max(values[:few]), min(values[-few:])
            print(f"# {name}: first {values[0]}, last {values[-1]}, max {max(values)}; may grow by {growth}")
            is_right &= last <= first + growth
        never = [name for name in ("read", "stored", "walk", "list", "moving", "diff", "interrupt", "bytes")
                 if not self.counts[name]]
        if never:
            print("# never:", ", ".join(never))
        return is_right and not never


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    work, registry, seconds, seed = sys.argv[2:6]
    soak = Soak(work, registry, int(seconds), seed, sys.argv[6:8], sys.argv[8:])
    is_right = soak.report(soak.run())
    sys.stdout.flush()
    os._exit(0 if is_right else 1)      # threads that hang would hold it
