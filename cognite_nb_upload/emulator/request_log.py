"""Every request that was seen, so that a test can prove what was sent and what was not."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

LONGEST = 20_000  # records; the oldest go first
SECRET = frozenset(("authorization", "cookie", "proxy-authorization", "x-emulator-token"))


@dataclass
class RequestRecord:
    """One request: no query, no secret."""

    no: int
    method: str
    path: str
    route: str | None
    part: int | None
    headers: dict[str, str]
    status: int | None = None
    fault: str | None = None
    body_bytes: int = 0
    ended: bool = False
    time: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    def counting(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            self.body_bytes += len(message.get("body", b""))
            return message

        return counted

    def noting(self, send: Send) -> Send:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            await send(message)

        return noted


class RequestLog:
    """A record per request, in order of arrival."""

    def __init__(self) -> None:
        self.records: deque[RequestRecord] = deque(maxlen=LONGEST)
        self._no = 0

    @contextmanager
    def recorded(
        self, scope: Scope, route: str | None, part: int | None
    ) -> Iterator[RequestRecord]:
        """A new record, for as long as the request is answered.

        `status`, `fault` and `body_bytes` are filled in as they become known; after `ended` they
        stay as they are.
        """
        headers = {
            name: "<secret>" if name in SECRET else value
            for name, value in Headers(scope=scope).items()
        }
        record = RequestRecord(self._no, scope["method"], scope["path"], route, part, headers)
        self._no += 1
        self.records.append(record)
        try:
            yield record
        finally:
            record.ended = True
