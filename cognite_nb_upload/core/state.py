"""The upload is a table and a fold: `state + event -> state`.

Rules of this file: snapshots are immutable, so any thread or widget may keep one. A part that is
lost gives its bytes back: what was sent may go down, and never exceeds the size. An event that the
table does not allow in a phase is an error of ours, and says so; a part that was stopped may still
be heard of after the stop, and that is dropped, unless it was stored after all. An event without a
time (`at_s` 0) is replayed, and says nothing of rates and durations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cognite_nb_upload.core import events as ev


class Phase(StrEnum):
    """Where an upload is."""

    NEW = "new"
    SENDING = "sending"
    PAUSED = "paused"
    COMPLETING = "completing"
    ASSEMBLING = "assembling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """True where nothing more will happen by itself."""
        return self in (Phase.DONE, Phase.FAILED, Phase.CANCELLED)


class PartPhase(StrEnum):
    """Where a part is."""

    WAITING = "waiting"
    SENDING = "sending"
    LOST = "lost"
    STORED = "stored"


_ANY: Final = frozenset(Phase)
_LIVE: Final = frozenset(
    {Phase.NEW, Phase.SENDING, Phase.PAUSED, Phase.COMPLETING, Phase.ASSEMBLING}
)
_OPEN: Final = frozenset({Phase.SENDING, Phase.PAUSED, Phase.COMPLETING, Phase.FAILED})
_DONE_SOON: Final = frozenset({Phase.COMPLETING, Phase.ASSEMBLING})
_STOPPED: Final = frozenset({Phase.PAUSED, Phase.CANCELLED})

# event -> (the phases it may come in, the phase that follows; None: the same)
TRANSITIONS: Final[dict[type[ev.Event], tuple[frozenset[Phase], Phase | None]]] = {
    ev.Beginning: (_ANY - {Phase.DONE}, None),
    ev.NodeApplied: (_ANY - {Phase.DONE}, None),
    ev.Opened: (_ANY - {Phase.DONE}, Phase.SENDING),
    # A part may begin in the instant in which the upload is paused; its stop follows at once.
    ev.PartStarted: (_ANY - {Phase.NEW, Phase.DONE}, None),
    ev.PartPlaced: (_ANY - {Phase.NEW}, None),
    ev.PartSent: (_ANY, None),
    ev.PartLost: (_ANY, None),
    ev.PartStored: (_ANY - {Phase.NEW, Phase.DONE}, None),
    ev.PartRefuted: (_ANY - {Phase.NEW, Phase.DONE}, None),
    ev.Waiting: (_ANY, None),
    ev.WaitEnded: (_ANY, None),
    ev.Paused: (_LIVE | {Phase.FAILED}, Phase.PAUSED),
    ev.Resumed: (frozenset({Phase.PAUSED, Phase.FAILED, Phase.SENDING, Phase.NEW}), Phase.SENDING),
    ev.Completing: (_OPEN | {Phase.ASSEMBLING}, Phase.COMPLETING),
    ev.Assembling: (_DONE_SOON | {Phase.PAUSED}, Phase.ASSEMBLING),
    ev.Completed: (_OPEN | {Phase.ASSEMBLING}, Phase.DONE),
    ev.Failed: (_LIVE | {Phase.FAILED}, Phase.FAILED),
    ev.Cancelled: (_ANY - {Phase.DONE}, Phase.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class PartState:
    """One part: `sent` bytes of `size` (None: not yet known), tried `attempts` times.

    `where` is the worker that has sent it, or has it now; "" where this process sends.
    """

    no: int
    size: int | None = None
    phase: PartPhase = PartPhase.WAITING
    sent: int = 0
    attempts: int = 0
    lost: int = 0
    reason: str = ""
    wait_s: float | None = None
    checksums: tuple[tuple[str, str], ...] = ()
    unproven: str = ""
    taken: tuple[tuple[str, str], ...] = ()
    where: str = ""


# The rate is that of the last seconds: samples this far apart, over this long, both in seconds.
_SAMPLE_S: Final = 0.25
_WINDOW_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class UploadState:
    """A snapshot of an upload. Sizes are bytes; `at_s` is the monotonic clock, in seconds.

    `moved` counts every byte handed to the network, those that were lost among them; it only
    grows, and the rate is taken from it. `accepted`: CDF has taken the completion. `receives`: it
    is a download, whose parts come.
    """

    phase: Phase = Phase.NEW
    name: str = ""
    file_id: int | None = None
    parts: tuple[PartState, ...] = ()
    waiting_for: str = ""
    error: str = ""
    verified: str = ""
    accepted: bool = False
    moved: int = 0
    started_s: float | None = None
    at_s: float = 0.0
    samples: tuple[tuple[float, int], ...] = ()
    receives: bool = False

    @property
    def size(self) -> int | None:
        """Bytes in all; None where a part's size is not yet known."""
        sizes = [part.size for part in self.parts]
        return sum(size or 0 for size in sizes) if None not in sizes else None

    @property
    def sent(self) -> int:
        """Bytes that are on the way or stored, and were not lost."""
        return sum(part.sent for part in self.parts)

    @property
    def stored(self) -> int:
        """Bytes that the store has confirmed."""
        return sum(part.sent for part in self.parts if part.phase is PartPhase.STORED)

    @property
    def missing_parts(self) -> tuple[int, ...]:
        """Numbers of the parts that the store has not confirmed."""
        return tuple(part.no for part in self.parts if part.phase is not PartPhase.STORED)

    @property
    def workers(self) -> tuple[str, ...]:
        """The workers of an engine that have sent parts, or send some now, by name."""
        return tuple(sorted({part.where for part in self.parts if part.where}))

    @property
    def retries(self) -> int:
        """How often a part had to be sent again."""
        return sum(part.lost for part in self.parts)

    @property
    def rate(self) -> float:
        """Bytes per second over the last seconds; 0 before there is anything to tell from."""
        if len(self.samples) < 2:
            return 0.0
        (first_s, first), (last_s, last) = self.samples[0], self.samples[-1]
        span = max(last_s, self.at_s) - first_s
        return (last - first) / span if span > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until the last byte is out, at the present rate; None where it cannot be told."""
        if self.size is None or self.rate <= 0 or self.phase is not Phase.SENDING:
            return None
        return (self.size - self.sent) / self.rate

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was opened or, after a restart, taken up again; up to the last event."""
        return 0.0 if self.started_s is None else max(0.0, self.at_s - self.started_s)


