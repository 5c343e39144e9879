"""What bars show, decided before anything is drawn: pure, the same for notebook and terminal.

Rules of this file: `n` is never above `total`; parts in flight keep their bar; a bar that is no
longer needed goes to the next part, and is never hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from cognite_nb_upload.core.state import PartPhase, PartState, Phase, UploadState
from cognite_nb_upload.progress.strip import share
from cognite_nb_upload.progress.words import (
    clean,
    outcome,
    part_waits_for,
    parts_words,
    show_amount,
    show_duration,
    show_percent,
    show_rate,
    show_share,
    waits_for,
    worker_name,
)

Mood = Literal["", "success", "warning", "danger"]


@dataclass(frozen=True, slots=True)
class Line:
    """One bar: `label |n of total| text`. `waits`: the text says what is waited for."""

    label: str
    n: float
    total: float
    text: str = ""
    mood: Mood = ""
    waits: bool = False

    @property
    def percent(self) -> str:
        """`45 %`, rounded down."""
        return show_percent(self.n, self.total)


@dataclass(frozen=True, slots=True)
class Moment:
    """A snapshot, seen `age_s` seconds after its last event.

    `again_s` holds, for lost parts, the seconds from now until they are sent again.
    """

    state: UploadState
    age_s: float = 0.0
    again_s: Mapping[int, float] = field(default_factory=dict)


# After this long without a byte the rate of the last seconds is nothing.
_STALLED_S: Final = 8.0


def whole_line(moment: Moment) -> Line:
    """The bar of the whole file."""
    state = moment.state
    n, total = _whole_amount(state)
    return Line(_name(state), n, total, _whole_text(moment), _whole_mood(state))


def _name(state: UploadState) -> str:
    return clean(state.name, 32) or ("download" if state.receives else "upload")


def _whole_amount(state: UploadState) -> tuple[float, float]:
    if state.size is None or not state.parts:
        # Sizes are not known beforehand: counted in parts, that of each by its share.
        return sum(map(share, state.parts)), max(1, len(state.parts))
    return (state.sent, state.size) if state.size else (float(state.phase is Phase.DONE), 1)


def _whole_text(moment: Moment) -> str:
    state = moment.state
    if state.phase.over:
        return outcome(state)
    waits = waits_for(state, min(moment.again_s.values(), default=None))
    return ", ".join(filter(None, [_amount_text(state), waits or _speed_text(moment)]))


def _amount_text(state: UploadState) -> str:
    if not state.parts:
        return ""
    if state.size is None:
        return f"{show_amount(state.sent)} sent, {parts_words(state)}"
    return show_share(state.sent, state.size)


def _speed_text(moment: Moment) -> str:
    if not moment.state.missing_parts:
        return "everything is here" if moment.state.receives else "every part is stored"
    if moment.age_s > _STALLED_S:
        moved = "has come" if moment.state.receives else "sent"
        return f"nothing {moved} for {show_duration(round(moment.age_s))}"
    now = replace(moment.state, at_s=moment.state.at_s + moment.age_s)
    if now.rate <= 0:
        return ""
    left = f", {show_duration(max(1, round(now.eta_s)))} left" if now.eta_s else ""
    return show_rate(now.rate) + left


def _whole_mood(state: UploadState) -> Mood:
    match state.phase:
        case Phase.DONE:
            return "success"
        case Phase.FAILED | Phase.CANCELLED:
            return "danger"
        case Phase.PAUSED:
            return "warning"
        case _:
            return "warning" if state.waiting_for else ""


def part_line(part: PartState, again_s: float | None = None) -> Line:
    """The bar of one part."""
    n, total = (part.sent, part.size) if part.size else (share(part), 1)
    return Line(f"part {part.no}", n, total, _part_text(part, again_s), _PART_MOOD[part.phase])


_PART_MOOD: Final[dict[PartPhase, Mood]] = {
    PartPhase.WAITING: "",
    PartPhase.SENDING: "",
    PartPhase.LOST: "warning",
    PartPhase.STORED: "success",
}


def _part_text(part: PartState, again_s: float | None) -> str:
    size = show_amount(part.size) if part.size is not None else ""
    again = f"try {part.attempts}" if part.attempts > 1 and part.phase is PartPhase.SENDING else ""
    said = {PartPhase.STORED: "stored", PartPhase.WAITING: "waiting"}.get(part.phase, again)
    where = f"on {worker_name(part)}" if part.where and part.phase is PartPhase.SENDING else ""
    return ", ".join(filter(None, [size, said, where, part_waits_for(part, again_s)]))


class Slots:
    """Which parts have a bar: all of a few, otherwise those in flight, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._shown: list[int] = []

    def assign(self, parts: Sequence[PartState]) -> tuple[int, ...]:
        """The number of the part that each bar shows; bars keep their place."""
        if len(parts) <= self._most:
            self._shown = list(range(len(parts)))
            return tuple(self._shown)
        self._shown = [no for no in self._shown if no < len(parts)]
        claims = [_claim(part) for part in parts]
        asking = {no for no, claim in enumerate(claims) if claim} - set(self._shown)
        for no in sorted(asking, key=lambda no: (-claims[no], no)):
            if not self._give(no, claims):
                break
        return tuple(self._shown)

    def _give(self, no: int, claims: Sequence[int]) -> bool:
        """Give part `no` the bar that is needed least, or a new one; False where there is none."""
        slot = min(range(len(self._shown)), key=lambda at: claims[self._shown[at]], default=None)
        if slot is not None and not claims[self._shown[slot]]:
            self._shown[slot] = no
        elif len(self._shown) < self._most:
            self._shown.append(no)
        elif slot is not None and claims[self._shown[slot]] < claims[no]:
            self._shown[slot] = no
        else:
            return False
        return True


def _claim(part: PartState) -> int:
    """How much a part needs a bar: 2 is being sent, 1 waits to be sent again, 0 neither."""
    if part.phase is PartPhase.SENDING:
        return 2
    return int(part.phase is PartPhase.LOST and part.wait_s is not None)
