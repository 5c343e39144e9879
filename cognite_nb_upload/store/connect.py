"""The way to a host: looked up, connected, through a proxy where there is one, and encrypted.

Rules of this file: everything here ends at its deadline, and at once when it is cancelled; a name
is looked up in a thread of its own, since nothing can end a look-up. The proxy sees a host's name
and nothing else. Certificates are always verified.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import h11
import httpx

from cognite_nb_upload import http, process
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB
from cognite_nb_upload.store.answer import Cancelled, NoAnswer, NotConnected, ProxyRefused
from cognite_nb_upload.store.stream import (
    NestedTLSStream,
    Ready,
    Stream,
    TCPStream,
    TLSStream,
    arrived_s_ago,
    cut,
    hold_little,
    wait,
)

# No wait on a socket is longer, in seconds: where waking it by a shutdown does nothing (Windows,
# while it connects elsewhere than on Linux), a cancel is seen after this.
_SLICE_S: Final = 0.25
_UNDER_WAY: Final = frozenset(
    {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, getattr(errno, "WSAEWOULDBLOCK", 10035)}
)
_SOCKS_REFUSALS: Final = {
    1: "it failed",
    2: "its rules do not allow it",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the host refused the connection",
    6: "it took too long",
    7: "it does not know this command",
    8: "it does not know this kind of address",
}


_spent: Final = threading.local()


def waited_s_of_thread() -> float:
    """Seconds that the calling thread has waited for the network so far.

    What it waited for its turn among the interpreter's threads, after an answer had arrived, is
    not among them (on Linux, to some milliseconds).
    """
    return float(getattr(_spent, "waited_s", 0.0))


@dataclass(frozen=True, slots=True)
class Route:
    """Where to, and by which way: connections of one route can stand in for each other.

    Attributes:
        host: as it is asked for: a name in ASCII, or an address.
        tls: what certificates are verified with; None: not encrypted.
        proxy: http, https, socks5 or socks5h, perhaps with a login; None: directly.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: httpx.URL | None = None


class Waiter:
    """Waits on one socket, in one thread; `wake` ends that from any other thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._pid = os.getpid()
        self.cancel = CancelToken()

    def hold(self, sock: socket.socket) -> None:
        """From now on it is this socket that is waited on."""
        with self._lock:
            self._sock = sock

    def wait(self, seconds: float, *, write: bool) -> Ready:
        """Wait until something has arrived, or may be sent; "" where neither came in time.

        Raises:
            Cancelled: the cancel token is set.
        """
        self.check()
        assert self._sock is not None  # noqa: S101 # there is one before anything is waited for
        began_s = time.monotonic()
        ready = wait(self._sock, min(_SLICE_S, max(0.0, seconds)), write=write)
        waited_s = time.monotonic() - began_s
        if ready and not write:  # since then it was this machine that was waited for
            waited_s = max(0.0, waited_s - arrived_s_ago(self._sock))
        _spent.waited_s = waited_s_of_thread() + waited_s
        self.check()
        return ready

    def check(self) -> None:
        """See that it may go on.

        Raises:
            Cancelled: the cancel token is set.
            NoAnswer: this is a forked child, and the connection its parent's.
        """
        if self.cancel:
            raise Cancelled(self.cancel.reason)
        if os.getpid() != self._pid:
            raise NoAnswer("a forked process must not use its parent's connection")

    def wake(self) -> None:
        """End the wait: this connection is of no more use. A forked child leaves it alone."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._sock is not None:
                cut(self._sock)

    def close(self) -> None:
        """Close the socket."""
        with self._lock:
            sock, self._sock = self._sock, None
            if sock is not None:
                sock.close()


def connect(route: Route, waiter: Waiter, seconds: float) -> Stream:
    """Connect within so many seconds; the socket is the waiter's, which closes it.

    Raises:
        NotConnected: in words; a certificate's error is its cause.
        ProxyRefused: likewise.
        Cancelled: the waiter's cancel token is set.
    """
    try:
        return _Connecting(route, waiter, time.monotonic() + seconds).stream()
    except h11.RemoteProtocolError as error:
        raise ProxyRefused("the proxy's answer is not HTTP") from error
    except OSError as error:
        raise NotConnected(_in_words(error)) from error


