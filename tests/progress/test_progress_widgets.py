from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as examples
from ipywidgets.widgets.widget import _instances
from uploading import MIB, XSS, Clock, histories, lose, opened, send, store, stored, tell

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.progress.lines import Line, Moment
from cognite_nb_upload.progress.notebook import MESSAGES_PER_S, Budget, Notebook, ViewBar


@pytest.fixture
def face(clock: Clock) -> Iterator[Notebook]:
    """The face of a notebook, with no kernel behind it."""
    before = set(_instances)
    yield Notebook(slots=8, budget=Budget(clock))
    for model in set(_instances) - before:
        _instances[model].close()


def labels(face: Notebook) -> list[str]:
    return [f"{row['label']} \u00b7 {row['percent']}" for row in face.container.shown["rows"]]


def texts(face: Notebook) -> list[str]:
    return [row["text"] for row in face.container.shown["rows"]]


def settled(face: Notebook, clock: Clock, state: UploadState) -> None:
    """Paint until nothing is left to paint."""
    while face.paint(Moment(state)):
        clock.now_s += 1


def test_a_budget_is_eight_messages_a_second_and_a_small_burst(clock: Clock) -> None:
    budget = Budget(clock)
    taken = 0
    for _ in range(1000):
        taken += budget.take()
        clock.now_s += 0.01
    assert 10 * MESSAGES_PER_S <= taken <= 10 * MESSAGES_PER_S + 4
    assert MESSAGES_PER_S <= 10


def test_views_of_one_kernel_share_what_may_leave(feed: Feed, clock: Clock) -> None:
    budget = Budget(clock)
    faces = [Notebook(slots=8, budget=budget) for _ in range(3)]
    tell(feed, opened([10 * MIB] * 20))
    sent = 0
    for step in range(100):
        tell(feed, ev.PartStarted(no=step % 20, size=10 * MIB, attempt=step // 20 + 1))
        for one in faces:
            before = one.container.shown
            one.paint(Moment(feed.state))
            sent += one.container.shown != before
        clock.now_s += 0.02
    assert 2 * MESSAGES_PER_S <= sent <= 2 * MESSAGES_PER_S + 4
    for one in faces:
        one.container.layout.close()
        one.container.close()


def test_it_shows_name_whole_strip_and_parts(face: Notebook, feed: Feed, clock: Clock) -> None:
    tell(feed, opened([10 * MIB] * 20), *stored(0), *send(1, 5 * MIB), *send(2, 0), lose(2))
    settled(face, clock, feed.state)
    shown = face.container.shown
    assert shown["name"] + shown["size"] == "big.segy, 200 MiB in 20 parts"
    assert shown["strip"]["words"].startswith("1 of 20 parts stored")
    assert shown["strip"]["marks"] == "sgl" + 17 * "w"
    assert shown["strip"]["fills"] == {"1": 50}
    assert shown["words"].endswith("; bars for 2, the others in the strip")
    assert labels(face) == ["all parts \u00b7 7 %", "part 1 \u00b7 50 %", "part 2 \u00b7 0 %"]
    assert shown["rows"][2]["mood"] == "warning"
    assert texts(face)[2] == "10 MiB, retry 1: 503"


def test_a_row_is_drawn_by_a_bar_of_tqdm(feed: Feed) -> None:
    from tqdm.std import tqdm

    assert issubclass(ViewBar, tqdm)
    bar = ViewBar(Line("part 1", 5, 10, "half"))
    assert bar.show(Line("part 1", 7.5, 10, "more"))["share"] == 0.75
    bar.update(2.5)
    bar.refresh()
    assert bar.row["share"] == 1.0


def test_what_a_name_or_a_server_says_is_text(face: Notebook, feed: Feed, clock: Clock) -> None:
    tell(feed, opened([MIB], name=f"{XSS}\u202e"), *send(0, 1, MIB), lose(0, reason=XSS))
    settled(face, clock, feed.state)
    assert "still" not in face.container.shown  # the page sets all else as text
    assert "\u202e" not in face.container.shown["name"]
    tell(feed, ev.Failed(reason=XSS))
    face.finish(Moment(feed.state))
    assert "<img" not in face.container.shown["still"]
    assert "&lt;img" in face.container.shown["still"]


def test_250_parts_are_two_models_and_small_messages(
    face: Notebook, feed: Feed, clock: Clock
) -> None:
    before = len(_instances)
    tell(feed, opened([10 * MIB] * 250))
    for no in range(250):
        tell(feed, *send(no, MIB))
        face.paint(Moment(feed.state))
        clock.now_s += 0.2
        assert len(json.dumps(face.container.shown)) < 4000
        tell(feed, store(no))
    assert len(_instances) == before  # the view and its layout were there
    settled(face, clock, feed.state)
    assert labels(face)[0] == "all parts \u00b7 100 %"


def test_an_end_leaves_one_piece_of_html(face: Notebook, feed: Feed, clock: Clock) -> None:
    tell(feed, opened([10 * MIB] * 20), *send(1, MIB), *send(2, MIB))
    settled(face, clock, feed.state)
    tell(feed, *stored(*range(20)), ev.Completed())
    face.finish(Moment(feed.state))
    assert set(face.container.shown) == {"still"}
    assert "Uploaded big.segy: 200 MiB in 20 parts, id 91" in face.container.shown["still"]


def test_what_goes_on_after_an_end_is_live_again(face: Notebook, feed: Feed, clock: Clock) -> None:
    tell(feed, opened([10 * MIB] * 2), *stored(0), ev.Failed(reason="it broke"))
    face.finish(Moment(feed.state))
    tell(feed, ev.Resumed(), *send(1, MIB))
    settled(face, clock, feed.state)
    assert labels(face)[0] == "all parts \u00b7 55 %"
    tell(feed, *stored(1), ev.Completed())
    face.finish(Moment(feed.state))
    assert "Uploaded" in face.container.shown["still"]


@examples(max_examples=30)
@given(histories())
def test_a_bar_is_never_more_than_full_and_ends_with_what_was_sent(
    history: list[UploadState],
) -> None:
    clock = Clock()
    face = Notebook(slots=3, budget=Budget(clock))
    for state in history:
        face.paint(Moment(state))
        clock.now_s += 0.2
        assert all(0 <= row["share"] <= 1 for row in face.container.shown.get("rows", ()))
    settled(face, clock, history[-1])
    last = history[-1]
    if last.size:
        share = face.container.shown["rows"][0]["share"]
        assert share == pytest.approx(last.sent / last.size, abs=1e-4)
    face.finish(Moment(last))
