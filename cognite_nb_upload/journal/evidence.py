"""Whether a file of a job is the one that was sent, beyond its size and modification time.

Rule of this file: what costs nothing decides where it agrees (ctime, inode, rights); where it does
not, the bytes are read, because new rights, links, copies and restored backups change it, too.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.journal.fingerprint import sample_blocks

# Up to here the proof is a digest of every byte; above it, of samples.
_WHOLE: Final = MIB


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a file when it was sent.

    Attributes:
        ctime_ns: when anything of it was changed.
        which: a digest of its inode and rights, 16 hex digits; "" where nothing was seen.
        proof: a digest of its bytes, 32 hex digits: of all up to 1 MiB, else of 448 KiB; "" where
            they were read elsewhere.
    """

    ctime_ns: int = 0
    which: str = ""
    proof: str = ""

    @classmethod
    def of(cls, found: os.stat_result, data: bytes | None = None) -> Self:
        """What the system tells of a file, and what its bytes prove where all of them are given."""
        proof = "" if data is None else proof_of(lambda at, size: data[at : at + size], len(data))
        which = found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_nlink
        return cls(found.st_ctime_ns, _digest(repr(which).encode(), 8), proof)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Self:
        """What is seen of a file now, without its bytes; nothing where it cannot be looked at."""
        try:
            return cls.of(os.stat(path))
        except OSError:
            return cls()

    @classmethod
    def from_json(cls, told: Any) -> Self:
        """As `to_json` gave it; nothing in records of earlier versions."""
        return cls(*told) if told else cls()

    def to_json(self) -> list[Any] | None:
        """As a list for a record."""
        return [self.ctime_ns, self.which, self.proof] if self.which else None

    @classmethod
    def read_from(cls, path: str | os.PathLike[str], size: int, mtime_ns: int) -> Self:
        """What is seen of a file now, with its bytes; nothing where its size or time is another."""
        try:
            found = os.stat(path)
        except OSError:
            return cls()
        if (found.st_size, found.st_mtime_ns) != (size, mtime_ns):
            return cls()
        proof, seen = _proof_at(path), cls.of(found)
        return replace(seen, proof=proof) if cls.of_file(path) == seen else seen

    def is_of(self, path: str | os.PathLike[str], size: int) -> bool:
        """True where the file at `path` is the one that was sent; its size and time are the same.

        It is read only where it was touched since. A large one that was touched, and of which
        neither rights nor inode tell how, was written to, whatever its samples say.
        """
        now = Evidence.of_file(path)
        if not self.which or (now.ctime_ns, now.which) == (self.ctime_ns, self.which):
            return True
        if self.proof and _proof_at(path) != self.proof:
            return False
        if self.proof and size <= _WHOLE:
            return True
        # Elsewhere the system itself writes attributes of files.
        return now.which != self.which or sys.platform != "linux"


NOTHING_SEEN: Final = Evidence()


def proof_of(read: Callable[[int, int], bytes | memoryview], size: int) -> str:
    """A digest of the bytes of a file of this size; `read(offset, size)`."""
    blocks = ((0, size),) if size <= _WHOLE else sample_blocks(size)
    return _digest(b"".join(read(at, length) for at, length in blocks), 16)


def _proof_at(path: str | os.PathLike[str]) -> str:
    """The proof of a file on the disk; "" where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:

            def read(at: int, length: int) -> bytes:
                file.seek(at)
                return file.read(length)

            return proof_of(read, os.fstat(file.fileno()).st_size)
    except OSError:
        return ""


def _digest(data: bytes, size: int) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()
