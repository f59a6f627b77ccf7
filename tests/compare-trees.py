#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two directory trees entry by entry: compare-trees.py [OPTIONS] A B

Names, types, modes, owners, modification times, link targets, device numbers, extended attributes,
which names are hard links of each other, and content.  Prints what differs (at most 20 lines) and
exits 1; exits 0 if nothing does.
"""
import argparse
import hashlib
import os
import stat
import sys


def walk(top):
    """Relative path -> lstat result, of everything under top and top itself (".").

    A root that is fetched on entry shows its own attributes once somebody has been inside."""
    os.listdir(top)
    found = {".": os.lstat(top)}
    pending = ["."]
    while pending:
        relative = pending.pop()
        with os.scandir(os.path.join(top, relative)) as entries:
            for entry in entries:
                path = os.path.normpath(os.path.join(relative, entry.name))
                found[path] = os.lstat(os.path.join(top, path))
                if stat.S_ISDIR(found[path].st_mode):
                    pending.append(path)
    return found


def link_groups(entries):
    """Path -> the sorted names of the same file, for files with more than one name in the tree."""
    groups = {}
    for path, status in entries.items():
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            groups.setdefault((status.st_dev, status.st_ino), []).append(path)
    return {path: sorted(names) for names in groups.values() if len(names) > 1 for path in names}


def attributes(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def content(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def facts(top, path, status, links, options):
    """What must be equal, as name -> value."""
    full = os.path.join(top, path)
    kind = stat.S_IFMT(status.st_mode)
    result = {"type": oct(kind)}
    if path == "." and options.skip_root:
        return result
    if kind != stat.S_IFLNK:
        result["mode"] = oct(stat.S_IMODE(status.st_mode))
    result["owner"] = (status.st_uid, status.st_gid)
    if not (kind == stat.S_IFDIR and options.skip_directory_times):
        result["mtime"] = (status.st_mtime_ns if options.nanoseconds
                           else status.st_mtime_ns // 10**9)
    if kind == stat.S_IFLNK:
        result["target"] = os.readlink(full)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        result["device"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    if kind == stat.S_IFREG:
        result["size"] = status.st_size
        result["content"] = content(full)
    if not options.skip_links:
        result["links"] = links.get(path)
    if not options.skip_xattrs:
        result["xattrs"] = attributes(full)
    return result


def differences(options):
    a, b = walk(options.a), walk(options.b)
    links_a, links_b = link_groups(a), link_groups(b)
    for path in sorted(a.keys() | b.keys()):
        if path not in b:
            yield f"{path!r} is only in {options.a}"
        elif path not in a:
            yield f"{path!r} is only in {options.b}"
        else:
            facts_a = facts(options.a, path, a[path], links_a, options)
            facts_b = facts(options.b, path, b[path], links_b, options)
            for key in sorted(facts_a.keys() | facts_b.keys()):
                if facts_a.get(key) != facts_b.get(key):
                    yield f"{path!r}: {key} {facts_a.get(key)!r} and {facts_b.get(key)!r}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--nanoseconds", action="store_true", help="compare times to the end")
    parser.add_argument("--skip-root", action="store_true", help="the top's own attributes")
    parser.add_argument("--skip-directory-times", action="store_true")
    parser.add_argument("--skip-links", action="store_true")
    parser.add_argument("--skip-xattrs", action="store_true")
    options = parser.parse_args()
    count = 0
    for count, line in enumerate(differences(options), 1):
        if count <= 20:
            print(line.encode(errors="backslashreplace").decode())
    if count:
        sys.exit(f"{count} differences between {options.a} and {options.b}")


if __name__ == "__main__":
    main()
