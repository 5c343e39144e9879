"""Which parts are worth finishing before a pause."""

from __future__ import annotations

from collections.abc import Sequence

from cognite_nb_upload.core.finish import FINISH_S, Finishing, nearly_done
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import PartPhase, PartState, UploadState


def sending(left: Sequence[int], *, rate: float = 2 * MIB, seen_s: float = 2.0) -> UploadState:
    """Parts of 8 MiB with so many MiB left, at a rate that was seen for so long."""
    parts = [
        PartState(no, 8 * MIB, PartPhase.SENDING, sent=(8 - mib) * MIB)
        for no, mib in enumerate(left)
    ]
    samples = ((10.0, 0), (10.0 + seen_s, round(rate * seen_s)))
    return UploadState(parts=tuple(parts), samples=samples, at_s=10.0 + seen_s)


def test_those_with_the_least_left_are_finished_while_that_takes_seconds() -> None:
    finishing = nearly_done(sending([6, 1, 8, 3, 5]))
    assert finishing.parts == {1, 3, 4}  # 9 MiB at 2 MiB/s
    assert finishing.seconds == 4.5
    assert str(finishing) == "finishing 3 parts, 4 s"


def test_all_are_finished_on_a_fast_link_and_none_on_one_that_is_too_slow() -> None:
    assert len(nearly_done(sending([8] * 8, rate=100 * MIB)).parts) == 8
    assert nearly_done(sending([8] * 8, rate=MIB)) == Finishing()
    assert nearly_done(sending([8] * 8, rate=64 * MIB / (FINISH_S - 1))).seconds == FINISH_S - 1


def test_without_a_rate_of_a_second_none_is() -> None:
    assert nearly_done(sending([1], seen_s=0.5)) == Finishing()
    assert nearly_done(sending([1], rate=0)) == Finishing()
    assert nearly_done(UploadState()) == Finishing()


def test_only_parts_in_flight_count() -> None:
    state = sending([1, 1])
    lost = PartState(0, 8 * MIB, PartPhase.LOST)
    stored = PartState(1, 8 * MIB, PartPhase.STORED, sent=8 * MIB)
    assert nearly_done(UploadState(parts=(lost, stored), samples=state.samples)).parts == set()


def test_one_part_reads_as_one() -> None:
    assert str(Finishing(frozenset({4}), 0.1)) == "finishing 1 part, 1 s"
