"""`upload` of what is in a real store: read once, whatever breaks, and never two versions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from counting import Asked, Fault, FrontDoor
from places import SECRETS, Place
from support import PART, routes, sha256, some_bytes, until

from cognite_nb_upload import CogniteClient, SourceChanged, running_uploads
from cognite_nb_upload.core.events import Event, PartStored
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.store, pytest.mark.slow]

PARTS = 12
CONTENT = b"".join(some_bytes(PART, seed=no) for no in range(PARTS))
SMALL = CONTENT[: 2 * PART]
OTHER = SMALL[:-1] + b"!"

every_way = pytest.mark.parametrize(
    "place", ["s3", "azure", "sftp", "cat_file", "foreign"], indirect=True
)
every_told_way = pytest.mark.parametrize(
    "place", ["s3", "azure", "sftp", "cat_file"], indirect=True
)
# SSH costs this process much on both sides.
every_quick_way = pytest.mark.parametrize("place", ["s3", "azure", "cat_file"], indirect=True)


def content_for(place: Place) -> bytes:
    """As much as a test has time for: SSH is this process's own on both sides."""
    return SMALL if place.name == "sftp" else CONTENT


class EveryFourth:
    """Says of each fourth place that is read from that it breaks, the first time."""

    def __init__(self) -> None:
        self._known: set[object] = set()

    def __call__(self, where: object) -> bool:
        if where in self._known:
            return False
        self._known.add(where)
        return len(self._known) % 4 == 1


def on_stored(act: Callable[[], object]) -> Callable[[UploadState, Event], None]:
    """A listener that acts once, when a part is stored."""
    done: list[object] = []

    def listen(_: UploadState, event: Event) -> None:
        if isinstance(event, PartStored) and not done:
            done.append(act())

    return listen


@every_way
def test_eight_parts_at_once_read_the_object_about_once(
    place: Place, client: CogniteClient, cdf: Emulator
) -> None:
    content = content_for(place)
    place.put("big one.segy", content)
    done = client.files.upload(
        place.given("big one.segy"),
        part_size=PART,
        max_concurrency=8,
        storage_options=place.options,
    )
    assert done.name == "big one.segy"
    assert cdf.sha256(done.id) == sha256(content)
    sent = len(content) + done.retries * PART  # what is sent again is read again
    assert len(content) <= place.door.given <= place.most * sent
    assert ("not pinned" in repr(done)) is not place.tells


@every_quick_way
def test_every_fourth_read_fails_and_each_byte_is_right(
    place: Place, client: CogniteClient, cdf: Emulator
) -> None:
    """By turns it breaks before the first byte, within the range, and is a 500."""
    place.put("a.bin", CONTENT)
    door, fourth, faults = place.door, EveryFourth(), [MIB + 7, 0, (500, {})]
    assert isinstance(door, FrontDoor)

    def fault(asked: Asked) -> Fault:
        return faults[door.fired % 3] if fourth(asked.headers["range"]) else None

    door.fault = fault
    done = client.files.upload(place.given("a.bin"), part_size=PART, storage_options=place.options)
    assert door.fired >= 3
    assert cdf.sha256(done.id) == sha256(CONTENT)
    sent = len(CONTENT) + done.retries * PART  # what is sent again is read again
    assert door.given <= (place.most + 0.05) * sent


@every_told_way
def test_one_that_is_replaced_during_the_upload_is_never_completed(
    place: Place, client: CogniteClient, cdf: Emulator
) -> None:
    place.put("a.bin", SMALL)
    upload = client.files.start_upload(
        place.given("a.bin"), part_size=PART, max_concurrency=1, storage_options=place.options
    )
    upload.listen(on_stored(lambda: place.put("a.bin", OTHER)))
    with pytest.raises(SourceChanged, match=r"a\.bin changed"):
        upload.result()
    assert "complete" not in routes(cdf)


@every_quick_way
def test_the_same_version_is_gone_on_with_and_another_is_not(
    place: Place, client: CogniteClient, cdf: Emulator
) -> None:
    def start() -> Any:
        return client.files.start_upload(
            place.given("a.bin"), part_size=PART, max_concurrency=1, storage_options=place.options
        )

    def stopped_after_a_part() -> None:
        upload = start()
        upload.listen(on_stored(upload.stop))
        until(lambda: not running_uploads(), within_s=90)

    place.put("a.bin", SMALL)
    stopped_after_a_part()
    before = place.door.given
    done = start().result()
    assert "Went on with" in repr(done)
    assert cdf.sha256(done.id) == sha256(SMALL)
    assert place.door.given - before <= 1.3 * PART
    place.put("b.bin", SMALL)
    place.put("a.bin", SMALL[::-1])
    stopped_after_a_part()
    place.put("a.bin", OTHER)
    with pytest.raises(SourceChanged):
        start().result()
    assert routes(cdf).count("complete") == 1


@every_told_way
def test_what_opens_a_store_is_written_nowhere(
    place: Place,
    client: CogniteClient,
    journals: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    place.put("a.bin", SMALL)
    told: list[str] = []
    if isinstance(place.door, FrontDoor):  # an error that names the request, once
        place.door.fault = lambda asked: (500, {}) if place.door.fired < 1 else None
    upload = client.files.start_upload(
        place.given("a.bin"), part_size=PART, max_concurrency=1, storage_options=place.options
    )
    upload.listen(on_stored(upload.stop))
    until(lambda: not running_uploads(), within_s=90)
    told += [path.read_text() for path in journals.rglob("*") if path.is_file()]
    assert any("a.bin" in one for one in told)
    told += [repr(upload), repr(upload.spec), repr(upload.spec.source), str(upload.to_frame())]
    if isinstance(place.door, FrontDoor):
        place.door.fault = lambda asked: (403, {})
    for key in ("a.bin", "not there"):
        try:
            client.files.upload(
                place.given(key), part_size=PART, storage_options=place.options, name="b"
            )
        except Exception as error:
            told += [repr(error), str(error), repr(getattr(error, "__notes__", ""))]
            told += [repr(one) for one in (error.__cause__, error.__context__)]
    told += [caplog.text, *capfd.readouterr()]
    assert [one for one in told for secret in SECRETS if secret in one] == []
