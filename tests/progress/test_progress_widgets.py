from __future__ import annotations

from collections.abc import Iterator

import ipywidgets
import pytest
from hypothesis import given
from hypothesis import settings as examples
from ipywidgets.widgets.widget import _instances
from uploading import MIB, XSS, Clock, histories, lose, opened, send, store, stored, tell

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.progress.lines import Moment
from cognite_nb_upload.progress.notebook import MESSAGES_PER_S, Budget, Notebook


@pytest.fixture
def face(clock: Clock) -> Iterator[Notebook]:
    """The face of a notebook, with no kernel behind it."""
    before = set(_instances)
    yield Notebook(slots=8, clock=clock)
    for model in set(_instances) - before:
        _instances[model].close()


def meters(face: Notebook) -> dict[str, ipywidgets.FloatProgress]:
    rows = [row for row in face.container.children if isinstance(row, ipywidgets.HBox)]
    found = [child for row in rows for child in row.children if hasattr(child, "bar_style")]
    return {meter.description: meter for meter in found}


def texts(face: Notebook) -> list[str]:
    rows = [row for row in face.container.children if isinstance(row, ipywidgets.HBox)]
    return [row.children[2].value for row in rows]


def settled(face: Notebook, clock: Clock, state: UploadState) -> None:
    """Paint until nothing is left to paint."""
    while face.paint(Moment(state)):
        clock.now_s += 1


def test_a_budget_is_ten_messages_a_second_and_a_small_burst(clock: Clock) -> None:
    budget = Budget(clock)
    taken = 0
    for _ in range(1000):
        taken += budget.take(1)
        clock.now_s += 0.01
    assert 10 * MESSAGES_PER_S <= taken <= 10 * MESSAGES_PER_S + 4
    assert MESSAGES_PER_S <= 10


def test_the_box_holds_name_whole_strip_and_parts(face: Notebook, feed: Feed, clock: Clock) -> None:
    tell(feed, opened([10 * MIB] * 20), *stored(0), *send(1, 5 * MIB), *send(2, 0), lose(2))
    settled(face, clock, feed.state)
    head, whole, strip, *parts = face.container.children
    assert "<bdi>big.segy</bdi></span>, 200 MiB in 20 parts" in head.value
    assert 'aria-label="1 of 20 parts stored' in strip.value
    assert isinstance(whole, ipywidgets.HBox)
    assert len(parts) == 2
    assert list(meters(face)) == ["all parts · 7 %", "part 1 · 50 %", "part 2 · 0 %"]
    assert meters(face)["part 2 · 0 %"].bar_style == "warning"
    assert texts(face)[2] == "10 MiB, retry 1: 503"


def test_what_a_name_or_a_server_says_is_escaped(face: Notebook, feed: Feed, clock: Clock) -> None:
    tell(feed, opened([MIB], name=f"{XSS}\u202e"), *send(0, 1, MIB), lose(0, reason=XSS))
    settled(face, clock, feed.state)
    tell(feed, ev.Waiting(reason=XSS))
    settled(face, clock, feed.state)
    head, *_ = face.container.children
    for html in (head.value, *texts(face)):
        assert "<img" not in html
    assert "&lt;img" in head.value
    assert "&lt;img" in texts(face)[0]
    assert "\u202e" not in head.value


def test_250_parts_are_a_few_dozen_models_and_reuse_their_bars(
    face: Notebook, feed: Feed, clock: Clock
) -> None:
    before = len(_instances)
    tell(feed, opened([10 * MIB] * 250))
    for no in range(250):
        tell(feed, *send(no, MIB))
        face.paint(Moment(feed.state))
        clock.now_s += 0.2
        tell(feed, store(no))
    assert len(_instances) - before < 50
    settled(face, clock, feed.state)
    assert "all parts · 100 %" in meters(face)


def test_an_end_leaves_one_piece_of_html_and_no_widget_half_dead(
    face: Notebook, feed: Feed, clock: Clock
) -> None:
    before = len(_instances)  # the box and its layout are there
    tell(feed, opened([10 * MIB] * 20), *send(1, MIB), *send(2, MIB))
    settled(face, clock, feed.state)
    tell(feed, *stored(*range(20)), ev.Completed())
    face.finish(Moment(feed.state))
    (still,) = face.container.children
    assert "Uploaded big.segy: 200 MiB in 20 parts, id 91" in still.value
    assert len(_instances) - before == 3  # that HTML, its layout and its style


def test_what_goes_on_after_an_end_is_live_again(face: Notebook, feed: Feed, clock: Clock) -> None:
    tell(feed, opened([10 * MIB] * 2), *stored(0), ev.Failed(reason="it broke"))
    face.finish(Moment(feed.state))
    tell(feed, ev.Resumed(), *send(1, MIB))
    settled(face, clock, feed.state)
    assert "all parts · 55 %" in meters(face)
    tell(feed, *stored(1), ev.Completed())
    face.finish(Moment(feed.state))
    (still,) = face.container.children
    assert "Uploaded" in still.value


@examples(max_examples=30)
@given(histories())
def test_the_meters_never_exceed_their_max_and_end_with_what_was_sent(
    history: list[UploadState],
) -> None:
    clock = Clock()
    face = Notebook(slots=3, clock=clock)
    for state in history:
        face.paint(Moment(state))
        clock.now_s += 0.2
        assert all(0 <= meter.value <= meter.max for meter in meters(face).values())
    settled(face, clock, history[-1])
    if history[-1].size:
        whole = next(iter(meters(face).values()))
        assert (whole.value, whole.max) == (history[-1].sent, history[-1].size)
    face.finish(Moment(history[-1]))
