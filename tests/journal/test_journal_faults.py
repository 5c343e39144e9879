"""Faults rows 23 to 25, for real: kills at every step, full and read-only disks, forks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from journals import (
    PLANTED,
    files_of_at_most,
    journal_file,
    known,
    mark,
    opened,
    record,
    stored,
)
from support import until

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import Phase, UploadState, advance
from cognite_nb_upload.errors import UploadBusy
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.writer import (
    Journal,
    JournalWarning,
    find,
    history,
    replay,
    unfinished,
)

PRELUDE = f"""
import os, signal, sys
from pathlib import Path
sys.path[:0] = {[str(one) for one in Path(__file__).parents[:2]]!r}
from forks import raw_fork
from journals import *
from cognite_nb_upload.core import events as ev
folder = Path(sys.argv[1])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@contextmanager
def _program(text: str, folder: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Another process; it has said "ready" when the block begins, and is gone when it ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + text, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **more},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _one_warning() -> Iterator[list[str]]:
    """Exactly one warning is given in the block: a loud one, of ours."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    assert [one.category for one in caught] == [JournalWarning]
    texts.append(str(caught[0].message))


# --- row 23: killed at any step on the disk -------------------------------------------------------

WALK = (
    opened(), stored(1), ev.Paused(), ev.Resumed(), stored(0), stored(3), stored(2),
    ev.Completing(), ev.Assembling(), ev.Completed(),
)  # fmt: skip

# Forks a child for each step, which kills itself there; a step is a call that changes the disk.
KILLER = """
from cognite_nb_upload.journal.file import JournalFile
from test_journal_faults import WALK