class _Connecting:
    """One connection being made, until a moment of the monotonic clock."""

    def __init__(self, route: Route, waiter: Waiter, until_s: float) -> None:
        self._route, self._waiter, self._until_s = route, waiter, until_s

    def stream(self) -> Stream:
        route, proxy = self._route, self._route.proxy
        if proxy is None:
            stream: Stream = self._tcp(route.host, route.port)
        else:
            stream = self._through(proxy)
        return self._tls(stream, route.tls, route.host) if route.tls else stream

    def _left_s(self) -> float:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise NotConnected("no connection in time", slow=True)
        return left_s

    # --- TCP --------------------------------------------------------------------------------

    def _tcp(self, host: str, port: int) -> TCPStream:
        """Try the host's addresses, one after another; each has its share of the time."""
        found = self._addresses(host, port)
        for no, (family, kind, protocol, _, address) in enumerate(found):
            last = no == len(found) - 1
            try:
                return self._tcp_to(family, kind, protocol, address, len(found) - no)
            except OSError:
                if last:
                    raise
            except NotConnected:
                if last or time.monotonic() >= self._until_s:
                    raise
        raise NotConnected("the host has no address")

    def _tcp_to(
        self, family: int, kind: int, protocol: int, address: Any, sharing: int
    ) -> TCPStream:
        sock = socket.socket(family, kind, protocol)
        try:
            process.own(sock.fileno())
            sock.setblocking(False)
            self._waiter.hold(sock)
            code = sock.connect_ex(address)
            until_s = time.monotonic() + self._left_s() / sharing
            while code in _UNDER_WAY:
                if self._waiter.wait(until_s - time.monotonic(), write=True):
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                elif time.monotonic() >= until_s:
                    raise NotConnected("no connection in time", slow=True)
            if code:
                raise OSError(code, os.strerror(code))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hold_little(sock)
        except BaseException:
            self._waiter.close()
            raise
        return TCPStream(sock)

    def _addresses(self, host: str, port: int) -> list[tuple[Any, ...]]:
        with suppress(socket.gaierror):
            return socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        found: queue.SimpleQueue[list[tuple[Any, ...]] | OSError | None] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except OSError as error:
                found.put(error)

        threading.Thread(target=look_up, name="cognite_nb_upload-look-up", daemon=True).start()
        cancel = self._waiter.cancel
        with cancel.waking(lambda: found.put(None)):
            try:
                result = found.get(timeout=self._left_s())
            except queue.Empty:
                raise NotConnected("the host's name was not looked up in time", slow=True) from None
        if cancel:
            raise Cancelled(cancel.reason)
        if isinstance(result, OSError):
            raise result
        return result or []

    # --- TLS --------------------------------------------------------------------------------

    def _tls(self, under: Stream, context: ssl.SSLContext, host: str) -> Stream:
        stream: TLSStream | NestedTLSStream
        if isinstance(under, TCPStream):
            stream = TLSStream(under.sock, context, host)
            self._waiter.hold(stream.sock)  # the one below has given its descriptor away
        else:
            stream = NestedTLSStream(under, context, host)
        while wants := stream.handshake():
            self._waiter.wait(self._left_s(), write=wants == "write")
        return stream

    # --- proxies ----------------------------------------------------------------------------

    def _through(self, proxy: httpx.URL) -> Stream:
        socks = proxy.scheme.startswith("socks")
        port = proxy.port or {"http": 80, "https": 443}.get(proxy.scheme, 1080)
        stream: Stream = self._tcp(proxy.host, port)
        if proxy.scheme == "https":
            stream = self._tls(stream, http.tls_context(), proxy.host)
        (self._socks if socks else self._http_connect)(stream, proxy)
        return stream

    def _http_connect(self, stream: Stream, proxy: httpx.URL) -> None:
        target = _netloc(self._route.host, self._route.port)
        headers = [("host", target), *_login_header(proxy)]
        protocol = h11.Connection(h11.CLIENT)
        self._send(
            stream, protocol.send(h11.Request(method="CONNECT", target=target, headers=headers))
        )
        while True:
            event = protocol.next_event()
            if event is h11.NEED_DATA:
                protocol.receive_data(self._receive(stream, 64 * KIB))
            elif isinstance(event, h11.Response):
                break
        if not 200 <= event.status_code < 300:
            status = event.status_code
            raise ProxyRefused(f"the proxy refused with {status}", status)

    def _socks(self, stream: Stream, proxy: httpx.URL) -> None:
        """SOCKS 5 (RFC 1928), with user name and password (RFC 1929) where there are some.

        The proxy looks up the name, whether it is called socks5 or socks5h: as httpx does it.
        """
        user, password = proxy.username.encode(), proxy.password.encode()
        self._send(stream, b"\x05\x02\x00\x02" if user else b"\x05\x01\x00")
        version, method = self._exactly(stream, 2)
        if version != 5 or method == 0xFF:
            raise ProxyRefused(
                "the SOCKS proxy refused: it wants another login, or speaks no SOCKS 5"
            )
        if method == 2:
            login = bytes([1, len(user)]) + user + bytes([len(password)]) + password
            self._send(stream, login)
            if self._exactly(stream, 2)[1]:
                raise ProxyRefused("the SOCKS proxy refused the user name or password")
        port = self._route.port.to_bytes(2, "big")
        self._send(stream, b"\x05\x01\x00" + _socks_address(self._route.host) + port)
        _, code, _, kind = self._exactly(stream, 4)
        if code:
            why = _SOCKS_REFUSALS.get(code, f"code {code}")
            raise ProxyRefused(f"the SOCKS proxy refused: {why}")
        bound = {1: 4, 4: 16}.get(kind) or self._exactly(stream, 1)[0]
        self._exactly(stream, bound + 2)

    def _send(self, stream: Stream, data: bytes) -> None:
        left = memoryview(data)
        while left:
            went = stream.send(left)
            if not went:
                self._waiter.wait(self._left_s(), write=True)
            left = left[went:]

    def _receive(self, stream: Stream, size: int) -> bytes:
        while (data := stream.recv(size)) is None:
            self._waiter.wait(self._left_s(), write=False)
        if not data:
            raise NotConnected("the proxy closed the connection")
        return data

    def _exactly(self, stream: Stream, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._receive(stream, size - len(data))
        return data


def _in_words(error: OSError) -> str:
    words = http.in_words(error)
    if words != type(error).__name__:
        return words
    if isinstance(error, ssl.SSLError):
        return f"no connection: TLS failed ({error.reason or 'it ended early'})"
    return f"no connection: {error.strerror or words}"


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _login_header(proxy: httpx.URL) -> list[tuple[str, str]]:
    if not proxy.userinfo:
        return []
    login = f"{proxy.username}:{proxy.password}".encode()
    return [("proxy-authorization", f"Basic {b64encode(login).decode()}")]


def _socks_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return bytes([3, len(name)]) + name
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed
