"""Row 39: nothing blocks the loop that all uploads share: no disk, no file, no picture."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from upload_rig import (
    PART,
    Ear,
    asked,
    content_of,
    file_of,
    program,
    puts,
    until,
    until_phase,
    until_true,
)

from cognite_nb_upload import (
    CogniteClient,
    Upload,
    Uploaded,
    UploadStopped,
    UploadToolkitError,
    background,
    process,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.progress.lines import Moment
from cognite_nb_upload.progress.watch import Bars
from cognite_nb_upload.transfer import places


async def _nothing() -> None:
    pass


def the_loop_is_free() -> None:
    """It answers; a loop that is blocked until the test lets it go on would not."""
    background.start(_nothing).result(60)


class SlowDisk:
    """A disk that syncs while `let` is set; it says when it is asked, and by the loop or not."""

    def __init__(self) -> None:
        self.let, self.asked = threading.Event(), threading.Event()
        self.in_loop = False

    def sync(self, _: int) -> None:
        self.in_loop = self.in_loop or background.in_own_loop()
        self.asked.set()
        assert self.let.wait(30)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    slow = SlowDisk()
    monkeypatch.setattr(journal_folder, "sync", slow.sync)
    yield slow
    slow.let.set()


def test_only_opening_and_completing_wait_for_a_slow_disk(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, disk: SlowDisk
) -> None:
    heard = Ear()
    upload = client.files.start_upload(file_of(tmp_path, 4), part_size=PART)
    upload.listen(lambda _, event: disk.let.clear() if type(event) is ev.PartStarted else None)
    upload.listen(heard)
    assert disk.asked.wait(30)
    until(upload, lambda state: state.file_id)
    the_loop_is_free()
    assert puts(cdf) == {}  # the URLs are not on disk yet: no part goes
    disk.let.set()
    heard.until_heard(ev.Completing)  # all parts, with a disk that syncs nothing meanwhile
    assert not disk.let.is_set()
    the_loop_is_free()
    assert asked(cdf, "complete") == []
    disk.let.set()
    uploaded = upload.result(30)
    assert cdf.content(uploaded.id) == content_of(4)
    assert not disk.in_loop


def test_a_stopped_upload_does_not_wait_for_the_disk(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, disk: SlowDisk
) -> None:
    disk.let.set()
    cdf.inject(Fault("stall", "part", part=3))
    upload = client.files.start_upload(file_of(tmp_path, 4), part_size=PART)
    until(upload, lambda state: state.stored)
    disk.let.clear()
    upload.stop()
    disk.let.set()
    assert client.files.upload(tmp_path / "big.segy", part_size=PART).notes


class SlowFace:
    """A screen whose last picture takes until the test lets it."""

    def __init__(self) -> None:
        self.drawing, self.let = threading.Event(), threading.Event()
        self.phases: list[Phase] = []

    def paint(self, moment: Moment) -> bool:
        return False

    def finish(self, moment: Moment) -> None:
        self.drawing.set()
        assert self.let.wait(30)
        self.phases.append(moment.state.phase)


def test_the_last_picture_of_bars_is_waited_for_by_who_waits_and_not_by_the_loop(
    client: CogniteClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cognite_nb_upload.progress.watch._LAST_S", 30.0)
    face = SlowFace()
    upload = client.files.start_upload(file_of(tmp_path, 2), part_size=PART)
    with Bars(upload, face):
        assert face.drawing.wait(30)
        the_loop_is_free()
        assert not upload.done()
        face.let.set()
        upload.result(30)
        assert face.phases == [Phase.DONE]


def test_a_listener_of_the_end_is_not_called_by_the_loop(
    client: CogniteClient, tmp_path: Path
) -> None:
    upload, by_loop = client.files.start_upload(file_of(tmp_path, 1)), []
    upload.when_done(lambda _: by_loop.append(background.in_own_loop()))
    upload.result(30)
    until_true(lambda: by_loop)
    assert by_loop == [False]


WATCHED = """
import os, sys, threading
from pathlib import Path
opened, folder = [], sys.argv[1]

def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "os.remove", "os.rename"):
        if threading.current_thread().name == "cognite_nb_upload":
            opened.append((event, str(arguments[0])))

from cognite_nb_upload import CogniteClient, resume, uploads
client = CogniteClient.from_env()
client.files.upload(b"warm", name="warm.bin", external_id="w")  # imports what is needed
sys.addaudithook(watch)
from upload_rig import PART, file_of, until
upload = client.files.start_upload(file_of(Path(folder), 3), part_size=PART, external_id="x",
                                   max_bandwidth=2 * PART)
until(upload, lambda state: state.stored)
upload.stop()
resume(uploads().index[0], client).result(60)
client.files.upload(iter([bytes(PART)]), name="spooled.bin")
ours = (folder, os.environ["COGNITE_NB_UPLOAD_STATE"], "/tmp/tmp")
print([one for one in opened if any(place in one[1] for place in ours)])
"""


def test_no_file_is_opened_listed_or_deleted_by_the_loop(
    cdf: Emulator, tmp_path: Path, journals: Path
) -> None:
    done = program(cdf, WATCHED, tmp_path)
    assert done.stdout == "[]\n", done.stderr


def test_what_is_cancelled_before_it_began_ends_all_the_same() -> None:
    entered, ended = threading.Event(), threading.Event()
    held, go_on = threading.Event(), threading.Event()

    async def hold() -> None:
        held.set()
        go_on.wait(60)  # the loop does nothing else meanwhile

    async def work() -> None:
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    background.start(hold)
    assert held.wait(60)
    running = background.start(work)
    running.cancel()
    go_on.set()
    assert ended.wait(60)
    assert entered.is_set()


# --- the caller's loop ----------------------------------------------------------------------------


def small_files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"f{no}.bin" for no in range(count)]
    for no, path in enumerate(paths):
        path.write_bytes(b"x" * (1 + no))
    return paths


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing begins by the clock, but only when its caller's loop goes on or waits."""
    monkeypatch.setattr(background, "_HELD_S", 3600.0)


