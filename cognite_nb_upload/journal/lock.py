"""A lock beside a journal: one process holds it, and one upload of that process.

Rules of this file: a POSIX record lock belongs to a process. A forked child does not inherit it,
and the operating system ends it with its process, whatever children live on. (`flock` belongs to
the open file, which children share: it would outlive a killed parent.) A record lock does not
exclude its own process, and ends when that process closes any descriptor of the file. So a table
says what this process has locked, and a file of the table is never opened again. Whoever only
looks shares the lock for an instant, so that two who look do not take each other for a holder.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from cognite_nb_upload import process

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_POLL_S: Final = 0.02
_TAKEN: Final = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})
_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
# Device and inode.
_File = tuple[int, int]


class _Held:
    """What one process has locked."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.files: set[_File] = set()


# Reloading this module keeps what is locked: its namespace stays.
_held: process.PerProcess[_Held] = globals().get("_held") or process.PerProcess(_Held)


class ProcessLock:
    """A lock that this process has; it ends with `release()`, or with the process."""

    def __init__(self, fd: int, file: _File) -> None:
        self._fd, self._file = fd, file
        self._pid = os.getpid()
        self._released = False

    @classmethod
    def take(cls, path: Path, wait_s: float) -> ProcessLock | None:
        """Lock a file, which is made if needed; None if another holder keeps it for `wait_s`.

        Raises:
            OSError: the file cannot be opened, or nothing can be locked there.
        """
        until_s = time.monotonic() + wait_s
        while True:
            try:
                return cls._try(path)
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    return None
            time.sleep(_POLL_S)

    @staticmethod
    def is_held(path: Path) -> bool:
        """True where somebody has the lock; only looks, and makes no file.

        Raises:
            OSError: the file cannot be opened, or nothing can be locked there.
        """
        held = _held.get()
        with held.mutex:
            if _file_at(path) in held.files:
                return True
            try:
                fd = os.open(path, _FLAGS & ~os.O_CREAT)
            except FileNotFoundError:
                return False
            try:
                _lock(fd, shared=True)
            except BlockingIOError:
                return True
            finally:
                os.close(fd)
            return False

    @classmethod
    def _try(cls, path: Path) -> ProcessLock:
        held = _held.get()
        with held.mutex:
            while True:
                if _file_at(path) in held.files:
                    raise BlockingIOError
                fd = os.open(path, _FLAGS, 0o600)
                try:
                    _lock(fd)
                    file = _file_of(os.fstat(fd))
                    if file == _file_at(path):  # else its holder deleted it meanwhile
                        process.own(fd)
                        held.files.add(file)
                        return cls(fd, file)
                except BaseException:
                    os.close(fd)
                    raise
                os.close(fd)

    def release(self) -> None:
        """End the lock; a second call does nothing, nor does a forked child's.

        The number of the file that was locked may be another file's by then, and the descriptor's
        too: neither says whether the lock is still held.
        """
        if self._pid != os.getpid():
            return
        held = _held.get()
        with held.mutex:
            if not self._released:
                self._released = True
                held.files.discard(self._file)
                os.close(self._fd)


def _file_at(path: Path) -> _File | None:
    with suppress(FileNotFoundError):
        return _file_of(path.stat())
    return None


def _file_of(about: os.stat_result) -> _File:
    return about.st_dev, about.st_ino


def _lock(fd: int, *, shared: bool = False) -> None:
    """Lock an open file at once; several may have it `shared`, but on Windows.

    Raises:
        BlockingIOError: another process has it.
        OSError: it cannot be locked.
    """
    try:
        if sys.platform == "win32":
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.lockf(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise BlockingIOError from None
        raise
