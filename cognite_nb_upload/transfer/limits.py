"""What the uploads of one client share: connections at once, and bandwidth.

Rules of this file: one token bucket and one number of lanes for all; both change while uploads run;
waiting for either ends when the upload is stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.concurrency import LONG_WAY_S, MOST, START, Concurrency, has_room
from cognite_nb_upload.core.pace import Pace
from cognite_nb_upload.core.plan import LIMITS
from cognite_nb_upload.core.secret import NotPickled
from cognite_nb_upload.errors import UploadStopped
from cognite_nb_upload.process import PerProcess
from cognite_nb_upload.store.bandwidth import Bandwidth
from cognite_nb_upload.store.traffic import Seen
from cognite_nb_upload.transfer.verify import KnownChecksums


@contextmanager
def ended_by(stop: CancelToken) -> Iterator[None]:
    """Within the block, `stop` ends what is awaited.

    Raises:
        UploadStopped: it did.
    """
    loop = asyncio.get_running_loop()
    with (
        anyio.CancelScope() as scope,
        stop.waking(lambda: loop.call_soon_threadsafe(scope.cancel)),
    ):
        yield
    if scope.cancelled_caught:
        raise UploadStopped(f"The upload was {stop.reason}.")


@dataclass(eq=False, slots=True)
class _Turn:
    """One who waits for a lane."""

    owner: object
    came: anyio.Event = field(default_factory=anyio.Event)


def _untold(hurry: bool) -> Seen:
    """What is seen of the network where nobody tells."""
    return Seen()


class Slots:
    """How many parts go at once, over all uploads; first come, first served.

    A part that had a lane before, and gave it back while its store was busy, came first.

    Used on the package's own loop alone, but for `may_stay` and `moved`.

    Args:
        traffic: says what was carried over the network; told to hurry, has what is on its way fill
            the room that others leave.
    """

    def __init__(self, traffic: Callable[[bool], Seen] = _untold) -> None:
        self._adapt = Concurrency()
        self._traffic, self._seen = traffic, Seen()
        self._hurry = False
        self._waiting: deque[_Turn] = deque()
        self._moved: dict[object, int] = {}
        self._moved_before = 0
        self.busy = 0

    @property
    def limit(self) -> int:
        """How many may go at once now; it adapts."""
        return self._adapt.limit

    @property
    def per_connection(self) -> float:
        """Bytes per second that one connection carried lately; 0 where that is not known."""
        return self._adapt.per_connection

    @property
    def told(self) -> bool:
        """True where what goes over the network is known already; any thread may ask."""
        return self._seen.tells

    def crowded(self, leaving: int) -> bool:
        """True where more are at work than the few that may be, and a long way's queue stands.

        Args:
            leaving: so many of them are about to end.
        """
        way = self._seen
        waits = way.trip_s >= LONG_WAY_S and not has_room(way.trip_s, way.queue_s)
        return waits and self.busy - leaving > self.limit and self.limit < START

    def moved(self, owner: object, size: int) -> None:
        """So many bytes of this owner's parts have gone out in all; any thread may tell.

        Not told by those whose bytes `traffic` tells of.
        """
        self._moved[owner] = size

    def ended(self, owner: object) -> None:
        """This owner sends no more."""
        self._moved_before += self._moved.pop(owner, 0)

    def may_stay(self, owner: object) -> bool:
        """True where who has a lane need not give it back after a part; any thread may ask."""
        others = any(turn.owner is not owner for turn in tuple(self._waiting))
        return not others and self.busy <= self.limit

    async def acquire(self, owner: object = None, *, first: bool = False) -> None:
        """Wait for a lane; `first`: before all who wait already."""
        while self.busy >= self.limit or (self._waiting and not first):
            turn = _Turn(owner)
            (self._waiting.appendleft if first else self._waiting.append)(turn)
            try:
                await turn.came.wait()
            except BaseException:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                self._wake()  # a lane may have been meant for this one
                raise
            if self.busy < self.limit:
                break
        if not self.busy:
            self._adapt = self._adapt.begins(time.monotonic())
        self.busy += 1
        self._wake()

    def release(self) -> None:
        """Give a lane back."""
        self.busy -= 1
        self._hurry = self._hurry and self.busy > 0
        self._wake()

    def look(self, *, last: bool = False) -> None:
        """See whether more at once would help; cheap, called several times a second.

        Args:
            last: of who asks, the last parts are being sent.
        """
        if self._waiting or self.busy >= self.limit:
            self._hurry = False
        elif last and self.busy and has_room(self._seen.trip_s, self._seen.queue_s):
            self._hurry = True  # until they have ended, or others take the way
        moved = self._moved_before + sum(tuple(self._moved.values()))
        before, self._seen, now_s = self._seen, self._traffic(self._hurry), time.monotonic()
        if self._seen.changes != before.changes:
            self._adapt = self._adapt.changed(now_s)
        self._adapt = self._adapt.look(
            now_s,
            moved + self._seen.confirmed,
            self.busy,
            lossy=self._seen.lossy,
            trip_s=self._seen.trip_s,
            queue_s=self._seen.queue_s,
        )
        self._wake()

    def overloaded(self) -> None:
        """A store asked for less: half as many from now on."""
        self._adapt = self._adapt.overloaded(time.monotonic())

    def cap(self, most: int) -> None:
        """At most so many at once, 1 to 64, over all uploads."""
        self._adapt = self._adapt.capped(most)
        self._wake()

    def _wake(self) -> None:
        for turn in list(self._waiting)[: max(0, self.limit - self.busy)]:
            self._waiting.remove(turn)
            turn.came.set()


class EngineSlots(Slots):
    """The parts that an engine's workers may have at once: as many as there is room for.

    Args:
        at_once: says how many that are, at any moment.
        less: is called where a store asks for less.
    """

    def __init__(self, at_once: Callable[[], int], less: Callable[[], None]) -> None:
        super().__init__()
        self._at_once, self._less = at_once, less

    @property
    def limit(self) -> int:
        """How many may go at once now."""
        return self._at_once()

    def look(self, *, last: bool = False) -> None:
        """Workers may have come or gone."""
        self._wake()

    def overloaded(self) -> None:
        """A store asked for less."""
        self._less()


class SharedLimits(NotPickled):
    """What the uploads of one client share.

    Args:
        traffic: says what was carried over the network.

    Attributes:
        bandwidth: bytes per second, over all of them.
        checksums: which checksums its store answers with.
        small_files: how many threads its last small files were sent by.
    """

    _instead = "all uploads of one client share it. Give its numbers, such as bandwidth.rate."

    most_at_once: int = MOST

    def __init__(self, traffic: Callable[[bool], Seen] = _untold) -> None:
        self.bandwidth = Bandwidth()
        self.checksums = KnownChecksums()
        self.small_files = Pace(1)
        self._lanes = PerProcess(lambda: Slots(traffic))

    @property
    def lanes(self) -> Slots:
        """Those of this process: a forked child counts none of its parent's parts."""
        return self._lanes.get()


class EngineLimits(SharedLimits):
    """What the parts of one upload at an engine share; bandwidth is shared with all uploads.

    Args:
        shared: those of the client.
        slots: the engine's.
    """

    most_at_once = LIMITS.parts

    def __init__(self, shared: SharedLimits, slots: EngineSlots) -> None:
        super().__init__()
        self.bandwidth, self.checksums = shared.bandwidth, shared.checksums
        self._slots = slots

    @property
    def lanes(self) -> Slots:
        """The engine's."""
        return self._slots
