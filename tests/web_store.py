"""A web server on this machine that counts the bytes it gives, and answers as a test wants it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import psutil
from served import served

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 64 * 1024


@dataclass
class WebStore:
    """Files on a web server.

    Attributes:
        url: of its top folder.
        files: bytes by path.
        etags: by path; "" gives none.
        modified: by path: Last-Modified.
        ranges: False gives whole files alone.
        headers: further headers of each answer, by path.
        given: bytes of content that went out.
        given_here: those of them that this very process has asked for.
        asked: (path, Range, headers) of each request.
        fault: is asked before each answer: None, a status with headers, or how many bytes of it
            go out before the connection breaks.
        fired: how often a fault was given.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    modified: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    given: int = 0
    given_here: int = 0
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    fault: Callable[[str, str], tuple[int, dict[str, str]] | int | None] = lambda path, span: None
    fired: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def put(self, path: str, data: bytes, etag: str | None = None) -> str:
        """Put a file there, with an ETag of its own; returns its address."""
        self.files[path] = data
        self.etags[path] = f'"{hash(data) & 0xFFFFFF:x}"' if etag is None else etag
        return f"{self.url}/{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: WebStore

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_GET(self) -> None:
        store, path = self.store, self.path.partition("?")[0].lstrip("/")
        span = self.headers.get("range", "")
        with store.lock:
            store.asked.append((self.path, span, dict(self.headers.items())))
            fault = store.fault(path, span)
            store.fired += fault is not None
        if isinstance(fault, tuple):
            return self._say(fault[0], fault[1])
        data, etag = store.files.get(path), store.etags.get(path, "")
        if data is None:
            return self._say(404, {})
        if (wanted := self.headers.get("if-match")) and wanted != etag:
            return self._say(412, {})
        headers = {"accept-ranges": "bytes"} if store.ranges else {}
        headers |= {"etag": etag} if etag else {}
        if path in store.modified:
            headers["last-modified"] = store.modified[path]
        headers |= store.headers.get(path, {})
        found = _RANGE.fullmatch(span) if store.ranges else None
        if found is None:
            return self._give(200, data, headers, fault)
        first, last = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
        if first >= len(data):
            return self._say(416, {"content-range": f"bytes */{len(data)}"})
        headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
        return self._give(206, data[first : last + 1], headers, fault)

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _give(
        self, status: int, data: bytes, headers: dict[str, str], breaks_at: int | None
    ) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        here = self.client_address[1] in {
            one.laddr.port for one in psutil.Process().net_connections("tcp4") if one.raddr
        }
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            if breaks_at is not None and at + len(piece) > breaks_at:
                self.close_connection = True
                return
            try:
                self.wfile.write(piece)
            except OSError:  # who read has gone
                self.close_connection = True
                return
            with self.store.lock:
                self.store.given += len(piece)
                self.store.given_here += len(piece) if here else 0


@contextmanager
def web_store() -> Iterator[WebStore]:
    """A web server of its own, until the block ends."""
    store = WebStore()
    with served(_Handler, store=store) as port:
        store.url = f"http://127.0.0.1:{port}"
        yield store
