"""How many threads send small files, by what each of them waits for the network."""

from __future__ import annotations

import pytest

from cognite_nb_upload.core.pace import Pace

CPU_S = 0.001


def settled(pace: Pace, wait_s: float, files: int = 200) -> int:
    """How many at once after so many files, each of which waits so long for the network."""
    for _ in range(files):
        pace.took(wait_s, CPU_S)
    return pace.now


@pytest.mark.parametrize(
    ("wait_s", "least", "most"), [(0.0, 4, 4), (0.002, 4, 4), (0.02, 16, 21), (0.1, 32, 32)]
)
def test_as_many_as_have_something_to_do(wait_s: float, least: int, most: int) -> None:
    assert least <= settled(Pace(32), wait_s) <= most


def test_a_link_that_waits_is_seen_by_its_first_file() -> None:
    pace = Pace(32)
    assert pace.now == 4
    assert pace.took(0.1, CPU_S) == 32


def test_what_a_process_has_yet_to_load_is_not_taken_for_the_cost_of_a_file() -> None:
    pace = Pace(48)
    assert pace.took(0.1, 0.01) == 48  # as of a file that costs 2 ms
    assert pace.for_next(48).now == 48
    for _ in range(100):  # each of them does: more threads would only be in each other's way
        pace.took(0.1, 0.01)
    assert pace.now < 24


def test_it_follows_a_link_that_changes() -> None:
    pace = Pace(32)
    assert settled(pace, 0.0) == 4
    assert settled(pace, 0.1) == 32
    assert settled(pace, 0.0) == 4


def test_files_that_take_a_little_longer_or_shorter_begin_and_end_no_threads() -> None:
    pace = Pace(64)
    settled(pace, 0.02)
    seen = {pace.took(0.02 * (0.9 if no % 2 else 1.1), CPU_S) for no in range(200)}
    assert len(seen) == 1


def test_the_next_files_begin_with_what_is_known_of_the_link() -> None:
    first = Pace(48)
    assert first.for_next(48).now == 4  # nothing is
    settled(first, 0.02)
    assert first.for_next(48).now == first.now
    assert first.for_next(8).now == 8


@pytest.mark.parametrize("most", [1, 3, 16])
def test_never_more_than_may_go(most: int) -> None:
    pace = Pace(most)
    assert 1 <= pace.now <= most
    assert settled(pace, 0.1) == most
    assert 1 <= settled(pace, 0.0) <= most
