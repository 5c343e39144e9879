"""Planning a large table leaves Python's collector as it was, and nothing for its next looks."""

from __future__ import annotations

import gc

import pytest

from cognite_nb_upload.batch.work import _without_collecting


class Made:
    """An object that the collector looks at."""


def is_old(one: object) -> bool:
    return any(known is one for known in gc.get_objects(generation=2))


def test_what_is_planned_is_old_at_once_and_the_collector_is_on_again() -> None:
    with _without_collecting():
        assert not gc.isenabled()
        made = Made()
        assert not is_old(made)
    assert gc.isenabled()
    assert is_old(made)
    assert not gc.get_freeze_count()


@pytest.mark.parametrize("error", [False, True])
def test_a_collector_that_the_program_has_switched_off_stays_off(error: bool) -> None:
    gc.disable()
    try:
        with pytest.raises(KeyError) if error else _without_collecting():
            if error:
                with _without_collecting():
                    raise KeyError
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_the_program_has_frozen_stays_frozen() -> None:
    mine = Made()
    gc.freeze()
    try:
        with _without_collecting():
            pass
        assert gc.get_freeze_count()
        assert not is_old(mine)
    finally:
        gc.unfreeze()
