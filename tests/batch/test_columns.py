"""Columns by any name, cells as spreadsheets have them; nothing is dropped without a word."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import seen, until

from cognite_nb_upload import CogniteClient, ConfigError, UsageError, update_many
from cognite_nb_upload.emulator import Emulator, Fault

Many = Callable[..., pd.DataFrame]


def file_of(cdf: Emulator, result: pd.DataFrame, no: int = 0) -> dict[str, Any]:
    return next(one for one in cdf.files() if one["id"] == result["id"][no])


def test_cells_of_a_csv_are_read_as_the_form_reads_them(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    label = client.catalog.labels()[0].external_id
    head = "path,dataSetId,mimeType,labels,metadata,assetIds,overwrite,sourceCreatedTime"
    text = f"""{head},externalId
{folder}/f0.bin,7,text/x,"{label}","{{""a"": 1}}","",False,2024-01-01T00:00:00Z,
{folder}/f1.bin,,,,"b=2; c","",no,1704067200000,
"""
    frame = pd.read_csv(io.StringIO(text), dtype=str)
    result = many(frame)
    assert list(result["status"]) == ["done", "done"], list(result["error"])
    first, second = file_of(cdf, result), file_of(cdf, result, 1)
    assert (first["dataSetId"], first["mimeType"]) == (7, "text/x")
    assert first["metadata"] == {"a": "1"}
    assert first["labels"] == [{"externalId": label}]
    assert "assetIds" not in first
    assert "externalId" not in first
    assert first["sourceCreatedTime"] == second["sourceCreatedTime"] == 1704067200000


@pytest.mark.parametrize("no", ["False", "no", "N", "f", "0", 0, False, None, float("nan"), ""])
def test_what_means_no_overwrites_nothing(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path, no: Any
) -> None:
    kept = client.files.upload(folder / "f0.bin", external_id="keep")
    frame = pd.DataFrame({"path": [folder / "f1.bin"], "external_id": ["keep"]})
    frame["overwrite"] = pd.Series([no], dtype=object)
    assert list(many(frame)["status"]) == ["failed"]
    assert cdf.content(kept.id) == (folder / "f0.bin").read_bytes()


def test_no_as_text_deletes_nothing_and_begins_nothing_anew(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    """As a table or the environment has it."""
    cdf.inject(Fault("stall_answer", "put", times=None))
    upload = client.files.start_upload(b"x", name="kept")
    until(lambda: cdf.fired())
    with pytest.raises(UsageError, match="delete is True or False, not 'never'"):
        upload.cancel(delete="never")  # type: ignore[arg-type]
    upload.cancel(delete="no")  # type: ignore[arg-type]
    cdf.clear_faults()
    assert "kept" in {one["name"] for one in cdf.files()}
    assert list(many(folder, dry_run="false")["status"]) == ["done"] * 4
    with pytest.raises(UsageError, match="resume is True or False, not 'never'"):
        client.files.download(folder / "d", id=1, resume="never")  # type: ignore[arg-type]


def test_what_is_neither_yes_nor_no_is_refused(cdf: Emulator, many: Many, folder: Path) -> None:
    result = many(pd.DataFrame({"path": [folder / "f0.bin"], "overwrite": ["perhaps"]}))
    assert list(result["status"]) == ["invalid"]
    with pytest.raises(UsageError, match="overwrite is True or False"):
        many(folder, overwrite="perhaps")
    for flag in ("recursive", "hidden", "again"):
        with pytest.raises(UsageError, match=f"{flag} is True or False, not 'perhaps'"):
            many(folder, **{flag: "perhaps"})


def test_no_as_text_walks_no_deeper_and_sends_nothing_again(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    flat = many(folder, recursive="no", hidden="False")
    assert sorted(map(os.path.basename, flat["path"])) == [f"f{no}.bin" for no in range(4)]
    assert set(many(folder, recursive="no", again="no")["status"]) == {"done"}
    assert len(seen(cdf, "create")) == 4


def test_a_column_that_is_no_field_is_refused_by_name_unless_it_is_kept(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    frame = pd.DataFrame({"path": [folder / "f0.bin"], "data_setid": [7], "mine": ["x"]})
    with pytest.raises(UsageError, match=r"'data_setid' is no field.*did you mean 'data_set_id'"):
        many(frame)
    with pytest.raises(UsageError, match=r"'mine' is no field of a file\. .*keep="):
        many(frame.drop(columns="data_setid"))
    assert not cdf.requests()
    assert list(many(frame, keep=True)["mine"]) == ["x"]


@pytest.mark.parametrize(
    ("column", "nearest"),
    [("NAME", "name"), ("External_ID", "external_id"), ("ASSETIDS", "asset_ids"),
     ("Data Set Id", "data_set_id")],
)  # fmt: skip
def test_case_and_underscores_of_a_column_do_not_hide_what_is_meant(
    many: Many, folder: Path, column: str, nearest: str
) -> None:
    frame = pd.DataFrame({"path": [folder / "f0.bin"], column: ["7"]})
    with pytest.raises(UsageError, match=f"{column!r} is no field.*did you mean {nearest!r}"):
        many(frame)


def test_a_field_that_is_named_twice_is_refused(many: Many, folder: Path) -> None:
    frame = pd.DataFrame({"path": [folder / "f0.bin"], "dataSetId": [7], "data_set_id": [7]})
    with pytest.raises(UsageError, match="are the same field"):
        many(frame)


def test_bad_keywords_are_refused_at_once(many: Many, folder: Path) -> None:
    for how in ({"data_set_id": "x"}, {"data_setid": 7}, {"verify": "sha"}, {"part_size": 1}):
        with pytest.raises(UsageError):
            many(folder, **how)


def test_data_sets_and_assets_by_their_external_ids_in_one_go(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    data_set = next(one for one in client.catalog.data_sets() if one.external_id)
    asset = next(one for one in client.catalog.find_assets("pump") if one.external_id)
    paths = [folder / f"f{no}.bin" for no in range(3)]
    frame = pd.DataFrame({"path": paths, "data_set_external_id": [data_set.external_id] * 3})
    frame["asset_external_ids"] = [f"{asset.external_id}", [asset.external_id], "no such asset"]
    result = many(frame)
    assert list(result["status"]) == ["done", "done", "invalid"]
    assert "no asset with the external id 'no such asset'" in result["error"][2]
    for no in (0, 1):
        assert file_of(cdf, result, no)["dataSetId"] == data_set.id
        assert file_of(cdf, result, no)["assetIds"] == [asset.id]
    lookups = [
        one for one in cdf.requests() if one["path"].endswith(("datasets/byids", "assets/byids"))
    ]
    assert len(lookups) == 2


def test_a_status_column_of_ones_own_is_kept_and_the_file_is_sent(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    frame = pd.DataFrame(
        {"path": [folder / "f0.bin", folder / "f1.bin"], "status": ["done", "new"]}
    )
    result = many(frame)
    assert list(result["status"]) == ["done", "new"]
    assert list(result["upload_status"]) == ["done", "done"]
    assert len(seen(cdf, "create")) == 2


@pytest.mark.parametrize("own", [{}, {"status": ["mine", "too"]}])
@pytest.mark.parametrize("by_csv", [False, True])
def test_a_result_is_recognised_when_it_is_given_back(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path, own: dict[str, Any], by_csv: bool
) -> None:
    result = many(pd.DataFrame({"path": [folder / "f0.bin", folder / "f1.bin"], **own}))
    columns = list(result.columns)
    if by_csv:
        result.to_csv(tmp_path / "r.csv", index=False)
        result = pd.read_csv(tmp_path / "r.csv")
    for record in (tmp_path / "state").glob("*.job"):  # also where nothing is remembered
        record.unlink()
    again = many(result)
    assert list(again.columns) == columns
    assert set(again["upload_status" if own else "status"]) == {"done"}
    assert len(seen(cdf, "create")) == 2


def test_a_number_as_a_name_is_a_row_that_says_so(many: Many, folder: Path) -> None:
    frame = pd.DataFrame({"path": [folder / "f0.bin", folder / "f1.bin"], "name": [2024, "b"]})
    result = many(frame)
    assert list(result["status"]) == ["invalid", "done"]
    assert "name is text" in result["error"][0]


def test_times_as_pandas_and_people_have_them(cdf: Emulator, many: Many, folder: Path) -> None:
    times = [np.datetime64("2024-01-01"), date(2024, 1, 1), pd.Period("2024-01-01"), 1704067200]
    frame = pd.DataFrame({"path": [folder / f"f{no}.bin" for no in range(4)]})
    frame["source_created_time"] = pd.Series(times, dtype=object)
    result = many(frame)
    assert list(result["status"]) == ["done", "done", "done", "invalid"], list(result["error"])
    local = int(datetime(2024, 1, 1).timestamp() * 1000)
    assert [file_of(cdf, result, no)["sourceCreatedTime"] for no in range(3)] == [local] * 3
    assert "seems to be in seconds" in result["error"][3]
    frame["source_created_time"] = pd.Series(["1704067200"] * 4, dtype=object)
    assert set(many(frame)["status"]) == {"invalid"}


def test_metadata_from_arrays_and_bytes_loses_nothing(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    long = np.arange(1200)
    values = {"b": b"GMT+1", "flag": np.bool_(True), "nested": {"n": np.int64(5)}, "all": long}
    frame = pd.DataFrame({"path": [folder / "f0.bin"], "metadata": [values]})
    assert file_of(cdf, many(frame))["metadata"] == {
        "b": "GMT+1", "flag": "true", "nested": '{"n": 5}', "all": json.dumps(long.tolist()),
    }  # fmt: skip
    frame["metadata"] = [{"b": b"\xff"}]
    assert "no text in UTF-8" in many(frame)["error"][0]


def test_a_place_that_is_not_in_degrees_is_a_note(cdf: Emulator, many: Many, folder: Path) -> None:
    metres = {"type": "Point", "coordinates": [597423, 6643210]}
    result = many(pd.DataFrame({"path": [folder / "f0.bin"], "geo_location": [metres]}))
    assert list(result["status"]) == ["done"]
    assert "geo_location: The latitude 6.64321e+06 is outside" in result["note"][0]


@pytest.mark.parametrize("update", [False, True], ids=["upload_many", "update_many"])
def test_places_of_a_geodataframe_are_where_it_says(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path, *, update: bool
) -> None:
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    places = [shapely.Point(597423, 6643210), None, shapely.Point(597423, 6643210)]
    column = geopandas.GeoSeries(places, crs=25833)
    paths = [folder / f"f{no}.bin" for no in range(3)]
    if update:
        result = many(paths)
        update_many(client, pd.DataFrame({"id": result["id"], "geo_location": column}))
    else:
        result = many(pd.DataFrame({"path": paths, "geo_location": column}))
        assert not any("latitude" in note for note in result["note"])
    found = [file_of(cdf, result, no).get("geoLocation") for no in range(3)]
    for one in (found[0], found[2]):
        assert one["geometry"]["coordinates"] == pytest.approx([16.742, 59.915], abs=0.001)
    assert found[1] is None


def test_what_is_no_list_of_paths_is_not_taken_apart(many: Many, folder: Path) -> None:
    frame = pd.DataFrame({"path": [str(folder / "f0.bin")], "name": ["a"]})
    with open(folder / "f0.bin", "rb") as file, os.scandir(os.fsencode(folder)) as entries:
        for wrong, said in (
            (frame.to_dict("list"), "give a DataFrame"),
            (frame.to_dict("records"), r"for rows give pandas.DataFrame\(rows\)"),
            (frame.iloc[0], "That is one row"),
            (file, "Give a DataFrame, a path"),
            (entries, "not a bytes"),
        ):
            with pytest.raises(UsageError, match=said):
                many(wrong)


def test_whole_numbers_as_a_spreadsheet_writes_them(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    frame = pd.DataFrame({"path": [folder / "f0.bin"], "data_set_id": ["7.0"]}, dtype=object)
    result = many(frame)
    assert file_of(cdf, result)["dataSetId"] == 7
    text = result.astype(object).assign(id=f"{result['id'][0]}.0", size="x")
    assert list(many(text)["status"]) == ["done"]
    paths = pd.DataFrame({"path": [5, b"x", None]}, dtype=object)
    assert list(many(paths)["error"]) == [
        "The path is text, not int.", "The path is text, not bytes.", "The path is missing.",
    ]  # fmt: skip


def test_files_that_cannot_be_told_apart_are_told(
    cdf: Emulator, many: Many, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.csv").write_text(name)
    for given in ([tmp_path / "a", tmp_path / "b"], [tmp_path / "a/data.csv", tmp_path / "b"]):
        result = many(given, again=True)
        assert list(result["status"]) == ["done", "done"]
        assert list(result["note"].fillna("")) == [
            "", "Row 0 has the same name; a directory or an external_id tells them apart"
        ]  # fmt: skip
    apart = many(tmp_path, recursive=True, include="data.csv", again=True)
    by_id = many(tmp_path, recursive=True, include="data.csv", external_id="path", directory="/x")
    assert not any("same name" in one for one in [*apart["note"], *by_id["note"]] if one == one)


def test_a_relative_path_in_a_folder_that_is_gone_is_told(
    client: CogniteClient, many: Many, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "current folder was deleted" in many(["a.csv"])["error"][0]
    with pytest.raises(UsageError, match="current folder was deleted"):
        client.files.download("a.csv", id=1)
    with pytest.raises(ConfigError, match="current folder was deleted"):
        CogniteClient.from_env(dotenv=True)
