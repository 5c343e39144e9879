from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from uploading import MIB, Clock, histories, lose, opened, send, store, stored, tell

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.state import PartPhase, UploadState
from cognite_nb_upload.progress.lines import Moment, Slots, part_line, whole_line


@given(histories())
def test_no_bar_is_ever_more_than_full_and_the_whole_is_what_was_sent(
    history: list[UploadState],
) -> None:
    for state in history:
        whole = whole_line(Moment(state))
        for line in (whole, *map(part_line, state.parts)):
            assert 0 <= line.n <= line.total
            assert line.total > 0
        if state.size:
            assert (whole.n, whole.total) == (state.sent, state.size)


def test_bytes_that_are_lost_go_back(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 2), *stored(0), *send(1, 7 * MIB))
    assert whole_line(Moment(feed.state)).n == 17 * MIB
    assert whole_line(Moment(tell(feed, lose(1)))).n == 10 * MIB
    assert part_line(feed.state.parts[1]).n == 0


def test_a_file_of_0_bytes_is_full_when_it_is_done(feed: Feed) -> None:
    tell(feed, opened([0]), *send(0, 0, 0))
    assert (whole_line(Moment(feed.state)).percent, part_line(feed.state.parts[0]).percent) == (
        "0 %", "0 %",
    )  # fmt: skip
    tell(feed, store(0, 0), ev.Completed())
    assert (whole_line(Moment(feed.state)).percent, part_line(feed.state.parts[0]).percent) == (
        "100 %", "100 %",
    )  # fmt: skip


def test_where_sizes_are_not_known_parts_are_counted(feed: Feed) -> None:
    tell(feed, opened([None] * 4), *stored(0), *send(1, 5 * MIB))
    line = whole_line(Moment(feed.state))
    assert (line.n, line.total) == (1.5, 4)
    assert line.text.startswith("15 MiB sent, 1 of 4 parts stored, 1 sending")


def test_rate_and_time_left_are_of_the_last_seconds(feed: Feed, clock: Clock) -> None:
    tell(feed, opened([100 * MIB]), ev.PartStarted(no=0, size=100 * MIB, attempt=1))
    for _ in range(30):  # slow for half a minute
        clock.now_s += 1
        tell(feed, ev.PartSent(no=0, sent=feed.state.sent + MIB // 10))
    for _ in range(20):  # then fast
        clock.now_s += 0.5
        tell(feed, ev.PartSent(no=0, sent=feed.state.sent + 2 * MIB))
    assert whole_line(Moment(feed.state)).text == "43.0 of 100 MiB, 4 MiB/s, 14 s left"


def test_a_stalled_upload_does_not_keep_its_rate(feed: Feed, clock: Clock) -> None:
    tell(feed, opened([100 * MIB]), ev.PartStarted(no=0, size=100 * MIB, attempt=1))
    for _ in range(8):
        clock.now_s += 0.5
        tell(feed, ev.PartSent(no=0, sent=feed.state.sent + 2 * MIB))
    assert "4 MiB/s" in whole_line(Moment(feed.state)).text
    assert "2 MiB/s" in whole_line(Moment(feed.state, age_s=4.0)).text
    assert whole_line(Moment(feed.state, age_s=12)).text == "16 of 100 MiB, nothing sent for 12 s"


def test_the_bars_say_what_is_waited_for(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 2), *stored(0), *send(1, MIB), lose(1))
    moment = Moment(feed.state, again_s={1: 3.7})
    assert whole_line(moment).text == "10 of 20 MiB, retry 1 in 4 s: 503"
    line = part_line(feed.state.parts[1], 3.7)
    assert (line.text, line.mood) == ("10 MiB, retry 1 in 4 s: 503", "warning")
    offline = whole_line(Moment(tell(feed, ev.Waiting(reason="offline"))))
    assert (offline.text, offline.mood) == ("10 of 20 MiB, offline", "warning")
    assert whole_line(Moment(tell(feed, ev.Paused()))).text == "10 of 20 MiB, paused"
    tell(feed, ev.Resumed(), *send(1, MIB, attempt=2))
    assert part_line(feed.state.parts[1]).text == "10 MiB, try 2"
    tell(feed, store(1))
    assert whole_line(Moment(feed.state)).text == "20 of 20 MiB, every part is stored"
    assert whole_line(Moment(tell(feed, ev.Completing()))).text == "20 of 20 MiB, completing"
    assert whole_line(Moment(tell(feed, ev.Assembling()))).text == "20 of 20 MiB, assembling"


def test_a_few_parts_have_their_own_bars_all_the_time(feed: Feed) -> None:
    slots = Slots(8)
    tell(feed, opened([10 * MIB] * 8))
    assert slots.assign(feed.state.parts) == tuple(range(8))
    assert slots.assign(tell(feed, *stored(*range(8))).parts) == tuple(range(8))


def test_bars_grow_with_what_is_in_flight_and_are_used_again(feed: Feed) -> None:
    slots = Slots(3)
    tell(feed, opened([10 * MIB] * 9))
    assert slots.assign(feed.state.parts) == ()
    assert slots.assign(tell(feed, *send(0, 1), *send(1, 1)).parts) == (0, 1)
    assert slots.assign(tell(feed, store(0), *send(2, 1)).parts) == (2, 1)
    assert slots.assign(tell(feed, *send(3, 1), *send(4, 1)).parts) == (2, 1, 3)
    assert slots.assign(tell(feed, store(1)).parts) == (2, 4, 3)


def test_a_part_that_is_sent_goes_before_one_that_waits(feed: Feed) -> None:
    slots = Slots(2)
    tell(feed, opened([10 * MIB] * 9), *send(0, 1), *send(1, 1), lose(0))
    assert slots.assign(feed.state.parts) == (1, 0)
    assert slots.assign(tell(feed, *send(2, 1)).parts) == (1, 2)
    assert slots.assign(tell(feed, store(2)).parts) == (1, 0)


@given(history=histories(), most=st.integers(1, 6))
def test_what_is_in_flight_is_shown_while_there_are_bars(
    history: list[UploadState], most: int
) -> None:
    slots = Slots(most)
    before: tuple[int, ...] = ()
    for state in history:
        shown = slots.assign(state.parts)
        sending = {part.no for part in state.parts if part.phase is PartPhase.SENDING}
        assert len(set(shown)) == len(shown) <= most
        assert len(sending & set(shown)) == min(len(sending), most)
        if len(before) <= len(shown):  # those in flight have kept their places
            kept = zip(before, shown, strict=False)
            assert all(was == now for was, now in kept if was in sending)
        before = shown
