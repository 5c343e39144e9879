"""A front door to a real store: it counts what is asked and given, and breaks what a test names.

The store behind it checks signatures, ranges and conditions; requests and answers pass unchanged.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from served import served

PIECE = 64 * 1024
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


@dataclass
class Asked:
    """One request.

    Attributes:
        method: in capitals.
        path: with its query.
        headers: by names in lower case.
        at_s: when it came, by the monotonic clock.
        status: of the answer; 0 before it.
        given: bytes of content that went back.
    """

    method: str
    path: str
    headers: dict[str, str]
    at_s: float = field(default_factory=time.monotonic)
    status: int = 0
    given: int = 0

    @property
    def is_read(self) -> bool:
        """A GET of content, not of a list and not a look."""
        return self.method == "GET" and "list-type=" not in self.path


Fault = int | tuple[int, dict[str, str]] | None
"""How many bytes go out before the connection breaks; or a status with headers; or none."""


class Gate:
    """Holds whoever comes until there are `count` of them; from then on it is open."""

    def __init__(self, count: int) -> None:
        self._left, self._open, self._lock = count, threading.Event(), threading.Lock()

    def wait(self) -> None:
        """Wait until it opens, for a minute at most."""
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self._open.set()
        self._open.wait(60)


class FrontDoor:
    """Passes requests on to a store at another port of this machine.

    Attributes:
        asked: all requests, in order.
        fault: what becomes of each read.
        fired: how many reads it broke.
        gate: is waited at by each read before its answer; None lets all pass.
        ranges: False passes no `Range` on, so that all is given for a part.
        most: so many reads were on their way at one time.
        port: where it listens.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.asked: list[Asked] = []
        self.fault: Callable[[Asked], Fault] = lambda asked: None
        self.fired = 0
        self.gate: Gate | None = None
        self.ranges = True
        self.most = 0
        self.now = 0
        self.lock = threading.Lock()

    @property
    def given(self) -> int:
        """Bytes of content that reads got."""
        return sum(one.given for one in self.reads)

    @property
    def reads(self) -> list[Asked]:
        """The requests for content."""
        return [one for one in self.asked if one.is_read]

    def forget(self) -> None:
        """Count from 0."""
        with self.lock:
            self.asked, self.fired, self.most = [], 0, 0

    def __enter__(self) -> Self:
        self._running = served(_Handler, door=self)
        self.port = self._running.__enter__()
        return self

    def __exit__(self, *how: Any) -> None:
        self._running.__exit__(*how)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    door: FrontDoor

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at `asked`."""

    def do_GET(self) -> None:
        door = self.door
        one = Asked(
            self.command, self.path, {name.lower(): text for name, text in self.headers.items()}
        )
        with door.lock:
            door.asked.append(one)
            fault = door.fault(one) if one.is_read else None
            door.fired += fault is not None
            door.now += one.is_read
            door.most = max(door.most, door.now)
        try:
            if door.gate is not None and one.is_read:
                door.gate.wait()
            if isinstance(fault, tuple):
                self._say(one, *fault)
            else:
                self._pass_on(one, fault)
        except OSError:  # who asked has gone
            self.close_connection = True
        finally:
            with door.lock:
                door.now -= one.is_read

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _say(self, one: Asked, status: int, headers: dict[str, str]) -> None:
        one.status = status
        self.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _pass_on(self, one: Asked, breaks_at: int | None) -> None:
        body = self.rfile.read(int(one.headers.get("content-length", 0)))
        store = http.client.HTTPConnection("127.0.0.1", self.door.target, timeout=60)
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                passed = name.lower() not in _HOP_BY_HOP
                if passed and (self.door.ranges or name.lower() != "range"):
                    store.putheader(name, value)
            store.endheaders(body)
            self._give_back(one, store.getresponse(), breaks_at)
        finally:
            store.close()

    def _give_back(
        self, one: Asked, answer: http.client.HTTPResponse, breaks_at: int | None
    ) -> None:
        one.status = answer.status
        self.send_response_only(answer.status, answer.reason)
        length = answer.getheader("content-length")
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if length is None:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        while self.command != "HEAD" and (piece := answer.read1(PIECE)):
            if breaks_at is not None and one.given + len(piece) > breaks_at:
                self.close_connection = True
                return
            one.given += len(piece)  # before whoever reads it can look
            self.wfile.write(piece)
