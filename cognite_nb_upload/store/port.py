"""The door to a store: one method, `PartStore.put`, and what goes in and comes out.

Behind it stand a store over the network (`network.py`), the browser's page, which sends by itself
(`widgets/browser/direct.py`), and whatever else can carry a part. In front of it stands
`PartSender` (`part.py`), which tries until the part is stored. Neither side knows the other: a new
way to carry parts is a class with this one method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import BackoffWait, CancelToken
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.sources import Source, Witness, witness_of

Checksums = tuple[tuple[str, str], ...]


class PartStore(Protocol):
    """Carries one part to where it is stored, once. Any number of threads call it at a time."""

    def put(self, job: PartJob, cancel: CancelToken) -> Verdict:
        """Send the part from its first byte, in the calling thread, and say how that ended.

        A store keeps these rules:

        - It tries once. Whether, when and how often it is tried again is decided by its caller,
          from the verdict. What went wrong on the way is a verdict, not an error.
        - `stored` is True only where the store confirmed all of the part's bytes.
        - It returns within a second of `cancel` being set, whatever it waits for, with a verdict
          that is not `stored` and gives `cancel.reason`.
        - It ends by itself what stands still or is never answered.
        - It asks `job.throttle` before bytes go out. Where `job.is_watched`, it shows `job.watch`
          each byte that does, once and in order. A store that cannot (somebody else reads the
          bytes) leaves such a job to one that can, or gives `job.digest` the digests that
          somebody else has taken.
        - It tells `job.sent(n)` from time to time; n may go back where a part begins from the
          start, and `job.waiting(why)` while it waits for something a person can help with.
        - The URL goes to the one place that sends the bytes, and never into a log, a repr, an error
          or a verdict.

        Raises:
            SourceChanged: the source is not what it was.
            TransferError: the source cannot be read, or the URL is not one to send anything to.
            UploadStopped: `cancel` was set while the source was read.
        """
        ...


class Throttle(Protocol):
    """A limit of bytes per second that several parts share."""

    @property
    def rate(self) -> float | None:
        """Bytes per second; None: there is no limit now."""
        ...

    def take(self, wanted: int, cancel: CancelToken, /) -> int:
        """Wait until some of the wanted bytes may go; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """What a store's checksums say of one try of one part.

    Attributes:
        problem: what differs, in words; "" where nothing does.
        agreed: the checksums that are the same, as (algorithm, the store's name for it).
        unproven: why none is, as in `PartStored`.
        taken: of the bytes that were sent, as in `PartStored`.
    """

    problem: str = ""
    agreed: Checksums = ()
    unproven: str = ""
    taken: Checksums = ()


class Digest(Protocol):
    """Checksums of one try of one part, and whether the store's agree with them."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What is computed, by name."""
        ...

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the part."""
        ...

    def take(self, digests: Mapping[str, bytes]) -> None:
        """Take digests of the whole part that another process has computed, by algorithm."""
        ...

    def judge(self, theirs: Checksums) -> Check:
        """Compare with what the store answered."""
        ...


def _nobody(event: ev.Event) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class PartJob:
    """Bytes `[start, start + size)` of a source, to be stored as part `no` at `url`.

    Attributes:
        content_type: only for a whole file in one PUT, whose URL is signed for it.
        throttle: is asked before bytes go out.
        emit: is told what happens.
        digest: of this try; takes each byte that goes out.
        witness: of this try; compares each byte that goes out with what it was when the upload
            began, where that may change unseen.
        new_digest: makes the digest of each try, for its URL; None: there is none.
        missing: how many parts of the upload are not stored yet, this one among them.
        backoff_wait: waits until the next try, while other parts use the way.

    The last three are for `PartSender`; a store needs only what stands above them.
    """

    no: int
    url: Secret
    source: Source
    start: int
    size: int
    content_type: str | None = None
    throttle: Throttle | None = None
    emit: Callable[[ev.Event], None] = _nobody
    digest: Digest | None = None
    witness: Witness | None = None
    new_digest: Callable[[Secret], Digest] | None = None
    missing: Callable[[], int] = lambda: 1
    backoff_wait: BackoffWait | None = None

    def begun(self) -> PartJob:
        """The same job for one try, with a digest and a witness of its own."""
        witness = witness_of(self.source, self.start, self.size)
        digest = self.new_digest(self.url) if self.new_digest else None
        return replace(self, digest=digest, witness=witness)

    @property
    def is_watched(self) -> bool:
        """True where each byte that goes out has to be shown to `watch`."""
        return self.digest is not None or self.witness is not None

    def watch(self, data: bytes | memoryview) -> None:
        """Take the next bytes that go out.

        Raises:
            SourceChanged: they are not what they were.
        """
        if self.digest is not None:
            self.digest.update(data)
        if self.witness is not None:
            self.witness.update(data)

    def sent(self, count: int) -> None:
        """So many bytes of this try have been handed to the network."""
        self.emit(ev.PartSent(self.no, count))

    def waiting(self, why: str) -> None:
        """It waits, and a person can help; "" where it goes on."""
        self.emit(ev.waits_for(why))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one try of a part ended.

    Attributes:
        stored: the store has it.
        reason: why not, in words.
        retry: True where another try may end otherwise.
        status: the store's HTTP status, or None where no answer came.
        offline: no connection was made at all.
        overloaded: the store or the way to it asks for less.
        expired: the signed URL is no longer valid.
        hint: what to do.
        retry_after: the header's text.
        retryable: the store itself says that it may be tried again.
        now: the store's clock.
        checksums: what the store says the part's checksums are, by name ("md5" in hex, ...).
    """

    stored: bool
    reason: str = ""
    retry: bool = False
    status: int | None = None
    offline: bool = False
    overloaded: bool = False
    expired: bool = False
    hint: str = ""
    retry_after: str | None = None
    retryable: bool = False
    now: datetime | None = None
    checksums: Checksums = ()
