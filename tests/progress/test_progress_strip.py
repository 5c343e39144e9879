from __future__ import annotations

import re

from hypothesis import given
from uploading import MIB, XSS, histories, lose, opened, send, store, stored, tell

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.progress.strip import STYLE, Mark, cells, strip_html, strip_text


def every_kind(feed: Feed) -> UploadState:
    """Six parts: stored, stored after a retry, sending, sending again, lost, waiting."""
    tell(feed, opened([10 * MIB] * 6), *stored(0))
    tell(feed, *send(1, MIB), lose(1), *send(1, MIB, attempt=2), store(1))
    tell(feed, *send(2, 5 * MIB), *send(3, MIB), lose(3), *send(3, 10 * MIB, attempt=2))
    return tell(feed, *send(4, MIB), lose(4))


def test_each_state_of_a_part_has_a_mark_of_its_own(feed: Feed) -> None:
    drawn = cells(every_kind(feed))
    assert [(cell.mark, cell.fill) for cell in drawn] == [
        (Mark.STORED, 1.0),
        (Mark.RETRIED, 1.0),
        (Mark.SENDING, 0.5),
        (Mark.AGAIN, 1.0),
        (Mark.LOST, 0.0),
        (Mark.WAITING, 0.0),
    ]
    assert drawn[4].title == "retry 1: 503"


def test_each_mark_has_a_shape_and_not_only_a_colour() -> None:
    shapes = {
        Mark.SENDING: "linear-gradient",
        Mark.RETRIED: "radial-gradient",
        Mark.LOST: "transform:rotate",
    }
    for mark, shape in shapes.items():
        rules = re.findall(rf"\.{mark.value}[,{{][^}}]*}}", STYLE)
        assert any(shape in rule for rule in rules), mark


def test_the_strip_is_drawn_in_a_line_of_text(feed: Feed) -> None:
    state = every_kind(feed)
    assert strip_text(state, 80) == "█▓▄▇!·"
    assert strip_text(state, 80, ascii_only=True) == "#%>>!."


def test_where_parts_share_a_character_trouble_shows(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 250), *stored(*range(125)), *send(130, MIB), lose(130))
    text = strip_text(feed.state, 50)
    assert len(text) == 50
    assert text == "█" * 25 + "·!" + "·" * 23


def test_the_strip_says_in_words_what_it_draws(feed: Feed) -> None:
    html = strip_html(every_kind(feed))
    words = "2 of 6 parts stored, 2 sending, 1 waiting to be sent again, 1 stored after a retry"
    assert f'role="img" aria-label="{words}"' in html
    assert f">{words}<" in html
    assert f">{words}<" not in strip_html(feed.state, with_words=False)
    assert html.count("<i ") == 6
    assert 'style="--f:50%"' in html


def test_250_parts_are_a_few_kilobytes(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 250), *stored(*range(200)))
    for no in range(200, 216):
        tell(feed, *send(no, MIB))
    assert strip_html(feed.state).count("<i ") == 250
    assert len(strip_html(feed.state)) < 7_000


def test_what_a_server_says_is_escaped(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 2), *send(0, MIB), lose(0, reason=f'{XSS}"\n'))
    html = strip_html(feed.state)
    assert "<img" not in html
    assert "&lt;img" in html
    assert "\n" not in html


def test_nothing_is_drawn_before_there_are_parts(feed: Feed) -> None:
    assert strip_html(feed.state) == ""
    assert strip_text(tell(feed, ev.Waiting(reason="offline")), 10) == ""


@given(histories())
def test_there_is_a_cell_per_part_and_none_is_more_than_full(history: list[UploadState]) -> None:
    for state in history:
        drawn = cells(state)
        assert len(drawn) == len(state.parts)
        assert all(0 <= cell.fill <= 1 for cell in drawn)
        assert len(strip_text(state, 7)) == min(7, len(drawn))
