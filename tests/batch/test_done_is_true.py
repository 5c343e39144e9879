"""What a job calls done is in CDF, as it is on the disk, and there once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import config_of, fired, seen, some_bytes

from cognite_nb_upload import CogniteClient, UploadBusy, unfinished_jobs, upload_many
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.journal.jobs import JobRecord, Place, Remembered

Many = Callable[..., pd.DataFrame]
BY_PATH: dict[str, Any] = {"external_id": "path"}
NEVER = Fault("status", "put", status=503, times=None)


def puts(cdf: Emulator) -> int:
    return len(seen(cdf, "put"))


def is_right(cdf: Emulator, frame: pd.DataFrame) -> bool:
    """Whether all of it is done, and CDF has what is on the disk."""
    assert list(frame["status"]) == ["done"] * len(frame), frame["error"].tolist()
    rows = zip(frame["id"], frame["path"], strict=True)
    return all(cdf.content(int(id)) == Path(path).read_bytes() for id, path in rows)


def edit(path: Path, size: int | None = None, by_s: int = 10) -> None:
    """Other bytes, and a later time."""
    about = path.stat()
    path.write_bytes(some_bytes(size or about.st_size, seed=99))
    os.utime(path, (about.st_atime, about.st_mtime + by_s))


def uploaded_names(cdf: Emulator) -> Counter[str]:
    return Counter(one["name"] for one in cdf.files() if one["uploaded"])


# --- content that is replaced ---------------------------------------------------------------------


@pytest.mark.parametrize("verify", ["size", "download"])
def test_replaced_content_is_done_when_cdf_has_the_new_one(folder: Path, verify: str) -> None:
    """CDF says `uploaded` of the old content all the time."""
    with (
        emulator(uploaded_delay_s=1.0) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        upload_many(client, folder, progress=False, **BY_PATH)
        edit(folder / "f1.bin", 1500)
        frame = upload_many(
            client, folder, progress=False, overwrite=True, verify=verify, **BY_PATH
        )
        assert is_right(cdf, frame)


@pytest.mark.parametrize("how", [{}, {"sha256_key": "sha256"}], ids=["time", "sha256"])
@pytest.mark.parametrize("remembered", [True, False], ids=["record", "no-record"])
def test_old_content_is_not_taken_for_what_never_arrived(
    cdf: Emulator, many: Many, folder: Path, state: Path, how: dict[str, str], remembered: bool
) -> None:
    """CDF tells the time of the new content as soon as it is begun."""
    how = {"if_exists": "changed", **BY_PATH, **how}
    many(folder, **how)
    for no in range(4):
        edit(folder / f"f{no}.bin")
        os.utime(folder / f"f{no}.bin", (2e9, 2e9))
    cdf.inject(NEVER)
    assert set(many(folder, **how)["status"]) == {"failed"}
    assert set(fired(cdf)) == {("status", "put")}
    cdf.clear_faults()
    if not remembered:
        for path in state.glob("*.job"):
            path.unlink()
    assert is_right(cdf, many(folder, **how))


# --- what was begun -------------------------------------------------------------------------------


def test_a_file_that_was_begun_is_its_rows_own_after_an_edit(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    cdf.inject(NEVER)
    assert set(many(folder, **BY_PATH)["status"]) == {"failed"}
    assert set(fired(cdf)) == {("status", "put")}
    cdf.clear_faults()
    edit(folder / "f0.bin", 2000)
    assert is_right(cdf, many(folder, **BY_PATH))
    assert set(uploaded_names(cdf)[f"f{no}.bin"] for no in range(4)) == {1}


def test_a_file_whose_url_is_used_up_is_its_rows_own(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    cdf.inject(NEVER)
    many(folder, **BY_PATH)
    cdf.clear_faults()
    cdf.inject(Fault("status", "put", status=403, times=4))
    assert is_right(cdf, many(folder, **BY_PATH))
    assert fired(cdf).count(("status", "put")) >= 8


# --- the record -----------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [b"", b'0123abcd {"fact": "Jo'], ids=["empty", "torn"])
def test_a_record_whose_first_line_was_not_written_stops_nobody(
    cdf: Emulator, many: Many, folder: Path, state: Path, left: bytes
) -> None:
    """Its process was killed before it had begun any file."""
    state.mkdir()
    (state / f"{7:016x}.job").write_bytes(left)
    assert is_right(cdf, many(folder))
    assert len(unfinished_jobs()) == 0


def test_a_record_that_could_not_be_begun_leaves_nothing(
    cdf: Emulator, many: Many, folder: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cognite_nb_upload.journal import folder as journal_folder
    from cognite_nb_upload.journal.writer import JournalWarning

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_folder, "write", full)
    with pytest.warns(JournalWarning, match="No space left"):
        many(folder)
    assert list(state.glob("*.job")) == []


def test_of_two_records_of_a_file_the_later_counts(cdf: Emulator, many: Many, folder: Path) -> None:
    one, two, three = (folder / f"f{no}.bin" for no in range(3))
    many([one, three])
    many([two])
    edit(one)
    many([one, two])  # in the record of the second job
    edit(three)
    many([three])  # the first job's record is now the last that was written to
    before = puts(cdf)
    assert is_right(cdf, many([one]))
    assert puts(cdf) == before


def test_a_call_of_some_rows_does_not_end_the_job_of_all(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    cdf.inject(Fault("lost_answer", "put", times=None))
    assert set(many(folder)["status"]) == {"failed"}
    assert set(fired(cdf)) == {("lost_answer", "put")}
    cdf.clear_faults()
    assert is_right(cdf, many([folder / "f0.bin"]))
    (left,) = unfinished_jobs().index
    assert is_right(cdf, many(folder))
    assert left not in unfinished_jobs().index
    assert {uploaded_names(cdf)[f"f{no}.bin"] for no in range(4)} == {1}


def test_a_row_that_was_mended_ends_its_job(cdf: Emulator, many: Many, folder: Path) -> None:
    cdf.inject(Fault("status", "create", status=400, body='{"error": {"message": "no"}}'))
    frame = many(folder)
    assert fired(cdf) == [("status", "create")]
    assert len(unfinished_jobs()) == 1
    frame["directory"] = None
    frame.loc[frame["status"] == "failed", "directory"] = "/mended"
    assert is_right(cdf, many(frame))
    assert len(unfinished_jobs()) == 0


def put_back(path: Path, at: int) -> None:
    """One other byte at `at`, and the modification time as it was."""
    about = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"#")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


LARGE = 3 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a ctime is no sign of a write")
@pytest.mark.parametrize("how", ["line", "frame", "replaced"])
def test_a_done_file_that_was_edited_with_its_time_put_back_is_sent_again(
    cdf: Emulator, many: Many, folder: Path, how: str
) -> None:
    large = folder / "f3.bin"
    large.write_bytes(some_bytes(LARGE))
    first = many(folder)
    put_back(folder / "f1.bin", 500)
    put_back(large, 100_000)  # between the samples: only its ctime tells
    if how == "replaced":  # by another inode of the same time, as an editor does
        for path in (folder / "f1.bin", large):
            copy = shutil.copy2(path, folder.parent / "copy")
            with Path(copy).open("r+b") as file:
                file.write(b"#")
            shutil.copystat(path, copy)
            os.replace(copy, path)
    result = many(first if how == "frame" else folder)
    assert is_right(cdf, result)
    changed = dict(zip(result["path"], result["id"] != first["id"], strict=True))
    assert {Path(path).name for path, new in changed.items() if new} == {"f1.bin", "f3.bin"}


def test_a_done_file_that_was_touched_and_not_edited_is_not_sent_again(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    """New rights, a copy that keeps the time (`cp -p`, `rsync -a`), a restored backup, a link."""
    (folder / "f3.bin").write_bytes(some_bytes(LARGE))
    frame = many(folder)
    (folder / "f0.bin").chmod(0o640)
    (folder / "f3.bin").chmod(0o640)
    for name in ("f1.bin", "f3.bin"):
        shutil.copy2(folder / name, folder.parent / "copy")
        os.replace(folder.parent / "copy", folder / name)
    os.link(folder / "f2.bin", folder.parent / "link")
    count = len(seen(cdf, "create")) + len(seen(cdf, "init"))
    for given in (folder, frame):
        assert is_right(cdf, many(given))
    assert len(seen(cdf, "create")) + len(seen(cdf, "init")) == count == 4


LINE = """
import os, signal, sys
import pandas as pd
from cognite_nb_upload import CogniteClient, upload_many

