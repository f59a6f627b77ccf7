# SPDX-License-Identifier: Apache-2.0
"""mounts -- imgfs and its peers as mounts that end with their `with`."""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

from measure import Missing, cpu_of, memory_of, run

END_PATIENCE = 30           # seconds for a daemon to go, or a mount to come


def wait_until(condition, what):
    deadline = time.monotonic() + END_PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up waiting for {what}")
        time.sleep(0.01)


def is_gone(pid):
    """Zombies count as gone: their parent may take its time."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextlib.contextmanager
def mount_point(bench):
    """A directory for one mount, which ends with it."""
    directory = tempfile.mkdtemp(prefix="mnt.", dir=bench.work)
    try:
        yield directory
    finally:
        if os.path.ismount(directory):
            done = subprocess.run(["umount", directory], stderr=subprocess.DEVNULL, check=False)
            if done.returncode:
                subprocess.run(["umount", "-l", directory], stderr=subprocess.DEVNULL, check=False)
        os.rmdir(directory)


@contextlib.contextmanager
def mounted(bench, *command):
    """A peer's mount; command takes the directory as its last argument, and ends once it is there."""
    with mount_point(bench) as directory:
        run([*command, directory])
        wait_until(lambda: os.path.ismount(directory), command[0])
        yield directory


@contextlib.contextmanager
def started(*command, **more):
    """A program that serves until it is told to end."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               **{"stdout": subprocess.DEVNULL, **more})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


class Imgfs:
    """One mount: .path, .pid, .mounting (what the command took), and what it has cost so far."""

    def __init__(self, path, mounting):
        self.path, self.mounting = path, mounting
        with open(f"{path}/.imgfs/pid") as pid:
            self.pid = int(pid.read())

    def cpu(self):
        return cpu_of(self.pid)

    def memory(self):
        return memory_of(self.pid)


@contextlib.contextmanager
def imgfs(bench, source, cache, *options, program=None):
    """Yields a function that mounts, once, and returns the Imgfs."""
    daemons = []

    def mount():
        mounting = run([program or bench.imgfs, source, directory, "-o",
                        ",".join([f"cache_dir={cache}", "cache_size=100G", *options])])
        daemons.append(Imgfs(directory, mounting))
        return daemons[-1]

    try:
        with mount_point(bench) as directory:
            yield mount
    finally:
        for daemon in daemons:
            wait_until(lambda pid=daemon.pid: is_gone(pid), "imgfs to end")


def tool(name):
    """The path of a program, or why it is missing."""
    return shutil.which(name) or Missing(f"no {name}")
