from __future__ import annotations

import io
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import settings as examples
from uploading import MIB, XSS, Clock, histories, lose, opened, send, store, stored, tell

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.progress import Bars, bars, throttled
from cognite_nb_upload.progress.lines import Moment
from cognite_nb_upload.progress.terminal import Terminal


class Screen(io.StringIO):
    """A file that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Paper:
    """A face that keeps what it is given; it can be made slow, or made to fail."""

    def __init__(self, gate: threading.Event | None = None, error: Exception | None = None) -> None:
        self.painted: list[UploadState] = []
        self.finished: list[Moment] = []
        self.begun = threading.Event()
        self._gate, self._error = gate, error

    def paint(self, moment: Moment) -> bool:
        self.painted.append(moment.state)
        self.begun.set()
        if self._error:
            raise self._error
        if self._gate:
            self._gate.wait(10)
        return False

    def finish(self, moment: Moment) -> None:
        self.finished.append(moment)


def last_lines(screen: io.StringIO) -> list[str]:
    return [line.rpartition("\r")[2] for line in screen.getvalue().split("\n")]


def test_a_terminal_keeps_the_bar_of_the_whole_and_the_summary(feed: Feed) -> None:
    screen = Screen()
    with bars(feed, file=screen, ncols=100):
        tell(feed, opened([10 * MIB] * 20), *stored(*range(20)), ev.Completing(), ev.Completed())
    *_, bar, summary, nothing = last_lines(screen)
    assert bar.startswith("big.segy 100 % |████████████████████| 200 MiB in 20 parts")
    assert summary == "Uploaded big.segy: 200 MiB in 20 parts, id 91"
    assert nothing == ""


def test_a_terminal_shows_the_parts_in_flight_and_the_strip(feed: Feed) -> None:
    screen = Screen()
    face = Terminal(slots=2, file=screen, leave=True, ncols=100)
    tell(feed, opened([10 * MIB] * 20), *stored(0), *send(1, 5 * MIB), *send(2, 0), lose(2))
    face.paint(Moment(feed.state, again_s={2: 4.2}))
    shown = screen.getvalue()
    assert shown.startswith("\rbig.segy   7 % |█▌")
    assert "[█▄!·················] 1 of 20 parts stored, 1 sending, 1 waiting to be se" in shown
    assert "part 1    50 % |██████████          | 10 MiB" in shown
    assert "part 2     0 % |                    | 10 MiB, retry 1 in 4 s: 503" in shown
    assert [bar.n for bar in face.parts] == [5 * MIB, 0]
    face.finish(Moment(feed.state))


def test_bars_are_as_many_as_there_are_slots(feed: Feed) -> None:
    face = Terminal(slots=4, file=Screen(), leave=False, ncols=100)
    tell(feed, opened([10 * MIB] * 250))
    for no in range(250):
        tell(feed, *send(no, MIB))
        face.paint(Moment(feed.state))
    assert len(face.parts) == 4
    face.finish(Moment(feed.state))


@examples(max_examples=50)
@given(histories())
def test_tqdm_never_exceeds_its_total_and_ends_with_what_was_sent(
    history: list[UploadState],
) -> None:
    face = Terminal(slots=3, file=Screen(), leave=False, ncols=80)
    for state in history:
        face.paint(Moment(state))
        assert face.whole is not None
        for bar in (face.whole, *face.parts):
            assert 0 <= bar.n <= bar.total
    last = history[-1]
    if last.size:
        assert face.whole.n == last.sent
    face.finish(Moment(last))


def test_what_a_name_holds_reaches_no_terminal(feed: Feed) -> None:
    screen = Screen()
    with bars(feed, file=screen, ncols=120):
        tell(feed, opened([MIB], name="{bar}|\x1b]0;owned\x07\u202e\n"), ev.Cancelled())
    assert r"{bar}|\x1b]0;owned\x07\u202e\n" in screen.getvalue()
    assert "\x1b]" not in screen.getvalue()
    assert "\x07" not in screen.getvalue()
    assert "\u202e" not in screen.getvalue()


def test_a_log_gets_milestones_only(feed: Feed) -> None:
    log = io.StringIO()
    watching = bars(feed, file=log)
    tell(feed, opened([10 * MIB] * 100))
    for no in range(100):
        tell(feed, *stored(no))
    tell(feed, ev.Completed())
    watching.close()
    lines = log.getvalue().splitlines()
    assert lines[-1] == "Uploaded big.segy: 1000 MiB in 100 parts, id 91"
    assert len(lines) <= 13
    assert "\r" not in log.getvalue()


def test_a_log_tells_each_tenth_and_each_wait_once(feed: Feed) -> None:
    from cognite_nb_upload.progress.terminal import Log

    log = io.StringIO()
    face = Log(log)
    tell(feed, opened([10 * MIB] * 10))
    for no in range(3):
        tell(feed, *stored(no), ev.Waiting(reason="offline" if no == 1 else ""))
        for _ in range(3):
            face.paint(Moment(feed.state))
    assert log.getvalue().splitlines() == [
        "big.segy: uploading 100 MiB in 10 parts",
        "big.segy: 10 %, 10 of 100 MiB, 1 of 10 parts stored",
        "big.segy: offline",
        "big.segy: 20 %, 20 of 100 MiB, offline, 2 of 10 parts stored",
        "big.segy: 30 %, 30 of 100 MiB, 3 of 10 parts stored",
    ]


@pytest.mark.parametrize("over", [False, True])
def test_nothing_is_drawn_when_asked(feed: Feed, over: bool) -> None:
    screen = Screen()
    tell(feed, opened([MIB]), *([ev.Cancelled()] if over else []))
    with bars(feed, file=screen, disable=True):
        tell(feed, ev.Waiting(reason="offline"))
    assert screen.getvalue() == ""


def test_tqdm_is_quiet_where_the_environment_asks_for_it(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    screen = Screen()
    with bars(feed, file=screen):
        tell(feed, opened([MIB]), ev.Cancelled())
    assert screen.getvalue() == ""


def test_the_last_picture_is_there_when_the_last_event_has_been_told(feed: Feed) -> None:
    paper = Paper()
    Bars(feed, paper)
    tell(feed, opened([MIB]), *stored(0, size=MIB), ev.Completed())
    assert [moment.state.phase for moment in paper.finished] == ["done"]


def test_an_upload_that_goes_on_after_a_failure_is_drawn_again(feed: Feed) -> None:
    paper = Paper()
    watching = Bars(feed, paper)
    tell(feed, opened([MIB] * 2), ev.Failed(reason="it broke"))
    paper.begun.clear()
    tell(feed, ev.Resumed())
    assert paper.begun.wait(60)
    tell(feed, *stored(0, 1, size=MIB), ev.Completed())
    watching.close()
    assert [moment.state.phase for moment in paper.finished] == ["failed", "done"]


def test_an_upload_that_was_over_before_is_drawn_once(feed: Feed) -> None:
    tell(feed, opened([MIB]), ev.Cancelled())
    paper = Paper()
    watching = Bars(feed, paper)
    watching.close()
    watching()
    assert len(paper.finished) == 1
    assert paper.painted == []


def test_closing_early_leaves_a_picture_and_hears_no_more(feed: Feed) -> None:
    paper = Paper()
    with Bars(feed, paper):
        tell(feed, opened([MIB] * 2), *stored(0, size=MIB))
    seen = len(paper.painted)
    tell(feed, *stored(1, size=MIB), ev.Completed())
    assert [moment.state.stored for moment in paper.finished] == [MIB]
    assert len(paper.painted) == seen


def test_a_listener_does_not_wait_for_a_slow_screen(feed: Feed) -> None:
    gate = threading.Event()
    paper = Paper(gate)
    watching = Bars(feed, paper)
    assert paper.begun.wait(60)  # and now it hangs
    tell(feed, opened([100 * MIB]), ev.PartStarted(no=0, size=100 * MIB, attempt=1))
    for sent in range(2000):
        tell(feed, ev.PartSent(no=0, sent=sent))
    assert len(paper.painted) == 1
    gate.set()
    watching.close()
    assert [moment.state.sent for moment in paper.finished] == [1999]


def test_a_screen_that_fails_costs_the_drawing_only(
    feed: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    paper = Paper(error=OSError("the screen is gone"))
    watching = Bars(feed, paper)
    assert paper.begun.wait(60)
    tell(feed, opened([MIB]), *stored(0, size=MIB), ev.Completed())
    watching.close()
    assert feed.state.phase == "done"
    assert len(paper.painted) == 1
    assert paper.finished == []
    assert "the screen is gone" in caplog.text


def test_the_wait_of_a_lost_part_counts_down(feed: Feed, clock: Clock) -> None:
    paper = Paper()
    watching = Bars(feed, paper, clock=clock)
    tell(feed, opened([MIB] * 2), *send(0, 1, MIB), lose(0, wait_s=10))
    clock.now_s += 4
    watching.close()
    assert paper.finished[0].again_s == {0: 6.0}
    assert paper.finished[0].age_s == 4.0


async def use_async(feed: Feed, paper: Paper) -> None:
    async with Bars(feed, paper):
        tell(feed, opened([MIB]))


def test_bars_are_left_by_async_with_too(feed: Feed) -> None:
    import asyncio

    paper = Paper()
    asyncio.run(use_async(feed, paper))
    assert len(paper.finished) == 1


def test_byte_counts_are_throttled_and_milestones_are_not(feed: Feed, clock: Clock) -> None:
    heard: list[ev.Event] = []
    feed.listen(throttled(lambda _, event: heard.append(event), 0.1, clock=clock))
    tell(feed, opened([MIB]), ev.PartStarted(no=0, size=MIB, attempt=1))
    for sent in range(100):
        clock.now_s += 0.01
        tell(feed, ev.PartSent(no=0, sent=sent))
    tell(feed, lose(0), ev.Paused(), ev.Resumed())
    kinds = [type(event).__name__ for event in heard]
    assert 9 <= kinds.count("PartSent") <= 10
    assert [kind for kind in kinds if kind != "PartSent"] == [
        "Opened", "PartStarted", "PartLost", "Paused", "Resumed",
    ]  # fmt: skip


def test_the_repr_says_what_is_watched(feed: Feed) -> None:
    tell(feed, opened([MIB], name=XSS), *send(0, 0, MIB), store(0, MIB))
    with Bars(feed, Paper()) as watching:
        assert repr(watching).startswith(f"<Bars of Uploading {XSS}: 100 %, 1 of 1 MiB")
