"""Files of the data model: node and content in one call, and what is left of it when it breaks."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from upload_rig import (
    PART,
    Ear,
    asked,
    content_of,
    file_of,
    fired,
    program,
    puts,
    until,
    until_true,
)

from cognite_nb_upload import (
    APIError,
    CogniteClient,
    FileNode,
    InvalidMetadata,
    Retry,
    UsageError,
    background,
    resume,
    uploads,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.errors import UploadStopped
from cognite_nb_upload.models.ids import NodeId
from cognite_nb_upload.models.views import FILE_VIEW, ViewId
from cognite_nb_upload.transfer import work

NODE = ("field", "line-12")
SEISMIC = ViewId("field", "SeismicFile", "v3")


def node_of(
    client: CogniteClient, node: tuple[str, str] = NODE, view: ViewId = FILE_VIEW
) -> dict[str, Any] | None:
    """A node as CDF has it, with its properties in a view; None where it has none."""
    instances = client._twin.files.instances
    found = background.call(lambda: instances.node(NodeId(*node), [view]))
    if found is None:
        return None
    label = f"{view.external_id}/{view.version}"
    return {**found, **found["properties"][view.space][label]}


def write_node(client: CogniteClient, node: tuple[str, str] = NODE, **properties: Any) -> None:
    """Somebody else writes a node."""
    source = {"source": FILE_VIEW.to_cdf(), "properties": properties}
    item = {"instanceType": "node", **NodeId(*node).to_cdf(), "sources": [source]}
    background.call(lambda: client._twin.files.instances.apply([item]))


def routes(cdf: Emulator) -> list[str]:
    """What CDF was asked to do, each once, in order."""
    named = [row["route"] for row in cdf.requests() if row["status"] in (200, 201)]
    return list(dict.fromkeys(named))


def test_node_and_content_in_one_call(
    start: Callable[..., Emulator], clients: Callable[..., CogniteClient], tmp_path: Path
) -> None:
    cdf = start(node_delay_s=1.0, node_uploaded_delay_s=1.0)
    client, ear = clients(cdf), Ear()
    upload = client.files.start_upload(
        file_of(tmp_path, 2),
        node=NODE,
        part_size=PART,
        assets=[("field", "nordvik")],
        category=("field", "SEGY"),
        source_system=("field", "sap"),
        tags=["3D"],
        source_created_time=datetime(2024, 5, 1, tzinfo=UTC),
    )
    upload.listen(ear)
    uploaded = upload.result()
    assert cdf.content(uploaded.id) == content_of(2)
    assert uploaded.file.instance_id == NodeId(*NODE)
    waits = {one.reason for one in ear.of(ev.Waiting)}
    assert "CDF is still linking the node" in waits
    assert "its node to say isUploaded" in waits
    writes = [one for one in routes(cdf) if not one.startswith("instances_byids")]
    assert writes[:4] == ["instances_apply", "multiuploadlink", "part", "complete"]
    node = node_of(client)
    assert node is not None
    assert node["isUploaded"] is True
    assert node["name"] == "big.segy"
    assert node["tags"] == ["3D"]
    assert node["assets"] == [{"space": "field", "externalId": "nordvik"}]
    assert node["category"] == {"space": "field", "externalId": "SEGY"}
    assert node["source"] == {"space": "field", "externalId": "sap"}
    assert datetime.fromisoformat(node["sourceCreatedTime"]) == datetime(2024, 5, 1, tzinfo=UTC)
    assert uploaded.notes == ()


def test_a_node_of_a_view_that_extends_cognite_file(client: CogniteClient, cdf: Emulator) -> None:
    own = {"survey": "NV24", "line": 12, "acquired": "2024-05-01", "well": ("field", "nordvik")}
    node = FileNode(*NODE, view=("field", "SeismicFile"), properties=own)
    uploaded = client.files.upload(b"traces", name="a.segy", node=node, description="a line")
    found = node_of(client, view=SEISMIC)
    assert found is not None
    assert (found["line"], found["survey"], found["name"]) == (12, "NV24", "a.segy")
    assert found["well"] == {"space": "field", "externalId": "nordvik"}
    assert found["description"] == "a line"
    assert cdf.content(uploaded.id) == b"traces"


def test_the_official_apply_is_taken_as_it_is(client: CogniteClient) -> None:
    cdm = pytest.importorskip("cognite.client.data_classes.data_modeling.cdm.v1")
    node = cdm.CogniteFileApply(*NODE, name="n.pdf", tags=["x"], assets=[("field", "nordvik")])
    client.files.upload(b"pages", node=node)
    found = node_of(client)
    assert found is not None
    assert (found["name"], found["mimeType"], found["tags"]) == ("n.pdf", "application/pdf", ["x"])


def test_a_taken_name_is_told_and_not_merged(client: CogniteClient, cdf: Emulator) -> None:
    write_node(client, name="theirs", description="keep")
    with pytest.raises(APIError, match="exists already") as caught:
        client.files.upload(b"mine", name="mine", node=NODE)
    assert caught.value.duplicated == [{"space": "field", "externalId": "line-12"}]
    node = node_of(client)
    assert node is not None
    assert (node["version"], node["name"]) == (1, "theirs")
    assert not asked(cdf, "multiuploadlink")
    uploaded = client.files.upload(b"mine", name="mine", node=NODE, overwrite=True)
    node = node_of(client)
    assert node is not None
    assert (node["version"], node["name"], node["description"]) == (2, "mine", "keep")
    assert cdf.content(uploaded.id) == b"mine"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"assets": [("field", "nordwik")]}, "('field', 'nordwik'), which is not there"),
        ({"assets": ("field", "nordvik")}, "assets is a list"),
        ({"tags": ["x"] * 1001}, "tags has 1001 items; CDF takes at most 1000"),
        ({"description": "x" * 128_001}, "128001 bytes; CDF takes at most 128000"),
        ({"data_set_id": 7}, "it is the node's space"),
        ({"source": "sap"}, "source_system=(space, external_id)"),
        ({"source_created_time": datetime(2024, 1, 1)}, "has no time zone"),
        ({"node": ("field", "x" * 257)}, "has 257 characters; CDF takes at most 256"),
        ({"node": FileNode(*NODE, ("field", "SeismicFile"), {"survey": "S", "lime": 1})},
         "did you mean line?"),
        ({"node": FileNode(*NODE, ("field", "SeismicFile"), {"line": 1})}, "survey is missing"),
        ({"node": FileNode(*NODE, type=("field", "no-type"))}, "type points at the node"),
        ({"node": FileNode(*NODE, ("cdf_cdm", "CogniteAsset", "v1"))}, "its nodes are no files"),
    ],
    ids=["typo", "pair", "many", "long", "classic", "source", "naive", "id", "unknown", "required",
         "type", "no-file"],
)  # fmt: skip
def test_what_cdf_would_refuse_is_said_before_anything_is_written(
    client: CogniteClient, cdf: Emulator, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        client.files.upload(b"x", **{"name": "x", "node": NODE, **fields})
    assert said in str(caught.value)
    assert not asked(cdf, "instances_apply")


def test_an_external_id_has_256_characters(client: CogniteClient, cdf: Emulator) -> None:
    uploaded = client.files.upload(b"x", name="x", node=("field", "x" * 256))
    assert cdf.content(uploaded.id) == b"x"


def test_every_bad_property_is_named_at_once(client: CogniteClient) -> None:
    own = {"survey": 7, "line": 2**31, "acquired": "5 May", "domain": "space", "parameters": 3}
    with pytest.raises(InvalidMetadata) as caught:
        client.files.upload(b"x", name="x", node=FileNode(*NODE, ("field", "SeismicFile"), own))
    assert caught.value.fields.keys() == own.keys()


# --- the node and the file service -------------------------------------------------------------


def test_content_for_a_node_waits_until_it_is_linked(
    start: Callable[..., Emulator], clients: Callable[..., CogniteClient]
) -> None:
    cdf = start(node_delay_s=0.3)
    client = clients(cdf)
    write_node(client, name="n")
    with client.files.multipart_upload_content_session(1, instance_id=NODE) as session:
        session.upload_part(0, b"late")
    assert cdf.content(session.file_metadata.id) == b"late"
    assert asked(cdf, "multiuploadlink")[0]["status"] == 400


def test_no_such_node_and_not_a_file_are_told_apart(client: CogniteClient) -> None:
    with pytest.raises(UsageError, match="has no node"):
        client.files.upload_content(b"x", instance_id=("field", "nowhere"))
    with pytest.raises(UsageError, match="is not a file"):
        client.files.upload_content(b"x", instance_id=("field", "nordvik"))
    with pytest.raises(UsageError, match="is not a file"):
        client.files.multipart_upload_content_session(
            1, instance_id=("field", "nordvik")
        ).__enter__()


def test_an_apply_beyond_the_projects_limit_waits_its_turn(
    start: Callable[..., Emulator], clients: Callable[..., CogniteClient]
) -> None:
    cdf = start(apply_limit=1, instances_s=0.2)
    patient = Retry(attempts=12, base_s=0.1, most_s=0.5)
    several = [clients(cdf, retry=patient) for _ in range(2)]
    handles = [
        client.files.start_upload(b"%d" % no, name="x", node=("field", f"n{no}"))
        for no, client in enumerate(several)
    ]
    assert [cdf.content(one.result().id) for one in handles] == [b"0", b"1"]
    cdf.inject(Fault("status", "instances_apply", status=429))
    several[0].files.upload(b"x", name="x", node=NODE)
    assert 429 in [row["status"] for row in asked(cdf, "instances_apply")]


def test_a_node_that_does_not_say_is_uploaded_is_reported_and_the_file_is_done(
    start: Callable[..., Emulator],
    clients: Callable[..., CogniteClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cdf = start(node_uploaded_delay_s=600.0)
    monkeypatch.setattr(work, "_NODE_S", 0.2)
    uploaded = clients(cdf).files.upload(b"x", name="x", node=NODE)
    assert "its node has not said isUploaded" in " ".join(uploaded.notes)
    assert cdf.content(uploaded.id) == b"x"


# --- answers that are lost ---------------------------------------------------------------------


def test_a_lost_answer_to_the_apply_makes_no_second_node(
    client: CogniteClient, cdf: Emulator
) -> None:
    cdf.inject(Fault("lost_answer", "instances_apply"))
    uploaded = client.files.upload(b"x", name="x", node=NODE, tags=["a"])
    assert fired(cdf) == ["lost_answer"]
    assert cdf.content(uploaded.id) == b"x"
    node = node_of(client)
    assert node is not None
    assert node["version"] == 1


def test_a_node_that_somebody_else_made_meanwhile_is_neither_used_nor_deleted(
    client: CogniteClient, cdf: Emulator
) -> None:

    def meddle(_: object, event: ev.Event) -> None:
        if isinstance(event, ev.Beginning):
            source = {"source": FILE_VIEW.to_cdf(), "properties": {"name": "theirs"}}
            item = {"instanceType": "node", **NodeId(*NODE).to_cdf(), "sources": [source]}
            url = f"{cdf.base_url}/api/v1/projects/{cdf.project}/models/instances"
            headers = {"authorization": f"Bearer {cdf.token}"}
            httpx.post(url, json={"items": [item]}, headers=headers).raise_for_status()

    cdf.inject(Fault("stall_answer", "instances_byids"))  # meddle listens by then
    upload = client.files.start_upload(b"x", name="mine", node=NODE)
    upload.listen(meddle)
    cdf.clear_faults()
    with pytest.raises(APIError, match="exists already"):
        upload.result()
    node = node_of(client)
    assert node is not None
    assert (node["name"], node["version"]) == ("theirs", 1)


# --- given up ----------------------------------------------------------------------------------


def stopped_midway(client: CogniteClient, cdf: Emulator, path: Path, **fields: Any) -> Any:
    """An upload whose first part is stored, and whose second the store does not answer."""
    cdf.inject(Fault("stall", "part", part=1, times=None))
    upload = client.files.start_upload(path, node=NODE, part_size=PART, **fields)
    until(upload, lambda state: state.stored >= PART)
    return upload


def test_cancel_deletes_the_node_that_this_upload_made(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    upload = stopped_midway(client, cdf, file_of(tmp_path, 2))
    upload.cancel(delete=True)
    with pytest.raises(UploadStopped) as caught:
        upload.result()
    assert not getattr(caught.value, "__notes__", [])
    assert node_of(client) is None


def test_cancelled_while_cdf_links_the_node_it_is_deleted_too(
    start: Callable[..., Emulator], clients: Callable[..., CogniteClient]
) -> None:
    cdf = start(node_delay_s=600.0)
    client = clients(cdf, uploaded_wait_s=60.0)
    upload = client.files.start_upload(b"x", name="x", node=NODE)
    until(upload, lambda state: state.waiting_for == "CDF is still linking the node")
    upload.cancel(delete=True)
    with pytest.raises(UploadStopped):
        upload.result()
    assert node_of(client) is None


@pytest.mark.parametrize("how", ["left", "overwritten", "changed"])
def test_cancel_never_deletes_a_node_that_may_not_be_ours(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, how: str
) -> None:
    if how == "overwritten":
        write_node(client, name="theirs")
    upload = stopped_midway(client, cdf, file_of(tmp_path, 2), overwrite=how == "overwritten")
    if how == "changed":
        write_node(client, description="changed meanwhile")
    upload.cancel(delete=how != "left")
    with pytest.raises(UploadStopped) as caught:
        upload.result()
    assert node_of(client) is not None
    said = {"left": "is left", "overwritten": "not known to be made", "changed": "was changed"}
    assert said[how] in " ".join(caught.value.__notes__)


def test_a_cancelled_upload_goes_on_with_its_own_node(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    stopped_midway(client, cdf, path).cancel()
    cdf.clear_faults()
    uploaded = client.files.upload(path, node=NODE, part_size=PART)
    assert cdf.content(uploaded.id) == content_of(2)
    node = node_of(client)
    assert node is not None
    assert node["version"] == 1


# --- killed ------------------------------------------------------------------------------------

MORTAL = """
import os, signal, sys
from pathlib import Path
from upload_rig import PART
from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core import events as ev

