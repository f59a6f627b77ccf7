# SPDX-License-Identifier: Apache-2.0
"""Writes OCI image layouts: layers in, a directory of blobs and an index.json out.

Everything is a function of its arguments: fixed times, sorted archive members, JSON without
spaces in the order given, so that the same input has the same digests on every run.
"""
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

EPOCH = 1704067200  # 2024-01-01T00:00:00Z
CREATED = "2024-01-01T00:00:00Z"

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "plain": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "plain": "application/vnd.docker.image.rootfs.diff.tar",
    "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def compress(coding, data):
    if coding == "gzip":
        return gzip.compress(data, 6, mtime=0)
    if coding == "zstd":
        return subprocess.run(["zstd", "-q", "-3", "-T1", "-c"], input=data,
                              stdout=subprocess.PIPE, check=True).stdout
    return data


class Tar:
    """One layer's archive, member by member."""

    def __init__(self):
        self._bytes = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._bytes, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, data=None, type=tarfile.REGTYPE, mode=0o644, link="", owner=(0, 0),
            mtime=EPOCH, device=(0, 0), xattrs=None):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname = type, mode, link
        info.uid, info.gid = owner
        info.devmajor, info.devminor = device
        info.size = len(data) if data else 0
        info.mtime = int(str(mtime).split(".")[0])
        if isinstance(mtime, str):      # "seconds.nanoseconds", which only a pax record holds
            info.pax_headers["mtime"] = mtime
        for key, value in sorted((xattrs or {}).items()):
            info.pax_headers["SCHILY.xattr." + key] = value
        self._tar.addfile(info, io.BytesIO(data) if data else None)

    def directory(self, name, mode=0o755, **more):
        self.add(name, type=tarfile.DIRTYPE, mode=mode, **more)

    def file(self, name, data, mode=0o644, **more):
        self.add(name, data.encode() if isinstance(data, str) else data, mode=mode, **more)

    def symlink(self, name, target, **more):
        self.add(name, type=tarfile.SYMTYPE, mode=0o777, link=target, **more)

    def hardlink(self, name, target, **more):
        self.add(name, type=tarfile.LNKTYPE, link=target, **more)

    def whiteout(self, name):
        head, _, tail = name.rpartition("/")
        self.add((head + "/" if head else "") + ".wh." + tail)

    def opaque(self, directory):
        self.add(directory + "/.wh..wh..opq")

    def bytes(self):
        self._tar.close()
        return self._bytes.getvalue()


class Layout:
    """A directory that becomes an OCI image layout with close()."""

    def __init__(self, path):
        self.path = path
        self.blobs = os.path.join(path, "blobs", "sha256")
        self.entries = []
        os.makedirs(self.blobs, exist_ok=True)

    def put(self, data, digest=None):
        """Stores a blob, under a digest that may be wrong on purpose."""
        digest = digest or sha256(data)
        with open(os.path.join(self.blobs, digest.split(":")[1]), "wb") as out:
            out.write(data)
        return {"digest": digest, "size": len(data)}

    def layer(self, archive, coding="gzip", types=OCI, stored=None):
        """Returns (descriptor, diff_id); stored overrides the compressed bytes."""
        stored = compress(coding, archive) if stored is None else stored
        return {"mediaType": types[coding], **self.put(stored)}, sha256(archive)

    def layer_file(self, path, coding="gzip", types=OCI):
        """The same for an archive too large to hold in memory."""
        command = {"gzip": ["gzip", "-n", "-6", "-c"], "zstd": ["zstd", "-q", "-3", "-T1", "-c"],
                   "plain": ["cat"]}[coding]
        partial = os.path.join(self.blobs, ".partial")
        with open(path, "rb") as source, open(partial, "wb") as out:
            subprocess.run(command, stdin=source, stdout=out, check=True)
        digest, size = sha256_file(partial), os.path.getsize(partial)
        os.rename(partial, os.path.join(self.blobs, digest.split(":")[1]))
        descriptor = {"mediaType": types[coding], "digest": digest, "size": size}
        return descriptor, sha256_file(path)

    def image(self, layers, platform, history=None, config=None, types=OCI, annotations=None):
        """Stores a config and a manifest; returns the manifest's descriptor with its platform."""
        body = {"created": CREATED, "architecture": platform["architecture"], "os": platform["os"]}
        if "variant" in platform:
            body["variant"] = platform["variant"]
        body["config"] = config or {"Cmd": ["/bin/sh"]}
        body["rootfs"] = {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]}
        body["history"] = history or [{"created": CREATED, "created_by": f"layer {n}"}
                                      for n in range(1, len(layers) + 1)]
        manifest = {"schemaVersion": 2, "mediaType": types["manifest"],
                    "config": {"mediaType": types["config"], **self.put(compact(body))},
                    "layers": [descriptor for descriptor, _ in layers]}
        if annotations:
            manifest["annotations"] = annotations
        return {"mediaType": types["manifest"], **self.put(compact(manifest)),
                "platform": platform}

    def index(self, manifests, types=OCI):
        body = {"schemaVersion": 2, "mediaType": types["index"], "manifests": manifests}
        return {"mediaType": types["index"], **self.put(compact(body))}

    def tag(self, name, descriptor):
        entry = {key: value for key, value in descriptor.items() if key != "annotations"}
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.entries.append(entry)

    def close(self):
        index = {"schemaVersion": 2, "mediaType": OCI["index"], "manifests": self.entries}
        with open(os.path.join(self.path, "index.json"), "wb") as out:
            out.write(compact(index))
        with open(os.path.join(self.path, "oci-layout"), "wb") as out:
            out.write(b'{"imageLayoutVersion":"1.0.0"}')


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return "sha256:" + digest.hexdigest()