@pytest.fixture
def no_collection() -> Iterator[None]:
    """No call is that of a finalizer of something else."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def descriptors() -> set[str]:
    folder, found = Path("/proc/self/fd"), set()
    for name in os.listdir(folder):
        with suppress(OSError):  # the one that lists them
            found.add(os.readlink(folder / name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are read in /proc")
@pytest.mark.usefixtures("held", "no_collection")
def test_a_statement_that_starts_many_uploads_is_over_before_the_first_one_begins(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    paths = small_files(tmp_path, 20)
    client.files.upload(b"warm", name="warm.bin")
    calls = [0]

    def count(_frame: object, event: str, _: object) -> None:
        calls[-1] += event in ("call", "c_call")

    async def cell() -> list[Upload]:
        uploads = []
        for path in paths:
            calls.append(0)
            sys.setprofile(count)
            uploads.append(client.files.start_upload(path, progress=False))
            sys.setprofile(None)
        assert not any(one.id or one.path for one in uploads)
        assert not descriptors() & set(map(str, paths))  # their threads open them
        for one in uploads:
            await one
        return uploads

    uploads = asyncio.run(cell())
    assert max(calls[3:]) < min(calls[3:]) + 50  # however many run already
    assert [cdf.content(one.result().id) for one in uploads] == [one.read_bytes() for one in paths]


@pytest.mark.usefixtures("held")
def test_who_blocks_its_own_loop_to_wait_is_not_held_back(
    client: CogniteClient, tmp_path: Path
) -> None:
    one, two, three = small_files(tmp_path, 3)

    async def cell() -> None:
        uploaded = client.files.start_upload(one).result(30)
        assert client.files.upload(two).size == 2
        client.files.start_upload(three).stop()
        copy = client.files.start_download(tmp_path / "copy.bin", id=uploaded.id).result(30)
        assert copy.read_bytes() == one.read_bytes()
        client.files.start_download(tmp_path / "other.bin", id=uploaded.id).stop()

    asyncio.run(cell())


def test_a_cell_that_does_not_return_holds_no_upload_back(
    client: CogniteClient, tmp_path: Path
) -> None:
    (path,) = small_files(tmp_path, 1)

    async def cell() -> None:
        until_phase(client.files.start_upload(path), Phase.DONE)  # this waits for a listener

    asyncio.run(cell())


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("change", ["replaced", "written to", "gone"])
def test_a_file_that_changes_before_its_thread_opens_it_is_not_sent(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, change: str
) -> None:
    path, other = small_files(tmp_path, 2)

    async def cell() -> None:
        upload = client.files.start_upload(path)
        if change == "replaced":
            other.replace(path)
        elif change == "written to":
            os.utime(path, ns=(1, 1))
        else:
            path.unlink()
        await upload

    sentence = {"gone": "cannot be read: No such file"}.get(change, f"was {change}")
    if change == "replaced":
        sentence = "was 1 bytes and is 2"
    with pytest.raises(UploadToolkitError, match=sentence):
        asyncio.run(cell())
    assert asked(cdf, "init") == []


def test_hooks_that_wait_for_other_uploads_leave_them_threads(
    client: CogniteClient, cdf: Emulator
) -> None:
    many = 45  # more than the threads that anyio gives to all
    together = threading.Barrier(many)

    def hook(done: Uploaded) -> None:
        together.wait(60)  # all of them wait at the same time
        client.files.upload(b"x", name=f"{done.file.name} again")

    begun = [client.files.start_upload(b"x", name=f"{no}", on_done=hook) for no in range(many)]
    assert {upload.result(90).notes for upload in begun} == {()}
    assert len(cdf.files()) >= 2 * many


def test_an_upload_waits_for_its_turn_and_a_paused_one_gives_its_place(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_of_process", process.PerProcess(lambda: places.Places(1)))
    one, two = small_files(tmp_path, 2)
    nested: list[Uploaded] = []
    cdf.inject(Fault("stall", "part", part=1))
    large = client.files.start_upload(file_of(tmp_path, 2), part_size=PART)
    until(large, lambda state: state.missing_parts == (1,))
    stopped = client.files.start_upload(one)
    small = client.files.start_upload(
        two, on_done=lambda _: nested.append(client.files.upload(b"x", name="nested.bin"))
    )
    for waiting in (stopped, small):
        until(waiting, lambda state: "its turn" in state.waiting_for)
    stopped.stop()
    assert len(asked(cdf, "init")) == 1
    large.pause()
    assert small.result(30).size == 2  # and the one within its hook has had its turn, too
    assert nested[0].size == 1
    large.resume()
    assert large.result(30).parts == 2
    with pytest.raises(UploadStopped):
        stopped.result(30)


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("end", ["done", "failed"])
def test_an_ended_upload_is_freed_without_the_collector(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, end: str
) -> None:
    (path,) = small_files(tmp_path, 1)
    if end == "failed":
        cdf.inject(Fault("status", "init", status=400))

    async def cell() -> weakref.ref[Upload]:
        upload = client.files.start_upload(path, progress=False)
        with suppress(UploadToolkitError):
            await upload
        assert upload.done()
        return weakref.ref(upload)

    gone = asyncio.run(cell())
    until_true(lambda: gone() is None)
