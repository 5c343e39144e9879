from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload.core.events import Opened
from cognite_nb_upload.core.secret import Secret

PLANTED = "sig=hush-hush"


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(PLANTED)),
        str(Secret(PLANTED)),
        f"{Secret(PLANTED)}",
        f"{Secret(PLANTED)!r:>60}",
        f"{Secret(PLANTED):>60}",
        "%s %r" % (Secret(PLANTED), Secret(PLANTED)),  # noqa: UP031 # loggers format this way
        repr([{"url": Secret(PLANTED)}]),
        repr(Opened(file_id=1, upload_id=Secret(PLANTED), urls=(Secret(PLANTED),), sizes=(1,))),
        str(dir(Secret(PLANTED))),
    ],
)
def test_no_way_of_printing_shows_it(shown: str):
    assert PLANTED not in shown
    assert "hush" not in shown


@given(value=st.text(min_size=12))
def test_it_is_the_same_on_paper_whatever_it_is(value: str):
    assert repr(Secret(value)) == "<secret>"
    assert Secret(value).reveal() == value


def test_a_log_does_not_have_it(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("put %s %r", Secret(PLANTED), {"url": Secret(PLANTED)})
    assert "put <secret> {'url': <secret>}" in caplog.text
    assert PLANTED not in caplog.text


def test_a_traceback_with_its_locals_does_not_have_it():
    def refuse(url: Secret) -> None:
        raise RuntimeError(f"cannot put to {url}")

    try:
        refuse(Secret("sig=hush" + "-hush"))
    except RuntimeError as error:
        shown = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
    assert "url = <secret>" in shown
    assert PLANTED not in shown


@pytest.mark.parametrize(
    "leak",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        vars,
        bytes,
        list,
        len,
    ],
    ids=lambda leak: leak.__name__,
)
def test_it_is_not_written_out_by_accident(leak):
    with pytest.raises(TypeError) as caught:
        leak(Secret(PLANTED))
    assert PLANTED not in str(caught.value)


def test_an_event_that_holds_one_is_not_turned_into_a_dict():
    event = Opened(file_id=1, upload_id=Secret(PLANTED), urls=(Secret(PLANTED),), sizes=(1,))
    with pytest.raises(TypeError):
        dataclasses.asdict(event)


def test_it_compares_by_value_and_only_with_its_kind():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_an_empty_one_is_false():
    assert not Secret("")
    assert Secret("a")
