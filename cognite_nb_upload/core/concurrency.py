"""How many parts go at once: more while the way is not full, then those that pay, then rest.

Rules of this file: every number is judged by the rate of at least a second, after a pause in which
new connections only fill their buffers, but for the first seconds of a long way, which is filled
sooner by more of them; more is kept only where it brings what it promises, and fewer where fewer do
as well; where a queue stands on the way it is full, and more are not tried; where that queue is
long, fewer are; a store that asks for less is obeyed at once; above 16 only while one connection
carries little. Arithmetic only: the edge says what time it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from cognite_nb_upload.core.plan import MIB

# A connection that carries little leaves the processor alone: there may be so many of them. Past
# 16 of those that carry much, the caller's event loop starves; so many in between carry together
# as much as the most of those that carry little.
MOST: Final = 64
USUAL: Final = 16
LITTLE: Final = 2 * MIB
TOGETHER: Final = MOST * LITTLE
START: Final = 4
# The most on a long way on which nothing was measured yet.
FIRST: Final = 32
# Seconds after a change that say nothing, and the seconds that are measured then.
SETTLE_S: Final = 0.5
WINDOW_S: Final = 1.0
# A new connection takes three round trips to be there, and some more to get to its rate.
_SETTLE_TRIPS: Final = 8
_WINDOW_TRIPS: Final = 5
# A way with such a shortest round trip, in seconds, is long: its connections take seconds to get to
# their rate, and it is filled sooner by more of them than by waiting. A third more come at a time,
# so many round trips apart, so that their first windows do not overflow a queue together.
LONG_WAY_S: Final = 0.02
_APART_TRIPS: Final = 1.5
_A_THIRD: Final = 3
# Seconds without a change after a halving, and until all is measured again.
CALM_S: Final = 5.0
REST_S: Final = 60.0
# No look for so long, in seconds: what was being measured has ended.
_GAP_S: Final = 2.0
# Where packets are lost at random, each connection's rate is the way's: many more pay at once.
_LEAP: Final = 4
# Doubling has to bring this share of its promise, and one more this share of one's.
_DOUBLE_PAYS: Final = 0.75
_ONE_PAYS: Final = 0.5
# Less than this is noise; half as many cost nothing where they reach this share of the rate.
_NOISE: Final = 0.08
_AS_WELL: Final = 0.97
# What stands in a queue on the way in the mean of a window, in seconds and in shortest round trips
# (the larger counts). A long one keeps everybody waiting; where one stands, the way is full; where
# there is some, and the rate has grown by this share since the last window, it is about to be.
LONG: Final = (0.1, 0.5)
STANDS: Final = (0.02, 0.25)
_SOME: Final = (0.01, 0.1)
_GROWS: Final = 0.04
# Parts of a connection that carries so much are over in a second or two, and those that began
# together wait for their answers together: some more have to bring so much, though the way is full.
BRIEF: Final = 2 * LITTLE
_SOME_PAY: Final = 0.03
# Where there is a long queue, fewer have to reach this share of the rate.
_FULL_AS_WELL: Final = 0.92
# Of what twice the number carried, so much has to be left with as many as seemed to be enough.
_GUESSED: Final = 0.85
# Another rate than the one that was settled on: the way has changed.
_CHANGED: Final = 0.3
# Fewer at once keep more of a file when it is paused, but not where parts are over in a moment.
_FAST: Final = 32 * MIB


class Step(Enum):
    """What is being tried."""

    BEGIN = "begin"
    MEASURE = "measure"
    DOUBLE = "double"
    MEASURE_AGAIN = "measure again"
    ONE_MORE = "one more"
    FEWER = "fewer"
    REST = "rest"


# What may lead to more at once.
_CLIMBS: Final = (Step.BEGIN, Step.MEASURE, Step.DOUBLE, Step.MEASURE_AGAIN, Step.ONE_MORE)


def has_room(trip_s: float, queue_s: float) -> bool:
    """True where a long way has no queue now: what is sent does not fill it."""
    some_s, trips = _SOME
    return trip_s >= LONG_WAY_S and queue_s <= max(some_s, trips * trip_s)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many at once now, and what is known of the rate (bytes/s) so far.

    Attributes:
        limit: how many at once.
        most: never more.
        step: what is being tried with `limit`.
        base: how many at once `step` is compared with.
        base_rate: their rate in bytes/s; 0 before anything was measured.
        held: the most until `held_until_s`, since a store has asked for less.
        lossy: packets are lost on the way, and not because there are too many.
        trip_s: the shortest round trip; 0 where it is not known.
        opens_s: before, nothing is measured.
        began_s: since when is measured; before anything was, since when some queue is seen.
        moved_before: bytes in all that were moved by then.
        queue_s: what stood in a queue on the way since `began_s`, in the mean of `looks`, in
            seconds.
        rate_before: with `limit` at once, in the window before; 0 where there was none.
        needed: fewer were tried, and were slower.
        enough: fewer were tried, and did as well.
    """

    limit: int = START
    most: int = MOST
    step: Step = Step.BEGIN
    base: int = START
    base_rate: float = 0.0
    looked_s: float = -math.inf
    opens_s: float = -math.inf
    began_s: float | None = None
    moved_before: int = 0
    settled_s: float = 0.0
    held: int = MOST
    held_until_s: float = -math.inf
    lossy: bool = False
    trip_s: float = 0.0
    queue_s: float = 0.0
    looks: int = 0
    rate_before: float = 0.0
    needed: int = 0
    enough: bool = False

    @property
    def per_connection(self) -> float:
        """Bytes/s that each of those at once carried; 0 before anything was measured."""
        return self.base_rate / self.base

    def look(
        self,
        now_s: float,
        moved: int,
        busy: int,
        *,
        lossy: bool = False,
        trip_s: float = 0.0,
        queue_s: float = 0.0,
    ) -> Concurrency:
        """The limit after `moved` bytes in all, with `busy` connections at work.

        Other ones than `limit` say nothing of it: parts that were begun before are still sent.

        Args:
            now_s: the time.
            moved: bytes in all.
            busy: connections at work.
            lossy: packets are lost on the way, and not because there are too many.
            trip_s: the shortest round trip; 0 where it is not known.
            queue_s: how long packets stand in a queue on the way now; 0 where it is not known.
        """
        seen = replace(self, looked_s=now_s, lossy=lossy, trip_s=trip_s)
        if (longer := seen._settle_s - self._settle_s) > 0:  # the way is known only now
            return replace(seen, began_s=None, opens_s=self.opens_s + longer)
        if seen._begins and now_s - self.looked_s <= _GAP_S:
            return seen._begun(now_s, busy, queue_s)
        if now_s - self.looked_s > _GAP_S or busy != self.limit:
            return replace(seen, began_s=None, opens_s=max(self.opens_s, now_s + seen._settle_s))
        if self.began_s is None:
            began_s = now_s if now_s >= self.opens_s else None
            return replace(seen, began_s=began_s, moved_before=moved, queue_s=queue_s, looks=1)
        mean_s = self.queue_s + (queue_s - self.queue_s) / (self.looks + 1)
        seen = replace(seen, queue_s=mean_s, looks=self.looks + 1)
        took_s = now_s - self.began_s
        if took_s < max(WINDOW_S, _WINDOW_TRIPS * trip_s):
            return seen
        rate, seen = (moved - self.moved_before) / took_s, replace(seen, began_s=None)
        after = seen._judged(rate, now_s) if rate > 0 else seen
        return replace(after, rate_before=rate if after.limit == self.limit else 0.0)

    def overloaded(self, now_s: float) -> Concurrency:
        """Half as many, and no more for five seconds; a second cry within them changes nothing."""
        if self.step is Step.REST and now_s < self.opens_s and self.base_rate == 0:
            return self
        lower = max(1, self.limit // 2)
        return replace(
            self, limit=lower, base=lower, base_rate=0.0, step=Step.REST, began_s=None,
            opens_s=now_s + CALM_S, settled_s=now_s,
            held=max(1, (self.limit + lower) // 2), held_until_s=now_s + REST_S,
        )  # fmt: skip

    def capped(self, most: int) -> Concurrency:
        """With another maximum."""
        most = max(1, min(MOST, most))
        limit = min(self.limit, most)
        return replace(self, most=most, limit=limit, base=limit, step=Step.MEASURE, began_s=None)

    def begins(self, now_s: float) -> Concurrency:
        """The first connection begins after none was at work."""
        return replace(self, began_s=None, opens_s=max(self.opens_s, now_s + self._settle_s))

    def changed(self, now_s: float) -> Concurrency:
        """The way is another one now: what was measured says nothing of it."""
        return replace(self, enough=False)._tried(self.limit, Step.MEASURE, now_s)

    @property
    def _settle_s(self) -> float:
        """Seconds after a change that say nothing."""
        return max(SETTLE_S, _SETTLE_TRIPS * self.trip_s)

    # --- the steps --------------------------------------------------------------------------

    @property
    def _begins(self) -> bool:
        """True before anything was measured, on a long way."""
        return self.step is Step.BEGIN and self.trip_s >= LONG_WAY_S

    def _begun(self, now_s: float, busy: int, queue_s: float) -> Concurrency:
        """A third more after another, until a queue is seen, or no more are allowed."""
        if now_s < self.opens_s or busy < self.limit:
            return self
        seen = replace(self, queue_s=queue_s)
        since_s = now_s if self.began_s is None else self.began_s
        waits = seen._queued(_SOME)  # it may be about to stand, or be gone at the next look
        over = seen._queued(STANDS) or (waits and now_s - since_s >= WINDOW_S)
        if over and self.limit == self.base:  # none was added: nothing has to settle
            return replace(self, step=Step.MEASURE, began_s=None)
        if over or self.limit >= self._most(now_s):
            return self._tried(self.limit, Step.MEASURE, now_s)
        if waits:
            return replace(self, began_s=since_s)
        opens_s = now_s + _APART_TRIPS * self.trip_s
        more = min(self._most(now_s), self.limit + max(1, self.limit // _A_THIRD))
        return replace(self, limit=more, began_s=None, opens_s=opens_s)

    def _judged(self, rate: float, now_s: float) -> Concurrency:
        """What follows once the rate with `limit` at once is known."""
        if self._queued(LONG) and self.step in _CLIMBS:
            return self._based(rate)._fewer(now_s)
        match self.step:
            case Step.BEGIN | Step.MEASURE:
                return self._measured(rate, now_s)
            case Step.DOUBLE:
                return self._after_doubling(rate, now_s)
            case Step.MEASURE_AGAIN:
                return self._after_guessing(rate, now_s)
            case Step.ONE_MORE:
                if rate - self.base_rate >= self._worth:
                    return self._based(rate)._one_more(now_s)
                return self._back(now_s)
            case Step.FEWER:
                if rate >= (_FULL_AS_WELL if self._queued(LONG) else _AS_WELL) * self.base_rate:
                    return replace(self._based(rate), enough=True)._fewer(now_s)
                if self._fills(rate):
                    return self  # they have the others' share of the way to take, too
                return replace(self._back(now_s), needed=self.base)
            case Step.REST:
                return self._rested(rate, now_s)

    def _measured(self, rate: float, now_s: float) -> Concurrency:
        known, full = self._based(rate), self._queued(STANDS) or self._fills(rate)
        if not full or self.limit > known._most(now_s):
            return known._double(now_s)
        some = min(known._most(now_s), self.limit + self.limit // 2)
        if some > self.limit and self._queued(STANDS) and known.per_connection > BRIEF:
            return known._tried(some, Step.ONE_MORE, now_s)
        return known  # and measured on, until the queue is gone, or is long

    def _after_doubling(self, rate: float, now_s: float) -> Concurrency:
        one = self.base_rate / self.base
        gain, promise = rate - self.base_rate, one * (self.limit - self.base)
        rises = self._loses_at_random and gain >= _NOISE * self.base_rate
        if rises or gain >= _DOUBLE_PAYS * promise:
            return self._based(rate)._double(now_s)
        if gain < _NOISE * self.base_rate:
            filled = self.base > USUAL and self._queued(STANDS)  # by those that were added
            return self._back(now_s) if filled else replace(self, limit=self.base)._fewer(now_s)
        enough = min(self.limit, max(self.base + 1, math.ceil(rate / one)))
        return self._based(rate)._tried(enough, Step.MEASURE_AGAIN, now_s)

    def _after_guessing(self, rate: float, now_s: float) -> Concurrency:
        """As many as should carry what twice the number did; where they do not, half the way up."""
        more = (self.limit + self.base) // 2
        if rate < _GUESSED * self.base_rate and more > self.limit:
            return self._tried(more, Step.MEASURE_AGAIN, now_s)
        return self._based(rate)._one_more(now_s)

    def _rested(self, rate: float, now_s: float) -> Concurrency:
        if self.base_rate == 0 or now_s - self.settled_s >= REST_S:
            return replace(self, step=Step.MEASURE, needed=0, enough=False)._judged(rate, now_s)
        if abs(rate - self.base_rate) > _CHANGED * self.base_rate:
            return self._tried(self.limit, Step.MEASURE, now_s)
        known = self._based(rate)
        less = not (self.enough or self.needed) or rate < (1 - _NOISE) * self.base_rate
        if self._loses_at_random and less and self.limit < known._most(now_s):
            return known._double(now_s)
        return self._fewer(now_s) if self._queued(LONG) and self.limit > self.needed else self

    @property
    def _loses_at_random(self) -> bool:
        """True where each connection is slowed down by itself: more bring more, whatever each had.

        What a new one carries before it has lost a packet says nothing of what it carries later.
        """
        return self.lossy and not self._queued(STANDS)

    @property
    def _worth(self) -> float:
        """Bytes/s that one more, or some more, have to bring."""
        if self._queued(STANDS):
            return _SOME_PAY * self.base_rate
        return max(_ONE_PAYS * self.per_connection, _NOISE * self.base_rate / 2)

    def _fills(self, rate: float) -> bool:
        """True where there is some queue, and the rate still grows."""
        return self._queued(_SOME) and rate > (1 + _GROWS) * self.rate_before

    def _queued(self, bound: tuple[float, float]) -> bool:
        """True where more than `bound` stands in a queue on the way."""
        seconds, trips = bound
        return self.queue_s > max(seconds, trips * self.trip_s)

    def _double(self, now_s: float) -> Concurrency:
        most = self._most(now_s)
        more = min(most, (_LEAP if self.lossy else 2) * self.limit)
        if more > self.limit:
            return self._tried(more, Step.DOUBLE, now_s)
        if most < self.limit:
            return self._tried(most, Step.MEASURE, now_s)
        stays = self.step is Step.DOUBLE or self._loses_at_random
        return self._rest(now_s) if stays else self._fewer(now_s)

    def _one_more(self, now_s: float) -> Concurrency:
        if self.limit >= self._most(now_s):
            return self._rest(now_s)
        return self._tried(self.limit + 1, Step.ONE_MORE, now_s)

    def _fewer(self, now_s: float) -> Concurrency:
        if self.limit == 1 or self.per_connection > _FAST:
            return replace(self, needed=self.limit)._rest(now_s)
        return self._tried(self.limit // 2, Step.FEWER, now_s)

    def _most(self, now_s: float) -> int:
        """The most that may be tried now, by what each carries and what a store asked for."""
        usual = FIRST if self._begins else USUAL
        each = self.per_connection or TOGETHER
        most = min(self.most, max(usual, min(MOST, int(TOGETHER / each))))
        return min(most, self.held) if now_s < self.held_until_s else most

    def _back(self, now_s: float) -> Concurrency:
        return replace(self, limit=self.base)._rest(now_s)

    def _based(self, rate: float) -> Concurrency:
        return replace(self, base=self.limit, base_rate=rate)

    def _tried(self, limit: int, step: Step, now_s: float) -> Concurrency:
        opens_s = now_s + self._settle_s
        return replace(self, limit=limit, step=step, began_s=None, opens_s=opens_s, needed=0)

    def _rest(self, now_s: float) -> Concurrency:
        opens_s = now_s + self._settle_s
        return replace(self, step=Step.REST, began_s=None, opens_s=opens_s, settled_s=now_s)
