"""The bytes of one part, in order; where reading them is slow, the next ones are read meanwhile.

Rules of this file: what is quick is read by the thread that sends, since handing over costs more;
what is slow has a thread of its own, which is one block ahead and no more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, MutableSet
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.objects.source import PartReader
from cognite_nb_upload.sources import PieceReader, Source, region_of

# Slower than a disk: a network folder, a tape, a file that is unpacked as it is read.
_SLOW_S_PER_MIB: Final = 0.003
# It is said of at least so many reads, which took so long together: a busy machine delays a few.
_READS: Final = 3
_TOOK_S: Final = 0.02


# Blocks of a file are so much smaller: its system reads ahead by itself, and two blocks of each
# connection are held beside the piece that is sent.
_SHARE: Final = 4


@dataclass(slots=True)
class ReadPace:
    """How reading went so far."""

    reads: int = 0
    size: int = 0
    took_s: float = 0.0

    def took(self, size: int, seconds: float) -> bool:
        """After one more read of so many bytes: is it slow?"""
        self.reads, self.size, self.took_s = self.reads + 1, self.size + size, self.took_s + seconds
        known = self.reads >= _READS and self.took_s >= _TOOK_S
        return known and self.took_s > _SLOW_S_PER_MIB * self.size / MIB


class _Blocks:
    """A source as blocks in order, for who reads them in a thread."""

    def __init__(self, source: Source, size: int) -> None:
        self.name = source.name
        self._source, self._size = source, size

    def blocks(self, at: int, end: int, stop: CancelToken) -> Iterator[bytes | memoryview]:
        """Bytes from `at` to `end`, until `stop` is set; fewer where the source ends."""
        while at < end and not stop:
            block = self._source.read_at(at, min(self._size, end - at))
            if not block:
                return
            yield block
            at += len(block)


class ReadAhead:
    """Reads bytes of a source in order, while the calling thread sends.

    Args:
        source: where the bytes are.
        reader: reads them from any place, at the same cost.
        span: the first byte, and where nothing is read any more.
        block: bytes that are read at once, where reading is slow.
        slow: the sources that are known to be slow; this one is added where it is.
        cancel: ends the waiting for a read.
    """

    def __init__(
        self,
        source: Source,
        reader: PieceReader,
        span: tuple[int, int],
        block: int,
        slow: MutableSet[Source],
        cancel: CancelToken,
    ) -> None:
        self._source, self._reader, self._slow, self._cancel = source, reader, slow, cancel
        self._end, self._block = span[1], block
        self._pace: ReadPace | None = ReadPace()
        if source in slow:
            self._go_ahead(span[0])

    def read_piece(self, offset: int, room: memoryview) -> memoryview:
        """As many bytes as `room` has, from `offset`: in it, or where they are already."""
        if self._pace is None:
            return self._reader.read_piece(offset, room)
        began_s = time.monotonic()
        data = self._reader.read_piece(offset, room)
        if self._pace.took(len(data), time.monotonic() - began_s):
            self._slow_at(offset + len(data), len(room))
        return data

    def _slow_at(self, at: int, size: int) -> None:
        """Read ahead from here on, unless it was the machine that was busy, and not the disk."""
        if _is_cached(self._source, min(at + size, self._end) - 1):
            self._pace = ReadPace()
            return
        with suppress(TypeError):  # somebody's own class, which cannot be remembered
            self._slow.add(self._source)
        self._go_ahead(at)

    def _go_ahead(self, at: int) -> None:
        self._pace = None
        is_file = region_of(self._source) is not None
        blocks = _Blocks(self._source, self._block // _SHARE if is_file else self._block)
        self._reader = reader = PartReader(blocks, at, self._end, self._cancel)
        reader.begin()

    def close(self) -> None:
        """End the reading."""
        self._reader.close()


def _is_cached(source: Source, at: int) -> bool:
    """True where a file's byte is in memory, so that no disk was waited for; Linux tells."""
    region = region_of(source)
    if region is None or not hasattr(os, "RWF_NOWAIT"):
        return False
    try:
        return os.preadv(region[0], [bytearray(1)], region[1] + at, os.RWF_NOWAIT) == 1
    except OSError:  # it is not, or this file system does not tell
        return False
