"""What can happen to an upload: the one vocabulary that state, journal, bars and widgets share.

Rule of this file: an event is a fact in the past tense, frozen, with everything that is needed to
replay it. `at_s` is the monotonic clock of the process that saw it, in seconds; it is for rates,
never for dates. Part numbers count from 0; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cognite_nb_upload.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Beginning(Event):
    """CDF is about to be asked for a new file with an external id; its answer may get lost.

    `absent_ms` is CDF's clock (milliseconds since 1970) when it had no such file yet: one that it
    made later, as it was asked to, is that of this upload. None: that is not known.
    """

    absent_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NodeApplied(Event):
    """CDF's data model has the node of the file.

    `made_ms` is when it was made, by CDF's clock (milliseconds since 1970), where this upload is
    known to have made it; only such a node is ever deleted again. None: it was there before, or
    that is not known.
    """

    space: str
    external_id: str
    made_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Opened(Event):
    """CDF has made the file and handed out a URL per part. `sizes[i]` is None where not planned.

    `cdf_ms` is the latest time that CDF told of the file, by its own clock (milliseconds since
    1970): content uploaded later is that of this upload.
    """

    file_id: int | None
    upload_id: Secret
    urls: tuple[Secret, ...] = field(repr=False)
    sizes: tuple[int | None, ...]
    name: str = ""
    cdf_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PartStarted(Event):
    """Try number `attempt` (from 1) of a part begins, from its first byte."""

    no: int
    size: int
    attempt: int


@dataclass(frozen=True, slots=True)
class PartPlaced(Event):
    """A worker of an engine has this try of a part; `where` is the worker's name."""

    no: int
    where: str


@dataclass(frozen=True, slots=True)
class PartSent(Event):
    """`sent` bytes of this try have been handed to the network so far."""

    no: int
    sent: int


@dataclass(frozen=True, slots=True)
class PartLost(Event):
    """This try of a part failed; its bytes are taken back. `wait_s` None: it was the last.

    `overloaded`: the store, or the way to it, asks for less at once.
    """

    no: int
    attempt: int
    reason: str
    wait_s: float | None
    status: int | None = None
    overloaded: bool = False


@dataclass(frozen=True, slots=True)
class PartStored(Event):
    """The store has the part. `checksums` is what it was verified with, by the algorithm's name.

    `unproven` says why no checksum agreed where one was computed: "silent" (the store gave none),
    or "etag" (its ETag looks like an MD5 and differs, as where a bucket encrypts with its own key).
    `taken` is checksums of the bytes that were sent, as (algorithm, hex), where all of them make
    one of the whole.
    """

    no: int
    size: int
    checksums: tuple[tuple[str, str], ...] = ()
    unproven: str = ""
    taken: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PartRefuted(Event):
    """A part that counted as stored has other bytes in the store: it is sent again."""

    no: int
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """The whole upload waits for something, `offline` or `CDF says 503`."""

    reason: str


@dataclass(frozen=True, slots=True)
class WaitEnded(Event):
    """It waits no more."""


def waits_for(reason: str) -> Waiting | WaitEnded:
    """What is told of a wait: its reason, or with "" that it has ended."""
    return Waiting(reason=reason) if reason else WaitEnded()


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """Nothing is being sent until it is resumed."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """It goes on."""


@dataclass(frozen=True, slots=True)
class Completing(Event):
    """Every part is stored; CDF is being told."""


@dataclass(frozen=True, slots=True)
class Assembling(Event):
    """CDF has taken the completion, and puts the parts together; `uploaded` is not yet true."""


@dataclass(frozen=True, slots=True)
class Completed(Event):
    """The file is in CDF. `verified` says what was checked, and by what; "" is nothing."""

    verified: str = ""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """It ended with an error, said in one sentence. What is stored stays stored."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled(Event):
    """Someone gave it up; no byte follows."""
