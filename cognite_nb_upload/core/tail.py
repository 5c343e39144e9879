"""Which of an upload's parts is worth sending again, on another connection or later: arithmetic.

A connection whose rate fell once can take a minute to come back, while others have ended and leave
the way to it. So it is cut only where nothing is left to begin and a place is free, and
where sending all of it again, at the rate that the others had, takes less than half as long as its
end. Where fewer are to go at once on a slow way, those that have sent least are sent later.
Rules of this file: each part once; what is sent twice is at most a twentieth of the upload.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

from cognite_nb_upload.core.state import PartPhase, UploadState

# A part's own rate is that of so many seconds; before, nothing is known of it.
RATE_S: Final = 3.0
# Its end has to be so many times further away than sending it again takes, and by this time.
_WORSE: Final = 2.0
_MARGIN_S: Final = 1.0
# One that has sent more than this share is not sent later: it is soon over.
BEGUN: Final = 0.6
# Of all bytes, so many may be sent twice.
SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Flight:
    """A part that is being sent: `sent` of `size` bytes are out."""

    no: int
    size: int
    sent: int


def flights_of(state: UploadState) -> tuple[Flight, ...]:
    """The parts of an upload that are being sent."""
    return tuple(
        Flight(part.no, part.size or 0, part.sent)
        for part in state.parts
        if part.phase is PartPhase.SENDING
    )


@dataclass(frozen=True, slots=True)
class Tail:
    """What is known of the parts of an upload of `size` bytes.

    Attributes:
        size: bytes of the upload.
        spent: bytes that were sent for nothing.
        cut: the parts that were cut; none is cut again.
        seen: of each part in flight, when it had sent how much: the first look at it, and those
            of the last seconds.
    """

    size: int
    spent: int = 0
    cut: frozenset[int] = frozenset()
    seen: dict[int, tuple[tuple[float, int], ...]] = field(default_factory=dict)

    def look(self, now_s: float, flights: Iterable[Flight]) -> Tail:
        """After these parts were seen in flight; called several times a second."""
        seen = {one.no: _looks(self.seen.get(one.no, ()), now_s, one) for one in flights}
        return replace(self, seen=seen)

    def slow(self, flights: Iterable[Flight], rates: Collection[float]) -> Flight | None:
        """The part that is to be cut, where nothing is left to begin and a place is free.

        Args:
            flights: the parts in flight.
            rates: bytes/s of parts that have ended.
        """
        fast = median(rates) if rates else 0.0
        late = [(self._left_s(one), one) for one in flights if self._may_cut(one)]
        worth = [
            (left_s, one.no, one)
            for left_s, one in late
            if fast and left_s > _WORSE * one.size / fast + _MARGIN_S
        ]
        return max(worth)[2] if worth else None

    def spare(self, flights: Iterable[Flight]) -> Flight | None:
        """The part that is to be cut and sent later, where fewer are to go at once."""
        begun = [one for one in flights if self._may_cut(one) and one.sent <= BEGUN * one.size]
        return min(begun, key=lambda one: (one.sent, -one.no), default=None)

    def without(self, flight: Flight) -> Tail:
        """After this part was cut."""
        seen = {no: looks for no, looks in self.seen.items() if no != flight.no}
        spent, cut = self.spent + flight.sent, self.cut | {flight.no}
        return replace(self, spent=spent, cut=cut, seen=seen)

    def _may_cut(self, one: Flight) -> bool:
        looks = self.seen.get(one.no, ())
        known = bool(looks) and looks[-1][0] - looks[0][0] >= RATE_S
        affordable = self.spent + one.sent <= SHARE * self.size
        return known and affordable and one.sent < one.size and one.no not in self.cut

    def _left_s(self, one: Flight) -> float:
        looks = self.seen[one.no]
        (then_s, then), (now_s, now) = looks[1], looks[-1]
        return (one.size - one.sent) * (now_s - then_s) / max(1, now - then)


def _looks(
    before: tuple[tuple[float, int], ...], now_s: float, one: Flight
) -> tuple[tuple[float, int], ...]:
    if before and one.sent < before[-1][1]:
        before = ()  # it is tried again, from its first byte
    first, late = before[:1], [look for look in before[1:] if now_s - look[0] <= RATE_S]
    return (*(first or ((now_s, one.sent),)), *late, (now_s, one.sent))
