#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves what Docker before 1.10 saved as a registry of the V1 protocol: v1registry.py PORT-FILE DIR

DIR holds "repositories" and, for each image, ID/json and ID/layer.tar, as docker save wrote them.
The port goes to PORT-FILE; GET /__requests tells how often each path was asked for.
"""
import collections
import http.server
import json
import os
import re
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/__requests":
            return self.answer(json.dumps(self.server.requests).encode())
        self.server.requests[path] += 1
        self.answer(self.find(path))

    def find(self, path):
        """The body, or None."""
        if path == "/v1/_ping":
            return b"true"
        if match := re.fullmatch(r"/v1/images/([0-9a-f]{64})/(json|layer|ancestry)", path):
            return self.image(*match.groups())
        with open(os.path.join(self.server.directory, "repositories"), "rb") as source:
            repositories = json.load(source)
        match = re.fullmatch(r"/v1/repositories/(.+)/(images|tags)(?:/([^/]+))?", path)
        tags = match and repositories.get(match[1])
        if not tags:
            return None
        if match[2] == "images":
            return json.dumps([{"id": ident} for ident in sorted(set(tags.values()))]).encode()
        if match[3]:
            return json.dumps(tags[match[3]]).encode() if match[3] in tags else None
        return json.dumps(tags).encode()

    def image(self, ident, what):
        if what == "ancestry":
            chain = []
            while ident:
                chain.append(ident)
                ident = json.loads(self.file(ident, "json")).get("parent")
            return json.dumps(chain).encode()
        return self.file(ident, "json" if what == "json" else "layer.tar")

    def file(self, ident, name):
        try:
            with open(os.path.join(self.server.directory, ident, name), "rb") as source:
                return source.read()
        except FileNotFoundError:
            return None

    def answer(self, body):
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("X-Docker-Registry-Version", "0.9.1")
        self.send_header("X-Docker-Registry-Standalone", "true")
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format, *args):
        pass


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: v1registry.py PORT-FILE DIR")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.directory = collections.Counter(), sys.argv[2]
    with open(sys.argv[1], "w") as out:
        out.write(f"{server.server_port}\n")
    server.serve_forever()


if __name__ == "__main__":
    main()
