"""The lock beside a journal."""

from __future__ import annotations

from pathlib import Path

from cognite_nb_upload.journal.lock import ProcessLock


def test_a_lock_that_was_ended_twice_ends_no_other_of_the_same_file(tmp_path: Path) -> None:
    """Nor does it close the descriptor that has its number by then."""
    path = tmp_path / "a.lock"
    first = ProcessLock.take(path, 0)
    assert first is not None
    first.release()
    second = ProcessLock.take(path, 0)
    assert second is not None
    first.release()
    assert ProcessLock.take(path, 0) is None
    second.release()
    third = ProcessLock.take(path, 0)
    assert third is not None
    third.release()
