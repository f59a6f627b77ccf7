#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wan -- a far registry: a TCP relay on the loopback interface that delays, throttles and counts.

    wan.py UPSTREAM-PORT

It prints "PORT CONTROL-PORT" and relays PORT to 127.0.0.1:UPSTREAM-PORT until it is terminated.

Every byte travels half a round trip in its direction, and the first ones of a connection one round
trip more, for the handshake: a request costs one round trip on a connection that is there, two on a
new one.  What comes down shares one link.  There is no slow start and no loss, so this is such a
link at its best.

    GET  /stats                  counters since the last reset, as JSON: connections, requests, blobs
                                 (GETs of blobs), ranges (requests with a Range), up and down in bytes,
                                 arrivals (pairs of seconds and bytes so far)
    POST /reset                  zeroes them
    POST /link?rtt=MS&mbit=N     from now on; 0 and 0, as in the beginning, is no WAN at all
"""
import asyncio
import json
import sys
import urllib.parse

PIECE = 16 << 10            # bytes relayed at once
IN_FLIGHT = 32              # pieces of one direction: more than a link of 100 Mbit/s holds in 25 ms
HEAD_MAX = 64 << 10         # bytes of a request's head; what has none (TLS) is not counted as one
ARRIVAL_STEP = 0.05         # seconds between two points of the time line


class Link:
    """How far the registry is."""

    def __init__(self):
        self.round_trip = 0.0   # seconds
        self.rate = 0.0         # bytes a second, 0: no limit
        self.free = 0.0         # when the last byte given to the link will have entered it

    def entered(self, length, now):
        """When the last of these bytes has entered the link, behind all that came before."""
        self.free = max(self.free, now) + (length / self.rate if self.rate else 0)
        return self.free


class Counters:
    def __init__(self):
        self.begin = asyncio.get_running_loop().time()
        self.values = {"connections": 0, "requests": 0, "blobs": 0, "ranges": 0, "up": 0, "down": 0}
        self.arrivals = [(0.0, 0)]
        self.latest = 0.0

    def request(self, head):
        line, *fields = head.decode("latin-1").split("\r\n")
        self.values["requests"] += 1
        self.values["blobs"] += line.startswith("GET ") and "/blobs/" in line
        self.values["ranges"] += any(field.lower().startswith("range:") for field in fields)

    def arrived(self, length):
        self.latest = asyncio.get_running_loop().time() - self.begin
        self.values["down"] += length
        if self.latest - self.arrivals[-1][0] >= ARRIVAL_STEP:
            self.arrivals.append((round(self.latest, 3), self.values["down"]))

    def json(self):
        last = (round(self.latest, 3), self.values["down"])
        return json.dumps({**self.values, "arrivals": [*self.arrivals, last]}).encode()


class Relay:
    def __init__(self, upstream_port):
        self.upstream_port = upstream_port
        self.link = Link()
        self.counters = Counters()

    async def connection(self, reader, writer):
        self.counters.values["connections"] += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.direction(reader, far_writer, self.upwards()))
                group.create_task(self.direction(far_reader, writer, self.downwards))
        except* OSError:        # one end has gone: so does the other
            pass
        finally:
            writer.close()
            far_writer.close()

    def upwards(self):
        """What a connection's bytes cost on their way up; counts the requests among them."""
        head = bytearray()
        handshake = self.link.round_trip

        def due(piece, now):
            nonlocal handshake
            late, handshake = handshake, 0.0
            self.counters.values["up"] += len(piece)
            head.extend(piece)
            while (end := head.find(b"\r\n\r\n")) >= 0:
                self.counters.request(bytes(head[:end]))
                del head[:end + 4]
            del head[HEAD_MAX:]
            return now + late + self.link.round_trip / 2

        return due

    def downwards(self, piece, now):
        return self.link.entered(len(piece), now) + self.link.round_trip / 2

    async def direction(self, reader, writer, due):
        """Reads until the end, and writes each piece when it is due."""
        loop = asyncio.get_running_loop()
        pieces = asyncio.Queue(IN_FLIGHT)

        async def receive():
            while piece := await reader.read(PIECE):
                await pieces.put((piece, due(piece, loop.time())))
            await pieces.put(None)

        async def deliver():
            while item := await pieces.get():
                piece, when = item
                await asyncio.sleep(max(0, when - loop.time()))
                if due == self.downwards:
                    self.counters.arrived(len(piece))
                writer.write(piece)
                await writer.drain()
            writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(receive())
            group.create_task(deliver())

    async def control(self, reader, writer):
        method, target, *_ = (await reader.readline()).decode().split()
        url = urllib.parse.urlsplit(target)
        body = b"{}"
        if (method, url.path) == ("GET", "/stats"):
            body = self.counters.json()
        elif (method, url.path) == ("POST", "/reset"):
            self.counters = Counters()
        elif (method, url.path) == ("POST", "/link"):
            wanted = dict(urllib.parse.parse_qsl(url.query))
            self.link.round_trip = float(wanted["rtt"]) / 1000
            self.link.rate = float(wanted["mbit"]) * 1e6 / 8
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()


async def main():
    relay = Relay(int(sys.argv[1]))
    servers = [await asyncio.start_server(handler, "127.0.0.1", 0)
               for handler in (relay.connection, relay.control)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