def upload(where, deadly, how):
    steps = 0
    def watched(name):
        real = getattr(os, name)
        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == deadly:
                if how == "half-way" and name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                elif how == "after":
                    real(*args, **kwargs)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        setattr(os, name, step)
    acks, say = os.open(where / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.write
    for name in ("write", "ftruncate", "fdatasync", "fsync", "replace", "unlink", "mkdir"):
        watched(name)
    JournalFile._start = lambda self: None  # only this thread syncs, so that steps are counted
    journal, state = Journal.open(mark(), where / "uploads"), UploadState()
    for event in WALK:
        state = advance(state, event)
        journal.record(state, event)
        journal.settle()
        say(acks, b".")
    journal.archive("done")
    os._exit(0)

for how in ("before", "half-way", "after"):
    deadly, status = 0, None
    while status != 0:
        deadly += 1
        where = folder / f"{how}-{deadly:03}"
        where.mkdir()
        child = os.fork()
        if child == 0:
            upload(where, deadly, how)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        (where / "status").write_text(str(status))
print("ready", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
def test_killed_at_any_step_on_the_disk_no_fact_is_lost_and_none_made_up(tmp_path: Path) -> None:
    states = [UploadState()]
    for event in WALK:
        states.append(advance(states[-1], event))
    with _program(KILLER, tmp_path):
        pass
    cases = sorted(tmp_path.iterdir())
    killed = [case for case in cases if (case / "status").read_text() == f"{-signal.SIGKILL}"]
    assert len(cases) - len(killed) == 3  # of each kind the last, which had no such step
    assert len(killed) > 5 * len(WALK)
    for case in killed:
        _check_after_kill(case, states)


def _check_after_kill(case: Path, states: list[UploadState]) -> None:
    acknowledged = len((case / "acks").read_bytes())
    folder = case / "uploads"
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name == "history":
            assert PLANTED.encode() not in path.read_bytes()
    with Journal.open(mark(), folder) as journal:  # nobody is in the way, nothing is damaged
        found = journal.replayed
        if found is not None:
            possible = states[acknowledged : acknowledged + 2]
            assert known(found.state) in [known(state) for state in possible], case
        elif acknowledged == len(WALK):  # killed while it was put away: it is in the history
            assert [row.state for row in history(folder)] == ["done"], case
        else:
            assert acknowledged == 0, case


# --- row 24: full disks ---------------------------------------------------------------------------


def _mount(where: Path, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(("size=64k", *options)), "tmpfs", str(where)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small disk takes root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    where = tmp_path / "disk"
    where.mkdir()
    _mount(where)
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def test_a_full_disk_costs_one_warning_and_nothing_once_there_is_room(small_disk: Path) -> None:
    parts = 100
    with Journal.open(mark(), small_disk / "uploads") as journal:
        state = record(journal, opened(parts))
        path = journal_file(small_disk / "uploads")
        filler = _fill(small_disk)
        with _one_warning() as texts:
            for no in range(parts - 1):
                state = record(journal, stored(no), since=state)
        assert "No space left on device. The upload goes on" in texts[0]
        assert journal.warning == texts[0]
        # The thread that syncs may be trying again right now.
        until(lambda: replay(path).end == path.stat().st_size)
        on_disk = replay(path)
        assert 0 < len(on_disk.state.missing_parts) < parts
        filler.unlink()
        state = record(journal, stored(parts - 1), since=state)
        assert journal.warning == ""
    assert known(replay(path).state) == known(state)
    assert replay(path).state.missing_parts == ()


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while file.write(bytes(65536)) == 65536:
            pass  # a short write: the disk is full
    return filler


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_line_that_fits_only_in_part_is_cut_off_again(folder: Path, room: int) -> None:
    with Journal.open(mark(), folder) as journal:
        state = record(journal, opened(), stored(0))
        path = journal_file(folder)
        before = path.read_bytes()
        with files_of_at_most(len(before) + room), _one_warning():
            state = record(journal, stored(1), stored(2), since=state)
            # The thread that syncs may be trying again right now.
            until(lambda: path.read_bytes() == before)
        record(journal, ev.Paused(), since=state)
        assert replay(path).state.missing_parts == (3,)


def test_a_session_that_could_not_be_written_does_not_get_the_parts_of_the_next(
    folder: Path,
) -> None:
    with Journal.open(mark(), folder) as journal:
        state = record(journal, opened(session="old"), stored(0))
        path = journal_file(folder)
        with files_of_at_most(path.stat().st_size + 200), _one_warning():
            record(journal, opened(session="new"), stored(1), since=state)
            journal.close()  # or it is written after all, once there is room
    found = find(mark(), folder)  # as after a kill: the old session, and its parts alone
    assert found is not None
    assert found.opened == opened(session="old")
    assert found.state.missing_parts == (1, 2, 3)


def test_a_disk_that_is_full_from_the_start_is_written_to_later(folder: Path) -> None:
    with files_of_at_most(0), _one_warning():
        journal = Journal.open(mark(), folder)
    assert journal.warning
    with journal:
        record(journal, opened(), stored(0))
        assert journal.warning == ""
    found = find(mark(), folder)
    assert found is not None
    assert found.state.missing_parts == (1, 2, 3)


def test_without_room_for_the_history_the_urls_are_deleted_all_the_same(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
        with files_of_at_most(100), _one_warning() as texts:
            journal.archive("done")
    assert "not in the history" in texts[0]
    assert [path for path in folder.rglob("*") if path.is_file()] == []


SYNCING = """
import warnings
from cognite_nb_upload.journal.file import JournalFile
JournalFile._start = lambda self: None  # only this thread syncs, so that the syncs are counted
with warnings.catch_warnings(record=True) as caught:
    journal = Journal.open(mark(), folder)
    journal.settle()
    state = record(journal, opened())
    journal.settle()
print("ready", [str(one.message) for one in caught], flush=True)
cut = journal.path.read_bytes().count(b"\\n")
record(journal, stored(0), since=state)
print(cut, journal.path.read_bytes().count(b"\\n"), repr(journal.warning))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the disk fail")
def test_what_a_disk_failed_to_sync_is_written_again(folder: Path) -> None:
    second_sync_fails = [
        "strace",
        "-f",
        "-o",
        os.devnull,
        "-e",
        "inject=fdatasync:error=EIO:when=2",
    ]
    program = [sys.executable, "-c", PRELUDE + SYNCING, str(folder)]
    done = subprocess.run([*second_sync_fails, *program], capture_output=True, text=True)
    if "PTRACE" in done.stderr:
        pytest.skip("this machine does not let one process trace another")
    first, second = done.stdout.splitlines()
    assert "Input/output error. The upload goes on" in first
    assert second == "2 4 ''"  # header and holder; then session and part together
    assert replay(journal_file(folder)).state.missing_parts == (1, 2, 3)


# --- row 24: folders that cannot be written to ----------------------------------------------------


def _a_file_in_its_place(where: Path) -> Path:
    where.write_text("not a folder")
    return where


def _a_file_in_its_parents_place(where: Path) -> Path:
    return _a_file_in_its_place(where) / "uploads"


def _a_read_only_folder(where: Path) -> Path:
    where.mkdir()
    if os.geteuid() == 0:
        _mount(where, "ro")
    else:
        where.chmod(0o500)
    return where


@pytest.mark.parametrize(
    "spoil", [_a_file_in_its_place, _a_file_in_its_parents_place, _a_read_only_folder]
)
def test_without_a_folder_the_upload_goes_on_unremembered_and_says_so(
    tmp_path: Path, spoil: Callable[[Path], Path]
) -> None:
    folder = spoil(tmp_path / "place")
    try:
        with _one_warning() as texts, Journal.open(mark(), folder) as journal:
            assert journal.path is None
            assert journal.replayed is None
            record(journal, opened(), stored(0), ev.Completing(), ev.Completed())
            assert journal.warning
            journal.archive("done")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
    assert str(folder) in texts[0]
    assert "COGNITE_NB_UPLOAD_STATE" in texts[0]
    assert find(mark(), folder) is None
    assert unfinished(folder) == history(folder) == []


def test_an_upload_on_a_disk_that_became_read_only_is_left_as_it_is(small_disk: Path) -> None:
    with Journal.open(mark(), small_disk / "uploads") as journal:
        state = record(journal, opened(), stored(0))
    read_only = ["mount", "-o", "remount,ro", str(small_disk)]
    # Its last sync may be under way, and keeps the file open.
    until(lambda: subprocess.run(read_only, capture_output=True, check=False).returncode == 0)
    with _one_warning(), Journal.open(mark(), small_disk / "uploads") as again:
        record(again, stored(1), since=state)
    assert unfinished(small_disk / "uploads")[0].stored_parts == 1


# --- row 25: two at once --------------------------------------------------------------------------

HOLDER = """
journal = Journal.open(mark(), folder)
state = record(journal, opened(), stored(0))
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
"""


def test_the_second_process_is_refused_and_told_who_has_it(folder: Path) -> None:
    with _program(HOLDER, folder, JPY_SESSION_NAME="work/seismic.ipynb") as holder:
        with pytest.raises(UploadBusy) as no:
            Journal.open(mark(), folder)
        (row,) = unfinished(folder)
        for words in (str(no.value), row.held_by):
            assert f"process {holder.pid} on host {socket.gethostname()}" in words
            assert "work/seismic.ipynb" in words
            assert "since 2" in words
        with pytest.raises(UploadBusy):
            Journal.reopen(row.id, folder)
        with Journal.open(mark(name="another"), folder) as journal:
            assert journal.path is not None  # it is one upload that is in hand, not the folder


def test_a_killed_process_leaves_no_lock_and_its_parts_are_found(folder: Path) -> None:
    with _program(HOLDER, folder) as holder:
        holder.send_signal(signal.SIGKILL)
        assert holder.wait() == -signal.SIGKILL
        assert unfinished(folder)[0].held_by == ""
        with Journal.open(mark(), folder) as journal:
            assert journal.replayed is not None
            assert journal.replayed.state.missing_parts == (1, 2, 3)


def test_a_second_call_in_the_same_process_is_refused_too(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
        with pytest.raises(UploadBusy, match=rf"process {os.getpid()} \(this one\)"):
            Journal.open(mark(), folder)
    Journal.open(mark(), folder).close()


def test_facts_of_many_threads_are_all_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    inside = threading.Semaphore(0)

    def slow_write(fd: int, data: bytes) -> int:
        inside.acquire(timeout=0.05)  # as long as someone else could come in
        try:
            return write(fd, data)
        finally:
            inside.release()

    with Journal.open(mark(), folder) as journal:
        state = record(journal, opened())
        monkeypatch.setattr(os, "write", slow_write)
        threads = [
            threading.Thread(target=journal.record, args=(state, stored(no))) for no in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert replay(journal_file(folder)).state.missing_parts == ()


FORKED = """
journal = Journal.open(mark(), folder)
state = record(journal, opened(), stored(0))
if os.fork() == 0:
    record(journal, stored(1), since=state)
    journal.archive("done")
    journal.close()
    del journal
    sys.exit()
os.wait()
print("ready", flush=True)
sys.stdin.readline()
record(journal, stored(2), since=state)
print("recorded", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_writes_nothing_and_ends_nothing(folder: Path) -> None:
    with _program(FORKED, folder) as parent:
        assert replay(journal_file(folder)).state.missing_parts == (1, 2, 3)
        with pytest.raises(UploadBusy, match=f"process {parent.pid} "):
            Journal.open(mark(), folder)
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "recorded\n"
        assert replay(journal_file(folder)).state.missing_parts == (1, 3)


ORPHAN = """
journal = Journal.open(mark(), folder)
record(journal, opened(), stored(0))
if FORK() == 0:
    sys.stdin.readline()
    os._exit(0)
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("fork", ["os.fork", "raw_fork"])
def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_lock(
    folder: Path, fork: str
) -> None:
    with _program(ORPHAN.replace("FORK", fork), folder) as parent:
        assert parent.wait() == -signal.SIGKILL
        with Journal.open(mark(), folder) as journal:  # the child still waits for its input
            assert journal.replayed is not None


# --- what a stored part costs ---------------------------------------------------------------------


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    """A disk that syncs nothing before the test lets it."""
    disk = SlowDisk()
    monkeypatch.setattr(journal_folder, "sync", disk.sync)
    return disk


class SlowDisk:
    """Counts the bytes that it has of each file; each sync waits for `let`."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.asked = threading.Event()
        self._synced: Counter[int] = Counter()

    def sync(self, fd: int) -> None:
        file = os.fstat(fd)
        self.asked.set()
        assert self.let.wait(30)
        self._synced[file.st_ino] = max(self._synced[file.st_ino], file.st_size)

    def has(self, folder: Path) -> int:
        return self._synced[journal_file(folder).stat().st_ino]


def test_nobody_who_records_waits_for_the_disk(folder: Path, slow_disk: SlowDisk) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), *map(stored, range(4)), ev.Completing())
        assert slow_disk.asked.wait(30)
        assert slow_disk.has(folder) == 0  # the disk has nothing
        assert replay(journal_file(folder)).state.phase is Phase.COMPLETING  # the kernel has all
        slow_disk.let.set()
        journal.settle()
        assert slow_disk.has(folder) == journal_file(folder).stat().st_size


def test_who_opens_or_completes_waits_for_the_disk(folder: Path, slow_disk: SlowDisk) -> None:
    with Journal.open(mark(), folder) as journal, ThreadPoolExecutor(1) as pool:
        record(journal, opened())
        waiting = pool.submit(journal.settle)
        assert slow_disk.asked.wait(30)
        assert not waiting.done()
        slow_disk.let.set()
        waiting.result(30)
        assert slow_disk.has(folder) == journal_file(folder).stat().st_size


def test_what_is_recorded_reaches_the_disk_soon_without_another_event(
    folder: Path, slow_disk: SlowDisk
) -> None:
    slow_disk.let.set()
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
        size = journal_file(folder).stat().st_size
        for _ in range(3000):
            if slow_disk.has(folder) == size:
                break
            time.sleep(0.01)
        assert slow_disk.has(folder) == size


def test_what_is_closed_reaches_the_disk_too_and_lets_another_go_on_meanwhile(
    folder: Path, slow_disk: SlowDisk
) -> None:
    journal = Journal.open(mark(), folder)
    record(journal, opened(), stored(0))
    journal.close()
    size = journal_file(folder).stat().st_size
    with Journal.open(mark(), folder) as again:
        assert again.replayed is not None
        assert again.replayed.state.missing_parts == (1, 2, 3)
        slow_disk.let.set()
    for _ in range(3000):
        if slow_disk.has(folder) >= size:
            break
        time.sleep(0.01)
    assert slow_disk.has(folder) >= size


def test_a_file_system_that_cannot_sync_is_good_enough_and_one_that_fails_is_not() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            os.fdatasync(writing)
        journal_folder.sync(writing)
    finally:
        os.close(reading)
        os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal_folder.sync(writing)
