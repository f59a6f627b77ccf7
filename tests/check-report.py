#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is a report of `imgfs report` right?  check-report.py LAYOUT REF REPORT.json [REPORT.html]

The figures are computed again, from the blobs of the OCI layout by Python's tarfile.  The page has to be
XML, to refer to nothing, and to show the figures: the area of each layer in the map, the names in the table.
Prints each difference; exit status 1 when there is one.
"""
import gzip
import io
import json
import os
import sys
import tarfile
import xml.dom.minidom

differences = []


def same(what, found, wanted):
    if found != wanted:
        differences.append(f"{what}: {found!r}, expected {wanted!r}")


class File:
    """A regular file of a layer, under one name or several."""

    def __init__(self, size, layer):
        self.size, self.layer, self.names = size, layer, []


class Name:
    """One name of a file, from when a layer puts it there until another one takes it away."""

    def __init__(self, path, file):
        self.path, self.file, self.end, self.how = path, file, None, None
        file.names.append(self)


def split(name):
    return tuple(part for part in os.fsencode(name).split(b"/") if part not in (b"", b"."))


class Layer:
    """What an archive holds: entries by path, and the paths that it takes away."""

    def __init__(self, number, plain):
        self.entries, self.whiteouts, self.opaque = {(): ("directory", None)}, set(), set()
        with tarfile.open(fileobj=io.BytesIO(plain), errors="surrogateescape") as archive:
            for member in archive:
                self.add(number, split(member.name), member)

    def add(self, number, path, member):
        for depth in range(1, len(path)):
            self.entries.setdefault(path[:depth], ("directory", None))
        if path and path[-1] == b".wh..wh..opq":
            self.opaque.add(path[:-1])
        elif path and path[-1].startswith(b".wh..wh."):
            pass
        elif path and path[-1].startswith(b".wh."):
            self.whiteouts.add(path[:-1] + (path[-1][4:],))
        elif member.isdir():
            self.entries[path] = ("directory", (member.mode, member.uid, member.gid))
        elif member.islnk():
            self.entries[path] = self.entries[split(member.linkname)]
        elif member.isreg():
            self.entries[path] = ("file", File(member.size, number))
        else:
            self.entries[path] = ("other", None)

    def hides(self, path):
        """Is what lower layers have at the path gone, before this layer puts anything there?"""
        return any(path[:depth] in self.opaque for depth in range(len(path))) or any(
            path[:depth] in self.whiteouts for depth in range(1, len(path) + 1))

    def replaces(self, path):
        """Has this layer something at the path, or no directory above it, that ends a file there?"""
        return path in self.entries or any(
            self.entries.get(path[:depth], ("directory",))[0] != "directory"
            for depth in range(1, len(path)))


def children(entries):
    below = {}
    for path in entries:
        if path:
            below.setdefault(path[:-1], set()).add(path[-1])
    return below


def changes(layer, lower):
    """How many A, M and D lines changes.txt has, by what imgfs(5) says of it."""
    count = {"A": 0, "M": 0, "D": 0}
    own, below = children(layer.entries), children(lower)

    def visit(directory, has_lower):
        names = own.get(directory, set())
        there = below.get(directory, set()) if has_lower else set()
        count["D"] += sum(1 for name in there - names if directory in layer.opaque
                          or directory + (name,) in layer.whiteouts)
        for name in names:
            path = directory + (name,)
            kind, attributes = layer.entries[path]
            is_there = name in there and directory not in layer.opaque
            same_kind = is_there and kind == "directory" == lower[path][0]
            if not is_there:
                count["A"] += 1
            elif not same_kind or (attributes and attributes != lower[path][1]):
                count["M"] += 1
            if kind == "directory":
                visit(path, same_kind and path not in layer.whiteouts)

    visit((), True)
    return count


def apply(layer, number, visible, names):
    """Puts a layer over what is visible."""
    for path in [p for p in visible if p and (layer.hides(p) or layer.replaces(p))]:
        kind, _ = visible[path]
        own = layer.entries.get(path, ("",))[0]
        if kind == "directory" == own and not layer.hides(path):
            continue
        if kind == "file":
            name = names[path][-1]
            name.end, name.how = number, "overwritten" if own == "file" else "deleted"
        del visible[path]
    for path, (kind, what) in layer.entries.items():
        if kind == "directory" and what is None and path in visible:
            continue
        visible[path] = (kind, what)
        if kind == "file":
            names.setdefault(path, []).append(Name(path, what))


def counting(file):
    """The name that a file counts under: the one that stays longest, the first of those."""
    return min(file.names, key=lambda name: (-(name.end or sys.maxsize), name.path))


def blob(layout, digest):
    with open(os.path.join(layout, "blobs", *digest.split(":")), "rb") as file:
        return file.read()


def image(layout, ref):
    with open(os.path.join(layout, "index.json"), encoding="utf-8") as file:
        entries = json.load(file)["manifests"]
    digest = next(entry["digest"] for entry in entries
                  if entry["annotations"]["org.opencontainers.image.ref.name"] == ref)
    manifest = json.loads(blob(layout, digest))
    return digest, manifest, json.loads(blob(layout, manifest["config"]["digest"]))


def figures(layout, ref):
    digest, manifest, config = image(layout, ref)
    visible, names, layers = {}, {}, []
    for number, descriptor in enumerate(manifest["layers"], 1):
        stored = blob(layout, descriptor["digest"])
        plain = gzip.decompress(stored) if stored[:2] == b"\x1f\x8b" else stored
        layer = Layer(number, plain)
        count = changes(layer, visible)
        apply(layer, number, visible, names)
        layers.append({"number": number, "digest": descriptor["digest"],
                       "diff_id": config["rootfs"]["diff_ids"][number - 1],
                       "created": config["history"][number - 1]["created"],
                       "created_by": config["history"][number - 1]["created_by"] or None,
                       "stored_size": len(stored), "plain_size": len(plain),
                       "added": count["A"], "modified": count["M"], "deleted": count["D"],
                       "files": 0, "file_bytes": 0, "wasted_bytes": 0})
    wasted, kept, smallest = [], [], 0
    for path, list_ in names.items():
        counted = [name for name in list_ if counting(name.file) is name]
        smallest += min((0 if name.how == "deleted" else name.file.size for name in counted),
                        default=0)
        for name in counted:
            own = layers[name.file.layer - 1]
            own["files"] += 1
            own["file_bytes"] += name.file.size
            own["wasted_bytes"] += name.file.size if name.end else 0
            (wasted if name.end else kept).append(name)
    rows = sorted((name for name in wasted if name.file.size),
                  key=lambda name: (-name.file.size, name.file.layer, name.path))
    file_bytes = sum(layer["file_bytes"] for layer in layers)
    return {"schema": 1, "digest": digest, "platform": f"{config['os']}/{config['architecture']}",
            "created": config["created"],
            "stored_size": sum(layer["stored_size"] for layer in layers),
            "plain_size": sum(layer["plain_size"] for layer in layers),
            "layers": layers, "file_bytes": file_bytes,
            "rootfs_files": len(kept), "rootfs_bytes": sum(name.file.size for name in kept),
            "wasted_files": len(wasted), "wasted_bytes": sum(name.file.size for name in wasted),
            "smallest_bytes": smallest,
            "efficiency": round(smallest / file_bytes, 6) if file_bytes else 1,
            "wasted": [{"path": (b"/" + b"/".join(name.path)).decode(errors="replace"),
                        "size": name.file.size, "layer": name.file.layer, "how": name.how,
                        "by": name.end} for name in rows[:50]]}


def check_figures(found, wanted):
    for key, value in wanted.items():
        if key == "layers":
            for layer in value:
                for name, of_layer in layer.items():
                    same(f"layer {layer['number']}: {name}",
                         found[key][layer["number"] - 1][name], of_layer)
        elif key == "efficiency":
            same(key, abs(found[key] - value) <= 1e-6, True)
        elif key == "wasted":
            for got, row in zip(found[key], value):
                same(f"wasted {row['path']}", got, row)
            same("wasted: how many", len(found[key]), len(value))
        else:
            same(key, found[key], value)


def elements(node, name):
    return node.getElementsByTagName(name)


def words(node):
    return node.getAttribute("class").split()


def check_harmless(page):
    allowed = {"html", "head", "meta", "title", "style", "body", "svg", "defs", "pattern", "rect", "text",
               "header", "section", "footer", "h1", "h2", "p", "b", "br", "small", "code", "span", "div",
               "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    same("elements", {node.tagName for node in elements(page, "*")} - allowed, set())
    for node in elements(page, "*"):
        for name, value in node.attributes.items():
            same(f"attribute {name}={value}", name in ("src", "href", "style") or name[:2] == "on"
                 or "://" in value or "url(" in value, False)
    style = elements(page, "style")[0].firstChild.data
    same("style", "://" in style or "@import" in style or style.count("url(") != style.count("url(#"),
         False)


def check_page(path, found):
    page = xml.dom.minidom.parse(path)
    check_harmless(page)
    pictures = [node for node in elements(page, "svg") if "map" in words(node)]
    same("maps", len(pictures), 1 if found["rootfs_bytes"] else 0)
    for picture in pictures:
        width, height = map(float, picture.getAttribute("viewBox").split()[2:])
        areas = {}
        tiles = [node for node in elements(picture, "rect") if "k" in words(node)]
        for tile in tiles:
            layer = int(words(tile)[1][1:])
            areas[layer] = areas.get(layer, 0) + (float(tile.getAttribute("width")) *
                                                  float(tile.getAttribute("height")))
            same("a tile without a title", len(elements(tile, "title")), 1)
        same("tiles", len(tiles) <= 2500, True)
        for layer in found["layers"]:
            share = (layer["file_bytes"] - layer["wasted_bytes"]) / found["rootfs_bytes"]
            area = areas.get(layer["number"], 0) / width / height
            same(f"layer {layer['number']}: its area {area:.4f} is its share {share:.4f}",
                 abs(area - share) < .002, True)
    rows = [row for table in elements(page, "table") if "waste" in words(table)
            for row in elements(table, "tr")[1:]]
    same("rows of waste", [int(elements(row, "td")[0].getAttribute("title").split()[0]) for row in rows],
         [row["size"] for row in found["wasted"]])
    bars = [row for table in elements(page, "table") if "layers" in words(table)
            for row in elements(table, "tbody")]
    same("bars", len(bars), len(found["layers"]))


def main():
    layout, ref, report, *pages = sys.argv[1:]
    with open(report, encoding="utf-8") as file:
        found = json.load(file)
    check_figures(found, figures(layout, ref))
    for page in pages:
        check_page(page, found)
    for difference in differences[:20]:
        print(difference)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
