"""Whatever holds bytes becomes a source: what it is, where it stands, what it is called."""

from __future__ import annotations

import bz2
import gzip
import inspect
import io
import lzma
import mmap
import os
import re
import stat
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Set
from pathlib import Path
from typing import IO, Any, Final, cast

from cognite_nb_upload.background import run_sync
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.sources.file import FileSource, checked_length, refuse_hidden_bytes
from cognite_nb_upload.sources.memory import COPIED_UP_TO, LIVE, BytesSource, LiveBytesSource
from cognite_nb_upload.sources.passing import Spool, pieces_of, spooled
from cognite_nb_upload.sources.port import Source
from cognite_nb_upload.sources.seekable import (
    LiveSeekableSource,
    SeekableSource,
    lock_of,
    read_exactly,
    turn_of,
)

Content = (
    str | bytes | bytearray | memoryview | mmap.mmap | os.PathLike[str] | IO[bytes]
    | Iterable[bytes] | AsyncIterable[bytes]
)  # fmt: skip
# To go back in these is to decompress from their beginning: they are read once, and spooled.
_PACKED: Final = (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile)
_COMPRESSED: Final = (*_PACKED, zipfile.ZipExtFile)
_PACKED_SUFFIXES: Final = frozenset(
    {".gz", ".gzip", ".bgz", ".bgzf", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".z"}
)
# Formats whose packed form has a suffix of its own.
_PACKED_FORMATS: Final = {".svgz": ".svg", ".emz": ".emf", ".wmz": ".wmf"}
_PACKED_TARS: Final = frozenset({".tgz", ".tbz", ".tbz2", ".txz", ".tzst"})


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
    _refuse_unordered(content)
    if hasattr(content, "read"):
        return _of_file(cast("IO[bytes]", content), length, name)
    if hasattr(content, "fs") and hasattr(content, "open"):  # fsspec's OpenFile, not yet opened
        return _of_opened(content, length, name)
    if isinstance(content, AsyncIterable):
        raise UsageError("An async iterator is read with upload_part_async, not upload_part.")
    _refuse_masked(content, name)
    if (view := _buffer_of(content)) is not None:
        return _memory(view, length, name)
    _refuse_arrays(content)
    if isinstance(content, Iterable):
        return spooled(content, length, name or "an iterator")
    raise _refused(content)


def refuse_others(content: object) -> None:
    """See that it may be content; nothing of it is read.

    Raises:
        UsageError: it is of a type that holds no bytes.
    """
    _refuse_unordered(content)
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
        with Spool(length, name or "an async iterator") as spool:
            async for piece in content:
                await run_sync(spool.write, piece)
            return spool.source()
    if _is_quick(content):
        return as_source(content, length, name)
    async with turn_of(content):  # who asks first has the first bytes
        return await run_sync(as_source, content, length, name, abandon_on_cancel=True)


def give_back(content: object, source: Source) -> None:
    """After a failure, put a file object's position back to where the part began."""
    start = getattr(source, "_claimed_from", None)
    if start is None:
        return
    file = cast("IO[bytes]", content)
    with lock_of(file):
        if not file.closed and file.tell() == start + source.size:
            file.seek(start)


def at_its_end(source: Source) -> int:
    """The position of a file object that had nothing left; 0 where there was something."""
    return 0 if source.size else stands_at(source)


def stands_at(source: Source) -> int:
    """The position of a file object from which on it is taken; 0 at its beginning."""
    return getattr(source, "_claimed_from", None) or 0


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
        raise UsageError(
            f"{name or 'The content'} is not contiguous in memory; give its bytes in the order of "
            "its values, content.tobytes()."
        )
    fixed = isinstance(view.obj, bytes)
    try:
        view = view.cast("B")
    except (TypeError, ValueError):  # an array of numbers in another machine's byte order
        view, fixed = memoryview(view.tobytes()), True
    size = checked_length(view.nbytes, length, name or "The content")
    if fixed:
        return BytesSource(view[:size], name)
    if size <= COPIED_UP_TO:
        return BytesSource(bytes(view[:size]), name, "copied")
    return LiveBytesSource(view[:size], name, LIVE)


def _refuse_masked(content: object, name: str) -> None:
    """A masked array, whose memory has what the mask hides."""
    masked = sys.modules.get("numpy.ma")  # what made one has loaded it
    if masked is None or not isinstance(content, masked.MaskedArray):
        return
    if content is masked.masked or b"\1" in masked.getmaskarray(content).tobytes():
        raise UsageError(
            f"{name or 'The content'} is an array with masked values, which its bytes cannot tell: "
            "give array.filled(...), with the value that stands for them."
        )