calls = []

def on_done(row, uploaded):  # the record has the file by now
    calls.append(row)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

paths = sorted(entry.path for entry in os.scandir(sys.argv[1]) if entry.name[:1] == "f")
how = {"result": sys.argv[3]} if sys.argv[3] else {}
given = iter([pd.DataFrame({"path": [one]}) for one in paths]) if how else paths
upload_many(CogniteClient.from_env(), given, progress=False, on_done=on_done, **how)
"""


def killed(cdf: Emulator, folder: Path, after: int, result: str = "") -> None:
    """A job of four files whose process is killed when so many are done."""
    found = {"CDF_URL": cdf.base_url, "CDF_PROJECT": cdf.project, "CDF_TOKEN": cdf.token}
    command = [sys.executable, "-c", LINE, str(folder), str(after), result]
    done = subprocess.run(command, env={**os.environ, **found}, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("way", ["list", "line"])
def test_a_job_that_was_killed_after_its_last_file_has_ended(
    cdf: Emulator, many: Many, folder: Path, state: Path, way: str
) -> None:
    killed(cdf, folder, 4)
    (record,) = state.glob("*.job")
    assert b'"Ended"' not in record.read_bytes()
    if way == "line":
        assert is_right(cdf, many([folder / f"f{no}.bin" for no in range(4)]))
        assert puts(cdf) == 4
    else:
        assert len(unfinished_jobs()) == 0
    assert b'"Ended"' in record.read_bytes()  # no later listing has to read it through
    (row,) = unfinished_jobs(recent=True).to_dict("records")
    assert (row["state"], row["files"], row["done"], row["failed"]) == ("done", 4, 4, 0)
    assert is_right(cdf, many(folder))


@pytest.mark.parametrize(
    ("after", "result"), [(3, ""), (1, "result.csv")], ids=["rows-left", "tables-to-come"]
)
def test_a_job_that_was_killed_before_its_last_file_is_unfinished(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path, after: int, result: str
) -> None:
    if not result:
        cdf.inject(Fault("stall_answer", "put", seconds=60))
    killed(cdf, folder, after, result and str(tmp_path / result))
    cdf.clear_faults()
    assert list(unfinished_jobs()["state"]) == ["unfinished"]


def test_the_same_line_several_times_at_once_sends_nothing_twice(
    cdf: Emulator, client: CogniteClient, folder: Path
) -> None:
    at_once, outcomes = threading.Barrier(4), list[Any]()

    def line() -> None:
        at_once.wait()
        try:
            outcomes.append(set(upload_many(client, folder, progress=False)["status"]))
        except UploadBusy as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=line) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 4
    assert {"done"} in outcomes
    assert all(one in ({"done"}, UploadBusy) for one in outcomes)
    assert {uploaded_names(cdf)[f"f{no}.bin"] for no in range(4)} == {1}


# --- the table of an earlier call -----------------------------------------------------------------


@pytest.mark.parametrize("remembered", [True, False], ids=["record", "no-record"])
def test_a_table_that_is_given_back_is_compared_with_the_files(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path, state: Path, remembered: bool
) -> None:
    frame = many(folder)
    gone, edited = folder / "f0.bin", folder / "f1.bin"
    client.files.delete(id=int(frame["id"][0]))
    edit(edited, 1500)
    if not remembered:
        for path in state.glob("*.job"):
            path.unlink()
    again = many(frame)
    assert is_right(cdf, again)
    assert "no longer has" in again["note"][0]
    assert "changed since it was sent" in again["note"][1]
    assert list(again["id"] == frame["id"]) == [False, False, True, True]
    assert gone.name in uploaded_names(cdf)


def test_a_row_that_names_another_file_now_is_sent(cdf: Emulator, many: Many, folder: Path) -> None:
    frame = many(folder)
    frame.loc[0, "path"] = str(folder / "sub" / "deep.bin")
    again = many(frame)
    assert is_right(cdf, again)
    assert "of another file" in again["note"][0]


def test_a_done_row_stays_done_when_its_file_is_gone(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    frame = many(folder)
    (folder / "f2.bin").unlink()
    again = many(frame)
    assert list(again["status"]) == ["done"] * 4
    assert puts(cdf) == 4


def test_again_sends_the_rows_of_a_table_that_is_given_back(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    again = many(many(folder), again=True)
    assert is_right(cdf, again)
    assert puts(cdf) == 8


# --- tables one after another ---------------------------------------------------------------------


def tables(folder: Path, **more: Any) -> Iterator[pd.DataFrame]:
    for no in (0, 0, 1):
        yield pd.DataFrame({"path": [str(folder / f"f{no}.bin")], **more})


def test_a_job_whose_tables_break_off_is_unfinished(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path
) -> None:
    def broken() -> Iterator[pd.DataFrame]:
        yield next(tables(folder))
        raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError):
        many(broken(), result=tmp_path / "r.csv")
    assert list(unfinished_jobs()["state"]) == ["unfinished"]
    many(tables(folder), result=tmp_path / "r.csv")
    assert puts(cdf) == 2


def test_no_row_of_a_later_table_is_sent_twice_or_replaces_an_earlier_one(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path
) -> None:
    many(tables(folder), result=tmp_path / "r.csv", resume=False)
    told = pd.read_csv(tmp_path / "r.csv")
    assert list(told["status"]) == ["done", "invalid", "done"]
    assert "same file and request as row 0" in told["error"][1]
    many(tables(folder, external_id="x"), result=tmp_path / "r.csv", overwrite=True)
    told = pd.read_csv(tmp_path / "r.csv")
    assert list(told["status"]) == ["done", "done", "invalid"]
    assert "'x' is that of row 0 already" in told["error"][2]
    assert cdf.content(int(told["id"][0])) == (folder / "f0.bin").read_bytes()


@pytest.mark.skipif(not Path("/sys/class/net/lo").exists(), reason="no /proc and no /sys here")
def test_a_file_whose_size_is_a_lie_is_told(cdf: Emulator, many: Many, folder: Path) -> None:
    paths = ["/proc/version", "/sys/class/net/lo/address", folder / "f0.bin"]
    frame = many(paths)
    assert list(frame["status"]) == ["invalid", "failed", "done"]
    assert "says that it has 0 bytes, and has some: give its bytes" in frame["error"][0]
    assert re.search(r"says that it has \d+ bytes, and has 18: give its", frame["error"][1])
    assert not {"version", "address"} & uploaded_names(cdf).keys()


def test_as_many_finished_jobs_are_remembered_as_have_room(
    cdf: Emulator, many: Many, folder: Path, state: Path
) -> None:
    for no in range(60):  # of which 50 were kept once
        many([folder / f"f{no % 4}.bin"], metadata={"no": str(no)})
    before = puts(cdf)
    many([folder / "f0.bin"], metadata={"no": "0"})
    assert puts(cdf) == before == 60
    (first, *_) = sorted(state.glob("*.job"))
    end = first.read_bytes().splitlines(keepends=True)[-1]
    large = []
    for at_s, size in enumerate((600, 500)):  # MiB; of another project: nobody reads it through
        place = Place(project="other", base_url=cdf.base_url)
        record = JobRecord.open(state, place, Remembered(), title="", how={})
        record.close()
        assert record.path is not None
        with record.path.open("r+b") as file:
            file.seek(size << 20)
            file.write(b"\n" + end)
        os.utime(record.path, (at_s, at_s))
        large.append(record.path)
    edit(folder / "f0.bin")
    many([folder / "f0.bin"])
    assert [path.exists() for path in large] == [False, True]  # the older one has no room
    assert len(list(state.glob("*.job"))) == 62
