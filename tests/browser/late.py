"""A line between a page and its server on which everything takes its time, as to a hub far away."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class LateLine:
    """Relays connections to 127.0.0.1:`port`; each piece arrives `delay_s` seconds later.

    Attributes:
        delay_s: each way, from now on.
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.port, self.delay_s = 0, 0.0
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._relay, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def _run(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _relay(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            with suppress(OSError, asyncio.CancelledError):  # it is over: nobody waits for it
                await asyncio.gather(self._pass_on(near, to_far), self._pass_on(far, to_near))
        finally:
            to_near.transport.abort()
            to_far.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Many pieces are on their way at once, in order."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        last = asyncio.ensure_future(self._deliver(pieces, writer))
        while piece := await reader.read(65536):
            pieces.put_nowait((self._loop.time() + self.delay_s, piece))
        pieces.put_nowait((self._loop.time() + self.delay_s, b""))
        await last

    async def _deliver(
        self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not piece:
                writer.close()
                return
            writer.write(piece)

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next round

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
