"""What the uploads of one client share: connections at once, and bandwidth.

Rules of this file: one token bucket and one number of lanes for all; both change while uploads run;
waiting for either ends when the upload is stopped.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.concurrency import MOST, Concurrency
from cognite_nb_upload.core.numbers import as_rate
from cognite_nb_upload.core.plan import KIB
from cognite_nb_upload.errors import UploadStopped
from cognite_nb_upload.process import PerProcess
from cognite_nb_upload.transfer.verify import KnownChecksums

# A piece is at most this many seconds of the limit, so that a low limit flows rather than bursts.
_PIECE_S: Final = 0.1
_SMALLEST: Final = 16 * KIB
# A change of the limit is felt within this many seconds.
_SLICE_S: Final = 0.2


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


class _Bucket:
    """What one process may send now, and has sent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tokens = 0.0
        self.at_s = time.monotonic()
        self.moved = 0


class Bandwidth:
    """A token bucket in bytes per second, for any number of threads; None is no limit.

    Whoever takes may run into debt by one piece, and the next one waits until it is paid. A forked
    child has the same limit, and a bucket of its own.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._rate = checked_bandwidth(rate)
        self._bucket = PerProcess(_Bucket)

    @property
    def rate(self) -> float | None:
        """Bytes per second; None is no limit."""
        return self._rate

    @property
    def moved(self) -> int:
        """Bytes that have gone in this process."""
        return self._bucket.get().moved

    def set(self, rate: float | str | None) -> None:
        """Another limit, from now on."""
        rate = checked_bandwidth(rate)
        bucket = self._bucket.get()
        with bucket.lock:
            self._rate, bucket.tokens, bucket.at_s = rate, 0.0, time.monotonic()

    def take(self, wanted: int, stop: CancelToken) -> int:
        """Wait until some of the `wanted` bytes may go; returns how many, at least 1."""
        bucket = self._bucket.get()
        while True:
            with bucket.lock:
                wait_s, granted = self._grant(bucket, wanted)
                bucket.moved += granted
            if granted or stop.wait(min(wait_s, _SLICE_S)):
                return granted or wanted

    def _grant(self, bucket: _Bucket, wanted: int) -> tuple[float, int]:
        if self._rate is None:
            return 0.0, wanted
        now_s = time.monotonic()
        most = self._rate * _PIECE_S
        bucket.tokens = min(most, bucket.tokens + (now_s - bucket.at_s) * self._rate)
        bucket.at_s = now_s
        if bucket.tokens < 0:
            return -bucket.tokens / self._rate, 0
        granted = min(wanted, max(_SMALLEST, int(most)))
        bucket.tokens -= granted
        return 0.0, granted


@dataclass(eq=False, slots=True)
class _Turn:
    """One who waits for a lane."""

    owner: object
    came: anyio.Event = field(default_factory=anyio.Event)


class Slots:
    """How many parts go at once, over all uploads; first come, first served.

    A part that had a lane before, and gave it back while its store was busy, came first.

    Used on the package's own loop alone, but for `may_stay` and `moved`.
    """

    def __init__(self) -> None:
        self._adapt = Concurrency()
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

    def moved(self, owner: object, size: int) -> None:
        """So many bytes of this owner's parts have gone out in all; any thread may tell."""
        self._moved[owner] = size

    def ended(self, owner: object) -> None:
        """This owner sends no more."""
        self._moved_before += self._moved.pop(owner, 0)

    def may_stay(self, owner: object) -> bool:
        """True where who has a lane need not give it back after a part; any thread may ask."""
        others = any(turn.owner is not owner for turn in tuple(self._waiting))
        return not others and self.busy <= self._adapt.limit

    async def acquire(self, owner: object = None, *, first: bool = False) -> None:
        """Wait for a lane; `first`: before all who wait already."""
        while self.busy >= self._adapt.limit or (self._waiting and not first):
            turn = _Turn(owner)
            (self._waiting.appendleft if first else self._waiting.append)(turn)
            try:
                await turn.came.wait()
            except BaseException:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                self._wake()  # a lane may have been meant for this one
                raise
            if self.busy < self._adapt.limit:
                break
        self.busy += 1
        self._wake()

    def release(self) -> None:
        """Give a lane back."""
        self.busy -= 1
        self._wake()

    def look(self) -> None:
        """See whether more at once would help; cheap, called several times a second."""
        moved = self._moved_before + sum(tuple(self._moved.values()))
        self._adapt = self._adapt.look(time.monotonic(), moved, self.busy)
        self._wake()

    def overloaded(self) -> None:
        """A store asked for less: half as many from now on."""
        self._adapt = self._adapt.overloaded(time.monotonic())

    def cap(self, most: int) -> None:
        """At most so many at once, 1 to 16, over all uploads."""
        self._adapt = self._adapt.capped(most)
        self._wake()

    def _wake(self) -> None:
        for turn in list(self._waiting)[: max(0, self._adapt.limit - self.busy)]:
            self._waiting.remove(turn)
            turn.came.set()


def checked_bandwidth(rate: float | str | None) -> float | None:
    """Bytes per second; None for no limit, which `math.inf` says, too.

    Raises:
        UsageError: it is no rate, or not above 0.
    """
    number = math.inf if rate is None else as_rate("max_bandwidth", rate)
    return None if number == math.inf else number


class SharedLimits:
    """What the uploads of one client share.

    Attributes:
        bandwidth: bytes per second, over all of them.
        checksums: which checksums its store answers with.
    """

    most_at_once: Final = MOST

    def __init__(self) -> None:
        self.bandwidth = Bandwidth()
        self.checksums = KnownChecksums()
        self._lanes = PerProcess(Slots)

    @property
    def lanes(self) -> Slots:
        """Those of this process: a forked child counts none of its parent's parts."""
        return self._lanes.get()
