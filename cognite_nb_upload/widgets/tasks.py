"""A widget's work in the background: by name, the newest of a name wins, all of it can be ended.

Rules of this file: nothing here blocks a cell; what a task has to show, it sets on widgets
directly: that reaches the browser from any thread (measured), also while a cell computes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, Final

import anyio

from cognite_nb_upload import background

_STEP_S: Final = 0.05
Work = Callable[[], Coroutine[Any, Any, None]]


class Tasks:
    """Work on the package's own loop, by name: a new one of a name ends the one before it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a widget that is collected meanwhile ends its own
        self._futures: dict[str, Future[None]] = {}

    def start(self, name: str, work: Work, after_s: float = 0.0) -> None:
        """Run `work()` in the background, `after_s` seconds from now; returns at once."""

        async def later() -> None:
            await anyio.sleep(after_s)
            await work()

        # Of two threads, the one that starts its work last is also told to be the last.
        with self._lock:
            self._futures = {one: it for one, it in self._futures.items() if not it.done()}
            before, self._futures[name] = self._futures.get(name), _start(later)
        if before is not None:
            before.cancel()

    def stop(self, name: str) -> None:
        """End the work of that name, if there is any."""
        with self._lock:
            before = self._futures.pop(name, None)
        if before is not None:
            before.cancel()

    def wait(self, timeout_s: float = 60.0) -> bool:
        """Block until nothing is under way; False where that takes longer than `timeout_s`."""
        end_s = time.monotonic() + timeout_s
        while futures := self._running():  # one may have started another
            # In short steps: `wait` does not notice that a future was cancelled meanwhile.
            wait(futures, _STEP_S)
            if time.monotonic() > end_s:
                return False
        return True

    def _running(self) -> tuple[Future[None], ...]:
        with self._lock:
            return tuple(one for one in self._futures.values() if not one.done())

    def close(self) -> None:
        """End everything."""
        for name in tuple(self._futures):
            self.stop(name)


def _start(work: Work) -> Future[None]:
    if background.in_own_loop():  # an observer there has set a field
        return asyncio.run_coroutine_threadsafe(work(), asyncio.get_running_loop())
    return background.start(work)