def _refuse_unordered(content: object) -> None:
    """What would be sent in part, its keys alone, or in an order that nobody has chosen."""
    kind = type(content).__name__
    if isinstance(content, Mapping):
        todo = "write it first, as json.dumps(content) does"
        if "content" in content:  # a file as ipywidgets' FileUpload has it
            todo = "give value['content'], name=value['name']"
        raise UsageError(f"A {kind} is not bytes: {todo}.")
    tarfile = sys.modules.get("tarfile")  # what made one has loaded it
    if isinstance(content, zipfile.ZipFile):
        raise UsageError(f"A {kind} is not bytes: give its path, or archive.open(member).")
    if tarfile is not None and isinstance(content, tarfile.TarFile):
        raise UsageError(f"A {kind} is not bytes: give its path, or archive.extractfile(member).")
    if isinstance(content, Set):
        raise UsageError(f"A {kind} has no order that its bytes could have: give a list of them.")


def _refuse_arrays(content: object) -> None:
    """What has values and shows no memory: a Series, a DataFrame, dates, a sparse matrix."""
    if hasattr(content, "dtype") or hasattr(content, "to_csv"):
        raise UsageError(
            f"{type(content).__name__} has values, and no bytes that can be read: write them in "
            "the format that is wanted, as with values.to_numpy().tobytes(), "
            "frame.to_csv().encode() or to_parquet(path), and give these bytes or that path."
        )


def _holds_references(kind: str) -> bool:
    """True where a buffer's items are pointers; names of a record's fields stand between colons."""
    return not set("OP&XzZ").isdisjoint(re.sub(r":[^:]*:|[^OP&X]", "", kind))


def _of_file(
    file: IO[bytes], length: int | None, name: str, close: Callable[[], None] | None = None
) -> Source:
    name = name or _called(file)
    _refuse_unusable(file, name)
    if not _seekable(file):
        return spooled(pieces_of(file, length), length, name)
    with lock_of(file):
        start = file.tell()
        source: Any
        if isinstance(file, _COMPRESSED) or unpacks(file):
            source = spooled(pieces_of(file, length), length, name)
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
    _refuse_device(file, name)
    descriptor = _plain_descriptor(file)
    if descriptor is not None:
        end = os.fstat(descriptor).st_size
    else:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        file.seek(start)
    if descriptor is not None and not end:
        refuse_hidden_bytes(descriptor, start, name)
    size = checked_length(max(0, end - start), length, name)
    if descriptor is not None:
        file.seek(start + size)
        return FileSource(os.dup(descriptor), name=name, path=None, start=start, size=size)
    below = getattr(file, "raw", file)  # of a BufferedReader
    in_memory = isinstance(below, io.BytesIO | tempfile.SpooledTemporaryFile)
    if in_memory and size <= COPIED_UP_TO:
        file.seek(start)
        return BytesSource(read_exactly(file, size), name, "copied")
    file.seek(start + size)
    kind = LiveSeekableSource if in_memory else SeekableSource
    return kind(file, name=name, start=start, size=size, close=close)


def _refuse_device(file: object, name: str) -> None:
    """`/dev/zero` and the like, which can be positioned, have no size and may never end."""
    raw = getattr(file, "raw", file)
    if type(raw) is io.FileIO and stat.S_ISCHR(os.fstat(raw.fileno()).st_mode):
        raise UsageError(
            f"{name} is a device, which has no size: give the bytes that are meant, as in "
            "upload(file.read(1000), name='...')."
        )


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
    name = None
    if hasattr(content, "read") and not isinstance(content, _PACKED):
        name = getattr(content, "filename", None)  # a web form's file: its `name` is the field's
    if not isinstance(name, str) or not name:
        name = getattr(content, "name", None) or getattr(content, "path", None)
    if isinstance(name, bytes | os.PathLike):  # as `io.FileIO(path)` keeps it
        name = os.fsdecode(name)
    if not isinstance(name, str) or name.startswith(("<", "/dev/", "/proc/")):
        return ""  # a pipe, `<stdin>`, `<fdopen>`
    name = os.path.basename(name)
    return unpacked_name(name) if unpacks(content) else name


def unpacks(content: object) -> bool:
    """True where the bytes that are read are not those of the file on disk: `gzip.open(...)`."""
    if getattr(content, "compression", None):  # fsspec's OpenFile
        return True
    raw = getattr(content, "raw", None)
    return isinstance(content, _PACKED) or isinstance(raw, _PACKED)


def _is_tar_member(content: object) -> bool:
    tarfile = sys.modules.get("tarfile")  # what made one has loaded it
    return tarfile is not None and isinstance(content, tarfile.ExFileObject)


def unpacked_name(name: str) -> str:
    """What a packed file's content is called: `x.csv` for `x.csv.gz`."""
    stem, suffix = os.path.splitext(name)
    if (plain := _PACKED_FORMATS.get(suffix.lower())) is not None:
        return stem + plain
    if suffix.lower() in _PACKED_TARS:
        return f"{stem}.tar"
    return stem if suffix.lower() in _PACKED_SUFFIXES else name


def _called(file: object) -> str:
    """What to call it in messages."""
    return own_name(file) or f"The {type(file).__name__}"
