#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# fakeengine.py - answers on a unix socket as a container engine does, as far as
# images are listed and saved: GET /images/json and GET /images/ID/get.
#
#   fakeengine.py DIR COUNT
#
# Makes COUNT images, named "demo/N:1.0" and, the first, "localhost:5000/demo:x"
# too, and listens on DIR/socket.  DIR/facts has a line "ID LAYER-DIGEST" for
# each.  Requests are noted in DIR/log.  DIR/fault, when it is there, tells how
# the next ones fail: a status, "cut", "hang", or "garbage"; DIR/images.json is
# the list, as long as nobody changes it.

import hashlib
import http.server
import io
import json
import os
import socketserver
import sys
import tarfile
import time


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_image(number):
    """The id, the layer's digest, and what is saved."""
    layer = tar([("etc/number", b"%d\n" % number)])
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "created": "2020-01-01T00:00:00Z",
        "history": [{"created": "2020-01-01T00:00:00Z"}],
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]}}).encode()
    ident = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": ident + ".json", "RepoTags": None,
                            "Layers": ["layer/layer.tar"]}]).encode()
    return sha256(config), sha256(layer), tar([
        ("layer/layer.tar", layer), (ident + ".json", config),
        ("manifest.json", manifest)])


class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def do_GET(self):
        with open("log", "a", encoding="ascii") as f:
            f.write(self.path + "\n")
        fault = ""
        if os.path.exists("fault"):
            with open("fault", encoding="ascii") as f:
                fault = f.read()
        if fault == "hang":
            time.sleep(3600)
        if fault.isdigit():
            return self.whole(int(fault), b'{"message":"no \\u001b luck"}\n')
        if self.path == "/images/json":
            with open("images.json", "rb") as f:
                return self.whole(200, f.read())
        ident = self.path[len("/images/"):-len("/get")]
        if ident not in self.server.images:
            return self.whole(404, b'{"message":"no such image"}\n')
        data = self.server.images[ident]
        return self.chunks(b"garbage" if fault == "garbage" else data,
                           fault == "cut")

    def whole(self, status, data):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def chunks(self, data, is_cut):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-tar")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(data), 4096):
            piece = data[at:at + 4096]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if is_cut:
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def main():
    os.chdir(sys.argv[1])
    images, listed, facts = {}, [], ""
    for number in range(int(sys.argv[2])):
        ident, layer, saved = make_image(number)
        images[ident] = saved
        facts += "%s %s\n" % (ident, layer)
        names = ["demo/%d:1.0" % number]
        if not number:
            names.append("localhost:5000/demo:x")
        listed.append({"Id": ident, "RepoTags": names})
    with open("facts", "w", encoding="ascii") as f:
        f.write(facts)
    with open("images.json", "w", encoding="ascii") as f:
        json.dump(listed, f)
    server = Server("socket", Engine)
    server.images = images
    sys.stderr.write("fakeengine: ready\n")
    server.serve_forever()


if __name__ == "__main__":
    main()
