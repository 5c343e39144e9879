"""Bars for a batch of files: one for all of them, and one for each of the largest on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Protocol, Self

from tqdm.auto import tqdm

from cognite_nb_upload.progress.words import clean

_EVERY_S: Final = 0.2
# Small files are over before their bar is read; the largest on their way have one each.
_SLOTS: Final = 3
_NAME: Final = 32


class Many(Protocol):
    """A batch that can be watched."""

    @property
    def state(self) -> Any:
        """A snapshot: `files`, `size`, `done`, `failed`, `sent`, `active`."""
        ...

    def listen(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        """Call `listener(state)` from now on; returns what ends it."""
        ...


class BatchBar:
    """A context manager: tqdm bars that follow a batch until it is left.

    Args:
        batch: what to follow.
        slots: files on their way that have a bar of their own; their bars are used again.
        disable: True draws nothing; None draws only where somebody watches.
    """

    def __init__(self, batch: Many, *, slots: int = _SLOTS, disable: bool | None = None) -> None:
        self._batch = batch
        self._lock = threading.Lock()
        self._at_s = 0.0
        state = batch.state
        self._whole = _bar(_files(state), state.size, disable, leave=True)
        self._slots = [
            _bar("", 0, disable, leave=False, position=1 + no)
            for no in range(min(slots, state.files) if state.files > 1 else 0)
        ]
        self._end = batch.listen(self._hear)

    def _hear(self, state: Any) -> None:
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._at_s >= _EVERY_S:
                self._at_s = now_s
                self._paint(state)

    def _paint(self, state: Any) -> None:
        _set(self._whole, _files(state), state.sent, state.size)
        largest = sorted(state.active, key=lambda one: one.size, reverse=True)
        for bar, one in zip(self._slots, largest, strict=False):
            _set(bar, clean(one.name)[:_NAME], one.sent, one.size)
        for bar in self._slots[len(largest) :]:
            _set(bar, "", 0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        with self._lock:
            for bar in self._slots:
                bar.close()
            self._slots = []
            self._paint(self._batch.state)
            self._whole.close()


def _bar(
    title: str, size: int, disable: bool | None, *, leave: bool, position: int | None = None
) -> Any:
    return tqdm(
        total=size,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        desc=title,
        disable=disable,
        leave=leave,
        position=position,
        smoothing=0.1,
    )


def _set(bar: Any, title: str, sent: int, size: int) -> None:
    bar.set_description_str(title, refresh=False)
    bar.total, bar.n = size, min(sent, size)
    bar.refresh()


def _files(state: Any) -> str:
    failed = f", {state.failed} failed" if state.failed else ""
    return f"{state.done} of {state.files} files{failed}"
