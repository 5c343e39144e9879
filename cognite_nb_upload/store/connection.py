"""One PUT of one part to a store: bytes pumped by the calling thread, and one verdict.

Rules of this file: a part carries an exact Content-Length and nothing else (a whole file in one PUT
also its type, which its URL is signed for), no credentials, no cookies, and no redirect is
followed. Only a clean 200 or 201 counts. A URL is opaque and secret. The store's own words win over
a broken pipe. Who stops it wakes the socket, not only the wait.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast

import httpcore
import httpx

from cognite_nb_upload import http, process
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.core.retry import RETRYABLE
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import SourceChanged
from cognite_nb_upload.sources import Source, read_piece, region_of

# What is paced and told at once: little at first, so that a slow link still shows progress.
_FIRST_STRIDE: Final = 64 * KIB
_LARGEST_STRIDE: Final = 4 * MIB
# What is read and written at once: it stays in a processor's own cache between the two.
_PIECE: Final = 512 * KIB
# What may wait in this machine's buffers beside what is on its way.
_UNSENT: Final = MIB
# A part that moves less than this within the stall time-out stands still, whatever drips.
_STALL_BYTES: Final = 64 * KIB
_ANSWER_READ: Final = 64 * KIB
# What was sent is told this often, in seconds: more than anybody can see.
_TELL_S: Final = 0.1
# Where Linux's struct tcp_info has tcpi_unacked, tcpi_bytes_acked and tcpi_notsent_bytes.
_UNACKED: Final = 24
_ACKED: Final = 120
_NOT_SENT: Final = 144
# SO_LINGER: on, for 0 s. A struct of ints; of shorts on Windows.
_DROP: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)
_CODE: Final = re.compile(r"<Code>([^<]{1,100})</Code>")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one try of a part ended.

    Attributes:
        stored: the store has it.
        reason: why not, in words.
        retry: True where another try may end otherwise.
        status: the store's HTTP status, or None where no answer came.
        offline: no connection was made at all.
        overloaded: the store or the way to it asks for less.
        expired: the signed URL is no longer valid.
        hint: what to do.
        checksums: what the store says the part's checksums are, by name ("md5" in hex, ...).
    """

    stored: bool
    reason: str = ""
    retry: bool = False
    status: int | None = None
    offline: bool = False
    overloaded: bool = False
    expired: bool = False
    hint: str = ""
    retry_after: str | None = None
    retryable: bool = False
    now: datetime | None = None
    checksums: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Body:
    """Bytes `[start, start + size)` of a source, read once per try.

    Attributes:
        pace: is called with the number of bytes about to go out, and returns, when some of them
            may, how many.
        digest: is called with each piece that goes out.
        content_type: only for a whole file in one PUT, whose URL is signed for it; a part has none.
    """

    source: Source
    start: int
    size: int
    on_sent: Callable[[int], None]
    pace: Callable[[int, CancelToken], int] | None = None
    digest: Callable[[bytes | memoryview], None] | None = None
    content_type: str | None = None


def _page_aligned() -> memoryview:
    """Room for one piece, used again and again: pages that are new each time cost a fifth more.

    Private: anonymous maps are shared with forked children unless they are told not to be.
    """
    if sys.platform == "win32":
        return memoryview(mmap.mmap(-1, _PIECE))
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return memoryview(mmap.mmap(-1, _PIECE, flags=private))


class _Sent(bytes):
    """Stands for bytes that are out already: as long as they are, and empty.

    h11 counts what its `len` says, and then joins what is in it: nothing. So the HTTP layer keeps
    its books, while the piece went from the lane's buffer to the socket without being copied.
    """

    _size: int

    @classmethod
    def of(cls, size: int) -> _Sent:
        sent = cls()
        sent._size = size
        return sent

    def __len__(self) -> int:
        return self._size


