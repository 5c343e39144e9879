"""A job is remembered: the same line sends nothing twice."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import fired, seen, some_bytes, until

from cognite_nb_upload import (
    CogniteClient,
    JournalDamaged,
    UploadBusy,
    UsageError,
    forget,
    resume,
    unfinished_jobs,
)
from cognite_nb_upload.batch.files import begin_many
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal.jobs import jobs
from cognite_nb_upload.journal.writer import JournalWarning
from cognite_nb_upload.unfinished import as_async_client

Many = Callable[..., pd.DataFrame]
Uploaded = Callable[[], list[dict[str, Any]]]


def begun(cdf: Emulator) -> int:
    return len(seen(cdf, "create")) + len(seen(cdf, "init"))


def test_the_same_line_sends_nothing_twice(cdf: Emulator, many: Many, folder: Path) -> None:
    first = many(folder)
    count = begun(cdf)
    again = many(folder)
    assert begun(cdf) == count == 4
    assert list(again["status"]) == ["done"] * 4
    assert list(again["id"]) == list(first["id"])
    assert set(again["note"]) == {"sent before"}


def test_again_sends_it_again(cdf: Emulator, many: Many, folder: Path) -> None:
    many(folder)
    many(folder, again=True)
    many(folder, resume=False)
    assert begun(cdf) == 12


def test_a_folder_that_grew_sends_only_what_is_new(cdf: Emulator, many: Many, folder: Path) -> None:
    many(folder)
    (folder / "g.bin").write_bytes(b"new")
    result = many(folder)
    assert begun(cdf) == 5
    assert list(result["status"]) == ["done"] * 5


def test_a_row_is_known_whatever_call_it_is_in(cdf: Emulator, many: Many, folder: Path) -> None:
    """As a folder with a keyword, from elsewhere as a table in another order with a column."""
    many(folder, data_set_id=7)
    os.chdir(folder)
    frame = pd.DataFrame({"path": ["f3.bin", "f1.bin"], "dataSetId": ["7", "7"]})
    assert list(many(frame)["note"]) == ["sent before"] * 2
    assert begun(cdf) == 4


@pytest.fixture(autouse=True)
def _stay() -> Any:
    here = os.getcwd()
    yield
    os.chdir(here)


def test_another_request_is_another_row(cdf: Emulator, many: Many, folder: Path) -> None:
    many(folder, data_set_id=7)
    many(folder, data_set_id=11)
    assert begun(cdf) == 8


def test_a_file_that_changed_is_sent_again(
    cdf: Emulator, many: Many, folder: Path, uploaded: Uploaded
) -> None:
    first = many(folder)
    (folder / "f1.bin").write_bytes(b"other")
    result = many(folder)
    assert begun(cdf) == 5
    assert list(result["id"] == first["id"]) == [True, False, True, True]
    assert f"changed since it was sent as id {first['id'][1]}" in result["note"][1]
    assert cdf.content(result["id"][1]) == b"other"


def test_what_cdf_no_longer_has_is_sent_again(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    first = many(folder)
    client.files.delete(id=int(first["id"][2]))
    result = many(folder)
    assert begun(cdf) == 5
    assert "no longer has" in result["note"][2]
    assert cdf.content(result["id"][2]) == (folder / "f2.bin").read_bytes()


def test_what_failed_is_sent_by_the_same_line(cdf: Emulator, many: Many, folder: Path) -> None:
    cdf.inject(Fault("status", "create", status=400, body='{"error": {"message": "no"}}'))
    first = many(folder)
    assert fired(cdf) == [("status", "create")]
    assert sorted(first["status"]) == ["done", "done", "done", "failed"]
    (job,) = jobs()
    assert (job.files, job.done, job.failed, job.state) == (4, 3, 1, "unfinished")
    second = many(folder)
    assert list(second["status"]) == ["done"] * 4
    assert begun(cdf) == 5
    assert jobs() == []
    assert [job.done for job in jobs(ended=True)] == [4]


@pytest.mark.filterwarnings("default::cognite_nb_upload.journal.folder.JournalWarning")
def test_a_job_that_is_left_is_told_to_the_same_line_with_another_time(
    cdf: Emulator, many: Many, folder: Path, recwarn: pytest.WarningsRecorder
) -> None:
    cdf.inject(Fault("status", "put", status=400))
    first = many(folder, metadata={"at": "10:00"})
    assert sorted(first["status"]) == ["done"] * 3 + ["failed"]
    assert len(cdf.fired()) == 1
    (left,) = unfinished_jobs().index
    again = many(folder, metadata={"at": "10:01"})
    said = f"is left, with 3 of 4 in CDF; this call differs in metadata. `resume('{left}')` goes on"
    assert list(again["status"]) == ["done"] * 4
    assert all(said in note for note in again["note"])
    assert [said in str(one.message) for one in recwarn] == [True]
    forget(left)
    assert set(many(folder, metadata={"at": "10:02"})["note"]) == {""}


def test_stopped_rows_are_not_failed_and_the_same_line_goes_on_with_what_was_begun(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path, uploaded: Uploaded
) -> None:
    cdf.inject(Fault("stall_answer", "put", times=4, seconds=60))
    batch = client.files.start_many(folder)
    until(lambda: len(fired(cdf)) == 4)
    batch.stop()
    assert set(batch.frame()["status"]) == {"stopped"}
    assert (batch.state.failed, batch.state.stopped) == (0, 4)
    cdf.clear_faults()
    result = many(folder)
    assert list(result["status"]) == ["done"] * 4
    assert len(uploaded()) == 4 + seeded(cdf)
    assert begun(cdf) == 4


def seeded(cdf: Emulator) -> int:
    """Files that the emulator begins with, and that have content."""
    return sum(1 for one in cdf.files() if one["uploaded"] and "instanceId" in one)


def test_a_record_is_for_its_owner_and_keeps_no_urls_once_it_has_ended(
    cdf: Emulator, client: CogniteClient, folder: Path, state: Path
) -> None:
    cdf.inject(Fault("stall_answer", "put", times=4, seconds=60))
    batch = client.files.start_many(folder)
    until(lambda: len(fired(cdf)) == 4)
    (path,) = state.glob("*.job")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert '"url"' in path.read_text()
    batch.stop()
    cdf.clear_faults()
    client.files.start_many(folder).result()
    assert '"url"' not in path.read_text()
    assert "http" not in path.read_text().replace(cdf.base_url, "")


def test_a_torn_end_is_dropped_and_damage_in_the_middle_refuses(
    cdf: Emulator, many: Many, folder: Path, state: Path
) -> None:
    many(folder)
    (path,) = state.glob("*.job")
    whole = path.read_bytes()
    path.write_bytes(whole + b'0123abcd {"fact": "Do')
    assert set(many(folder)["note"]) == {"sent before"}
    (folder / "g.bin").write_bytes(b"new")
    assert list(many(folder)["status"]) == ["done"] * 5
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"size": 1', b'"size": 2').replace(b'"size":1', b'"size":2')
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalDamaged, match="line 2"):
        many(folder)


def test_a_job_that_another_one_sends_is_refused(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    cdf.inject(Fault("stall_answer", "put", times=4, seconds=60))
    batch = client.files.start_many(folder)
    until(lambda: len(fired(cdf)) == 4)
    with pytest.raises(UploadBusy, match="is being sent by process"):
        many(folder)
    batch.stop()


def test_without_a_folder_for_records_it_goes_on_with_a_warning(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "file" / "state"))
    with pytest.warns(JournalWarning, match="cannot be remembered"):
        result = many(folder)
    assert list(result["status"]) == ["done"] * 4


def test_the_disk_is_full_and_the_files_are_sent(
    cdf: Emulator, client: CogniteClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cognite_nb_upload.journal import folder as journal_folder

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    batch = begin_many(as_async_client(client).files, folder, {}, hold=True)
    batch.planned()
    monkeypatch.setattr(journal_folder, "write", full)
    batch.go()
    with pytest.warns(JournalWarning, match="No space left"):
        result = batch.result()
    assert list(result["status"]) == ["done"] * 4


def test_a_large_file_goes_on_from_its_parts(
    cdf: Emulator, client: CogniteClient, many: Many, tmp_path: Path
) -> None:
    big = tmp_path / "big.bin"
    part = 6 << 20
    big.write_bytes(some_bytes(part) * 3)
    cdf.inject(Fault("stall_answer", "part", part=2, times=9, seconds=60))
    batch = client.files.start_many([big], part_size=part, max_concurrency=1)
    until(lambda: fired(cdf))
    batch.stop()
    cdf.clear_faults()
    before = len(seen(cdf, "part"))
    (row,) = many([big], part_size=part).itertuples()
    assert (row.status, begun(cdf)) == ("done", 1)
    assert len(seen(cdf, "part")) == before + 1
    assert "2 of 3 parts stored already" in row.note
    assert cdf.content(row.id) == big.read_bytes()


def test_an_interrupt_gives_the_frame(
    cdf: Emulator, client: CogniteClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdf.inject(Fault("stall_answer", "put", times=4, seconds=60))
    batch = client.files.start_many(folder)
    until(lambda: len(fired(cdf)) == 4)
    waiting = batch._done.exception

    def interrupted(timeout: float | None = None) -> object:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(batch._done, "exception", interrupted)
    with pytest.raises(KeyboardInterrupt) as told:
        batch.result()
    assert waiting() is None
    assert set(told.value.frame["status"]) == {"stopped"}


def test_a_store_that_refuses_the_url_of_an_interrupted_run_gets_a_fresh_file(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    cdf.inject(Fault("status", "put", status=503, times=99))
    (row,) = many([folder / "f0.bin"]).itertuples()
    assert row.status == "failed"
    cdf.clear_faults()
    cdf.inject(Fault("status", "put", status=403, times=1))
    (row,) = many([folder / "f0.bin"]).itertuples()
    assert fired(cdf)[-1] == ("status", "put")
    assert (row.status, begun(cdf)) == ("done", 2)
    assert cdf.content(row.id) == (folder / "f0.bin").read_bytes()


def test_what_was_begun_and_not_stored_goes_to_the_same_file(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    cdf.inject(Fault("status", "put", status=503, times=99))
    assert set(many(folder)["status"]) == {"failed"}
    assert len(fired(cdf)) >= 4
    cdf.clear_faults()
    result = many(folder)
    assert list(result["status"]) == ["done"] * 4
    assert begun(cdf) == 4
    assert set(result["note"]) == {"went on with what an interrupted run had begun"}


def test_an_interrupted_job_is_listed_and_gone_on_with_by_its_id(
    cdf: Emulator, client: CogniteClient, folder: Path
) -> None:
    label = client.catalog.labels()[0].external_id
    at = datetime(2024, 1, 1, tzinfo=UTC)
    frame = pd.DataFrame({"path": [folder / f"f{no}.bin" for no in range(4)]})
    frame["labels"] = [[label], None, None, None]
    frame["source_created_time"] = [at, None, None, None]
    frame["geo_location"] = [{"type": "Point", "coordinates": [5.0, 60.0]}, None, None, None]
    cdf.inject(Fault("status", "put", status=400, times=None))
    first = client.files.start_many(
        frame, data_set_id=7, metadata={"a": "b"}, verify="none", keep=True
    ).result()
    assert set(first["status"]) == {"failed"}
    assert fired(cdf)
    cdf.clear_faults()
    listed = unfinished_jobs()
    assert list(listed["failed"]) == [4]
    assert list(listed["title"]) == ["a table of 4 rows"]
    result = resume(next(listed.itertuples()), client).result()
    assert list(result["status"]) == ["done"] * 4
    assert begun(cdf) == 4  # each is the row that it was, so what was begun is gone on with
    (file,) = [one for one in cdf.files() if one["id"] == result["id"][0]]
    assert (file["dataSetId"], file["metadata"]) == (7, {"a": "b"})
    assert file["labels"] == [{"externalId": label}]
    assert len(unfinished_jobs()) == 0
    assert list(unfinished_jobs(recent=True)["state"]) == ["done"]
    with pytest.raises(UsageError, match="has ended"):
        resume(listed.index[0], client).result()
    forget(listed.index[0])
    assert len(unfinished_jobs(recent=True)) == 0


def test_a_job_of_another_project_is_refused(
    cdf: Emulator, client: CogniteClient, connect: Any, many: Many, folder: Path
) -> None:
    cdf.inject(Fault("status", "put", status=400, times=None))
    many(folder)
    other = connect(project="other")
    with pytest.raises(UsageError, match="this client is for 'other'"):
        resume(unfinished_jobs().index[0], other)
