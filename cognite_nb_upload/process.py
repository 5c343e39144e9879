"""What belongs to one process, and is made afresh in a forked child.

A fork copies memory and shares descriptors. A child that used what it inherited would write into
its parent's connections, wait for locks whose holders it does not have, and count what only its
parent does.

Rules of this file: the process is compared where a value is used, because a fork made in C calls no
hook. A child closes its copies of inherited descriptors and does nothing else to them (no shutdown,
no TLS close_notify, no unlocking): they stay its parent's. Inherited values are kept, unused, since
a finalizer would do what the child must not do.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from cognite_nb_upload.errors import TransferError, UsageError

T = TypeVar("T")

# By process, each own descriptor with the device and inode that it had: a number may be reused.
_descriptors: Final[dict[int, dict[int, tuple[int, int]]]] = {}
_inherited: Final[list[object]] = []


class PerProcess(Generic[T]):
    """A value that each process makes for itself when it first asks for it. Thread-safe.

    Two threads that ask at the same instant may both call `make`; both get the same value.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[int, T] = {}

    def get(self) -> T:
        """This process's value."""
        pid = os.getpid()
        try:
            return self._values[pid]
        except KeyError:
            close_inherited()
            for other in [one for one in tuple(self._values) if one != pid]:
                _inherited.append(self._values.pop(other, None))
            # No lock: one that another thread held at the fork would stay locked in the child.
            return self._values.setdefault(pid, self._make())


class Home:
    """The process in which something runs; a forked child's copy of it is of no use."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """True in that process."""
        return os.getpid() == self.pid

    def check(self, what: str) -> None:
        """Raise UsageError in a forked child; `what` begins the sentence, e.g. "The upload"."""
        if not self.is_here:
            raise UsageError(
                f"{what} runs in process {self.pid}; a forked child cannot use it."
            ).hint("Use it in that process, or begin one of this process's own.")


def told(error: BaseException) -> BaseException:
    """The error, or what to say in its place where no more files and sockets can be opened."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        why = "this process" if error.errno == errno.EMFILE else "this machine"
        return TransferError(f"No file descriptor is left: {why} has too many files open.").hint(
            "Close some, or raise the limit (`ulimit -n`); then the same call goes on."
        )
    return error


def own(fd: int) -> None:
    """Remember that a descriptor is this process's own: a forked child closes its copy."""
    if not hasattr(os, "fork"):  # Windows; fstat knows no sockets there
        return
    close_inherited()
    about = os.fstat(fd)
    _descriptors.setdefault(os.getpid(), {})[fd] = (about.st_dev, about.st_ino)


def close_inherited() -> None:
    """Close this process's copies of what its parent owned; does nothing where that was done."""
    pid = os.getpid()
    for other in [one for one in tuple(_descriptors) if one != pid]:
        for fd, known in _descriptors.pop(other, {}).items():
            _give_up(fd, known)


def _give_up(fd: int, known: tuple[int, int]) -> None:
    """Put the null device in the place of a descriptor, if it still is the one that was known.

    The number stays taken, so that an object which closes it later closes nobody else's file.
    """
    with suppress(OSError):
        about = os.fstat(fd)
        if (about.st_dev, about.st_ino) != known:
            return
        null = os.open(os.devnull, os.O_RDWR)
        try:
            os.dup2(null, fd, inheritable=False)
        finally:
            os.close(null)


class _NoReload:
    """Refuses `importlib.reload` (and autoreload, which uses it) of a module of the package.

    What runs, and every client there is, would meet two classes of each name. The package itself
    may be reloaded: it holds names alone.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Only reloading a module says what its target is."""
        if target is not None and name.startswith("cognite_nb_upload."):
            raise ImportError(
                f"{name} is not reloaded: running uploads and existing clients need it as it is. "
                "Restart the kernel to take up another version."
            )


if not any(type(one).__name__ == _NoReload.__name__ for one in sys.meta_path):
    sys.meta_path.insert(0, _NoReload())

if hasattr(os, "register_at_fork"):  # for a child that never comes here by itself
    os.register_at_fork(after_in_child=close_inherited)
