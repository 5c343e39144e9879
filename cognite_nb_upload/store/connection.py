"""One connection to a store, in one thread: HTTP/1.1, a request after another.

Rules of this file: nothing blocks but one wait for the socket, so that an early answer, a closed
connection, a stall and a cancel are all seen by the thread that sends; only the time that is spent
waiting for the network counts as a stall. A body has an exact length, and goes from its buffer, or
from its file, to the socket: h11 counts it without seeing it. Other threads may call `wake` alone.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, cast

import h11

from cognite_nb_upload import http
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.store.answer import Answer, Cancelled, NoAnswer, Stalled
from cognite_nb_upload.store.connect import Route, Waiter, connect
from cognite_nb_upload.store.stream import (
    Ready,
    Stream,
    TCPStream,
    confirmed,
    drop_unsent,
    hold_little,
    on_the_way,
    send_full_packets,
    tcp_counts,
)
from cognite_nb_upload.store.traffic import Traffic
from cognite_nb_upload.store.url import SignedURL

# What is throttled and told at once: little at first, so that a slow link still shows progress.
_FIRST_STRIDE: Final = 64 * KIB
_LARGEST_STRIDE: Final = 4 * MIB
# What is read and written at once: the more connections there are, the less each of them holds.
_PIECES: Final = ((6, MIB), (10, 512 * KIB), (20, 256 * KIB), (1 << 30, 128 * KIB))
# A part that moves less than this within the stall time-out stands still, whatever drips.
_STALL_BYTES: Final = 64 * KIB
# What was sent is told this often, in seconds: more than anybody can see.
_TELL_S: Final = 0.1
_RECEIVE: Final = 64 * KIB
# A head is sent together with so much of the body at most: they are copied into one.
_WITH_HEAD: Final = 64 * KIB
# More than any store has to say, the answers before the answer (100 Continue) among it.
_TEXT: Final = 64 * KIB
_MOST: Final = 256 * KIB
# So long, in seconds, the words of a refusal are waited for: its status says enough.
_WORDS_S: Final = 1.0
# An idle connection that is older than this, in seconds, is likely to be closed by its store.
_IDLE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class StoreTimeouts:
    """Seconds: to connect, to move 64 KiB, and to answer once the whole part is out."""

    connect_s: float = 30.0
    stall_s: float = 60.0
    answer_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Body:
    """What a PUT carries.

    Attributes:
        size: bytes, exactly.
        read: `read(at, room)` gives as many bytes as `room` has, from the body's byte `at`: in
            `room`, or where they are already. Called in order, once for each byte.
        file: an open file and where the body begins in it, which the kernel may send instead.
        throttle: `throttle(wanted)` returns, when some of the wanted bytes may go, how many.
        on_sent: is told from time to time how many bytes have been handed to the network.
    """

    size: int
    read: Callable[[int, memoryview], memoryview]
    file: tuple[int, int] | None = None
    throttle: Callable[[int], int] | None = None
    on_sent: Callable[[int], None] = lambda sent: None


def piece_size(connections: int) -> int:
    """Bytes that each of so many connections reads and writes at once."""
    return next(size for most, size in _PIECES if connections <= most)


class Connection:
    """One connection of a route, made when it is first used.

    Attributes:
        route: where it leads.
        piece: bytes that are read and written at once from the next request on.
    """

    def __init__(
        self, route: Route, timeouts: StoreTimeouts, traffic: Traffic | None = None
    ) -> None:
        self.route = route
        self.piece = piece_size(1)
        self._timeouts, self._traffic = timeouts, traffic
        self._waiter = Waiter()
        self._stream: Stream | None = None
        self._protocol = h11.Connection(h11.CLIENT)
        self._buffer: memoryview | None = None
        self._over = True  # the last request and its answer, both whole
        self._used_s = 0.0

    def wake(self) -> None:
        """End what is being waited for, from any thread. The connection is of no more use."""
        self._waiter.wake()

    def open(self, cancel: CancelToken) -> None:
        """Connect now, for a request that comes later; errors as `put`."""
        self._waiter.cancel = cancel
        with cancel.waking(self._waiter.wake):
            self._connect()
        self._over = not cancel
        self._used_s = time.monotonic()

    def put(
        self, url: SignedURL, headers: Mapping[str, str], body: Body, cancel: CancelToken
    ) -> Answer:
        """Send one part, and return what the store says of it.

        Raises:
            NotConnected, ProxyRefused: nothing was sent.
            Stalled: less than 64 KiB moved within the stall time-out, or no answer came in time.
            NoAnswer: the connection broke, or the answer is not HTTP.
            Cancelled: `cancel` was set.
        """
        with self._exchange(cancel) as exchange:
            length = {"content-length": str(body.size)}
            exchange.send_head("PUT", url, {**length, **headers})
            exchange.send_body(body, self._room)
            return exchange.answer()

    @contextmanager
    def get(
        self, url: SignedURL, headers: Mapping[str, str], cancel: CancelToken
    ) -> Iterator[Reply]:
        """The answer to a GET, whose body is read piece by piece; errors as `put`."""
        with self._exchange(cancel) as exchange:
            exchange.send_head("GET", url, headers)
            exchange.end_request()
            exchange.wait_for_head()
            yield Reply(exchange, self._room())
            with suppress(NoAnswer):
                exchange.finish()

    @contextmanager
    def post(
        self, url: SignedURL, headers: Mapping[str, str], content: bytes, cancel: CancelToken
    ) -> Iterator[Reply]:
        """The answer to a POST of a few bytes, read as that to a GET; errors as `put`."""
        with self._exchange(cancel) as exchange:
            length = {"content-length": str(len(content))}
            exchange.send_head("POST", url, {**length, **headers})
            exchange.send_content(content)
            exchange.wait_for_head()
            yield Reply(exchange, self._room())
            with suppress(NoAnswer):
                exchange.finish()

    @contextmanager
    def _exchange(self, cancel: CancelToken) -> Iterator[_Exchange]:
        waiter = self._waiter
        waiter.cancel = cancel
        self._over = False
        with cancel.waking(waiter.wake):
            try:
                stream = self._connect()
                exchange = _Exchange(stream, self._protocol, waiter, self._timeouts)
                yield exchange
            except NoAnswer:
                if cancel:  # what broke is what `wake` has cut
                    raise Cancelled(cancel.reason) from None
                raise
        self._over = exchange.is_over and not cancel
        if exchange.went_around:
            self._protocol = h11.Connection(h11.CLIENT)
        self._used_s = time.monotonic()

    def _connect(self) -> Stream:
        if self._stream is None:
            self._stream = connect(self.route, self._waiter, self._timeouts.connect_s)
            if self._traffic is not None:
                self._traffic.begins(self._stream.sock)
        return self._stream

    def _room(self) -> memoryview:
        """The buffer for one piece: its pages are used again, since new ones cost a fifth more."""
        if self._buffer is None or len(self._buffer) != self.piece:
            self._buffer = _page_aligned(self.piece)
        return self._buffer

    @property
    def is_over(self) -> bool:
        """True where the last request and its answer are whole: another one may follow."""
        return self._over and self._stream is not None

    @property
    def is_old(self) -> bool:
        """True where it was not used for so long that its store is likely to have closed it."""
        return time.monotonic() - self._used_s > _IDLE_S

    def reusable(self) -> bool:
        """True where another request may be sent: the last one is over, and the store is there."""
        if not self._over or self._stream is None or self.is_old:
            return False
        try:  # None: nothing has come. What else comes unasked is its end.
            return self._stream.recv(1) is None
        except OSError:
            return False

    def close(self) -> None:
        """Close it; what a request that is not over has left in this machine is not sent."""
        if not self._over and self._stream is not None:
            drop_unsent(self._stream.sock)
        if self._traffic is not None and self._stream is not None:
            self._traffic.ends(self._stream.sock)
        self._waiter.close()
        self._buffer = None


def _page_aligned(size: int) -> memoryview:
    """Memory of this process alone: anonymous maps are shared with forked children otherwise."""
    if sys.platform == "win32":
        return memoryview(mmap.mmap(-1, size))
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        stream: Stream,
        protocol: h11.Connection,
        waiter: Waiter,
        timeouts: StoreTimeouts,
    ) -> None:
        self._stream, self._protocol, self._waiter = stream, protocol, waiter
        self._timeouts = timeouts
        self._confirmed = confirmed(stream.sock)
        self._sent = 0
        self._unsent_head = b""
        self._seen, self._waited_s = 0, 0.0
        self._received = 0
        self.head: h11.Response | None = None
        self._head_s = 0.0
        self._early = False
        self._pieces: list[bytes] = []
        self._body = 0  # bytes of it that h11 has seen
        self._left: int | None = None  # bytes of it that go around h11
        self.whole = False

    @property
    def is_over(self) -> bool:
        """True where both sides have said all, and may begin the next one."""
        protocol = self._protocol
        done = protocol.our_state is h11.DONE and protocol.their_state is h11.DONE
        return (done or self.went_around) and self.whole and not self._early

    @property
    def trip_s(self) -> float:
        """The shortest round trip that was seen, in seconds; 0 where it is not known."""
        counts = tcp_counts(self._stream.sock)
        return counts.shortest_ms / 1e3 if counts else 0.0

    @property
    def went_around(self) -> bool:
        """True where the rest of the body was not shown to h11, which has to begin afresh."""
        return self._left is not None

    # --- sending ----------------------------------------------------------------------------

    def send_head(self, method: str, url: SignedURL, headers: Mapping[str, str]) -> None:
        if self._protocol.our_state is h11.DONE:
            self._protocol.start_next_cycle()
        request = h11.Request(
            method=method,
            target=url.target(),
            headers=[("host", url.netloc), *headers.items()],
        )
        self._unsent_head = self._protocol.send(request) or b""

    def end_request(self) -> None:
        """All of the body is out, or there is none."""
        self._send_head_alone()
        self._protocol.send(h11.EndOfMessage())

    def send_content(self, content: bytes) -> None:
        """Send all of the body at once, unless an answer comes first."""
        if self._send(memoryview(content)) == len(content):
            self._protocol.send_with_data_passthrough(h11.Data(data=content))
            self.end_request()

    def _send_head_alone(self) -> None:
        head, self._unsent_head = self._unsent_head, b""
        if head:
            self._send_all(memoryview(head))

    def send_body(self, body: Body, room: Callable[[], memoryview]) -> None:
        """Send it, unless an answer comes first."""
        if body.size > _WITH_HEAD:  # less is one write, head and all
            send_full_packets(self._stream.sock, only=True)
        stride, told_s, fast = _FIRST_STRIDE, 0.0, False
        while self._sent < body.size:
            wanted = min(stride, body.size - self._sent)
            if body.throttle is not None:
                wanted = body.throttle(wanted)
            self._waiter.check()
            began_s = time.monotonic()
            self._send_stride(body, self._sent + wanted, room)
            now_s = time.monotonic()
            stride = _next_stride(stride, now_s - began_s)
            if fast is not (stride == _LARGEST_STRIDE):
                fast = not fast
                hold_little(self._stream.sock, fast=fast)
            if now_s - told_s >= _TELL_S or self._sent == body.size:
                told_s = now_s
                body.on_sent(self._sent)
            if self.head is not None:
                return
        if body.size > _WITH_HEAD:
            send_full_packets(self._stream.sock, only=False)
        if fast:  # the next part finds it as this one did
            hold_little(self._stream.sock)
        if body.size:
            # Counted, not seen: what h11 documents for bodies that others send (sendfile).
            counted = cast("bytes", range(body.size))
            self._protocol.send_with_data_passthrough(h11.Data(data=counted))
        self.end_request()

    def _send_stride(self, body: Body, end: int, room: Callable[[], memoryview]) -> None:
        """Send up to the body's byte `end`; less where an answer comes first.

        It is looked for at first, and where nothing can be sent on; never after the last byte:
        then it is not early.
        """
        if self._answered():
            return
        if body.file is not None and isinstance(self._stream, TCPStream):
            self._send_file(self._stream, *body.file, end)
        while self._sent < end and self.head is None:
            buffer = room()[: end - self._sent]
            went = self._send(body.read(self._sent, buffer))
            self._sent += went
            if went < len(buffer):
                return

    def _send_file(self, stream: TCPStream, fd: int, start: int, end: int) -> None:
        """Let the kernel send from the file itself; what it cannot send is left."""
        self._send_head_alone()
        while self._sent < end:
            try:
                went = stream.send_file(fd, start + self._sent, end - self._sent)
            except BlockingIOError:
                if self._wait(write=True) == "read" and self._answered():
                    return
                continue
            except ConnectionError as error:
                return self._end_early(error)
            except OSError:
                return  # read it, and see what is wrong
            if not went:
                return
            self._sent += went

    def _send(self, data: memoryview) -> int:
        """Send all of it; returns how much went before an answer came.

        The head goes with the first of it: a small request is one call of the system, and one
        packet where it fits.
        """
        if self._unsent_head and len(data) <= _WITH_HEAD:
            head, self._unsent_head = self._unsent_head, b""
            return max(0, self._send_all(memoryview(head + data)) - len(head))
        self._send_head_alone()
        return self._send_all(data)

    def _send_all(self, data: memoryview) -> int:
        at = 0
        while at < len(data):
            try:
                went = self._stream.send(data[at:] if at else data)
            except OSError as error:
                self._end_early(error)
                return at
            at += went
            if not went and self._wait(write=True) == "read" and self._answered():
                return at
        return at

    def _end_early(self, error: OSError) -> None:
        """It cannot be sent on; the store's own words, if there are any, count for more."""
        if not self._answered():
            raise NoAnswer(_broken(error)) from error

    def _wait(self, *, write: bool) -> Ready:
        began_s = time.monotonic()
        ready = self._waiter.wait(self._timeouts.stall_s, write=write)
        self._check_stall(time.monotonic() - began_s)
        return ready

    def _check_stall(self, waited_s: float) -> None:
        """Count time that was spent waiting for the network; what moved since puts it back to 0."""
        self._waited_s += waited_s
        limit_s = self._timeouts.stall_s
        if self._waited_s < limit_s / 8:
            return
        if (moved := self._moved()) - self._seen >= _STALL_BYTES:
            self._seen, self._waited_s = moved, 0.0
        elif self._waited_s > limit_s:
            raise Stalled(f"less than 64 KiB moved in {limit_s:.0f} s")

    def _moved(self) -> int:
        """Bytes that moved so far: what the other side has confirmed, where that can be asked.

        What was sent may be in this machine's own buffers: they swallow megabytes at once, and then
        nothing for as long as a slow link needs to drain them.
        """
        return (confirmed(self._stream.sock) - self._confirmed or self._sent) + self._received

    # --- receiving --------------------------------------------------------------------------

    @property
    def _is_refused(self) -> bool:
        """True where the answer's status is enough: the part is not stored, whatever follows."""
        return self.head is not None and (self._early or self.head.status_code >= 300)

    def answer(self) -> Answer:
        """Wait for the whole answer, or for the status and what there is of a refusal's words."""
        until_s = time.monotonic() + self._timeouts.answer_s
        try:
            while not self.whole:
                if self._is_refused:
                    until_s = min(until_s, self._head_s + _WORDS_S)
                if self._received > _MOST:
                    raise NoAnswer("the answer is longer than any store's")
                self._wait_for_answer(until_s - time.monotonic())
                self._take()
        except NoAnswer:
            if not self._is_refused:
                raise
        if self.head is None:
            raise NoAnswer("the answer does not begin")
        text = b"".join(self._pieces)[:_TEXT].decode("utf-8", "replace")
        return Answer(self.head.status_code, headers_of(self.head), text, self._early)

    def wait_for_head(self) -> None:
        """Wait until the answer has begun."""
        while self.head is None:
            if not self.take_some():
                self._wait(write=False)

    def read_into(self, room: memoryview) -> int:
        """Put the next bytes of the body into `room`; returns how many, 0 at its end.

        A body whose length is known goes from the socket to `room`, without a copy between.

        Raises:
            Stalled: less than 64 KiB came within the stall time-out.
            NoAnswer: it ended early.
        """
        while not self._pieces:
            if self.whole:
                return 0
            if self._left is None and not self._go_around():
                if not self.take_some():
                    self._wait(write=False)
            else:
                return self._receive(room)
        piece = self._pieces.pop(0)
        if len(piece) > len(room):
            self._pieces.insert(0, piece[len(room) :])
        room[: len(piece)] = piece[: len(room)]
        return min(len(piece), len(room))

    def _go_around(self) -> bool:
        """True where all that follows is so many bytes of body, and then another answer."""
        assert self.head is not None  # noqa: S101 # its reader has seen it
        headers = headers_of(self.head)
        length, stays = headers.get("content-length", ""), self.head.http_version == b"1.1"
        if "transfer-encoding" in headers or not length.isdigit() or not stays:
            return False
        if "close" in headers.get("connection", "").lower():
            return False
        self._left = int(length) - self._body
        return True

    def _receive(self, room: memoryview) -> int:
        """Fill `room` from the socket; give what there is where that takes long."""
        self._waiter.check()
        at, most, began_s = 0, min(len(room), self._left or 0), time.monotonic()
        receive, before = self._stream.recv_into, self._received
        while at < most:
            try:  # TLS gives 16 KiB at a time: each line here is run 65 000 times per GiB
                while came := receive(room[at:most]):
                    at += came
            except OSError as error:
                raise NoAnswer(_broken(error)) from error
            self._received = before + at
            if at == most:
                break
            if came == 0:
                raise NoAnswer("the connection was closed without a whole answer")
            if at and time.monotonic() - began_s > _TELL_S:
                break
            self._wait(write=False)
        self._left = (self._left or 0) - at
        self.whole = not self._left
        return at

    def finish(self) -> None:
        """Take what is left of a short answer: then its connection can be used on."""
        assert self.head is not None  # noqa: S101 # its reader has seen it
        length = headers_of(self.head).get("content-length", "")
        until_s = time.monotonic() + _WORDS_S
        if length.isdigit() and int(length) <= _TEXT:
            while not self.whole and (left_s := until_s - time.monotonic()) > 0:
                if not self.take_some():
                    self._waiter.wait(left_s, write=False)

    def take_some(self) -> bool:
        """Take some of what has arrived; False where there is nothing."""
        try:
            data = self._stream.recv(_RECEIVE)
        except OSError as error:
            raise NoAnswer(_broken(error)) from error
        if data is None:
            return False
        self._received += len(data)
        self._protocol.receive_data(data)
        self._events()
        if self.head is None and (not data or self._received > _MOST):
            raise NoAnswer("the connection was closed without a whole answer")
        return True

    def _take(self) -> None:
        while not self.whole and self._received <= _MOST and self.take_some():
            pass

    def _answered(self) -> bool:
        """Take what has arrived; True where an answer has begun."""
        try:
            self._take()
        except NoAnswer:
            if self.head is None:
                raise
        return self.head is not None

    def _events(self) -> None:
        while not self.whole:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                raise NoAnswer("the connection was closed without a whole answer") from error
            if isinstance(event, h11.Response):
                self.head, self._head_s = event, time.monotonic()
                unsent = self._protocol.our_state is h11.SEND_BODY
                self._early = unsent or on_the_way(self._stream.sock)
            elif isinstance(event, h11.Data):
                self._pieces.append(bytes(event.data))
                self._body += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.whole = True  # what h11 says after that is of the next request
            elif not isinstance(event, h11.InformationalResponse):
                return  # it needs more

    def _wait_for_answer(self, seconds: float) -> None:
        if seconds <= 0:
            raise Stalled(f"no whole answer within {self._timeouts.answer_s:.0f} s")
        began_s = time.monotonic()
        self._waiter.wait(seconds, write=False)
        if on_the_way(self._stream.sock):
            self._check_stall(time.monotonic() - began_s)
        else:  # the store has it all, and may take its time
            self._seen, self._waited_s = self._moved(), 0.0


