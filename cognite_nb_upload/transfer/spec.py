"""`UploadSpec`: what one upload sends, and how; settled before anything is sent.

Rule of this file: what says *which* upload it is stands in `request` and in the source; everything
else is an option, which another call may choose differently without meaning another upload.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from cognite_nb_upload.api.files import Claim
from cognite_nb_upload.api.session import OpenUpload
from cognite_nb_upload.core.concurrency import MOST
from cognite_nb_upload.core.plan import MIB, Plan
from cognite_nb_upload.journal.fingerprint import Fingerprint
from cognite_nb_upload.models import CDFFile, FileNode
from cognite_nb_upload.sources import BytesSource, Source
from cognite_nb_upload.transfer.verify import Verify

# As many as pay: `core/concurrency.py` says how many of them go at once.
DEFAULT_CONCURRENCY: Final = MOST

# Is told what is waited for, and "" when it is over.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSpec:
    """What is to be uploaded, and how.

    Attributes:
        source: the bytes.
        plan: the parts they are cut into.
        opener: opens a session of so many parts at CDF; a claim says which file is its own, and it
            tells what it waits for.
        in_one: opens the upload for one PUT in place of parts; None where it is not to go so.
        absent_since: asks CDF for its clock while it has no file of this external id; None where
            no file of that name can be in the way.
        reopener: asks for fresh URLs for the file that was opened; None where CDF cannot.
        after: mends the file once CDF has it.
        about: what CDF is told of the file; kept in the journal.
        node: the file's node in the data model, which is made first.
        target: the existing file, where only its content is sent.
        replaces: a file existed before (`overwrite`, or an existing file): never delete it.
        upload_id: the journal's, where it is known which unfinished upload is meant.
        progress: show bars while it is awaited.
        on_done: the caller's own function, for the `Uploaded`.
        engine: whose workers send the parts; None: this process does.
        trust_network: an engine may have orders go over a network without TLS.
        asked: the options that the caller gave, as a note names them.
        notes: what a reader should know of what is sent.
    """

    source: Source
    name: str
    project: str
    base_url: str
    plan: Plan
    opener: Callable[[int, Claim | None, Tell], Awaitable[OpenUpload]]
    reopener: Callable[[int, Tell], Awaitable[OpenUpload]] | None
    about: Mapping[str, Any]
    in_one: Callable[[Claim | None], Awaitable[OpenUpload]] | None = None
    absent_since: Callable[[], Awaitable[int | None]] | None = None
    after: Callable[[CDFFile], Awaitable[CDFFile]] | None = None
    node: FileNode | None = None
    target: str = ""
    replaces: bool = False
    overwrite: bool = False
    verify: Verify = "size"
    resume: bool = True
    folder: Path = field(default_factory=Path)
    upload_id: str = ""
    max_concurrency: int = DEFAULT_CONCURRENCY
    max_bandwidth: float | None = None
    progress: bool = True
    on_done: Callable[..., Any] | None = None
    engine: Any = None
    trust_network: bool = False
    asked: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def request(self) -> tuple[object, ...]:
        """Everything that CDF is asked for, without the bytes."""
        return (
            self.project, self.base_url, self.name, self.about, self.overwrite, self.target
        )  # fmt: skip

    @property
    def key(self) -> Hashable:
        """What uploads that send the same have in common, as far as it is told without reading."""
        return self.name, self.target, self.source.size, _which(self.source)

    def fingerprint(self, source: Source) -> Fingerprint:
        """Which upload it is, of the bytes of `source`; reads 448 KiB of it.

        Raises:
            SourceChanged: it cannot be read as planned.
        """
        return Fingerprint.of(
            source,
            project=self.project,
            base_url=self.base_url,
            name=self.name,
            part_size=self.plan.part_size,
            metadata=self.about,
            overwrite=self.overwrite,
            target=self.target,
        )

    def sends_the_same_as(self, other: UploadSpec) -> bool:
        """True if both send the same bytes with the same request; options may differ."""
        return self.request == other.request and same_bytes(self.source, other.source)


def same_bytes(one: Source, two: Source) -> bool:
    """True if both are one file, unchanged, or hold equal bytes in memory.

    Other objects are read only by the upload itself, so that starting one stays quick: for them
    the answer is False.
    """
    if one is two:
        return True
    if one.size != two.size or _which(one) != _which(two):
        return False
    if _which(one) is not None:
        return True
    if isinstance(one, BytesSource) and isinstance(two, BytesSource):
        blocks = range(0, one.size, MIB)
        return all(bytes(one.read_at(at, MIB)) == bytes(two.read_at(at, MIB)) for at in blocks)
    if hasattr(one, "read_once") or hasattr(two, "read_once"):
        return False  # their facts take a digest of everything
    mine, theirs = one.facts(), two.facts()
    return bool(mine.path or theirs.path) and mine == theirs


def _which(source: Source) -> Hashable:
    """Which file it is, unchanged; None where nothing tells without reading."""
    return cast("Hashable", getattr(source, "which", None))
