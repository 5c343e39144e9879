"""A new file of up to 1 MiB goes in one PUT, read whole before it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from upload_rig import asked, fired, until_true

from cognite_nb_upload import CogniteClient, SourceChanged
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.transfer.early import EarlyAnswers

Start = Callable[..., Emulator]
Clients = Callable[..., CogniteClient]
DATA = bytes(range(256)) * (MIB // 256)
EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


def routes(cdf: Emulator) -> list[str]:
    return [row["route"] for row in cdf.requests()]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_bytes(DATA)
    return path


def test_it_takes_three_requests_and_is_compared_by_the_stores_answer(
    client: CogniteClient, cdf: Emulator, small: Path
) -> None:
    uploaded = client.files.upload(small)
    assert routes(cdf)[0] == "create"
    assert set(routes(cdf)) == {"create", "put", "byids"}  # byids twice where CDF is slow
    assert routes(cdf).count("create") == routes(cdf).count("put") == 1
    assert routes(cdf).count("byids") <= 2
    assert cdf.content(uploaded.id) == DATA
    assert uploaded.verified == "MD5, by the store's answer"
    assert (uploaded.parts, uploaded.file.mime_type) == (1, "text/csv")


def test_the_plan_says_so(client: CogniteClient, small: Path) -> None:
    [(method, path, body)] = client.files.upload(small, dry_run=True).requests
    assert (method, path, body["name"]) == ("POST", "/files?overwrite=false", "small.csv")


@pytest.mark.parametrize("size", [0, 1, MIB])
def test_every_size_up_to_there_arrives(client: CogniteClient, cdf: Emulator, size: int) -> None:
    uploaded = client.files.upload(DATA[:size], name="a.bin")
    assert cdf.content(uploaded.id) == DATA[:size]
    assert asked(cdf, "put")


def test_what_is_replaced_and_what_is_larger_goes_in_parts(
    client: CogniteClient, cdf: Emulator
) -> None:
    made = client.files.upload(b"old", name="a.bin", external_id="a")
    client.files.upload(b"new", name="a.bin", external_id="a", overwrite=True)
    client.files.upload(DATA + b"x", name="b.bin")
    assert cdf.content(made.id) == b"new"
    assert (len(asked(cdf, "put")), len(asked(cdf, "part"))) == (1, 2)


def test_a_store_that_tells_no_checksum_is_asked_for_the_size(
    start: Start, clients: Clients
) -> None:
    cdf = start(checksums=False)
    uploaded = clients(cdf).files.upload(DATA, name="a.bin")
    assert uploaded.verified == f"size {MIB} bytes, by the download link"


def far(cdf: Emulator, *routes: str) -> None:
    """CDF takes a while to begin a file; a PUT's answer, and what CDF is asked then, wait."""
    cdf.inject(Fault("stall_answer", "create", seconds=0.1))
    cdf.inject(Fault("stall_answer", "put"))
    for route in routes:
        cdf.inject(Fault("stall", route))


def test_over_a_long_link_cdf_is_asked_before_the_store_has_answered(
    client: CogniteClient, cdf: Emulator, small: Path
) -> None:
    far(cdf, "byids")
    upload = client.files.start_upload(small)
    until_true(lambda: {"stall", "stall_answer"} <= set(fired(cdf)[1:]))
    assert not upload.done()
    cdf.clear_faults()
    assert cdf.content(upload.result(30).id) == DATA
    assert routes(cdf).count("byids") == routes(cdf).count("put") == 1


def test_what_cdf_has_not_seen_yet_is_asked_for_again(client: CogniteClient, cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "create", seconds=0.1))
    cdf.inject(Fault("stall", "put"))
    upload = client.files.start_upload(b"few bytes", name="few.bin")
    until_true(lambda: asked(cdf, "byids"))
    cdf.clear_faults()
    assert cdf.content(upload.result(30).id) == b"few bytes"
    assert len(asked(cdf, "byids")) == 2


def test_a_store_known_to_tell_no_checksum_is_asked_for_the_size_before_it_has_answered(
    start: Start, clients: Clients
) -> None:
    cdf = start(checksums=False)
    client = clients(cdf)
    client.files.upload(b"first", name="a.bin")
    links = len(asked(cdf, "downloadlink"))
    far(cdf, "downloadlink")
    upload = client.files.start_upload(DATA, name="b.bin")
    until_true(lambda: {"stall", "stall_answer"} <= set(fired(cdf)[1:]))
    assert not upload.done()
    cdf.clear_faults()
    assert upload.result(30).verified == f"size {MIB} bytes, by the download link"
    assert len(asked(cdf, "downloadlink")) == links + 1


@pytest.mark.parametrize("kind", ["reset_mid", "lost_answer", "stall", "html"])
def test_a_put_that_failed_is_tried_again(
    client: CogniteClient, cdf: Emulator, small: Path, kind: str
) -> None:
    cdf.inject(Fault(kind, "put", seconds=0.1 if kind == "stall" else None))
    uploaded = client.files.upload(small)
    assert fired(cdf) == [kind]
    assert cdf.content(uploaded.id) == DATA
    assert [file.id for file in client.files.list({"name": "small.csv"})] == [uploaded.id]


@pytest.mark.parametrize("kind", ["stall", "stall_answer"])
def test_the_same_call_goes_on_whether_or_not_it_had_arrived(
    client: CogniteClient, cdf: Emulator, small: Path, kind: str
) -> None:
    cdf.inject(Fault(kind, "put"))
    first = client.files.start_upload(small)
    until_true(lambda: fired(cdf))
    first.stop()
    until_true(first.done)
    cdf.clear_faults()
    again = client.files.upload(small)
    assert cdf.content(again.id) == DATA
    assert [file.id for file in client.files.list({"name": "small.csv"})] == [again.id]
    assert len(asked(cdf, "put")) == 2


@pytest.mark.parametrize("external_id", [None, "a"])
def test_a_url_that_has_expired_earns_a_fresh_one(
    client: CogniteClient, cdf: Emulator, small: Path, external_id: str | None
) -> None:
    cdf.inject(Fault("status", "put", status=403, body=EXPIRED))
    uploaded = client.files.upload(small, external_id=external_id)
    assert fired(cdf) == ["status"]
    assert cdf.content(uploaded.id) == DATA
    assert "expired" in uploaded.notes[0]


def test_a_file_that_is_written_to_before_it_is_read_is_not_sent(
    client: CogniteClient, cdf: Emulator, small: Path
) -> None:
    cdf.inject(Fault("stall_answer", "create", seconds=30))
    upload = client.files.start_upload(small)
    until_true(lambda: fired(cdf))
    small.write_bytes(DATA[::-1])
    cdf.clear_faults()
    with pytest.raises(SourceChanged):
        upload.result(30)
    assert not asked(cdf, "put")


def test_a_file_that_is_written_to_while_it_goes_arrives_as_it_was(
    client: CogniteClient, cdf: Emulator, small: Path
) -> None:
    cdf.inject(Fault("stall", "put"))
    upload = client.files.start_upload(small)
    until_true(lambda: fired(cdf))
    small.write_bytes(DATA[::-1])
    cdf.clear_faults()
    assert cdf.content(upload.result(30).id) == DATA


def test_questions_that_end_before_they_began_leave_nothing_behind() -> None:
    """A coroutine that nobody awaits warns, and warnings are errors here."""

    async def ended_at_once() -> None:
        nobody, feed = cast("Any", None), Feed(time.monotonic)
        await EarlyAnswers(nobody, feed, CancelToken(), 1, lambda: False).close()

    asyncio.run(ended_at_once())
    gc.collect()