class Reply:
    """The answer to a GET, whose body is still to come.

    Attributes:
        status_code: HTTP status.
        headers: by lower-case name.
    """

    def __init__(self, exchange: _Exchange, room: memoryview) -> None:
        head = exchange.head
        assert head is not None  # noqa: S101 # it is made once the answer has begun
        self._exchange, self._room = exchange, room
        self.status_code = head.status_code
        self.headers = headers_of(head)

    @property
    def trip_s(self) -> float:
        """The shortest round trip on its connection, in seconds; 0 where it is not known."""
        return self._exchange.trip_s

    def pieces(self) -> Iterator[memoryview]:
        """The body, undecoded, as it comes; each piece is good until the next one is asked for.

        Raises:
            NoAnswer: it broke off, or stalled.
        """
        while came := self._exchange.read_into(self._room):
            yield self._room[:came]


def headers_of(head: h11.Response) -> dict[str, str]:
    """The headers by lower-case name; those that came several times are joined by a comma."""
    found: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _broken(error: OSError) -> str:
    words = http.in_words(error)
    if words != type(error).__name__:
        return words
    return f"the connection broke ({getattr(error, 'reason', None) or error.strerror or words})"


def _next_stride(stride: int, took_s: float) -> int:
    """Longer while it goes fast, shorter where one takes so long that nothing seems to move.

    Buffers take the first ones at once, also on a slow link: what comes then is far too long.
    """
    if took_s < 0.05:
        return min(_LARGEST_STRIDE, stride * 2)
    return max(_FIRST_STRIDE // 4, stride // 4) if took_s > 0.25 else stride
