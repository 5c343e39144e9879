"""Every error survives pickling whole, and shows foreign text as what it is."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from cognite_nb_upload import errors
from cognite_nb_upload.api.rpc import Unanswered
from cognite_nb_upload.errors import APIError, PartFailed, UploadToolkitError
from cognite_nb_upload.journal.folder import JournalWarning
from cognite_nb_upload.text import plain

HOSTILE = "a\x1b]0;owned\x07\x1b[31m\u202efdp\u2066\r\nb\x9b2J\u200b\U000e0041\ud800"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "APIError": {
        "code": 409,
        "request_id": "r-1",
        "missing": [{"id": 7}],
        "duplicated": [{"externalId": "x"}],
        "what": "to begin",
        "who": "CDF",
    },
    "PartFailed": {"part_no": 3, "attempts": 5, "status": 503, "fatal": True, "expired": True},
    "JournalDamaged": {"path": Path("a.journal"), "line_no": 4},
    "JournalTooNew": {"path": Path("a.journal"), "line_no": 1},
}
KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, UploadToolkitError)
]


def made(kind: type[UploadToolkitError], text: str = "No part arrived.") -> UploadToolkitError:
    first = {"name": text} if kind is errors.InvalidMetadata else text
    others = {"missing_parts": (1, 2)} if issubclass(kind, errors.TransferError) else {}
    return kind(first, **ARGUMENTS.get(kind.__name__, others)).hint("Look at the network.")


@pytest.mark.parametrize("kind", [*KINDS, Unanswered])
@pytest.mark.parametrize("way", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_an_error_is_the_same_after_pickling(kind: type[UploadToolkitError], way: Any) -> None:
    error = made(kind)
    back = way(error)
    assert type(back) is kind
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))
    assert back.__notes__ == ["Look at the network."]


def test_every_error_of_the_tree_is_among_them() -> None:
    assert {kind.__name__ for kind in KINDS} == set(errors.__all__)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in KINDS)


def fail() -> None:
    raise PartFailed("Part 3 was not stored.", part_no=3, attempts=5, status=503).hint("Go on.")


def test_an_error_of_a_worker_process_comes_back_as_itself() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(PartFailed, match=r"Part 3 was not stored\.") as caught:
            pool.submit(fail).result()
    assert (caught.value.part_no, caught.value.attempts, caught.value.status) == (3, 5, 503)
    assert caught.value.missing_parts == (3,)
    assert "Go on." in caught.value.__notes__


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_steers_a_terminal(kind: type[UploadToolkitError]) -> None:
    error = made(kind, HOSTILE).hint(HOSTILE)
    for text in (str(error), repr(error), *error.__notes__):
        assert text.isprintable(), ascii(text)
    told = "".join(traceback.format_exception(error))
    assert told.replace("\n", "").isprintable()
    assert r"\x1b]0;owned\x07" in str(error)
    assert r"\u202efdp" in str(error)


def test_what_a_server_says_is_shown_as_what_it_is() -> None:
    error = APIError(HOSTILE, code=400, missing=[{"externalId": HOSTILE}], what="x", who=HOSTILE)
    assert str(error).isprintable()
    assert error.message == HOSTILE  # an attribute is a fact, and stays one


def test_a_warning_of_the_journal_steers_no_terminal_either() -> None:
    with pytest.warns(JournalWarning) as told:
        warnings.warn(JournalWarning(HOSTILE), stacklevel=1)
    assert str(told[0].message).isprintable()


def test_plain_text_leaves_all_writing_alone() -> None:
    for text in ("Målestasjon Ærøy.segy", "عربى", "می‌خواهم", "क्‍ष", "👩‍💻", "日本語", ""):
        assert plain(text) == text
