"""Every request that was seen, so that a test can prove what was sent and what was not."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send

LONGEST = 20_000  # rows; the oldest go first
SECRET = frozenset(("authorization", "cookie", "proxy-authorization", "x-emulator-token"))
EXTENSION = "emulator.row"


@dataclass
class Row:
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
    time: float = field(default_factory=time.time)
    direct: bool = False  # its body may go past the parser

    @classmethod
    def of(cls, scope: Scope) -> Row:
        """The row of the request of `scope`."""
        row: Row = scope["extensions"][EXTENSION]
        return row

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "direct"}

    def came(self, size: int) -> None:
        """`size` more bytes of its body have been received."""
        self.body_bytes += size

    def counting(self, receive: Receive) -> Receive:
        async def counted() -> Message:
            message = await receive()
            self.came(len(message.get("body", b"")))
            return message

        return counted

    def noting(self, send: Send) -> Send:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
            await send(message)

        return noted


class Journal:
    """A row per request, in order of arrival."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque(maxlen=LONGEST)
        self._no = 0

    def open(self, scope: Scope, route: str | None, part: int | None) -> Row:
        """A new row; `status`, `fault` and `body_bytes` are filled in as they become known."""
        headers = {
            name: "<secret>" if name in SECRET else value for name, value in _text(scope["headers"])
        }
        row = Row(self._no, scope["method"], scope["path"], route, part, headers)
        scope["extensions"][EXTENSION] = row
        self._no += 1
        self.rows.append(row)
        return row


def _text(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
