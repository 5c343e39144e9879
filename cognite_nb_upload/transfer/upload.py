"""`Upload`: the handle that a notebook holds and awaits, and the work behind it.

Rules of this file: the work runs on the package's own loop, so a busy cell does not stop it; who
interrupts a cell that awaits pauses the upload; after `cancel` no byte follows; whatever ends it
but completion and cancellation leaves a journal to go on from.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio import to_thread

from cognite_nb_upload import background
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.feed import Feed, Listener
from cognite_nb_upload.core.numbers import as_flag, as_wait, whole
from cognite_nb_upload.core.plan import show_bytes, show_parts
from cognite_nb_upload.core.secret import NotPickled
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.errors import UploadStopped, UsageError
from cognite_nb_upload.models import CDFFile
from cognite_nb_upload.process import Home, told
from cognite_nb_upload.say import say
from cognite_nb_upload.text import plain
from cognite_nb_upload.transfer.limits import SharedLimits
from cognite_nb_upload.transfer.spec import UploadSpec

if TYPE_CHECKING:
    import pandas as pd

    from cognite_nb_upload.progress.watch import Bars


_log = logging.getLogger(__name__)

# Who waits for the end goes on once all who follow it know of it, but no later than after this.
_TOLD_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that is in CDF, and how it got there. Sizes are bytes; times seconds.

    Attributes:
        verified: what was verified, and by what; "" is nothing.
        notes: what a reader should know, such as that an upload was begun anew.
    """

    file: CDFFile
    size: int
    parts: int
    seconds: float
    retries: int
    verified: str
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> int | None:
        """CDF's id of the file."""
        return self.file.id

    @property
    def name(self) -> str:
        """The file's name in CDF."""
        return self.file.name

    def __repr__(self) -> str:
        parts = "1 part" if self.parts == 1 else f"{self.parts} parts"
        verified = f", verified: {self.verified}" if self.verified else ""
        rate = f", {show_bytes(self.size / self.seconds)}/s" if self.seconds > 0 else ""
        return plain(
            f"<Uploaded {self.name}: {show_bytes(self.size)} in {parts}, id {self.id}, "
            f"{self.seconds:.1f} s{rate}{verified}{_told(self.notes)}>"
        )


