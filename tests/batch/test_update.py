"""What CDF says of files: searched, changed, taken as a table and given back in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import seen

from cognite_nb_upload import (
    CogniteClient,
    Uploaded,
    UsageError,
    manifest,
    update_many,
)
from cognite_nb_upload.emulator import Emulator

Many = Callable[..., pd.DataFrame]


def test_fields_are_set_added_to_and_removed_from(
    cdf: Emulator, client: CogniteClient, folder: Path
) -> None:
    labels = [one.external_id for one in client.catalog.labels()][:2]
    file = client.files.upload(
        folder / "f0.bin", labels=labels[:1], metadata={"a": "1", "b": "2"}, source="x"
    )
    changed = client.files.update(
        id=file.id,
        set={"source": None, "directory": "/new", "data_set_id": 7},
        add={"labels": labels[1:], "metadata": {"c": "3"}},
        remove={"labels": labels[:1]},
    )
    assert (changed.source, changed.directory, changed.data_set_id) == (None, "/new", 7)
    assert [one.external_id for one in changed.labels or ()] == labels[1:]
    assert changed.metadata == {"a": "1", "b": "2", "c": "3"}
    changed = client.files.update(id=file.id, remove={"metadata": ["a", "b"]})
    assert changed.metadata == {"c": "3"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "Nothing is to be changed"),
        ({"set": {"sorce": "x"}}, "did you mean source"),
        ({"add": {"source": "x"}}, "source has one value"),
        ({"set": {"labels": []}, "add": {"labels": ["a"]}}, "do one"),
        ({"set": {"source": "x" * 129}}, "129 characters"),
        ({"remove": {"metadata": "key"}}, "list of keys"),
    ],
)
def test_what_cannot_be_changed_is_told_before_anything_is_sent(
    cdf: Emulator, client: CogniteClient, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        client.files.update(id=1, **change)
    assert not cdf.requests()


def test_files_are_searched_by_name(cdf: Emulator, client: CogniteClient, many: Many,
                                    folder: Path) -> None:  # fmt: skip
    many(folder, data_set_id=7)
    found = client.files.search("f2.bin", {"dataSetIds": [{"id": 7}]}, limit=1)
    assert [one.name for one in found] == ["f2.bin"]


@pytest.mark.parametrize("by_csv", [False, True])
def test_a_manifest_is_edited_and_given_back(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path, tmp_path: Path, by_csv: bool
) -> None:
    label = client.catalog.labels()[0].external_id
    many(folder, data_set_id=7, labels=[label], metadata={"a": "1"}, directory="/d")
    table = manifest(client, {"dataSetIds": [{"id": 7}]})
    assert sorted(table["name"]) == ["f0.bin", "f1.bin", "f2.bin", "f3.bin"]
    table.loc[table["name"] == "f1.bin", "source"] = "edited"
    if by_csv:
        table.to_csv(tmp_path / "m.csv", index=False)
        table = pd.read_csv(tmp_path / "m.csv")
    result = update_many(client, table)
    assert len(seen(cdf, "update")) == 1
    sources = dict(zip(result["name"], result["source"], strict=True))
    assert sources["f1.bin"] == "edited"
    assert pd.isna(sources["f0.bin"])
    assert all(one == {"a": "1"} for one in result["metadata"])
    assert all(one == [label] for one in result["labels"])


def test_a_manifest_with_paths_can_be_uploaded(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    many(folder, external_id="path", metadata={"a": "1"})
    table = manifest(client, {"externalIdPrefix": "f"})
    table["path"] = [str(folder / name) for name in table["external_id"]]
    (folder / "f0.bin").write_bytes(b"other")
    result = many(table, if_exists="overwrite")
    assert list(result["status"]) == ["done"] * 4
    assert set(result["upload_id"]) == set(table["id"])
    assert cdf.content(client.files.retrieve(external_id="f0.bin").id) == b"other"


def test_a_row_that_names_no_file_is_told(client: CogniteClient) -> None:
    with pytest.raises(UsageError, match="row 1: it has neither"):
        update_many(client, pd.DataFrame({"id": [7, None], "source": ["a", "b"]}))


@pytest.mark.parametrize("column", ["instanceId", "name", "uploaded"])
def test_a_table_that_sets_nothing_is_told(
    cdf: Emulator, client: CogniteClient, column: str
) -> None:
    with pytest.raises(UsageError, match="No column of the table says what is to be set"):
        update_many(client, pd.DataFrame({"id": [7], column: ["x"]}))
    with pytest.raises(UsageError, match="No column of the table says what is to be set"):
        update_many(client, pd.DataFrame({"external_id": ["a"]}))
    assert not cdf.requests()


@pytest.mark.parametrize("by_async", [False, True])
def test_a_function_is_called_for_each_file_and_its_failure_is_a_note(
    cdf: Emulator, many: Many, folder: Path, by_async: bool
) -> None:
    told: dict[str, Uploaded] = {}

    def on_done(row: Any, uploaded: Uploaded) -> None:
        told[row["path"]] = uploaded
        if row["path"].endswith("f2.bin"):
            raise ValueError("mine")

    async def later(row: Any, uploaded: Uploaded) -> None:
        on_done(row, uploaded)

    result = many(folder, on_done=later if by_async else on_done)
    assert {path: one.id for path, one in told.items()} == dict(
        zip(result["path"], result["id"], strict=True)
    )
    assert list(result["status"]) == ["done"] * 4
    assert list(result["note"]) == ["", "", "on_done failed: ValueError: mine", ""]


def test_of_one_upload_too(cdf: Emulator, client: CogniteClient, folder: Path) -> None:
    told: list[Uploaded] = []

    def on_done(uploaded: Uploaded) -> None:
        told.append(uploaded)
        raise ValueError("mine")

    result = client.files.upload(folder / "f0.bin", on_done=on_done)
    assert [one.id for one in told] == [result.id]
    assert result.notes[-1] == "on_done failed: ValueError: mine"
    with pytest.raises(UsageError, match="on_done is a function"):
        client.files.upload(folder / "f0.bin", on_done="x")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": 1.5}, "id is a whole number, not 1.5"),
        ({"id": "seven"}, "id is a whole number, not 'seven'"),
        ({"id": True}, "id is a whole number, not True"),
        ({"external_id": 7}, "external_id is text, not int"),
        ({"external_id": ""}, "it has neither an id nor an external_id"),
    ],
)
def test_an_id_that_is_none_changes_no_other_file(
    cdf: Emulator, client: CogniteClient, row: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=f"row 0: {said}"):
        update_many(client, pd.DataFrame([{**row, "source": "new"}], dtype=object))
    assert not seen(cdf, "update")


def test_limits_and_ids_of_other_kinds_are_told(client: CogniteClient) -> None:
    for limit in (0, 1001, 1.5, float("inf"), "5"):
        with pytest.raises(UsageError, match="limit is a whole number from 1 to 1000"):
            client.files.search("a", limit=limit)  # type: ignore[arg-type]
    for wrong in (np.array([1]), [1], 1.5, "1"):
        with pytest.raises(UsageError, match=r"^id is a whole number, not"):
            client.files.retrieve(id=wrong)  # type: ignore[arg-type]
    for none in (float("nan"), pd.NA):
        with pytest.raises(UsageError, match="id holds no number"):
            client.files.retrieve(id=none)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="external_id is empty"):
        client.files.upload_content(b"x", external_id="")
