"""Bytes to and from one host, without ever blocking: TCP, TLS, and TLS within a proxy's TLS.

Rules of this file: a stream is used by one thread; whoever has to wait, waits in `wait`, and sees
there what the socket has to say. Nothing here knows HTTP.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import sys
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from cognite_nb_upload.core.plan import KIB, MIB

# A record of TLS is at most 16 KiB: what is encrypted by hand goes in a few of them at once.
_RECORDS: Final = 64 * KIB
# What may wait in this machine's buffers beside what is on its way; and where it goes so fast that
# this is gone in a moment: a thread that is woken less often costs less CPU.
_UNSENT: Final = MIB
_UNSENT_WHERE_FAST: Final = 3 * MIB
# Where Linux's struct tcp_info has tcpi_unacked, tcpi_last_data_recv (in ms), tcpi_bytes_acked and
# tcpi_notsent_bytes; and further ones: rtt and min_rtt are in us, as are the times; each kernel
# only adds.
_UNACKED: Final = 24
_RECEIVED_MS: Final = 52
_RTT: Final = 68
_AGAIN: Final = 100
_ACKED: Final = 120
_NOT_SENT: Final = 144
_SHORTEST: Final = 148
_PACKETS: Final = 156
_TIMES: Final = 168
_KNOWN: Final = 192
# Bytes of Linux's longest name of a rule.
_LONGEST_RULE: Final = 16
# So many us are no round trip, but none yet.
_UNKNOWN_US: Final = 2**32 - 1
# SO_LINGER: on, for 0 s. A struct of ints; of shorts on Windows.
_DROP: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)

# What a handshake waits for; "" once it is made.
Wants = Literal["", "read", "write"]
# What a socket is ready for; "read" where it may be both, "" where it is neither.
Ready = Literal["", "read", "write"]


class Stream(Protocol):
    """A connection to one host."""

    @property
    def sock(self) -> socket.socket:
        """The TCP socket below it all."""
        ...

    def send(self, data: memoryview) -> int:
        """Send some of `data`; returns how many bytes went.

        0: nothing can go now. Wait, and call again with the same bytes: TLS may have taken some.
        """
        ...

    def recv(self, size: int) -> bytes | None:
        """At most `size` bytes; b"" at the end; None where nothing is there yet."""
        ...

    def recv_into(self, room: memoryview) -> int | None:
        """`recv` into `room`, without an object for each piece; returns how many bytes came."""
        ...


class TCPStream:
    """A connected, non-blocking TCP socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, data: memoryview) -> int:
        """See `Stream.send`."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def recv(self, size: int) -> bytes | None:
        """See `Stream.recv`."""
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return None

    def recv_into(self, room: memoryview) -> int | None:
        """See `Stream.recv_into`."""
        try:
            return self.sock.recv_into(room)
        except BlockingIOError:
            return None

    def send_file(self, fd: int, at: int, size: int) -> int:
        """Let the kernel send `size` bytes of an open file from `at`; returns how many went.

        Raises:
            BlockingIOError: nothing can go now.
            OSError: this file or this system does not do it.
        """
        return os.sendfile(self.sock.fileno(), fd, at, size)


class TLSStream:
    """TLS on a TCP socket, whose handshake is still to be made."""

    sock: ssl.SSLSocket

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self.sock = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)

    def handshake(self) -> Wants:
        """Go on with the handshake as far as it goes."""
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return "read"
        except ssl.SSLWantWriteError:
            return "write"
        return ""

    def send(self, data: memoryview) -> int:
        """See `Stream.send`."""
        try:
            return self.sock.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def recv(self, size: int) -> bytes | None:
        """See `Stream.recv`. A session ticket is no data: then nothing is there."""
        try:
            return self.sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def recv_into(self, room: memoryview) -> int | None:
        """See `Stream.recv_into`."""
        try:
            return self.sock.recv_into(room)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None


class NestedTLSStream:
    """TLS within another stream: to a store, through a proxy that is itself reached by TLS.

    A socket has one layer of TLS at most, so this one is kept in memory.
    """

    def __init__(self, under: Stream, context: ssl.SSLContext, host: str) -> None:
        self.sock = under.sock
        self._under = under
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host)
        self._encrypted = memoryview(b"")
        self._taken = 0  # of the caller's bytes, encrypted but not all sent

    def handshake(self) -> Wants:
        """Go on with the handshake as far as it goes."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if not self._flush():
                    return "write"
                if not self._fill():
                    return "read"
            else:
                return "" if self._flush() else "write"

    def send(self, data: memoryview) -> int:
        """See `Stream.send`."""
        if not self._taken:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._taken = self._tls.write(data[:_RECORDS])
        if not self._flush():
            return 0
        taken, self._taken = self._taken, 0
        return taken

    def recv(self, size: int) -> bytes | None:
        """See `Stream.recv`."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._fill():
                    return None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def recv_into(self, room: memoryview) -> int | None:
        """See `Stream.recv_into`."""
        data = self.recv(len(room))
        if data:
            room[: len(data)] = data
        return None if data is None else len(data)

    def _fill(self) -> bool:
        data = self._under.recv(_RECORDS)
        if data is None:
            return False
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        return True

    def _flush(self) -> bool:
        while True:
            if not self._encrypted:
                self._encrypted = memoryview(self._out.read())
            if not self._encrypted:
                return True
            went = self._under.send(self._encrypted)
            if not went:
                return False
            self._encrypted = self._encrypted[went:]


def wait(sock: socket.socket, seconds: float, *, write: bool) -> Ready:
    """Wait until something has arrived, or may be sent (`write`); "" after so many seconds.

    An end and an error are "read": reading tells what they are.
    """
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if write else 0))
        found = poll.poll(seconds * 1000)
        arrived, may_send = bool(found and found[0][1] != select.POLLOUT), bool(found)
    else:  # Windows
        reads, writes, errors = select.select([sock], [sock] if write else [], [sock], seconds)
        arrived, may_send = bool(reads or errors), bool(writes)
    return "read" if arrived else "write" if may_send else ""


def hold_little(sock: socket.socket, *, fast: bool = False) -> None:
    """Have this machine's buffers take what is on its way, and little more.

    Otherwise they swallow megabytes at once, which then look as if they were sent.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with contextlib.suppress(OSError):
            unsent = _UNSENT_WHERE_FAST if fast else _UNSENT
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)


