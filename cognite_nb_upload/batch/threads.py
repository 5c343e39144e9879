"""Threads that send small files, one after another.

Rules of this file: a thread that has sent a file takes the next one by itself, and the ends of many
files wake the event loop once: a way to a thread and back costs the loop more than a small file
costs its thread. So it is woken where threads are about to have no work; else it looks by itself a
few times a second. Whoever is cancelled waits until its file's thread uses no socket any more.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import Final, Self

import anyio
from anyio import CancelScope

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.pace import Pace
from cognite_nb_upload.errors import UploadStopped
from cognite_nb_upload.store.connect import waited_s_of_thread

Work = Callable[[CancelToken], None]

# The loop is woken for more where fewer works than this, and one for four threads, are at hand.
_AT_HAND: Final = 8
# How often, in seconds, the loop looks what has ended while there is enough at hand.
_LOOK_S: Final = 0.05


class _Job:
    """One work, and who waits for it."""

    __slots__ = ("cpu_s", "error", "future", "over", "waited_s", "work")

    def __init__(self, work: Work, future: asyncio.Future[None]) -> None:
        self.work, self.future = work, future
        self.error: BaseException | None = None
        self.over: anyio.Event | None = None  # set where the one who waited was cancelled
        self.waited_s = self.cpu_s = 0.0

    def do(self, stop: CancelToken) -> None:
        waited_s, cpu_s = waited_s_of_thread(), time.thread_time()
        try:
            if stop:
                raise UploadStopped(f"The batch was {stop.reason}.")
            self.work(stop)
        except BaseException as error:
            self.error = error
        self.waited_s = waited_s_of_thread() - waited_s
        self.cpu_s = time.thread_time() - cpu_s

    def tell(self) -> None:
        if self.over is not None:
            self.over.set()
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(self.error)


class SenderThreads:
    """Threads for the tasks of one event loop, as many as `pace` says.

    They begin with the first works, and end with the block of `with`.
    """

    def __init__(self, pace: Pace, stop: CancelToken) -> None:
        self._pace, self._stop = pace, stop
        self._own = CancelToken()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._ended: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._threads = self._waiting = 0
        self._woken = False
        self._next_look: asyncio.TimerHandle | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        own, stop = self._own, self._stop
        self._undo.enter_context(stop.waking(lambda: own.set(stop.reason)))
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()
        if self._next_look is not None:
            self._next_look.cancel()
        with self._lock:
            for _each in range(self._threads):
                self._jobs.put(None)

    async def run(self, work: Work) -> None:
        """Have `work(stop)` done by a thread; being cancelled sets `stop`, and waits for it."""
        job = _Job(work, self._loop.create_future())
        self._waiting += 1
        try:
            self._begin_one_more()
            self._jobs.put(job)
            if self._next_look is None:
                self._next_look = self._loop.call_later(_LOOK_S, self._look)
            await job.future
        except asyncio.CancelledError:
            self._own.set(self._stop.reason or "cancelled")
            if job.future.done() and not job.future.cancelled():
                job.future.exception()  # its end was told in this moment
                raise
            job.over = anyio.Event()
            with CancelScope(shield=True):
                await job.over.wait()
            raise
        finally:
            self._waiting -= 1

    def _begin_one_more(self) -> None:
        """Begin a thread where there is work for it."""
        with self._lock:
            if self._threads >= min(self._pace.now, self._waiting):
                return
            thread = threading.Thread(target=self._work, name="upload-small-files", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads: those that are there do all
                if not self._threads:
                    raise
            else:
                self._threads += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.do(self._own)
            with self._lock:
                self._ended.append(job)
                few = self._jobs.qsize() < _AT_HAND + self._threads // 4
                wake = few and not self._woken
                self._woken = self._woken or wake
                one_too_many = self._threads > self._pace.now
                if one_too_many:
                    self._threads -= 1
            del job
            if wake:
                with suppress(RuntimeError):  # that loop is gone, and who waited with it
                    self._loop.call_soon_threadsafe(self._tell)
            if one_too_many:
                return

    def _look(self) -> None:
        """Tell what has ended, and look again as long as anybody waits."""
        self._tell()
        again = self._waiting > 0
        self._next_look = self._loop.call_later(_LOOK_S, self._look) if again else None

    def _tell(self) -> None:
        """Tell all whose work has ended."""
        with self._lock:
            self._woken = False
            ended, self._ended = self._ended, deque()
        for job in ended:
            self._pace.took(job.waited_s, job.cpu_s)
            job.tell()
