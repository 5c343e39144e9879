"""What CDF or an identity provider answers, read within bounds of time, memory and depth.

Rules of this file: the whole answer is there within the time that is given, however it arrives (a
drip, or any number of 1xx before it); no more than 64 MiB are unpacked; JSON is nested 100 deep at
most. What is beyond these is no answer of theirs, and is told in one sentence.
"""

from __future__ import annotations

import json
import socket
import threading
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import httpx

from cognite_nb_upload import process
from cognite_nb_upload.core.plan import MIB

_MOST: Final = 64 * MIB
_DEEPEST: Final = 100
# Objects and arrays of one answer, which take more room than their text.
_MOST_VALUES: Final = 1_000_000
# A socket that is silent for this share of the time is told first: that is worth another try.
_SILENT: Final = 0.9
# The only packing that is asked for.
HEADERS: Final = {"accept": "application/json", "accept-encoding": "gzip"}


class NotInTime(httpx.ReadTimeout):
    """The answer began, or something did, and was not whole in time."""


class NoAnswer(ValueError):
    """What came is not an answer; the text says why, after "the answer ".

    Attributes:
        code: its HTTP status.
    """

    def __init__(self, why: str, code: int) -> None:
        super().__init__(f"the answer {why}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, unpacked."""

    status_code: int
    reason_phrase: str
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status_code < 300

    def json(self) -> Any:
        """Its JSON.

        Raises:
            NoAnswer: it is larger or deeper than any of theirs.
            ValueError: it is not JSON.
        """
        if self.content.count(b"[") + self.content.count(b"{") > _MOST_VALUES:
            raise NoAnswer(f"holds more than {_MOST_VALUES} objects and arrays", self.status_code)
        try:
            value = json.loads(self.content)
            if _is_shallow(value):
                return value
        except RecursionError:
            pass
        raise NoAnswer(f"is nested more than {_DEEPEST} deep", self.status_code)


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return True
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return not level


def timeouts(within_s: float) -> httpx.Timeout:
    """For a client whose answers have so many seconds: each step has a little less."""
    return httpx.Timeout(within_s * _SILENT, pool=None)


async def ask_async(client: httpx.AsyncClient, request: httpx.Request, within_s: float) -> Answer:
    """The answer to a request, whole within `within_s` seconds.

    Raises:
        NotInTime: it was not.
        NoAnswer: it is too large, or packed in a way that was not asked for.
        httpx.RequestError: there is none.
    """
    request.extensions["trace"] = _own
    with anyio.move_on_after(within_s):
        reply = await client.send(request, stream=True)
        try:
            unpacker = _Unpacker(reply.status_code, reply.reason_phrase, reply.headers)
            async for piece in reply.aiter_raw():
                unpacker.add(piece)
        finally:
            await reply.aclose()
            _untie(reply)
        return unpacker.answer()
    raise NotInTime(f"no whole answer within {within_s:g} s", request=request)


def ask(client: httpx.Client, request: httpx.Request, within_s: float) -> Answer:
    """`ask_async` for a thread."""
    with _Deadline(within_s) as deadline:
        request.extensions["trace"] = deadline.trace
        try:
            reply = client.send(request, stream=True)
            try:
                unpacker = _Unpacker(reply.status_code, reply.reason_phrase, reply.headers)
                for piece in reply.iter_raw():
                    unpacker.add(piece)
            finally:
                reply.close()
        except httpx.RequestError:
            if deadline.passed:
                raise NotInTime(f"no whole answer within {within_s:g} s", request=request) from None
            raise
        return unpacker.answer()


def unpacked(
    status: int, reason: str, headers: Mapping[str, str], pieces: Iterable[bytes | memoryview]
) -> Answer:
    """The answer whose body comes in these pieces.

    Raises:
        NoAnswer: it is too large, or packed in a way that was not asked for.
        httpx.RequestError: its packing is broken.
    """
    unpacker = _Unpacker(status, reason, headers)
    for piece in pieces:
        unpacker.add(bytes(piece))
    return unpacker.answer()


def _untie(reply: httpx.Response) -> None:
    """Break the circle of an answer and its stream: a collector that finds it stops all threads."""
    reply.stream = httpx.ByteStream(b"")
    reply.request.extensions = {}


class _Unpacker:
    """The body of an answer, piece by piece."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str]) -> None:
        self._status, self._reason, self._headers = status, reason, headers
        self._pieces: list[bytes] = []
        self._size = 0
        packed = headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("", "identity", "gzip", "x-gzip"):
            raise NoAnswer("is packed in a way that was not asked for", status)
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in packed else None

    def add(self, piece: bytes) -> None:
        if self._gzip is None:
            self._keep(piece)
            return
        try:
            while piece:  # no more of it at once than may come
                self._keep(self._gzip.decompress(piece, _MOST - self._size + 1))
                piece = self._gzip.unconsumed_tail
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from None

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > _MOST:
            raise NoAnswer(f"is larger than {_MOST // MIB} MiB", self._status)
        self._pieces.append(piece)

    def answer(self) -> Answer:
        return Answer(self._status, self._reason, self._headers, b"".join(self._pieces))


class _Deadline:
    """Ends what a thread waits for on its connection, once the time is over.

    Time-outs are per socket operation: none of them sees a drip.
    """

    def __init__(self, within_s: float) -> None:
        self.passed = False
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(within_s, self._pass)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket of the connection that was just made: httpcore's `trace`."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._sock = info["return_value"].get_extra_info("socket")
            process.own(self._sock.fileno())
            if self.passed:
                self._wake()

    def _pass(self) -> None:
        self.passed = True
        self._wake()

    def _wake(self) -> None:
        if self._sock is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


async def _own(event: str, info: Mapping[str, Any]) -> None:
    """A connection that was just made belongs to this process."""
    if event.endswith(".connect_tcp.complete"):
        process.own(info["return_value"].get_extra_info("socket").fileno())
