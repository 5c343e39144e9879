"""One switch that stops work in other threads, at once.

Rule of this file: whoever waits, waits on the switch; whoever blocks elsewhere (a socket) registers
a way to be woken.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)

# Waits so many seconds, while others may use the way, or until the switch is set.
BackoffWait = Callable[[float, "CancelToken"], None]


class CancelToken:
    """Set once; wakes all who wait on it and calls what was registered.

    Most are never waited on, so the event for that is made when it is needed: it is ten objects,
    each of which Python's collector looks at.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._made: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], object]] = []
        self.reason = ""

    def __bool__(self) -> bool:
        return self._is_set

    def set(self, reason: str = "stopped") -> None:
        """Stop everything that hangs on this switch. The first reason stays."""
        with self._lock:
            if not self._is_set:
                self.reason = reason
                self._is_set = True
            if (event := self._made.get("event")) is not None:
                event.set()
            wakers = list(self._wakers)
        for wake in wakers:
            try:
                wake()
            except Exception:  # the others are to be woken all the same
                _log.exception("Somebody who waits could not be woken.")

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; True where it was set meanwhile."""
        # Without the lock, which a signal handler that sets it would wait for in this very thread.
        if self._is_set:
            return True
        event = self._made.get("event") or self._made.setdefault("event", threading.Event())
        return self._is_set or event.wait(seconds)

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Within the block, `set()` also calls `wake()`, from the thread that sets it."""
        with self._lock:
            self._wakers.append(wake)
            already = self._is_set
        try:
            if already:
                wake()
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)
