"""The official SDK, unchanged, works against the emulator as it is by default."""

from __future__ import annotations

import asyncio
import os
from io import BytesIO

import pytest

from cognite_nb_upload.emulator import Fault, emulator

pytest.importorskip("cognite.client")

from cognite.client import AsyncCogniteClient, ClientConfig, CogniteClient, global_config
from cognite.client._http_client import _global_async_httpx_clients
from cognite.client.credentials import OAuthClientCredentials, Token
from cognite.client.data_classes import (
    DataSetWrite,
    FileMetadataFilter,
    FileMetadataUpdate,
    FileMetadataWrite,
    GeoLocation,
    Geometry,
    Label,
    LabelDefinitionWrite,
    SecurityCategoryWrite,
)
from cognite.client.data_classes.data_modeling import NodeId
from cognite.client.exceptions import (
    CogniteAuthorizationError,
    CogniteDuplicatedError,
    CogniteFileUploadError,
    CogniteNotFoundError,
    CogniteProjectAccessError,
)

global_config.disable_pypi_version_check = True
MIB = 1024**2


@pytest.fixture
def cdf():
    with emulator(faults=True) as cdf:
        yield cdf


def config(cdf, credentials=None):
    return ClientConfig(
        "tests", cdf.project, credentials or Token(cdf.token), base_url=cdf.base_url
    )


@pytest.fixture
def client(cdf):
    return CogniteClient(config(cdf))


def run(work, cdf):
    """Runs `work(client)` in a loop of its own, and closes what the SDK leaves open in it."""

    async def main():
        try:
            await work(AsyncCogniteClient(config(cdf)))
        finally:
            http = _global_async_httpx_clients.pop(asyncio.get_running_loop(), None)
            if http is not None:
                await http.aclose()

    asyncio.run(main())


def test_a_multipart_session(cdf, client):
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB + 1), b"end"]
    session = client.files.multipart_upload_session("a.bin", parts=3, data_set_id=7)
    with session:
        for no in (2, 0, 1):
            session.upload_part(no, parts[no])
    found = client.files.retrieve(id=session.file_metadata.id)
    assert found.uploaded
    assert found.data_set_id == 7
    assert cdf.content(found.id) == b"".join(parts)


def test_a_multipart_session_in_async(cdf):
    parts = [os.urandom(5 * MIB), b"end"]

    async def work(client):
        async with await client.files.multipart_upload_session("a.bin", parts=2) as session:
            await asyncio.gather(*(session.upload_part_async(n, parts[n]) for n in (1, 0)))
        found = await client.files.retrieve(id=session.file_metadata.id)
        assert found.uploaded
        assert cdf.content(found.id) == b"".join(parts)

    run(work, cdf)


def test_a_session_for_a_file_that_exists(cdf, client):
    made, _ = client.files.create(FileMetadataWrite(name="a", external_id="a"))
    with client.files.multipart_upload_content_session(parts=1, external_id="a") as session:
        session.upload_part(0, "text")
    assert cdf.content(made.id) == b"text"


def test_a_session_for_a_data_model_file(client):
    deck = NodeId("scans", "deck_1")
    with client.files.multipart_upload_content_session(parts=1, instance_id=deck) as session:
        session.upload_part(0, b"points")
    assert client.files.download_bytes(instance_id=deck) == b"points"
    assert client.files.retrieve(instance_id=deck).instance_id == deck


def test_a_session_that_is_not_complete_is_not_completed(cdf, client):
    with (
        pytest.raises(CogniteFileUploadError, match="all parts"),
        client.files.multipart_upload_session("a.bin", parts=2) as session,
    ):
        session.upload_part(0, b"a")
    assert "complete" not in [row["route"] for row in cdf.requests()]


