from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from functools import reduce

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import (
    TRANSITIONS,
    ImpossibleEvent,
    PartPhase,
    Phase,
    UploadState,
    advance,
)

SIZES = (100, 100, 30)


def opened(sizes: tuple[int | None, ...] = SIZES, at_s: float = 1.0) -> ev.Opened:
    url = Secret("url")
    return ev.Opened(
        file_id=91, upload_id=url, urls=(url,) * len(sizes), sizes=sizes, name="big", at_s=at_s
    )


def after(*events: ev.Event) -> UploadState:
    return reduce(advance, events, UploadState())


STARTED = (opened(), ev.PartStarted(0, 100, 1, at_s=1.0))
ALL_STORED = (opened(), *(ev.PartStored(no, size, at_s=2.0) for no, size in enumerate(SIZES)))

# ---- bytes --------------------------------------------------------------------------------------


def test_a_lost_part_gives_its_bytes_back():
    sent = after(*STARTED, ev.PartSent(0, 60))
    assert sent.sent == 60
    lost = advance(sent, ev.PartLost(0, 1, "503", 4.0, 503))
    assert (lost.sent, lost.moved, lost.retries) == (0, 60, 1)
    part = lost.parts[0]
    assert (part.phase, part.reason, part.wait_s) == (PartPhase.LOST, "503", 4.0)


def test_a_lost_part_that_is_sent_again_is_whole_again_and_says_no_more_of_the_loss():
    lost = after(*STARTED, ev.PartSent(0, 60), ev.PartLost(0, 1, "503", 4.0))
    again = reduce(advance, (ev.PartStarted(0, 100, 2), ev.PartSent(0, 100)), lost)
    assert (again.sent, again.moved) == (100, 160)
    part = again.parts[0]
    assert (part.attempts, part.lost, part.reason, part.wait_s) == (2, 1, "", None)


def test_the_loss_of_what_is_stored_already_is_no_news():
    state = after(*STARTED, ev.PartStored(0, 100))
    assert advance(state, ev.PartLost(0, 1, "late", None)) == state


def test_bytes_that_are_told_after_the_part_was_lost_do_not_count():
    lost = after(*STARTED, ev.PartLost(0, 1, "503", 4.0))
    assert advance(lost, ev.PartSent(0, 60)).sent == 0


def test_more_bytes_than_a_part_has_are_not_believed():
    assert after(*STARTED, ev.PartSent(0, 10**9)).sent == 100


def test_what_is_stored_and_what_is_missing_are_told_apart():
    state = after(*STARTED, ev.PartSent(0, 60), ev.PartStored(2, 30, (("md5", "x"),)))
    assert (state.sent, state.stored, state.missing_parts) == (90, 30, (0, 1))
    assert state.parts[2].checksums == (("md5", "x"),)


def test_a_stored_part_that_is_refuted_is_missing_again_and_its_bytes_are_taken_back():
    state = after(*STARTED, ev.PartStored(2, 30, unproven="etag"), ev.PartRefuted(2, "differs"))
    assert (state.stored, state.missing_parts, state.parts[2].lost) == (0, (0, 1, 2), 1)
    assert state.parts[2].unproven == ""


def test_the_size_is_known_once_that_of_every_part_is():
    state = after(opened((None, 30)))
    assert state.size is None
    assert advance(state, ev.PartStarted(0, 70, 1)).size == 100
    assert after(opened((0,))).size == 0


# ---- stops --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [ev.Paused("left"), ev.Cancelled()], ids=["paused", "cancelled"])
def test_a_stop_takes_back_what_was_in_flight_and_keeps_what_is_stored(stop: ev.Event):
    state = after(*STARTED, ev.PartSent(0, 60), ev.PartStored(2, 30), stop)
    assert (state.sent, state.stored, state.missing_parts) == (30, 30, (0, 1))
    assert state.parts[0].phase is PartPhase.WAITING


@pytest.mark.parametrize("stop", [ev.Paused(), ev.Cancelled()], ids=["paused", "cancelled"])
@pytest.mark.parametrize(
    "word", [ev.PartStarted(1, 100, 1), ev.PartSent(0, 80), ev.PartLost(0, 1, "stopped", None)],
    ids=lambda word: type(word).__name__,
)  # fmt: skip
def test_the_last_words_of_a_stopped_part_change_nothing(stop: ev.Event, word: ev.Event):
    state = after(*STARTED, ev.PartSent(0, 60), stop)
    assert advance(state, word) == state


@pytest.mark.parametrize("stop", [ev.Paused(), ev.Cancelled()], ids=["paused", "cancelled"])
def test_a_part_that_was_stored_after_all_counts(stop: ev.Event):
    state = after(*STARTED, stop, ev.PartStored(0, 100))
    assert (state.stored, state.missing_parts) == (100, (1, 2))


def test_a_failed_upload_still_hears_of_the_parts_that_finish():
    state = after(*STARTED, ev.Failed("part 1 gave up"), ev.PartSent(0, 70), ev.PartStored(0, 100))
    assert (state.phase, state.error, state.stored) == (Phase.FAILED, "part 1 gave up", 100)


