"""Which parts are worth finishing before a pause: arithmetic over a snapshot.

Rule of this file: a part is finished if it is over within seconds at the rate seen; where no rate
was seen for a second, none is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cognite_nb_upload.core.state import PartPhase, UploadState

# Who pauses waits at most about so long, in seconds, for parts that are nearly there.
FINISH_S: Final = 5.0
_SEEN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Finishing:
    """The numbers of the parts that are finished, and the seconds that this takes."""

    parts: frozenset[int] = frozenset()
    seconds: float = 0.0

    def __str__(self) -> str:
        count = len(self.parts)
        return f"finishing {count} part{'' if count == 1 else 's'}, {max(1, round(self.seconds))} s"


def nearly_done(state: UploadState, within_s: float = FINISH_S) -> Finishing:
    """The parts in flight that are over within so many seconds, if all others stop."""
    samples, rate = state.samples, state.rate
    if len(samples) < 2 or samples[-1][0] - samples[0][0] < _SEEN_S or rate <= 0:
        return Finishing()
    left = sorted(
        ((part.size or 0) - part.sent, part.no)
        for part in state.parts
        if part.phase is PartPhase.SENDING
    )
    parts: set[int] = set()
    total = 0
    for size, no in left:
        if (total + size) / rate > within_s:
            break
        total += size
        parts.add(no)
    return Finishing(frozenset(parts), total / rate)
