"""Whether packets are lost on the way at random, or because more is sent than the way carries.

Rules of this file: what is lost while a queue stands on the way is the queue's; what is lost while
there is none is the way's own, and then TCP that takes each loss for a full way leaves most of it
unused. Told only of what was seen for a second, twice in a row. Arithmetic only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from cognite_nb_upload.errors import UsageError

Congestion = Literal["auto", "system", "bbr"]
CONGESTION: Final[tuple[Congestion, ...]] = ("auto", "system", "bbr")

# Of the packets that were sent, so many were sent again: a clean way loses fewer.
_LOSSY: Final = 0.0005
# Fewer than these are chance.
_AGAIN: Final = 4
WINDOW_S: Final = 1.0
_LONGEST_S: Final = 5.0
# A round trip that is longer than the shortest by this share and by so many ms has a queue in it.
_QUEUE: Final = 1.25
_QUEUE_MS: Final = 2.0
# Where the other side or this one's buffers hold it up for so much of the time, no loss does.
_HELD_UP: Final = 0.5


def checked_congestion(value: object) -> Congestion:
    """What `congestion=` may be.

    Raises:
        UsageError: it is something else.
    """
    for known in CONGESTION:
        if isinstance(value, str) and value == known:
            return known
    raise UsageError(
        f"congestion is {', '.join(map(repr, CONGESTION[:-1]))} or 'bbr', not {value!r}."
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """What TCP tells of all connections together; counts only grow.

    Attributes:
        packets: sent with data, those among them that were sent again.
        again: sent again.
        rtt_ms: mean round trip now, in ms; 0 where nothing is on its way.
        shortest_ms: mean of the shortest round trips that they have seen.
        busy_s: time with something to send.
        held_up_s: of that, time in which the receiver's window or a buffer was full.
    """

    packets: int = 0
    again: int = 0
    rtt_ms: float = 0.0
    shortest_ms: float = 0.0
    busy_s: float = 0.0
    held_up_s: float = 0.0

    @property
    def queued(self) -> bool:
        """True where what is on its way stands in a queue."""
        return self.rtt_ms > _QUEUE * self.shortest_ms + _QUEUE_MS


@dataclass(frozen=True, slots=True)
class Loss:
    """What was seen of the way so far; `lossy` is what it comes to."""

    lossy: bool = False
    began_s: float = -math.inf
    first: Counts | None = None
    queued: bool = False
    before: bool = False

    def look(self, now_s: float, counts: Counts) -> Loss:
        """After these counts; called several times a second while something is sent."""
        if self.first is None or counts.packets < self.first.packets:
            return replace(self, first=counts, began_s=now_s, queued=counts.queued)
        seen = replace(self, queued=self.queued or counts.queued)
        packets, again = counts.packets - self.first.packets, counts.again - self.first.again
        took_s = now_s - self.began_s
        if took_s < WINDOW_S or (again < _AGAIN and took_s < _LONGEST_S):
            return seen
        busy_s, held_up_s = (
            counts.busy_s - self.first.busy_s,
            counts.held_up_s - self.first.held_up_s,
        )
        lost = again >= _AGAIN and again > _LOSSY * packets
        found = lost and not seen.queued and held_up_s <= _HELD_UP * busy_s
        return Loss(found and self.before, now_s, counts, counts.queued, found)