def test_uploading_a_file_with_all_its_metadata(cdf, client, tmp_path):
    path = tmp_path / "scan.las"
    path.write_bytes(os.urandom(MIB))
    point = GeoLocation("Feature", Geometry("Point", [10.7, 59.9]))
    made = client.files.upload(
        path,
        external_id="scan",
        source="drone",
        mime_type="application/octet-stream",
        metadata={"a": "b"},
        directory="/scans",
        asset_ids=[1001],
        data_set_id=42,
        labels=[Label("point-cloud")],
        geo_location=point,
        source_created_time=1,
        source_modified_time=2,
        security_categories=[1],
    )
    found = client.files.retrieve(external_id="scan")
    assert cdf.content(made.id) == path.read_bytes()
    assert (found.name, found.directory, found.source) == ("scan.las", "/scans", "drone")
    assert found.labels == [Label("point-cloud")]
    assert found.geo_location.geometry.coordinates == [10.7, 59.9]
    assert (found.asset_ids, found.security_categories) == ([1001], [1])


def test_uploading_a_folder(cdf, client, tmp_path):
    for n in range(4):
        (tmp_path / f"{n}.txt").write_text(str(n) * n)  # the first is empty
    made = client.files.upload(tmp_path, data_set_id=7)
    found = {meta["name"]: cdf.content(meta["id"]) for meta in cdf.files() if "dataSetId" in meta}
    assert len(made) == 4
    assert found == {f"{n}.txt": (str(n) * n).encode() for n in range(4)}


def test_uploading_bytes(cdf, client):
    made = client.files.upload_bytes(b"some bytes", name="a.txt", mime_type="text/plain")
    assert cdf.content(made.id) == b"some bytes"
    made = client.files.upload_bytes(BytesIO(b"a file object"), name="b")
    assert cdf.content(made.id) == b"a file object"


def test_uploading_content(cdf, client, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"from a path")
    made, _ = client.files.create(FileMetadataWrite(name="a", external_id="a"))
    client.files.upload_content(path, external_id="a")
    assert cdf.content(made.id) == b"from a path"
    client.files.upload_content_bytes("from memory", external_id="a")
    assert cdf.content(made.id) == b"from memory"


def test_overwriting(cdf, client):
    first = client.files.upload_bytes(b"1", name="a", external_id="a")
    with pytest.raises(CogniteDuplicatedError) as caught:
        client.files.upload_bytes(b"2", name="a", external_id="a")
    assert caught.value.duplicated == [{"externalId": "a"}]
    second = client.files.upload_bytes(b"2", name="a", external_id="a", overwrite=True)
    assert first.id == second.id
    assert cdf.content(first.id) == b"2"


def test_reading_back(client, tmp_path):
    ids = [client.files.upload_bytes(bytes([n]) * n, name=f"{n}.bin").id for n in range(1, 4)]
    assert client.files.download_bytes(id=ids[1]) == b"\2\2"
    client.files.download_to_path(tmp_path / "one", id=ids[0])
    assert (tmp_path / "one").read_bytes() == b"\1"
    (tmp_path / "all").mkdir()
    client.files.download(tmp_path / "all", id=ids)
    assert (tmp_path / "all" / "3.bin").read_bytes() == b"\3\3\3"
    assert set(client.files.retrieve_download_urls(id=ids, extended_expiration=True)) == set(ids)


def test_finding_files(client):
    for n in range(5):
        client.files.upload_bytes(b"x", name=f"log {n}.las", external_id=f"x{n}", data_set_id=11)
    wanted = {"data_set_ids": 11, "uploaded": True}
    assert len(client.files.list(limit=None, **wanted)) == 5
    assert len(client.files.list(external_id_prefix="x", limit=2)) == 2
    assert len(list(client.files(limit=None, chunk_size=2, external_id_prefix="x"))) == 3
    found = client.files.search(name="log 3", filter=FileMetadataFilter(source=None))
    assert found[0].name == "log 3.las"
    assert client.files.aggregate_count(FileMetadataFilter(external_id_prefix="x")) == 5
    assert len(client.files.retrieve_multiple(external_ids=["x0", "x4"])) == 2
    assert client.files.retrieve(external_id="nowhere") is None
    with pytest.raises(CogniteNotFoundError) as caught:
        client.files.retrieve_multiple(external_ids=["x0", "nowhere"])
    assert caught.value.not_found == [{"externalId": "nowhere"}]