path, kind, nth = Path(sys.argv[1]), getattr(ev, sys.argv[2]), int(sys.argv[3])
seen = 0

def die(state, event):
    global seen
    seen += isinstance(event, kind)
    if isinstance(event, kind) and seen == nth:
        os.kill(os.getpid(), signal.SIGKILL)

client = CogniteClient.from_env()
upload = client.files.start_upload(path, node=("field", "line-12"), part_size=PART, tags=["a"],
                                   max_concurrency=2)
upload.listen(die)
upload.result()
"""


@pytest.mark.parametrize(
    ("event", "nth"),
    [
        ("NodeApplied", 1),
        pytest.param("Beginning", 1, marks=pytest.mark.slow),
        pytest.param("Opened", 1, marks=pytest.mark.slow),
        pytest.param("PartStored", 2, marks=pytest.mark.slow),
        pytest.param("Completing", 1, marks=pytest.mark.slow),
        pytest.param("Assembling", 1, marks=pytest.mark.slow),
        pytest.param("Completed", 1, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_the_same_line_goes_on(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, event: str, nth: int
) -> None:
    path = file_of(tmp_path, 3)
    cdf.inject(Fault("stall_answer", "instances_byids", seconds=1.0))  # the listener is there then
    ended = program(cdf, MORTAL, path, event, nth)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    uploaded = client.files.upload(path, node=NODE, part_size=PART, tags=["a"])
    assert cdf.content(uploaded.id) == content_of(3)
    node = node_of(client)
    assert node is not None
    assert (node["version"], node["isUploaded"]) == (1, True)
    written = [row for row in asked(cdf, "instances_apply") if row["status"] == 200]
    assert len(written) == 1
    assert list(uploads()["state"]) == ["done"]
    assert all(count <= 2 for count in puts(cdf).values())


def test_killed_while_the_apply_was_answered_the_node_is_known_as_its_own(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall_answer", "instances_apply"))
    upload = client.files.start_upload(path, node=NODE, part_size=PART)
    until_true(lambda: fired(cdf))
    upload.stop()
    uploaded = client.files.upload(path, node=NODE, part_size=PART)
    assert cdf.content(uploaded.id) == content_of(2)
    node = node_of(client)
    assert node is not None
    assert node["version"] == 1


def test_resume_by_id_knows_the_node(client: CogniteClient, cdf: Emulator, tmp_path: Path) -> None:
    upload = stopped_midway(client, cdf, file_of(tmp_path, 2))
    upload.stop()
    cdf.clear_faults()
    (upload_id,) = uploads().query("state != 'done'").index
    uploaded = resume(upload_id, client).result()
    assert cdf.content(uploaded.id) == content_of(2)
    assert uploaded.file.instance_id == NodeId(*NODE)
    assert len(asked(cdf, "instances_apply")) == 1
