"""Many files: a DataFrame in, the same DataFrame out, with what became of each row.

Rules of this file: one bad row stops no other; workers take rows from one iterator; a small file is
one request and one PUT, a large one is an `Upload` with all that it can do; CDF is asked for all
files at once, at the end, whether it has them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import to_thread

from cognite_nb_upload import background
from cognite_nb_upload.batch.rows import DONE, Row, write_rows
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import DEFAULT_PART_SIZE
from cognite_nb_upload.errors import UploadStopped, UploadToolkitError
from cognite_nb_upload.process import Home
from cognite_nb_upload.sources import FileSource
from cognite_nb_upload.store.part import PartJob, PartSender

if TYPE_CHECKING:
    import pandas as pd

    from cognite_nb_upload.transfer.files import AsyncFiles

_log = logging.getLogger(__name__)

# Small files wait for answers most of the time; large ones share the lanes of the client.
SMALL_AT_ONCE: Final = 32
_LARGE_AT_ONCE: Final = 2
_THREADS: Final = 16
_IDS: Final = 1000
# After the last file, wait so long, in seconds, for CDF to say `uploaded` of all of them.
_WAIT_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class InFlight:
    """A file on its way: `sent` bytes of `size`."""

    name: str
    sent: int
    size: int


@dataclass(frozen=True, slots=True)
class BatchState:
    """A snapshot of a batch: files and bytes, in all and so far, and the files on their way."""

    files: int
    size: int
    done: int = 0
    failed: int = 0
    sent: int = 0
    active: tuple[InFlight, ...] = ()
    over: bool = False


BatchListener = Callable[[BatchState], None]


class Batch(Awaitable["pd.DataFrame"]):
    """Many files on their way: await it, or wait with `result()`, for the frame.

    Interrupting either stops the batch; the frame it has so far is `.frame()`, and given back in,
    only what is not done is sent.
    """

    def __init__(
        self,
        files: AsyncFiles,
        frame: pd.DataFrame,
        rows: list[Row],
        how: Mapping[str, Any],
    ) -> None:
        self.rows = rows
        self._files, self._frame, self._how = files, frame, dict(how)
        self._todo = [row for row in rows if row.status == "waiting"]
        self._state = BatchState(len(self._todo), sum(row.size or 0 for row in self._todo))
        self._active: dict[int, InFlight] = {}
        self._listeners: tuple[BatchListener, ...] = ()
        self._home = Home()
        self._mutex = threading.RLock()
        self._stop = CancelToken()
        self._ended = False
        self._outcome: Future[None] = Future()
        background.start(self._run)

    def _check_home(self) -> None:
        if not self._ended:
            self._home.check("The batch")

    @property
    def _done(self) -> Future[None]:
        self._check_home()  # a forked child would wait for ever
        return self._outcome

    @property
    def _lock(self) -> threading.RLock:
        self._check_home()
        return self._mutex

    @property
    def state(self) -> BatchState:
        """A snapshot of now."""
        return self._state

    def listen(self, listener: BatchListener) -> Callable[[], None]:
        """Call `listener(state)` from now on, from other threads; returns what ends it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def end() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return end

    def frame(self) -> pd.DataFrame:
        """The frame that was given, with what became of each row so far."""
        return write_rows(self._frame.copy(), self.rows)

    def __repr__(self) -> str:
        state = self._state
        failed = f", {state.failed} failed" if state.failed else ""
        return f"<Batch: {state.done} of {state.files} files done{failed}>"

    def __await__(self) -> Generator[Any, None, pd.DataFrame]:
        return self._wait().__await__()

    async def _wait(self) -> pd.DataFrame:
        try:
            await background.until_done(self._done)
        except asyncio.CancelledError:
            self._stop.set("interrupted")
            raise
        self._done.result()
        return self.frame()

    def result(self) -> pd.DataFrame:
        """Wait for the end; an interrupt stops the batch."""
        try:
            self._done.result()
        except BaseException:
            self.stop()
            raise
        return self.frame()

    def stop(self) -> None:
        """End it; returns when no byte will follow."""
        self._check_home()
        self._stop.set("stopped")
        if not background.in_own_loop():
            self._done.exception()

    # --- at work ----------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._send_all()
            await self._ask_for_all()
        except BaseException as error:
            self._done.set_exception(error)
            raise
        else:
            self._done.set_result(None)
        finally:
            self._ended = True
            self._tell(over=True)

    async def _send_all(self) -> None:
        small = iter([row for row in self._todo if _is_small(row)])
        large = iter([row for row in self._todo if not _is_small(row)])
        self._threads = anyio.CapacityLimiter(_THREADS)
        async with anyio.create_task_group() as group:
            for _ in range(SMALL_AT_ONCE):
                group.start_soon(self._work, small, self._send_small)
            for _ in range(_LARGE_AT_ONCE):
                group.start_soon(self._work, large, self._send_large)

    async def _work(self, rows: Iterator[Row], send: Callable[[Row], Awaitable[None]]) -> None:
        for row in rows:
            began_s = time.monotonic()
            row.attempts += 1
            try:
                if self._stop:
                    raise UploadStopped(f"The batch was {self._stop.reason}.")
                await send(row)
                row.status, row.error = DONE, ""
            except UploadStopped as error:
                row.fail(str(error), "stopped")
            except UploadToolkitError as error:
                row.fail(str(error))
            except Exception as error:
                _log.exception("A file of the batch failed; the others go on.")
                row.fail(f"{type(error).__name__}: {error}")
            row.seconds = round(time.monotonic() - began_s, 3)
            self._count(row)

    async def _send_small(self, row: Row) -> None:
        """One PUT, sent from a thread; the URL for it is all that CDF is asked for."""
        assert row.about is not None  # noqa: S101 # rows without it are invalid, and not here
        source = FileSource.open(row.path)
        try:
            file, url = await self._files.open_whole(row.about, row.overwrite)
            row.id = file.id
            whole = PartJob(
                0, url, source, 0, source.size,
                pace=self._files.limits.bandwidth.take, content_type=file.mime_type,
            )  # fmt: skip
            await background.in_thread(
                lambda own: self._put(row, whole, own), self._stop, self._threads
            )
            if row.overwrite:
                await self._files.mend_overwritten(file, row.about)
        finally:
            source.close()

    def _put(self, row: Row, whole: PartJob, stop: CancelToken) -> None:
        def tell(event: ev.Event) -> None:
            if isinstance(event, ev.PartStarted):
                row.attempts = event.attempt
            elif isinstance(event, ev.PartSent):
                self._moved(row, event.sent)
            elif isinstance(event, ev.PartLost):
                self._moved(row, 0)
            elif isinstance(event, ev.PartStored):
                self._moved(row, event.size)

        retry = self._files.config.retry
        PartSender(
            whole, self._files.storage, retry, stop=stop, emit=tell, missing=lambda: 1
        ).run()  # fmt: skip

    async def _send_large(self, row: Row) -> None:
        """An upload of its own, with its journal."""
        assert row.about is not None  # noqa: S101 # rows without it are invalid, and not here
        fields = {**self._how, **row.about.to_kwargs(), "overwrite": row.overwrite}
        # Opening a file may block, and this is the loop that everything else runs on.
        upload = await to_thread.run_sync(lambda: self._files.upload(row.path, **fields))
        upload.listen(lambda state, _: self._moved(row, state.sent))
        with self._stop.waking(upload.stop):
            try:
                row.id = (await upload).id
            finally:
                row.attempts = max((part.attempts for part in upload.state.parts), default=1)

    async def _ask_for_all(self) -> None:
        """Ask CDF for all files at once until it says `uploaded` of each, or time is up."""
        waiting = {row.id: row for row in self._todo if row.status == DONE and row.id is not None}
        pause_s, until_s = 0.2, time.monotonic() + _WAIT_S
        while waiting and not self._stop:
            for uploaded in await self._uploaded(list(waiting)):
                del waiting[uploaded]
            if not waiting or time.monotonic() + pause_s > until_s:
                return
            await anyio.sleep(pause_s)
            pause_s = min(5.0, pause_s * 1.6)

    async def _uploaded(self, ids: list[int]) -> list[int]:
        found: list[int] = []
        for at in range(0, len(ids), _IDS):
            with suppress(UploadToolkitError):  # what was completed is with CDF, seen or not
                files = await self._files.retrieve_all(ids[at : at + _IDS])
                found += [file.id for file in files if file.uploaded and file.id is not None]
        return found

    def _moved(self, row: Row, sent: int) -> None:
        """A file's bytes went on, or were lost again."""
        with self._lock:
            was = self._active.get(row.no)
            if was is None or was.sent != sent:
                self._active[row.no] = InFlight(row.path.name, sent, row.size or 0)
                self._tell(sent=sent - (was.sent if was else 0))

    def _count(self, row: Row) -> None:
        """A file has ended; what failed takes its bytes back."""
        done = row.status == DONE
        with self._lock:
            was = self._active.pop(row.no, None)
            back = 0 if done or was is None else was.sent
            self._tell(sent=-back, done=int(done), failed=int(not done))

    def _tell(self, *, sent: int = 0, done: int = 0, failed: int = 0, over: bool = False) -> None:
        with self._lock:
            was = self._state
            self._state = replace(
                was,
                sent=was.sent + sent,
                done=was.done + done,
                failed=was.failed + failed,
                active=tuple(self._active.values()),
                over=over or was.over,
            )
            for listener in self._listeners:
                with suppress(Exception):
                    listener(self._state)


def _is_small(row: Row) -> bool:
    """True where one PUT will do. Its type is a header there, which not every text can be."""
    mime_type = (row.about.mime_type if row.about is not None else None) or ""
    fits = mime_type.isascii() and mime_type.isprintable()
    return fits and (row.size or 0) <= DEFAULT_PART_SIZE
