"""A `Source` is a name, a size, and bytes that can be read again from any place.

That one promise gives parallel parts, retry and resume. What cannot keep it (a pipe, an iterator)
is spooled to a temporary file at the border, since the stores want to know each part's length and
a part that is lost is sent again from its first byte.

Rules of this file: reading is safe from several threads; content that changes while it is being
read raises `SourceChanged`; nobody's file is closed but our own.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import inspect
import io
import lzma
import mmap
import os
import re
import stat
import sys
import tempfile
import threading
import uuid
import zipfile
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio

from cognite_nb_upload.background import run_sync
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.numbers import whole
from cognite_nb_upload.core.plan import MIB, show_bytes
from cognite_nb_upload.errors import SourceChanged, TransferError, UsageError
from cognite_nb_upload.process import PerProcess, told

Content = (
    str | bytes | bytearray | memoryview | mmap.mmap | os.PathLike[str] | IO[bytes]
    | Iterable[bytes] | AsyncIterable[bytes]
)  # fmt: skip

_COPY: Final = 4 * MIB
# Memory that its owner may write to is copied when it is up to this size, in bytes: a few
# milliseconds. Above it, one pass takes a digest of each MiB, and every byte that goes is compared.
COPIED_UP_TO: Final = 16 * MIB
_BLOCK: Final = MIB
_LIVE: Final = "read where it is; a change is noticed"
NOWHERE: Final = "The current folder was deleted: change to another, or give an absolute path."
# To go back in these is to decompress from their beginning: they are read once, and spooled.
_PACKED: Final = (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile)
_COMPRESSED: Final = (*_PACKED, zipfile.ZipExtFile)
_PACKED_SUFFIXES: Final = frozenset({".gz", ".gzip", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".z"})
_PACKED_TARS: Final = frozenset({".tgz", ".tbz", ".tbz2", ".txz", ".tzst"})
T = TypeVar("T")


class Witness(Protocol):
    """Sees the bytes of one try of one part, in order, as they are handed to the connection."""

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises:
            SourceChanged: they are not those that the upload began with.
        """
        ...


class PieceReader(Protocol):
    """Reads bytes of a source in order; used by one thread."""

    def read_piece(self, offset: int, room: memoryview) -> memoryview:
        """As many bytes as `room` has, from `offset`, in it or where they are already.

        Fewer only where what it reads for was cancelled.
        """
        ...

    def close(self) -> None:
        """End it; a second call does nothing."""
        ...


class Source(Protocol):
    """A name, a size in bytes, and bytes that can be read again."""

    name: str
    size: int

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes from `offset`; fewer only at the end. Any thread may call it.

        Raises:
            SourceChanged: it is shorter than it was.
        """
        ...

    def check(self) -> None:
        """See that it still is what it was.

        Raises:
            SourceChanged: it has grown, shrunk, been replaced or been deleted.
        """
        ...

    def facts(self) -> SourceFacts:
        """What it can be recognised by after a restart."""
        ...

    def close(self) -> None:
        """Let go of what was opened here."""
        ...


class _Digested:
    """SHA-256 of each MiB of content in memory, from one pass over it."""

    name: str
    size: int

    def __init__(self) -> None:
        self._pass = threading.Lock()
        self._blocks: tuple[bytes, ...] | None = None

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes from `offset`."""
        raise NotImplementedError

    def read_once(self, stop: CancelToken | None = None) -> None:
        """Take the digests; a second call reads nothing. It ends early where `stop` is set."""
        with self._pass:
            if self._blocks is not None:
                return
            blocks = []
            for at in range(0, self.size, _BLOCK):
                if stop:
                    return
                blocks.append(hashlib.sha256(self.read_at(at, _BLOCK)).digest())
            self._blocks = tuple(blocks)

    def facts(self) -> SourceFacts:
        """Size and digest: the same bytes in another process are the same content."""
        self.read_once()
        version = hashlib.sha256(b"".join(self._blocks or ())).hexdigest()
        return SourceFacts("", self.size, 0, 0, version)

    def digest_of(self, start: int, end: int) -> bytes:
        """The digest of bytes `[start, end)`, which lie within one block, as the pass found them.

        Raises:
            SourceChanged: they can no longer be told.
        """
        self.read_once()
        no = start // _BLOCK
        first, whole_block = no * _BLOCK, (self._blocks or ())[no]
        if start == first and end == min(first + _BLOCK, self.size):
            return whole_block
        data = bytes(self.read_at(first, _BLOCK))  # a part begins or ends in the block
        if hashlib.sha256(data).digest() != whole_block:
            raise self.changed(first, first + len(data))
        return hashlib.sha256(data[start - first : end - first]).digest()

    def changed(self, start: int, end: int) -> SourceChanged:
        """The error to raise where bytes `[start, end)` are not those of the pass."""
        return SourceChanged(
            f"{self.name or 'The content'} was written to during the upload, between byte {start} "
            f"and byte {end}."
        ).hint("Nothing was completed. Upload it again once nobody writes to it, or upload a copy.")


