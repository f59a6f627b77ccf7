# SPDX-License-Identifier: Apache-2.0
"""measure -- clocks, processor time, memory and caches; and contenders that take turns.

Seconds and bytes everywhere.  A peer that cannot be measured gives a Missing, which says why, in
the place of its figures.
"""
import contextlib
import functools
import os
import resource
import signal
import statistics
import subprocess
import tempfile
import time

PATIENCE = 900              # seconds that one turn of a contender may take


class Missing(str):
    """Why there is no figure."""


class CommandFailed(Exception):
    """With what the command said last."""


FAILURES = (CommandFailed, OSError, subprocess.SubprocessError)


def needing(contender, *needs):
    """The contender; or the first of its needs that is missing."""
    return next((need for need in needs if isinstance(need, Missing)), contender)


def run(command, good=(0,), output=subprocess.DEVNULL, **more):
    """Runs a command; returns its wall and processor time, that of its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, **more)
        wall = time.perf_counter() - begin
        if done.returncode not in good:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            raise CommandFailed(f"{command[0]} exited with {done.returncode}: {' / '.join(said[-3:])}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": wall,
            "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def text_of(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, check=True, text=True).stdout.strip()


def cpu_of(pid):
    """Processor time that a process has used so far."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid):
    """Resident bytes of its own; mapped files are the kernel's to drop."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} has no memory")


def drop_caches(what):
    """1: what the kernel keeps of files' content, as far as it is on disk; 2: of names and attributes."""
    with contextlib.suppress(OSError), open("/proc/sys/vm/drop_caches", "w") as control:
        control.write(str(what))


def warm(*paths):
    """Reads files whole, so that what is measured is not the disk below."""
    for path in paths:
        with open(path, "rb", buffering=0) as source:
            while source.read(1 << 20):
                pass


def read_times(path, offsets, length=4096):
    """How long each of these reads takes, without read-ahead by the kernel."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        times = []
        for offset in offsets:
            begin = time.perf_counter()
            os.pread(file, length, offset)
            times.append(time.perf_counter() - begin)
        return times
    finally:
        os.close(file)


def remove(path):
    """A directory and what is in it; nothing that should still be mounted there."""
    run(["rm", "-rf", "--one-file-system", path])


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


@contextlib.contextmanager
def patience(seconds=PATIENCE):
    """What takes longer ends in a TimeoutError.  May be nested."""
    def give_up(*_):
        raise TimeoutError(f"gave up after {seconds} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    begin = time.monotonic()
    left = signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(left and max(1, left - int(time.monotonic() - begin)))
        signal.signal(signal.SIGALRM, previous)


def for_a_peer(make):
    """Decorates what makes something that only a peer needs: it failing makes the peer missing."""
    @functools.wraps(make)
    def attempt(*arguments):
        try:
            with patience():
                return make(*arguments)
        except FAILURES as error:
            return Missing(f"{make.__name__} failed: {error}")
    return attempt


def by_turns(rounds, contenders):
    """Lets contenders {name: callable or Missing} run one after the other, several rounds.

    Each call returns {figure: value}; the result is {name: {figure: median} or Missing}.  A peer's
    failure makes it missing.  imgfs may not fail.
    """
    samples = {name: [] for name in contenders}
    missing = {name: why for name, why in contenders.items() if isinstance(why, Missing)}
    for _ in range(rounds):
        for name, contender in contenders.items():
            if name in missing:
                continue
            try:
                with patience():
                    samples[name].append(contender())
            except FAILURES as error:
                if name.startswith("imgfs"):
                    raise
                missing[name] = Missing(f"{name} failed: {error}")
    return {name: missing.get(name) or medians(samples[name]) for name in contenders}


def medians(samples):
    return {figure: statistics.median(sample[figure] for sample in samples)
            for figure in samples[0]}


def figure(result, name):
    """One figure of a contender's result; or why there is none."""
    return result if isinstance(result, Missing) else result[name]
