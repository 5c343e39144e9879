"""Item 2 of the upload: what is planned, and a dry run that sends nothing (row 30)."""

from __future__ import annotations

from pathlib import Path

import pytest
from upload_rig import PART, asked, content_of, file_of, puts

from cognite_nb_upload import AsyncCogniteClient, CogniteClient, PlanError, uploads
from cognite_nb_upload.core.plan import GIB, LIMITS, MIB
from cognite_nb_upload.emulator import Emulator


def sparse(folder: Path, size: int) -> Path:
    """A file of that many bytes, none of which is on the disk."""
    path = folder / "sparse.segy"
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_dry_run_tells_the_plan_and_the_bodies_and_sends_nothing(
    native: AsyncCogniteClient, client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = sparse(tmp_path, 12 * GIB)
    for files in (native.files, client.files):
        dry = files.upload(
            path, external_id="x", data_set_id=7, labels=["raw"], overwrite=True, dry_run=True
        )
        assert (len(dry.plan.parts), dry.plan.part_size) == (246, 50 * MIB)
        assert [(method, target) for method, target, _ in dry.requests] == [
            ("POST", "/files/initmultipartupload?parts=246&overwrite=true"),
            ("POST", "/files/completemultipartupload"),
        ]
        assert dry.requests[0][2] == {
            "name": "sparse.segy",
            "externalId": "x",
            "mimeType": "application/octet-stream",
            "dataSetId": 7,
            "labels": [{"externalId": "raw"}],
        }
        assert set(dry.requests[1][2]) == {"id", "uploadId"}
        same = files.plan(path, external_id="x", data_set_id=7, labels=["raw"], overwrite=True)
        assert same == dry
    assert cdf.requests() == []
    assert uploads().empty


def test_a_dry_run_for_an_existing_file_names_it_and_sends_nothing(
    native: AsyncCogniteClient, client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    for files in (native.files, client.files):
        dry = files.upload_content(
            sparse(tmp_path, GIB), instance_id=("scans", "node"), dry_run=True
        )
        node = {"space": "scans", "externalId": "node"}
        assert dry.requests[0] == (
            "POST", "/files/multiuploadlink?parts=128", {"items": [{"instanceId": node}]}
        )  # fmt: skip
    assert cdf.requests() == []


def test_a_dry_run_says_what_the_size_of_the_parts_costs(
    native: AsyncCogniteClient, tmp_path: Path
) -> None:
    dry = native.files.upload(sparse(tmp_path, 100 * GIB), dry_run=True)
    first, second, *_ = repr(dry).splitlines()
    assert first == "100 GiB in 250 parts of 410 MiB:"
    assert second.strip() == (
        "a part that is lost costs 410 MiB again; memory holds 1 MiB of each part on its way"
    )


@pytest.mark.parametrize(
    ("size", "parts"),
    [(MIB + 1, 1), (5 * MIB - 1, 1), (5 * MIB, 1), (PART, 1), (PART + 1, 2), (3 * PART, 3)],
)
def test_sizes_at_the_edges_arrive_byte_for_byte(
    client: CogniteClient, cdf: Emulator, size: int, parts: int
) -> None:
    content = content_of(4)[:size]
    uploaded = client.files.upload(content, name="edge.bin", part_size=PART)
    assert cdf.content(uploaded.id) == content
    assert uploaded.parts == len(puts(cdf)) == parts
    assert uploaded.verified == f"size {size} bytes, by the download link"


def test_the_largest_file_is_planned_and_one_byte_more_is_refused_before_anything_is_sent(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    largest = sparse(tmp_path, LIMITS.largest_file)
    plan = client.files.upload(largest, dry_run=True).plan
    assert LIMITS.largest_file == 1_048_576_000_000
    assert (len(plan.parts), plan.part_size) == (250, 4000 * MIB)
    assert sum(part.size for part in plan.parts) == LIMITS.largest_file
    with pytest.raises(PlanError, match="1048576000001 bytes"):
        client.files.upload(sparse(tmp_path, LIMITS.largest_file + 1))
    assert cdf.requests() == []


def test_parts_that_cdf_would_refuse_are_refused_before_anything_is_sent(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = sparse(tmp_path, 2 * GIB)
    for part_size in (5 * MIB, 4001 * MIB, 8 * MIB, 0):
        with pytest.raises(PlanError, match="part_size"):
            client.files.upload(path, part_size=part_size)
    assert cdf.requests() == []


def test_a_file_of_one_default_part_is_sent_as_one(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    assert client.files.upload(file_of(tmp_path, 1)).parts == 1
    assert len(asked(cdf, "part")) == 1


@pytest.mark.slow
def test_as_many_parts_as_there_may_be_arrive(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = sparse(tmp_path, 250 * (5 * MIB + 1))
    uploaded = client.files.upload(path, part_size=5 * MIB + 1)
    assert uploaded.parts == len(puts(cdf)) == 250
    assert uploaded.verified.startswith(f"size {path.stat().st_size} bytes")
