"""A download that was interrupted, stopped or killed goes on from what has arrived."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from blobs import DATA, Blob, Request
from support import config_of, seen, until

from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    TransferError,
    UploadBusy,
    UploadStopped,
    UsageError,
)
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.progress import bars, summary
from cognite_nb_upload.store.download import StoredObject
from cognite_nb_upload.transfer import partial
from cognite_nb_upload.transfer.partial import PartialFile, Wanted, safe_name


class Halt:
    """Has the store stop in the middle of the second range, until it is let go on."""

    def __init__(self, blob: Blob) -> None:
        self.reached, self._go_on = threading.Event(), threading.Event()
        blob.answers = [None, self._halfway]

    def _halfway(self, request: Request) -> None:
        start, end = request.range()
        middle = start + (end - start) // 2
        said = {"content-range": f"bytes {start}-{end - 1}/{len(DATA)}"}
        request.head(206, end - start, said)
        request.wfile.write(DATA[start:middle])
        request.wfile.flush()
        self.reached.set()
        self._go_on.wait(30)
        request.drop()

    def go_on(self) -> None:
        self._go_on.set()


@pytest.fixture
def halt(blob: Blob) -> Iterator[Halt]:
    made = Halt(blob)
    yield made
    made.go_on()


def kept(folder: Path) -> int:
    """Bytes that the record says are there."""
    try:
        return sum(json.loads((folder / "data.bin.part.json").read_text())["have"])
    except FileNotFoundError:
        return 0


def test_stopped_and_called_again_it_goes_on_where_it_was(
    linked: CogniteClient, blob: Blob, halt: Halt, tmp_path: Path
) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"older")
    download = linked.files.start_download(path, id=1, max_concurrency=1)
    until(lambda: download.state.sent > 3 * MIB)
    download.stop()
    with pytest.raises(UploadStopped, match=r"The download of data.bin was stopped"):
        download.result(30)
    assert download.state.phase is Phase.PAUSED
    assert path.read_bytes() == b"older"
    there = kept(tmp_path)
    assert 3 * MIB < there < 8 * MIB
    again = linked.files.start_download(path, id=1)
    assert again.result(30).read_bytes() == DATA
    assert "Went on with" in again.notes[0]
    assert "were there already" in repr(again)
    assert f"bytes={there}-{8 * MIB - 1}" in blob.ranges
    assert list(tmp_path.iterdir()) == [path]


def test_an_async_download_that_is_cancelled_keeps_what_has_arrived(
    cdf: Emulator, linked: CogniteClient, halt: Halt, tmp_path: Path
) -> None:
    async def cancelled() -> None:
        async with AsyncCogniteClient(config_of(cdf)) as client, anyio.create_task_group() as group:
            group.start_soon(client.files.download, tmp_path / "data.bin", 1)
            assert await anyio.to_thread.run_sync(halt.reached.wait, 20)
            group.cancel_scope.cancel()

    asyncio.run(cancelled())
    until(lambda: kept(tmp_path) > 0)
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA


@pytest.mark.anyio
async def test_a_download_that_runs_can_be_awaited_by_a_task(
    linked: CogniteClient, tmp_path: Path
) -> None:
    task = asyncio.create_task(linked.files.start_download(tmp_path / "data.bin", id=1))
    assert (await task).read_bytes() == DATA


PROGRAM = """
import sys
from cognite_nb_upload import CogniteClient
client = CogniteClient.from_env()
try:
    print(client.files.download(sys.argv[1], id=1, max_concurrency=1))
except KeyboardInterrupt:
    print("interrupted")
