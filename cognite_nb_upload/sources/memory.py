"""Content in memory: what nobody writes to, and what somebody may."""

from __future__ import annotations

import errno
import hashlib
import io
import mmap
import os
import tempfile
import threading
from typing import Final

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.plan import MIB, show_bytes
from cognite_nb_upload.errors import SourceChanged
from cognite_nb_upload.sources.port import Witness

# Memory that its owner may write to is copied when it is up to this size, in bytes: a few
# milliseconds. Above it, one pass takes a digest of each MiB, and every byte that goes is compared.
COPIED_UP_TO: Final = 16 * MIB
_BLOCK: Final = MIB
LIVE: Final = "read where it is; a change is noticed"


class Digested:
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


class BytesSource(Digested):
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
        return DigestWitness(self, start, size)


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


class DigestWitness:
    """Compares the bytes of one try of one part with the digests of the pass, block by block."""

    def __init__(self, source: Digested, start: int, size: int) -> None:
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
