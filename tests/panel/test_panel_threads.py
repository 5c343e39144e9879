"""Presses, journals and ends of uploads come in several threads: none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from paneling import choose
from support import fired, seen, until

from cognite_nb_upload import CogniteClient, Uploaded
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal.folder import JournalRow
from cognite_nb_upload.models import CDFFile
from cognite_nb_upload.transfer.upload import Upload
from cognite_nb_upload.widgets.panel import panel as panel_module
from cognite_nb_upload.widgets.panel.chooser import ChosenFile
from cognite_nb_upload.widgets.panel.many import FileList
from cognite_nb_upload.widgets.panel.panel import DATA_MODEL, UploadPanel
from cognite_nb_upload.widgets.panel.table import FileTable
from cognite_nb_upload.widgets.panel.unfinished import Unfinished
from cognite_nb_upload.widgets.tasks import Tasks

MakePanel = Callable[..., UploadPanel]


def uploaded(no: int) -> Uploaded:
    return Uploaded(CDFFile(id=no, name=f"{no}.segy"), 1, 1, 1.0, 0, "")


def chosen(no: int, tmp_path: Path) -> ChosenFile:
    path = tmp_path / f"{no}.las"
    path.write_bytes(bytes(2 * MIB))  # in parts: a smaller one goes in one PUT
    return ChosenFile(path, path.name, 2 * MIB, path.stat().st_mtime_ns, str(path))


def meet(both: threading.Barrier) -> None:
    """Two threads are here at once, unless a lock holds one of them up."""
    with suppress(threading.BrokenBarrierError):
        both.wait(0.3)


@contextmanager
def in_threads(*works: Callable[[], object]) -> Iterator[None]:
    """All of them at once; the block runs meanwhile."""
    threads = [threading.Thread(target=one) for one in works]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        for one in threads:
            one.join(60)
    assert not any(one.is_alive() for one in threads)


def test_of_files_that_arrive_together_each_is_told(ready: UploadPanel) -> None:
    told: list[int | None] = []
    gate = threading.Event()

    def hears(one: Uploaded) -> None:
        gate.wait(60)
        told.append(one.id)

    ready.on_uploaded(hears)
    for no in (1, 1, 2):  # the same file may be overwritten by the next one of a list
        ready._tell_callbacks(uploaded(no))
    gate.set()
    until(lambda: sorted(map(str, told)) == ["1", "1", "2"])


def test_the_form_that_is_shown_is_the_one_that_is_read(
    panel: UploadPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that comes has the panel look at the form while the switch is pressed."""
    both, made = threading.Barrier(2), list[object]()

    class Slow(panel_module.NodeForm):
        def __init__(self) -> None:
            made.append(self)
            meet(both)
            super().__init__()

    monkeypatch.setattr(panel_module, "NodeForm", Slow)
    with in_threads(*[lambda: panel.node_form] * 2):
        pass
    assert made == [panel.node_form]
    panel.kind.value = DATA_MODEL
    assert panel._about.children[1] is panel._node_form


