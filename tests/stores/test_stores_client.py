"""The client against real stores: SeaweedFS speaks S3, Azurite speaks Azure Blob Storage."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from proxy import BitFlipper, Line
from support import config_of, some_bytes

from cognite_nb_upload import CogniteClient, PartFailed
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.events import Event, PartLost, PartSent
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.emulator import emulator
from cognite_nb_upload.sources import BytesSource
from cognite_nb_upload.store.port import PartJob

pytestmark = [pytest.mark.store, pytest.mark.slow]

PART = 6 * MIB
Start = Callable[..., CogniteClient]


@pytest.fixture
def start(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A client of an emulator whose part URLs are those of a real store."""
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    with ExitStack() as stack:

        def started(**switches: Any) -> CogniteClient:
            cdf = stack.enter_context(emulator(storage=storage, **switches))
            return stack.enter_context(CogniteClient(config_of(cdf)))

        yield started


@pytest.fixture
def client(start: Start) -> CogniteClient:
    return start()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(b"".join(some_bytes(PART, seed=no) for no in range(5)) + b"the end")
    return path


def back(client: CogniteClient, file_id: int | None, folder: Path) -> bytes:
    return client.files.download(folder / "back", id=file_id).read_bytes()


def test_shuffled_parallel_parts_come_back_byte_for_byte(client, tmp_path):
    parts = [some_bytes(PART, seed=no) for no in range(5)] + [b"the end"]
    order = random.Random(3).sample(range(6), 6)
    with (
        client.files.multipart_upload_session("shuffled.bin", parts=6) as session,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(lambda no: session.upload_part(no, parts[no]), order))
    assert back(client, session.file_metadata.id, tmp_path) == b"".join(parts)


def test_an_upload_says_what_its_checksums_prove(client, storage, file, tmp_path):
    result = client.files.upload(file, part_size=PART, verify="checksum")
    s3 = storage.startswith("s3")
    told = "MD5 of every part" if s3 else "no checksum that can be compared"
    assert told in repr(result)  # Azurite answers a block without its MD5
    assert f"size {file.stat().st_size} bytes" in result.verified
    assert back(client, result.id, tmp_path) == file.read_bytes()


def test_33_one_bit_turned_on_its_way_is_noticed_by_a_real_store_of_etags(
    seaweed, file, tmp_path, monkeypatch
):
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    rights, _, place = seaweed.rpartition("@")
    host, _, bucket = place.partition("/")
    with (
        BitFlipper(int(host.rpartition(":")[2]), "partNumber=2&") as line,
        emulator(storage=f"{rights}@127.0.0.1:{line.port}/{bucket}") as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        result = client.files.upload(file, part_size=PART, verify="checksum", max_concurrency=1)
        assert line.flipped == 1
        assert result.retries == 1
        assert "MD5 of every part" in result.verified
        assert back(client, result.id, tmp_path) == file.read_bytes()


def test_a_part_whose_connection_breaks_is_sent_again(storage, file, tmp_path, monkeypatch):
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    host, _, port = storage.removesuffix("/parts").rpartition(":")
    with (
        Line(int(port)) as line,
        emulator(storage=f"{host}:{line.port}/parts") as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        upload = client.files.start_upload(
            file, part_size=PART, max_concurrency=1, verify="download"
        )
        lost: list[Event] = []

        def cut_the_second_part_once(_: UploadState, event: Event) -> None:
            if isinstance(event, PartSent) and event.no == 1 and event.sent > MIB and not lost:
                line.down()
                line.up()
            if isinstance(event, PartLost):
                lost.append(event)

        upload.listen(cut_the_second_part_once)
        result = upload.result()
    assert [event.no for event in lost] == [1]
    assert result.retries == 1
    assert "by reading them back" in result.verified


def test_a_part_sent_twice_is_there_once(client, tmp_path):
    """What a lost answer leads to: the store has the part, and gets it again."""
    first, last = some_bytes(PART, seed=1), b"the end"
    with client.files.multipart_upload_session("twice.bin", parts=2) as session:
        url = session._opened.urls[0]
        other = PartJob(0, url, BytesSource(some_bytes(PART, seed=2)), 0, PART)
        assert client._twin.files.store.put(other, CancelToken()).stored
        session.upload_part(0, first)
        session.upload_part(1, last)
    assert back(client, session.file_metadata.id, tmp_path) == first + last


def test_a_url_that_was_tampered_with_is_refused_for_good(client):
    session = client.files.multipart_upload_session("tampered.bin", parts=1)
    url = session._opened.urls[0].reveal()
    name = "X-Amz-Signature=" if "X-Amz-Signature=" in url else "sig="
    at = url.index(name) + len(name)
    forged = url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :]
    job = PartJob(0, Secret(forged), BytesSource(b"bytes"), 0, 5)
    verdict = client._twin.files.store.put(job, CancelToken())
    assert not verdict.stored
    assert not verdict.retry
    assert verdict.status == 403


def test_expired_urls_are_refused_for_good(start, storage):
    client = start(url_life_s=1)
    session = client.files.multipart_upload_session("late.bin", parts=1)
    expired = CancelToken()
    expired.wait(2.5)  # the store's own clock decides, in whole seconds
    with pytest.raises(PartFailed) as raised:
        session.upload_part(0, b"bytes")
    assert raised.value.status == 403
    assert raised.value.fatal
    assert raised.value.expired == storage.startswith("s3")  # Azurite gives no reason


def test_an_empty_file_and_one_byte(client, tmp_path):
    for content in (b"", b"1"):
        result = client.files.upload(content, name=f"{len(content)}.bin")
        assert back(client, result.id, tmp_path) == content


def test_sha256_of_a_file_of_real_bytes(client, tmp_path):
    path = tmp_path / "random.bin"
    path.write_bytes(random.Random(11).randbytes(40 * MIB))
    result = client.files.upload(path, part_size=7 * MIB)
    again = hashlib.sha256(back(client, result.id, tmp_path)).hexdigest()
    assert again == hashlib.sha256(path.read_bytes()).hexdigest()
