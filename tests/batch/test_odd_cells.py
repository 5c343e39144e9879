"""Whatever is in one cell, its row says so, and the others are sent."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cognite_nb_upload import CogniteClient, UsageError, manifest, update_many
from cognite_nb_upload.batch.columns import read_cell
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.widgets.form.picker_spec import typed_labels

Many = Callable[..., pd.DataFrame]

FIELDS = (
    "path", "name", "external_id", "source", "mime_type", "metadata", "directory", "asset_ids",
    "data_set_id", "labels", "geo_location", "source_created_time", "security_categories",
    "overwrite", "data_set_external_id", "asset_external_ids",
)  # fmt: skip
ODD = {
    "a number too large for a float": 10**400,
    "bytes": b"\x05",
    "a table": pd.DataFrame({"a": [1, 2]}),
    "an array of numbers": np.array([1.5, 2.5]),
    "an object": object(),
    "a function": len,
}
TAKEN = {("a table", "metadata")}


def of_cells(folder: Path, field: str, *cells: Any) -> pd.DataFrame:
    """A table whose first rows have these cells, and whose last row has nothing odd."""
    paths: list[Any] = [str(folder / f"f{no}.bin") for no in range(len(cells) + 1)]
    if field == "path":
        return pd.DataFrame({"path": pd.Series([*cells, paths[-1]], dtype=object)})
    return pd.DataFrame({"path": paths, field: pd.Series([*cells, None], dtype=object)})


@pytest.mark.parametrize("field", FIELDS)
def test_a_cell_of_any_kind_makes_its_row_invalid_and_ends_no_other(
    many: Many, folder: Path, field: str
) -> None:
    for kind, value in ODD.items():
        result = many(of_cells(folder, field, value), dry_run=True)
        if (kind, field) not in TAKEN:
            assert list(result["status"]) == ["invalid", "waiting"], kind
            assert len(result["error"][0]) < 300, kind


@pytest.mark.parametrize(
    "none", [pd.NA, pd.NaT, np.datetime64("NaT"), np.timedelta64("NaT"), Decimal("NaN"), "\ufeff"]
)
def test_what_is_missing_is_missing_in_every_column(many: Many, folder: Path, none: Any) -> None:
    frame = pd.DataFrame({"path": [str(folder / "f0.bin")]})
    for field in FIELDS[1:]:
        frame[field] = pd.Series([none], dtype=object)
    assert list(many(frame, dry_run=True)["status"]) == ["waiting"]


@pytest.mark.parametrize("text", ["nan", "<NA>", "NaT", "None"])
def test_an_empty_cell_that_became_text_is_told(many: Many, folder: Path, text: str) -> None:
    result = many(of_cells(folder, "external_id", text), dry_run=True)
    assert list(result["status"]) == ["invalid", "waiting"]
    assert "leave it empty" in result["error"][0]


@pytest.mark.parametrize(
    ("cell", "ids"),
    [
        (Decimal(1), [1]),
        ("(1, 2)", [1, 2]),
        ("{1}", [1]),
        ("1.0; 2.0", [1, 2]),
        ([np.float64(1)], [1]),
    ],
)
def test_lists_are_read_as_python_and_spreadsheets_write_them(
    cdf: Emulator, many: Many, folder: Path, cell: Any, ids: list[int]
) -> None:
    result = many(of_cells(folder, "security_categories", cell))
    assert list(result["status"]) == ["done", "done"], list(result["error"])
    file = next(one for one in cdf.files() if one["id"] == result["id"][0])
    assert file["securityCategories"] == ids


def test_a_label_in_brackets_is_one_label(many: Many, folder: Path) -> None:
    result = many(of_cells(folder, "labels", "(draft)", "{raw}"))
    assert "'(draft)'" in result["error"][0]
    assert "'{raw}'" in result["error"][1]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ('"a,b",c', ["a,b", "c"]),
        ('c; "say ""x; y""" ', ["c", 'say "x; y"']),
        ('5" pipe, x', ['5" pipe', "x"]),
        ('"a, b', ['"a', "b"]),
    ],
)
def test_quotes_of_a_list_are_read_as_csv_does(cell: str, labels: list[str]) -> None:
    assert [one.external_id for one in read_cell("labels", cell)] == labels
    assert typed_labels(cell) == tuple(labels)


def test_a_value_without_a_key_makes_its_row_invalid(many: Many, folder: Path) -> None:
    result = many(of_cells(folder, "metadata", "=b"), dry_run=True)
    assert list(result["status"]) == ["invalid", "waiting"]
    assert "The value 'b' has no key" in result["error"][0]