def send_full_packets(sock: socket.socket, *, only: bool) -> None:
    """Have Linux hold back a packet that is not full, for 200 ms at most; not `only`: send it now.

    A record of TLS is 16 KiB, and each one would go as packets of its own.
    """
    if hasattr(socket, "TCP_CORK"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, int(only))


def cut(sock: socket.socket) -> None:
    """End what another thread waits for on this socket. Its TLS is left alone: it is that thread's.

    What the kernel has taken, but not sent, is dropped when it is closed.
    """
    with contextlib.suppress(OSError):
        drop_unsent(sock)
        # Not sock.shutdown: that of an SSLSocket takes its TLS away.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def drop_unsent(sock: socket.socket) -> None:
    """Have `close` drop what has not been sent, rather than go on sending it."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DROP)


def use_congestion_control(sock: socket.socket, name: str) -> bool:
    """Have TCP decide by another rule how much is on its way; False where the system refuses."""
    if not hasattr(socket, "TCP_CONGESTION"):
        return False
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except OSError:
        return False
    return True


def congestion_control(sock: socket.socket) -> str:
    """The rule by which TCP decides how much is on its way; "" where the system does not tell."""
    try:
        name = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _LONGEST_RULE)
    except (AttributeError, OSError):
        return ""
    return name.rstrip(b"\0").decode()


@dataclass(frozen=True, slots=True)
class TCPCounts:
    """What the kernel tells of one connection: bytes, packets, ms and seconds.

    Attributes:
        confirmed: bytes that the other side has confirmed.
        on_its_way: packets that it has not.
        packets: sent with data; `again` of them were sent again.
        rtt_ms: now; `shortest_ms` is the shortest that was seen.
        busy_s: with something to send; in `held_up_s` of them a window or a buffer was full.
    """

    confirmed: int
    on_its_way: int
    packets: int
    again: int
    rtt_ms: float
    shortest_ms: float
    busy_s: float
    held_up_s: float


def tcp_counts(sock: socket.socket) -> TCPCounts | None:
    """What the kernel tells of a connection; None where it does not tell all of it."""
    info = _tcp_info(sock)
    if len(info) < _KNOWN:
        return None

    def number(at: int, kind: str = "=I") -> int:
        return int(struct.unpack_from(kind, info, at)[0])

    busy, window, buffer = struct.unpack_from("=QQQ", info, _TIMES)
    return TCPCounts(
        number(_ACKED, "=Q"), number(_UNACKED), number(_PACKETS), number(_AGAIN),
        number(_RTT) / 1e3, number(_SHORTEST) % _UNKNOWN_US / 1e3,
        busy / 1e6, (window + buffer) / 1e6,
    )  # fmt: skip


def confirmed(sock: socket.socket) -> int:
    """Bytes that the other side's kernel has confirmed on this connection; 0 where unknown."""
    info = _tcp_info(sock)
    return int(struct.unpack_from("=Q", info, _ACKED)[0]) if len(info) >= _ACKED + 8 else 0


def arrived_s_ago(sock: socket.socket) -> float:
    """Seconds since bytes arrived last, to some milliseconds; 0 where unknown."""
    info = _tcp_info(sock)
    return struct.unpack_from("=I", info, _RECEIVED_MS)[0] / 1e3 if len(info) >= _KNOWN else 0.0


def on_the_way(sock: socket.socket) -> bool:
    """True where bytes are in this machine's buffers that the other side has not confirmed."""
    info = _tcp_info(sock)
    if len(info) < _NOT_SENT + 4:
        return False
    return any(struct.unpack_from("=I", info, at)[0] for at in (_UNACKED, _NOT_SENT))


def _tcp_info(sock: socket.socket) -> bytes:
    """Linux's struct tcp_info; empty elsewhere, and of what is closed."""
    if not hasattr(socket, "TCP_INFO"):
        return b""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _KNOWN)
    except OSError:
        return b""
