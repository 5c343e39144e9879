"""A link with a queue, as arithmetic: connections that fill it, and parts that have to end."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cognite_nb_upload.core.concurrency import Concurrency
from cognite_nb_upload.core.plan import MIB

LOOK_S: Final = 0.2
_STEP_S: Final = 0.05
_FIRST: Final = 14480.0  # bytes that a new connection has on its way
_PACKET: Final = 1448.0
_HANDSHAKE_TRIPS: Final = 3
_LOSS_IS_SEEN_S: Final = 2.5


@dataclass
class _Connection:
    """What it may have on its way, what its part has left, and when it goes on."""

    left: float
    goes_s: float
    loses: float
    window: float = _FIRST
    grows: bool = True


@dataclass
class QueuedLink:
    """A link of `rate` bytes/s and round trips of `trip_s`, with a queue of `queue_s`.

    Connections double what they have on its way in each round trip until the queue shows, then add
    `adds` packets in each, and take 0.7 of it where the queue overflows, and where a packet is
    lost: a share of `loss`, at random. Each sends parts of `part` bytes, waits for the answer
    after each, and ends after a part where there are too many.
    """

    rate: float
    trip_s: float
    queue_s: float
    part: float = 8.0 * MIB
    loss: float = 0.0
    adds: float = 10.0
    draw: random.Random = field(default_factory=lambda: random.Random(1))
    now_s: float = 0.0
    moved: float = 0.0
    open: list[_Connection] = field(default_factory=list)

    def driven(self, adapt: Concurrency, seconds: float) -> Iterator[Concurrency]:
        """What each look comes to."""
        until_s, looks_s = self.now_s + seconds, self.now_s
        adapt = adapt.begins(self.now_s)
        while self.now_s < until_s:
            if self.now_s >= looks_s:
                looks_s += LOOK_S
                adapt = adapt.look(
                    self.now_s, round(self.moved), len(self.open),
                    trip_s=self.trip_s, queue_s=self.trip_now_s - self.trip_s,
                    lossy=self.loss > 0 and self.now_s > _LOSS_IS_SEEN_S,
                )  # fmt: skip
                yield adapt
            while len(self.open) < adapt.limit:
                begins_s = self.now_s + _HANDSHAKE_TRIPS * self.trip_now_s
                self.open.append(_Connection(self.part, begins_s, self._until_lost()))
            self._step(adapt.limit)

    @property
    def trip_now_s(self) -> float:
        """Seconds of a round trip, with what stands in the queue."""
        on_its_way = sum(one.window for one in self.open if one.goes_s <= self.now_s)
        return max(self.trip_s, on_its_way / self.rate)

    def _until_lost(self) -> float:
        """Bytes that a connection sends until a packet of them is lost."""
        return self.draw.expovariate(self.loss) * _PACKET if self.loss else math.inf

    def _step(self, limit: int) -> None:
        trip_s = self.trip_now_s
        over = trip_s > self.trip_s + self.queue_s
        for one in [one for one in self.open if one.goes_s <= self.now_s]:
            sent = min(one.left, one.window / trip_s * _STEP_S)
            self.moved += sent
            one.left -= sent
            one.loses -= sent
            lost = one.loses <= 0
            one.grows = one.grows and trip_s < 1.1 * self.trip_s and not lost
            if lost:
                one.loses = self._until_lost()
            if over or lost:
                one.window = max(2 * _PACKET, 0.7 * one.window)
            else:
                one.window += sent if one.grows else self.adds * _PACKET * _STEP_S / trip_s
            if one.left <= 0 and len(self.open) > limit:
                self.open.remove(one)
            elif one.left <= 0:
                one.left, one.goes_s = self.part, self.now_s + self.trip_s
        self.now_s += _STEP_S
