#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs what README.md shows: readme.py [--record] FILE

Fenced blocks marked "console" hold commands behind "$ " (one that ends in a backslash goes on in
the next line), each with what it prints.  All of them run in one shell, one after the other, in the
current directory and on a terminal of 100 columns; what they print has to be what FILE shows.

Tables below a line "| command | requests | bytes |" hold commands in their first column: these are
left to readme.py --table FILE, which prints them, a line each, and to --table FILE REPORT, which
compares the other columns with those of REPORT ("REQUESTS<TAB>BYTES", a line each).

With --record, FILE is written anew with what was printed, or with REPORT.
"""
import difflib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading

COLUMNS = 100
SECONDS = 60    # for all of it
MARK = "\x02%d\x03"


def console_blocks(lines):
    """(first, last) of each block: the lines between its fences, as a range."""
    first = None
    for number, line in enumerate(lines):
        if first is None and line == "```console":
            first = number + 1
        elif first is not None and line == "```":
            yield first, number
            first = None


def split(block):
    """[(command lines, output lines)] of a block."""
    steps = []
    for line in block:
        if line.startswith("$ "):
            steps.append(([line], []))
        elif not steps:
            sys.exit(f"no command before '{line}'")
        elif not steps[-1][1] and steps[-1][0][-1].endswith("\\"):
            steps[-1][0].append(line)
        else:
            steps[-1][1].append(line)
    return steps


def run(commands):
    """What each command printed, as lines."""
    script = "".join(f"{command}\nprintf '{MARK % n}'\n" for n, command in enumerate(commands))
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        shell = subprocess.Popen(["bash", "--norc", "--noprofile", file.name], stdin=subprocess.DEVNULL,
                                 stdout=slave, stderr=slave, start_new_session=True)
        timer = threading.Timer(SECONDS, shell.kill)
        timer.start()
        os.close(slave)
        text = b""
        last = (MARK % (len(commands) - 1)).encode()
        while last not in text:
            try:
                piece = os.read(master, 65536)
            except OSError:     # nobody has the other end any more
                break
            if not piece:
                break
            text += piece
        shell.wait()
        timer.cancel()
    pieces = re.sub("\x1b\\[[0-9;]*m", "", text.decode()).replace("\r\n", "\n")
    outputs = []
    for n in range(len(commands)):
        output, found, pieces = pieces.partition(MARK % n)
        if not found:
            sys.exit(f"the shell ended in: {commands[n]}\n{output}")
        outputs.append(output.expandtabs().splitlines())
    return outputs


def console(lines):
    """The lines of a file with what its commands print today."""
    blocks = list(console_blocks(lines))
    steps = [split(lines[first:last]) for first, last in blocks]
    commands = ["\n".join(command)[2:] for block in steps for command, _ in block]
    outputs = iter(run(commands))
    result, at = [], 0
    for (first, last), block in zip(blocks, steps):
        result += lines[at:first]
        for command, _ in block:
            result += command + next(outputs)
        at = last
    return result + lines[at:]


def table_rows(lines):
    """The number of each line that is a row."""
    inside = False
    for number, line in enumerate(lines):
        inside = line.startswith("| command | requests |") or inside and line.startswith("|")
        if inside and line.startswith("| `"):
            yield number


def command(row):
    return re.match(r"\| `([^`]*)`", row).group(1)


def with_report(lines, report):
    result = list(lines)
    numbers = list(table_rows(lines))
    if len(numbers) != len(report):
        sys.exit(f"{len(numbers)} rows, and {len(report)} measured")
    for number, measured in zip(numbers, report):
        cells = result[number].split(" | ")
        result[number] = " | ".join(cells[:1] + measured.split("\t") + cells[3:])
    return result


def main():
    arguments = sys.argv[1:]
    record = "--record" in arguments
    table = "--table" in arguments
    files = [argument for argument in arguments if not argument.startswith("-")]
    with open(files[0], encoding="utf-8") as file:
        lines = file.read().splitlines()
    if table and len(files) == 1:
        for number in table_rows(lines):
            print(command(lines[number]))
        return
    if table:
        with open(files[1], encoding="utf-8") as file:
            now = with_report(lines, file.read().splitlines())
    else:
        now = console(lines)
    if record:
        with open(files[0], "w", encoding="utf-8") as file:
            file.write("\n".join(now) + "\n")
    elif now != lines:
        for line in difflib.unified_diff(lines, now, files[0], "printed", lineterm="", n=2):
            print(line)
        sys.exit(1)


if __name__ == "__main__":
    main()
