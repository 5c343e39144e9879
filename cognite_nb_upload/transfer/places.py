"""How many uploads of a process are at work at once; the others wait for their turn.

Rules of this file: an upload that only waits, for a person, for CDF, for a browser's tab, gives its
place to another after a moment; it goes on as soon as its wait ends, even if all are taken then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from cognite_nb_upload import process
from cognite_nb_upload.core.events import Event
from cognite_nb_upload.core.state import Phase, UploadState

# Two hundred that are at work together make the caller's event loop wait for the interpreter.
AT_WORK: Final = 16
# A shorter wait than this, in seconds, keeps its place.
_WAITS_S: Final = 2.0


class Places:
    """So many are at work at once. All of it belongs to one event loop.

    Args:
        most: how many, at least 1.
    """

    def __init__(self, most: int = AT_WORK) -> None:
        self._most, self._taken = most, 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """True where who comes now has to wait."""
        return self._taken >= self._most or bool(self._queue)

    async def take(self) -> None:
        """Take one, in the order in which they came."""
        if not self.full:
            return self.take_now()
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            raise

    def take_now(self) -> None:
        """Take one even if none is free."""
        self._taken += 1

    def give(self) -> None:
        """Give one back."""
        self._taken -= 1
        while self._queue and self._taken < self._most:
            turn = self._queue.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


class Place:
    """The place of one upload; it begins with none."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._loop = asyncio.get_running_loop()
        self._has = self._lent = False
        self._waits = False
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, tell: Callable[[str], None]) -> None:
        """Wait for a place; `tell(reason)` hears why, and "" at the end of the wait."""
        if full := self._places.full:
            tell(f"its turn, behind {AT_WORK} other uploads")
        await self._places.take()
        self._has = True
        if full:
            tell("")

    async def take_back(self, tell: Callable[[str], None]) -> None:
        """Take it again, where it was lent to another for a wait; `tell` as in `take`."""
        self._quiet()
        if self._lent:
            self._lent = False
            await self.take(tell)

    def give(self) -> None:
        """Give it back, where it has one."""
        self._quiet()
        self._lent = False
        if self._has:
            self._has = False
            self._places.give()

    def follow(self, state: UploadState, _event: Event) -> None:
        """Hear of an upload's event; from any thread."""
        waits = state.phase is not Phase.PAUSED and (bool(state.waiting_for) or state.accepted)
        if waits != self._waits:
            self._waits = waits
            self._loop.call_soon_threadsafe(self._lend if waits else self._go_on)

    def _lend(self) -> None:
        if self._has and self._waits:
            self._quiet()
            self._timer = self._loop.call_later(_WAITS_S, self._lent_now)

    def _lent_now(self) -> None:
        self.give()
        self._lent = True

    def _go_on(self) -> None:
        self._quiet()
        if self._lent:
            self._lent, self._has = False, True
            self._places.take_now()

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_of_process: Final = process.PerProcess(Places)


def place() -> Place:
    """A place of this process for one upload, not taken yet; in the package's event loop."""
    return Place(_of_process.get())
