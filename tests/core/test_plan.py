from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload.core.plan import (
    DEFAULT_PART_SIZE,
    GIB,
    KIB,
    LIMITS,
    MIB,
    PART_S,
    PartLimits,
    check_part,
    checked_part_count,
    choose_part_size,
    plan_parts,
    show_bytes,
    show_parts,
)
from cognite_nb_upload.errors import PlanError

sizes = st.integers(0, LIMITS.largest_file) | st.integers(0, 200 * MIB)
part_sizes = st.integers(LIMITS.above + 1, LIMITS.most)


def assert_tiles(size: int, part_size: int | None = None, limits: PartLimits = LIMITS) -> None:
    plan = plan_parts(size, part_size, limits=limits)
    assert [part.no for part in plan.parts] == list(range(len(plan.parts)))
    ends = [part.start + part.size for part in plan.parts]
    assert [part.start for part in plan.parts] == [0, *ends[:-1]]  # no gap, no overlap
    assert ends[-1] == size == sum(part.size for part in plan.parts)
    assert 1 <= len(plan.parts) <= limits.parts
    assert all(limits.above < part.size <= limits.most for part in plan.parts[:-1])
    assert 0 <= plan.parts[-1].size <= limits.most
    assert size == 0 or plan.parts[-1].size > 0


@given(size=sizes)
def test_the_parts_tile_any_file_within_the_limits(size: int):
    assert_tiles(size)