def test_a_pause_says_why_until_it_goes_on():
    paused = after(opened(), ev.Paused("interrupted"))
    assert (paused.phase, paused.waiting_for) == (Phase.PAUSED, "interrupted")
    assert after(opened(), ev.Paused()).waiting_for == "paused"
    resumed = advance(paused, ev.Resumed())
    assert (resumed.phase, resumed.waiting_for) == (Phase.SENDING, "")


def test_an_interrupted_completion_pauses_and_can_be_repeated():
    for event in (ev.Completing(), ev.Assembling()):
        paused = after(*ALL_STORED, ev.Completing(), event, ev.Paused())
        assert paused.phase is Phase.PAUSED
        done = reduce(advance, (ev.Resumed(), ev.Completing(), ev.Completed("size")), paused)
        assert (done.phase, done.verified, done.stored) == (Phase.DONE, "size", 230)


def test_an_upload_that_is_opened_again_starts_from_nothing_but_keeps_its_time():
    failed = after(*STARTED, ev.PartSent(0, 60), ev.Failed("expired"))
    again = advance(failed, opened(at_s=9.0))
    assert (again.phase, again.error, again.sent, again.missing_parts) == (
        Phase.SENDING, "", 0, (0, 1, 2),
    )  # fmt: skip
    assert (again.moved, again.started_s, again.elapsed_s) == (60, 1.0, 8.0)


# ---- rate and time ------------------------------------------------------------------------------


