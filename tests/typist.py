#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Types into a shell on a terminal: typist.py FILE PROMPT SHELL [ARGUMENT...]

Each line of the input is typed when PROMPT has appeared and what was typed before has had its effect: a
further line in FILE.  "\\t" is the tabulator; Enter follows by itself.  Ends with 1 when there is no effect
for ten seconds, and then shows what was on the terminal."""
import os
import pty
import select
import sys
import time

WAIT = 10.0


def lines(path):
    try:
        with open(path, "rb") as file:
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0


class Terminal:
    def __init__(self, arguments):
        self.shown = b""
        pid, self.fd = pty.fork()
        if not pid:
            os.execvp(arguments[0], arguments)
        self.pid = pid

    def wait_until(self, has_happened):
        """Reads what is shown meanwhile, or the shell would wait for us."""
        end = time.monotonic() + WAIT
        while not has_happened():
            if time.monotonic() > end:
                return False
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    self.shown += os.read(self.fd, 65536)
                except OSError:
                    return has_happened()
        return True

    def type(self, keys):
        os.write(self.fd, keys)

    def end(self):
        os.close(self.fd)  # hangs up
        os.waitpid(self.pid, 0)


def main():
    path, prompt, arguments = sys.argv[1], sys.argv[2].encode(), sys.argv[3:]
    terminal = Terminal(arguments)
    complaint = None
    if not terminal.wait_until(lambda: prompt in terminal.shown):
        complaint = "no prompt"
    for number, keys in enumerate(sys.stdin.read().splitlines()):
        if complaint:
            break
        terminal.type(keys.replace("\\t", "\t").encode() + b"\r")
        if not terminal.wait_until(lambda: lines(path) > number):
            complaint = f"no effect of: {keys}"
    terminal.end()
    if complaint:
        sys.exit(f"{complaint}\n{terminal.shown[-2000:]!r}")


main()
