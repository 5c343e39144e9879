"""Row 39: nothing blocks the loop that all uploads share: no disk, no file, no picture."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from upload_rig import PART, Ear, asked, content_of, file_of, program, puts, until, until_true

from cognite_nb_upload import CogniteClient, background
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.progress.lines import Moment
from cognite_nb_upload.progress.watch import Bars


async def _nothing() -> None:
    pass


def the_loop_is_free() -> None:
    """It answers; a loop that is blocked until the test lets it go on would not."""
    background.start(_nothing).result(20)


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
    upload = client.files.start_upload(file_of(tmp_path, 4), part_size=PART, max_bandwidth=4 * PART)
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
        go_on.wait(20)  # the loop does nothing else meanwhile

    async def work() -> None:
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    background.start(hold)
    assert held.wait(20)
    running = background.start(work)
    running.cancel()
    go_on.set()
    assert ended.wait(20)
    assert entered.is_set()
