"""A little store of one object, over real HTTP, that answers as a test tells it to.

Real stores give ranges, versions and conditions; what lies between them and us does not always.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from served import served

from cognite_nb_upload.core.plan import MIB

Answer = Callable[["Request"], object]
# Three spans of 8 MiB, the last one smaller.
DATA = random.Random(5).randbytes(8 * MIB) + random.Random(6).randbytes(11 * MIB)


class Request(BaseHTTPRequestHandler):
    """One GET of the object; an `Answer` calls what it needs of this."""

    protocol_version = "HTTP/1.1"
    blob: Blob

    def do_GET(self) -> None:
        blob = self.blob
        with blob.lock:
            blob.seen.append({name.lower(): value for name, value in self.headers.items()})
            answer = blob.answers.pop(0) if blob.answers else blob.always
        if answer is not None:
            answer(self)
        else:
            self.serve()

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at `seen`."""

    # --- what answers are made of -----------------------------------------------------------

    def range(self) -> tuple[int, int]:
        """[start, end) of what is asked for, within the object."""
        said = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", "bytes=0-"))
        assert said
        size = len(self.blob.data)
        return int(said[1]), min(int(said[2]) + 1, size) if said[2] else size

    def serve(self) -> None:
        """As a store does."""
        blob, (start, end) = self.blob, self.range()
        wanted = self.headers.get("if-match")
        if wanted is not None and blob.conditions and wanted != blob.etag:
            self.head(412, 0)
        elif "range" not in self.headers:
            self.head(200, len(blob.data))
            self.wfile.write(blob.data)
        elif start >= end:
            self.head(416, 0, {"content-range": f"bytes */{len(blob.data)}"})
        else:
            self.part(start, end)

    def part(self, start: int, end: int, **more: str) -> None:
        """206 with these bytes."""
        said = {"content-range": f"bytes {start}-{end - 1}/{len(self.blob.data)}"}
        self.head(206, end - start, {**said, **{k.replace("_", "-"): v for k, v in more.items()}})
        self.wfile.write(self.blob.data[start:end])

    def head(self, status: int, length: int | None, more: dict[str, str] | None = None) -> None:
        """Status and headers; without a length the connection is closed at the end."""
        headers = {"etag": self.blob.etag, **self.blob.headers, **(more or {})}
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        if length is None:
            self.close_connection = True
            self.send_header("connection", "close")
        else:
            self.send_header("content-length", str(length))
        self.end_headers()

    def drop(self) -> None:
        """Close the connection once this answer is written."""
        self.close_connection = True


class Blob:
    """The object and its store; `answers` are given first, one a request, then `always`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.etag = '"first"'
        self.headers: dict[str, str] = {}
        self.conditions = True
        self.answers: list[Answer | None] = []
        self.always: Answer | None = None
        self.seen: list[dict[str, str]] = []
        self.lock = threading.Lock()

    def replace(self, data: bytes, etag: str = '"second"') -> None:
        """Put another version in its place."""
        self.data, self.etag = data, etag

    @property
    def url(self) -> str:
        """A signed URL, as far as anybody can tell."""
        return f"http://127.0.0.1:{self._port}/store/blob?signature=secret"

    @property
    def ranges(self) -> list[str]:
        """What was asked for."""
        return [headers.get("range", "") for headers in self.seen]

    def __enter__(self) -> Self:
        self._running = served(Request, blob=self)
        self._port = self._running.__enter__()
        return self

    def __exit__(self, *how: Any) -> None:
        self._running.__exit__(*how)
