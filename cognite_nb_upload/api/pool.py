"""Connections to CDF for many requests at once: several small clients rather than one large one.

httpcore looks at every connection of its pool for each request that begins or ends, so one pool of
many connections costs their square. Nothing ever queues in there: who has to wait, waits here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from cognite_nb_upload.api import net

_PER_CLIENT: Final = 4
_CLIENTS: Final = 10


class Pool:
    """Up to 40 requests at once, in one event loop."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._turn = asyncio.Semaphore(_PER_CLIENT * _CLIENTS)
        self._busy: dict[httpx.AsyncClient, int] = {}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client with a connection to spare."""
        async with self._turn:
            client = self._spare()
            self._busy[client] += 1
            try:
                yield client
            finally:
                if client in self._busy:  # it may have been closed meanwhile
                    self._busy[client] -= 1

    def _spare(self) -> httpx.AsyncClient:
        for client, busy in self._busy.items():
            if busy < _PER_CLIENT:
                return client
        limits = httpx.Limits(max_connections=_PER_CLIENT, keepalive_expiry=20)
        client = httpx.AsyncClient(
            verify=net.tls_context(), timeout=self._timeout_s, limits=limits, mounts=net.DIRECT
        )
        self._busy[client] = 0
        return client

    async def close(self) -> None:
        """Close every connection."""
        busy, self._busy = self._busy, {}
        for client in busy:
            await client.aclose()
