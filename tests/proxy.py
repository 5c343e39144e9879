"""What stands between a client and a server: a line that can break, and a proxy that wants CONNECT.

The emulator's own faults need a connection that has reached it; these are for the rest.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from base64 import b64encode
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import IO, Self

from anyio.from_thread import start_blocking_portal

# What a proxy's socket holds, in bytes: some systems let it grow to more than a test sends; then a
# store that stands still cannot be told from one that has it all.
HELD = 256 * 1024


class _Server:
    """Accepts connections on 127.0.0.1, each in a thread of its own."""

    def __init__(self) -> None:
        self.port = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []

    def up(self) -> None:
        """Listen, on the port of before where there was one."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept, self._listener)

    def down(self) -> None:
        """Refuse new connections, and reset those there are."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            left = list(self._open)
        for one in left:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.down()
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self._start(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        with ExitStack() as stack:
            far = self._reach(stack.enter_context(near))
            if far is None:
                return
            stack.enter_context(far)
            with self._lock:
                self._open |= {near, far}
            back = threading.Thread(target=self._copy, args=(far, near, True), daemon=True)
            back.start()
            self._copy(near, far, False)
            back.join()
            with self._lock:
                self._open -= {near, far}

    def _reach(self, near: socket.socket) -> socket.socket | None:
        raise NotImplementedError

    def _copy(self, here: socket.socket, there: socket.socket, answer: bool) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(self._changed(data, answer))
        for one in (here, there):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _changed(self, data: bytes, answer: bool) -> bytes:
        return data


class Line(_Server):
    """A line to a port on this machine that goes down and comes up again."""

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target
        self.put_before_answers = b""
        self.connections = 0

    def _reach(self, near: socket.socket) -> socket.socket:
        self.connections += 1
        return socket.create_connection(("127.0.0.1", self._target))

    def _changed(self, data: bytes, answer: bool) -> bytes:
        if answer and data.startswith(b"HTTP/1.1 "):
            return self.put_before_answers + data
        return data


class BitFlipper(Line):
    """A line that turns one bit of the body of requests whose first line contains `mark`.

    It does so for the first `times` of them; `flipped` counts those it did.
    """

    def __init__(self, target: int, mark: str, times: int = 1) -> None:
        super().__init__(target)
        self._mark, self._left = mark.encode(), times
        self.flipped = 0

    def _copy(self, here: socket.socket, there: socket.socket, answer: bool) -> None:
        if answer:
            return super()._copy(here, there, answer)
        due = False
        with suppress(OSError):
            while data := here.recv(65536):
                body = data
                if data.startswith(b"PUT ") and self._mark in data.split(b"\r\n", 1)[0]:
                    due, body = True, data.partition(b"\r\n\r\n")[2]
                if due and body and self._take():
                    data = data[:-1] + bytes([data[-1] ^ 1])
                due = due and not body
                there.sendall(data)
        for one in (here, there):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _take(self) -> bool:
        with self._lock:
            may = self._left > 0
            self._left -= may
            self.flipped += may
        return may


class ConnectProxy(_Server):
    """An HTTP proxy that only tunnels; `login` is `user:password`, or None where all are let in.

    Every name is this machine's for it: it leads nowhere else.

    `asked` has the first lines of all requests, as they came.
    """

    def __init__(self, login: str | None = None) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.heads: list[str] = []
        self._login = login

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _reach(self, near: socket.socket) -> socket.socket | None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = near.recv(65536)
            if not data:
                return None
            head += data
        text = head.decode("latin-1")
        self.asked.append(text.split("\r\n", 1)[0])
        self.heads.append(text)
        method, target, _ = self.asked[-1].split(" ")
        if self._login is not None and b64encode(self._login.encode()).decode() not in text:
            near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return None
        if method != "CONNECT" or target.startswith("/"):
            near.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            return None
        far = socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])))
        near.sendall(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        return far


class SocksProxy(_Server):
    """A SOCKS5 proxy; every name is this machine's for it.

    `asked` has the hosts that were asked for, as they came. `login` is `(user, password)`, or None
    where none is asked for. Where `refusal` is not 0, that is its answer.
    """

    def __init__(self, login: tuple[str, str] | None = None, refusal: int = 0) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._login, self._refusal = login, refusal

    @property
    def url(self) -> str:
        return f"socks5://127.0.0.1:{self.port}"

    def _reach(self, near: socket.socket) -> socket.socket | None:
        with near.makefile("rb", buffering=0) as asked:
            _, methods = asked.read(2)
            offered = asked.read(methods)
            if self._login is None:
                near.sendall(b"\x05\x00")
            elif 2 not in offered:
                near.sendall(b"\x05\xff")
                return None
            elif not self._lets_in(near, asked):
                return None
            *_, kind = asked.read(4)
            assert kind == 3, "It is given names, not addresses."
            self.asked.append(asked.read(asked.read(1)[0]).decode())
            port = int.from_bytes(asked.read(2), "big")
        bound = b"\x01\x7f\x00\x00\x01\x00\x00"
        near.sendall(bytes([5, self._refusal, 0]) + bound)
        return None if self._refusal else socket.create_connection(("127.0.0.1", port))

    def _lets_in(self, near: socket.socket, asked: IO[bytes]) -> bool:
        near.sendall(b"\x05\x02")
        asked.read(1)
        login = tuple(asked.read(asked.read(1)[0]).decode() for _ in range(2))
        near.sendall(bytes([1, login != self._login]))
        return login == self._login


class TLSFront:
    """TLS on a port of its own, before a server on this machine that has none.

    Args:
        target: the port of that server.
        certificate: the files of its certificate and key.
    """

    def __init__(self, target: int, certificate: tuple[str, str]) -> None:
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self.port = 0

    def __enter__(self) -> Self:
        self._portal = start_blocking_portal()
        portal = self._portal.__enter__()
        self._server = portal.call(self._listen)
        self.port = self._server.sockets[0].getsockname()[1]
        self._stop = partial(portal.call, self._close)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._portal.__exit__(None, None, None)

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD)
        return server

    async def _close(self) -> None:
        self._server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task.get_coro().__qualname__.startswith("TLSFront."):
                task.cancel()

    async def _serve(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far_in, far_out = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._copy(near_in, far_out), self._copy(far_in, near_out))
        except asyncio.CancelledError:
            pass
        finally:
            near_out.transport.abort()
            far_out.transport.abort()

    async def _copy(self, here: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await here.read(65536):
                there.write(data)
                await there.drain()
        there.close()