_LAST_WORDS: Final = (ev.PartStarted, ev.PartPlaced, ev.PartSent, ev.PartLost)


class ImpossibleEvent(Exception):
    """An event came in a phase that the table does not allow: a mistake of this package."""


def advance(state: UploadState, event: ev.Event) -> UploadState:
    """The state after `event`."""
    if state.phase in _STOPPED and isinstance(event, _LAST_WORDS):
        return state
    allowed, following = TRANSITIONS[type(event)]
    if state.phase not in allowed:
        raise ImpossibleEvent(f"{type(event).__name__} cannot follow {state.phase.value}")
    state = _sampled(_applied(state, event), event.at_s)
    return replace(state, phase=following) if following else state


def _applied(state: UploadState, event: ev.Event) -> UploadState:
    match event:
        case ev.Opened():
            return _opened(state, event)
        case ev.PartStarted(no=no):
            return _part(
                state, no, size=event.size, sent=0, phase=PartPhase.SENDING,
                attempts=state.parts[no].attempts + 1, reason="", wait_s=None,
                checksums=(), unproven="", taken=(), where="",
            )  # fmt: skip
        case ev.PartPlaced(no=no, where=where):
            return _part(state, no, where=where)
        case ev.PartSent(no=no, sent=sent):
            return _part_sent(state, no, sent)
        case ev.PartLost(no=no):
            return _part_lost(state, event)
        case ev.PartStored(no=no, size=size):
            return _part(
                state, no, size=size, sent=size, phase=PartPhase.STORED,
                reason="", wait_s=None, checksums=event.checksums, unproven=event.unproven,
                taken=event.taken,
            )  # fmt: skip
        case ev.PartRefuted(no=no, reason=reason):
            return _part(
                state, no, sent=0, phase=PartPhase.LOST, lost=state.parts[no].lost + 1,
                reason=reason, wait_s=None, checksums=(), unproven="", taken=(),
            )  # fmt: skip
        case ev.Waiting(reason=reason):
            return replace(state, waiting_for=reason)
        case ev.WaitEnded():
            return replace(state, waiting_for="")
        case ev.Paused(reason=reason):
            return replace(_recalled(state), waiting_for=reason or "paused")
        case ev.Failed(reason=reason):
            return replace(state, error=reason, waiting_for="")
        case ev.Cancelled():
            return replace(_recalled(state), waiting_for="")
        case ev.Assembling():
            return replace(state, waiting_for="", error="", accepted=True)
        case ev.Completed(verified=verified):
            return replace(state, verified=verified, waiting_for="", error="")
        case _:
            return replace(state, waiting_for="", error="")


def _opened(state: UploadState, event: ev.Opened) -> UploadState:
    return UploadState(
        name=event.name or state.name,
        file_id=event.file_id,
        parts=tuple(PartState(no, size) for no, size in enumerate(event.sizes)),
        moved=state.moved,
        started_s=state.started_s,
        at_s=state.at_s,
        samples=state.samples,
        receives=state.receives,
    )


def _part_sent(state: UploadState, no: int, sent: int) -> UploadState:
    part = state.parts[no]
    if part.phase is not PartPhase.SENDING:
        return state  # the last words of a part that was stopped
    sent = min(sent, part.size or 0)
    moved = state.moved + max(0, sent - part.sent)
    return replace(_part(state, no, sent=sent), moved=moved)


def _part_lost(state: UploadState, event: ev.PartLost) -> UploadState:
    part = state.parts[event.no]
    if part.phase is PartPhase.STORED:
        return state
    return _part(
        state, event.no, sent=0, phase=PartPhase.LOST,
        lost=part.lost + (event.wait_s is not None), reason=event.reason, wait_s=event.wait_s,
    )  # fmt: skip


def _recalled(state: UploadState) -> UploadState:
    """Parts in flight are waiting again, with nothing sent."""
    parts = tuple(
        part if part.phase is PartPhase.STORED
        else replace(part, phase=PartPhase.WAITING, sent=0, reason="", wait_s=None)
        for part in state.parts
    )  # fmt: skip
    return replace(state, parts=parts)


def _part(state: UploadState, no: int, **changes: object) -> UploadState:
    parts = list(state.parts)
    parts[no] = replace(parts[no], **changes)  # type: ignore[arg-type] # names are those of PartState
    return replace(state, parts=tuple(parts))


def _sampled(state: UploadState, at_s: float) -> UploadState:
    if not at_s:
        return state
    at_s = max(at_s, state.at_s)
    started_s = at_s if state.started_s is None and state.parts else state.started_s
    samples = state.samples
    if not samples or at_s - samples[-1][0] >= _SAMPLE_S:
        samples = tuple(one for one in samples if at_s - one[0] <= _WINDOW_S)
        samples += ((at_s, state.moved),)
    return replace(state, at_s=at_s, started_s=started_s, samples=samples)