"""


def started(cdf: Emulator, path: Path) -> subprocess.Popen[str]:
    found = {"CDF_URL": cdf.base_url, "CDF_PROJECT": cdf.project, "CDF_TOKEN": cdf.token}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)],
        env={**os.environ, **found}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_at_any_moment_the_same_call_goes_on(
    cdf: Emulator, linked: CogniteClient, blob: Blob, halt: Halt, tmp_path: Path
) -> None:
    with started(cdf, tmp_path / "data.bin") as process:
        until(lambda: kept(tmp_path) > 0)  # the record is written while it runs
        process.kill()
    there = kept(tmp_path)
    halt.go_on()
    again = linked.files.start_download(tmp_path / "data.bin", id=1)
    assert again.result(30).read_bytes() == DATA
    assert f"bytes={there}-{8 * MIB - 1}" in blob.ranges
    assert again.notes


def test_interrupted_it_says_how_it_goes_on(
    cdf: Emulator, linked: CogniteClient, halt: Halt, tmp_path: Path
) -> None:
    with started(cdf, tmp_path / "data.bin") as process:
        assert halt.reached.wait(60)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=90)
    assert said.splitlines() == ["Stopped data.bin: the same call goes on with it.", "interrupted"]
    assert kept(tmp_path) > 0
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA


# --- what is not gone on with ---------------------------------------------------------------------


def broken_off(linked: CogniteClient, blob: Blob, path: Path) -> int:
    """A download that got a third of the file and failed; returns how much is kept."""

    def cut(request: Request) -> None:
        if request.range()[0] >= 8 * MIB:
            request.head(404, 0)
        else:
            request.serve()

    blob.always = cut
    with pytest.raises(TransferError, match=f"stopped at byte {8 * MIB}: the store says 404"):
        linked.files.download(path, id=1, max_concurrency=1)
    blob.always = None
    return kept(path.parent)


def test_what_has_arrived_is_kept_when_it_fails(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    assert broken_off(linked, blob, tmp_path / "data.bin") == 8 * MIB
    before = len(blob.seen)
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA
    assert sorted(blob.ranges[before + 1 :]) == [
        f"bytes={16 * MIB}-{19 * MIB - 1}", f"bytes={8 * MIB}-{16 * MIB - 1}"
    ]  # fmt: skip


def test_38_another_version_is_begun_from_its_first_byte(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    broken_off(linked, blob, tmp_path / "data.bin")
    blob.replace(bytes(len(DATA)))
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == bytes(len(DATA))


@pytest.mark.parametrize("record", ["", "{", "[]", "null", '{"have": 1, "step": "x"}'])
def test_a_record_that_cannot_be_trusted_is_not(
    linked: CogniteClient, blob: Blob, tmp_path: Path, record: str
) -> None:
    path = tmp_path / "data.bin"
    broken_off(linked, blob, path)
    (tmp_path / "data.bin.part.json").write_text(record)
    assert linked.files.download(path, id=1).read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change",
    [{"have": [8 * MIB + 1, 0, 0]}, {"have": [1, 1]}, {"etag": '"x"'}, {"target": {"id": 2}},
     {"project": "other"}, {"step": 0}, {"version": 2}],
)  # fmt: skip
def test_a_record_of_something_else_is_not_gone_on_with(
    linked: CogniteClient, blob: Blob, tmp_path: Path, change: dict[str, object]
) -> None:
    path, record = tmp_path / "data.bin", tmp_path / "data.bin.part.json"
    broken_off(linked, blob, path)
    record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
    (tmp_path / "data.bin.part").write_bytes(bytes(len(DATA)))  # were it believed, it would show
    assert linked.files.download(path, id=1).read_bytes() == DATA


def test_a_part_file_of_another_size_is_begun_again(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    broken_off(linked, blob, tmp_path / "data.bin")
    os.truncate(tmp_path / "data.bin.part", 7)
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA


def test_resume_false_begins_from_the_first_byte(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    broken_off(linked, blob, tmp_path / "data.bin")
    download = linked.files.start_download(tmp_path / "data.bin", id=1, resume=False)
    assert download.result(30).read_bytes() == DATA
    assert download.notes == ()


def test_neither_record_nor_repr_holds_a_signed_url(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    broken_off(linked, blob, tmp_path / "data.bin")
    download = linked.files.start_download(tmp_path / "data.bin", id=1)
    download.result(30)
    assert "signature" not in repr(download)
    broken_off(linked, blob, tmp_path / "data.bin")
    assert "signature" not in (tmp_path / "data.bin.part.json").read_text()


def test_two_at_once_do_not_write_to_one_part_file(
    linked: CogniteClient, halt: Halt, tmp_path: Path
) -> None:
    first = linked.files.start_download(tmp_path / "data.bin", id=1)
    assert halt.reached.wait(60)
    with pytest.raises(UploadBusy, match=r"data.bin is being downloaded already"):
        linked.files.download(tmp_path / "data.bin", id=1)
    halt.go_on()
    assert first.result(30).read_bytes() == DATA


def test_a_url_that_is_over_is_replaced_in_the_middle(
    cdf: Emulator, linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    blob.answers = [None, None, lambda request: request.head(403, 0)]
    path = linked.files.download(tmp_path / "data.bin", id=1, max_concurrency=1)
    assert path.read_bytes() == DATA
    assert len(seen(cdf, "downloadlink")) == 2


# --- where to ------------------------------------------------------------------------------------


def named(client: CogniteClient, name: str) -> int | None:
    return client.files.upload(b"content", name=name).id


def test_in_a_folder_it_has_its_own_name(client: CogniteClient, tmp_path: Path) -> None:
    number = named(client, "well 7.las")
    assert client.files.download(tmp_path, id=number) == tmp_path / "well 7.las"
    assert (tmp_path / "well 7.las").read_bytes() == b"content"


def test_a_folder_that_is_not_there_is_said_before_anything_is_asked(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        client.files.download(f"{tmp_path}/none/", id=1)
    assert cdf.requests() == []
    number = named(client, "a")
    with pytest.raises(UsageError, match="there is no such folder"):
        client.files.download(tmp_path / "none" / "a", id=number)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a/b\\c:d*e?f\"g<h>i|j", "a_b_c_d_e_f_g_h_i_j"),
        ("..", "file-1"),
        (".", "file-1"),
        ("///", "file-1"),
        ("line\nbreak\u202eexe.las", "line_break_exe.las"),
        ("trailing. .", "trailing"),
        ("con.txt", "_con.txt"),
        ("COM1", "_COM1"),
        ("brønn 7.las", "brønn 7.las"),
        (".hidden", ".hidden"),
    ],
)  # fmt: skip
def test_a_name_from_cdf_leads_nowhere_else(name: str, safe: str, tmp_path: Path) -> None:
    found = safe_name(name, "file-1")
    assert found == safe
    assert (tmp_path / found).resolve().parent == tmp_path


@pytest.mark.parametrize(
    ("name", "told"),
    [("a\ud800.las", r"a\\ud800.las' holds '\\ud800', which no file's path has"),
     ("x" * 250, "'x+…x+' is too long for a file's name"),
     ("x" * 300, "'x+…x+' is too long for a file's name"),
     ("x" * 300 + "/", "There is no folder ")],
    ids=["surrogate", "part", "name", "folder"],
)  # fmt: skip
def test_a_path_that_no_file_can_have_is_told_before_anything_is_sent(
    linked: CogniteClient, blob: Blob, name: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told):
        linked.files.download(f"{tmp_path}/{name}", id=1)
    assert not list(tmp_path.iterdir())
    assert not blob.seen


@pytest.mark.parametrize("name", ["ø" * 250 + ".las", "x" * 300, "x." + "y" * 300])
def test_a_long_name_is_cut_and_keeps_its_end(name: str, tmp_path: Path) -> None:
    found = safe_name(name, "file-1")
    (tmp_path / f"{found}.part.json").write_bytes(b"")
    assert found.endswith(".las") == name.endswith(".las")


def test_the_mode_is_that_of_any_new_file(linked: CogniteClient, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = linked.files.download(tmp_path / "data.bin", id=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_no_room_is_said_before_anything_is_fetched(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    def huge(request: Request) -> None:
        request.head(206, MIB // 2, {"content-range": f"bytes 0-{MIB // 2 - 1}/{2**60}"})
        request.wfile.write(DATA[: MIB // 2])

    blob.always = huge
    with pytest.raises(UsageError, match="has room for"):
        linked.files.download(tmp_path / "data.bin", id=1)
    assert len(blob.seen) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_empty_path_is_not_the_current_folder(linked: CogniteClient, blob: Blob) -> None:
    with pytest.raises(UsageError, match="a path, which is empty"):
        linked.files.download("", id=1)
    assert blob.seen == []


def test_a_folder_and_a_device_are_not_written_over(linked: CogniteClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is not a regular file"):
        linked.files.download(tmp_path / "pipe", id=1)


# --- how it looks --------------------------------------------------------------------------------


def test_it_can_be_watched_as_an_upload_can(
    linked: CogniteClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download = linked.files.start_download(tmp_path / "data.bin", id=1)
    with bars(download):
        download.result(30)
    state = download.state
    assert state.phase is Phase.DONE
    assert (state.sent, state.size) == (len(DATA), len(DATA))
    assert summary(state).startswith("Downloaded data.bin: 19 MiB in 3 parts")
    assert "Downloaded data.bin" in capsys.readouterr().err
    assert "of 19 MiB" in repr(download)


def test_why_it_waits_is_told(linked: CogniteClient, blob: Blob, tmp_path: Path) -> None:
    blob.answers = [None, lambda request: request.head(503, 0)]
    waits: list[str] = []
    download = linked.files.start_download(tmp_path / "data.bin", id=1, max_concurrency=1)
    download.listen(lambda state, _: waits.append(state.waiting_for))
    download.result(30)
    assert blob.answers == []
    assert "the store says 503" in waits
    assert waits[-1] == ""


# --- two downloads to one path --------------------------------------------------------------------


def part_file(path: Path) -> PartialFile:
    """The part file of a download of four bytes."""
    wanted, found = Wanted("demo", "http://cdf", {"id": 1}), StoredObject(4, '"v"')
    return PartialFile(path, wanted, found, resume=True)


def test_a_download_keeps_its_file_until_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    first, give_name, tried = part_file(path), os.replace, []
    first.write(first.spans[0], 0, b"done")

    def give_name_beside_another(old: Path, new: Path) -> None:
        with pytest.raises(UploadBusy):
            part_file(path)
        tried.append(new)
        give_name(old, new)

    monkeypatch.setattr(os, "replace", give_name_beside_another)
    first.finish()
    assert tried == [path]
    assert path.read_bytes() == b"done"


@pytest.mark.skipif(partial.fcntl is None, reason="an open file cannot be replaced there")
def test_a_download_that_opened_a_file_which_got_its_name_meanwhile_begins_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    first, lock = part_file(path), partial.fcntl.flock
    first.write(first.spans[0], 0, b"done")

    def late(fd: int, how: int) -> None:
        monkeypatch.undo()
        first.finish()
        lock(fd, how)

    monkeypatch.setattr(partial.fcntl, "flock", late)
    second = part_file(path)
    second.write(second.spans[0], 0, b"next")
    assert path.read_bytes() == b"done"
    second.finish()
    assert path.read_bytes() == b"next"