@pytest.mark.parametrize("day", [20240131, 45322, 20240131.0, np.int64(45322)])
def test_a_day_as_a_number_is_no_time_in_1970(many: Many, folder: Path, day: Any) -> None:
    """As pandas reads a column of 20240131, and as spreadsheets count days."""
    result = many(of_cells(folder, "source_created_time", day, "20240131"), dry_run=True)
    assert list(result["status"]) == ["invalid", "waiting", "waiting"]
    assert "seems to be a day" in result["error"][0]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (1704110400000000000, "in nanoseconds: use value // 1_000_000"),
        ("1704110400000000000", "in nanoseconds: use value // 1_000_000"),
        ("1704110400000000", "in microseconds: use value // 1000"),
        ("now", "'now' is no time such as 2024-01-31T12:00:00"),
        ("45322", "'45322' is no time such as"),
        ("1" * 5000, "beyond the year 9999"),
    ],
)
def test_a_cell_that_is_no_time_says_what_is_one(
    many: Many, folder: Path, cell: Any, said: str
) -> None:
    result = many(of_cells(folder, "source_created_time", cell), dry_run=True)
    assert list(result["status"]) == ["invalid", "waiting"]
    assert said in result["error"][0]


def test_a_manifest_goes_through_a_csv_file(
    cdf: Emulator, client: CogniteClient, folder: Path, tmp_path: Path
) -> None:
    """Every field, the location as Python writes a dict."""
    kept = client.files.upload(
        folder / "f0.bin", external_id="kept", metadata={"a": "b"}, directory="/x",
        geo_location={"type": "Point", "coordinates": [5, 60]}, source_created_time=1704067200123,
    )  # fmt: skip
    before = next(one for one in cdf.files() if one["id"] == kept.id)
    manifest(client, {"name": "f0.bin"}).to_csv(tmp_path / "m.csv", index=False)
    frame = pd.read_csv(tmp_path / "m.csv", dtype=str)
    assert len(frame) == 1
    update_many(client, frame.assign(source="new"))
    after = next(one for one in cdf.files() if one["id"] == kept.id)
    assert after == {**before, "source": "new", "lastUpdatedTime": after["lastUpdatedTime"]}


@pytest.mark.parametrize("value", [pd.NA, float("nan"), 5])
@pytest.mark.parametrize("keyword", ["external_id", "if_exists", "verify", "keep"])
def test_a_keyword_that_is_missing_or_odd_is_refused(
    many: Many, folder: Path, keyword: str, value: Any
) -> None:
    with pytest.raises(UsageError, match=keyword):
        many(folder / "f0.bin", **{keyword: value})


def test_a_name_that_is_missing_is_refused(client: CogniteClient, folder: Path) -> None:
    with pytest.raises(UsageError, match="name is text"):
        client.files.upload(folder / "f0.bin", name=pd.NA)  # type: ignore[arg-type]


def test_a_table_of_nodes_is_not_uploaded_as_classic_files(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    frame = of_cells(folder, "instance_id", {"space": "s", "externalId": "x"})
    with pytest.raises(UsageError, match="space="):
        many(frame)
    assert not cdf.requests()
    assert list(many(frame, keep=["instance_id"])["status"]) == ["done", "done"]
    empty = frame.assign(instance_id=[None, float("nan")])
    assert list(many(empty, again=True)["status"]) == ["done", "done"]


@pytest.mark.parametrize("as_frame", [True, False])
@pytest.mark.parametrize(
    "address",
    [
        "http://[::1", "https://127.0.0.1:99999/a", "file://elsewhere/a", "http://h..x/a",
        "zip://a::http://[::1", "http://127.0.0.1",
    ],
)  # fmt: skip
def test_an_address_that_is_none_ends_no_other_row_and_holds_no_job(
    many: Many, folder: Path, address: str, as_frame: bool
) -> None:
    given: list[Any] = [address, str(folder / "f0.bin")]
    files = pd.DataFrame({"path": given}) if as_frame else given
    result = many(files)
    assert list(result["status"]) == ["invalid", "done"], list(result["error"])
    assert "…" in result["path"][0] or result["path"][0] in address or as_frame
    assert list(many(files)["status"]) == ["invalid", "done"]


def test_a_job_is_not_held_after_an_error_of_any_kind(
    many: Many, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same call is refused in this process from then on."""
    from cognite_nb_upload.batch import work

    def broken(*_: Any) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(work, "look_at_all", broken)
        with pytest.raises(RuntimeError, match="broken"):
            many(folder)
    assert list(many(folder)["status"]) == ["done"] * 4
