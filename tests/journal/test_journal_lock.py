"""The lock beside a journal."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cognite_nb_upload.journal.lock import ProcessLock


def test_a_lock_that_was_ended_twice_ends_no_other_of_the_same_file(tmp_path: Path) -> None:
    """Nor does it close the descriptor that has its number by then."""
    path = tmp_path / "a.lock"
    first = ProcessLock.take(path, 0)
    assert first is not None
    first.release()
    second = ProcessLock.take(path, 0)
    assert second is not None
    first.release()
    assert ProcessLock.take(path, 0) is None
    second.release()
    third = ProcessLock.take(path, 0)
    assert third is not None
    third.release()


def test_many_who_look_at_once_do_not_take_each_other_for_a_holder(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.touch()

    def look(_: int) -> list[bool]:
        return [ProcessLock.is_held(path) for _ in range(200)]

    with ThreadPoolExecutor(4) as pool:
        assert not any(any(one) for one in pool.map(look, range(4)))
    lock = ProcessLock.take(path, 0)
    assert lock is not None
    assert ProcessLock.is_held(path)
    lock.release()


_LOOKS = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, getattr(fcntl, sys.argv[2]))
print("has it", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks are not shared there")
@pytest.mark.parametrize(("kind", "held"), [("LOCK_SH", False), ("LOCK_EX", True)])
def test_another_process_that_looks_is_no_holder_and_one_that_sends_is(
    kind: str, held: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    command = [sys.executable, "-c", _LOOKS, str(path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"has it\n"
        assert ProcessLock.is_held(path) is held
        assert ProcessLock.take(path, 0) is None
        other.communicate()
    assert not ProcessLock.is_held(path)


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert not ProcessLock.is_held(tmp_path / "a.lock")
    assert not list(tmp_path.iterdir())
