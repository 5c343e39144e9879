"""Every request that was seen, so that a test can prove what was sent and what was not."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from starlette.types import Scope

LONGEST = 100_000
SECRET = frozenset(("authorization", "cookie", "proxy-authorization"))


class Journal:
    """A row per request, in order of arrival: no query, no secret."""

    def __init__(self) -> None:
        self.rows: deque[dict[str, Any]] = deque(maxlen=LONGEST)
        self._no = 0

    def open(self, scope: Scope, route: str | None, part: int | None) -> dict[str, Any]:
        """A new row; `status` and `body_bytes` are filled in as they become known."""
        row = {
            "no": self._no,
            "method": scope["method"],
            "path": scope["path"],
            "route": route,
            "part": part,
            "status": None,
            "headers": {
                name.decode("latin-1"): _shown(name, value) for name, value in scope["headers"]
            },
            "body_bytes": 0,
            "fault": None,
            "time": time.time(),
        }
        self._no += 1
        self.rows.append(row)
        return row


def _shown(name: bytes, value: bytes) -> str:
    return "<secret>" if name.decode("latin-1") in SECRET else value.decode("latin-1")