@dataclass(slots=True)
class _Lane:
    """One connection, used by one thread at a time; its socket can be woken by another."""

    client: httpx.Client
    proxy: httpx.URL | None
    buffer: memoryview = field(default_factory=_page_aligned)
    stream: Any = None  # httpcore's NetworkStream: TLS and proxies are behind it
    sock: socket.socket | None = None
    confirmed: int = 0
    moved: int = 0
    seen: int = 0
    since_s: float = 0.0
    answer_by_s: float = 0.0
    resting: bool = False
    cut: str = ""
    pid: int = field(default_factory=os.getpid)

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket of a connection that was just made."""
        # The prefix is `connection`, or `proxy` where TLS begins behind a proxy.
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self.stream = info["return_value"]
            self.sock = self.stream.get_extra_info("socket")
            process.own(self.sock.fileno())
            self.confirmed = 0
            _hold_little(self.sock)
            if self.cut:
                self.wake()

    def writer(self) -> Callable[[memoryview], int]:
        """What sends a piece and says how much of it went: the socket's own, or its TLS's own.

        Streams set the time-out for each piece anew: a call into the kernel, for nothing. TLS
        within a proxy's TLS has no socket of its own.
        """
        tls = self.stream.get_extra_info("ssl_object")
        if self.sock is None or isinstance(tls, ssl.SSLObject):
            return self._write_stream
        self.sock.settimeout(None)
        return self.sock.send if tls is None else cast("Callable[[memoryview], int]", tls.write)

    def _write_stream(self, data: memoryview) -> int:
        self.stream.write(data, None)
        return len(data)

    def wake(self) -> None:
        """End what blocks on the socket. The TLS layer is left alone: it is another thread's.

        What the kernel has taken, but not sent, is dropped when it is closed.
        """
        if self.sock is not None and self.pid == os.getpid():
            try:
                socket.socket.setsockopt(self.sock, socket.SOL_SOCKET, socket.SO_LINGER, _DROP)
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already

    def progress(self) -> int:
        """Bytes that moved so far: what the other side has confirmed, where that can be asked.

        What `moved` counts may be in this machine's own buffers: they swallow megabytes at once,
        and then nothing for as long as a slow link needs to drain them.
        """
        return _confirmed(self.sock) - self.confirmed or self.moved

    def waits_for_answer(self) -> bool:
        """True where everything is out, and nothing of it is still on its way."""
        return self.answer_by_s > 0 and not _on_the_way(self.sock)

    def end(self, why: str) -> None:
        """Cut this try short."""
        self.cut = why
        self.wake()


@dataclass(slots=True)
class StorageTimeouts:
    """Seconds: to connect, to move 64 KiB, and to answer once the whole part is out."""

    connect_s: float = 30.0
    stall_s: float = 60.0
    answer_s: float = 600.0


class _Lanes:
    """The connections of one process that are idle, and the watch over those that are not."""

    def __init__(self, timeouts: StorageTimeouts) -> None:
        self.lock = threading.Lock()
        self.idle: list[_Lane] = []
        self.watchdog = _Watchdog(timeouts)


class Storage:
    """The stores' side: many connections, no credentials. Any thread may call it."""

    def __init__(self, base_url: str, timeouts: StorageTimeouts) -> None:
        self._base_url = base_url
        self._timeouts = timeouts
        self._lanes = process.PerProcess(lambda: _Lanes(timeouts))
        http.quiet_logs()

    def put(self, url: Secret, body: Body, stop: CancelToken) -> Verdict:
        """Send one part, once, from the calling thread.

        Raises:
            SourceChanged: the source gave fewer bytes than it has.
            TransferError: the URL is not one to send anything to.
        """
        target = http.checked_upload_url(url, self._base_url)
        with (
            http.Sealed(),
            self._lane(target) as lane,
            self._lanes.get().watchdog.watching(lane),
            stop.waking(lambda: lane.end("stopped")),
        ):
            try:
                return self._exchange(lane, target, body, stop)
            except httpx.RequestError as error:
                return _no_answer(error, lane, stop)

    def _exchange(
        self, lane: _Lane, target: http.SignedURL, body: Body, stop: CancelToken
    ) -> Verdict:
        request = httpx.Request(
            "PUT",
            target,
            headers=_headers(body),
            content=_pieces(lane, body, stop, self._timeouts),
            extensions=self._extensions(lane),
        )
        request.url = target
        reply = lane.client.send(request, stream=True)
        try:
            text = _read_some(reply)
        finally:
            reply.close()
        return judge(reply.status_code, reply.headers, text)

    def _extensions(self, lane: _Lane) -> dict[str, Any]:
        waits = self._timeouts
        timeout = {
            "connect": waits.connect_s,
            "read": waits.answer_s,
            "write": None,  # the watchdog sees further: what is slow but steady may go on
            "pool": waits.connect_s,
        }
        return {"timeout": timeout, "trace": lane.trace}

    @contextmanager
    def _lane(self, target: httpx.URL) -> Iterator[_Lane]:
        proxy = http.proxy_for(target)
        lanes = self._lanes.get()
        with lanes.lock:
            fits = [no for no, one in enumerate(lanes.idle) if one.proxy == proxy]
            lane = lanes.idle.pop(fits[-1]) if fits else None
        lane = lane or _Lane(_new_client(target), proxy)
        lane.moved = lane.seen = 0
        lane.confirmed = _confirmed(lane.sock)
        lane.resting, lane.cut = False, ""
        try:
            yield lane
        except BaseException:
            lane.client.close()
            raise
        if lane.cut:
            lane.client.close()
            return
        with lanes.lock:
            lanes.idle.append(lane)

    @contextmanager
    def reading(
        self, url: Secret, stop: CancelToken, first: int, last: int | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to GET with `Range: bytes=first-last`, without credentials or redirects."""
        target = http.checked_upload_url(url, self._base_url)
        span = f"bytes={first}-{'' if last is None else last}"
        waits = httpx.Timeout(self._timeouts.stall_s)
        with http.Sealed(), self._lane(target) as lane, stop.waking(lambda: lane.end("stopped")):
            request = httpx.Request(
                "GET",
                target,
                headers={"range": span, "accept-encoding": "identity"},
                extensions={"timeout": waits.as_dict(), "trace": lane.trace},
            )
            request.url = target
            reply = lane.client.send(request, stream=True)
            try:
                yield reply
            finally:
                reply.close()

    def close(self) -> None:
        """Close the connections that are idle."""
        lanes = self._lanes.get()
        with lanes.lock:
            idle, lanes.idle = lanes.idle, []
        for lane in idle:
            lane.client.close()


def _hold_little(sock: socket.socket) -> None:
    """Have this machine's buffers take what is on its way, and little more.

    Otherwise they swallow megabytes at once, which then look as if they were sent.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with contextlib.suppress(OSError):
            socket.socket.setsockopt(sock, socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


def _confirmed(sock: socket.socket | None) -> int:
    """Bytes that the other side's kernel has confirmed on this connection; 0 where unknown."""
    info = _tcp_info(sock)
    return struct.unpack_from("=Q", info, _ACKED)[0] if len(info) >= _ACKED + 8 else 0


def _on_the_way(sock: socket.socket | None) -> bool:
    """True where bytes are in this machine's buffers that the other side has not confirmed."""
    info = _tcp_info(sock)
    if len(info) < _NOT_SENT + 4:
        return False
    return any(struct.unpack_from("=I", info, at)[0] for at in (_UNACKED, _NOT_SENT))


def _tcp_info(sock: socket.socket | None) -> bytes:
    """Linux's struct tcp_info; empty elsewhere, and of what is closed."""
    if sock is None or not hasattr(socket, "TCP_INFO"):
        return b""
    try:
        return socket.socket.getsockopt(sock, socket.IPPROTO_TCP, socket.TCP_INFO, _NOT_SENT + 4)
    except OSError:
        return b""


def total_of(reply: httpx.Response) -> int | None:
    """The size of the whole, from the answer to `bytes=0-0`; None: it does not say."""
    if reply.status_code in (206, 416):
        total = reply.headers.get("content-range", "").rpartition("/")[2]
    else:  # 200: it ignored the range, or the file is empty
        total = reply.headers.get("content-length", "") if reply.status_code == 200 else ""
    return int(total) if total.isdigit() else None


def _new_client(target: httpx.URL) -> httpx.Client:
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=20)
    return httpx.Client(
        verify=http.tls_context(),
        limits=limits,
        follow_redirects=False,
        proxy=http.httpx_proxy(target),
        trust_env=False,
    )


def _headers(body: Body) -> dict[str, str]:
    length = {"content-length": str(body.size)}
    return {**length, "content-type": body.content_type} if body.content_type else length


def _pieces(lane: _Lane, body: Body, stop: CancelToken, waits: StorageTimeouts) -> Iterator[bytes]:
    """Send the part's bytes, each piece from the lane's buffer; then say how many they were."""
    sent, stride, told_s = 0, _FIRST_STRIDE, 0.0
    pump = _Pump(lane, body)
    while sent < body.size:
        wanted = min(stride, body.size - sent)
        lane.resting = True  # a bandwidth limit or a slow disk is no stall of the network
        if body.pace is not None:
            wanted = body.pace(wanted, stop)
        if stop:
            raise httpx.WriteError(stop.reason)
        if lane.pid != os.getpid():
            raise httpx.WriteError("a forked process must not use its parent's connection")
        began_s = time.monotonic()
        sent += pump.send(sent, wanted)
        now_s = time.monotonic()
        lane.moved = sent
        stride = _next_stride(stride, now_s - began_s)
        if now_s - told_s >= _TELL_S or sent == body.size:
            told_s = now_s
            body.on_sent(sent)
    lane.resting = False
    lane.answer_by_s = time.monotonic() + waits.answer_s
    if body.size:
        yield _Sent.of(body.size)


class _Pump:
    """Moves bytes of a body into a lane's connection, in as few steps as there can be.

    Each piece finds the processor's caches full of the last one's bytes: every line of Python
    between two of them costs ten times what it costs elsewhere.
    """

    def __init__(self, lane: _Lane, body: Body) -> None:
        self._lane, self._body = lane, body
        self._write = lane.writer()
        self._file = region_of(body.source)
        self._to_kernel: socket.socket | None = None
        if type(lane.sock) is socket.socket and body.digest is None and hasattr(os, "sendfile"):
            self._to_kernel = lane.sock

    def send(self, sent: int, wanted: int) -> int:
        """Send at most `wanted` bytes from the body's byte `sent`; returns how many went.

        Raises:
            SourceChanged: the source gave fewer.
        """
        offset = self._body.start + sent
        if self._file and self._to_kernel:
            if went := self._send_file(self._to_kernel, *self._file, offset, wanted):
                return went
            self._to_kernel = None
        lane, write, digest = self._lane, self._write, self._body.digest
        end = offset + wanted
        while offset < end:
            room = lane.buffer if end - offset >= _PIECE else lane.buffer[: end - offset]
            lane.resting = True
            data = self._read(offset, room)
            if digest is not None:
                digest(data)
            lane.resting = False
            try:
                went = write(data)
                while went < len(data):
                    went += write(data[went:])
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error
            offset += went
        return wanted

    def _read(self, offset: int, room: memoryview) -> memoryview:
        if self._file and hasattr(os, "preadv"):
            try:
                if os.preadv(self._file[0], (room,), self._file[1] + offset) == len(room):
                    return room
            except OSError:
                pass  # the source reads again, and says what is wrong
        data = read_piece(self._body.source, offset, room)
        if len(data) != len(room):
            name, end = self._body.source.name or "The content", self._body.start + self._body.size
            raise SourceChanged(f"{name} ended {end - offset - len(data)} bytes early.")
        return data

    def _send_file(self, sock: socket.socket, fd: int, start: int, offset: int, wanted: int) -> int:
        """Let the kernel send from the file itself; 0: read and write, and see what is wrong."""
        self._lane.resting = False
        try:
            return os.sendfile(sock.fileno(), fd, start + offset, wanted)
        except OSError:
            return 0


def _next_stride(stride: int, took_s: float) -> int:
    """Longer while it goes fast, shorter where one takes so long that nothing seems to move.

    Buffers take the first ones at once, also on a slow link: what comes then is far too long.
    """
    if took_s < 0.05:
        return min(_LARGEST_STRIDE, stride * 2)
    return max(_FIRST_STRIDE // 4, stride // 4) if took_s > 0.25 else stride


def _read_some(reply: httpx.Response) -> str:
    """The first 64 KiB of the answer: more than any store has to say."""
    text = b""
    for piece in reply.iter_bytes():
        text += piece
        if len(text) >= _ANSWER_READ:
            break
    return text[:_ANSWER_READ].decode("utf-8", "replace")


def judge(status: int, headers: Mapping[str, str], text: str) -> Verdict:
    """What the store's answer to a part means."""
    said = _store_code(text)
    if status in (200, 201):
        if not _is_clean(headers, text):
            return Verdict(
                False,
                f"the answer was {status} with a body that no store gives ({said or 'a page?'})",
                retry=True,
                hint="Is there a login page or a proxy between you and the store?",
            )
        return Verdict(True, status=status, checksums=_checksums(headers))
    words = f"the store says {status}" + (f" {said}" if said else "")
    if 300 <= status < 400:
        host = http.host_of(headers.get("location", "")) or "another address"
        return Verdict(
            False, f"{words}, and points to {host}; redirects are not followed", status=status
        )
    if status == 403 or (status == 400 and _says_expired(text)):  # GCS says so with 400
        return _forbidden(status, words, headers, text)
    asked = headers.get("cdf-is-auto-retryable", "").lower() == "true"
    return Verdict(
        False,
        words,
        retry=status in RETRYABLE or asked or status < 300,
        status=status,
        overloaded=status in (429, 503),
        retry_after=headers.get("retry-after"),
        retryable=asked or status < 300,
        now=http.server_time(headers),
    )


def _forbidden(status: int, words: str, headers: Mapping[str, str], text: str) -> Verdict:
    """The URL has expired, this machine's clock is off, or the signature does not fit."""
    there = http.server_time(headers)
    if "requesttimetooskewed" in text.lower() and there is not None:
        off = abs((datetime.now(there.tzinfo) - there).total_seconds()) / 60
        return Verdict(
            False,
            f"{words}: your clock is off by {off:.0f} min",
            status=status,
            hint=f"This machine's clock is off by {off:.0f} min; set it, and go on.",
        )
    expired = _says_expired(text)
    return Verdict(
        False,
        f"{words}: the upload URL has expired" if expired else words,
        status=status,
        expired=expired,
        hint="Open the upload again: CDF then hands out fresh URLs." if expired else "",
    )


def _says_expired(text: str) -> bool:
    """S3 and GCS say "expired"; Azure names the time frame."""
    lower = text.lower()
    return "<error" in lower and (
        "expired" in lower or "signature not valid in the specified time frame" in lower
    )


def _store_code(text: str) -> str:
    found = _CODE.search(text)
    return found.group(1) if found else ""


def _is_clean(headers: Mapping[str, str], text: str) -> bool:
    start = text.lstrip("\ufeff \r\n\t")[:512].lower()
    page = "text/html" in headers.get("content-type", "").lower() or start.startswith(
        ("<html", "<!doctype")
    )
    return not page and "<error" not in start


def _checksums(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The store's own checksums as it gave them: `etag`, `content-md5`, `crc32c`, `md5`."""
    found = [(name, headers[name]) for name in ("etag", "content-md5") if headers.get(name)]
    for pair in headers.get("x-goog-hash", "").split(","):
        name, _, value = pair.strip().partition("=")
        if value:
            found.append((f"x-goog-{name}", value))
    return tuple(found)


def _no_answer(error: httpx.RequestError, lane: _Lane, stop: CancelToken) -> Verdict:
    if stop:
        return Verdict(False, stop.reason or "stopped")
    if lane.cut:
        return Verdict(False, lane.cut, retry=True, overloaded=True)
    if (problem := http.certificate_problem(error)) is not None:
        return Verdict(False, f"the store is not trusted: {problem}", hint=http.CERTIFICATE_HINT)
    if http.proxy_refused(error):
        return Verdict(False, "the proxy refused with 407", status=407, hint=http.PROXY_HINT)
    slow = isinstance(error, httpx.TimeoutException)
    return Verdict(
        False, http.in_words(error), retry=True,
        offline=http.never_connected(error), overloaded=slow,
    )  # fmt: skip


@dataclass(slots=True)
class _Watchdog:
    """Looks at all parts in flight and cuts those that stand still.

    httpx's time-outs are per socket operation: a server that drips, or takes a byte a second, never
    trips them.
    """

    waits: StorageTimeouts
    by_id: dict[int, _Lane] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread: threading.Thread | None = None
    wakeup: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self, lane: _Lane) -> Iterator[None]:
        """Keep an eye on the lane within the block."""
        lane.since_s, lane.answer_by_s = time.monotonic(), 0.0
        with self.lock:
            self.by_id[id(lane)] = lane
            if self.thread is None:
                self.thread = threading.Thread(
                    target=self._run, name="cognite_nb_upload-watchdog", daemon=True
                )
                self.thread.start()
        try:
            yield
        finally:
            with self.lock:
                del self.by_id[id(lane)]

    def _run(self) -> None:
        """Look several times per stall time; end when there is nothing left to look at."""
        while True:
            self.wakeup.wait(min(1.0, self.waits.stall_s / 8))
            with self.lock:
                if not self.by_id:
                    self.thread = None
                    return
                lanes = list(self.by_id.values())
            for lane in lanes:
                self._look(lane, time.monotonic())

    def _look(self, lane: _Lane, now_s: float) -> None:
        moved = lane.progress()
        if lane.answer_by_s and now_s > lane.answer_by_s:
            lane.end(f"no whole answer within {self.waits.answer_s:.0f} s")
        elif lane.resting or lane.waits_for_answer() or moved - lane.seen >= _STALL_BYTES:
            lane.seen, lane.since_s = moved, now_s
        elif now_s - lane.since_s > self.waits.stall_s:
            lane.end(f"less than 64 KiB moved in {self.waits.stall_s:.0f} s")
