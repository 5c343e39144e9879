"""What begins in this process, told to those who show it: uploads, and jobs of many files.

Rules of this file: who listens is told in the thread that has begun it, and must not wait there; an
error of a listener harms nothing; a forked child tells nobody.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar
from weakref import WeakMethod

from cognite_nb_upload.process import PerProcess

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Begun(Generic[T]):
    """Those who want to know what begins. Thread-safe."""

    def __init__(self) -> None:
        self._listeners: Final[PerProcess[list[WeakMethod[Any]]]] = PerProcess(list)
        self._locks = PerProcess(threading.Lock)  # one that is held at a fork stays locked there

    def listen(self, call: Callable[[T], object]) -> None:
        """Call `call(what)` for all that begins from now on, while the object of that method lives.

        Args:
            call: a bound method. It is called before the call that begins has returned.
        """
        with self._locks.get():
            listeners = self._listeners.get()
            listeners[:] = [one for one in listeners if one() is not None]
            listeners.append(WeakMethod(call))

    def ignore(self, call: Callable[[T], object]) -> None:
        """Do not call `call` any more."""
        with self._locks.get():
            listeners = self._listeners.get()
            listeners[:] = [one for one in listeners if one() not in (None, call)]

    def tell(self, what: T) -> None:
        """Tell that `what` has begun."""
        for one in tuple(self._listeners.get()):
            call = one()
            try:
                if call is not None:
                    call(what)
            except Exception:
                _log.debug("Who shows uploads could not be told of one", exc_info=True)
