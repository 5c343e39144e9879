"""The size that the store holds of a small file, asked for while CDF is asked if it is uploaded.

A link and a byte by it are two round trips, after which a small file would wait for nothing else.
Rules of this file: it is for files that did not exist before, whose size in the store can only be
that of what was sent; what comes to nothing here is left to the question that follows, which says
what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from anyio import CancelScope

from cognite_nb_upload.api.files import FileEndpoints
from cognite_nb_upload.background import in_thread
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.plan import MIB, Plan
from cognite_nb_upload.core.state import UploadState

_log = logging.getLogger(__name__)

# CDF puts one part of so many bytes together at once; larger files would be asked for in vain.
_AT_ONCE: Final = 8 * MIB


def is_soon_uploaded(plan: Plan) -> bool:
    """True where CDF is likely to say `uploaded` at the first question."""
    return len(plan.parts) == 1 and plan.size <= _AT_ONCE


class EarlySize:
    """Asks once, as soon as CDF has taken the completion; it connects before that.

    It is made in the loop that the upload runs on. Without the connection, which takes two round
    trips itself, asking beside the other question would gain nothing.
    """

    def __init__(self, files: FileEndpoints, feed: Feed, stop: CancelToken) -> None:
        self._files, self._stop = files, stop
        self._taken = asyncio.Event()
        self._file_id: int | None = None
        self._has_answer = False
        self.size: int | None = None
        self._unlisten = feed.listen(self._hear)
        self._task = asyncio.create_task(self._ask())

    async def answered(self) -> bool:
        """True where the store has told `size`; that is None where it does not say any."""
        if self._taken.is_set():
            await asyncio.wait([self._task])
        return self._has_answer

    async def close(self) -> None:
        """End it, and wait until its thread has."""
        self._unlisten()
        self._task.cancel()
        with CancelScope(shield=True), suppress(asyncio.CancelledError):
            await self._task

    def _hear(self, state: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.Assembling):
            self._file_id = state.file_id
            self._taken.set()

    async def _ask(self) -> None:
        try:
            await in_thread(self._files.connect_ahead, self._stop)
            await self._taken.wait()
            await in_thread(self._look, self._stop)
        except Exception as error:
            _log.debug("The size was not learnt early: %s", type(error).__name__)

    def _look(self, stop: CancelToken) -> None:
        if self._file_id is not None:
            self.size = self._files.try_size(self._file_id, stop)
            self._has_answer = True
