"""How a fault is done to a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from .connection import Connection, phrase
from .faults import ANSWER, DURING, Fault
from .rules import Refused

CAPTIVE_PORTAL = (
    "<!doctype html><title>Welcome to the hotel</title><h1>Please accept our terms</h1>"
)
STORE_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code>'
    "<Message>We encountered an internal error. Please try again.</Message></Error>"
)
GARBAGE = b"\x16\x03\x01\x02\x00 this is not HTTP \xff\xfe\r\n\r\n"
DRIP_S = 1.0

Dress = Callable[[Response], Response]
Work = Callable[[Receive, Send], Awaitable[None]]


class FaultInjector:
    """One fault, done to one request.

    `dress` gives an answer the headers that all have; `fired` is told when it has really happened,
    and after how many bytes of the body.
    """

    def __init__(
        self,
        fault: Fault,
        scope: Scope,
        channel: tuple[Receive, Send],
        dress: Dress,
        fired: Callable[[int], None],
    ) -> None:
        self.fault = fault
        self.connection = Connection.of(scope)
        self.length = _content_length(scope)
        self._receive, self._send = channel
        self._dress, self._fired = dress, fired
        self._scope = scope
        self._read = 0
        self._keep = 0
        self._done = False
        at = self.length // 2 if fault.after_bytes is None else fault.after_bytes
        self._at = min(at, self.length)
        self._buffer: list[Message] = []

    async def act(self, work: Work) -> None:
        """Does `work`, the request's handler, or what the fault puts in its place."""
        if self.fault.kind in DURING:
            if self.fault.kind in ("stall", "slow"):
                self.connection.narrow()
            await work(self.during, self._send)
        elif self.fault.kind in ANSWER:
            await work(self.receive, self.answer)
        else:
            await self._instead()

    # ---- while the body arrives

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        return message

    async def during(self) -> Message:
        if not self._done and self._at == 0:
            await self._interrupt()
        message = await self.receive()
        if not self._done and (self._read >= self._at or not message.get("more_body")):
            await self._interrupt()
        if self.fault.kind == "slow" and self.fault.bytes_per_s:
            await asyncio.sleep(len(message.get("body", b"")) / self.fault.bytes_per_s)
        return message

    async def _interrupt(self) -> None:
        self._fire(min(self._read, self._at) if self.fault.kind != "slow" else 0)
        match self.fault.kind:
            case "reset_mid":
                self.connection.reset()
            case "close_mid":
                self.connection.close()
            case "early_status":
                await self.connection.write_raw(_raw(self._early()))
                self.connection.close_hard()
            case "stall":
                await self.connection.hold(self.fault.seconds)

    def _early(self) -> Response:
        response = self._dress(self._status())
        response.headers["connection"] = "close"
        return response

    # ---- instead of the work

    async def _instead(self) -> None:
        kind = self.fault.kind
        if kind.endswith("_before"):
            self._fire(0)
            (self.connection.reset if kind == "reset_before" else self.connection.close)()
        await self._drain()
        self._fire(self._read)
        match kind:
            case "reset_after":
                self.connection.reset()
            case "close_after":
                self.connection.close()
            case "garbage":
                await self.connection.write_raw(GARBAGE)
                self.connection.close()
            case _:
                response = self._dress(self._substitute())
                await response(self._scope, self._receive, self._send)

    def _substitute(self) -> Response:
        match self.fault.kind:
            case "html":
                return HTMLResponse(self.fault.body or CAPTIVE_PORTAL, headers=self.fault.headers)
            case "xml_error":
                return Response(self.fault.body or STORE_ERROR, media_type="application/xml")
            case "redirect":
                return Response(
                    status_code=self.fault.status or 307,
                    headers={"location": "/_elsewhere"} | (self.fault.headers or {}),
                )
            case _:
                return self._status()

    def _status(self) -> Response:
        headers = dict(self.fault.headers or {})
        if self.fault.retry_after is not None:
            headers["retry-after"] = str(self.fault.retry_after)
        text = self.fault.body
        if text is None:
            refusal = Refused("A fault that was asked for", status=self.fault.code)
            text = json.dumps(refusal.to_json())
        kind = "application/xml" if text.lstrip().startswith("<") else "application/json"
        kind = headers.pop("content-type", kind)
        return PlainTextResponse(
            text, status_code=self.fault.code, headers=headers, media_type=kind
        )

    async def _drain(self) -> None:
        while (await self.receive()).get("more_body"):
            pass

    # ---- on the way back

    async def answer(self, message: Message) -> None:
        match self.fault.kind:
            case "lost_answer":
                self._fire(self._read)
                self.connection.reset()
            case "close_answer":
                self._fire(self._read)
                self.connection.close()
            case "stall_answer":
                await self._silence()
                await self._send(message)
            case "drip":
                await self._drip(message)
            case _:
                await self._half(message)

    async def _silence(self) -> None:
        if not self._done:
            self._fire(self._read)
            await self.connection.hold(self.fault.seconds)

    async def _half(self, message: Message) -> None:
        """Half of the answer's body, or of its head if it has no body."""
        if message["type"] == "http.response.start":
            head, length = _head(message), int(_header(message, b"content-length") or 0)
            keep = self.fault.after_bytes
            self._keep = length // 2 if keep is None else min(keep, length)
            await self.connection.write_raw(head if length else head[: len(head) // 2])
            return
        piece = message["body"][: self._keep]
        self._keep -= len(piece)
        await self.connection.write_raw(piece)
        if not self._keep:
            self._fire(self._read)
            self.connection.close()

    async def _drip(self, message: Message) -> None:
        self._buffer.append(message)
        if message["type"] == "http.response.start" or message.get("more_body"):
            return
        whole = _head(self._buffer[0]) + b"".join(part["body"] for part in self._buffer[1:])
        self._fire(self._read)
        for n in range(len(whole)):
            await self.connection.write_raw(whole[n : n + 1])
            await self.connection.hold(DRIP_S if self.fault.seconds is None else self.fault.seconds)
        self.connection.close()

    def _fire(self, at: int) -> None:
        if not self._done:
            self._done = True
            self._fired(at)


def _content_length(scope: Scope) -> int:
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _header(start: Message, wanted: bytes) -> bytes | None:
    return next((value for name, value in start["headers"] if name.lower() == wanted), None)


def _head(start: Message) -> bytes:
    """Status line and headers as they go over the wire."""
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in start["headers"])
    status = f"HTTP/1.1 {start['status']} ".encode() + phrase(start["status"])
    return status + b"\r\n" + lines + b"\r\n"


def _raw(response: Response) -> bytes:
    start = {"status": response.status_code, "headers": response.raw_headers}
    return _head(start) + bytes(response.body)
