"""A file object that has one position and no descriptor: its readers take turns."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, MutableMapping
from typing import IO, Final, TypeVar
from weakref import WeakKeyDictionary

import anyio

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.errors import SourceChanged
from cognite_nb_upload.process import PerProcess
from cognite_nb_upload.sources.memory import LIVE, Digested, DigestWitness
from cognite_nb_upload.sources.port import InBlocks, PieceReader, Witness

T = TypeVar("T")


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
        super().__init__()
        self.name = name
        self.size = size
        self._file = file
        self._start = start
        self._lock = lock_of(file)
        self._close = close
        self._once = uuid.uuid4().hex

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; one reader at a time, position put back."""
        size = max(0, min(size, self.size - offset))
        with self._lock:
            before = self._file.tell()
            self._file.seek(self._start + offset)
            data = read_exactly(self._file, size)
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


class LiveSeekableSource(SeekableSource, Digested):
    """A file object in memory that its owner may write to while it goes (a large BytesIO).

    What goes is compared with one pass before the first byte, as in `LiveBytesSource`.
    """

    one_at_a_time = False
    pinned = True
    how = LIVE

    def facts(self) -> SourceFacts:
        """Size and digest: the same bytes in another process are the same content."""
        return Digested.facts(self)

    def witness(self, start: int, size: int) -> Witness:
        """What compares bytes `[start, start + size)` as they go."""
        self.read_once()
        return DigestWitness(self, start, size)


class _Locks:
    """What makes the readers of one object wait for each other, within one process."""

    def __init__(self) -> None:
        self.keeping = threading.Lock()
        self.of_files: MutableMapping[object, threading.RLock] = WeakKeyDictionary()
        self.of_contents: MutableMapping[object, anyio.Lock] = WeakKeyDictionary()
        self.of_the_rest = threading.RLock()


_locks: Final = PerProcess(_Locks)


def lock_of(file: object) -> threading.RLock:
    """One lock for each file object, since each has one position."""
    locks = _locks.get()
    return _kept(locks.of_files, file, threading.RLock) or locks.of_the_rest


def turn_of(content: object) -> anyio.Lock:
    """What lets those who read one content begin one after another."""
    return _kept(_locks.get().of_contents, content, anyio.Lock) or anyio.Lock()


def _kept(kept: MutableMapping[object, T], thing: object, make: Callable[[], T]) -> T | None:
    with _locks.get().keeping:
        try:
            return kept.setdefault(thing, make())
        except (TypeError, ValueError):  # nothing can be kept for it, as for a list
            return None


def read_exactly(file: IO[bytes], size: int) -> bytes:
    """`size` bytes, also from a file that gives fewer at a time; fewer only at its end."""
    data = file.read(size) or b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data
