"""What comes once: kept whole in a temporary file, or sent as it comes."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator
from typing import IO, cast

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.errors import SourceChanged, UsageError
from cognite_nb_upload.sources.file import FileSource, checked_length
from cognite_nb_upload.sources.port import (
    BLOCK,
    AnyPlace,
    PieceReader,
    Source,
)


class Spool:
    """A temporary file that is filled once and then read again and again."""

    def __init__(self, length: int | None, name: str) -> None:
        self._length = None if length is None else checked_length(sys.maxsize, length, name)
        self._file = tempfile.TemporaryFile(prefix="cognite_nb_upload-")
        self._name = name
        self._size = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # the source has a descriptor of its own

    def write(self, piece: object) -> None:
        """Keep a piece.

        Raises:
            UsageError: it is not bytes, is more than was told, or does not fit on the disk.
        """
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
        """What was kept, as a source; it outlives this.

        Raises:
            UsageError: it is less than was told.
        """
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


def as_it_comes(content: object, length: int, name: str) -> Source:
    """A source of what comes once: an iterable of bytes, or a file that cannot seek.

    Raises:
        UsageError: it is neither.
    """
    if hasattr(content, "read"):
        return PassingSource(pieces_of(cast("IO[bytes]", content), None), length, name)
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
        paths = isinstance(piece, str | os.PathLike)
        todo = ", and several files go by upload_many(client, ...)." if paths else "."
        raise UsageError(f"{name} gave a {type(piece).__name__}; it has to give bytes{todo}")
    return memoryview(piece).cast("B")


def spooled(pieces: Iterable[object], length: int | None, name: str) -> Source:
    """All pieces, kept in a temporary file; errors as those of `Spool`."""
    with Spool(length, name) as spool:
        for piece in pieces:
            spool.write(piece)
        return spool.source()


def pieces_of(file: IO[bytes], length: int | None) -> Iterator[object]:
    """What a file that cannot seek gives, and not a byte more than `length`."""
    left = length
    while left is None or left > 0:
        piece = file.read(BLOCK if left is None else min(BLOCK, left))
        if not piece:
            return
        yield piece
        left = None if left is None else left - len(piece)