class BytesSource(_Digested):
    """Bytes in memory that nobody writes to; nothing is copied."""

    def __init__(
        self, data: bytes | bytearray | memoryview | mmap.mmap, name: str = "", how: str = ""
    ) -> None:
        super().__init__()
        self.name = name
        self.how = how
        self._view = memoryview(data).cast("B")
        self.size = self._view.nbytes

    def __repr__(self) -> str:
        how = f", {self.how}" if self.how else ""
        return f"<{type(self).__name__} {self.name!r}: {show_bytes(self.size)} in memory{how}>"

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes from `offset`, as a view."""
        return self._view[offset : offset + size]

    def check(self) -> None:
        """Memory is what it is."""

    def close(self) -> None:
        """Release the view, so that its owner may resize or close what it shows."""
        self._view.release()


class LiveBytesSource(BytesSource):
    """Memory that its owner may write to while it goes, read where it is.

    The content is what one pass found before the first byte is sent. Every byte that is handed to
    a connection is compared with that: a difference raises `SourceChanged`.
    """

    def __init__(self, data: memoryview, name: str = "", how: str = "") -> None:
        super().__init__(data, name, how)
        self._mapping = _mapping_of(data)

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes from `offset`, as they are now.

        Raises:
            SourceChanged: they are mapped from a file that became shorter.
        """
        data = self._view[offset : offset + size]
        return bytes(data) if self._mapping is None else self._copied(data)

    def read_into(self, room: memoryview, offset: int) -> int:
        """Fill `room` from `offset`; what is in it then changes no more."""
        data = self._view[offset : offset + len(room)]
        room[: len(data)] = data if self._mapping is None else self._copied(data)
        return len(data)

    def _copied(self, data: memoryview) -> bytes:
        """What is mapped, copied by the system.

        Where the file has become shorter, that is an error of its call; to read it here would end
        the process (SIGBUS).
        """
        with _scratch() as file:
            try:
                left = data
                while left:
                    left = left[file.write(left) :]
            except OSError as error:
                if error.errno != errno.EFAULT:
                    raise
                raise SourceChanged(
                    f"The file that {self.name or 'the content'} is mapped from became shorter."
                ).hint("Nothing was completed. Upload it again once nobody writes to it.") from None
            file.seek(0)
            return file.read()

    def witness(self, start: int, size: int) -> Witness:
        """What compares bytes `[start, start + size)` as they go."""
        self.read_once()
        return _Witness(self, start, size)


def _mapping_of(data: object) -> mmap.mmap | None:
    """The mapping of a file that memory belongs to, as that of `np.memmap`; None elsewhere."""
    while data is not None and not isinstance(data, mmap.mmap):
        data = getattr(data, "obj", None) if isinstance(data, memoryview) else (
            getattr(data, "base", None)
        )  # fmt: skip
    return data


def _scratch() -> io.FileIO:
    """An empty file that is gone when it is closed, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return io.FileIO(os.memfd_create("cognite_nb_upload"), "r+")
    return tempfile.TemporaryFile(buffering=0)


class _Witness:
    """Compares the bytes of one try of one part with the digests of the pass, block by block."""

    def __init__(self, source: _Digested, start: int, size: int) -> None:
        self._source = source
        self._from = self._at = start
        self._end = start + size
        self._hash = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises:
            SourceChanged: they are not those of the pass.
        """
        view = memoryview(data)
        while view and self._at < self._end:
            until = min(self._from - self._from % _BLOCK + _BLOCK, self._end)
            piece, view = view[: until - self._at], view[until - self._at :]
            self._hash.update(piece)
            self._at += len(piece)
            if self._at == until:
                self._compare()

    def _compare(self) -> None:
        if self._hash.digest() != self._source.digest_of(self._from, self._at):
            raise self._source.changed(self._from, self._at)
        self._from, self._hash = self._at, hashlib.sha256()


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
                _refuse_hidden_bytes(fd, 0, str(path))
            size = _checked_length(there, length, str(path))
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
        if hasattr(os, "preadv"):
            with suppress(OSError):  # read_at reads again, and says what is wrong
                came = os.preadv(self._fd, [room[:wanted]], self._start + offset)
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


