"""The package's own event loop, in one daemon thread: where blocking calls and uploads run.

Rules of this file: the loop starts when it is first needed, and anew after a fork; interrupting the
one who waits stops the work, not only the wait.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, suppress
from typing import Final, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

P = ParamSpec("P")
T = TypeVar("T")

# How long an interrupted call may take to put its house in order, in seconds.
_GRACE_S: Final = 5.0
_lock = threading.Lock()
_running: tuple[int, AbstractContextManager[BlockingPortal], BlockingPortal] | None = None


def portal() -> BlockingPortal:
    """The portal into the package's loop; starts it when there is none in this process."""
    global _running
    with _lock:
        if _running is None or _running[0] != os.getpid():
            manager = start_blocking_portal(name="cognite_nb_upload")
            _running = (os.getpid(), manager, manager.__enter__())
            atexit.register(_end, os.getpid(), manager)
        return _running[2]


def _end(pid: int, manager: AbstractContextManager[BlockingPortal]) -> None:
    """At exit: stop what still runs there. A forked child leaves its parent's loop alone."""
    if pid == os.getpid():
        with suppress(SystemExit):
            manager.__exit__(SystemExit, SystemExit(), None)


def start(function: Callable[..., Awaitable[T]], *args: object) -> Future[T]:
    """Run `function(*args)` on the package's loop, and return its future at once."""
    return portal().start_task_soon(function, *args)


def call(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """Run `function(*args)` on the package's loop, and wait for its result.

    An interrupt of the waiting thread cancels the work and lets it clean up (5 s at most).
    """
    future = start(function, *args)
    try:
        return future.result()
    except BaseException:
        if future.cancel() or not future.done():
            wait([future], timeout=_GRACE_S)
        raise
