"""One bar for a batch of files: bytes, files done and failed, and what is being sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Protocol, Self

from tqdm.auto import tqdm

from cognite_nb_upload.progress.words import clean

_EVERY_S: Final = 0.2


class Many(Protocol):
    """A batch that can be watched."""

    @property
    def state(self) -> Any:
        """A snapshot: `files`, `size`, `done`, `failed`, `sent`, `name`."""
        ...

    def listen(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        """Call `listener(state)` from now on; returns what ends it."""
        ...


class BatchBar:
    """A context manager: a tqdm bar that follows a batch until it is left."""

    def __init__(self, batch: Many, *, disable: bool | None = None) -> None:
        self._batch = batch
        self._lock = threading.Lock()
        self._at_s = 0.0
        self._bar = tqdm(
            total=batch.state.size,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            desc=_files(batch.state),
            disable=disable,
            smoothing=0.1,
        )
        self._end = batch.listen(self._hear)

    def _hear(self, state: Any) -> None:
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._at_s >= _EVERY_S:
                self._at_s = now_s
                self._paint(state)

    def _paint(self, state: Any) -> None:
        self._bar.set_description_str(_files(state), refresh=False)
        self._bar.set_postfix_str(clean(state.name)[:40], refresh=False)
        self._bar.n = min(state.sent, state.size)
        self._bar.refresh()

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
            self._paint(self._batch.state)
            self._bar.set_postfix_str("", refresh=True)
            self._bar.close()


def _files(state: Any) -> str:
    failed = f", {state.failed} failed" if state.failed else ""
    return f"{state.done} of {state.files} files{failed}"