@given(size=sizes, part_size=part_sizes)
def test_a_part_size_that_is_asked_for_is_kept_or_refused(size: int, part_size: int):
    if -(-size // part_size) > LIMITS.parts:
        with pytest.raises(PlanError) as refused:
            plan_parts(size, part_size)
        better = choose_part_size(size)
        assert f"part_size={better}" in refused.value.__notes__[0]
        assert_tiles(size, better)
    else:
        assert_tiles(size, part_size)
        assert all(part.size == part_size for part in plan_parts(size, part_size).parts[:-1])


@given(size=sizes)
def test_the_chosen_part_size_is_the_smallest_comfortable_one(size: int):
    chosen = choose_part_size(size)
    assert chosen % MIB == 0
    assert chosen >= DEFAULT_PART_SIZE
    if chosen > DEFAULT_PART_SIZE:
        assert -(-size // (chosen - MIB)) > LIMITS.parts


@given(size=sizes, rate=st.floats(0, 1e10))
def test_a_known_rate_gives_parts_of_seconds_and_never_more_than_an_eighth_on_the_way(
    size: int, rate: float
):
    chosen = choose_part_size(size, rate)
    assert chosen >= choose_part_size(size)
    assert -(-size // chosen) <= LIMITS.parts
    if chosen > choose_part_size(size):
        assert chosen <= min(64 * MIB, rate * PART_S + MIB)
        assert 8 * chosen <= size / 8 + 8 * MIB


def test_the_first_upload_has_parts_of_8_mib_while_250_hold_the_file():
    assert choose_part_size(512 * MIB) == choose_part_size(2000 * MIB) == 8 * MIB
    assert choose_part_size(2000 * MIB + 1) == 9 * MIB
    assert choose_part_size(16 * GIB, 25 * MIB) == 75 * MIB - 9 * MIB  # 66 MiB: at most 250


@given(
    above=st.integers(0, 1000), room=st.integers(1, 1000), parts=st.integers(1, 20), data=st.data()
)
def test_other_limits_hold_as_well(above: int, room: int, parts: int, data: st.DataObject):
    limits = PartLimits(above=above, most=above + room, parts=parts)
    assert_tiles(data.draw(st.integers(0, limits.largest_file)), limits=limits)


EDGES = [0, 1, 5 * MIB - 1, 5 * MIB, 64 * MIB, 64 * MIB + 1, 250 * 64 * MIB, LIMITS.largest_file]


@pytest.mark.parametrize("size", EDGES)
def test_the_edges_are_cut_cleanly(size: int):
    assert_tiles(size)


def test_an_empty_file_is_one_empty_part():
    (part,) = plan_parts(0).parts
    assert (part.no, part.start, part.size) == (0, 0, 0)


def test_the_largest_file_is_250_parts_of_4000_mib_and_one_byte_more_is_refused():
    assert LIMITS.largest_file == 1_048_576_000_000
    assert {part.size for part in plan_parts(LIMITS.largest_file).parts} == {4000 * MIB}
    with pytest.raises(PlanError, match="1048576000001 bytes"):
        plan_parts(LIMITS.largest_file + 1)


@pytest.mark.parametrize(
    ("size", "part_size", "says"),
    [
        (-1, None, "cannot have -1 bytes"),
        (10 * MIB, 5 * MIB, "larger than 5242880 bytes"),
        (10 * MIB, 0, "part_size is 0 bytes"),
        (0, -1, "part_size is -1 bytes"),
        (10 * MIB, 4000 * MIB + 1, "at most 4194304000 bytes"),
        (2 * GIB, 6 * MIB, "into 342 parts; CDF takes 250"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(size: int, part_size: int | None, says: str):
    with pytest.raises(PlanError, match=says):
        plan_parts(size, part_size)


def test_a_small_part_size_is_fine_where_one_part_is_enough():
    assert len(plan_parts(MIB, MIB).parts) == 1
    with pytest.raises(PlanError):
        plan_parts(MIB + 1, MIB)


@given(size=st.integers(0, 5 * GIB), part_no=st.integers(0, 249), parts=st.integers(1, 250))
def test_a_part_is_refused_where_cdf_would(size: int, part_no: int, parts: int):
    fits = size <= LIMITS.most and (size > LIMITS.above or part_no == parts - 1)
    if fits:
        check_part(part_no, size, parts)
    else:
        with pytest.raises(PlanError, match=f"Part {part_no} has {size} bytes"):
            check_part(part_no, size, parts)


@pytest.mark.parametrize("size", [5 * MIB, 4000 * MIB + 1])
def test_the_first_size_beyond_a_parts_limits_is_refused(size: int):
    with pytest.raises(PlanError):
        check_part(0, size, 2)


@pytest.mark.parametrize("size", [5 * MIB + 1, 4000 * MIB])
def test_the_smallest_and_the_largest_part_are_taken(size: int):
    check_part(0, size, 2)


@pytest.mark.parametrize("parts", [1, 250])
def test_1_to_250_parts_are_taken(parts: int):
    checked_part_count(parts)


@pytest.mark.parametrize("parts", [0, 251, -1, True, 3.0, "3", None])
def test_any_other_number_of_parts_is_refused(parts: object):
    with pytest.raises(PlanError, match="1 to 250"):
        checked_part_count(parts)


def test_a_plan_reads_as_a_sentence():
    assert repr(plan_parts(12 * GIB)) == "<Plan 12 GiB in 246 parts of 50 MiB>"
    assert repr(plan_parts(0)) == "<Plan 0 bytes in 1 part>"
    assert show_parts(2, 5 * MIB + 512 * KIB) == "2 parts of 5.50 MiB"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (KIB, "1 KiB"),
        (1536, "1.50 KiB"),
        (MIB - 1, "1.00 MiB"),
        (GIB - 1, "1.00 GiB"),
        (GIB - 6 * KIB, "1023.99 MiB"),
        (LIMITS.largest_file, "976.56 GiB"),
    ],
)
def test_bytes_are_shown_for_people(size: int, shown: str):
    assert show_bytes(size) == shown


@given(size=st.integers(0, GIB * KIB - 1))
def test_bytes_are_shown_in_the_unit_that_fits(size: int):
    number, unit = show_bytes(size).split()
    assert float(number) < 1024 or unit == "GiB"
    scale = {"bytes": 1, "byte": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}[unit]
    assert float(number) * scale == pytest.approx(size, abs=scale * 0.00501)
