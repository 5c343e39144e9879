"""What a journal says: its lines, and the upload they add up to.

A line is a checksum, a space, JSON. The checksum is the CRC-32 of all JSON up to there, so a line
that was flipped, lost, doubled or written by someone else does not match. The first line is the
fingerprint and the version; each further one is a fact: an event, who has it in hand, how it ended.
A second such line begins it afresh, where CDF had not said that it opened anything.

Rules of this file: what ends in a newline is whole and must be right, else the journal is refused;
what does not is the torn end of a process that died, and is dropped, which only ever sends a part
again. No error leaves a frame that has a URL in its variables.
"""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import ImpossibleEvent, PartPhase, PartState, UploadState, advance
from cognite_nb_upload.errors import JournalDamaged, JournalTooNew
from cognite_nb_upload.journal.fingerprint import Fingerprint

# Version 2 is written where there is a node, which earlier ones of this package do not know.
VERSION: Final = 2
# Upload URLs live one week. The store's own answer is what counts.
URLS_LIVE: Final = timedelta(days=7)
# The checksum's 8 hex digits and the space.
_MARGIN: Final = 9

# What becomes of bytes on their way ends with the process; a part that starts is kept where it was
# stored before.
KEPT: Final[dict[str, type[ev.Event]]] = {
    kind.__name__: kind
    for kind in (
        ev.Beginning, ev.NodeApplied, ev.Opened, ev.PartStarted, ev.PartStored, ev.PartRefuted,
        ev.Paused, ev.Resumed, ev.Completing, ev.Assembling, ev.Completed, ev.Failed, ev.Cancelled,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has, or had, an upload in hand."""

    pid: int
    host: str
    since: datetime
    notebook: str = ""

    @classmethod
    def me(cls, now: datetime) -> Self:
        """This process; Jupyter tells its kernels the notebook's path."""
        return cls(os.getpid(), socket.gethostname(), now, os.environ.get("JPY_SESSION_NAME", ""))

    @property
    def is_this_process(self) -> bool:
        """True in the process that it names."""
        return (self.pid, self.host) == (os.getpid(), socket.gethostname())

    def __str__(self) -> str:
        this = " (this one)" if self.is_this_process else ""
        notebook = f", notebook {self.notebook!r}," if self.notebook else ""
        since = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"process {self.pid}{this} on host {self.host}{notebook} since {since}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """An upload as its journal tells it. Nothing is in flight: who had it in hand is gone.

    Attributes:
        metadata: what CDF was told of the file, as it was given to `Journal.open`.
        state: every part is stored or waiting.
        opened: the session: file id, upload id, URLs, sizes; None before CDF opened one.
        opened_at: when that was, by this machine's clock.
        intent: what was known before CDF was asked for a file; None where that was not told.
        node: that CDF's data model has the file's node; None where that was not told.
        outcome: how it ended; "" while it is unfinished.
        end: bytes of whole lines; what follows is torn.
        crc: the checksum of the last one.
    """

    path: Path
    fingerprint: Fingerprint
    metadata: Mapping[str, Any]
    overwrite: bool
    created_at: datetime
    updated_at: datetime
    state: UploadState = field(default_factory=UploadState)
    opened: ev.Opened | None = None
    opened_at: datetime | None = None
    holder: Holder | None = None
    intent: ev.Beginning | None = None
    node: ev.NodeApplied | None = None
    outcome: str = ""
    end: int = field(default=0, repr=False)
    crc: int = field(default=0, repr=False)

    @property
    def id(self) -> str:
        """What `Journal.reopen` and `forget` take."""
        return self.path.stem

    @property
    def expires_at(self) -> datetime | None:
        """When the URLs end, by this machine's clock: a hint, the store decides."""
        return self.opened_at + URLS_LIVE if self.opened_at else None


def replay(path: Path) -> Replayed:
    """Read a journal.

    Raises:
        JournalDamaged: a line is wrong, or there is none.
        JournalTooNew: a later version of this package wrote it.
        OSError: it is not there, or cannot be read.
    """
    replayed = replay_if_any(path)
    if replayed is None:
        raise _damaged(path, 1, "it holds no whole line")
    return replayed


def header_of(path: Path) -> Fingerprint | None:
    """The fingerprint in a journal's first line; None where that line cannot be used."""
    with path.open("rb") as file:
        line = file.readline()
    if not line.endswith(b"\n") or line[:_MARGIN] != b"%08x " % zlib.crc32(line[_MARGIN:-1]):
        return None
    try:
        return _first(path, json.loads(line[_MARGIN:])).fingerprint
    except (ValueError, LookupError, TypeError):
        return None


def replay_if_any(path: Path) -> Replayed | None:
    """`replay`, with None where the writer died before its first line was whole."""
    replayed, line_no, fault = _read(path)
    if isinstance(fault, int):
        raise JournalTooNew(
            f"The journal {path} is of version {fault}; this package reads version {VERSION}.",
            path=path, line_no=line_no,
        ).hint("Upgrade cognite_nb_upload to go on with this upload.")  # fmt: skip
    if fault:
        raise _damaged(path, line_no, fault)
    return replayed


def _damaged(path: Path, line_no: int, fault: str) -> JournalDamaged:
    return JournalDamaged(
        f"The journal {path} is damaged in line {line_no}: {fault}. It is not used.",
        path=path, line_no=line_no,
    ).hint(
        f"Call with resume=False, or cognite_nb_upload.forget({path.stem!r}), to start this upload "
        "anew; what had been sent stays an unfinished file in CDF, which deletes it within a week."
    )  # fmt: skip


def _read(path: Path) -> tuple[Replayed | None, int, str | int]:
    """The journal, the last line that was read, and what is wrong with it (an int: its version).

    Errors of the text end here: its URLs are in the variables of this frame.
    """
    replayed: Replayed | None = None
    line_no = end = crc = 0
    *lines, _torn = path.read_bytes().split(b"\n")
    for line_no, line in enumerate(lines, 1):
        crc = zlib.crc32(line[_MARGIN:], crc)
        end += len(line) + 1
        if line[:_MARGIN] != b"%08x " % crc:
            return None, line_no, "its checksum is wrong"
        try:
            fact = json.loads(line[_MARGIN:])
            if line_no == 1 and fact["version"] > VERSION:
                return None, line_no, int(fact["version"])
            replayed = _after(replayed, fact) if replayed else _first(path, fact)
        except (ValueError, LookupError, TypeError, AttributeError, ImpossibleEvent):
            return None, line_no, "it makes no sense there"
    if replayed is None:
        return None, 0, ""
    return replace(replayed, state=_at_rest(replayed.state), end=end, crc=crc), line_no, ""


def _first(path: Path, fact: dict[str, Any]) -> Replayed:
    at, mark = datetime.fromisoformat(fact["at"]), fact["fingerprint"]
    return Replayed(
        path=path,
        fingerprint=Fingerprint(**{**mark, "samples": tuple(mark["samples"])}),
        metadata=fact["metadata"],
        overwrite=fact["overwrite"],
        created_at=at,
        updated_at=at,
    )


def _after(replayed: Replayed, fact: dict[str, Any]) -> Replayed:
    """What is known after one more line."""
    if fact["fact"] == "Journal":  # begun afresh: CDF had not said that it opened anything
        return replace(_first(replayed.path, fact), intent=replayed.intent, node=replayed.node)
    kind, at = fact.pop("fact"), datetime.fromisoformat(fact.pop("at"))
    replayed = replace(replayed, updated_at=at)
    match kind:
        case "Held":
            return replace(replayed, holder=Holder(since=at, **fact))
        case "Archived":
            return replace(replayed, outcome=fact["outcome"])
    event = _event(kind, fact)
    replayed = replace(replayed, state=advance(replayed.state, event))
    if isinstance(event, ev.Opened):
        return replace(replayed, opened=event, opened_at=at)
    if isinstance(event, ev.Beginning):
        return replace(replayed, intent=event)
    if isinstance(event, ev.NodeApplied):
        return replace(replayed, node=event)
    return replayed


def _event(kind: str, fact: dict[str, Any]) -> ev.Event:
    match kind:
        case "Opened":
            fact["upload_id"] = Secret(fact["upload_id"])
            fact["urls"] = tuple(Secret(url) for url in fact["urls"])
            fact["sizes"] = tuple(fact["sizes"])
        case "PartStored":
            for item in ("checksums", "taken"):
                fact[item] = tuple((name, value) for name, value in fact.get(item, ()))
    return KEPT[kind](**fact)


def _at_rest(state: UploadState) -> UploadState:
    parts = tuple(
        part if part.phase is PartPhase.STORED else PartState(part.no, part.size)
        for part in state.parts
    )
    return replace(state, parts=parts)


def plain(event: ev.Event) -> dict[str, Any]:
    """An event as JSON, its secrets in clear; `at_s` is of this process's clock alone."""
    values = {item.name: getattr(event, item.name) for item in fields(event)}
    del values["at_s"]
    if isinstance(event, ev.Opened):
        values["upload_id"] = event.upload_id.reveal()
        values["urls"] = [url.reveal() for url in event.urls]
    return values


def line_of(fact: Mapping[str, Any], crc: int) -> tuple[Secret, int]:
    """The line (ASCII) that says `fact` after a line with the checksum `crc`, and its checksum."""
    body = json.dumps(fact, separators=(",", ":"))
    crc = zlib.crc32(body.encode(), crc)
    return Secret(f"{crc:08x} {body}\n"), crc


def without_secrets(path: Path, last: Mapping[str, Any]) -> list[Secret]:
    """The lines of a sound journal without upload id and URLs, and `last` at their end."""
    kept, crc = [], 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        fact = json.loads(line[_MARGIN:])
        if fact["fact"] == "Opened":
            fact.update(upload_id="", urls=[])
        text, crc = line_of(fact, crc)
        kept.append(text)
    return [*kept, line_of(last, crc)[0]]
