"""What tells one content from another, after a restart too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What tells one source from another: path (or ""), size in bytes, mtime in ns, inode.

    `version` is what else tells one content from another, such as a digest; "" where nothing does.
    `ctime_ns` is 0 where it tells nothing of a file's bytes; `rights` is what else changes it.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    version: str = ""
    ctime_ns: int = 0
    rights: str = ""
