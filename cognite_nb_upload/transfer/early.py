"""What CDF and the store say of a small file, asked for before it would be its turn.

Each of them is a round trip, after which a small file would wait for nothing else. Rules of this
file: it is for files that did not exist before, of which CDF can only say `uploaded`, and the store
a size, because of what was sent; an answer counts only with the store's own answer to the PUT;
what comes to nothing here is left to the question that follows, which says what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
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
from cognite_nb_upload.errors import UploadToolkitError
from cognite_nb_upload.models import CDFFile

_log = logging.getLogger(__name__)

# CDF puts one part of so many bytes together at once; larger files would be asked for in vain.
_AT_ONCE: Final = 8 * MIB
# Where CDF answers within so many seconds, asking before the store has answered gains nothing.
_LONG_S: Final = 0.02


def is_soon_uploaded(plan: Plan) -> bool:
    """True where CDF is likely to say `uploaded` at the first question."""
    return len(plan.parts) == 1 and plan.size <= _AT_ONCE


class EarlyAnswers:
    """Asks once each; it is made in the loop that the upload runs on.

    For a file in parts it asks as soon as CDF has taken the completion, and for one in one PUT as
    soon as its last byte has gone out: the store has it long before its answer is back. It connects
    before that, which takes two round trips itself.

    Args:
        size: an upload of so many bytes that goes in one PUT; None: it goes in parts.
        sized: says whether the size will be needed; None: that is not known yet.
    """

    def __init__(
        self,
        files: FileEndpoints,
        feed: Feed,
        stop: CancelToken,
        size: int | None,
        sized: Callable[[], bool | None],
    ) -> None:
        self._files, self._stop, self._bytes, self._sized = files, stop, size, sized
        self._loop, self._taken = asyncio.get_running_loop(), asyncio.Event()
        self._file_id: int | None = None
        self._has_size = False
        self._size: int | None = None
        self._file: CDFFile | None = None
        self._unlisten = feed.listen(self._hear)
        self._tasks = [self._begun(self._ask_size)]
        if size is not None:
            self._tasks.append(self._begun(self._ask_file))

    def began(self, seconds: float) -> None:
        """CDF has begun the file, and took so long for that."""
        if self._bytes is not None and seconds < _LONG_S:
            self._unlisten()

    async def file(self) -> CDFFile | None:
        """The file in one PUT, where CDF has said `uploaded` of it."""
        if self._taken.is_set() and len(self._tasks) > 1:
            await asyncio.wait([self._tasks[1]])
        return self._file

    async def size(self) -> tuple[bool, int | None]:
        """Whether the store has answered, and the size; that is None where it does not say any."""
        if self._taken.is_set():
            await asyncio.wait([self._tasks[0]])
        if self._bytes is not None and self._size != self._bytes:  # it may not have had all then
            return False, None
        return self._has_size, self._size

    async def close(self) -> None:
        """End it, and wait until its threads have."""
        self._unlisten()
        for task in self._tasks:
            task.cancel()
        with CancelScope(shield=True):
            await asyncio.wait(self._tasks)
        self._tasks.clear()  # they hold this, which would be left to the collector

    def _begun(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        async def quiet() -> None:
            with suppress(asyncio.CancelledError):
                try:
                    await work()  # made here: a task that is cancelled at once makes none
                except Exception as error:
                    _log.debug("An early answer did not come: %s", type(error).__name__)

        return asyncio.create_task(quiet())

    def _hear(self, state: UploadState, event: ev.Event) -> None:
        if self._bytes is None:
            ready = isinstance(event, ev.Assembling)
        else:
            ready = isinstance(event, ev.PartSent) and event.sent == self._bytes
        if ready and self._file_id is None:
            self._file_id = state.file_id
            with suppress(RuntimeError):  # that loop is gone, and the upload with it
                self._loop.call_soon_threadsafe(self._taken.set)

    async def _ask_file(self) -> None:
        await self._taken.wait()
        with suppress(UploadToolkitError):
            file = await self._files.retrieve(id=self._file_id)
            self._file = file if file is not None and file.uploaded else None

    async def _ask_size(self) -> None:
        if self._sized() is not False:  # where it is not known: the next upload needs it then
            await in_thread(self._files.connect_ahead, self._stop)
        await self._taken.wait()
        if self._sized():
            await in_thread(self._look, self._stop)

    def _look(self, stop: CancelToken) -> None:
        if self._file_id is not None:
            self._size = self._files.try_size(self._file_id, stop)
            self._has_size = True
