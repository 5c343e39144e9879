"""A file on disk, read by position and known by what its file system says of it."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.numbers import whole
from cognite_nb_upload.errors import SourceChanged, TransferError, UsageError
from cognite_nb_upload.process import told
from cognite_nb_upload.sources.paths import absolute, shown_path

# Windows has no such thing, macOS since 11.
_READS_INTO: Final = hasattr(os, "preadv")


class FileSource:
    """Bytes `[start, start + size)` of a file on disk, read by position (`pread`)."""

    def __init__(
        self,
        fd: int | None,
        *,
        name: str,
        path: Path | None,
        start: int,
        size: int,
        found: os.stat_result | None = None,
    ) -> None:
        """Read an open file; where `fd` is None, open what was `found` at `path` when needed."""
        self.name = name
        self.size = size
        self._own_fd = fd
        self._path = path
        self._start = start
        self._as_opened = found or os.fstat(self._fd)
        self._called = "" if fd is None else _path_of(fd)
        self._lock = threading.RLock()
        self._closed = False

    @property
    def path(self) -> Path | None:
        """The path that it was opened by, links not followed; None where there is none."""
        return self._path

    @classmethod
    def open(cls, path: os.PathLike[str] | str, length: int | None = None) -> FileSource:
        """Open a regular file by its path.

        Raises:
            UsageError: it is not there, cannot be read, or is a folder, device, socket or pipe.
        """
        path, _ = _found_at(path)
        fd = _opened_at(path)
        there = os.fstat(fd).st_size
        try:
            if not there:
                refuse_hidden_bytes(fd, 0, str(path))
            size = checked_length(there, length, str(path))
        except BaseException:
            os.close(fd)
            raise
        return cls(fd, name=path.name, path=path, start=0, size=size)

    @classmethod
    def at(cls, path: os.PathLike[str] | str) -> FileSource:
        """As `open`, but the file is opened by the thread that first reads it.

        The caller may be an event loop, and each system call gives the interpreter to busy threads
        for up to 5 ms. Only looking whether the file is there remains.
        """
        path, found = _found_at(path)
        if not found.st_size or not _may_be_read(found):
            return cls.open(path)
        return cls(None, name=path.name, path=path, start=0, size=found.st_size, found=found)

    @property
    def _fd(self) -> int:
        return self._open_now() if self._own_fd is None else self._own_fd

    def _open_now(self) -> int:
        """Open what was looked at.

        Raises:
            SourceChanged: it is not what it was then.
            UsageError: it cannot be read.
        """
        assert self._path is not None  # noqa: S101 # only a file that has a path is opened later
        with self._lock:
            if self._own_fd is None:
                if self._closed:
                    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
                self._own_fd = _opened_at(self._path)
                self._called = _path_of(self._own_fd)
                self.check()
            return self._own_fd

    @property
    def which(self) -> tuple[object, ...] | None:
        """Which file it is and when it was last written to; None where it has no path."""
        was = self._as_opened
        if self._path is None:
            return None
        place = (was.st_dev, was.st_ino) if was.st_ino else (self._path,)
        return *place, was.st_size, was.st_mtime_ns

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; one re-read where the disk reports an error."""
        size = max(0, min(size, self.size - offset))
        try:
            data = self._pread(offset, size)
        except OSError:
            data = self._again(offset, size)
        if len(data) < size and size:
            data += self._rest(offset + len(data), size - len(data))
        return data

    def _again(self, offset: int, size: int) -> bytes:
        try:
            return self._pread(offset, size)
        except OSError as error:
            raise TransferError(
                f"{shown_path(self._path) or self.name} cannot be read at byte "
                f"{self._start + offset}: {error.strerror}."
            ) from error

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` from `offset`, without a copy between; returns how many bytes came."""
        wanted, came = max(0, min(len(room), self.size - offset)), 0
        if _READS_INTO:
            try:
                came = os.preadv(self._fd, [room[:wanted]], self._start + offset)
            except OSError:  # read_at reads again, and says what is wrong
                came = 0
        if came < wanted:
            room[came:wanted] = self.read_at(offset + came, wanted - came)
        return wanted

    def region(self) -> tuple[int, int]:
        """The descriptor of the open file, and where the content begins: for `sendfile`."""
        return self._fd, self._start

    def _rest(self, offset: int, size: int) -> bytes:
        pieces = []
        while size:
            data = self._pread(offset, size)
            if not data:
                if os.fstat(self._fd).st_size == self._as_opened.st_size:
                    raise says_more(self.name, self._as_opened.st_size, self._start + offset)
                raise SourceChanged(
                    f"{self.name} ended at byte {self._start + offset}, {size} bytes early: "
                    "it became shorter while it was being read."
                ).hint("Nothing was completed. Upload it again once nobody writes to it.")
            pieces.append(data)
            offset, size = offset + len(data), size - len(data)
        return b"".join(pieces)

    def _pread(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._fd, size, self._start + offset)
        with self._lock:  # Windows has no pread
            os.lseek(self._fd, self._start + offset, os.SEEK_SET)
            return os.read(self._fd, size)

    def check(self) -> None:
        """Compare with what was opened: size, mtime, ctime, and at its path the same inode."""
        was = self._as_opened
        try:
            now = os.fstat(self._fd)
        except OSError as error:  # ESTALE: its server has forgotten it
            raise self._changed(f"cannot be looked at ({error.strerror})") from error
        if now.st_size != was.st_size:
            raise self._changed(f"was {was.st_size} bytes and is {now.st_size}")
        if now.st_mtime_ns != was.st_mtime_ns:
            raise self._changed("was written to")
        if now.st_ctime_ns != was.st_ctime_ns:
            self._look_closer(now)
        if self._path is None:
            return
        try:
            at_path = self._path.stat()
        except OSError:
            raise self._changed("is no longer there") from None
        if (at_path.st_ino, at_path.st_dev) != (was.st_ino, was.st_dev):
            raise self._changed("was replaced by another file")

    def _look_closer(self, now: os.stat_result) -> None:
        """Its ctime alone has changed: it was renamed, its rights were, or its mtime was put back.

        A write in the same moment as new rights is not told apart from them: only a digest of
        every byte that was sent could do that, and none is taken of a file on the disk. A later
        write is: the new ctime is what the next look is compared with.

        Raises:
            SourceChanged: nothing else explains it.
        """
        was, called = self._as_opened, _path_of(self._fd)
        if sys.platform != "win32" and (_rights(now), called) == (_rights(was), self._called):
            error = self._changed("was written to, and its modification time put back")
            error.unseen = True
            raise error
        self._as_opened, self._called = now, called

    def _changed(self, how: str) -> SourceChanged:
        return SourceChanged(
            f"{shown_path(self._path) or self.name} changed during the upload: it {how}."
        ).hint("Nothing was completed. Upload it again once nobody writes to it.")

    def facts(self) -> SourceFacts:
        """Path, size, mtime and inode, and when anything of it was changed."""
        was = self._as_opened
        path = str(self._path.resolve()) if self._path else ""
        # Elsewhere the system itself writes attributes of files, which changes it all the time.
        ctime_ns = was.st_ctime_ns if sys.platform == "linux" else 0
        rights = "/".join(map(str, _rights(was)))
        return SourceFacts(
            path, self.size, was.st_mtime_ns, was.st_ino, ctime_ns=ctime_ns, rights=rights
        )

    def close(self) -> None:
        """Close our own descriptor; a second call does nothing."""
        with self._lock:
            if not self._closed and self._own_fd is not None:
                os.close(self._own_fd)
            self._closed = True

    def __del__(self) -> None:
        if hasattr(self, "_closed"):  # it was made
            self.close()


def _found_at(path: os.PathLike[str] | str) -> tuple[Path, os.stat_result]:
    """The absolute path of a regular file, and what the system tells of it."""
    if os.fspath(path) in ("", b""):
        raise UsageError("The path is empty; give the path of a file.")
    try:
        path = absolute(path)
        found = path.stat()
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}.") from None
    except ValueError:  # a NUL, or what the file system's encoding lacks
        raise UsageError(f"{str(path)!r} cannot be the path of a file.") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise UsageError(f"{shown_path(path)} is {kind}; give the path of a file.")
    return path, found


def _opened_at(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if (sentence := told(error)) is not error:
            raise sentence from None
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}.") from None


def _may_be_read(found: os.stat_result) -> bool:
    """False where the rights may forbid it, so that only opening the file tells."""
    mode = stat.S_IRUSR if hasattr(os, "geteuid") and found.st_uid == os.geteuid() else 0o444
    return found.st_mode & mode == mode


def _rights(status: os.stat_result) -> tuple[int, int, int, int]:
    """What else than a write changes a file's ctime, and shows."""
    return status.st_mode, status.st_uid, status.st_gid, status.st_nlink


def _path_of(fd: int) -> str:
    """Where the open file is now; "" where the system does not say."""
    with suppress(OSError):
        if sys.platform == "darwin":
            import fcntl

            return fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
        return os.readlink(f"/proc/self/fd/{fd}")
    return ""


def refuse_hidden_bytes(fd: int, at: int, name: str) -> None:
    """A file of size 0 that has bytes, as those in /proc: how many there are, nobody knows."""
    try:
        hidden = bool(os.pread(fd, 1, at)) if hasattr(os, "pread") else False
    except OSError:
        return
    if hidden:
        raise UsageError(
            f"{name} says that it has 0 bytes, and has some: give its bytes, as in "
            "upload(path.read_bytes(), name='...')."
        )


def says_more(name: str, told: int, came: int) -> SourceChanged:
    """The error for a file whose size is another than that of what it has, as those in /sys."""
    return SourceChanged(
        f"{name} says that it has {told} bytes, and has {came}: give its bytes, as in "
        "upload(path.read_bytes(), name='...')."
    ).hint("Nothing was completed.")


def checked_length(there: int, length: int | None, name: str) -> int:
    """How many of the bytes that are there are meant.

    Raises:
        UsageError: more than there are, or no number of bytes.
    """
    if length is None:
        return there
    length, given = whole(length), length
    if length is None or length < 0:
        raise UsageError(f"length is a number of bytes, 0 or more, not {given!r}.")
    if length > there:
        raise UsageError(f"{name} has {there} bytes left; length asks for {length}.")
    return length
