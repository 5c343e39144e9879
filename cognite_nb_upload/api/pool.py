"""Connections to CDF for many requests at once: clients of one connection rather than one of many.

httpcore looks at every connection of its pool for each request that begins or ends, so one pool of
many connections costs their square. Nothing ever queues in there: who has to wait, waits here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
from anyio import CapacityLimiter

from cognite_nb_upload import http
from cognite_nb_upload.api.answer import timeouts

_AT_ONCE: Final = 40
_SIGNING_IN: Final = 8
_LIMITS: Final = httpx.Limits(max_connections=1, keepalive_expiry=20)


class Pool:
    """Up to 40 requests at once to one host, in one event loop."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._turn = asyncio.Semaphore(_AT_ONCE)
        # Of its own: credentials that are slow leave the threads of everything else free.
        self.signing_in = CapacityLimiter(_SIGNING_IN)
        self._idle: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client with a connection to spare: the one that was used last, if there is one."""
        async with self._turn:
            client = self._idle.pop() if self._idle else self._new()
            try:
                yield client
            finally:
                if not client.is_closed:
                    self._idle.append(client)

    def _new(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            verify=http.tls_context(),
            timeout=timeouts(self._timeout_s),
            limits=_LIMITS,
            proxy=http.httpx_proxy(self._base_url),
            trust_env=False,
        )
        self._all.append(client)
        return client

    async def close(self) -> None:
        """Close every connection."""
        clients, self._all, self._idle = self._all, [], []
        for client in clients:
            await client.aclose()
