"""Where events become state and reach those who listen.

Rules of this file: events are applied one at a time, in the order they came; listeners hear them in
that order, each with the state right after it; a listener that raises is logged and costs nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from cognite_nb_upload.core.events import Event
from cognite_nb_upload.core.state import UploadState, advance

Listener = Callable[[UploadState, Event], None]

_log = logging.getLogger(__name__)


class Observable(Protocol):
    """What bars, journals and widgets can follow: a session or an upload."""

    @property
    def state(self) -> UploadState:
        """A snapshot of now."""
        ...

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(state, event)` from now on; returns what ends it."""
        ...


class Feed:
    """One upload's state, and the listeners that follow it; safe to use from any thread."""

    def __init__(self, clock: Callable[[], float], state: UploadState | None = None) -> None:
        self._clock = clock
        self._state = state or UploadState()
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.RLock()
        self._teller: int | None = None
        self.last_waits: tuple[Callable[[], None], ...] = ()

    @property
    def state(self) -> UploadState:
        """The state after the last event."""
        return self._state

    def restore(self, state: UploadState) -> None:
        """Go on from a state of an earlier process; no event is told of it."""
        with self._lock:
            self._state = replace(state, at_s=self._clock(), samples=())

    @property
    def telling(self) -> bool:
        """True in a thread that is in a listener: it must not wait for what emits more."""
        return self._teller == threading.get_ident()

    def listen(self, listener: Listener, *, first: bool = False) -> Callable[[], None]:
        """Call `listener(state, event)` from now on; returns what ends it.

        `first` puts it before those that listen already.
        """
        with self._lock:
            others = self._listeners
            self._listeners = (listener, *others) if first else (*others, listener)
        held = [listener]  # emptied then: the listener may hold what stops it, which is a circle

        def stop() -> None:
            with self._lock:
                if held:
                    gone = held.pop()
                    self._listeners = tuple(one for one in self._listeners if one is not gone)

        return stop

    def before_end(self, wait: Callable[[], None]) -> None:
        """Have `wait()` called, in a thread of its own, before the end is told to who waits for it.

        So a listener that draws has its last picture on the screen by then. It ends by itself; one
        that raises is logged.
        """

        def quiet() -> None:
            try:
                wait()
            except Exception:
                _log.debug("What shows an upload could not draw its end.", exc_info=True)

        with self._lock:
            self.last_waits = (*self.last_waits, quiet)

    def emit(self, event: Event) -> None:
        """Apply an event, stamped with the clock, and tell everyone."""
        with self._lock:
            event = replace(event, at_s=self._clock())
            self._state = state = advance(self._state, event)
            outer, self._teller = self._teller, threading.get_ident()
            try:
                for listener in self._listeners:
                    _tell(listener, state, event)
            finally:
                self._teller = outer


def _tell(listener: Listener, state: UploadState, event: Event) -> None:
    try:
        listener(state, event)
    except Exception:
        _log.exception("A listener of the upload failed; the upload goes on.")
