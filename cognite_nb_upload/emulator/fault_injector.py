"""How a fault is done to a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .connection import Connection, phrase
from .faults import KINDS, STOPS_READING, Fault
from .rules import Refused

CAPTIVE_PORTAL = (
    "<!doctype html><title>Welcome to the hotel</title><h1>Please accept our terms</h1>"
)
STORE_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code>'
    "<Message>We encountered an internal error. Please try again.</Message></Error>"
)
GARBAGE = b"\x16\x03\x01\x02\x00 this is not HTTP \xff\xfe\r\n\r\n"
#: By kind: the status and the body that take the place of the answer.
ANSWERS = {"html": (200, CAPTIVE_PORTAL), "xml_error": (200, STORE_ERROR), "redirect": (307, "")}

Dress = Callable[[Response], Response]
Work = Callable[[Receive, Send], Awaitable[None]]


class FaultInjector:
    """One fault, done to one request.

    `dress` gives an answer the headers that all have; `fired` is told when it has really happened,
    and after how many bytes of the body; once `is_over`, nothing is held any more.
    """

    def __init__(
        self,
        fault: Fault,
        scope: Scope,
        channel: tuple[Receive, Send],
        dress: Dress,
        fired: Callable[[int], None],
        is_over: Callable[[], bool],
    ) -> None:
        self.fault = fault
        self.connection = Connection.of(scope)
        self._receive, self._send = channel
        self._dress, self._fired, self._is_over = dress, fired, is_over
        self._scope = scope
        self._read = 0
        self._done = False
        length = next((int(v) for name, v in scope["headers"] if name == b"content-length"), 0)
        self._at = min(length // 2 if fault.after_bytes is None else fault.after_bytes, length)
        self._answer: list[Message] = []

    async def act(self, work: Work) -> None:
        """Does `work`, the request's handler, or what the fault puts in its place."""
        match KINDS[self.fault.kind]:
            case "during":
                if self.fault.kind in STOPS_READING:
                    self.connection.narrow()
                await work(self.during, self._send)
            case "answer":
                await work(self.receive, self.answer)
            case "before":
                await self._happen(0)
            case _:
                while (await self.receive()).get("more_body"):
                    pass
                await self._happen(self._read)

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        return message

    async def during(self) -> Message:
        """A piece of the body, after the one that the fault waits for has come."""
        if self._at == 0:
            await self._happen(0)
        message = await self.receive()
        if self._read >= self._at or not message.get("more_body"):
            await self._happen(min(self._read, self._at))
        if self.fault.kind == "slow" and self.fault.bytes_per_s and not self._is_over():
            await asyncio.sleep(len(message.get("body", b"")) / self.fault.bytes_per_s)
        return message

    async def answer(self, message: Message) -> None:
        """A piece of the answer, once the fault has let it through."""
        if self.fault.kind in ("half_answer", "drip"):
            self._answer.append(message)
            if message["type"] == "http.response.start" or message.get("more_body"):
                return
        await self._happen(self._read)
        await self._send(message)

    async def _happen(self, at: int) -> None:
        """The fault itself, once, after `at` bytes of the body."""
        if self._done:
            return
        self._done = True
        self._fired(0 if self.fault.kind == "slow" else at)
        match self.fault.kind:
            case "reset_before" | "reset_mid" | "reset_after" | "lost_answer":
                self.connection.reset()
            case "close_before" | "close_mid" | "close_after" | "close_answer":
                self.connection.close()
            case "stall" | "stall_answer":
                await self.connection.hold(self.fault.seconds, self._is_over)
            case "early_status":
                response = self._response()
                response.headers["connection"] = "close"
                head = _head({"status": response.status_code, "headers": response.raw_headers})
                await self.connection.write_raw(head + bytes(response.body))
                self.connection.close_hard()
            case "garbage":
                await self.connection.write_raw(GARBAGE)
                self.connection.close()
            case "half_answer":
                head, body = self._whole()
                keep = self.fault.after_bytes
                keep = len(body) // 2 if keep is None else keep
                await self.connection.write_raw(
                    head + body[:keep] if body else head[: len(head) // 2]
                )
                self.connection.close()
            case "drip":
                for byte in b"".join(self._whole()):
                    await self.connection.write_raw(bytes((byte,)))
                    seconds = 1 if self.fault.seconds is None else self.fault.seconds
                    await self.connection.hold(seconds, self._is_over)
                self.connection.close()
            case "status" | "html" | "xml_error" | "redirect":
                await self._response()(self._scope, self._receive, self._send)

    def _whole(self) -> tuple[bytes, bytes]:
        """Head and body of the answer."""
        start, *pieces = self._answer
        return _head(start), b"".join(piece["body"] for piece in pieces)

    def _response(self) -> Response:
        """The answer that takes the place of the right one."""
        fault = self.fault
        status, text = ANSWERS.get(fault.kind, (503, ""))
        status = status if fault.status is None else fault.status
        if fault.kind not in ANSWERS:
            text = json.dumps(Refused("A fault that was asked for", status=status).to_json())
        text = text if fault.body is None else fault.body
        headers = {"location": "/_elsewhere"} if fault.kind == "redirect" else {}
        if fault.retry_after is not None:
            headers["retry-after"] = str(fault.retry_after)
        kind = "application/xml" if text.lstrip().startswith("<") else "application/json"
        kind = "text/html" if fault.kind == "html" else kind
        headers = {"content-type": kind} | headers | (fault.headers or {})
        return self._dress(Response(text, status, headers))


def _head(start: Mapping[str, Any]) -> bytes:
    """Status line and headers as they go over the wire."""
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in start["headers"])
    status = f"HTTP/1.1 {start['status']} ".encode() + phrase(start["status"])
    return status + b"\r\n" + lines + b"\r\n"
