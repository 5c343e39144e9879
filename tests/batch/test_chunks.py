"""Jobs larger than memory: tables one after another, the result on disk."""

from __future__ import annotations

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
