"""The two requests of a small file and nothing else: what Python itself needs for them.

Each of `--at-once` threads has a connection to CDF and one to the store, by `--by http.client` or
by h11 over a socket that blocks. Nothing is looked at but the status: no journal, no checksum, no
rows, no other try, no question whether CDF has the files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.client import HTTPSConnection
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import h11
from meter import files_of, measured, size_of

HEADERS = {
    "authorization": "Bearer x",
    "cdf-version": "20230101",
    "content-type": "application/json",
    "user-agent": "plain",
}


class Connection(Protocol):
    """One connection."""

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """The body of the answer."""
        ...


class ByHTTPClient:
    """The standard library's."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self._connection = HTTPSConnection(host, port, context=context)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `Connection.send`."""
        self._connection.request(method, target, body, headers)
        reply = self._connection.getresponse()
        assert reply.status < 300
        return reply.read()


class ByH11:
    """What the package reads and writes HTTP with, without what it does around it."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        sock = socket.create_connection((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = context.wrap_socket(sock, server_hostname=host)
        self._host = f"{host}:{port}"
        self._protocol = h11.Connection(h11.CLIENT)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `Connection.send`."""
        protocol, pieces = self._protocol, list[bytes]()
        own = [("host", self._host), ("content-length", str(len(body)))]
        request = h11.Request(method=method, target=target, headers=[*own, *headers.items()])
        head = protocol.send(request) or b""
        protocol.send_with_data_passthrough(h11.Data(data=body))
        protocol.send(h11.EndOfMessage())
        self._sock.sendall(head + body)
        while not isinstance(event := protocol.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                protocol.receive_data(self._sock.recv(65536))
            elif isinstance(event, h11.Response):
                assert event.status_code < 300
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
        protocol.start_next_cycle()
        return b"".join(pieces)


Connect = Callable[[str, int, ssl.SSLContext], Connection]
WAYS: dict[str, Connect] = {"http.client": ByHTTPClient, "h11": ByH11}


def send_some(
    connect: Connect, url: str, context: ssl.SSLContext, files: queue.SimpleQueue[Path | None]
) -> None:
    """Send files until there are no more."""
    there = dict[str, Connection]()

    def to(url: str) -> tuple[Connection, str]:
        parts = urlsplit(url)
        if parts.netloc not in there:
            there[parts.netloc] = connect(parts.hostname or "", parts.port or 443, context)
        return there[parts.netloc], f"{parts.path}?{parts.query}"

    begin = f"{url}/api/v1/projects/bench/files?overwrite=false"
    while (path := files.get()) is not None:
        content, about = path.read_bytes(), json.dumps({"name": path.name}).encode()
        api, target = to(begin)
        store, put = to(json.loads(api.send("POST", target, HEADERS, about))["uploadUrl"])
        store.send("PUT", put, {}, content)


async def main() -> None:
    """Send all files of a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("path", type=Path)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--by", choices=WAYS, default="h11")
    options = parser.parse_args()
    context, files = ssl.create_default_context(), queue.SimpleQueue[Path | None]()
    ends = [None] * options.at_once
    for path in [*files_of(options.path), *ends]:
        files.put(path)

    def send_all() -> None:
        how = (WAYS[options.by], options.url, context, files)
        threads = [threading.Thread(target=send_some, args=how) for _ in ends]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    await measured(lambda: asyncio.to_thread(send_all), size_of(options.path))


asyncio.run(main())
