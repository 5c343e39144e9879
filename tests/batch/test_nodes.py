"""Many files of the data model: nodes a thousand at a time, then their content."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import PART, config_of, fired, quick, seen, some_bytes, until

from cognite_nb_upload import CogniteClient, UsageError, background, unfinished_jobs, upload_many
from cognite_nb_upload.batch.nodes import NodeWriter
from cognite_nb_upload.batch.options import JobOptions
from cognite_nb_upload.batch.properties import NodeColumns
from cognite_nb_upload.batch.rows import BatchRow
from cognite_nb_upload.batch.task import RowTask
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.models import FileMetadata, NodeId
from cognite_nb_upload.models.views import FILE_VIEW, ViewId

Many = Callable[..., pd.DataFrame]
SEISMIC = ("field", "SeismicFile", "v3")


@pytest.fixture
def late() -> Iterator[Emulator]:
    """The file service knows a node a moment later; one request to write at once in all."""
    with emulator(faults=True, node_delay_s=0.3, apply_limit=1) as running:
        yield running


@pytest.fixture
def client(connect: Callable[..., CogniteClient]) -> CogniteClient:
    return connect(retry=quick(attempts=6))


def properties(cdf_client: CogniteClient, external_id: str, view: Any = FILE_VIEW) -> Any:
    """What the node has in a view; None where there is no such node."""
    view = ViewId.of(view)
    nodes = cdf_client._twin.files.instances
    found = background.call(lambda: nodes.retrieve([NodeId("field", external_id)], [view]))
    if not found:
        return None
    shown = found["field", external_id]["properties"][view.space]
    return shown[f"{view.external_id}/{view.version}"]


def test_a_frame_becomes_nodes_with_properties_and_content(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    big = folder / "big.segy"
    big.write_bytes(some_bytes(PART) + b"end")
    frame = pd.DataFrame(
        {
            "path": [str(folder / "f0.bin"), str(big)],
            "external_id": ["small", "x" * 256],
            "tags": ["raw; 3d", ["a", "b"]],
            "assets": ["field/nordvik:7; field:nordvik", [("field", "sorland")]],
            "survey": ["S1", "S2"],
            "line": [12.0, None],
            "domain": ["time", None],
            "acquired": ["2026-01-02", pd.Timestamp("2026-01-03")],
            "source_created_time": ["2026-01-02T03:04:05+00:00", None],
        }
    )
    done = many(frame, space="field", view=SEISMIC, category=("field", "SEGY"), part_size=PART)
    assert list(done["status"]) == ["done", "done"], done["error"].tolist()
    assert [cdf.content(int(one)) for one in done["id"]] == [
        (folder / "f0.bin").read_bytes(),
        big.read_bytes(),
    ]
    small = properties(client, "small")
    assert small["tags"] == ["raw", "3d"]
    assert [one["externalId"] for one in small["assets"]] == ["nordvik:7", "nordvik"]
    assert small["category"] == {"space": "field", "externalId": "SEGY"}
    assert small["name"] == "f0.bin"
    assert small["isUploaded"] is True
    own = properties(client, "small", SEISMIC)
    assert (own["survey"], own["line"], own["domain"]) == ("S1", 12, "time")
    assert properties(client, "x" * 256)["isUploaded"] is True
    assert len(seen(cdf, "instances_apply")) == 1
    again = many(frame, space="field", view=SEISMIC, category=("field", "SEGY"), part_size=PART)
    assert list(again["note"]) == ["sent before"] * 2
    assert len(seen(cdf, "instances_apply")) == 1


def test_a_folder_is_named_by_its_paths_and_the_file_service_is_waited_for(
    late: Emulator, folder: Path
) -> None:
    with CogniteClient(config_of(late)) as client:
        done = upload_many(client, folder, space="field", recursive=True, progress=False)
        assert list(done["status"]) == ["done"] * 5, done["error"].tolist()
        assert properties(client, "sub/deep.bin")["directory"] == "/sub"
    assert len(seen(late, "instances_apply")) == 1
    asked = [row["status"] for row in seen(late, "uploadlink")]
    assert asked == [201] * 5, "each link was asked for once, when the node was known"


def test_bad_rows_are_told_and_nothing_else_is_stopped(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    many(pd.DataFrame({"path": [folder / "f3.bin"], "external_id": ["taken"]}), space="field")
    rows = {
        "good": {"survey": "S"},
        "taken": {"survey": "S"},
        "y" * 257: {"survey": "S"},
        "lost": {"survey": "S", "well": "field:nordwik"},
        "no survey": {"survey": None},
        "wrong": {"survey": "S", "domain": "space"},
        "refused": {"survey": "S", "name": "a\x00b"},
    }
    frame = pd.DataFrame(
        [{"path": folder / "f1.bin", "external_id": key, **row} for key, row in rows.items()],
        dtype=object,
    )
    done = many(frame, space="field", view=SEISMIC)
    told = dict(zip(frame["external_id"], done["error"].fillna(""), strict=True))
    assert dict(zip(frame["external_id"], done["status"], strict=True))["good"] == "done"
    assert "exists already" in told["taken"]
    assert "257 characters" in told["y" * 257]
    assert "nordwik" in told["lost"]
    assert "survey is missing" in told["no survey"]
    assert "time, depth" in told["wrong"]
    assert set(done["status"]) == {"done", "failed", "invalid"}
    assert properties(client, "lost") is None


def test_a_refused_request_is_halved_until_the_row_is_named(
    cdf: Emulator, client: CogniteClient, folder: Path
) -> None:
    """Somebody makes two of the nodes between the look-up and the request."""
    files = client._twin.files
    mine = [f"n{no}" for no in range(16)]
    view = background.call(lambda: files.instances.view(FILE_VIEW))
    options = JobOptions.of({"space": "field"})

    class Record:
        def asked(self, key: str, since_ms: int | None) -> None: ...

    columns = NodeColumns("field", view)
    tasks = [
        RowTask(BatchRow(no, key), FileMetadata.of(name=key), node=columns.item(key, {}))
        for no, key in enumerate(mine)
    ]
    writer = NodeWriter(files, options, lambda: Record())  # type: ignore[arg-type,return-value]

    async def clash() -> list[RowTask]:
        await files.instances.apply([tasks[3].node or {}, tasks[12].node or {}])
        return await writer._applied(tasks)

    ready = background.call(clash)
    assert sorted(set(mine) - {task.row.path for task in ready}) == ["n12", "n3"]
    assert "exists already" in tasks[3].row.error
    statuses = [row["status"] for row in seen(cdf, "instances_apply")]
    assert statuses.count(409) > 2, "the request was not refused"


@pytest.mark.parametrize("kind", ["lost_answer", "reset_before"])
def test_an_answer_that_is_lost_leaves_each_node_once(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path, kind: str
) -> None:
    cdf.inject(Fault(kind, "instances_apply"))
    done = many(folder, space="field")
    assert fired(cdf) == [(kind, "instances_apply")]
    assert list(done["status"]) == ["done"] * 4, done["error"].tolist()


def test_too_many_requests_are_waited_out(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    cdf.inject(Fault("status", "instances_apply", status=429, times=2))
    done = many(folder, space="field")
    assert len(fired(cdf)) == 2
    assert list(done["status"]) == ["done"] * 4, done["error"].tolist()


def test_what_exists_is_skipped_or_overwritten_as_asked(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    first = many([folder / "f0.bin"], space="field", external_id=lambda _: "a", tags=["old"])
    frame = pd.DataFrame({"path": [folder / "f1.bin"], "external_id": ["a"]})
    assert list(many(frame, space="field")["status"]) == ["failed"]
    skipped = many(frame, space="field", if_exists="skip")
    assert list(skipped["status"]) == ["skipped"]
    done = many(frame, space="field", if_exists="overwrite", description="new")
    assert list(done["status"]) == ["done"], done["error"].tolist()
    assert list(done["id"]) == list(first["id"])
    found = properties(client, "a")
    assert (found["tags"], found["description"]) == (["old"], "new")
    assert cdf.content(int(done["id"][0])) == (folder / "f1.bin").read_bytes()


def test_a_node_without_content_gets_it_and_is_not_merged(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    source = {"source": FILE_VIEW.to_cdf(), "properties": {"name": "theirs"}}
    item = {"instanceType": "node", "space": "field", "externalId": "a", "sources": [source]}
    background.call(lambda: client._twin.files.instances.apply([item]))
    frame = pd.DataFrame({"path": [folder / "f0.bin"], "external_id": ["a"]})
    done = many(frame, space="field", if_exists="skip", name="mine")
    assert (done["status"][0], done["note"][0]) == (
        "done",
        "its node was there: the content alone was sent",
    )
    assert properties(client, "a")["name"] == "theirs"
    assert cdf.content(int(done["id"][0])) == (folder / "f0.bin").read_bytes()


def test_what_cannot_be_is_refused_before_anything_is_sent(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    for how, text in (
        ({"space": "9"}, "starts with a letter"),
        ({"view": SEISMIC}, "give their space"),
        ({"space": "field", "metadata": {"a": "b"}}, "field of classic files"),
        ({"space": "field", "if_exists": "newer"}, "is for classic files"),
        ({"space": "field", "view": ("field", "No", "v1")}, "no view field/No/v1"),
    ):
        with pytest.raises(UsageError, match=text):
            many(folder, **how)
    with pytest.raises(UsageError, match="did you mean 'tags'"):
        many(pd.DataFrame({"path": ["a"], "tgs": ["b"]}), space="field")
    assert seen(cdf, "instances_apply") == []


def test_a_dry_run_checks_against_the_view_and_writes_nothing(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    frame = pd.DataFrame({"path": [folder / "f0.bin"] * 2, "external_id": ["a", "b"]})
    frame["survey"], frame["line"] = ["S", None], [1, 2**31]
    checked = many(frame, space="field", view=SEISMIC, dry_run=True)
    assert list(checked["status"]) == ["waiting", "invalid"]
    assert "2147483648" in checked["error"][1]
    assert seen(cdf, "instances_apply") == []


def test_a_job_is_gone_on_with_by_its_id(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    frame = pd.DataFrame(
        {"path": [folder / "f0.bin", folder / "f1.bin"], "external_id": ["a", "b"]}
    )
    frame["survey"], frame["well"] = "S", "field:nordvik"
    cdf.inject(Fault("status", "put", status=403, times=None))
    failed = many(frame, space="field", view=SEISMIC)
    assert list(failed["status"]) == ["failed", "failed"]
    assert fired(cdf)
    cdf.clear_faults()
    (job,) = unfinished_jobs().index
    done = background.call(lambda: client._twin.files.resume_many(job)._wait())
    assert list(done["status"]) == ["done", "done"], done["error"].tolist()
    assert properties(client, "b", SEISMIC)["well"] == {"space": "field", "externalId": "nordvik"}
    assert len(seen(cdf, "instances_apply")) == 1, "the nodes were this job's own"


def test_tables_one_after_another_make_nodes_too(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path, tmp_path: Path
) -> None:
    tables = (
        pd.DataFrame({"path": [folder / f"f{no}.bin"], "external_id": [f"n{no}"]}) for no in (0, 1)
    )
    counted = many(tables, space="field", result=tmp_path / "done.csv")
    assert dict(zip(counted["status"], counted["files"], strict=True)) == {"done": 2}
    assert properties(client, "n1")["isUploaded"] is True


LINE = """
import sys
from cognite_nb_upload import CogniteClient, upload_many

