"""The public API as a caller's type checker sees it; mypy reads this file, nobody runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, assert_type

from cognite_nb_upload import (
    APIError,
    AsyncCogniteClient,
    CDFFile,
    ClientConfig,
    CogniteClient,
    Credentials,
    DryRun,
    FileMultipartUploadSession,
    GeoLocation,
    Geometry,
    Label,
    NodeId,
    OAuthClientCredentials,
    PartFailed,
    Retry,
    Token,
    TransferError,
    Upload,
    Uploaded,
    UploadToolkitError,
    upload_many,
)
from cognite_nb_upload.core.events import Event
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.models import Asset, DataSet, LabelDefinition, SecurityCategory


class MyCredentials:
    """Any object with this method is good."""

    def authorization_header(self) -> tuple[str, str]:
        return "Authorization", "Bearer x"


def settings(token: str | Callable[[], str]) -> ClientConfig:
    providers: list[Credentials] = [
        Token(token),
        OAuthClientCredentials("https://idp.example", "id", "secret", ["scope"]),
        MyCredentials(),
    ]
    ClientConfig(client_name="a", project="b", credentials=providers[0], base_url="https://cdf")
    return ClientConfig(
        client_name="a",
        project="b",
        credentials=MyCredentials(),
        cluster="westeurope-1",
        timeout_s=60,
        transfer_timeout_s=600,
        retry=Retry(attempts=3),
    )


def blocking(client: CogniteClient, path: Path) -> None:
    assert_type(client.files.retrieve(external_id="one"), CDFFile | None)
    assert_type(client.files.list(limit=None), list[CDFFile])
    assert_type(client.files.download("a", id=1), Path)
    assert_type(client.files.size(id=1), int | None)
    assert_type(client.files.download_url(id=1), Secret)
    assert_type(client.catalog.data_sets(), list[DataSet])
    assert_type(client.catalog.labels(), list[LabelDefinition])
    assert_type(client.catalog.find_assets("pump"), list[Asset])
    assert_type(client.catalog.security_categories(), list[SecurityCategory])
    session = client.files.multipart_upload_session("a", parts=2)
    assert_type(session, FileMultipartUploadSession)
    with session as entered:
        assert_type(entered, FileMultipartUploadSession)
        assert_type(entered.file_metadata, CDFFile)
        assert_type(entered.file_metadata.id, int | None)
        entered.upload_part(0, path)
        entered.upload_part(part_no=1, content=b"x", length=1)
    existing = client.files.multipart_upload_content_session(1, instance_id=("space", "id"))
    assert_type(existing, FileMultipartUploadSession)
    client.files.multipart_upload_session("a", "2")  # type: ignore[arg-type]
    client.files.multipart_upload_session(parts=2)  # type: ignore[call-arg]
    client.files.multipart_upload_session("a", 2, ownerwrite=True)  # type: ignore[call-arg]
    session.upload_part(0, 7)  # type: ignore[arg-type]


def keywords(client: CogniteClient, native: AsyncCogniteClient, path: Path) -> None:
    assert_type(
        client.files.upload(path, data_set_id=7, labels=["raw"], part_size="64 MiB", resume=False),
        Uploaded,
    )
    assert_type(client.files.upload(path, name="a", dry_run=True), DryRun)
    assert_type(client.files.start_upload(path, max_bandwidth=1e7), Upload)
    assert_type(native.files.upload(path, verify="checksum", overwrite=True), Upload)
    assert_type(client.files.upload_content(path, instance_id=("space", "id")), Uploaded)
    upload_many(client, [path], data_set_id=7, recursive=True, dry_run=True)
    client.files.upload(path, data_set="7")  # type: ignore[call-overload]
    client.files.upload(path, data_set_id="7")  # type: ignore[call-overload]
    native.files.upload(path, verify="maybe")  # type: ignore[call-overload]
    client.files.start_upload(path, part_sise=7)  # type: ignore[call-arg]
    upload_many(client, [path], recursiv=True)  # type: ignore[call-arg]
    CogniteClient()
    AsyncCogniteClient()


async def tasks(native: AsyncCogniteClient, path: Path) -> None:
    assert_type(asyncio.create_task(native.files.upload(path)), asyncio.Task[Uploaded])
    assert_type(await native.files.upload(path), Uploaded)


async def asynchronous(client: AsyncCogniteClient) -> None:
    assert_type(await client.files.retrieve(id=1), CDFFile | None)
    async with client.files.multipart_upload_session("a", parts=2) as one:
        assert_type(one, FileMultipartUploadSession)
        await one.upload_part_async(0, "text")
    async with await client.files.multipart_upload_session("a", parts=2) as two:
        assert_type(two, FileMultipartUploadSession)
    assert_type(
        await client.files.multipart_upload_content_session(1, external_id="one"),
        FileMultipartUploadSession,
    )
    assert_type(await client.files.list(), list[CDFFile])


async def contents(
    session: FileMultipartUploadSession,
    file: IO[bytes],
    generator: Iterator[bytes],
    stream: AsyncIterator[bytes],
) -> None:
    for content in ("text", b"bytes", bytearray(), memoryview(b""), Path("a"), file, generator):
        session.upload_part(0, content)
    session.upload_part(0, [b"a", b"b"])
    await session.upload_part_async(0, stream)


def fields(client: CogniteClient, geojson: Mapping[str, Any]) -> None:
    for place in (GeoLocation.point(10.7, 59.9), Geometry("Point", (1, 2)), geojson):
        client.files.multipart_upload_session("a", 1, geo_location=place)
    for moment in (1_700_000_000_000, datetime.now(UTC)):
        client.files.multipart_upload_session("a", 1, source_created_time=moment)
    client.files.multipart_upload_session(
        "a",
        1,
        labels=["raw", Label("raw")],
        asset_ids=range(1, 3),
        security_categories={1},
        metadata={"a": "b"},
        overwrite=True,
    )
    client.files.multipart_upload_content_session(1, instance_id=NodeId("space", "id"))


def following(session: FileMultipartUploadSession) -> None:
    def listener(state: UploadState, event: Event) -> None:
        assert_type(state.sent, int)
        assert_type(state.eta_s, float | None)
        assert_type(event.at_s, float)

    assert_type(session.listen(listener), Callable[[], None])
    assert_type(session.state.missing_parts, tuple[int, ...])


def errors(error: UploadToolkitError) -> None:
    if isinstance(error, APIError):
        assert_type(error.code, int)
        assert_type(error.request_id, str | None)
    if isinstance(error, TransferError):
        assert_type(error.missing_parts, tuple[int, ...])
    if isinstance(error, PartFailed):
        assert_type(error.part_no, int)
