"""How many parts go at once: start low, add while the rate grows, halve on being asked to.

Rules of this file: one more at a time, and only after the last one has shown in the rate; halving
waits for the effect before it halves again. Arithmetic only: the edge says what time it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

# architecture.md: four to eight are enough on loopback; past 16 the caller's loop starves.
MOST: Final = 16
START: Final = 4
# Seconds between two looks at the rate, and after a halving.
LOOK_S: Final = 0.2
CALM_S: Final = 5.0
# One more connection has to bring this much more to be followed by another.
_GAIN: Final = 1.03
# The first bytes only fill buffers and look fast; what is best fades to what is seen since.
_FADES: Final = 0.2


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How many at once now, and what is known of the rate (bytes/s) so far."""

    limit: int = START
    most: int = MOST
    best_rate: float = 0.0
    looked_s: float | None = None
    moved: int = 0
    calm_until_s: float = 0.0

    def look(self, now_s: float, moved: int, busy: int) -> Concurrency:
        """The limit after `moved` bytes in all, with `busy` connections at work."""
        if self.looked_s is None:
            return replace(self, looked_s=now_s, moved=moved)
        span_s = now_s - self.looked_s
        if span_s < LOOK_S:
            return self
        rate = (moved - self.moved) / span_s
        seen = replace(self, looked_s=now_s, moved=moved)
        if now_s < self.calm_until_s or busy < self.limit:
            return seen
        if rate <= self.best_rate * _GAIN:
            fading = self.best_rate + _FADES * (rate - self.best_rate)
            return replace(seen, best_rate=max(rate, fading))
        return replace(seen, best_rate=rate, limit=min(self.most, self.limit + 1))

    def overloaded(self, now_s: float) -> Concurrency:
        """Half as many, and no more for five seconds; a second cry within them changes nothing."""
        if now_s < self.calm_until_s:
            return self
        lower = max(1, self.limit // 2)
        return replace(self, limit=lower, best_rate=0.0, calm_until_s=now_s + CALM_S)

    def capped(self, most: int) -> Concurrency:
        """With another maximum."""
        most = max(1, min(MOST, most))
        return replace(self, most=most, limit=min(self.limit, most), best_rate=0.0)
