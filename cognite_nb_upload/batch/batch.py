"""`Batch`: the handle of many files on their way, for one who awaits, watches or stops them.

Rules of this file: nothing here waits for the package's loop or for the disk but `result` and
`stop`; listeners hear of changes a few times a second, however many files there are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from cognite_nb_upload import background
from cognite_nb_upload.batch.rows import DONE, SKIPPED, BatchRow, Table
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.secret import NotPickled
from cognite_nb_upload.process import Home, PerProcess
from cognite_nb_upload.transfer.begun import Begun
from cognite_nb_upload.transfer.leaving import refuse_at_the_end, wait_for_job

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class InFlight:
    """A file on its way: `sent` bytes of `size`."""

    name: str
    sent: int
    size: int


@dataclass(frozen=True, slots=True)
class BatchState:
    """A snapshot of a batch: files and bytes, in all and so far, and the files on their way.

    Attributes:
        files: rows that are valid.
        size: bytes of those that were looked at so far and are to be sent.
        looked_at: files that were looked at so far, or need not be.
        done: files that CDF has, those of an earlier run and those left as they are included.
        skipped: of these, those that were left as they are.
        failed: files that were not sent; those that were stopped are not among them.
        stopped: files that were not sent because the batch was stopped.
        sent: bytes.
        planned: every row was checked, and the sending has begun.
        over: it has ended.
        waiting_for: what a person has to do to sign in, where no file goes on without; else "".
    """

    files: int = 0
    size: int = 0
    looked_at: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    stopped: int = 0
    sent: int = 0
    active: tuple[InFlight, ...] = ()
    planned: bool = False
    over: bool = False
    waiting_for: str = ""


BatchListener = Callable[[BatchState], None]
# By their ids.
_running: PerProcess[dict[str, Batch]] = PerProcess(dict)
begun: Begun[Batch] = Begun()


class Batch(NotPickled, background.Awaited["pd.DataFrame"]):
    """Many files on their way: await it, or wait with `result()`, for the frame.

    Interrupting either stops the batch; the frame it has so far is on the exception as `.frame`,
    and `.frame()` gives it. The same call sends what is not done.
    """

    _instead = "it runs in this process. Its frame() can be, and the same call goes on elsewhere."

    def __init__(self, work: Callable[[Batch], Awaitable[Table]], *, hold: bool = False) -> None:
        """Begin at once, or with `go()` where `hold` is given."""
        refuse_at_the_end()
        self.stop_switch = CancelToken()
        self.job_id = ""
        self.notes: tuple[str, ...] = ()
        self._home = Home()
        self._mutex = threading.RLock()
        names = ("files", "size", "looked_at", "done", "skipped", "failed", "stopped")
        self._counts = dict.fromkeys(names, 0)
        self._sent = 0
        self._active: dict[int, InFlight] = {}
        self._waits: dict[object, str] = {}
        self._planned_now = self._over = self._changed = False
        self._listeners: tuple[BatchListener, ...] = ()
        self._may_begin = threading.Event()
        self._planned: Future[Table] = Future()
        self._result: Future[pd.DataFrame] = Future()
        if not hold:
            self.go()
        self._work = work
        background.start(self._run)

    def _check_home(self) -> None:
        if not self._over:
            self._home.check("The batch")

    @property
    def _done(self) -> Future[pd.DataFrame]:
        self._check_home()  # a forked child would wait for ever
        return self._result

    @property
    def _lock(self) -> threading.RLock:
        self._check_home()
        return self._mutex

    # --- what it is -------------------------------------------------------------------------

    @property
    def rows(self) -> list[BatchRow]:
        """Its rows; waits until they are read and checked.

        Raises:
            UsageError: there is nothing to upload, or a column is no field.
        """
        return self.planned().rows

    @property
    def state(self) -> BatchState:
        """A snapshot of now."""
        with self._lock:
            return BatchState(
                **self._counts,
                sent=self._sent,
                active=tuple(self._active.values()),
                planned=self._planned_now,
                over=self._over,
                waiting_for=next(iter(self._waits.values()), ""),
            )

    def planned(self) -> Table:
        """The checked rows; waits for them. Nothing is sent before `go()`."""
        self._check_home()
        try:
            return self._planned.result()
        except BaseException:
            self.stop()
            raise

    def go(self) -> None:
        """Begin to send."""
        if not self._may_begin.is_set() and not self._result.done():
            self._may_begin.set()
            # A script that ends here waits for it.
            over = wait_for_job(self)
            self._result.add_done_callback(lambda _: over())

    def listen(self, listener: BatchListener) -> Callable[[], None]:
        """Call `listener(state)` from now on, from other threads, a few times a second.

        Returns what ends it.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def end() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return end

    title = "The upload of many files"

    @property
    def failed(self) -> int:
        """How many files were not sent, so far."""
        return self.state.failed

    def until_over(self) -> None:
        """Block until it has ended, however it does; an interrupt leaves it as it is."""
        self._done.exception()

    def frame(self) -> pd.DataFrame:
        """The frame that was given, with what became of each row so far."""
        return self.planned().frame()

    def __repr__(self) -> str:
        state = self.state
        more = [
            f"{count} {word}"
            for count, word in (
                (state.skipped, "skipped"), (state.failed, "failed"), (state.stopped, "stopped")
            )
            if count
        ]  # fmt: skip
        more += filter(None, [state.waiting_for])
        told = "".join(f", {one}" for one in more)
        return f"<Batch: {state.done} of {state.files} files done{told}>"

    # --- waiting for it ---------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, pd.DataFrame]:
        return self._wait().__await__()

    async def _wait(self) -> pd.DataFrame:
        try:
            await background.until_done(self._done)
        except asyncio.CancelledError as error:
            self.stop_switch.set("interrupted")
            self._give_frame(error)
            raise
        return self._outcome()

    def result(self) -> pd.DataFrame:
        """Wait for the end; an interrupt stops the batch."""
        try:
            self._done.exception()
        except BaseException as error:
            self.stop()
            self._give_frame(error)
            raise
        return self._outcome()

    def _outcome(self) -> pd.DataFrame:
        error = self._done.exception()
        if error is not None:
            raise error.with_traceback(None)
        return self._done.result()

    def _give_frame(self, error: BaseException) -> None:
        """Who was interrupted finds the frame on the exception."""
        if self._planned.done() and self._planned.exception() is None:
            error.frame = self._planned.result().frame()  # type: ignore[attr-defined]

    def stop(self) -> None:
        """End it; returns when no byte will follow."""
        self._check_home()
        self.stop_switch.set("stopped")
        self.go()
        if not background.in_own_loop():
            with suppress(BaseException):
                self._done.exception()

    # --- for the work -----------------------------------------------------------------------

    def table_is(self, table: Table) -> None:
        """The rows are read and checked."""
        with self._lock:
            self._counts["files"] += sum(row.status != "invalid" for row in table.rows)
            self._planned_now = self._changed = True
        if not self._planned.done():  # a job of several tables has planned its first
            self._planned.set_result(table)

    def recorded_as(self, job_id: str) -> None:
        """It has a record, and can be told of by its id."""
        self.job_id = job_id
        _running.get()[job_id] = self
        begun.tell(self)

    def until_begun(self) -> None:
        """Wait until it may send; blocks."""
        self._may_begin.wait()

    def looked_at(self, row: BatchRow) -> None:
        """A file's size is known, and it is to be sent."""
        with self._lock:
            self._counts["size"] += row.size or 0
            self._counts["looked_at"] += 1
            self._changed = True

    def passed_over(self, count: int) -> None:
        """So many files are not to be sent."""
        with self._lock:
            self._counts["looked_at"] += count

    def moved(self, row: BatchRow, sent: int) -> None:
        """A file's bytes went on, or were lost again."""
        with self._lock:
            was = self._active.get(row.no)
            if was is None or was.sent != sent:
                name = row.name
                self._active[row.no] = InFlight(name, sent, row.size or 0)
                self._sent += sent - (was.sent if was else 0)
                self._changed = True

    def ended(self, row: BatchRow) -> None:
        """A row has ended; what was not sent takes its bytes back."""
        with self._lock:
            was = self._active.pop(row.no, None)
            self._waits.pop(row.no, None)
            kind = DONE if row.status in (DONE, SKIPPED, "assembling") else row.status
            if kind == DONE and row.status == SKIPPED:
                self._counts["skipped"] += 1
            elif kind != DONE and was is not None:
                self._sent -= was.sent
            if kind == "invalid":
                self._counts["files"] -= 1
            else:
                self._counts[kind] += 1
            self._changed = True

    def waits_for(self, reason: str, who: object = None) -> None:
        """What a person has to do so that `who`, a row or the job, goes on; "" once it does."""
        with self._lock:
            self._waits.pop(who, None)
            if reason:
                self._waits[who] = reason
            self._changed = True

    @property
    def is_watched(self) -> bool:
        """Whether somebody listens."""
        with self._lock:
            return bool(self._listeners)

    def tell(self) -> None:
        """Tell listeners what has changed."""
        with self._lock:
            if not self._changed:
                return
            self._changed, listeners = False, self._listeners
            state = self.state
        for listener in listeners:
            with suppress(Exception):
                listener(state)

    async def _run(self) -> None:
        try:
            table = await self._work(self)
            frame = await to_thread.run_sync(table.frame)
        except BaseException as error:
            self._end(error)
            raise
        self._end(None, frame)

    def _end(self, error: BaseException | None, frame: pd.DataFrame | None = None) -> None:
        with self._lock:
            self._over = self._changed = True
        _running.get().pop(self.job_id, None)
        self.tell()
        if error is not None and not self._planned.done():
            self._planned.set_exception(error)
        if error is not None:
            self._done.set_exception(error)
        elif frame is not None:
            self._done.set_result(frame)


def running_batch(job_id: str) -> Batch | None:
    """The batch of this process that sends the job of that id."""
    return _running.get().get(job_id)