def test_updating_and_deleting(client):
    made = client.files.upload_bytes(b"x", name="a", source="old", metadata={"a": "1"})
    change = FileMetadataUpdate(id=made.id).source.set("new").directory.set("/d")
    change = change.metadata.add({"b": "2"}).labels.add(["raw"]).asset_ids.set([1000])
    changed = client.files.update(change)
    assert (changed.source, changed.directory) == ("new", "/d")
    assert changed.metadata == {"a": "1", "b": "2"}
    assert (changed.labels, changed.asset_ids) == ([Label("raw")], [1000])
    changed.source = None
    assert client.files.update(changed, mode="replace").source is None
    client.files.delete(id=made.id)
    assert client.files.retrieve(id=made.id) is None
    client.files.delete(id=made.id, ignore_unknown_ids=True)
    with pytest.raises(CogniteNotFoundError):
        client.files.delete(id=made.id)


def test_data_sets(client):
    assert len(client.data_sets.list(limit=None)) == 6
    assert [found.id for found in client.data_sets.list(write_protected=True)] == [99]
    assert client.data_sets.retrieve(id=7).external_id == "seismic"
    assert client.data_sets.retrieve(external_id="well-logs").id == 11
    made = client.data_sets.create(DataSetWrite(external_id="new", name="New"))
    assert client.data_sets.retrieve_multiple(ids=[7, made.id])[1].name == "New"
    assert client.data_sets.aggregate_count() == 7


def test_labels(client):
    assert len(client.labels.list(limit=None)) == 15
    assert len(client.labels.list(external_id_prefix="drawing")) == 2
    assert client.labels.retrieve("raw").name == "Raw"
    client.labels.create(LabelDefinitionWrite("mine", name="Mine"))
    assert client.labels.list(name="Mine")[0].external_id == "mine"
    client.labels.delete("mine")
    assert client.labels.retrieve("mine", ignore_unknown_ids=True) is None


def test_assets(client):
    assert len(client.assets.list(limit=None)) == 58
    assert [asset.name for asset in client.assets.list(root=True)] == ["Nordvik A", "Sorland B"]
    found = client.assets.search(query="pump power")
    assert "Pump of the power system" in found[0].description
    assert client.assets.retrieve(external_id="nordvik").id == 1000
    assert len(client.assets.retrieve_subtree(external_id="nordvik")) == 29
    assert client.assets.retrieve_multiple(ids=[1001])[0].parent_id == 1000


def test_security_categories_and_the_token(client):
    names = [each.name for each in client.iam.security_categories.list(limit=None)]
    assert names == ["Licence partners", "Vendor A", "Management", "HSE"]
    made = client.iam.security_categories.create(SecurityCategoryWrite("Lawyers"))
    assert made.id == 5
    found = client.iam.token.inspect()
    assert found.projects[0].url_name == "demo"
    assert "filesAcl" in str(found.capabilities.dump())


def test_what_is_refused_is_understood(cdf):
    with pytest.raises(CogniteProjectAccessError):
        CogniteClient(config(cdf, Token("wrong"))).files.list()
    with emulator(write_scope=[7]) as scoped:
        client = CogniteClient(config(scoped))
        with pytest.raises(CogniteAuthorizationError, match="Try to provide a data_set_id"):
            client.files.upload_bytes(b"x", name="a")
        with pytest.raises(CogniteAuthorizationError, match="Try to provide a data_set_id"):
            client.files.multipart_upload_session("a", parts=1)
        assert client.files.upload_bytes(b"x", name="a", data_set_id=7)


def test_client_credentials(cdf):
    credentials = OAuthClientCredentials(
        token_url=cdf.base_url + "/oauth/token",
        client_id="emulator",
        client_secret=cdf.token,
        scopes=["a/.default"],
    )
    assert len(CogniteClient(config(cdf, credentials)).data_sets.list(limit=None)) == 6


def test_its_retries_meet_a_fault_and_get_past_it(cdf, client):
    cdf.inject(Fault("status", "init", status=503, retry_after=0))
    made = client.files.upload_bytes(b"x", name="a")
    with client.files.multipart_upload_session("b", parts=1) as session:
        session.upload_part(0, b"y")
    assert [each["route"] for each in cdf.fired()] == ["init"]
    assert cdf.content(made.id) == b"x"


def test_strict_storage_refuses_its_token():
    with (
        emulator(strict_storage=True) as strict,
        pytest.raises(CogniteFileUploadError, match="Only one auth"),
    ):
        CogniteClient(config(strict)).files.upload_bytes(b"x", name="a")