def steady(seconds: int, rate: int, start_s: float = 0.0) -> list[ev.Event]:
    """A part of 10 000 bytes that moves `rate` bytes a second, told ten times a second."""
    first: list[ev.Event] = [
        opened((10_000,), at_s=start_s + 0.1), ev.PartStarted(0, 10_000, 1, at_s=start_s + 0.1),
    ]  # fmt: skip
    return first + [
        ev.PartSent(0, rate * tenth // 10, at_s=start_s + 0.1 + tenth / 10)
        for tenth in range(seconds * 10 + 1)
    ]


def test_the_rate_is_that_of_the_last_seconds():
    assert after(*steady(20, 100)).rate == pytest.approx(100, rel=0.05)
    slower = [ev.PartSent(0, 2000 + tenth, at_s=20.1 + tenth / 10) for tenth in range(100)]
    assert after(*steady(20, 100), *slower).rate == pytest.approx(10, rel=0.05)


def test_the_time_left_follows_from_the_rate():
    assert after(*steady(20, 100)).eta_s == pytest.approx(80, rel=0.05)
    assert after(*steady(20, 100), ev.Paused(at_s=21)).eta_s is None
    assert after(opened()).eta_s is None


def test_a_long_silence_is_not_part_of_the_rate():
    woken = after(*steady(20, 100), ev.PartSent(0, 2001, at_s=3600.0))
    assert woken.rate == 0.0
    assert advance(woken, ev.PartSent(0, 2101, at_s=3601.0)).rate == pytest.approx(100)


def test_bytes_that_are_lost_and_sent_again_count_for_the_rate():
    lost = after(*steady(2, 100), ev.PartLost(0, 1, "503", 0.0, at_s=2.1))
    again = reduce(
        advance,
        (ev.PartStarted(0, 10_000, 2, at_s=2.1), ev.PartSent(0, 100, at_s=3.1)),
        lost,
    )
    assert (again.sent, again.moved) == (100, 300)
    assert again.rate == pytest.approx(100, rel=0.05)


def test_a_clock_that_goes_back_neither_goes_back_nor_divides_by_nothing():
    state = after(opened(at_s=10.0), ev.PartStarted(0, 100, 1, at_s=5.0), ev.PartSent(0, 9, at_s=5))
    assert (state.at_s, state.elapsed_s, state.rate) == (10.0, 0.0, 0.0)


def test_what_is_replayed_has_no_time_and_the_clock_starts_with_what_is_new():
    replayed = after(opened(at_s=0.0), ev.PartStored(2, 30))
    assert (replayed.elapsed_s, replayed.rate, replayed.started_s) == (0.0, 0.0, None)
    resumed = reduce(advance, (ev.Resumed(at_s=5000.0), ev.WaitEnded(at_s=5002.0)), replayed)
    assert (resumed.elapsed_s, resumed.stored) == (2.0, 30)


def test_samples_stay_few_whatever_the_number_of_events():
    events = (ev.PartSent(0, n, at_s=2 + n / 1000) for n in range(20_000))
    assert len(after(opened((20_000,)), ev.PartStarted(0, 20_000, 1), *events).samples) < 40


# ---- the table ----------------------------------------------------------------------------------


def test_the_table_knows_every_event():
    kinds = {
        kind for kind in vars(ev).values()
        if isinstance(kind, type) and issubclass(kind, ev.Event) and kind is not ev.Event
    }  # fmt: skip
    assert set(TRANSITIONS) == kinds


def test_what_the_table_does_not_allow_is_an_error_and_leaves_the_state_alone():
    state = after(*ALL_STORED, ev.Completed())
    with pytest.raises(ImpossibleEvent, match="PartStarted cannot follow done"):
        advance(state, ev.PartStarted(0, 100, 1))
    assert state == after(*ALL_STORED, ev.Completed())


def test_done_is_done():
    done = after(*ALL_STORED, ev.Completing(), ev.Assembling(), ev.Completed("size"))
    for event in (opened(), ev.Failed("late"), ev.Cancelled(), ev.Paused(), ev.Resumed()):
        with pytest.raises(ImpossibleEvent):
            advance(done, event)
    assert done.phase.over
    assert done.eta_s is None


def test_a_snapshot_cannot_be_changed():
    state = after(*STARTED)
    with pytest.raises(FrozenInstanceError):
        state.phase = Phase.DONE
    with pytest.raises(FrozenInstanceError):
        state.parts[0].sent = 7
    assert hash(state) == hash(replace(state))


class AnyUpload(RuleBasedStateMachine):
    """Whatever happens, in whatever order the table allows."""

    def __init__(self) -> None:
        super().__init__()
        self.state = UploadState()
        self.kept: list[tuple[UploadState, str]] = []
        self.at_s = 0.0

    def happens(self, event: ev.Event) -> None:
        before = self.state
        self.kept.append((before, repr(before)))
        event = replace(event, at_s=self.at_s)
        try:
            self.state = advance(before, event)
        except ImpossibleEvent:
            allowed, _ = TRANSITIONS[type(event)]
            assert before.phase not in allowed
        assert self.state.moved >= before.moved
        assert self.state.at_s >= before.at_s

    @rule(seconds=st.floats(0, 20))
    def time_passes(self, seconds: float) -> None:
        self.at_s += seconds

    @rule(sizes=st.lists(st.none() | st.integers(0, 1000), min_size=1, max_size=4))
    def it_is_opened(self, sizes: list[int | None]) -> None:
        self.happens(opened(tuple(sizes)))

    def part(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.state.parts) - 1))

    @precondition(lambda self: self.state.parts)
    @rule(data=st.data(), size=st.integers(0, 1000))
    def a_part_starts(self, data: st.DataObject, size: int) -> None:
        self.happens(ev.PartStarted(self.part(data), size, 1))

    @precondition(lambda self: self.state.parts)
    @rule(data=st.data(), sent=st.integers(0, 2000))
    def a_part_is_sent(self, data: st.DataObject, sent: int) -> None:
        self.happens(ev.PartSent(self.part(data), sent))

    @precondition(lambda self: self.state.parts)
    @rule(data=st.data(), wait_s=st.none() | st.floats(0, 30))
    def a_part_is_lost(self, data: st.DataObject, wait_s: float | None) -> None:
        self.happens(ev.PartLost(self.part(data), 1, "503", wait_s))

    @precondition(lambda self: self.state.parts)
    @rule(data=st.data(), size=st.integers(0, 1000))
    def a_part_is_stored(self, data: st.DataObject, size: int) -> None:
        self.happens(ev.PartStored(self.part(data), size))

    @rule(event=st.sampled_from([
        ev.Waiting("offline"), ev.WaitEnded(), ev.Paused(), ev.Resumed(), ev.Completing(),
        ev.Assembling(), ev.Completed(), ev.Failed("no"), ev.Cancelled(),
    ]))  # fmt: skip
    def it_goes_its_way(self, event: ev.Event) -> None:
        self.happens(event)

    @invariant()
    def no_part_has_more_than_its_bytes(self) -> None:
        for part in self.state.parts:
            assert 0 <= part.sent <= (part.size or 0)
            assert part.phase is not PartPhase.LOST or part.sent == 0
            assert part.phase is not PartPhase.STORED or part.sent == part.size

    @invariant()
    def the_totals_are_true(self) -> None:
        state = self.state
        assert 0 <= state.stored <= state.sent
        assert state.size is None or state.sent <= state.size
        stored = {part.no for part in state.parts if part.phase is PartPhase.STORED}
        assert stored.isdisjoint(state.missing_parts)
        assert len(stored) + len(state.missing_parts) == len(state.parts)

    @invariant()
    def nothing_is_sent_while_it_is_stopped(self) -> None:
        if self.state.phase in (Phase.PAUSED, Phase.CANCELLED):
            assert self.state.sent == self.state.stored

    @invariant()
    def rates_and_times_can_be_shown(self) -> None:
        assert self.state.rate >= 0
        assert self.state.elapsed_s >= 0
        assert self.state.eta_s is None or self.state.eta_s >= 0

    @invariant()
    def a_snapshot_that_was_kept_is_what_it_was(self) -> None:
        assert all(repr(state) == shown for state, shown in self.kept[-3:])


AnyUpload.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnyUpload = AnyUpload.TestCase
