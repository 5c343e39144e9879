"""Jobs larger than memory: tables one after another, the result on disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from support import seen

from cognite_nb_upload import UsageError
from cognite_nb_upload.batch import chunks
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal.jobs import jobs

Many = Callable[..., pd.DataFrame]


def tables(folder: Path) -> Iterator[pd.DataFrame]:
    for numbers in ((0, 1), (2, 0), (3, 9)):
        yield pd.DataFrame({"path": [str(folder / f"f{no}.bin") for no in numbers]})


def test_tables_come_one_after_another_and_the_result_is_on_disk(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path
) -> None:
    counts = many(tables(folder), result=tmp_path / "result.csv")
    assert dict(zip(counts["status"], counts["files"], strict=True)) == {"done": 5, "invalid": 1}
    result = pd.read_csv(tmp_path / "result.csv")
    assert list(result["status"]) == ["done"] * 5 + ["invalid"]
    assert result["note"][3] == "sent before"  # twice, in two tables
    assert result["id"][3] == result["id"][0]
    assert len(seen(cdf, "create")) == 4
    assert [job.state for job in jobs(ended=True)] == ["done"]  # one job of all


def test_a_csv_table_is_read_in_chunks_and_the_same_line_goes_on(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "ROWS", 2)
    table = tmp_path / "table.csv"
    pd.DataFrame({"path": [str(folder / f"f{no}.bin") for no in range(4)], "dataSetId": 7}).to_csv(
        table, index=False
    )
    cdf.inject(Fault("status", "put", status=400))
    many(table, result=tmp_path / "r.csv")
    assert len(cdf.fired()) == 1
    assert len(jobs()) == 1
    many(table, result=tmp_path / "r.csv")
    assert list(pd.read_csv(tmp_path / "r.csv")["status"]) == ["done"] * 4
    assert len(seen(cdf, "create")) == 4
    assert jobs() == []


def test_tables_need_a_result(many: Many, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need result="):
        many(tables(folder))
    with pytest.raises(UsageError, match="neither CSV nor Parquet"):
        many(folder / "f0.bin", result=tmp_path / "r.csv")
    with pytest.raises(UsageError, match="The tables are DataFrames, not str"):
        many(iter(["x"]), result=tmp_path / "r.csv")
    with pytest.raises(UsageError, match="its folder is not there"):
        many(tables(folder), result=tmp_path / "no" / "r.csv")
    table = tmp_path / "t.csv"
    table.write_text("path\n")
    with pytest.raises(UsageError, match="would replace the table"):
        many(table, result=tmp_path / "." / "t.csv")
    assert table.read_text() == "path\n"


def test_tables_of_other_columns_are_refused_before_they_are_sent(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path
) -> None:
    one, two, three = (str(folder / f"f{no}.bin") for no in range(3))
    several = [
        pd.DataFrame({"path": [one], "source": ["a"]}),
        pd.DataFrame({"source": ["b"], "path": [two]}),  # in another order
        pd.DataFrame({"path": [three], "directory": ["/x"]}),
    ]
    with pytest.raises(UsageError, match="directory, source is not in each of them"):
        many(iter(several), result=tmp_path / "r.csv")
    result = pd.read_csv(tmp_path / "r.csv")
    assert list(result["path"]) == [one, two]
    assert list(result["source"]) == ["a", "b"]
    assert len(seen(cdf, "create")) == 2


def test_a_parquet_result_has_types_and_is_there_when_the_job_has_ended(
    many: Many, folder: Path, tmp_path: Path
) -> None:
    result = tmp_path / "r.parquet"
    result.write_text("of an earlier job")

    def chunks_of_it() -> Iterator[pd.DataFrame]:
        for no, source in enumerate([None, "a", None]):
            assert result.read_text() == "of an earlier job"
            yield pd.DataFrame({"path": [folder / f"f{no}.bin"], "source": [source], "n": [no]})

    many(chunks_of_it(), result=result, keep=["n"])
    table = pd.read_parquet(result)
    assert list(table["status"]) == ["done"] * 3
    assert list(table["path"]) == [str(folder / f"f{no}.bin") for no in range(3)]
    assert [one if isinstance(one, str) else None for one in table["source"]] == [None, "a", None]
    assert (table["n"].dtype, table["id"].dtype) == ("int64", "int64")
    assert sorted(one.name for one in tmp_path.glob("r.*")) == ["r.parquet"]


def test_a_parquet_table_is_read_in_chunks(
    many: Many, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "ROWS", 2)
    paths = [str(folder / f"f{no}.bin") for no in range(3)]
    table = tmp_path / "rows.parquet"
    pd.DataFrame({"path": paths, "source": ["a", "b", "c"]}).to_parquet(table)
    many(table, result=tmp_path / "r.csv")
    result = pd.read_csv(tmp_path / "r.csv")
    assert list(result["path"]) == paths
    assert list(result["source"]) == ["a", "b", "c"]
    assert list(result["status"]) == ["done"] * 3


def test_a_column_of_another_type_is_refused_before_its_table_is_sent(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path
) -> None:
    several = [
        pd.DataFrame({"path": [str(folder / f"f{no}.bin")], "n": [value]})
        for no, value in enumerate([1, "x"])
    ]
    with pytest.raises(UsageError, match="'n' was of type int64 in the tables before"):
        many(iter(several), result=tmp_path / "r.parquet", keep=["n"])
    assert list(pd.read_parquet(tmp_path / "r.parquet")["status"]) == ["done"]
    assert len(seen(cdf, "create")) == 1


def test_without_pyarrow_a_parquet_result_is_refused(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        UsageError, match=r"install pyarrow \(pip install .*\[parquet\]'\), or give result="
    ):
        many(tables(folder), result=tmp_path / "r.parquet")
    assert seen(cdf, "create") == []
