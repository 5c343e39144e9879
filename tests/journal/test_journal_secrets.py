"""The security table, for journals: upload URLs are in one 0600 file, and nowhere else."""

from __future__ import annotations

import logging
import pickle
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from journals import (
    PLANTED,
    UPLOAD_ID,
    files_of_at_most,
    journal_file,
    mark,
    opened,
    record,
    stored,
)

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.journal.writer import (
    Journal,
    JournalWarning,
    find,
    history,
    replay,
    unfinished,
)

SECRETS = (PLANTED, UPLOAD_ID)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def _damage_in_the_urls(folder: Path) -> None:
    path = journal_file(folder)
    _flip(path, path.read_bytes().index(PLANTED.encode()))
    replay(path)


def _damage_after_them(folder: Path) -> None:
    path = journal_file(folder)
    _flip(path, path.stat().st_size - 5)
    Journal.open(mark(), folder)


def _other_bytes(folder: Path) -> None:
    Journal.open(mark(size=7), folder)


def _in_hand(folder: Path) -> None:
    with Journal.open(mark(), folder):
        Journal.open(mark(), folder)


def _an_impossible_event(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), ev.Completing(), ev.Completed())
        journal.record(UploadState(), opened())


def _a_full_disk(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", JournalWarning)
        with Journal.open(mark(), folder) as journal, files_of_at_most(1500):
            record(journal, opened())


@pytest.mark.parametrize(
    "go_wrong",
    [
        _damage_in_the_urls, _damage_after_them, _other_bytes, _in_hand, _an_impossible_event,
        _a_full_disk,
    ],
)  # fmt: skip
def test_no_error_shows_a_url_even_with_every_variable_of_every_frame(
    folder: Path, go_wrong: Callable[[Path], None]
) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
    assert PLANTED in journal_file(folder).read_text()
    with pytest.raises(Exception) as wrong:  # noqa: PT011 # whatever it is
        go_wrong(folder)
    shown = "".join(
        traceback.TracebackException.from_exception(wrong.value, capture_locals=True).format()
    )
    assert "journal" in shown
    assert _secrets_in(shown) == []


def test_no_repr_and_no_log_shows_a_url(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
        things = [journal, vars(journal), find(mark(), folder), unfinished(folder)]
    with Journal.open(mark(), folder) as journal:
        things += [journal, journal.replayed]
        journal.archive("done")
    things += history(folder)
    shown = "".join(f"{thing!r} {thing!s} {thing}" for thing in things)
    assert "big.segy" in shown
    assert _secrets_in(shown + caplog.text) == []


def test_a_replayed_journal_is_not_pickled(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(find(mark(), folder))


def test_only_the_journal_itself_holds_urls_and_only_while_it_is_unfinished(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
        assert _files_with_secrets(folder) == [journal_file(folder)]
        journal.archive("cancelled")
    assert _files_with_secrets(folder) == []


def test_a_superseded_journal_leaves_no_url_behind(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
    with Journal.open(mark(), folder, resume=False):
        assert _files_with_secrets(folder) == []


def _files_with_secrets(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if _secrets_in(path.read_text("latin-1"))]


def _secrets_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]
