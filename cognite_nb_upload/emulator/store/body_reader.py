"""A body on its way to a file: one piece is written, in a thread, while the next arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from .disk import PartWriter

PIECE = 1024**2


async def read_body(chunks: AsyncIterator[bytes], writer: PartWriter) -> None:
    """Writes all of `chunks`. It raises what they or the disk raise."""
    pending: list[bytes] = []
    size = 0
    job: asyncio.Future[None] | None = None
    try:
        async for chunk in chunks:
            pending.append(chunk)
            size += len(chunk)
            if size >= PIECE:
                if job:
                    await _finished(job)
                job = asyncio.get_running_loop().run_in_executor(None, writer.write, pending)
                pending, size = [], 0
    finally:
        if job:
            await _finished(job)
    writer.write(pending)


async def _finished(job: asyncio.Future[None]) -> None:
    """Waits for a thread's work even when cancelled: the thread uses a file that is then closed."""
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        raise
