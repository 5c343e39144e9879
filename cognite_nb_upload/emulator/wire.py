"""The connection under a request, within reach: to break it, to hold it, to talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import select
import socket
import struct
from typing import Any

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

EXTENSION = "emulator.wire"
LINGER_S = 5.0  # how long a closed connection is still drained for a client that goes on sending
LOOK_EVERY_S = 0.02  # how often a held connection is asked whether its client has left


class Gone(Exception):
    """The connection was broken on purpose; nobody is there to be answered."""


class Wire(HttpToolsProtocol):
    """uvicorn's connection, with a few handles that HTTP has no words for."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: Any = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.logger = logging.getLogger("cognite_nb_upload.emulator")
        self.access_log = False  # it would write signed URLs

    @classmethod
    def of(cls, scope: Scope) -> Wire:
        """The connection that the request of `scope` came by."""
        wire: Wire = scope["extensions"][EXTENSION]
        return wire

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]

    def early_body(self) -> bytes | None:
        """What came of the body so far, if nothing keeps the rest from skipping the parser."""
        cycle = self.cycle
        if cycle.waiting_for_100_continue or cycle.disconnected or not cycle.more_body:
            return None
        early = bytes(cycle.body)
        cycle.body = bytearray()
        return early

    def body_was_taken(self) -> None:
        """The rest of the body has skipped the parser; a new one waits for the next request."""
        self.parser = httptools.HttpRequestParser(self)
        self.transport.set_protocol(self)
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def forget(self) -> None:
        """From here on uvicorn neither waits for this request's body nor answers it."""
        self.cycle.disconnected = True
        self.cycle.response_complete = True
        self.cycle.message_event.set()
        self._unset_keepalive_if_required()

    def reset(self) -> None:
        """A TCP reset, at once; what was not sent yet is lost."""
        with contextlib.suppress(OSError):  # the client was faster
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.forget()
        self.transport.abort()

    def close(self) -> None:
        """An end of what we send; what the client still sends is thrown away for a while."""
        self.forget()
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
            return
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def close_hard(self) -> None:
        """What was written is sent, then the connection closes, even on a client that sends."""
        self.forget()
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write_eof()
        self.transport.close()

    def narrow(self) -> None:
        """Little of what we do not read shall disappear in the kernel's buffers."""
        with contextlib.suppress(OSError):
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)

    async def hold(self, seconds: float | None) -> None:
        """Reads nothing for `seconds`, or without end; raises Gone if the client leaves."""
        self.flow.pause_reading()
        end = math.inf if seconds is None else self.loop.time() + seconds
        while (left := end - self.loop.time()) > 0:
            if self._client_left():
                self.forget()
                self.transport.abort()
                raise Gone
            await asyncio.sleep(min(LOOK_EVERY_S, left))

    def _client_left(self) -> bool:
        if self.transport.is_closing():
            return True
        look = select.poll()
        look.register(self._socket().fileno(), getattr(select, "POLLRDHUP", select.POLLHUP))
        return bool(look.poll(0))

    def _socket(self) -> socket.socket:
        found: socket.socket = self.transport.get_extra_info("socket")
        return found
