"""`multipart_upload_session`: its names, order and defaults, and what it refuses beforehand."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cognite.client._api.files import FilesAPI
from cognite.client.data_classes import GeoLocation as OfficialGeoLocation
from cognite.client.data_classes import Geometry as OfficialGeometry
from cognite.client.data_classes import Label as OfficialLabel
from cognite.client.data_classes.data_modeling import NodeId as OfficialNodeId
from support import config_of, routes, seen, sha256, some_bytes

from cognite_nb_upload import (
    APIError,
    AsyncCogniteClient,
    CogniteClient,
    FileMultipartUploadSession,
    GeoLocation,
    Geometry,
    Label,
    NodeId,
    PlanError,
    UsageError,
)
from cognite_nb_upload.blocking import Files
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.transfer.files import AsyncFiles

NAMES = (
    "name parts external_id source mime_type metadata directory asset_ids data_set_id labels "
    "geo_location source_created_time source_modified_time security_categories overwrite"
).split()
POINT = {"type": "Point", "coordinates": [10.7, 59.9]}


# --- the signature --------------------------------------------------------------------------


@pytest.mark.parametrize("files", [AsyncFiles, Files])
def test_the_arguments_are_those_that_were_asked_for_in_their_order(files: type) -> None:
    signature = inspect.signature(files.multipart_upload_session)
    _self, *parameters = signature.parameters.values()
    assert [one.name for one in parameters] == NAMES
    assert {one.kind for one in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    defaults = {one.name: one.default for one in parameters}
    assert defaults.pop("name") is inspect.Parameter.empty
    assert defaults.pop("parts") is inspect.Parameter.empty
    assert defaults.pop("overwrite") is False
    assert set(defaults.values()) == {None}


@pytest.mark.parametrize("files", [AsyncFiles, Files])
def test_content_for_a_file_that_exists_takes_parts_and_either_id(files: type) -> None:
    signature = inspect.signature(files.multipart_upload_content_session)
    _self, parts, external_id, instance_id = signature.parameters.values()
    assert (parts.name, parts.default) == ("parts", inspect.Parameter.empty)
    assert (external_id.name, external_id.default) == ("external_id", None)
    assert (instance_id.name, instance_id.default) == ("instance_id", None)


def test_a_session_takes_a_part_number_and_its_content_in_this_order() -> None:
    for method in (
        FileMultipartUploadSession.upload_part,
        FileMultipartUploadSession.upload_part_async,
    ):
        _self, part_no, content, length = inspect.signature(method).parameters.values()
        assert (part_no.name, content.name) == ("part_no", "content")
        assert (length.name, length.default) == ("length", None)


def test_the_same_call_is_good_for_the_official_client() -> None:
    official = list(inspect.signature(FilesAPI.multipart_upload_session).parameters)
    assert official[1:] == NAMES


# --- both spellings, both faces -------------------------------------------------------------


@pytest.mark.anyio
async def test_async_with_works_with_and_without_await(
    cdf: Emulator, async_client: AsyncCogniteClient
) -> None:
    files = async_client.files
    async with files.multipart_upload_session("a.txt", parts=1) as one:
        await one.upload_part_async(0, "without")
    async with await files.multipart_upload_session("b.txt", parts=1) as two:
        await two.upload_part_async(0, "with")
    assert cdf.content(one.file_metadata.id) == b"without"
    assert cdf.content(two.file_metadata.id) == b"with"


@pytest.mark.anyio
async def test_a_plain_with_of_the_async_client_says_what_to_write(
    async_client: AsyncCogniteClient,
) -> None:
    opening = async_client.files.multipart_upload_session("a.txt", parts=1)
    with pytest.raises(UsageError, match="async with"), opening:
        pass


@pytest.mark.anyio
async def test_both_spellings_work_for_a_file_that_exists(
    cdf: Emulator, async_client: AsyncCogniteClient
) -> None:
    files = async_client.files
    deck = {"space": "scans", "external_id": cdf.files()[0]["instanceId"]["externalId"]}
    async with files.multipart_upload_content_session(1, instance_id=NodeId(**deck)) as one:
        await one.upload_part_async(0, "once")
    async with await files.multipart_upload_content_session(1, instance_id=NodeId(**deck)) as two:
        await two.upload_part_async(0, "twice")
    assert cdf.content(two.file_metadata.id) == b"twice"


def test_an_opening_that_is_not_awaited_sends_nothing(cdf: Emulator) -> None:
    opening = AsyncCogniteClient(config_of(cdf)).files.multipart_upload_session("a", parts=1)
    assert "await" in repr(opening)
    assert cdf.requests() == []


def test_the_documented_example_runs_as_it_is_written(cdf: Emulator, client: CogniteClient) -> None:
    with client.files.multipart_upload_session("my_file.txt", parts=2) as session:
        # Note that the minimum chunk size is 5 MiB.
        session.upload_part(0, "hello" * 1_200_000)
        session.upload_part(1, " world")

    expected = ("hello" * 1_200_000 + " world").encode()
    assert cdf.sha256(session.file_metadata.id) == sha256(expected)


@pytest.mark.anyio
async def test_the_documented_example_runs_in_its_async_spelling(
    cdf: Emulator, async_client: AsyncCogniteClient
) -> None:
    client = async_client
    async with client.files.multipart_upload_session("my_file.txt", parts=2) as session:
        # Note that the minimum chunk size is 5 MiB.
        await session.upload_part_async(0, "hello" * 1_200_000)
        await session.upload_part_async(1, " world")

    expected = ("hello" * 1_200_000 + " world").encode()
    assert cdf.sha256(session.file_metadata.id) == sha256(expected)


# --- what arrives ---------------------------------------------------------------------------


def test_every_field_arrives(cdf: Emulator, client: CogniteClient) -> None:
    with client.files.multipart_upload_session(
        "a.segy",
        1,
        "survey-1",
        "rig",
        "application/octet-stream",
        {"block": "25/4"},
        "/surveys/2026",
        [1000, 1001],
        7,
        [Label("raw"), OfficialLabel("seismic"), "draft"],
        GeoLocation.point(10.7, 59.9),
        1_700_000_000_000,
        datetime(2026, 5, 18, 12, tzinfo=timezone(timedelta(hours=2))),
        [1, 2],
        False,
    ) as session:
        session.upload_part(0, b"x")
    stored = {key: value for key, value in cdf.files()[-1].items() if not key.endswith("dTime")}
    assert stored == {
        "id": session.file_metadata.id,
        "name": "a.segy",
        "externalId": "survey-1",
        "source": "rig",
        "mimeType": "application/octet-stream",
        "metadata": {"block": "25/4"},
        "directory": "/surveys/2026",
        "assetIds": [1000, 1001],
        "dataSetId": 7,
        "labels": [{"externalId": "raw"}, {"externalId": "seismic"}, {"externalId": "draft"}],
        "geoLocation": {"type": "Feature", "geometry": POINT},
        "securityCategories": [1, 2],
        "uploaded": True,
    }
    assert cdf.files()[-1]["sourceCreatedTime"] == 1_700_000_000_000
    assert cdf.files()[-1]["sourceModifiedTime"] == 1_779_098_400_000


@pytest.mark.parametrize(
    "place",
    [
        GeoLocation.point(10.7, 59.9),
        Geometry("Point", (10.7, 59.9)),
        OfficialGeoLocation("Feature", OfficialGeometry("Point", [10.7, 59.9])),
        {"type": "Feature", "geometry": POINT},
        POINT,
    ],
    ids=["ours", "our geometry", "official", "feature", "geometry"],
)
def test_a_place_may_be_ours_the_official_one_or_geojson(
    cdf: Emulator, client: CogniteClient, place: Any
) -> None:
    client.files.multipart_upload_session("a", 1, geo_location=place)
    assert cdf.files()[-1]["geoLocation"]["geometry"] == POINT


def test_fields_that_were_left_out_are_not_sent(cdf: Emulator, client: CogniteClient) -> None:
    client.files.multipart_upload_session("a", 1)
    assert seen(cdf, "init")[0]["body_bytes"] == len('{"name":"a"}')


@pytest.mark.parametrize("overwrite", [False, True])
def test_overwrite_replaces_the_file_of_that_external_id_or_is_refused(
    cdf: Emulator, client: CogniteClient, overwrite: bool
) -> None:
    with client.files.multipart_upload_session("old", 1, external_id="one") as session:
        session.upload_part(0, b"old")
    if not overwrite:
        with pytest.raises(APIError, match="409") as caught:
            client.files.multipart_upload_session("new", 1, external_id="one")
        assert caught.value.duplicated == [{"externalId": "one"}]
        assert "overwrite=True" in str(caught.value.__notes__)
        return
    with client.files.multipart_upload_session(
        "new", 1, external_id="one", directory="/n", source="s", overwrite=True
    ) as again:
        again.upload_part(0, b"new")
    assert again.file_metadata.id == session.file_metadata.id
    assert cdf.content(again.file_metadata.id) == b"new"
    # An overwrite leaves these two as they were, so they are set by an update that follows.
    assert (again.file_metadata.directory, again.file_metadata.source) == ("/n", "s")
    assert cdf.files()[-1]["directory"] == "/n"


@pytest.mark.parametrize("kind", ["ours", "official", "tuple"])
def test_a_data_model_file_is_found_by_its_instance_id(
    cdf: Emulator, client: CogniteClient, kind: str
) -> None:
    node = cdf.files()[1]["instanceId"]
    space, external_id = node["space"], node["externalId"]
    instance_id: Any = {
        "ours": NodeId(space, external_id),
        "official": OfficialNodeId(space, external_id),
        "tuple": (space, external_id),
    }[kind]
    with client.files.multipart_upload_content_session(2, instance_id=instance_id) as session:
        session.upload_part(1, b"end")
        session.upload_part(0, some_bytes())
    assert session.file_metadata.instance_id == NodeId(space, external_id)
    assert session.file_metadata.uploaded
    assert routes(cdf)[0] == "multiuploadlink"
    assert cdf.sha256(cdf.files()[1]["id"]) == sha256(some_bytes() + b"end")


def test_content_for_a_classic_file_is_found_by_its_external_id(
    cdf: Emulator, client: CogniteClient
) -> None:
    client.files.multipart_upload_session("a", 1, external_id="one")
    with client.files.multipart_upload_content_session(1, external_id="one") as session:
        session.upload_part(0, b"content")
    assert cdf.content(session.file_metadata.id) == b"content"


# --- what is refused before anything is sent ------------------------------------------------

RING = [[0, 0], [0, 1], [1, 1], [0, 0]]
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no parts": ({"parts": 0}, ("parts", "0", "250")),
    "251 parts": ({"parts": 251}, ("parts", "251", "250")),
    "parts as text": ({"parts": "2"}, ("parts", "'2'", "250")),
    "parts as bool": ({"parts": True}, ("parts", "True")),
    "empty name": ({"name": ""}, ("name", "256")),
    "long name": ({"name": "n" * 257}, ("name", "257", "256")),
    "long external id": ({"external_id": "e" * 256}, ("external_id", "256", "255")),
    "long source": ({"source": "s" * 129}, ("source", "129", "128")),
    "long mime type": ({"mime_type": "m" * 257}, ("mime_type", "257", "256")),
    "long directory": ({"directory": "/" + "d" * 512}, ("directory", "513", "512")),
    "relative directory": ({"directory": "surveys"}, ("directory", "absolute")),
    "many pairs": ({"metadata": {str(n): "" for n in range(257)}}, ("metadata", "257", "256")),
    "long key": ({"metadata": {"ø" * 65: ""}}, ("metadata", "130", "128")),
    "long value": ({"metadata": {"a": "v" * 10_241}}, ("metadata", "10241", "10240")),
    "long in all": (
        {"metadata": {"a": "v" * 6000, "b": "v" * 6000}},
        ("metadata", "12002", "10240"),
    ),
    "value is a number": ({"metadata": {"a": 1}}, ("metadata", "str(value)")),
    "many assets": ({"asset_ids": range(1, 1002)}, ("asset_ids", "1001", "1000")),
    "asset 0": ({"asset_ids": [0]}, ("asset_ids", "0", str(2**53 - 1))),
    "data set as text": ({"data_set_id": "7"}, ("data_set_id", "int(value)")),
    "data set 2^53": ({"data_set_id": 2**53}, ("data_set_id", str(2**53 - 1))),
    "many labels": ({"labels": list("abcdefghijk")}, ("labels", "11", "10")),
    "label twice": ({"labels": ["a", "a"]}, ("labels", "twice")),
    "labels as text": ({"labels": "raw"}, ("labels", "list")),
    "many categories": (
        {"security_categories": range(1, 102)},
        ("security_categories", "101", "100"),
    ),
    "time without zone": (
        {"source_created_time": datetime(2026, 1, 1)},  # the claim
        ("source_created_time", "zone"),
    ),
    "time before 1970": ({"source_modified_time": -1}, ("source_modified_time", "-1", "1970")),
    "time as float": ({"source_modified_time": 1.5}, ("source_modified_time", "int(value)")),
    "altitude": (
        {"geo_location": {"type": "Point", "coordinates": [1, 2, 3]}},
        ("geo_location", "3 numbers", "2"),
    ),
    "open ring": (
        {"geo_location": {"type": "Polygon", "coordinates": [[*RING[:3], [5, 5]]]}},
        ("geo_location", "open"),
    ),
    "short ring": (
        {"geo_location": {"type": "Polygon", "coordinates": [RING[1:]]}},
        ("geo_location", "3 positions", "4"),
    ),
    "collection": (
        {"geo_location": {"type": "GeometryCollection", "geometries": []}},
        ("geo_location", "GeometryCollection"),
    ),
}


@pytest.mark.parametrize(("fields", "words"), REFUSED.values(), ids=REFUSED)
def test_a_limit_is_named_with_the_field_and_the_size_before_anything_is_sent(
    cdf: Emulator, client: CogniteClient, fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        client.files.multipart_upload_session(**{"name": "a", "parts": 1, **fields})
    for word in words:
        assert word in str(caught.value)
    assert cdf.requests() == []


def test_the_async_face_refuses_at_the_call_without_an_await(cdf: Emulator) -> None:
    files = AsyncCogniteClient(config_of(cdf)).files
    with pytest.raises(UsageError, match="name has 300 characters"):
        files.multipart_upload_session("n" * 300, 1)
    with pytest.raises(PlanError, match="250"):
        files.multipart_upload_content_session(251, external_id="x")
    assert cdf.requests() == []


def test_all_bad_fields_are_named_at_once(client: CogniteClient) -> None:
    with pytest.raises(UsageError, match=r"(?s)name.*source"):
        client.files.multipart_upload_session("", 1, source="s" * 129)


@pytest.mark.parametrize(
    "ids",
    [{}, {"external_id": "a", "instance_id": ("s", "b")}],
    ids=["neither", "both"],
)
def test_content_needs_exactly_one_id(
    cdf: Emulator, client: CogniteClient, ids: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="exactly one"):
        client.files.multipart_upload_content_session(1, **ids)
    assert cdf.requests() == []


def test_the_limits_themselves_are_allowed(cdf: Emulator, client: CogniteClient) -> None:
    session = client.files.multipart_upload_session(
        "n" * 256, 250, "e" * 255, "s" * 128, "m" * 256, {"k" * 128: "v" * 10_112}, "/" + "d" * 511
    )
    assert session.parts == 250
    assert len(session.missing_parts) == 250


# --- when CDF says no -----------------------------------------------------------------------


def test_a_403_without_a_data_set_hints_at_data_set_id() -> None:
    with (
        emulator(write_scope=[11], strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        with pytest.raises(APIError, match="403") as caught:
            client.files.multipart_upload_session("a", 1)
        assert "data_set_id" in str(caught.value.__notes__)
        with pytest.raises(APIError, match="403") as other:
            client.files.multipart_upload_session("a", 1, data_set_id=7)
        assert not hasattr(other.value, "__notes__")
        assert client.files.multipart_upload_session("a", 1, data_set_id=11).parts == 1


def test_what_cdf_does_not_know_is_told_with_the_request_id(client: CogniteClient) -> None:
    with pytest.raises(APIError) as caught:
        client.files.multipart_upload_session("a", 1, labels=["no-such-label"])
    assert caught.value.code == 400
    assert caught.value.missing == [{"externalId": "no-such-label"}]
    assert caught.value.request_id
    assert caught.value.request_id in str(caught.value)
    assert "no-such-label" in str(caught.value)


def test_the_number_of_urls_has_to_be_that_of_the_parts(
    cdf: Emulator, connect: Callable[..., CogniteClient]
) -> None:
    cdf.inject(
        Fault("status", "init", status=201, body='{"id":1,"uploadId":"u","uploadUrls":["x"]}')
    )
    with pytest.raises(APIError, match="1 upload URLs for 2 parts"):
        connect().files.multipart_upload_session("a", 2)
    assert len(cdf.fired()) == 1
