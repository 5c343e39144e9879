"""Whatever is handed to a session arrives byte for byte, and a part carries its length alone."""

from __future__ import annotations

import gzip
import io
import mmap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from contents import CONTENTS, DATA, compressed
from support import PART, config_of, seen, sha256, some_bytes

from cognite_nb_upload import AsyncCogniteClient, CogniteClient, UsageError
from cognite_nb_upload.emulator import Emulator, emulator


@pytest.fixture(scope="module")
def store() -> Iterator[Emulator]:
    """One emulator for all contents: it is strict, and refuses what the stores refuse."""
    with emulator(strict_storage=True) as running:
        yield running


@pytest.fixture(scope="module")
def sender(store: Emulator) -> Iterator[CogniteClient]:
    with CogniteClient(config_of(store)) as client:
        yield client


def closed(content: Any) -> None:
    if hasattr(content, "close") and not isinstance(content, mmap.mmap):
        content.close()


@pytest.mark.parametrize("kind", CONTENTS)
def test_every_content_arrives_byte_for_byte(
    kind: str, store: Emulator, sender: CogniteClient, tmp_path: Path
) -> None:
    content = CONTENTS[kind](tmp_path)
    with sender.files.multipart_upload_session(kind, 1) as session:
        session.upload_part(0, content)
    closed(content)
    assert store.sha256(session.file_metadata.id) == sha256(DATA)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", CONTENTS)
async def test_every_content_arrives_byte_for_byte_from_a_task(
    kind: str, store: Emulator, tmp_path: Path
) -> None:
    content = CONTENTS[kind](tmp_path)
    async with AsyncCogniteClient(config_of(store)) as client:
        async with client.files.multipart_upload_session(kind, 1) as session:
            await session.upload_part_async(0, content)
    closed(content)
    assert store.sha256(session.file_metadata.id) == sha256(DATA)


async def pieces() -> AsyncIterator[bytes]:
    for at in range(0, len(DATA), 777):
        yield DATA[at : at + 777]


@pytest.mark.anyio
async def test_an_async_iterator_arrives_byte_for_byte(store: Emulator) -> None:
    async with AsyncCogniteClient(config_of(store)) as client:
        async with client.files.multipart_upload_session("a", 1) as session:
            await session.upload_part_async(0, pieces())
    assert store.sha256(session.file_metadata.id) == sha256(DATA)


def test_the_blocking_call_takes_an_async_iterator_too(
    store: Emulator, sender: CogniteClient
) -> None:
    with sender.files.multipart_upload_session("a", 1) as session:
        session.upload_part(0, pieces())
    assert store.sha256(session.file_metadata.id) == sha256(DATA)


def test_text_arrives_as_utf8(store: Emulator, sender: CogniteClient) -> None:
    with sender.files.multipart_upload_session("a", 1) as session:
        session.upload_part(0, "blåbær ≥ 3")
    assert store.content(session.file_metadata.id) == "blåbær ≥ 3".encode()


def test_a_file_is_cut_into_parts_from_its_position_by_length(
    store: Emulator, sender: CogniteClient, tmp_path: Path
) -> None:
    data = some_bytes(PART + 5000)
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as file:
        file.seek(100)
        with sender.files.multipart_upload_session("a", 2) as session:
            session.upload_part(0, file, length=PART)
            assert file.tell() == 100 + PART
            session.upload_part(1, file)
    assert store.sha256(session.file_metadata.id) == sha256(data[100:])


def test_of_a_compressed_file_the_decompressed_bytes_are_sent(
    store: Emulator, sender: CogniteClient, tmp_path: Path
) -> None:
    with compressed(tmp_path, gzip) as file:
        assert Path(file.name).stat().st_size < len(DATA)
        with sender.files.multipart_upload_session("a", 1) as session:
            session.upload_part(0, file, length=1000)
    assert store.content(session.file_metadata.id) == DATA[:1000]


@pytest.mark.parametrize("kind", ["bytes", "generator", "pipe", "str", "raw file", "bytearray"])
def test_a_part_carries_its_length_and_its_host_and_nothing_else(
    kind: str, cdf: Emulator, client: CogniteClient, tmp_path: Path
) -> None:
    content = "text" if kind == "str" else CONTENTS[kind](tmp_path)
    with client.files.multipart_upload_session("a.json", 1, mime_type="text/plain") as session:
        session.upload_part(0, content)
    closed(content)
    size = 4 if kind == "str" else len(DATA)
    assert [row["headers"] for row in seen(cdf, "part")] == [
        {"host": urlsplit(cdf.store_url).netloc, "content-length": str(size)}
    ]


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_each_clouds_answer_counts_as_stored(kind: str) -> None:
    with (
        emulator(store=kind, strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
        client.files.multipart_upload_session("a", 1) as session,
    ):
        session.upload_part(0, b"x")
        assert session.missing_parts == ()
        assert [row["status"] for row in seen(cdf, "part")] == [201 if kind == "azure" else 200]


def test_relative_urls_are_joined_to_the_base_url() -> None:
    with (
        emulator(relative_urls=True, strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        with client.files.multipart_upload_session("a", 1) as session:
            session.upload_part(0, b"private link")
        assert cdf.content(session.file_metadata.id) == b"private link"
        assert client.files.size(id=session.file_metadata.id) == 12


def test_what_was_written_and_not_flushed_yet_is_sent_too(
    store: Emulator, sender: CogniteClient, tmp_path: Path
) -> None:
    with (tmp_path / "new").open("w+b") as file:
        file.write(b"fresh")
        file.seek(0)
        file.write(b"F")  # still in the file object's own buffer
        file.seek(0)
        with sender.files.multipart_upload_session("a", 1) as session:
            session.upload_part(0, file)
    assert store.content(session.file_metadata.id) == b"Fresh"


def test_a_buffer_at_its_end_is_no_part(cdf: Emulator, client: CogniteClient) -> None:
    written = io.BytesIO()
    written.write(DATA)
    with client.files.multipart_upload_session("a.bin", 1) as session:
        with pytest.raises(UsageError, match=r"BytesIO stands at its end, after \d+ bytes"):
            session.upload_part(0, written)
        assert not seen(cdf, "part")
        written.seek(0)
        session.upload_part(0, written)
    assert cdf.sha256(session.file_metadata.id) == sha256(DATA)
    with client.files.multipart_upload_session("empty", 1) as session:
        session.upload_part(0, io.BytesIO())
    assert cdf.content(session.file_metadata.id) == b""


def test_a_place_that_is_not_in_degrees_is_warned_of(client: CogniteClient) -> None:
    metres = {"type": "Point", "coordinates": [597423, 6643210]}
    with pytest.warns(UserWarning, match=r"geo_location: The latitude 6.64321e\+06 is outside"):
        client.files.multipart_upload_session("a.bin", 1, geo_location=metres)
