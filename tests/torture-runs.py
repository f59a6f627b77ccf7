#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# The runs of tests/torture: "make WORK" writes an image to WORK as layout and archive; "run WORK REGISTRY PROGRAM
# SAMPLE CLASS SEED [SCENARIO...]" reads it again and again, while one call of PROGRAM fails, or some after each other,
# another one each time.  SAMPLE is how many of each kind are chosen per scenario, 0 for all, or the only fault, as it
# was told; of one CLASS, or all if that is empty.

import collections
import copy
import ctypes
import errno
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "examples"))
from ocilayout import DOCKER, Layout, Tar, compact, sha256

MOUNT_MAX = 40          # seconds until the program says yes or no: a registry is asked more than once
READ_MAX = 60           # seconds for everything there is, with what is tried again
LEAVE_MAX = 30          # seconds to end after umount, leaks looked for, on a busy machine
WORKERS = 2
STATUSES = {0, 1, 2, 32}
PR_SET_CHILD_SUBREAPER = 36

# What may befall a class of calls: how many more fail after the first, and how.
FOR_EVER = 1000000
FAULTS = {
    "memory": [(0, errno.ENOMEM), (40, errno.ENOMEM)],
    "open": [(0, errno.EMFILE), (40, errno.EMFILE), (0, errno.EIO)],
    "read": [(0, errno.EIO), (20, errno.EIO)],
    "write": [(0, errno.ENOSPC), (FOR_EVER, errno.ENOSPC), (0, "short")],
    "sync": [(0, errno.EIO), (FOR_EVER, errno.EIO)],
    "rename": [(0, errno.EIO), (FOR_EVER, errno.EROFS)],
    "stat": [(0, errno.EIO), (20, errno.EIO)],
    "thread": [(0, errno.EAGAIN), (40, errno.EAGAIN)],
    "network": [(0, errno.ENOMEM), (20, errno.ENOMEM)],
}
# What a reader may be told of it: what happened, or that the thing is not there for the moment, or that a copy is
# not what it was.
TOLD = {errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENOSPC, errno.EROFS, errno.EHOSTUNREACH,
        errno.ETIMEDOUT, errno.EBADMSG}


# ---- what is read -------------------------------------------------------------------------------

