"""The data model of the emulator, as the official SDK uses it, unchanged."""

from __future__ import annotations

import json
from contextlib import ExitStack
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest
from support import until

from cognite_nb_upload.emulator import emulator

pytest.importorskip("cognite.client")

from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import Token
from cognite.client.data_classes import filters
from cognite.client.data_classes.data_modeling import (
    NodeApply,
    NodeId,
    NodeOrEdgeData,
    SpaceApply,
    ViewId,
)
from cognite.client.data_classes.data_modeling.cdm.v1 import CogniteAssetApply, CogniteFileApply
from cognite.client.exceptions import CogniteAPIError, CogniteFileUploadError

global_config.disable_pypi_version_check = True
FILE = ViewId("cdf_cdm", "CogniteFile", "v1")
SEISMIC = ViewId("field", "SeismicFile", "v3")


@pytest.fixture
def cdf(request):
    with emulator(faults=True, **getattr(request, "param", {})) as cdf:
        yield cdf


@pytest.fixture
def sdk(cdf):
    config = ClientConfig("tests", cdf.project, Token(cdf.token), base_url=cdf.base_url)
    return CogniteClient(config)


def file_node(external_id, **more):
    return CogniteFileApply("field", external_id, name=f"{external_id}.segy", **more)


@pytest.mark.parametrize("cdf", [{"node_delay_s": 0.4}], indirect=True, ids=["late"])
def test_a_file_is_made_and_uploaded_in_one_call_of_the_sdk(cdf, sdk, tmp_path):
    path = tmp_path / "a.segy"
    path.write_bytes(b"traces")
    node = file_node("a", assets=[("field", "nordvik")], mime_type="application/segy")
    sdk.data_modeling.files.upload(path, node)
    answers = [row["status"] for row in cdf.requests() if row["route"] == "multiuploadlink"]
    assert answers[0] == 400, "the delay was not met"
    assert answers[-1] == 201
    found = sdk.data_modeling.files.retrieve(("field", "a"))
    assert found["isUploaded"] is True
    assert found["assets"] == [{"space": "field", "externalId": "nordvik"}]
    assert sdk.data_modeling.files.download_bytes(NodeId("field", "a")) == b"traces"
    assert sdk.files.retrieve(instance_id=NodeId("field", "a")).mime_type == "application/segy"


def test_what_is_no_file_takes_no_content(sdk):
    sdk.data_modeling.instances.apply(NodeApply("field", "plain"))
    for known, text in (("plain", "not a file node"), ("nowhere", "does not exist")):
        with pytest.raises(CogniteFileUploadError, match=text):
            sdk.data_modeling.files.upload_content_bytes(b"x", ("field", known))


def test_an_apply_merges_and_an_insert_refuses(sdk):
    dm = sdk.data_modeling.instances
    (first,) = dm.apply(file_node("a", description="one", existing_version=0)).nodes
    assert (first.version, first.was_modified) == (1, True)
    with pytest.raises(CogniteAPIError) as caught:
        dm.apply([file_node("b", existing_version=0), file_node("a", existing_version=0)])
    assert caught.value.code == 409
    assert dm.retrieve(("field", "b")).nodes == [], "a refused batch leaves nothing"
    (second,) = dm.apply(file_node("a", tags=["x"])).nodes
    assert second.version == 2
    found = sdk.data_modeling.files.retrieve(("field", "a"))
    assert (found["description"], found["tags"]) == ("one", ["x"])
    (third,) = dm.apply(file_node("a", tags=["x"])).nodes
    assert (third.version, third.was_modified) == (2, False)
    dm.apply(file_node("a"), replace=True)
    assert "tags" not in sdk.data_modeling.files.retrieve(("field", "a")).properties[FILE]


