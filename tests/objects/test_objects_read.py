"""The readers alone, at real stores: what they ask for, and what they make of what breaks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from counting import Asked, Fault, FrontDoor, Gate
from places import Place
from support import quick, some_bytes

from cognite_nb_upload import TransferError
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.objects.given import open_elsewhere
from cognite_nb_upload.objects.source import ObjectSource

pytestmark = [pytest.mark.store, pytest.mark.slow]

AT_ONCE = 8
PART = 3 * MIB
BLOCK = 256 * KIB


def opened(place: Place, data: bytes) -> ObjectSource:
    """The source of an object that was put there; what it is asked from now on counts."""
    place.put("a folder's.bin", data)
    source = open_elsewhere(place.given("a folder's.bin"), place.options, quick())
    assert isinstance(source, ObjectSource)
    if isinstance(place.door, FrontDoor):
        place.door.forget()
    return source


def part_of(source: ObjectSource, no: int) -> bytes:
    """One part, as an upload reads it."""
    reader, room = source.reader(no * PART, PART, CancelToken()), bytearray(MIB)
    try:
        return b"".join(
            bytes(reader.read_piece(no * PART + at, memoryview(room))) for at in range(0, PART, MIB)
        )
    finally:
        reader.close()


def start_of(asked: Asked) -> int:
    """The first byte that was asked for."""
    return int(asked.headers["range"].removeprefix("bytes=").partition("-")[0])


@pytest.mark.parametrize("place", ["s3", "azure", "cat_file"], indirect=True)
def test_parts_that_are_read_at_once_read_each_byte_once(place: Place) -> None:
    parts = [some_bytes(PART, seed=no) for no in range(AT_ONCE)]
    source, door = opened(place, b"".join(parts)), place.door
    assert isinstance(door, FrontDoor)
    door.gate = Gate(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert list(pool.map(lambda no: part_of(source, no), range(AT_ONCE))) == parts
    assert door.most >= AT_ONCE
    assert door.given == source.size
    if place.name != "cat_file":  # one request for each part, of the version that was looked at
        assert len(door.reads) == AT_ONCE
        assert {one.headers["if-match"] for one in door.reads} == {source.told.etag}
    source.close()


@pytest.mark.parametrize("place", ["s3", "azure"], indirect=True)
def test_a_range_that_breaks_goes_on_from_its_byte(place: Place) -> None:
    data = some_bytes(PART)
    source, door = opened(place, data), place.door
    assert isinstance(door, FrontDoor)
    door.fault = lambda asked: MIB if door.fired < 2 else None
    assert part_of(source, 0) == data
    assert door.fired == 2
    ends = [0]
    for one in door.reads:
        # Of what went out before the break, the last block may not have arrived whole.
        assert ends[-1] - BLOCK <= start_of(one) <= ends[-1]
        ends.append(start_of(one) + one.given)
    assert ends[-1] == PART
    source.close()


@pytest.mark.parametrize("place", ["s3", "azure"], indirect=True)
def test_a_store_that_is_busy_is_left_alone_for_as_long_as_it_says(place: Place) -> None:
    """Both of its answers are 503: to the read, and to who asks how long."""
    data = some_bytes(PART)
    source, door = opened(place, data), place.door
    assert isinstance(door, FrontDoor)

    def busy(asked: Asked) -> Fault:
        return (503, {"retry-after": "1"}) if door.fired < 2 else None

    door.fault = busy
    assert part_of(source, 0) == data
    *refused, last = door.reads
    assert [one.status for one in refused] == [503, 503]
    assert last.at_s - refused[-1].at_s > 0.8
    source.close()


@pytest.mark.parametrize("place", ["s3", "cat_file"], indirect=True)
def test_what_gives_all_for_a_part_is_refused(place: Place) -> None:
    source, door = opened(place, some_bytes(PART)), place.door
    assert isinstance(door, FrontDoor)
    door.ranges = False
    with pytest.raises(TransferError, match="cannot be read at byte 5"):
        source.read_at(5, MIB)
    assert door.given <= 10 * PART
    source.close()
