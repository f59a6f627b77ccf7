# SPDX-License-Identifier: Apache-2.0
"""servers -- a registry on the loopback interface, near or far."""
import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request

from mounts import started, wait_until

ROUND_TRIP = 0.05           # seconds
RATE = 100e6 / 8            # bytes a second


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(host):
    try:
        with urllib.request.urlopen(f"http://{host}/v2/", timeout=5):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def registry(storage):
    """Debian's docker-registry with what lies in storage; yields host:port."""
    port = free_port()
    host = f"127.0.0.1:{port}"
    os.makedirs(storage, exist_ok=True)
    with open(f"{storage}/config.yml", "w") as config:
        config.write(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                     f"storage: {{filesystem: {{rootdirectory: {storage}}}}}\n"
                     f"http: {{addr: '{host}'}}\n")
    with started("docker-registry", "serve", f"{storage}/config.yml"):
        wait_until(lambda: answers(host), "the registry")
        yield host


class Wan:
    """wan.py in front of a registry."""

    def __init__(self, port, control_port):
        self.host = f"127.0.0.1:{port}"
        self.control = f"http://127.0.0.1:{control_port}"

    def ask(self, method, what):
        request = urllib.request.Request(f"{self.control}/{what}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def far(self):
        """From here on it is far, and everything is counted from nothing."""
        self.ask("POST", f"link?rtt={ROUND_TRIP * 1000}&mbit={RATE * 8 / 1e6}")
        self.ask("POST", "reset")

    def stats(self):
        return self.ask("GET", "stats")


@contextlib.contextmanager
def wan(host):
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wan.py")
    with started(sys.executable, program, host.split(":")[1], stdout=subprocess.PIPE) as process:
        yield Wan(*map(int, process.stdout.readline().split()))