def test_a_custom_view_shows_the_same_node(sdk):
    source = NodeOrEdgeData(SEISMIC, {"name": "n", "survey": "S1", "line": 12, "domain": "time"})
    sdk.data_modeling.instances.apply(NodeApply("field", "s", sources=[source]))
    sdk.data_modeling.instances.apply(file_node("plain"))
    found = sdk.data_modeling.files.retrieve(("field", "s"), source=SEISMIC)
    assert found.properties[SEISMIC]["line"] == 12
    assert found.properties[SEISMIC]["processed"] is False, "a default is filled in"
    assert sdk.data_modeling.files.retrieve(("field", "plain"), source=SEISMIC) is None
    has_survey = filters.Equals(SEISMIC.as_property_ref("survey"), "S1")
    listed = sdk.data_modeling.files.list(source=SEISMIC, filter=has_survey, space="field")
    assert listed.as_ids() == [NodeId("field", "s")]
    (view,) = sdk.data_modeling.views.retrieve(SEISMIC)
    assert view.implements == [FILE]
    assert {"survey", "name", "assets"} <= view.properties.keys()
    assert [each.external_id for each in sdk.data_modeling.views.list()] == ["SeismicFile"]


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({}, "survey is required"),
        ({"survey": "S", "line": 2**31}, "line must be between"),
        ({"survey": "S", "domain": "space"}, "one of time, depth"),
        ({"survey": "S", "acquired": "5 May"}, "acquired must be a date"),
        ({"survey": "S", "isUploaded": True}, "set by the service"),
        ({"survey": "S", "lime": 1}, "Unknown property 'lime'"),
    ],
    ids=["missing", "large", "enum", "date", "read-only", "unknown"],
)
def test_a_property_that_does_not_fit_is_refused(sdk, properties, text):
    source = NodeOrEdgeData(SEISMIC, properties)
    with pytest.raises(CogniteAPIError, match=text):
        sdk.data_modeling.instances.apply(NodeApply("field", "s", sources=[source]))


def test_a_relation_to_nothing_makes_an_empty_node_unless_that_is_forbidden(sdk):
    dm = sdk.data_modeling.instances
    node = file_node("a", assets=[("field", "nordwik")])
    with pytest.raises(CogniteAPIError, match="direct relations do not exist"):
        dm.apply(node, auto_create_direct_relations=False)
    dm.apply(node)
    asset = ViewId("cdf_cdm", "CogniteAsset", "v1")
    assert len(dm.retrieve(("field", "nordwik")).nodes) == 1
    assert dm.retrieve(("field", "nordwik"), sources=asset).nodes == []


def test_search_list_and_delete(sdk):
    dm = sdk.data_modeling.instances
    asset = ViewId("cdf_cdm", "CogniteAsset", "v1")
    found = dm.search(asset, query="pump power", limit=3)
    assert "Pump of the power system" in found[0]["description"]
    assert len(dm.list(sources=asset, space="field", limit=None)) == 58
    prefix = filters.Prefix(asset.as_property_ref("name"), "Nord")
    assert [each["name"] for each in dm.list(sources=asset, filter=prefix)] == ["Nordvik A"]
    dm.apply(CogniteAssetApply("field", "new", name="New", parent=("field", "nordvik")))
    assert dm.search(asset, query="New")[0].external_id == "new"
    sdk.data_modeling.files.upload_bytes(b"x", file_node("a"))
    assert dm.delete([("field", "a"), ("field", "nowhere")]).nodes == [NodeId("field", "a")]
    assert sdk.files.retrieve(instance_id=NodeId("field", "a")) is None


def test_spaces_and_statistics(sdk):
    known = sdk.data_modeling.spaces.list(limit=None)
    assert [each.space for each in known] == ["scans", "field"]
    sdk.data_modeling.spaces.apply(SpaceApply("mine", name="Mine"))
    assert sdk.data_modeling.spaces.retrieve("mine").name == "Mine"
    found = sdk.data_modeling.statistics.project()
    assert found.concurrent_write_limit == 4
    assert found.instances.nodes == found.instances.instances > 58


@pytest.mark.parametrize("cdf", [{"space_scope": ["scans"]}], indirect=True, ids=["scans"])
def test_a_space_that_may_not_be_written_is_refused(cdf, sdk):
    with pytest.raises(CogniteAPIError, match="must not write"):
        sdk.data_modeling.instances.apply(file_node("a"))
    sdk.data_modeling.files.upload_content_bytes(b"x", ("scans", "deck_1"))
    capabilities = json.dumps(sdk.iam.token.inspect().capabilities.dump())
    assert '"spaceIds": ["scans"]' in capabilities


@pytest.mark.parametrize(
    "cdf", [{"apply_limit": 1, "instances_s": 30.0}], indirect=True, ids=["one"]
)
def test_more_applies_at_once_than_the_project_may_are_refused(cdf):
    """The first one takes half a minute; nobody waits for its end."""
    body = b'{"items": [{"instanceType": "node", "space": "field", "externalId": "a"}]}'
    where = "/api/v1/projects/demo/models/instances"
    with ExitStack() as stack:
        first = HTTPConnection("127.0.0.1", urlsplit(cdf.base_url).port)
        stack.callback(first.close)
        headers = {"authorization": f"Bearer {cdf.token}"}
        first.request("POST", where, body, headers)
        until(lambda: [row for row in cdf.requests() if row["route"] == "instances_apply"])
        with httpx.Client(trust_env=False, timeout=60) as http:
            second = http.post(cdf.base_url + where, content=body, headers=headers)
    assert second.status_code == 429
