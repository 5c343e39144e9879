"""What a source promises, and what it may be asked besides.

Rules of this file: a source that lacks an ability has its plain answer here, and nobody else asks
whether it has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, cast

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.plan import MIB

BLOCK: Final = 4 * MIB

PieceRead = Callable[[int, memoryview], memoryview]


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


def piece_read(source: Source) -> PieceRead:
    """How pieces of a source are read: asked once, since each of many costs what it runs through.

    It gives as many bytes as its `room` has, from its `offset`: in `room`, or where they are.
    """
    own = getattr(source, "read_piece", None)
    if own is not None:
        return cast("PieceRead", own)
    read_into = getattr(source, "read_into", None)
    if read_into is not None:
        return lambda offset, room: room[: read_into(room, offset)]
    return lambda offset, room: memoryview(source.read_at(offset, len(room)))


class AnyPlace:
    """Reads a source that is read from any place at the same cost.

    Attributes:
        ahead: another thread may read what comes next, where reading is slow.
    """

    def __init__(self, source: Source, *, ahead: bool = True) -> None:
        self._read, self.ahead = piece_read(source), ahead

    def read_piece(self, offset: int, room: memoryview) -> memoryview:
        """As many bytes as `room` has, from `offset`."""
        return self._read(offset, room)

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
        size = min(BLOCK, self._end - at)
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


def passes_once(source: Source) -> bool:
    """True where a part that was sent cannot be read again once a later one was begun."""
    return bool(getattr(source, "passes_once", False))