def test_two_presses_at_once_start_one_upload(
    ready: UploadPanel, cdf: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdf.inject(Fault("stall", "part", times=None))
    call, both = ready._call, threading.Barrier(2)

    def slow(*given: Any) -> Upload:
        meet(both)
        return call(*given)

    monkeypatch.setattr(ready, "_call", slow)
    with in_threads(ready._start, ready._start):
        pass
    assert len(ready.views) == len(ready.uploads) == 1
    until(lambda: fired(cdf))
    cdf.clear_faults()
    ready.uploads[0].result(60)
    assert len(seen(cdf, "init")) == 1


def test_endings_that_come_together_are_all_kept(
    ready: UploadPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [FileTable(FileList([chosen(no, tmp_path)])) for no in range(2)]
    both = threading.Barrier(2)

    class Slow(dict[object, Any]):
        def __iter__(self) -> Iterator[object]:
            return iter(self.keys())

        def keys(self) -> Any:
            meet(both)
            return super().keys()

    monkeypatch.setattr(ready, "_endings", Slow())
    with in_threads(*(lambda one=one: ready._list_ended(one) for one in tables)):
        pass
    assert set(ready._endings) == set(tables)
    for one in tables:
        one.close()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FileList]:
    made = FileList([chosen(no, tmp_path) for no in range(2)])
    yield made
    made.stop()
    assert made.wait(60)


def moods(files: FileList) -> list[str]:
    return [row.mood for row in files.rows]


@pytest.mark.parametrize("pressed", ["stop", "pause and resume"])
def test_what_is_pressed_while_an_upload_is_being_started_holds_for_it(
    files: FileList, client: CogniteClient, cdf: Emulator, pressed: str
) -> None:
    starting, go_on = threading.Semaphore(0), threading.Event()

    def call(file: ChosenFile) -> Upload:
        starting.release()
        go_on.wait(60)
        upload: Upload = client._twin.files.upload(file.content, name=file.name)
        return upload

    cdf.inject(Fault("stall", "part", times=None))
    files.start(call)
    for _ in files.rows:
        assert starting.acquire(timeout=60)
    if pressed == "stop":
        files.stop()
        go_on.set()
        until(lambda: moods(files) == ["stopped", "stopped"])
        return
    files.pause()
    go_on.set()
    until(lambda: len(files.uploads) == 2 and all(one.paused for one in files.uploads))
    files.resume()
    assert not any(one.paused for one in files.uploads)
    cdf.clear_faults()
    until(lambda: moods(files) == ["done", "done"])


def test_a_list_that_was_resumed_in_the_moment_in_which_it_pauses_one_goes_on(
    tmp_path: Path, client: CogniteClient
) -> None:
    class Resumed(FileList):
        """It goes on right after it was seen to be paused."""

        @property
        def paused(self) -> bool:
            was = self._paused
            if was and not threads and self.uploads:
                threads.append(threading.Thread(target=self.resume))
                threads[0].start()
                threads[0].join(0.2)  # a lock may hold it up
            return was

        @paused.setter
        def paused(self, value: bool) -> None:
            self._paused = value

    threads: list[threading.Thread] = []
    files = Resumed([chosen(1, tmp_path)])

    def call(file: ChosenFile) -> Upload:
        upload: Upload = client._twin.files.upload(file.content, name=file.name)
        files.pause()
        return upload

    files.start(call)
    until(lambda: threads and not threads[0].is_alive())
    until(lambda: moods(files) == ["done"])
    assert files.wait(60)


def test_a_list_that_is_started_twice_sends_each_file_once(
    files: FileList, client: CogniteClient, cdf: Emulator
) -> None:
    called: list[str] = []

    def call(file: ChosenFile) -> Upload:
        called.append(file.name)
        upload: Upload = client._twin.files.upload(file.content, name=file.name)
        return upload

    cdf.inject(Fault("stall", "part", times=None))
    files.start(call)
    until(lambda: len(fired(cdf)) == 2)
    files.start(call)
    cdf.clear_faults()
    until(lambda: moods(files) == ["done", "done"])
    assert files.wait(60)
    assert sorted(called) == ["0.las", "1.las"]


def test_a_table_shows_the_list_as_it_is_now(tmp_path: Path) -> None:
    class Slow(FileTable):
        def _total(self) -> dict[str, Any]:
            total = super()._total()
            if watched and not threads:
                threads.append(threading.Thread(target=removes))
                threads[0].start()
                threads[0].join(0.2)  # a lock may hold it up
            return total

    watched: list[bool] = []
    threads: list[threading.Thread] = []
    files = FileList([chosen(no, tmp_path) for no in range(3)])
    table = Slow(files)

    def removes() -> None:
        files.remove(files.rows[0])

    watched.append(True)
    table.changed()
    threads[0].join(60)
    assert len(table.rows) == 2
    assert table.total["words"].startswith("2 files")
    table.close()


def test_a_closed_table_hears_no_more_of_its_list(tmp_path: Path) -> None:
    files = FileList([chosen(no, tmp_path) for no in range(2)])
    table = FileTable(files)
    table.close()
    files.remove(files.rows[0])
    assert len(table.rows) == 2


def test_what_the_journal_told_last_is_listed(
    monkeypatch: pytest.MonkeyPatch, surroundings: Path
) -> None:
    """The history is opened in the moment in which the journals were read again."""

    class Slow(Unfinished):
        def _item(self, row: JournalRow) -> Any:
            if row.id == "old" and opens:
                opens.pop().set()
                shown.wait(0.2)  # a lock may hold it up
            return super()._item(row)

    opens: list[threading.Event] = []
    shown = threading.Event()
    tasks = Tasks()
    one = Slow(lambda _: None, frozenset, tasks)
    one.rows = (JournalRow(id="old", name="old"),)
    opening = threading.Event()
    opens.append(opening)

    def read() -> None:
        opening.wait(60)
        one.refresh()  # no journal is there now
        assert tasks.wait(60)
        shown.set()

    with in_threads(one.toggle, read):
        pass
    assert one.rows == ()
    assert one._list.children == ()


def test_a_new_panel_shows_an_upload_that_a_list_starts_in_that_moment_in_the_list(
    panel: UploadPanel, tmp_path: Path, client: CogniteClient, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall", "part", times=None))
    choose(panel, chosen(1, tmp_path).real)
    panel.start.click()
    until(lambda: fired(cdf))
    assert len(panel.views) == 1
    panel._list_uploads(panel.uploads[0])  # it is told that a list has started it
    assert panel.views == ()
    assert len(panel.uploads) == 1