frame = upload_many(CogniteClient.from_env(), sys.argv[1], space="field", progress=False)
print(frame["status"].tolist(), frame["error"].tolist())
sys.exit(list(frame["status"]) != ["done"] * 4)
"""


@pytest.mark.parametrize("route", ["instances_apply", "uploadlink", "put"])
def test_killed_before_an_answer_the_same_line_goes_on(
    tmp_path: Path, folder: Path, route: str
) -> None:
    """The work is done, the answer stalls, the process is killed there."""
    with emulator(process=True, faults=True) as apart:
        apart.inject(Fault("stall_answer", route))
        found = {"CDF_URL": apart.base_url, "CDF_PROJECT": apart.project, "CDF_TOKEN": apart.token}
        env = {**os.environ, **found, "COGNITE_NB_UPLOAD_STATE": str(tmp_path / "state")}
        command = [sys.executable, "-c", LINE, str(folder)]
        with subprocess.Popen(command, env=env) as first:
            until(lambda: fired(apart))
            first.kill()
        second = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert second.returncode == 0, second.stdout + second.stderr
        named = [one for one in apart.files() if one.get("instanceId", {}).get("space") == "field"]
        assert len(named) == 4
        for one in named:
            path = folder / one["instanceId"]["externalId"]
            assert apart.content(one["id"]) == path.read_bytes()


@pytest.mark.slow
def test_a_thousand_nodes_are_one_request_to_write(
    cdf: Emulator, client: CogniteClient, many: Many, tmp_path: Path
) -> None:
    one = tmp_path / "one.bin"
    one.write_bytes(b"one")
    frame = pd.DataFrame({"path": [one] * 1500, "external_id": [f"n{no}" for no in range(1500)]})
    done = many(frame, space="field")
    assert set(done["status"]) == {"done"}, done["error"].dropna().tolist()[:3]
    assert len(seen(cdf, "instances_apply")) == 2
    assert {row["status"] for row in cdf.requests()} <= {200, 201}
