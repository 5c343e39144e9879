from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uploading import MIB, XSS, Clock, lose, opened, send, store, stored, tell

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
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
    summary,
    waits_for,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (0.42, "0.4 s"),
        (9.96, "10 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (72, "1 min 12 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (1500, "1.46 KiB"), (12 * 1024 * MIB, "12 GiB"),
     (110.4 * MIB, "110 MiB"), (12.34 * MIB, "12.3 MiB"), (5.5 * 1024 * MIB, "5.50 GiB")],
)  # fmt: skip
def test_amounts_have_three_digits(size: float, text: str) -> None:
    assert show_amount(size) == text
    assert show_rate(size) == f"{text}/s"


def test_a_share_is_told_in_the_unit_of_the_whole() -> None:
    assert show_share(512 * MIB, 12 * 1024 * MIB) == "0.50 of 12 GiB"
    assert show_share(0, 1) == "0 of 1 byte"


@given(sent=st.integers(0, 10**15), more=st.integers(1, 10**15))
def test_only_all_of_it_is_100_percent(sent: int, more: int) -> None:
    assert show_percent(sent, sent + more) != "100 %"
    assert show_percent(more, more) == "100 %"


def test_the_parts_are_counted_by_what_happens_to_them(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 50), *stored(*range(37)))
    for no in range(37, 42):
        tell(feed, *send(no, MIB))
    assert parts_words(feed.state) == "37 of 50 parts stored, 5 sending"
    tell(feed, lose(41))
    assert parts_words(feed.state) == "37 of 50 parts stored, 4 sending, 1 waiting to be sent again"
    tell(feed, lose(40, wait_s=None))
    assert parts_words(feed.state).endswith("3 sending, 1 waiting to be sent again, 1 lost")
    tell(feed, *send(41, MIB, attempt=2), store(41))
    assert parts_words(feed.state).endswith("3 sending, 1 lost, 1 stored after a retry")


def test_a_lost_part_says_what_it_waits_for(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 2), *send(0, MIB), lose(0), *send(0, MIB, attempt=2), lose(0))
    part = feed.state.parts[0]
    assert part_waits_for(part, again_s=3.6) == "retry 2 in 4 s: 503"
    assert part_waits_for(part, again_s=0.0) == "retry 2: 503"
    assert part_waits_for(tell(feed, lose(0, wait_s=None)).parts[0]) == "lost: 503"
    assert part_waits_for(feed.state.parts[1]) == ""


def test_the_whole_says_what_it_waits_for(feed: Feed) -> None:
    assert waits_for(feed.state) == "opening"
    tell(feed, opened([10 * MIB] * 2), *send(0, MIB), *send(1, MIB))
    assert waits_for(feed.state) == ""
    tell(feed, lose(0))
    assert waits_for(feed.state, 4.0) == ""  # the other part is on its way
    tell(feed, lose(1))
    assert waits_for(feed.state, 4.0) == "retry 1 in 4 s: 503"
    assert waits_for(tell(feed, ev.Waiting(reason="offline"))) == "offline"
    assert waits_for(tell(feed, ev.Waiting(reason=""))) == "retry 1: 503"
    assert waits_for(tell(feed, ev.Paused())) == "paused"
    tell(feed, ev.Resumed(), *stored(0, 1), ev.Completing())
    assert waits_for(feed.state) == "completing"
    assert waits_for(tell(feed, ev.Assembling())) == "assembling"
    assert waits_for(tell(feed, ev.Completed())) == ""


def test_the_summary_of_an_upload_that_is_done(feed: Feed, clock: Clock) -> None:
    tell(feed, opened([10 * MIB] * 3), *stored(0, 1), *send(2, 10 * MIB), lose(2))
    clock.now_s += 10
    tell(feed, *stored(2), ev.Completed(verified="size"))
    assert summary(feed.state) == (
        "Uploaded big.segy: 30 MiB in 3 parts, id 91, 10 s, 4 MiB/s, "
        "1 part sent again, verified: size"
    )
    assert outcome(feed.state) == "30 MiB in 3 parts, 10 s"


def test_the_summary_of_an_upload_on_its_way_and_of_one_that_failed(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 2, file_id=None), *stored(0), *send(1, 5 * MIB))
    words = "75 %, 15 of 20 MiB, 1 of 2 parts stored, 1 sending"
    assert summary(feed.state) == f"Uploading big.segy: {words}"
    tell(feed, ev.Failed(reason="CDF gave no answer."))
    assert summary(feed.state) == f"Failed big.segy: CDF gave no answer, {words}"
    assert outcome(feed.state) == "CDF gave no answer."


def test_sizes_that_are_not_known_are_not_guessed(feed: Feed) -> None:
    tell(feed, opened([None, None]), *stored(0))
    assert summary(feed.state) == "Uploading big.segy: 10 MiB, 1 of 2 parts stored, id 91"


def test_the_summary_of_nothing_yet(feed: Feed) -> None:
    assert summary(feed.state) == "Preparing a file"
    assert summary(tell(feed, ev.Failed(reason="no such file"))) == "Not uploaded: no such file"


def test_what_turns_or_breaks_a_line_is_spelled_out() -> None:
    assert clean("a\nb\x1b[2J\u202egnp.exe\u2028") == r"a\nb\x1b[2J\u202egnp.exe\u2028"
    assert clean("क्\u200dष") == "क्\u200dष"
    assert clean("\ud800") == r"\ud800"
    assert clean(XSS) == XSS  # markup is text here; HTML escapes it


@given(st.text(), st.integers(2, 40))
def test_clean_text_is_one_line_that_fits_and_can_be_sent(text: str, most: int) -> None:
    shown = clean(text, most)
    assert len(shown) <= most
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown


def test_a_long_name_keeps_its_end() -> None:
    assert clean("x" * 10**6 + ".segy", 20).endswith(".segy")
    assert len(clean("x" * 10**6, 20)) == 20
