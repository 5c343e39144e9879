"""Which upload it is, and of which bytes: what a resumed call is compared with.

Rule of this file: what says *which* upload is in the key; what says which *bytes* is compared, and
a difference is refused by name, never passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from cognite_nb_upload.core.plan import KIB
from cognite_nb_upload.errors import SourceChanged
from cognite_nb_upload.sources import Source, needs_samples, shown_path

_SAMPLE: Final = 64 * KIB
_SAMPLES: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Which upload it is, and which bytes it sends. 0 and "" stand for "not known".

    "The same upload" is the same project, base URL, source, name, target and metadata. "The same
    bytes" is the same size, modification time and samples. The inode is told but never decides:
    some network file systems number their files anew at every mount. The ctime decides only where
    nothing but a write explains it: new rights, links and a restored backup change it, too. The
    part size is that of the upload that is going on, whatever a later call would choose.

    Attributes:
        source: absolute path, or what else names the place, such as `browser:big.segy`; "" where
            nothing does (bytes in memory), and what it holds says which upload it is.
        size: bytes.
        mtime_ns: nanoseconds since 1970.
        part_size: bytes.
        samples: SHA-256 of up to 7 blocks of 64 KiB (`sample_hashes`); none where a store elsewhere
            tells the version of what it has.
        metadata: SHA-256 of what CDF is told of the file, `overwrite` included.
        target: the existing file whose content is sent, by external id or instance id.
        version: what else tells one content from another, such as a digest of bytes in memory.
        ctime_ns: when anything of the file was changed; `rights` is what else changes it.
    """

    project: str
    base_url: str
    name: str
    size: int
    source: str = ""
    mtime_ns: int = 0
    inode: int = 0
    part_size: int = 0
    samples: tuple[str, ...] = ()
    metadata: str = ""
    target: str = ""
    version: str = ""
    ctime_ns: int = 0
    rights: str = ""

    @classmethod
    def of(
        cls,
        source: Source,
        *,
        project: str,
        base_url: str,
        name: str = "",
        part_size: int = 0,
        metadata: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        target: str = "",
    ) -> Self:
        """Take the fingerprint of a source, off an event loop.

        It reads 448 KiB of it, unless a store elsewhere tells its version, or nothing does.

        Raises:
            SourceChanged: it cannot be read as planned.
        """
        facts = source.facts()
        return cls(
            project=project,
            base_url=base_url.rstrip("/"),
            name=name or source.name,
            size=source.size,
            source=facts.path,
            mtime_ns=facts.mtime_ns,
            inode=facts.inode,
            part_size=part_size,
            samples=sample_hashes(source.read_at, source.size) if needs_samples(source) else (),
            metadata=digest([metadata or {}, overwrite]),
            target=target,
            version=facts.version,
            ctime_ns=facts.ctime_ns,
            rights=facts.rights,
        )

    @property
    def key(self) -> str:
        """16 hex digits that say which upload it is: the journal's name and id."""
        which: list[Any] = [
            self.project, self.base_url, self.source, self.name, self.metadata, self.target
        ]  # fmt: skip
        if not self.source:
            which += [self.size, self.mtime_ns, self.samples, self.version]
        return digest(which)[:16]

    def check(self, now: Fingerprint) -> None:
        """Refuse bytes that are not those of the unfinished upload.

        Raises:
            SourceChanged: size, modification time or samples differ; the message says which.
        """
        changes = self.changes(now)
        if changes:
            raise SourceChanged(
                f"{shown_path(now.source) or now.name} is not what the unfinished upload "
                f"{self.key} has sent so far: {', '.join(changes)}."
            ).hint(
                "Put the old file back to go on, or call with resume=False to send this one as a "
                "new upload."
            )

    def changes(self, now: Fingerprint) -> list[str]:
        """What of the bytes differs from `now`, in words; empty where they are the same."""
        changes = []
        if self.size != now.size:
            changes.append(f"its size was {self.size} bytes and is {now.size}")
        elif self.samples != now.samples or (
            self.version and now.version and self.version != now.version
        ):
            changes.append("its bytes are others")
        if self.mtime_ns and now.mtime_ns and self.mtime_ns != now.mtime_ns:
            changes.append(f"it was modified {_when(self.mtime_ns)} and is {_when(now.mtime_ns)}")
        if not changes and self._was_put_back(now):
            changes.append("it was written to, and its modification time put back")
        if changes and self.inode and now.inode and self.inode != now.inode:
            changes.append("it is another file on the disk")
        return changes

    def _was_put_back(self, now: Fingerprint) -> bool:
        """True where the same file was changed, and neither its time nor its rights tell how."""
        was = self.source, self.inode, self.rights  # to move a file changes its ctime, too
        same_file = self.inode and was == (now.source, now.inode, now.rights)
        known = self.ctime_ns and now.ctime_ns
        return bool(same_file and known and self.ctime_ns != now.ctime_ns)


def sample_hashes(read: Callable[[int, int], bytes | memoryview], size: int) -> tuple[str, ...]:
    """SHA-256 of the first, the last and five blocks between, 64 KiB each; `read(offset, size)`.

    A source of at most 448 KiB is hashed whole, as one block.
    """
    return tuple(hashlib.sha256(read(at, length)).hexdigest() for at, length in sample_blocks(size))


def sample_blocks(size: int) -> tuple[tuple[int, int], ...]:
    """The `(offset, size)` of each block that `sample_hashes` reads, in bytes."""
    if size <= _SAMPLES * _SAMPLE:
        return ((0, size),)
    return tuple((no * (size - _SAMPLE) // (_SAMPLES - 1), _SAMPLE) for no in range(_SAMPLES))


def digest(value: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _when(mtime_ns: int) -> str:
    seconds, ns = divmod(mtime_ns, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ns:09} UTC"
    except (ValueError, OverflowError, OSError):  # file systems may say anything
        return f"{seconds} s after 1970"
