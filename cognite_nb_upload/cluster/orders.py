"""What the coordinator asks of a worker, and what it hears: plain values, small and without tokens.

Rules of this file: an order has the URL of one part, and what opens a file in another store, and
nothing else that is secret; it travels sealed, so that no log, task or dashboard of an engine shows
it; a receipt has no URL at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Self

from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import REDACTED, Secret
from cognite_nb_upload.errors import SourceChanged, UsageError
from cognite_nb_upload.journal.fingerprint import sample_hashes
from cognite_nb_upload.objects.find import open_origin
from cognite_nb_upload.sources import FileSource, Source
from cognite_nb_upload.store.port import Verdict

# What an order asks for.
LOOK: Final = "look"  # is the file there, and the same?
PART: Final = "part"  # one try of one part
WHOLE: Final = "whole"  # a small file in one PUT, tried until it is stored

# What a receipt says.
DONE: Final = "done"
NOT_HERE: Final = "not here"
ANOTHER: Final = "another"
FAILED: Final = "failed"
STOPPED: Final = "stopped"
LOST: Final = "lost"  # said by the coordinator: the worker is gone, or tells nothing


class NotHere(UsageError):
    """A worker does not have the file."""


@dataclass(frozen=True, slots=True)
class SourceRef:
    """A file, by what every machine that has it sees of it.

    Attributes:
        path: absolute, and the same on all machines.
        size: bytes.
        mtime_ns: nanoseconds since 1970.
        samples: SHA-256 of blocks of it, compared where a worker looks at it first.
        version: of a file in another store, as that store tells it.
        origin: what opens a file in another store; None: it is opened by its path.
    """

    path: str
    size: int
    mtime_ns: int
    samples: tuple[str, ...] = ()
    version: str = ""
    origin: Secret | None = None

    def open(self) -> Source:
        """Open it here, and compare.

        Raises:
            NotHere: it is not there, or cannot be read.
            SourceChanged: it is another file than the coordinator's.
        """
        source: Source
        try:
            source = open_origin(self.origin) if self.origin else FileSource.open(self.path)
        except UsageError as error:
            raise NotHere(str(error)) from None
        try:
            self._compare(source)
        except BaseException:
            source.close()
            raise
        return source

    def _compare(self, source: Source) -> None:
        if source.size != self.size:
            raise SourceChanged(f"{self.path} has {source.size} bytes there, and {self.size} here.")
        facts = source.facts()
        if self.origin and facts.version != self.version:
            raise SourceChanged(f"{self.path} has another version there than here.")
        if facts.mtime_ns != self.mtime_ns:
            raise SourceChanged(f"{self.path} has another modification time there than here.")

    def look(self, source: Source) -> None:
        """Compare the blocks as well; reads 448 KiB.

        Raises:
            SourceChanged: they differ.
        """
        if self.samples and sample_hashes(source.read_at, source.size) != self.samples:
            raise SourceChanged(f"{self.path} has other bytes there than here.")


@dataclass(frozen=True, slots=True)
class Order:
    """One thing for a worker to do.

    Attributes:
        id: of this order; it may stand in logs.
        kind: `LOOK`, `PART` or `WHOLE`.
        source: the file.
        no: the part's number.
        start: its first byte.
        size: its bytes.
        url: where it goes; None for a look.
        content_type: only for a whole file.
        algorithms: the checksums to take of what is sent.
    """

    id: str
    kind: str
    source: SourceRef
    no: int = 0
    start: int = 0
    size: int = 0
    url: Secret | None = None
    content_type: str | None = None
    algorithms: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Its fields, the URL in clear: to be sealed at once."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        ref = self.source  # not asdict, which copies: there are many small files
        found["source"] = {
            "path": ref.path, "size": ref.size, "mtime_ns": ref.mtime_ns, "samples": ref.samples,
            "version": ref.version, "origin": ref.origin.reveal() if ref.origin else None,
        }  # fmt: skip
        found["url"] = self.url.reveal() if self.url else None
        return found

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """From `to_json`."""
        ref = given.pop("source")
        origin = Secret(ref["origin"]) if ref["origin"] else None
        source = SourceRef(**{**ref, "samples": tuple(ref["samples"]), "origin": origin})
        url = given.pop("url")
        algorithms = tuple(given.pop("algorithms"))
        secret = Secret(url) if url else None
        return cls(source=source, url=secret, algorithms=algorithms, **given)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all orders of one run: seconds, and how often a small file is tried."""

    run: str
    base_url: str
    connect_s: float
    stall_s: float
    answer_s: float
    retry: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def retry_of(retry: Retry) -> dict[str, Any]:
        """The numbers of a `Retry`; its random numbers are the worker's own."""
        names = [item.name for item in fields(retry) if item.name != "jitter"]
        return {name: getattr(retry, name) for name in names}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Orders for one worker, with the terms of their run.

    Attributes:
        rate: bytes per second that this worker may send; None is no limit.
        way: how to reach the coordinator, where the engine has no way of its own.
    """

    terms: Terms
    orders: tuple[Order, ...]
    rate: float | None = None
    way: tuple[str, str] | None = None

    def to_bytes(self) -> bytes:
        """As JSON, in clear: to be sealed at once."""
        return json.dumps({
            "terms": asdict(self.terms), "orders": [one.to_json() for one in self.orders],
            "rate": self.rate, "way": self.way,
        }).encode()  # fmt: skip

    @classmethod
    def of(cls, data: bytes) -> Self:
        """From `to_bytes`."""
        read = json.loads(data)
        way = tuple(read["way"]) if read["way"] else None
        orders = tuple(Order.of(one) for one in read["orders"])
        return cls(Terms(**read["terms"]), orders, read["rate"], way)


class Closed:
    """An envelope on its way to a process of this machine; it shows nothing of what is in it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return REDACTED


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an order.

    Attributes:
        id: the order's.
        kind: `DONE` (the verdict says whether it is stored), or why there is no verdict.
        where: the worker, by name.
        words: why not, for people.
        verdict: the store's.
        digests: of what was sent, by algorithm.
        attempts: how often a whole file was tried.
        failure: attributes of the `PartFailed` that ended a whole file.
    """

    id: str
    kind: str
    where: str = ""
    words: str = ""
    verdict: Verdict | None = None
    digests: Mapping[str, bytes] = field(default_factory=dict)
    attempts: int = 1
    failure: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> bool:
        """True where the store has confirmed all bytes."""
        return self.verdict is not None and self.verdict.stored

    def to_message(self) -> dict[str, Any]:
        """As values that JSON and msgpack take."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        found["verdict"] = _plain(self.verdict) if self.verdict else None
        found["digests"] = {name: value.hex() for name, value in self.digests.items()}
        return found

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From `to_message`."""
        read = dict(given)
        verdict = read.pop("verdict")
        digests = {name: bytes.fromhex(value) for name, value in read.pop("digests").items()}
        return cls(verdict=_verdict(verdict) if verdict else None, digests=digests, **read)


def _plain(verdict: Verdict) -> dict[str, Any]:
    found = {item.name: getattr(verdict, item.name) for item in fields(verdict)}
    found["now"] = verdict.now.isoformat() if verdict.now else None
    found["checksums"] = [list(one) for one in verdict.checksums]
    return found


def _verdict(given: Mapping[str, Any]) -> Verdict:
    read = dict(given)
    now, checksums = read.pop("now"), read.pop("checksums")
    return Verdict(
        now=datetime.fromisoformat(now) if now else None,
        checksums=tuple((name, value) for name, value in checksums),
        **read,
    )
