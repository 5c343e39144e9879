"""How many threads send small files, on modelled links: one thread runs at a time."""

from __future__ import annotations

import pytest

from cognite_nb_upload.core.pace import Pace

CPU_S = 0.001


def settled(pace: Pace, wait_s: float, files: int = 2000) -> int:
    """How many at once after so many files, each of which waits so long for the network."""
    for _ in range(files):
        pace.took(max(CPU_S + wait_s, pace.now * CPU_S), CPU_S)
    return pace.now


@pytest.mark.parametrize(
    ("wait_s", "least", "most"), [(0.0, 4, 4), (0.002, 4, 4), (0.02, 8, 16), (0.1, 32, 32)]
)
def test_as_many_as_have_something_to_do(wait_s: float, least: int, most: int) -> None:
    assert least <= settled(Pace(32), wait_s) <= most


def test_a_link_that_waits_is_seen_by_its_first_file() -> None:
    pace = Pace(32)
    assert pace.now == 4
    assert pace.took(0.1, CPU_S) == 32


def test_it_follows_a_link_that_changes() -> None:
    pace = Pace(32)
    assert settled(pace, 0.0) == 4
    assert settled(pace, 0.1) == 32


def test_a_busy_machine_is_no_link_that_waits() -> None:
    pace = Pace(32)
    for _ in range(2000):
        pace.took(2 * pace.now * CPU_S, CPU_S)
    assert pace.now == 4


@pytest.mark.parametrize("most", [1, 3, 16])
def test_never_more_than_may_go(most: int) -> None:
    pace = Pace(most)
    assert 1 <= pace.now <= most
    assert settled(pace, 0.1) == most
    assert 1 <= settled(pace, 0.0) <= most