class SeekableSource:
    """Bytes of a seekable file object without a descriptor (fsspec, spooled, in memory).

    Several sources may be of one file object: they read one at a time.

    Attributes:
        one_at_a_time: what is behind it reads ahead, as a file in another store does, so that
            parts that go at once would have it read the same bytes again and again.
        pinned: something tells this content from another after a restart.
    """

    one_at_a_time = True
    pinned = False

    def __init__(
        self,
        file: IO[bytes],
        *,
        name: str,
        start: int,
        size: int,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.size = size
        self._file = file
        self._start = start
        self._lock = _lock_of(file)
        self._close = close
        self._once = uuid.uuid4().hex

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; one reader at a time, position put back."""
        size = max(0, min(size, self.size - offset))
        with self._lock:
            before = self._file.tell()
            self._file.seek(self._start + offset)
            data = _read_exactly(self._file, size)
            self._file.seek(before)
        if len(data) < size:
            raise SourceChanged(f"{self.name} became shorter while it was being read.")
        return data

    def reader(self, start: int, size: int, cancel: CancelToken) -> PieceReader | None:
        """What reads a part in blocks, however small the pieces are that are asked for."""
        return InBlocks(self, start + size) if self.one_at_a_time else None

    def check(self) -> None:
        """Such objects tell nothing of changes; a short read is noticed."""

    def facts(self) -> SourceFacts:
        """Name and size are all that is known: nothing is the same content again."""
        return SourceFacts("", self.size, 0, 0, self._once)

    def close(self) -> None:
        """Close what was opened here; what was handed in is not ours to close."""
        if self._close is not None:
            self._close()


def shown_path(path: os.PathLike[str] | str | None) -> str:
    """A path for people: from the current folder where it is below it; "" where there is none."""
    if not path:
        return ""
    with suppress(ValueError, OSError):  # it is elsewhere, or the current folder is gone
        return str(Path(path).relative_to(Path.cwd()))
    return str(path)


def absolute(path: os.PathLike[str] | str) -> Path:
    """Where a file is, whatever the current folder becomes (`%cd`); links are not followed.

    Raises:
        UsageError: it begins with `~`, and there is no home folder.
    """
    try:
        return Path(os.fsdecode(path)).expanduser().absolute()
    except RuntimeError:
        raise UsageError(f"{path} begins in a home folder, and none is known: set HOME.") from None
    except FileNotFoundError:  # it is relative
        raise UsageError(NOWHERE) from None


class LiveSeekableSource(SeekableSource, _Digested):
    """A file object in memory that its owner may write to while it goes (a large BytesIO).

    What goes is compared with one pass before the first byte, as in `LiveBytesSource`.
    """

    one_at_a_time = False
    pinned = True

    def __init__(
        self,
        file: IO[bytes],
        *,
        name: str,
        start: int,
        size: int,
        close: Callable[[], None] | None = None,
    ) -> None:
        _Digested.__init__(self)
        self.how = _LIVE
        SeekableSource.__init__(self, file, name=name, start=start, size=size, close=close)

    def facts(self) -> SourceFacts:
        """Size and digest: the same bytes in another process are the same content."""
        return _Digested.facts(self)

    def witness(self, start: int, size: int) -> Witness:
        """What compares bytes `[start, start + size)` as they go."""
        self.read_once()
        return _Witness(self, start, size)


def as_source(content: object, length: int | None = None, name: str = "") -> Source:
    """Make a `Source` of whatever holds bytes.

    Args:
        content: str (sent as UTF-8), bytes, bytearray, memoryview, mmap, an array or what else
            gives a buffer, a path object, a binary file object (from its current position, which
            moves on by the bytes that are taken), or an iterable of bytes or a file that cannot
            seek (both spooled to a temporary file). Memory that can be written to is copied where
            it has up to 16 MiB; above that it is read where it is, and a change is noticed.
        length: take this many bytes only; all that is there when None.
        name: what to call it; its own name, or in words what it is, when empty.

    Raises:
        UsageError: a text file, another type, or fewer bytes than `length`.
    """
    if isinstance(content, str):
        return _memory(content.encode(), length, name)
    if isinstance(content, bytes | bytearray | memoryview | mmap.mmap):
        return _memory(content, length, name)
    if isinstance(content, os.PathLike):
        return FileSource.open(cast("os.PathLike[str]", content), length)
    if hasattr(content, "read"):
        return _of_file(cast("IO[bytes]", content), length, name)
    if hasattr(content, "fs") and hasattr(content, "open"):  # fsspec's OpenFile, not yet opened
        return _of_opened(content, length, name)
    if isinstance(content, AsyncIterable):
        raise UsageError("An async iterator is read with upload_part_async, not upload_part.")
    if (view := _buffer_of(content)) is not None:
        return _memory(view, length, name)
    if isinstance(content, Iterable):
        return _spool(content, length, name or "an iterator")
    raise _refused(content)


def refuse_others(content: object) -> None:
    """See that it may be content; nothing of it is read.

    Raises:
        UsageError: it is of a type that holds no bytes.
    """
    kinds = ("read", "read_at", "fs", "__iter__", "__aiter__")
    if not any(hasattr(content, kind) for kind in kinds) and _buffer_of(content) is None:
        raise _refused(content)


def _refused(content: object) -> UsageError:
    todo = "give bytes, str, a Path, a binary file object, or an iterable of bytes"
    if hasattr(content, "open"):  # a zipfile.Path
        todo = "open it: give path.open('rb')"
    return UsageError(f"{type(content).__name__} cannot be uploaded; {todo}.")


async def as_source_async(content: object, length: int | None = None, name: str = "") -> Source:
    """`as_source`, with async iterables too; what is spooled is spooled off the event loop."""
    if isinstance(content, AsyncIterable) and not hasattr(content, "read"):
        with _Spool(length, name or "an async iterator") as spool:
            async for piece in content:
                await run_sync(spool.write, piece)
            return spool.source()
    if _is_quick(content):
        return as_source(content, length, name)
    async with _turn_of(content):  # who asks first has the first bytes
        return await run_sync(as_source, content, length, name, abandon_on_cancel=True)


def read_piece(source: Source, offset: int, room: memoryview) -> memoryview:
    """As many bytes as `room` has, from `offset`: in `room`, or where they are already."""
    own = getattr(source, "read_piece", None)
    if own is not None:
        return cast("memoryview", own(offset, room))
    read_into = getattr(source, "read_into", None)
    if read_into is not None:
        return room[: read_into(room, offset)]
    return memoryview(source.read_at(offset, len(room)))


class AnyPlace:
    """Reads a source that is read from any place at the same cost.

    Attributes:
        ahead: another thread may read what comes next, where reading is slow.
    """

    def __init__(self, source: Source, *, ahead: bool = True) -> None:
        self._source, self.ahead = source, ahead

    def read_piece(self, offset: int, room: memoryview) -> memoryview:
        """As many bytes as `room` has, from `offset`."""
        return read_piece(self._source, offset, room)

    def close(self) -> None:
        """Nothing was opened."""


class InBlocks:
    """Reads large blocks, and gives pieces of them.

    A file in another store fetches its read-ahead again whenever its position is set; a slow target
    asks for pieces that are far smaller than that.
    """

    def __init__(self, source: Source, end: int) -> None:
        self._source, self._end = source, end
        self._at, self._block = 0, memoryview(b"")

    def read_piece(self, offset: int, room: memoryview) -> memoryview:
        """As many bytes as `room` has, in it; fewer at the end."""
        wanted, came = min(len(room), self._end - offset), 0
        while came < wanted:
            skip = offset + came - self._at
            if not 0 <= skip < len(self._block):
                self._fetch(offset + came)
                continue
            piece = self._block[skip : skip + wanted - came]
            room[came : came + len(piece)] = piece
            came += len(piece)
        return room[:came]

    def close(self) -> None:
        """Drop the block."""
        self._block = memoryview(b"")

    def _fetch(self, at: int) -> None:
        self._block = memoryview(b"")  # two of them are never held
        size = min(_COPY, self._end - at)
        self._at, self._block = at, memoryview(self._source.read_at(at, size))


def reader_of(source: Source, start: int, size: int, cancel: CancelToken) -> PieceReader:
    """What reads bytes `[start, start + size)` of a source in order; close it afterwards.

    A store elsewhere is asked for all of them at once, and for no more.
    """
    own = getattr(source, "reader", None)
    found = own(start, size, cancel) if own is not None else None
    return cast("PieceReader", found) if found is not None else AnyPlace(source)


def check_last(source: Source) -> None:
    """`check` once more, after the last byte was read: stores elsewhere are asked, too.

    Raises:
        SourceChanged: it is not what it was.
    """
    getattr(source, "check_last", source.check)()


def is_pinned(source: Source) -> bool:
    """False where nothing tells whether it is the same content after a restart."""
    return bool(getattr(source, "pinned", True))


def needs_samples(source: Source) -> bool:
    """False where blocks of it tell nothing more: its store tells its version, or nobody does."""
    return is_pinned(source) and not getattr(source, "vouched", False)


def goes_alone(source: Source) -> bool:
    """True where one part is read at a time: parts would fight for one position."""
    return bool(getattr(source, "one_at_a_time", False))


def parts_at_once(source: Source, wanted: int) -> int:
    """How many of the wanted parts may be read at once; fewer where all are read one way."""
    return 1 if goes_alone(source) else min(wanted, getattr(source, "parts_at_once", wanted))


def read_once(source: Source, stop: CancelToken) -> None:
    """Take the digests of content in memory, off an event loop; others need none.

    They are incomplete where `stop` was set meanwhile.
    """
    own = getattr(source, "read_once", None)
    if own is not None:
        own(stop)


def witness_of(source: Source, start: int, size: int) -> Witness | None:
    """What compares bytes as they go, where the content may change unseen; None elsewhere."""
    own = getattr(source, "witness", None)
    return cast("Witness | None", own(start, size)) if own is not None else None


def region_of(source: Source) -> tuple[int, int] | None:
    """The descriptor of the open file that it is a region of, and where it begins there."""
    own = getattr(source, "region", None)
    return cast("tuple[int, int] | None", own()) if own is not None else None


def give_back(content: object, source: Source) -> None:
    """After a failure, put a file object's position back to where the part began."""
    start = getattr(source, "_claimed_from", None)
    if start is None:
        return
    file = cast("IO[bytes]", content)
    with _lock_of(file):
        if not file.closed and file.tell() == start + source.size:
            file.seek(start)


def at_its_end(source: Source) -> int:
    """The position of a file object that had nothing left; 0 where there was something."""
    return 0 if source.size else getattr(source, "_claimed_from", None) or 0


def is_spooled(content: object) -> bool:
    """True for what can be read once only: a pipe, an iterator."""
    if isinstance(content, str | bytes | bytearray | memoryview | mmap.mmap | os.PathLike):
        return False
    return not (hasattr(content, "read_at") or hasattr(content, "fs") or _seekable(content))


def _is_quick(content: object) -> bool:
    """True where nothing is read to see what there is: it may be done on an event loop."""
    if isinstance(content, str | bytes | os.PathLike):
        return True
    closed = getattr(content, "closed", False) is True
    return closed or isinstance(content, io.BytesIO) or _plain_descriptor(content) is not None


class _Locks:
    """What makes the readers of one object wait for each other, within one process."""

    def __init__(self) -> None:
        self.keeping = threading.Lock()
        self.of_files: MutableMapping[object, threading.RLock] = WeakKeyDictionary()
        self.of_contents: MutableMapping[object, anyio.Lock] = WeakKeyDictionary()
        self.of_the_rest = threading.RLock()


_locks: Final = PerProcess(_Locks)


def _lock_of(file: object) -> threading.RLock:
    """One lock for each file object, since each has one position."""
    locks = _locks.get()
    return _kept(locks.of_files, file, threading.RLock) or locks.of_the_rest


def _turn_of(content: object) -> anyio.Lock:
    return _kept(_locks.get().of_contents, content, anyio.Lock) or anyio.Lock()


def _kept(kept: MutableMapping[object, T], thing: object, make: Callable[[], T]) -> T | None:
    with _locks.get().keeping:
        try:
            return kept.setdefault(thing, make())
        except (TypeError, ValueError):  # nothing can be kept for it, as for a list
            return None


def _buffer_of(content: object) -> memoryview | None:
    """The memory of an array, or of what else shows its memory; None where there is none."""
    try:
        return memoryview(cast("bytes", content))
    except (TypeError, ValueError, BufferError):
        return None


def _memory(data: Any, length: int | None, name: str) -> BytesSource:
    view = memoryview(data)
    if _holds_references(view.format):
        raise UsageError(
            f"{name or 'The content'} is an array of Python objects, whose memory holds addresses "
            "and not their bytes: convert it, as with array.astype('S'), or give b''.join(array)."
        )
    if not view.c_contiguous:
        raise UsageError("The memoryview is not contiguous; give bytes(view).")
    fixed = isinstance(view.obj, bytes)
    try:
        view = view.cast("B")
    except (TypeError, ValueError):  # an array of numbers in another machine's byte order
        view, fixed = memoryview(view.tobytes()), True
    size = _checked_length(view.nbytes, length, name or "The content")
    if fixed:
        return BytesSource(view[:size], name)
    if size <= COPIED_UP_TO:
        return BytesSource(bytes(view[:size]), name, "copied")
    return LiveBytesSource(view[:size], name, _LIVE)


def _holds_references(kind: str) -> bool:
    """True where a buffer's items are pointers; names of a record's fields stand between colons."""
    return not set("OP&XzZ").isdisjoint(re.sub(r":[^:]*:|[^OP&X]", "", kind))


def _of_file(
    file: IO[bytes], length: int | None, name: str, close: Callable[[], None] | None = None
) -> Source:
    name = name or _called(file)
    _refuse_unusable(file, name)
    if not _seekable(file):
        return _spool(_pieces(file, length), length, name)
    with _lock_of(file):
        start = file.tell()
        source: Any
        if isinstance(file, _COMPRESSED) or unpacks(file):
            source = _spool(_pieces(file, length), length, name)
        else:
            source = _in_place(file, start, length, name, close)
        source._claimed_from = start
    return cast("Source", source)


def _of_opened(openable: Any, length: int | None, name: str) -> Source:
    """What fsspec's OpenFile opens, closed as soon as it is not needed."""
    source = None
    try:
        source = _of_file(openable.open(), length, name, openable.close)
        return source
    finally:
        if not isinstance(source, SeekableSource):
            openable.close()


def _in_place(
    file: IO[bytes],
    start: int,
    length: int | None,
    name: str,
    close: Callable[[], None] | None,
) -> FileSource | SeekableSource | BytesSource:
    """The next `length` bytes, which the file's position then skips."""
    descriptor = _plain_descriptor(file)
    if descriptor is not None:
        end = os.fstat(descriptor).st_size
    else:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        file.seek(start)
    if descriptor is not None and not end:
        _refuse_hidden_bytes(descriptor, start, name)
    size = _checked_length(max(0, end - start), length, name)
    if descriptor is not None:
        file.seek(start + size)
        return FileSource(os.dup(descriptor), name=name, path=None, start=start, size=size)
    in_memory = isinstance(file, io.BytesIO | tempfile.SpooledTemporaryFile)
    if in_memory and size <= COPIED_UP_TO:
        file.seek(start)
        return BytesSource(_read_exactly(file, size), name, "copied")
    file.seek(start + size)
    kind = LiveSeekableSource if in_memory else SeekableSource
    return kind(file, name=name, start=start, size=size, close=close)


def _plain_descriptor(file: object) -> int | None:
    """The descriptor, only where the object's bytes are the descriptor's bytes.

    A GzipFile has a fileno() too, and it is that of the compressed file.
    """
    file = file.file if isinstance(file, tempfile._TemporaryFileWrapper) else file
    if isinstance(file, io.BufferedRandom | io.BufferedWriter):
        file.flush()
    raw = file.raw if isinstance(file, io.BufferedReader | io.BufferedRandom) else file
    if type(raw) is not io.FileIO or not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return None
    return raw.fileno()


def _seekable(file: object) -> bool:
    seekable = getattr(file, "seekable", None)
    if getattr(file, "closed", False) is True:
        return True  # it can no longer be asked; who reads it is told
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def _refuse_unusable(file: IO[bytes], name: str) -> None:
    if inspect.iscoroutinefunction(file.read):
        raise UsageError(f"{name} is an async file; give its path, or an async iterator of bytes.")
    if getattr(file, "closed", False) is True:
        raise UsageError(f"{name} is closed.")
    readable = getattr(file, "readable", None)
    if callable(readable) and not readable():
        raise UsageError(f"{name} is open for writing only; open it as open(path, 'rb').")
    if isinstance(file, io.TextIOBase) or (_seekable(file) and isinstance(file.read(0), str)):
        todo = (
            "give text.getvalue().encode()"
            if isinstance(file, io.StringIO)
            else ("open it as bytes: open(path, 'rb')")
        )
        raise UsageError(f"{name} is open as text; {todo}.")


def own_name(content: object) -> str:
    """The name that content has by itself, as a file in CDF may be called; "" where it has none.

    What unpacks while it is read is called as its content is: `x.csv` for `gzip.open("x.csv.gz")`.
    """
    if isinstance(content, str | os.PathLike):
        return Path(os.fsdecode(content)).name
    if _is_tar_member(content):
        return ""  # its `name` is that of the archive
    name = getattr(content, "name", None) or getattr(content, "path", None)
    if isinstance(name, bytes | os.PathLike):  # as `io.FileIO(path)` keeps it
        name = os.fsdecode(name)
    if not isinstance(name, str) or name.startswith(("<", "/dev/", "/proc/")):
        return ""  # a pipe, `<stdin>`, `<fdopen>`
    name = os.path.basename(name)
    return _unpacked_name(name) if unpacks(content) else name


def unpacks(content: object) -> bool:
    """True where the bytes that are read are not those of the file on disk: `gzip.open(...)`."""
    if getattr(content, "compression", None):  # fsspec's OpenFile
        return True
    raw = getattr(content, "raw", None)
    return isinstance(content, _PACKED) or isinstance(raw, _PACKED)


def _is_tar_member(content: object) -> bool:
    tarfile = sys.modules.get("tarfile")  # what made one has loaded it
    return tarfile is not None and isinstance(content, tarfile.ExFileObject)


def _unpacked_name(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    if suffix.lower() in _PACKED_TARS:
        return f"{stem}.tar"
    return stem if suffix.lower() in _PACKED_SUFFIXES else name


def _called(file: object) -> str:
    """What to call it in messages."""
    return own_name(file) or f"The {type(file).__name__}"


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size) or b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def _refuse_hidden_bytes(fd: int, at: int, name: str) -> None:
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


def _checked_length(there: int, length: int | None, name: str) -> int:
    if length is None:
        return there
    length, given = whole(length), length
    if length is None or length < 0:
        raise UsageError(f"length is a number of bytes, 0 or more, not {given!r}.")
    if length > there:
        raise UsageError(f"{name} has {there} bytes left; length asks for {length}.")
    return length


class _Spool:
    """A temporary file that is filled once and then read again and again."""

    def __init__(self, length: int | None, name: str) -> None:
        self._file = tempfile.TemporaryFile(prefix="cognite_nb_upload-")
        self._length = length
        self._name = name
        self._size = 0

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # the source has a descriptor of its own

    def write(self, piece: object) -> None:
        self._size += _bytes_of(piece, self._name).nbytes
        if self._length is not None and self._size > self._length:
            raise UsageError(f"{self._name} gave more than the {self._length} bytes of `length`.")
        try:
            self._file.write(cast("bytes", piece))
        except OSError as error:
            raise UsageError(
                f"{self._name} does not fit into the temporary folder after "
                f"{show_bytes(self._size)}: {error.strerror}."
            ).hint(
                "Set TMPDIR to a larger disk, or write it to a file and give its Path."
            ) from None

    def source(self) -> FileSource:
        if self._length is not None and self._size < self._length:
            raise UsageError(f"{self._name} gave {self._size} bytes; length is {self._length}.")
        self._file.flush()
        fd = os.dup(self._file.fileno())
        return FileSource(fd, name=self._name, path=None, start=0, size=self._size)


class PassingSource:
    """Bytes that come once, of known length, sent as they come.

    What came of the part that is sent now is kept in a temporary file, so that it can be sent
    again; what came before it is gone.

    Attributes:
        one_at_a_time: parts are read in order.
        pinned: after a restart nothing tells whether the same bytes come again.
        passes_once: an earlier part cannot be read again.
    """

    one_at_a_time = True
    pinned = False
    passes_once = True

    def __init__(self, pieces: Iterable[object], size: int, name: str) -> None:
        self.name, self.size = name, size
        self._pieces, self._left = iter(pieces), memoryview(b"")
        self._file = tempfile.TemporaryFile(prefix="cognite_nb_upload-")
        self._lock = threading.Lock()
        self._start = self._came = 0  # of the part that is kept, and of all
        self._once = uuid.uuid4().hex

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {show_bytes(self.size)} as they come>"

    def reader(self, start: int, size: int, cancel: CancelToken) -> PieceReader:
        """What reads a part: the one that is kept once more, or the next."""
        with self._lock:
            if start == self._came and start != self._start:
                self._file.seek(0)
                self._file.truncate()
                self._start = start
        return AnyPlace(self)

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`, which is not before the part that is kept.

        Raises:
            SourceChanged: these bytes have passed, or fewer come than were told.
            UsageError: what comes is not bytes.
        """
        size = max(0, min(size, self.size - offset))
        with self._lock:
            if offset < self._start:
                raise SourceChanged(
                    f"{self.name} comes once: byte {offset} has passed, and cannot be sent again."
                ).hint("Upload it again without spool=False, which keeps all of it.")
            while self._came < offset + size:
                self._take(offset + size - self._came)
            self._file.seek(offset - self._start)
            return self._file.read(size)

    def _take(self, most: int) -> None:
        """Keep some of what comes next."""
        if not self._left:
            self._left = self._next()
        if not self._left:
            raise SourceChanged(f"{self.name} gave {self._came} bytes; length is {self.size}.")
        self._file.seek(self._came - self._start)
        self._file.write(self._left[:most])
        self._came += len(self._left[:most])
        self._left = self._left[most:] or memoryview(b"")  # what is used up is not held

    def _next(self) -> memoryview:
        """The next piece that is not empty; empty at the end."""
        for piece in self._pieces:
            view = _bytes_of(piece, self.name)
            if view:
                return view
            view.release()
        return memoryview(b"")

    def check(self) -> None:
        """What comes cannot change."""

    def check_last(self) -> None:
        """See that nothing comes after the last byte.

        Raises:
            SourceChanged: there is more.
        """
        with self._lock:
            if self._came == self.size and (self._left or self._next()):
                raise SourceChanged(
                    f"{self.name} gave more than the {self.size} bytes of `length`."
                )

    def facts(self) -> SourceFacts:
        """Nothing is the same content again."""
        return SourceFacts("", self.size, 0, 0, self._once)

    def close(self) -> None:
        """Drop what was kept; a second call does nothing."""
        self._file.close()


def passes_once(source: Source) -> bool:
    """True where a part that was sent cannot be read again once a later one was begun."""
    return bool(getattr(source, "passes_once", False))


def as_it_comes(content: object, length: int, name: str) -> Source:
    """A source of what comes once: an iterable of bytes, or a file that cannot seek.

    Raises:
        UsageError: it is neither.
    """
    if hasattr(content, "read"):
        return PassingSource(_pieces(cast("IO[bytes]", content), None), length, name)
    if isinstance(content, Iterable):
        return PassingSource(content, length, name)
    raise UsageError(
        f"spool=False is for a plain iterable of bytes, not for a {type(content).__name__}."
    )


def _bytes_of(piece: object, name: str) -> memoryview:
    """What an iterable gave, as bytes.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise UsageError(f"{name} gave a {type(piece).__name__}; it has to give bytes.")
    return memoryview(piece).cast("B")


def _spool(pieces: Iterable[object], length: int | None, name: str) -> Source:
    with _Spool(length, name) as spool:
        for piece in pieces:
            spool.write(piece)
        return spool.source()


def _pieces(file: IO[bytes], length: int | None) -> Iterator[object]:
    """What a file that cannot seek gives, and not a byte more than `length`."""
    left = length
    while left is None or left > 0:
        piece = file.read(_COPY if left is None else min(_COPY, left))
        if not piece:
            return
        yield piece
        left = None if left is None else left - len(piece)
