"""Event sequences of uploads, as an engine would emit them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import TRANSITIONS, PartPhase, Phase, UploadState

MIB = 1024 * 1024
XSS = '<img src=x onerror="alert(1)">'


class Clock:
    """A monotonic clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def opened(
    sizes: Sequence[int | None], name: str = "big.segy", file_id: int | None = 91
) -> ev.Opened:
    urls = tuple(Secret(f"https://store/{no}?sig=planted") for no in range(len(sizes)))
    return ev.Opened(
        file_id=file_id, upload_id=Secret("u"), urls=urls, sizes=tuple(sizes), name=name
    )


def tell(feed: Feed, *events: ev.Event) -> UploadState:
    for event in events:
        feed.emit(event)
    return feed.state


def send(no: int, sent: int, size: int = 10 * MIB, attempt: int = 1) -> tuple[ev.Event, ...]:
    return ev.PartStarted(no=no, size=size, attempt=attempt), ev.PartSent(no=no, sent=sent)


def store(no: int, size: int = 10 * MIB, checksums: tuple[tuple[str, str], ...] = ()) -> ev.Event:
    return ev.PartStored(no=no, size=size, checksums=checksums)


def lose(no: int, wait_s: float | None = 4.0, reason: str = "503", attempt: int = 1) -> ev.Event:
    return ev.PartLost(no=no, attempt=attempt, reason=reason, wait_s=wait_s)


def stored(*numbers: int, size: int = 10 * MIB) -> Iterable[ev.Event]:
    for no in numbers:
        yield from send(no, size, size)
        yield store(no, size)


_SIZES = st.lists(
    st.one_of(st.none(), st.integers(0, 3), st.integers(0, 4000 * MIB)), min_size=1, max_size=20
)
_KINDS = ("start", "sent", "lost", "stored", "pause", "resume", "wait", "fail", "open", "finish")


@st.composite
def histories(draw: st.DrawFn) -> list[UploadState]:
    """Snapshots of an upload to which everything happens that may, in any order."""
    feed = Feed(iter(range(1, 10**6)).__next__)
    states = [feed.state, tell(feed, opened(draw(_SIZES)))]
    for kind in draw(st.lists(st.sampled_from(_KINDS), max_size=60)):
        event = _event(draw, kind, feed.state)
        if event is not None and feed.state.phase in TRANSITIONS[type(event)][0]:
            states.append(tell(feed, event))
    return states


def _event(draw: st.DrawFn, kind: str, state: UploadState) -> ev.Event | None:
    part = state.parts[draw(st.integers(0, len(state.parts) - 1))]
    size = part.size if part.size is not None else draw(st.integers(0, 100))
    match kind:
        case "start" if part.phase is not PartPhase.STORED:
            return ev.PartStarted(no=part.no, size=size, attempt=part.attempts + 1)
        case "sent":
            return ev.PartSent(no=part.no, sent=draw(st.integers(0, 2 * size + 1)))
        case "lost":
            wait_s = draw(st.one_of(st.none(), st.floats(0, 60)))
            return lose(part.no, wait_s, draw(st.sampled_from(["503", "", XSS, "{bar}\n\u202e"])))
        case "stored" if part.size is not None:
            return store(part.no, size)
        case "pause":
            return ev.Paused()
        case "resume":
            return ev.Resumed()
        case "wait":
            return ev.Waiting(reason=draw(st.sampled_from(["", "offline", "{text}|<bar/>"])))
        case "fail":
            return ev.Failed(reason="it broke")
        case "open" if state.phase is Phase.FAILED:
            return opened(draw(_SIZES))
        case "finish" if not state.missing_parts:
            return ev.Completed()
        case _:
            return None