def words(rng, size):
    return b"\n".join(b"%x" % rng.getrandbits(40) for _ in range(size // 11))


def layers():
    """Of a tar each: (coding, {name: content}, bytes).  The last one, which needs a spool, is an image of its own."""
    rng = random.Random(11)
    base = {"bin/tool": rng.randbytes(9000), "etc/gone": b"gone\n", "etc/hosts": b"127.0.0.1 localhost\n",
            "usr/lib/large": words(rng, 2600000)}
    middle = {"etc/.wh.gone": b"", "srv/data": words(rng, 300000), "srv/empty": b""}
    top = {"etc/hosts": b"127.0.0.2 other\n", "opt/x": rng.randbytes(70000)}
    other = {"other": b"line after line\n" * 300000}
    result = []
    for coding, files in (("gzip", base), ("zstd", middle), ("plain", top), ("zstd", other)):
        tar = Tar()
        for name, data in files.items():
            tar.file(name, data, xattrs={"user.note": name})
        if files is base:
            tar.symlink("usr/lib/link", "large")
            tar.hardlink("usr/lib/tool", "bin/tool")
            files["usr/lib/tool"] = files["bin/tool"]
        result.append((coding, files, tar.bytes()))
    return result


def merged(parts):
    tree = {}
    for _, files, _ in parts:
        for name, data in files.items():
            head, _, tail = name.rpartition("/")
            if tail.startswith(".wh."):
                tree.pop(f"{head}/{tail[4:]}", None)
            else:
                tree[name] = data
    return tree


def make(work):
    parts, layout = layers(), Layout(work + "/layout")
    stored = [layout.layer(tar, coding) for coding, _, tar in parts]
    images = [layout.image(stored[:-1], {"os": "linux", "architecture": "amd64"}),
              layout.image(stored[-1:], {"os": "linux", "architecture": "arm64"})]
    layout.tag("oci", layout.index(images))
    docker = [layout.layer(tar, coding, DOCKER) for coding, _, tar in parts if coding == "gzip"]
    layout.tag("docker", layout.image(docker, {"os": "linux", "architecture": "amd64"}, types=DOCKER))
    layout.close()
    for (coding, _, _), (descriptor, _) in zip(parts, stored):
        link = f"{work}/blob.{coding}"
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(f"layout/blobs/sha256/{descriptor['digest'][7:]}", link)

    parts = parts[:-1]
    archive = {f"{n}/layer.tar": tar for n, (_, _, tar) in enumerate(parts)}
    config = compact({"os": "linux", "architecture": "amd64", "config": {},
                      "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for _, _, tar in parts]}})
    manifest = compact([{"Config": "config.json", "RepoTags": ["app:1"], "Layers": list(archive)}])
    with tarfile.open(work + "/archive.tar", "w") as tar:
        for name, data in {**archive, "config.json": config, "manifest.json": manifest}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


# ---- a tree as it is, and as it is shown while something fails ------------------------------------

UNLISTED = ["oci.tar", "docker.tar", "layer.tar", "changes.txt"]
ATTRIBUTES = ["user.imgfs.digest", "user.imgfs.layer", "user.note"]


def read_file(path):
    """In pieces, each once it is there."""
    file = os.open(path, os.O_RDONLY)
    try:
        while piece := os.read(file, 256 << 10):
            yield piece
    finally:
        os.close(file)


def attributes(path):
    found = {}
    for name in ATTRIBUTES:
        try:
            found[name] = os.getxattr(path, name, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise
            found[name] = None
    return found


def is_same_info(found, expected):
    """An info.json tells what is known of a layer so far."""
    found, expected = json.loads(found), json.loads(expected)
    told = {"descriptor", "history"}
    return told <= set(found) and all(found[key] == expected.get(key) for key in set(found) - {"state", "verified"})


class Tree:
    """What is below a directory: names, content, links, attributes; paths in the order in which they are visited."""

    def __init__(self, top):
        self.directories, self.files, self.links, self.attributes = {}, {}, {}, {}
        self.visit(top, "")

    def visit(self, top, directory):
        names = sorted(os.listdir(f"{top}/{directory}"))
        self.directories[directory] = names
        for name in names + UNLISTED:
            path = f"{directory}/{name}" if directory else name
            if name in UNLISTED and not os.path.lexists(f"{top}/{path}"):
                continue
            self.attributes[path] = attributes(f"{top}/{path}")
            if os.path.islink(f"{top}/{path}"):
                self.links[path] = os.readlink(f"{top}/{path}")
            elif os.path.isdir(f"{top}/{path}"):
                self.visit(top, path)
            else:
                self.files[path] = b"".join(read_file(f"{top}/{path}"))

    def compare(self, top):
        """Yields (path, what is wrong or None, errno or 0)."""
        for kind, check in (("directories", self.compare_directory), ("links", self.compare_link),
                            ("files", self.compare_file), ("attributes", self.compare_attributes)):
            for path, expected in getattr(self, kind).items():
                try:
                    yield path, check(f"{top}/{path}", expected), 0
                except OSError as error:
                    yield path, None, error.errno

    @staticmethod
    def compare_directory(path, expected):
        found = sorted(os.listdir(path))
        if not os.stat(path).st_ino:
            return "no inode number"
        return None if found == expected else f"lists {found}, not {expected}"

    @staticmethod
    def compare_link(path, expected):
        return None if os.readlink(path) == expected else "link"

    @staticmethod
    def compare_file(path, expected):
        if path.endswith("/info.json"):
            return None if is_same_info(b"".join(read_file(path)), expected) else "other information"
        if os.stat(path).st_size != len(expected):
            return f"size {os.stat(path).st_size}, not {len(expected)}"
        if not os.stat(path).st_ino:
            return "no inode number"
        offset = 0
        for piece in read_file(path):
            if piece != expected[offset:offset + len(piece)]:
                return f"{len(piece)} wrong bytes at {offset}"
            offset += len(piece)
        return None if offset == len(expected) else f"ends at {offset}"

    @staticmethod
    def compare_attributes(path, expected):
        found = attributes(path)
        return None if found == expected else f"attributes {found}, not {expected}"


# ---- one run --------------------------------------------------------------------------------------

class Failure(Exception):
    pass


class Run:
    """A directory, a cache in it, and the program with one fault or none."""

    def __init__(self, bench, scenario, fault=None):
        self.bench, self.scenario, self.fault = bench, scenario, fault
        self.directory = f"{bench.work}/run-{os.getpid()}"
        self.mnt, self.cache = self.directory + "/mnt", self.directory + "/cache"
        self.report = self.directory + "/report"
        self.said, self.printed = self.directory + "/said", self.directory + "/printed"
        self.told = collections.Counter()
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.mnt)

    def environment(self, fault):
        found = {**os.environ, "IMGFS_TORTURE_REPORT": self.report,
                 "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:log_path={self.directory}/asan",
                 "UBSAN_OPTIONS": f"{os.environ.get('UBSAN_OPTIONS', '')}:log_path={self.directory}/ubsan"}
        if fault:
            name, first, count, how = fault
            found["IMGFS_TORTURE"] = f"{name}:{first}+{count}:{how}"
        return found

    def start(self, fault, *command):
        with open(self.said, "wb") as said, open(self.printed, "wb") as printed:
            return subprocess.Popen([self.bench.program, *command], stdin=subprocess.DEVNULL, stdout=printed,
                                    stderr=said, env=self.environment(fault))

    def wait(self, process, seconds, what):
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stacks()
            raise Failure(f"{what} hangs")
        if status not in STATUSES:
            raise Failure(f"{what}: status {status}")
        return status

    def call(self, fault, *command):
        return self.wait(self.start(fault, *command), MOUNT_MAX, " ".join(command[:2]))

    def struck(self):
        """The lines of the report that tell which calls failed."""
        return [line for line in self.lines() if line.startswith("failed")]

    def made(self):
        """How many calls of each class there were: processes, of which one is the other's copy, count on."""
        counts = collections.Counter()
        for line in self.lines():
            if line.startswith("made"):
                _, name, count = line.split()
                counts[name] = max(counts[name], int(count))
        return counts

    def lines(self):
        if not os.path.exists(self.report):
            return []
        with open(self.report) as file:
            return file.read().splitlines()

    def check_sanitizers(self):
        if any(name.startswith(("asan", "ubsan")) for name in os.listdir(self.directory)):
            raise Failure("sanitizer report")

    # ---- children: the daemon becomes ours when its parent has gone ------------------------------

    @staticmethod
    def children():
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]

    def stacks(self):
        if not shutil.which("gdb"):
            return
        with open(self.directory + "/stacks", "wb") as out:
            for pid in self.children():
                subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt 14"], stdout=out,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False, timeout=60)

    def reap(self):
        """Waits for all that is left of the program."""
        limit = time.monotonic() + LEAVE_MAX
        while self.children():
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid and os.waitstatus_to_exitcode(status) not in STATUSES:
                raise Failure(f"daemon: status {os.waitstatus_to_exitcode(status)}")
            if not pid and time.monotonic() > limit:
                self.stacks()
                raise Failure("the daemon lives on after umount")
            if not pid:
                time.sleep(0.005)

    def last_words(self):
        """Of one that has ended before it was told to."""
        time.sleep(0.1)
        while self.children():
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            yield f"  a process ended with status {os.waitstatus_to_exitcode(status)}"

    def clean_up(self):
        subprocess.run(["umount", "-l", self.mnt], stderr=subprocess.DEVNULL, check=False)
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)
        while self.children():
            os.waitpid(-1, 0)
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---- reading ----------------------------------------------------------------------------------

    def in_child(self, function):
        """What function returns; it may hang, and we may not."""
        pid, result = os.fork(), self.directory + "/result"
        if not pid:
            try:
                with open(result, "w") as out:
                    json.dump(function(), out)
                os._exit(0)
            finally:
                os._exit(1)
        limit = time.monotonic() + READ_MAX
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > limit:
                self.stacks()
                raise Failure("a reader hangs")
            time.sleep(0.005)
        with open(result) as file:
            return json.load(file)

    def is_mounted(self):
        with open("/proc/self/mountinfo") as file:
            return any(line.split()[4] == self.mnt for line in file)

    def mount(self, fault):
        """False: it failed, and said why."""
        options = [f"cache_dir={self.cache}", f"log={self.directory}/log", *self.bench.options(self.scenario)]
        status = self.call(fault, self.bench.source(self.scenario), self.mnt, "-o", ",".join(options))
        if status and not os.path.getsize(self.said):
            raise Failure(f"status {status}, and not a word")
        if (status == 0) != self.is_mounted():
            raise Failure(f"status {status}, and it is {'not ' if status == 0 else ''}mounted")
        return status == 0

    def unmount(self):
        subprocess.run(["umount", self.mnt], check=True, capture_output=True)
        self.reap()
        self.check_sanitizers()

    def read(self, fault):
        """Everything is right or, while something fails, an error that could be its consequence."""
        for path, wrong, code in self.in_child(lambda: list(self.bench.trees[self.scenario].compare(self.mnt))):
            if wrong:
                raise Failure(f"{path}: {wrong}")
            if code and not fault:
                raise Failure(f"{path}: {os.strerror(code)}")
            if code and code not in TOLD:
                raise Failure(f"{path}: {os.strerror(code)}, of all errors")
            if code:
                self.told[errno.errorcode[code]] += 1

    def makes_index(self):
        return self.scenario.startswith("index")

    def command(self, fault):
        """The same as without a fault, or a status that says that it is not, or a word about what is not."""
        words, output = self.bench.command(self.scenario, self.cache)
        status = self.call(fault, *words)
        self.check_sanitizers()
        if status:
            self.told[f"status {status}"] += 1
        if status and not os.path.getsize(self.said) + os.path.getsize(self.printed):
            raise Failure(f"status {status}, and not a word")
        expected = self.bench.outputs[self.scenario]
        found = output(self.printed)
        if status == 0 and found != expected and not (os.path.getsize(self.said) and not self.makes_index()):
            raise Failure(f"{found!r}, not {expected!r}")
        if status and self.makes_index() and found is not None:
            raise Failure("left a file behind")


# ---- all runs -------------------------------------------------------------------------------------

def digests_of(path):
    """Files beside each other, made by `imgfs index`; None: not one."""
    found = {}
    for name in ("made", "made.spool"):
        file = os.path.join(os.path.dirname(path), "cache", name)
        if os.path.exists(file):
            with open(file, "rb") as content:
                found[name] = hashlib.sha256(content.read()).hexdigest()
    return found or None


def entries_of(path):
    with open(path, "rb") as file:
        data = file.read()
    return data and sorted([entry["kind"], entry["digest"], entry["size"], *entry["names"]]
                           for entry in json.loads(data)["entries"])


def text_of(path):
    with open(path) as file:
        return file.read()


class Bench:
    """What all runs share."""

    MOUNTS = ["cold", "warm", "layout", "archive"]
    COMMANDS = ["index-gzip", "index-zstd", "list", "verify", "prune"]

    def __init__(self, work, registry, program, sample, one_class, seed):
        self.work, self.registry, self.program = work, registry, program
        self.sample, self.seed = sample, seed
        self.faults = {name: faults for name, faults in FAULTS.items() if one_class in ("", name)}
        self.trees, self.outputs, self.made = {}, {}, {}

    def source(self, scenario):
        return {"layout": f"oci:{self.work}/layout", "archive": f"docker-archive:{self.work}/archive.tar"}.get(
            scenario, f"docker://{self.registry}/app")

    def options(self, scenario):
        if scenario in ("layout", "archive"):
            return ["log_level=info"]
        return ["log_level=info", "retries=1", "stall_timeout=5s", "connect_timeout=5s",
                f"authfile={self.work}/auth.json", f"registries_conf={self.work}/registries.conf"]

    def command(self, scenario, cache):
        if scenario.startswith("index"):
            return ["index", f"{self.work}/blob.{scenario[6:]}", "-o", cache + "/made"], digests_of
        words = ["cache", scenario, "-o", f"cache_dir={cache}"]
        return (words + ["--json"], entries_of) if scenario == "list" else (words, text_of)

    def fill(self, run):
        """A cache as the scenario finds it."""
        if run.scenario in ("warm", "list", "verify", "prune"):
            shutil.copytree(self.work + "/filled", run.cache)
        else:
            os.mkdir(run.cache, 0o700)

    def one(self, scenario, fault):
        """Returns (what was wrong or None, whether a call failed, what was told of it)."""
        run = Run(self, scenario, fault)
        wrong = None
        try:
            try:
                self.fill(run)
                if scenario in self.COMMANDS:
                    run.command(fault)
                elif run.mount(fault):
                    run.read(fault)
                    run.unmount()
                else:
                    run.told["no mount"] += 1
                    run.reap()
                    run.check_sanitizers()
                if fault and run.struck():
                    self.afterwards(run)
            except (Failure, subprocess.CalledProcessError, OSError, ValueError) as error:
                wrong = self.explain(run, error)
            return wrong, bool(run.struck()), run.told
        finally:
            run.clean_up()

    def afterwards(self, run):
        """Over what is left of the cache everything is right."""
        if run.makes_index():
            return
        reader = copy.copy(run)
        reader.scenario = run.scenario if run.scenario in self.MOUNTS else "warm"
        try:
            if not reader.mount(None):
                raise Failure("no mount")
            reader.read(None)
            reader.unmount()
            if reader.call(None, "cache", "verify", "-o", f"cache_dir={run.cache}"):
                raise Failure("imgfs cache verify")
        except Failure as error:
            raise Failure(f"afterwards: {error}") from error

    def explain(self, run, error):
        """All that there is to know, for it will be gone."""
        name, first, more, how = run.fault
        text = [f"{name}:{first}+{more}:{how} {run.scenario}: {error}"]
        text += run.last_words()
        for line in run.struck()[:3]:
            text.append(f"  {line}")
            file, address = line.split()[3:5]
            if file == self.program:
                where = subprocess.run(["addr2line", "-sfipe", file, address], capture_output=True, text=True,
                                       check=False)
                text += ["    " + name for name in where.stdout.splitlines()]
        for name in sorted(os.listdir(run.directory)):
            if name.startswith(("asan", "ubsan", "said", "printed", "stacks", "log")):
                with open(f"{run.directory}/{name}", errors="replace") as file:
                    lines = [line.rstrip() for line in file if name != "stacks" or re.match(r"Thread|#.* at \.\./", line)]
                    text += [f"  {name}:"] + ["    " + line for line in lines[:60]]
        return "\n".join(text)

    def prepare(self, scenarios):
        """Without faults: what there is to see, that it is the truth, and how many calls it takes."""
        for scenario in self.MOUNTS:
            if scenario not in scenarios and scenario not in ("cold", "warm"):  # the cache of all is theirs
                continue
            run = Run(self, scenario)
            try:
                self.fill(run)
                if not run.mount(None):
                    raise Failure(text_of(run.said))
                self.trees[scenario] = Tree(run.mnt)
                run.unmount()
                self.made[scenario] = run.made()
                self.check_truth(scenario)
                if scenario == "cold":
                    shutil.copytree(run.cache, self.work + "/filled")
            finally:
                run.clean_up()
        for scenario in self.COMMANDS:
            if scenario not in scenarios:
                continue
            run = Run(self, scenario)
            try:
                self.fill(run)
                words, output = self.command(scenario, run.cache)
                if run.call(None, *words):
                    raise Failure(f"{scenario}: {text_of(run.said)}")
                self.outputs[scenario] = output(run.printed)
                self.made[scenario] = run.made()
            finally:
                run.clean_up()

    def check_truth(self, scenario):
        parts, tree = layers(), self.trees[scenario]
        tops = {"cold": "oci/linux_amd64", "warm": "oci/linux_amd64", "layout": "oci/linux_amd64",
                "archive": "app/_tags/1/linux_amd64"}
        top = tops[scenario] + "/rootfs/"
        found = {path[len(top):]: data for path, data in tree.files.items() if path.startswith(top)}
        if found != merged(parts[:-1]):
            raise Failure(f"{scenario}: rootfs holds {sorted(found)}")
        for path, data in tree.files.items():
            if "/blobs/sha256/" in path and hashlib.sha256(data).hexdigest() != os.path.basename(path):
                raise Failure(f"{scenario}: {path}")

    def choose(self, scenarios):
        """Pairs of a scenario and a fault."""
        if ":" in self.sample:
            name, first, more, how = re.fullmatch(r"(\w+):(\d+)\+(\d+):(\w+)", self.sample).groups()
            return [(scenario, (name, int(first), int(more), how)) for scenario in scenarios]
        return list(self.draw(scenarios, int(self.sample)))

    def draw(self, scenarios, sample):
        rng = random.Random(self.seed)
        for scenario in scenarios:
            for name, faults in self.faults.items():
                count = self.made[scenario][name]
                if not sample:
                    for first in range(1, count + 1):
                        for more, how in faults:
                            yield scenario, (name, first, more, how)
                    continue
                # One of each part, so that the beginning and the end have their share.
                few = min(sample, count)
                for part in range(few):
                    first = rng.randint(part * count // few + 1, (part + 1) * count // few)
                    yield scenario, (name, first, *rng.choice(faults))

    def run(self, scenarios):
        scenarios = scenarios or self.MOUNTS + self.COMMANDS
        self.prepare(scenarios)
        tasks = self.choose(scenarios)
        random.Random(self.seed).shuffle(tasks)
        counts, told = collections.Counter(), collections.defaultdict(collections.Counter)
        failures = 0
        with multiprocessing.Pool(WORKERS, adopt) as pool:
            for (scenario, fault), (wrong, struck, heard) in pool.imap_unordered(Task(self), tasks):
                counts[scenario, fault[0]] += 1
                counts[scenario, fault[0], "struck"] += struck
                told[fault[0]] += heard
                if wrong:
                    failures += 1
                    print("FAIL", wrong, flush=True)
        for scenario in scenarios:
            print(f"# {scenario}:", ", ".join(
                f"{name} {counts[scenario, name]} of {self.made[scenario][name]}"
                for name in self.faults if self.made[scenario][name]))
        for name in told:
            print(f"# told of {name}:", ", ".join(f"{what} {n}" for what, n in told[name].most_common()) or "nothing")
        struck = sum(n for key, n in counts.items() if len(key) == 3)
        print(f"# {len(tasks)} runs, {struck} of them with a call that failed; {failures} failures")
        return not failures and struck > len(tasks) / 2


class Task:
    def __init__(self, bench):
        self.bench = bench

    def __call__(self, task):
        return task, self.bench.one(*task)


def adopt():
    """Whose parent has gone becomes our child."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


if sys.argv[1] == "make":
    make(sys.argv[2])
else:
    adopt()
    bench = Bench(*sys.argv[2:8])
    sys.exit(0 if bench.run(sys.argv[8:]) else 1)
