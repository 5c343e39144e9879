"""One HTTP/1.1 connection, spoken with h11 over asyncio's streams, and the ways to break it.

uvicorn hides its sockets; half of what an emulator of bad days does is done to the socket. So this
is the server: it hands requests to an ASGI application one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import select
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import h11
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope

EXTENSION = "emulator.connection"
READ_SIZE = 256 * 1024
BUFFER_SIZE = 64 * 1024  # when twice as much waits to be read, nothing more is taken in
MAX_HEAD = 64 * 1024  # bytes of a request's first line and headers
KEEP_ALIVE_S = 75.0
LINGER_S = 5.0  # how long a closed connection is still drained for a client that goes on sending
LOOK_EVERY_S = 0.02  # how often a held connection is asked whether its client has left

log = logging.getLogger("cognite_nb_upload.emulator")


def phrase(status: int) -> bytes:
    """What a status is called; nothing, if nobody knows it."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


class Gone(Exception):
    """The connection is no more, by accident or on purpose; nobody is there to be answered."""


class Connection:
    """One client's connection.

    Args:
        patience_s: A request that sends nothing for so long, head or body, is cut.
    """

    def __init__(
        self,
        app: ASGIApp,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        patience_s: float,
    ) -> None:
        self._app, self._reader, self._writer = app, reader, writer
        self._patience_s = patience_s
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._linger = self._is_head = False

    @classmethod
    def of(cls, scope: Scope) -> Connection:
        """The connection that the request of `scope` came by."""
        found: Connection = scope["extensions"][EXTENSION]
        return found

    async def serve(self) -> None:
        """Answers one request after another, until either side has had enough."""
        try:
            await self._requests()
            async with asyncio.timeout(LINGER_S):
                while self._linger and await self._reader.read(READ_SIZE):
                    pass
                self._writer.close()
                await self._writer.wait_closed()
        except OSError:  # a TimeoutError is one
            pass
        finally:
            self._writer.transport.abort()

    async def _requests(self) -> None:
        try:
            while await self._one_request():
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
        except (Gone, ClientDisconnect):
            pass
        except h11.LocalProtocolError:
            log.exception("An answer is not HTTP")

    async def _one_request(self) -> bool:
        """Whether another request may follow the one that was answered."""
        request = await self._head()
        if request is None:
            return False
        self._is_head = request.method == b"HEAD"
        await self._app(self._scope(request), self.receive, self.send)
        if self._http.they_are_waiting_for_100_continue:
            return False
        while self._http.their_state is h11.SEND_BODY:  # nobody wanted it; the answer is heard then
            await self.receive()
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _head(self) -> h11.Request | None:
        # From its first byte on a head has little time; before that the connection may rest.
        if self._http.trailing_data[0] == b"":
            async with asyncio.timeout(KEEP_ALIVE_S):
                self._http.receive_data(await self._reader.read(READ_SIZE))
        async with asyncio.timeout(self._patience_s):
            event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            async with asyncio.timeout(self._patience_s):
                self._http.receive_data(await self._reader.read(READ_SIZE))
        return event

    async def _refuse(self, status: int) -> None:
        """What was sent is not HTTP, or too much of it."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-length", "0"), ("connection", "close")]
            with contextlib.suppress(OSError, h11.LocalProtocolError):
                self._write(h11.Response(status_code=status, headers=headers))
                self._write(h11.EndOfMessage())
                await self._writer.drain()

    def _scope(self, request: h11.Request) -> Scope:
        path, _, query = request.target.partition(b"?")
        if not path.startswith(b"/"):  # a proxy's form, with scheme and host
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        secure = self._writer.get_extra_info("ssl_object") is not None
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": request.http_version.decode(),
            "method": request.method.decode(),
            "scheme": "https" if secure else "http",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            "client": self._writer.get_extra_info("peername")[:2],
            "server": self._writer.get_extra_info("sockname")[:2],
            "extensions": {EXTENSION: self},
        }

    # ---- ASGI

    async def receive(self) -> Message:
        """The next piece of the body; raises Gone if the client leaves before its end."""
        if self._http.their_state is not h11.SEND_BODY:
            return {"type": "http.disconnect"}
        try:
            event = await self._event()
        except (h11.RemoteProtocolError, OSError) as error:
            raise Gone from error
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """A piece of the answer."""
        if message["type"] == "http.response.start":
            status, headers = message["status"], message["headers"]
            self._write(h11.Response(status_code=status, headers=headers, reason=phrase(status)))
            return
        if not self._is_head:
            self._write(h11.Data(data=message.get("body", b"")))
        if not message.get("more_body"):
            self._write(h11.EndOfMessage())
        await self._writer.drain()

    def _write(self, event: Any) -> None:
        if data := self._http.send(event):
            self._writer.write(data)

    # ---- for the fault injector

    async def write_raw(self, data: bytes) -> None:
        """Bytes as they are, HTTP or not."""
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """A TCP reset, at once; what was not sent yet is lost. Raises Gone."""
        with contextlib.suppress(OSError):  # the client was faster
            linger = struct.pack("ii", 1, 0)
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()
        raise Gone

    def close(self) -> None:
        """An end of what we send; what the client still sends is thrown away. Raises Gone."""
        if self._writer.can_write_eof():  # not with TLS
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write_eof()
            self._linger = True
        raise Gone

    def close_hard(self) -> None:
        """What was written is sent, then the connection closes on a client that sends."""
        raise Gone

    def narrow(self) -> None:
        """Little of what we do not read shall disappear in the kernel's buffers."""
        with contextlib.suppress(OSError):
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)

    async def hold(self, seconds: float | None, is_over: Callable[[], bool]) -> None:
        """Reads nothing for `seconds`, or until it is over; raises Gone if the client leaves."""
        loop = asyncio.get_running_loop()
        transport: Any = self._writer.transport
        end = math.inf if seconds is None else loop.time() + seconds
        transport.pause_reading()
        while (left := end - loop.time()) > 0 and not is_over():
            if self._client_left():
                transport.abort()
                raise Gone
            await asyncio.sleep(min(LOOK_EVERY_S, left))
        transport.resume_reading()

    def _client_left(self) -> bool:
        if self._writer.transport.is_closing():
            return True
        look = select.poll()
        look.register(self._socket().fileno(), getattr(select, "POLLRDHUP", select.POLLHUP))
        return bool(look.poll(0))

    def _socket(self) -> socket.socket:
        found: socket.socket = self._writer.get_extra_info("socket")
        return found
