#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What stands in front of a registry on loopback, for tests:

front.py tls --cert PEM --key PEM [--client-ca PEM [--optional]] PORTFILE LOG PORT
    TLS for the plain server at PORT.  Logs the subject of each client's certificate, or "none".
front.py proxy [--user NAME:PASSWORD] PORTFILE LOG PORT [PORT-FOR-CONNECT]
    An HTTP proxy that leads everything to PORT, and tunnels to the other one.  Logs each request
    line, and whom it let in.

Writes its own port to PORTFILE once it listens.
"""
import argparse
import base64
import os
import socket
import ssl
import threading


def pump(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
    except OSError:
        pass
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            pass


def join(client, server):
    back = threading.Thread(target=pump, args=(server, client), daemon=True)
    back.start()
    pump(client, server)
    back.join()
    client.close()
    server.close()


def connect(port):
    return socket.create_connection(("127.0.0.1", port))


class Front:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.context = None
        if args.kind == "tls":
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(args.cert, args.key)
            if args.client_ca:
                self.context.load_verify_locations(args.client_ca)
                self.context.verify_mode = (
                    ssl.CERT_OPTIONAL if args.optional else ssl.CERT_REQUIRED)

    def log(self, line):
        with self.lock, open(self.args.log, "a", encoding="utf-8") as log:
            log.write(line + "\n")

    def serve(self, client):
        try:
            if self.context:
                self.serve_tls(client)
            else:
                self.serve_proxy(client)
        except (OSError, ValueError):
            client.close()

    def serve_tls(self, client):
        client = self.context.wrap_socket(client, server_side=True)
        subject = (client.getpeercert() or {}).get("subject", ())
        names = [value for part in subject for name, value in part if name == "commonName"]
        self.log(names[0] if names else "none")
        join(client, connect(self.args.port))

    def is_let_in(self, lines):
        if not self.args.user:
            return True
        wanted = "basic " + base64.b64encode(self.args.user.encode()).decode()
        return any(name.lower() == "proxy-authorization" and value.strip().lower() == wanted.lower()
                   for name, _, value in (line.partition(":") for line in lines))

    def serve_proxy(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                raise ValueError("no request")
            head += piece
        head, _, rest = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if not self.is_let_in(lines):
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                           b"Proxy-Authenticate: Basic realm=\"proxy\"\r\n"
                           b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            raise ValueError("refused")
        self.log(first)
        method, target, version = first.split(" ")
        if method == "CONNECT":
            server = connect(self.args.tunnel or self.args.port)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:  # one request a connection
            path = "/" + target.partition("://")[2].partition("/")[2]
            kept = [line for line in lines
                    if not line.lower().startswith(("proxy-", "connection:"))]
            server = connect(self.args.port)
            server.sendall("\r\n".join(
                [f"{method} {path} {version}", *kept, "Connection: close", "", ""]).encode("latin-1"))
        server.sendall(rest)
        join(client, server)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["tls", "proxy"])
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--client-ca")
    parser.add_argument("--optional", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("portfile")
    parser.add_argument("log")
    parser.add_argument("port", type=int)
    parser.add_argument("tunnel", type=int, nargs="?")
    args = parser.parse_args()
    front = Front(args)
    listener = socket.create_server(("127.0.0.1", 0))
    with open(args.portfile + ".new", "w", encoding="utf-8") as out:
        out.write(f"{listener.getsockname()[1]}\n")
    os.rename(args.portfile + ".new", args.portfile)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=front.serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
