"""Bars for a batch of files: one for all of them, and one for each of the largest on their way."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from cognite_nb_upload.progress.lines import Line, Mood
from cognite_nb_upload.progress.terminal import LogLines, TextLines
from cognite_nb_upload.progress.watch import in_notebook
from cognite_nb_upload.progress.words import (
    clean,
    show_amount,
    show_duration,
    show_rate,
    show_share,
)
from cognite_nb_upload.say import is_screen

_EVERY_S: Final = 0.2
# The rate is that of so many looks: of the last seconds.
_LOOKS: Final = 25
# Small files are over before their bar is read; the largest on their way have one each.
_SLOTS: Final = 3
_NAME: Final = 32


class OnItsWay(Protocol):
    """A file that is being sent."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def sent(self) -> int:
        """Bytes."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...


class Many(Protocol):
    """A batch that can be watched."""

    @property
    def state(self) -> Any:
        """A snapshot: `files`, `size`, `looked_at`, `done`, `failed`, `sent`, `active`,
        `waiting_for`.
        """
        ...

    def listen(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        """Call `listener(state)` from now on; returns what ends it."""
        ...


class Face(Protocol):
    """Where lines are drawn, each with a bar."""

    def paint(self, lines: Sequence[Line]) -> None:
        """Draw them; there are never fewer than before."""
        ...

    def finish(self, text: str) -> None:
        """Leave this text behind."""
        ...


class BatchBar:
    """A context manager: bars that follow a batch until it is left.

    Args:
        batch: what to follow.
        slots: files on their way that have a bar of their own; their bars are used again.
        disable: True draws nothing; False draws bars even where nobody watches; None (the default)
            draws widgets in a notebook, bars in a terminal, and writes a few lines to a log.
    """

    def __init__(self, batch: Many, *, slots: int = _SLOTS, disable: bool | None = None) -> None:
        self._batch = batch
        self._lock = threading.Lock()
        self._began_s = time.monotonic()
        self._looks = deque([(self._began_s, 0)], _LOOKS)
        self._at_s = 0.0
        self._waiting_for = ""
        self._slots = _Slots(slots if batch.state.files > 1 else 0)
        self._face = _face(disable)
        self._paint(batch.state)
        self._end = batch.listen(self._hear)

    def _hear(self, state: Any) -> None:
        now_s = time.monotonic()
        with self._lock:
            waits = state.waiting_for != self._waiting_for  # nothing may come after it for long
            if waits or now_s - self._at_s >= _EVERY_S:
                self._at_s, self._waiting_for = now_s, state.waiting_for
                self._looks.append((now_s, state.sent))
                self._paint(state)

    def _paint(self, state: Any) -> None:
        if self._face is not None:
            (then_s, then), (now_s, now) = self._looks[0], self._looks[-1]
            rate = (now - then) / (now_s - then_s) if now > then else 0.0
            self._face.paint([_whole(state, rate), *self._slots.lines(state.active)])

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
            state, face = self._batch.state, self._face
            self._paint(state)
            self._face = None
        if face is not None:
            took = show_duration(time.monotonic() - self._began_s)
            face.finish(f"{_files(state)}: {show_amount(state.sent)} in {took}")


class _Slots:
    """Which file each bar shows: it keeps it until the file is sent and another one needs it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shown: list[OnItsWay] = []
        self._over: set[int] = set()

    def lines(self, active: Iterable[OnItsWay]) -> list[Line]:
        """A line for each bar."""
        waiting = {(one.name, one.size): one for one in active}
        for at, shown in enumerate(self._shown):
            now = waiting.pop((shown.name, shown.size), None)
            self._shown[at] = now or shown
            (self._over.discard if now else self._over.add)(at)
        for one in sorted(waiting.values(), key=lambda one: -one.size):
            self._show(one)
        return [_line(one, at in self._over) for at, one in enumerate(self._shown)]

    def _show(self, one: OnItsWay) -> None:
        if self._over:
            self._shown[self._over.pop()] = one
        elif len(self._shown) < self._most:
            self._shown.append(one)


def _line(one: OnItsWay, over: bool) -> Line:
    name, size = clean(one.name)[:_NAME], max(1, one.size)
    if over:
        return Line(name, size, size, "sent", "success")
    return Line(name, min(one.sent, size), size, show_amount(one.size))


def _whole(state: Any, rate: float) -> Line:
    ended = state.done + state.failed
    n, total = (state.sent, state.size) if state.size else (ended, max(1, state.files))
    words = [show_share(min(n, total), total)] if state.size else []
    if state.size and 0 < state.looked_at < state.files:  # the others may be as large
        total = round(state.size * state.files / state.looked_at)
        words = [show_amount(n)]
    if rate and ended < state.files:
        words += [show_rate(rate), f"{show_duration(max(1, round((total - n) / rate)))} left"]
    if state.waiting_for:
        waits = clean(state.waiting_for)
        return Line(_files(state), min(n, total), total, waits, "warning", waits=True)
    mood: Mood = "warning" if state.failed else "success" if ended == state.files else ""
    return Line(_files(state), min(n, total), total, ", ".join(words), mood)


def _files(state: Any) -> str:
    failed = f", {state.failed} failed" if state.failed else ""
    return f"{state.done} of {state.files} files{failed}"


def _face(disable: bool | None) -> Face | None:
    if disable or (disable is None and os.environ.get("TQDM_DISABLE")):
        return None
    if in_notebook():
        from cognite_nb_upload.progress.notebook import BoxOfLines

        return BoxOfLines()
    if sys.stderr is None:
        return None
    bars = disable is not None or is_screen(sys.stderr)
    return TextLines(sys.stderr) if bars else LogLines(sys.stderr)