class Upload(NotPickled, background.Awaited[Uploaded]):
    """A running upload: await it in any cell, any number of times; it goes on between them.

    `await upload` gives the `Uploaded`. Interrupting a cell that awaits pauses the upload; awaiting
    it again goes on. In plain Python `result()` waits.

    Attributes:
        name: the file's name in CDF.
        id: the upload's id, as `uploads()` lists it; "" in the first moments.
        path: the file's absolute path; "" in the first moments, and where there is none.
        notes: what a reader should know, such as that an unfinished upload of the file is left.
    """

    _instead = "it runs in this process. Its id, given to resume(id), goes on elsewhere."

    def __init__(
        self,
        work: Callable[[Upload], Awaitable[Uploaded]],
        spec: UploadSpec,
        limits: SharedLimits,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.plan = spec.plan
        self.id = self.path = ""
        self.notes = spec.notes
        self.feed = Feed(time.monotonic)
        self.stop_switch = CancelToken()  # stops what is in flight at once
        self.pause_switch = CancelToken()  # lets parts finish that are nearly done
        self.max_concurrency = spec.max_concurrency
        self.cancelled = False
        self.delete_on_cancel = False
        self.last_words = ""  # what a reader should know where it was cancelled
        self._work = work
        self._limits = limits
        self._home = Home()
        self._mutex = threading.Lock()
        self._go_on = CancelToken()
        self._paused = self._interrupted = self._closing = self._sending = False
        self._watchers = 0
        self._cell_calls: tuple[Callable[[], object], ...] = ()
        self._ended_by = "stopped"
        self._ended = False
        self._outcome_to_come: Future[Uploaded] = Future()
        self._all_told: Future[None] = Future()  # what `when_done` was given was called
        self._teller: int | None = None  # the thread that calls it
        self._running: Future[None] = background.start_after(self._run)

    # --- what it is -------------------------------------------------------------------------

    @property
    def state(self) -> UploadState:
        """An immutable snapshot: phase, parts, rate, ETA, what it waits for."""
        return self.feed.state

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(state, event)` from now on, from other threads; returns what ends it."""
        return self.feed.listen(listener)

    def before_end(self, wait: Callable[[], None]) -> None:
        """Have `wait()` called in a thread before the end is told; for listeners that draw."""
        self.feed.before_end(wait)

    def done(self) -> bool:
        """True once it is complete, has failed, or was cancelled or stopped."""
        return self._done.done()

    def to_frame(self) -> pd.DataFrame:
        """A row for each part: sizes in bytes, tries, why it waits."""
        from cognite_nb_upload.progress.table import to_frame  # pandas is slow to import

        return to_frame(self.state)

    def __repr__(self) -> str:
        state = self.state
        share = f"{100 * state.sent / self.plan.size:.0f} %" if self.plan.size else "0 bytes"
        parts = show_parts(len(self.plan.parts), self.plan.part_size)
        what = f"{show_bytes(self.plan.size)} in {parts}"
        text = f"<Upload {self.name}: {what}, {state.phase.value}, {share}"
        if state.phase is Phase.SENDING and state.rate:
            text += f", {show_bytes(state.rate)}/s"
        if state.waiting_for or state.error:
            text += f", {state.error or state.waiting_for}"
        if workers := len(state.workers):
            text += f", on {workers} worker{'' if workers == 1 else 's'}"
        elsewhere = "" if self._home.is_here else f", in process {self._home.pid}"
        return plain(f"{text}{elsewhere}{_told(self.notes)}>")

    def _ipython_display_(self) -> None:
        """As the last line of a cell: live, with its buttons; in a terminal its repr."""
        from cognite_nb_upload.progress.view import show_upload  # widgets are slow to import

        show_upload(self)

    # --- waiting for it ---------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Uploaded]:
        return self._wait().__await__()

    async def _wait(self) -> Uploaded:
        if self._interrupted:
            self.resume()
        bars = self.bars_for_who_waits()
        try:
            await background.until_done(self._done)
        except asyncio.CancelledError:
            self._interrupt("`await` it again")
            raise
        finally:
            if bars is not None:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(bars.close)  # it waits for the last picture
        with anyio.move_on_after(_TOLD_S):
            await background.until_done(self._all_told)
        self._tell_this_cell()
        return self._outcome()

    def result(self, timeout_s: float | None = None) -> Uploaded:
        """Wait up to `timeout_s` seconds (None: as long as it takes) and return the result.

        An interrupt pauses the upload, and the next call goes on.

        Raises:
            TimeoutError: it still runs, and goes on.
            UploadToolkitError: why it ended.
        """
        as_wait("timeout_s", timeout_s)
        if self._interrupted:
            self.resume()
        try:
            self.until_over(timeout_s)
        except KeyboardInterrupt:
            self._interrupt("call `result()` again")
            raise
        self._tell_this_cell()
        return self._outcome()

    def finish(self) -> Uploaded:
        """Wait for it where nobody keeps it: an interrupt stops it, and the journal is kept."""
        try:
            self.until_over()
        except BaseException:
            self.stop()
            say(f"Stopped {self.name}: the same call goes on with it.")
            raise
        return self._outcome()

    def until_over(self, timeout_s: float | None = None) -> None:
        """Block until it has ended, with bars; an interrupt leaves it as it is.

        Raises:
            TimeoutError: it still runs.
        """
        wait_s = as_wait("timeout_s", timeout_s)
        background.begin()
        with self.bars_for_who_waits() or nullcontext():
            background.wait_for(self._done, wait_s, self.name)
        self._until_all_told()

    def watched(self, change: int) -> None:
        """Count what shows this upload: one more, or one fewer."""
        with self._lock:
            self._watchers += change

    def bars_for_who_waits(self) -> Bars | None:
        """Bars for who waits, in a notebook or a terminal, unless something shows it already."""
        if not self.spec.progress or self._watchers or self.done():
            return None
        try:
            from cognite_nb_upload.progress.watch import bars, has_an_audience

            return bars(self) if has_an_audience() else None
        except OSError:  # no file can be opened: the upload itself says so, or goes on unseen
            return None

    def _outcome(self) -> Uploaded:
        error = self._done.exception()
        if error is not None:
            raise error.with_traceback(None)
        return self._done.result()

    def _interrupt(self, again: str) -> None:
        if self.done():
            return
        self.pause("interrupted")
        self._interrupted = True
        say(f"Paused {self.name}: {again} to go on, or `.cancel()` to give it up.")

    @property
    def paused(self) -> bool:
        """True from `pause()`, or an interrupted wait, until `resume()`."""
        return self._paused

    # --- steering it ------------------------------------------------------------------------

    def pause(self, reason: str = "paused") -> None:
        """Send nothing more until `resume()`; parts that are over within 5 s are finished first.

        `state.waiting_for` says so: "finishing 2 parts, 3 s". A second call stops them at once.
        """
        with self._lock:
            if self.done():
                return
            again, self._paused = self._paused, True
            if not again:
                self._go_on = CancelToken()
            (self.pause_switch if self._sending and not again else self.stop_switch).set(reason)

    def resume(self) -> None:
        """Go on: parts that were stopped in flight are sent again from their first byte."""
        with self._lock:
            self._interrupted = False
            if not self._paused or self._closing:
                return
            self._paused = False
            self.stop_switch, self.pause_switch = CancelToken(), CancelToken()
            self._go_on.set()

    def wait_until_paused(self, timeout_s: float) -> None:
        """Wait up to so many seconds until it is paused and nothing is in flight, or has ended."""
        wait_s, quiet = as_wait("timeout_s", timeout_s), threading.Event()

        def look(state: UploadState, _: object) -> None:
            if state.phase is Phase.PAUSED or state.phase.over:
                quiet.set()

        background.begin()
        end = self.listen(look)
        try:
            look(self.state, None)
            quiet.wait(wait_s)
        finally:
            end()

    def cancel(self, delete: bool = False) -> None:
        """Give it up; returns when no byte will follow (called by a listener: at once).

        Args:
            delete: also delete the file in CDF that this upload made. Never done where a file
                existed before (`overwrite=True`, or content for an existing file).
        """
        delete = as_flag("delete", delete)
        with self._lock:
            if self.done():
                return
            self.cancelled, self.delete_on_cancel = True, delete
        self._end("cancelled")

    def stop(self) -> None:
        """End it, and keep what is needed to go on later; returns as `cancel` does.

        The same call, or `resume(...)`, goes on from the journal.
        """
        if not self.done():
            self._end("stopped")

    def _end(self, reason: str) -> None:
        with self._lock:
            self._closing, self._ended_by = True, reason
            self.stop_switch.set(reason)
            self._go_on.set()
        self._running.cancel()
        background.begin()
        if not (background.in_own_loop() or self.feed.telling):
            self._done.exception()
            self._until_all_told()

    def _until_all_told(self) -> None:
        """It has ended: wait a little until those know of it who show it."""
        if not (background.in_own_loop() or self._teller == threading.get_ident()):
            with suppress(TimeoutError):
                self._all_told.exception(_TOLD_S)

    @property
    def max_bandwidth(self) -> float | None:
        """Bytes per second that all uploads of this client share; None is no limit."""
        return self._limits.bandwidth.rate

    def set_limits(
        self, *, max_concurrency: int | None = None, max_bandwidth: float | str | None = None
    ) -> None:
        """Change the limits while it runs.

        Args:
            max_concurrency: parts of this upload at once, 1 to 64.
            max_bandwidth: bytes per second, shared by all uploads of this client; `math.inf` is
                no limit.
        """
        self._check_home()
        if max_concurrency is not None:
            self.max_concurrency = checked_concurrency(max_concurrency)
        if max_bandwidth is not None:
            self._limits.bandwidth.set(max_bandwidth)

    def _check_home(self) -> None:
        # `_ended` is set a moment after the outcome, on a loop that a child does not have.
        if not (self._ended or self._outcome_to_come.done()):
            self._home.check(f"The upload of {self.name}")

    @property
    def _done(self) -> Future[Uploaded]:
        self._check_home()  # a forked child would wait for ever
        return self._outcome_to_come

    @property
    def _lock(self) -> threading.Lock:
        self._check_home()
        return self._mutex

    # --- for the work -----------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Tell a reader something, once: in the repr now, and in the result."""
        with self._lock:
            if text not in self.notes:
                self.notes = (*self.notes, text)

    def joined(self, spec: UploadSpec) -> Upload:
        """This handle, for a call that asks for the same; one that is paused goes on.

        The content that this call has opened is closed.
        """
        now = {
            "part_size": self.plan.part_size,
            "max_concurrency": self.max_concurrency,
            "max_bandwidth": self._limits.bandwidth.rate or math.inf,
            "verify": self.spec.verify,
            "resume": self.spec.resume,
        }
        ignored = [f"{name}={value!r}" for name, value in spec.asked.items() if value != now[name]]
        if ignored:
            self.note(
                f"This upload was running already: {', '.join(ignored)} of the later call "
                f"{'was' if len(ignored) == 1 else 'were'} ignored. `set_limits` changes limits."
            )
        if spec.source is not self.spec.source:
            spec.source.close()
        self.resume()
        return self

    def when_awaited(self, call: Callable[[], object]) -> None:
        """Call `call()` in each cell that has waited for the end, from that cell's own thread.

        What runs a notebook to its end (nbclient, papermill) takes only what the present cell says.
        """
        with self._lock:
            self._cell_calls = (*self._cell_calls, call)

    def _tell_this_cell(self) -> None:
        for call in self._cell_calls:
            try:
                call()
            except Exception:
                _log.debug("What shows an upload could not be told of its end", exc_info=True)

    async def ended(self) -> None:
        """Wait until it has ended, however it does."""
        await background.until_done(self._done)

    def when_done(self, call: Callable[[Future[Uploaded]], object]) -> None:
        """Call `call(future)` once it has ended; at once where it has.

        Who waits for the end goes on after that.
        """
        self._done.add_done_callback(call)

    @property
    def closing(self) -> bool:
        """True once it was cancelled or stopped: nothing more is to be begun."""
        return self._closing

    @contextmanager
    def sending(self) -> Iterator[tuple[CancelToken, CancelToken]]:
        """While parts are sent: what stops them at once, and what lets some finish.

        A pause that comes at the end, when none is in flight any more, counts as a stop.
        """
        with self._lock:
            stop, pause = self.stop_switch, self.pause_switch
            self._sending = True
        try:
            yield stop, pause
        finally:
            with self._lock:
                self._sending = False
                if pause:
                    stop.set(pause.reason)

    async def until_resumed(self) -> None:
        """Wait while it is paused."""
        loop, resumed = asyncio.get_running_loop(), anyio.Event()
        with self._go_on.waking(lambda: loop.call_soon_threadsafe(resumed.set)):
            await resumed.wait()

    async def _run(self) -> None:
        try:
            result = await self._work(self)
        except asyncio.CancelledError:
            await self._ends(partial(self._done.set_exception, self._stopped()))
            raise
        except BaseException as error:
            failure = self._stopped() if self._closing else told(error)
            await self._ends(partial(self._done.set_exception, failure))
        else:
            await self._ends(partial(self._done.set_result, result))
        finally:
            self._ended = True
            del self._work  # which holds this handle

    async def _ends(self, tell: Callable[[], None]) -> None:
        """Tell the end, off this loop: those who hear of it draw their last picture first."""
        for wait in self.feed.last_waits:
            await background.apart(wait)
        await background.apart(partial(self._tell_all, tell))

    def _tell_all(self, tell: Callable[[], None]) -> None:
        self._teller = threading.get_ident()
        try:
            tell()
        finally:
            self._teller = None
            self._all_told.set_result(None)

    def _stopped(self) -> UploadStopped:
        error = UploadStopped(
            f"The upload of {self.name} was {self._ended_by}.",
            missing_parts=self.state.missing_parts,
        )
        return error.hint(self.last_words)


def _told(notes: tuple[str, ...]) -> str:
    return "".join(f"; {note.rstrip('.')}" for note in notes)


def checked_concurrency(most: int) -> int:
    """The number of parts at once, 1 to 64.

    Raises:
        UsageError: it is not.
    """
    number = whole(most)
    if number is None or not 1 <= number <= SharedLimits.most_at_once:
        raise UsageError(f"max_concurrency is 1 to {SharedLimits.most_at_once}, not {most!r}.")
    return number
