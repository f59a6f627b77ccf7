#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares a directory with bsdtar's idea of an archive: compare-mtree.py MTREE DIR [EXTRACTED]

MTREE is what `bsdtar -cf - --format=mtree @ARCHIVE` prints.  The directory must hold exactly these
names, parents that the archive only implies aside; what a line does not say is not compared.
With EXTRACTED, what bsdtar made of the same archive on disk, content is compared with that: of
sparse files and hard links an mtree tells sizes and digests that no extraction has.
"""
import hashlib
import os
import re
import stat
import sys

KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "link": stat.S_IFLNK, "char": stat.S_IFCHR,
         "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}


def unescape(text):
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), text)


def parse(path):
    """Normalised name -> {keyword: value}; a later line for one name replaces an earlier one."""
    entries = {}
    with open(path, "rb") as lines:
        for line in lines:
            words = line.split()
            if not words or line.startswith((b"#", b"/set")):
                continue
            name = os.path.normpath(unescape(words[0]).lstrip(b"/") or b".")
            entries[name] = {key.decode(): value for key, _, value in
                             (word.partition(b"=") for word in words[1:])}
    return entries


def names_below(top):
    """Every name under top -> is it a directory."""
    found, pending = {}, [b"."]
    while pending:
        relative = pending.pop()
        with os.scandir(os.path.join(top, relative)) as listing:
            for entry in listing:
                path = os.path.normpath(os.path.join(relative, entry.name))
                found[path] = entry.is_dir(follow_symlinks=False)
                if found[path]:
                    pending.append(path)
    return found


def content(path):
    with open(path, "rb") as source:
        return source.read()


def check(path, wanted, extracted):
    """Yields what differs between one file and its line."""
    status = os.lstat(path)
    kind = KINDS[wanted["type"].decode()] if "type" in wanted else stat.S_IFREG
    if stat.S_IFMT(status.st_mode) != kind:
        yield f"type {stat.filemode(status.st_mode)}, expected {wanted['type']}"
        return
    numbers = {"uid": status.st_uid, "gid": status.st_gid}
    for key, value in numbers.items():
        if key in wanted and int(wanted[key]) != value:
            yield f"{key} {value}, expected {wanted[key].decode()}"
    if "mode" in wanted and kind != stat.S_IFLNK:
        if int(wanted["mode"], 8) != stat.S_IMODE(status.st_mode):
            yield f"mode {stat.S_IMODE(status.st_mode):o}, expected {wanted['mode'].decode()}"
    if "time" in wanted:
        seconds, _, nanoseconds = wanted["time"].partition(b".")
        if (status.st_mtime_ns // 10**9, status.st_mtime_ns % 10**9) != \
                (int(seconds), int(nanoseconds or 0)):
            yield f"mtime {status.st_mtime_ns}, expected {wanted['time'].decode()}"
    if "link" in wanted and kind == stat.S_IFLNK:
        if os.readlink(path) != unescape(wanted["link"]):
            yield f"target {os.readlink(path)!r}, expected {wanted['link']!r}"
    if "device" in wanted:
        major, minor = wanted["device"].split(b",")[-2:]
        if (os.major(status.st_rdev), os.minor(status.st_rdev)) != (int(major), int(minor)):
            yield f"device {status.st_rdev:#x}, expected {wanted['device'].decode()}"
    if extracted and kind == stat.S_IFREG:
        if os.path.exists(extracted) and content(path) != content(extracted):
            yield "content differs from what was extracted"
    # A hard link's line has neither a digest nor a size of its own.
    elif "sha256digest" in wanted and kind == stat.S_IFREG:
        data = content(path)
        if len(data) != int(wanted["size"]) or status.st_size != len(data):
            yield f"size {status.st_size}, read {len(data)}, expected {wanted['size'].decode()}"
        if hashlib.sha256(data).hexdigest() != wanted["sha256digest"].decode():
            yield "content differs"


def differences(entries, top, extracted):
    found = names_below(top)
    implied = {os.path.dirname(name) for name in entries}
    for name in list(implied):
        while name := os.path.dirname(name):
            implied.add(name)
    for name, is_directory in sorted(found.items()):
        if name not in entries and not (is_directory and name in implied):
            yield name, "is not in the archive"
    for name, wanted in sorted(entries.items()):
        if name == b"." or name.startswith((b"..", b"/")):
            continue
        if name not in found:
            yield name, "is missing"
            continue
        other = extracted and os.path.join(extracted, name)
        for text in check(os.path.join(top, name), wanted, other):
            yield name, text


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: compare-mtree.py MTREE DIR [EXTRACTED]")
    extracted = os.fsencode(sys.argv[3]) if len(sys.argv) == 4 else None
    count = 0
    for count, (name, text) in enumerate(
            differences(parse(sys.argv[1]), os.fsencode(sys.argv[2]), extracted), 1):
        if count <= 20:
            print(f"{name!r}: {text}")
    if count:
        sys.exit(f"{count} differences between {sys.argv[1]} and {sys.argv[2]}")


if __name__ == "__main__":
    main()
