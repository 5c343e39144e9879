"""A body on its way from the socket to a file, past the parser: large parts at the disk's speed.

On uvicorn's own way a body is copied four times, into memory that is allocated anew for each piece.
Here the kernel fills a few buffers that are used again and again, and a thread writes them out.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request

from .journal import Row
from .storage import PartWriter
from .wire import Gone, Wire

BUFFER_SIZE = 1024**2
BUFFERS = 3  # per connection: one is being filled, one written, one is ready
WORTH_IT = 256 * 1024  # bytes; below, uvicorn's own way is as fast


async def take_body(request: Request, writer: PartWriter, size: int | None) -> None:
    """All of the body into `writer`; past the parser if it is large and nothing is to befall it."""
    wire, row = Wire.of(request.scope), Row.of(request.scope)
    early = wire.early_body() if row.direct and size and size > WORTH_IT else None
    if early is None or size is None:
        await pump(request.stream(), writer)
        return
    row.came(len(early))
    writer.write([early])
    await Intake(wire, size - len(early), row.came).into(writer)


async def pump(chunks: AsyncIterator[bytes], writer: PartWriter) -> None:
    """Body to disk: one piece is written, in a thread, while the next arrives."""
    pending: list[bytes] = []
    size = 0
    job: asyncio.Future[None] | None = None
    try:
        async for chunk in chunks:
            pending.append(chunk)
            size += len(chunk)
            if size >= BUFFER_SIZE:
                if job:
                    await finished(job)
                job = asyncio.get_running_loop().run_in_executor(None, writer.write, pending)
                pending, size = [], 0
    finally:
        if job:
            await finished(job)
    writer.write(pending)


async def finished(job: asyncio.Future[None]) -> None:
    """Waits for a thread's work even when cancelled: the thread uses a file that is then closed."""
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise


class Intake(asyncio.BufferedProtocol):
    """Stands in for a Wire until the rest of a body, exactly `left` bytes, has come."""

    def __init__(self, wire: Wire, left: int, came: Callable[[int], None]) -> None:
        self._wire, self._left, self._came = wire, left, came
        self._free = [memoryview(mmap.mmap(-1, BUFFER_SIZE)) for _ in range(BUFFERS)]
        self._full: deque[tuple[memoryview, int]] = deque()
        self._current: memoryview | None = None
        self._filled = 0
        self._news = asyncio.Event()
        self._gone = self._unwanted = False

    async def into(self, writer: PartWriter) -> None:
        """Reads all of it into `writer`; raises Gone if the client leaves before its end."""
        loop = asyncio.get_running_loop()
        if self._left:
            self._wire.transport.set_protocol(self)
            self._wire.flow.resume_reading()
        try:
            while self._left or self._full:
                while not self._full:
                    self._news.clear()
                    if self._gone:
                        raise Gone
                    await self._news.wait()
                buffer, size = self._full.popleft()
                await finished(loop.run_in_executor(None, writer.write, [buffer[:size]]))
                self._recycle(buffer)
        except BaseException:
            self._throw_away()
            raise

    def _recycle(self, buffer: memoryview) -> None:
        self._free.append(buffer)
        if self._left and not self._gone:
            self._wire.flow.resume_reading()

    def _throw_away(self) -> None:
        """Nobody wants the rest: it is read, so that the client comes to hear the answer."""
        self._unwanted = True
        while self._full:
            self._recycle(self._full.popleft()[0])
        if self._current is None and not self._free:
            self._recycle(memoryview(bytearray(BUFFER_SIZE)))

    # ---- what the transport calls

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._current is None:
            self._current, self._filled = self._free.pop(), 0
        return self._current[self._filled : self._filled + self._left]

    def buffer_updated(self, nbytes: int) -> None:
        assert self._current is not None  # noqa: S101 - get_buffer was called before
        self._filled += nbytes
        self._left -= nbytes
        self._came(nbytes)
        if not self._left or self._filled == BUFFER_SIZE:
            self._hand_over(self._current)
        if not self._left:
            self._wire.body_was_taken()

    def _hand_over(self, buffer: memoryview) -> None:
        self._current = None
        if self._unwanted:
            self._free.append(buffer)
            return
        self._full.append((buffer, self._filled))
        self._news.set()
        if not self._free and self._left:
            self._wire.flow.pause_reading()

    def eof_received(self) -> None:
        pass

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._news.set()
        self._wire.connection_lost(exc)

    def pause_writing(self) -> None:
        self._wire.pause_writing()

    def resume_writing(self) -> None:
        self._wire.resume_writing()
