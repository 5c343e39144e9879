"""An upload remembered on disk: append-only lines, one file per upload; resuming is replaying it.

The first line is the fingerprint, each further one a fact: a checksum, a space, JSON. The checksum
is the CRC-32 of everything up to there, so a line that was flipped, lost, doubled or written by
someone else does not match. A file's name is its key (`Fingerprint.key`): an upload has one
journal, and looking for it reads no other.

Rules of this file:

- What ends in a newline is whole and must be right, else the journal is refused; what does not is
  the torn end of a process that died, and is dropped. Dropping the last facts only ever sends a
  part again.
- Nothing is written that could not be replayed. What cannot be written now (a full disk) is cut
  off, kept in memory and written with the next fact, in order. The upload goes on, with a warning.
- A fact is with the kernel before `record` returns, so it outlives a kill. It is on the disk then,
  too (fdatasync), but for stored parts, which wait for each other for up to a second: after a power
  cut, the parts of the last second are sent again.
- Whoever writes holds the lock beside the file. The operating system lets go of it when the holder
  dies, so no lock is ever stale. A forked child writes nothing.
- Upload URLs are a week's write access: they are in the 0600 file while the upload is unfinished,
  are left out when it is archived, and are nowhere else. No frame that an error leaves through has
  one in its variables.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import socket
import threading
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import KIB
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import ImpossibleEvent, PartPhase, PartState, Phase, UploadState
from cognite_nb_upload.core.state import advance as _advance
from cognite_nb_upload.errors import SourceChanged, UploadBusy, UploadToolkitError, UsageError
from cognite_nb_upload.sources import Source

VERSION: Final = 1
SUFFIX: Final = ".journal"
STATE_VARIABLE: Final = "COGNITE_NB_UPLOAD_STATE"
# files-api.md 1: upload URLs live one week. The store's own answer is what counts.
URLS_LIVE: Final = timedelta(days=7)
# How many archived uploads are kept; each is a few KiB.
HISTORY_KEPT: Final = 200

_SAMPLE: Final = 64 * KIB
_SAMPLES: Final = 7
# Stored parts reach the disk together, at most this many seconds late.
_SYNC_EVERY_S: Final = 1.0
# Whoever lists uploads tries each lock for an instant; a claim waits that long, in seconds.
_LOCK_WAIT_S: Final = 0.2

# What a file system says that does not sync at all: no reason to do without a journal.
_CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})

_KEPT: Final[dict[str, type[ev.Event]]] = {
    kind.__name__: kind
    for kind in (
        ev.Opened, ev.PartStarted, ev.PartStored, ev.Paused, ev.Resumed, ev.Completing,
        ev.Assembling, ev.Completed, ev.Failed, ev.Cancelled,
    )
}  # fmt: skip


class JournalWarning(UserWarning):
    """The upload goes on, but it is not remembered on disk."""


class JournalDamaged(UploadToolkitError):
    """A journal cannot be trusted; nothing was sent.

    Attributes:
        path: the file.
        line_no: the line that is wrong, counted from 1.
    """

    def __init__(self, message: str, *, path: Path, line_no: int) -> None:
        super().__init__(message)
        self.path = path
        self.line_no = line_no


class JournalTooNew(JournalDamaged):
    """The journal is sound, and of a later version of this package."""


# --- the fingerprint: which upload, of which bytes ------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Which upload it is, and which bytes it sends. 0 and "" stand for "not known".

    "The same upload" is the same project, base URL, source, name, target and metadata. "The same
    bytes" is the same size, modification time and samples. The inode is told but never decides:
    some network file systems number their files anew at every mount. The part size is that of the
    upload that is going on, whatever a later call would choose.

    Attributes:
        source: absolute path, or what else names the place, such as `browser:big.segy`; "" where
            nothing does (bytes in memory), and what it holds says which upload it is.
        size: bytes.
        mtime_ns: nanoseconds since 1970.
        part_size: bytes.
        samples: SHA-256 of up to 7 blocks of 64 KiB (`sample_hashes`).
        metadata: SHA-256 of what CDF is told of the file, `overwrite` included.
        target: the existing file whose content is sent, by external id or instance id.
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
        """Take the fingerprint of a source; reads 448 KiB of it, so call it off an event loop.

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
            samples=sample_hashes(source.read_at, source.size),
            metadata=digest([metadata or {}, overwrite]),
            target=target,
        )

    @property
    def key(self) -> str:
        """16 hex digits that say which upload it is: the journal's name and id."""
        which: list[Any] = [
            self.project, self.base_url, self.source, self.name, self.metadata, self.target
        ]  # fmt: skip
        if not self.source:
            which += [self.size, self.mtime_ns, self.samples]
        return digest(which)[:16]

    def check(self, now: Fingerprint) -> None:
        """Refuse bytes that are not those of the unfinished upload.

        Raises:
            SourceChanged: size, modification time or samples differ; the message says which.
        """
        changes = self._changes(now)
        if changes:
            raise SourceChanged(
                f"{now.source or now.name} is not what the unfinished upload {self.key} has sent "
                f"so far: {', '.join(changes)}."
            ).hint(
                "Put the old file back to go on, or call with resume=False to send this one as a "
                "new upload."
            )

    def _changes(self, now: Fingerprint) -> list[str]:
        changes = []
        if self.size != now.size:
            changes.append(f"its size was {self.size} bytes and is {now.size}")
        if self.mtime_ns and now.mtime_ns and self.mtime_ns != now.mtime_ns:
            changes.append(f"it was modified {_when(self.mtime_ns)} and is {_when(now.mtime_ns)}")
        if self.samples != now.samples and self.size == now.size:
            changes.append("its bytes are others")
        if changes and self.inode and now.inode and self.inode != now.inode:
            changes.append("it is another file on the disk")
        return changes


def sample_hashes(read: Callable[[int, int], bytes | memoryview], size: int) -> tuple[str, ...]:
    """SHA-256 of the first, the last and five blocks between, 64 KiB each; `read(offset, size)`.

    A source of at most 448 KiB is hashed whole, as one block.
    """
    return tuple(hashlib.sha256(read(at, length)).hexdigest() for at, length in sample_blocks(size))


def sample_blocks(size: int) -> tuple[tuple[int, int], ...]:
    """The `(offset, size)` of each block that `sample_hashes` reads."""
    if size <= _SAMPLES * _SAMPLE:
        return ((0, size),)
    return tuple((no * (size - _SAMPLE) // (_SAMPLES - 1), _SAMPLE) for no in range(_SAMPLES))


def digest(value: object) -> str:
    """SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _when(mtime_ns: int) -> str:
    seconds, ns = divmod(mtime_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ns:09} UTC"


# --- what a journal says --------------------------------------------------------------------------


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

    def __str__(self) -> str:
        this = " (this one)" if (self.pid, self.host) == (os.getpid(), socket.gethostname()) else ""
        notebook = f", notebook {self.notebook!r}," if self.notebook else ""
        since = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"process {self.pid}{this} on host {self.host}{notebook} since {since}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """An upload as its journal tells it. Nothing is in flight: who had it in hand is gone.

    Attributes:
        id: what `reopen` and `forget` take.
        metadata: what CDF was told of the file, as it was given to `Journal.open`.
        state: every part is stored or waiting.
        opened: the session: file id, upload id, URLs, sizes; None before CDF opened one.
        opened_at: when that was, by this machine's clock.
        outcome: how it ended; "" while it is unfinished.
    """

    path: Path
    fingerprint: Fingerprint
    metadata: Mapping[str, Any]
    overwrite: bool
    created_at: datetime
    updated_at: datetime
    state: UploadState = UploadState()  # noqa: RUF009 # frozen
    opened: ev.Opened | None = None
    opened_at: datetime | None = None
    holder: Holder | None = None
    outcome: str = ""
    end: int = field(default=0, repr=False)
    crc: int = field(default=0, repr=False)

    @property
    def id(self) -> str:
        """What `reopen` and `forget` take."""
        return self.path.stem

    @property
    def expires_at(self) -> datetime | None:
        """When the URLs end, by this machine's clock: a hint, the store decides."""
        return self.opened_at + URLS_LIVE if self.opened_at else None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """A row of `uploads()`. Sizes are bytes; times are UTC."""

    id: str
    name: str = ""
    source: str = ""
    project: str = ""
    base_url: str = ""
    size: int | None = None
    parts: int = 0
    stored_parts: int = 0
    stored_bytes: int = 0
    state: str = ""
    opened_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    file_id: int | None = None
    external_id: str = ""
    held_by: str = ""
    note: str = ""


# --- looking --------------------------------------------------------------------------------------


def state_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where journals are: here, else `$COGNITE_NB_UPLOAD_STATE`, else the user's state folder."""
    chosen = folder or os.environ.get(STATE_VARIABLE)
    return Path(chosen).expanduser() if chosen else _default_folder()


def _default_folder() -> Path:
    return user_state_path("cognite_nb_upload") / "uploads"


def replay(path: Path) -> Replayed:
    """Read a journal.

    Raises:
        JournalDamaged: a line is wrong, or there is none.
        JournalTooNew: a later version of this package wrote it.
        FileNotFoundError: there is no such file.
    """
    replayed, line_no, fault = _read(path)
    if fault or replayed is None:
        raise _refusal(path, line_no, fault or "it holds no whole line")
    return replayed


def find(fingerprint: Fingerprint, folder: Path) -> Replayed | None:
    """What is known of an upload; only looks, and takes nothing in hand.

    Raises:
        SourceChanged: there is an unfinished upload, of other bytes.
        JournalDamaged: there is one, and it cannot be trusted.
    """
    path = folder / f"{fingerprint.key}{SUFFIX}"
    replayed = _known(path)
    if replayed is None or replayed.state.phase in (Phase.DONE, Phase.CANCELLED):
        return None
    replayed.fingerprint.check(fingerprint)
    return replayed


def unfinished(folder: Path) -> list[JournalRow]:
    """Uploads that were opened and not ended, the last touched first; damaged ones say so."""
    rows = (_row(path) for path in _journals(folder))
    return [row for row in rows if row is not None]


def history(folder: Path) -> list[JournalRow]:
    """The last 200 uploads that ended, the last first."""
    return unfinished(folder / "history")


def forget(upload_id: str, folder: Path) -> None:
    """Delete what is remembered of an upload. CDF is not told.

    Raises:
        UsageError: there is no such upload.
        UploadBusy: someone is sending it.
    """
    path = _path_of(upload_id, folder)
    with _lock(path):
        _delete(path)


def _path_of(upload_id: str, folder: Path) -> Path:
    name = f"{upload_id}{SUFFIX}"
    if re.fullmatch(r"[0-9a-f]{16}(-[0-9a-f]+)?", upload_id):
        for path in (folder / name, folder / "history" / name):
            if path.exists():
                return path
    raise UsageError(f"No upload {upload_id!r} is remembered in {folder}.").hint(
        "cognite_nb_upload.uploads() lists those that are, with their ids."
    )


def _journals(folder: Path) -> list[Path]:
    """Newest first; a file may be archived by its holder while we look."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


def _row(path: Path) -> JournalRow | None:
    try:
        replayed, line_no, fault = _read(path)
    except OSError as error:
        return JournalRow(id=path.stem, state="unreadable", note=str(error))
    if fault:
        refusal = _refusal(path, line_no, fault)
        state = "newer" if isinstance(refusal, JournalTooNew) else "damaged"
        return JournalRow(id=path.stem, state=state, note=str(refusal))
    if replayed is None or replayed.opened is None:
        return None  # nothing was sent
    return _row_of(replayed)


def _row_of(replayed: Replayed) -> JournalRow:
    mark, state = replayed.fingerprint, replayed.state
    return JournalRow(
        id=replayed.id,
        name=mark.name,
        source=mark.source,
        project=mark.project,
        base_url=mark.base_url,
        size=mark.size,
        parts=len(state.parts),
        stored_parts=len(state.parts) - len(state.missing_parts),
        stored_bytes=state.stored,
        state=replayed.outcome or state.phase.value,
        opened_at=replayed.opened_at,
        updated_at=replayed.updated_at,
        expires_at=None if replayed.outcome else replayed.expires_at,
        file_id=state.file_id,
        external_id=str(replayed.metadata.get("externalId") or mark.target),
        held_by=_held_by(replayed),
        note=state.error,
    )


# --- reading --------------------------------------------------------------------------------------


def _known(path: Path) -> Replayed | None:
    """The journal, or None where there is none or its writer died before the first line."""
    try:
        replayed, line_no, fault = _read(path)
    except FileNotFoundError:
        return None
    if fault:
        raise _refusal(path, line_no, fault)
    return replayed


def _read(path: Path) -> tuple[Replayed | None, int, str]:
    """The journal, the last line read, and what is wrong with that.

    Errors of the text end here: its URLs are in this frame's variables.
    """
    replayed: Replayed | None = None
    line_no = end = crc = 0
    *lines, _torn = path.read_bytes().split(b"\n")
    for line_no, line in enumerate(lines, 1):
        crc = zlib.crc32(line[9:], crc)
        end += len(line) + 1
        if line[:9] != b"%08x " % crc:
            return None, line_no, "its checksum is wrong"
        try:
            replayed = _with(path, replayed, json.loads(line[9:]))
        except _TooNew as newer:
            return None, line_no, str(newer)
        except (ValueError, KeyError, TypeError, IndexError, ImpossibleEvent):
            return None, line_no, "it makes no sense there"
    if replayed is None:
        return None, 1, ""
    return replace(replayed, state=_at_rest(replayed.state), end=end, crc=crc), line_no, ""


class _TooNew(Exception):
    pass


def _refusal(path: Path, line_no: int, fault: str) -> JournalDamaged:
    if fault.startswith("version"):
        return JournalTooNew(
            f"The journal {path} is of {fault}; this package reads {VERSION}.",
            path=path, line_no=line_no,
        ).hint("Upgrade cognite_nb_upload to go on with this upload.")  # fmt: skip
    return JournalDamaged(
        f"The journal {path} is damaged in line {line_no}: {fault}. It is not used.",
        path=path, line_no=line_no,
    ).hint(
        f"Call with resume=False, or cognite_nb_upload.forget({path.stem!r}), to start this upload "
        "anew; what had been sent stays an unfinished file in CDF, which deletes it within a week."
    )  # fmt: skip


def _with(path: Path, replayed: Replayed | None, fact: dict[str, Any]) -> Replayed:
    """What is known after one more line."""
    kind, at = fact.pop("fact"), datetime.fromisoformat(fact.pop("at"))
    if replayed is None:
        return _first(path, kind, at, fact)
    replayed = replace(replayed, updated_at=at)
    match kind:
        case "Held":
            return replace(replayed, holder=Holder(since=at, **fact))
        case "Archived":
            return replace(replayed, outcome=fact["outcome"])
    event = _event(kind, fact)
    replayed = replace(replayed, state=_advance(replayed.state, event))
    if isinstance(event, ev.Opened):
        return replace(replayed, opened=event, opened_at=at)
    return replayed


def _first(path: Path, kind: str, at: datetime, fact: dict[str, Any]) -> Replayed:
    if kind != "Journal":
        raise ValueError(kind)
    if fact["version"] > VERSION:
        raise _TooNew(f"version {fact['version']}")
    mark = fact["fingerprint"]
    return Replayed(
        path=path,
        fingerprint=Fingerprint(**{**mark, "samples": tuple(mark["samples"])}),
        metadata=fact["metadata"],
        overwrite=fact["overwrite"],
        created_at=at,
        updated_at=at,
    )


def _event(kind: str, fact: dict[str, Any]) -> ev.Event:
    match kind:
        case "Opened":
            fact["upload_id"] = Secret(fact["upload_id"])
            fact["urls"] = tuple(Secret(url) for url in fact["urls"])
            fact["sizes"] = tuple(fact["sizes"])
        case "PartStored":
            fact["checksums"] = tuple((name, value) for name, value in fact["checksums"])
    return _KEPT[kind](**fact)


def _at_rest(state: UploadState) -> UploadState:
    """Nothing is in flight in a process that is gone."""
    parts = tuple(
        part if part.phase is PartPhase.STORED else PartState(part.no, part.size)
        for part in state.parts
    )
    return replace(state, parts=parts)


# --- writing --------------------------------------------------------------------------------------


class Journal:
    """The one who writes: `record` is a listener. Made by `open` or `reopen`; ended by `archive`
    or `close`.

    Attributes:
        path: the file; None where no journal can be kept.
        replayed: what was known when it was opened; None for a new upload.
        warning: what a reader of the screen should know; "" while everything is on disk.
    """

    def __init__(
        self,
        lock: FileLock | None,
        replayed: Replayed | None,
        now: Callable[[], datetime],
    ) -> None:
        self.path: Path | None = None
        self.replayed = replayed
        self.warning = ""
        self._lock = lock
        self._now = now
        self._pid = os.getpid()
        self._mutex = threading.RLock()
        self._fd: int | None = None
        self._warned = False
        self._pending: list[Secret] = []
        self._end = replayed.end if replayed else 0
        self._crc = replayed.crc if replayed else 0
        self._state = replayed.state if replayed else UploadState()
        self._torn = True
        self._synced_s = 0.0

    @classmethod
    def open(
        cls,
        fingerprint: Fingerprint,
        folder: Path,
        *,
        metadata: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        resume: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Journal:
        """Take an upload in hand: the unfinished one of this fingerprint, or a new one.

        Where the folder cannot be written to there is no journal; a `JournalWarning` says so.

        Args:
            fingerprint: which upload, of which bytes.
            folder: see `state_folder`; made with mode 0700 when missing.
            metadata: JSON that is kept for opening a new session later. Not the URLs.
            overwrite: kept too: what was overwritten must never be deleted on cancel.
            resume: False archives what is known, and starts anew.
            now: the wall clock, UTC.

        Raises:
            UploadBusy: someone else has this upload in hand; the message says who.
            SourceChanged: the unfinished upload is of other bytes.
            JournalDamaged: its journal cannot be trusted.
        """
        path = folder / f"{fingerprint.key}{SUFFIX}"
        try:
            _make_folder(folder)
            lock = _lock(path)
        except OSError as error:
            return cls._off(folder, error, now)
        try:
            journal = cls(lock, _claimed(path, fingerprint, resume, now), now)
            journal._begin(path, fingerprint, metadata or {}, overwrite)
        except BaseException:
            lock.release()
            raise
        return journal

    @classmethod
    def reopen(
        cls,
        upload_id: str,
        folder: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Journal:
        """Take an unfinished upload in hand by its id; compare `replayed.fingerprint` yourself.

        Raises:
            UsageError: no unfinished upload has this id.
            UploadBusy: someone else has it in hand.
            JournalDamaged: its journal cannot be trusted.
        """
        path = _path_of(upload_id, folder)
        if path.parent != folder:
            raise UsageError(f"The upload {upload_id} has ended; it cannot go on.")
        lock = _lock(path)
        try:
            journal = cls(lock, replay(path), now)
            journal._begin(path)
        except BaseException:
            lock.release()
            raise
        return journal

    def record(self, state: UploadState, event: ev.Event) -> None:
        """Write what matters for resuming; a listener. 30 us, or as long as the disk syncs."""
        if self._fd is None or os.getpid() != self._pid:
            return  # no journal, or a forked child's copy of one
        with self._mutex:
            if not self._matters(event):
                return
            self._state = _advance(self._state, event)
            self._add(type(event).__name__, _plain(event))
            self._flush(sync=self._is_urgent(event), at_s=event.at_s)

    def archive(self, outcome: str) -> None:
        """It has ended: keep what is worth knowing, without the URLs, and let go of it."""
        with self._mutex:
            if self._mine() and self.path is not None and self._state.phase is not Phase.NEW:
                self._flush(sync=False, at_s=0.0)
                self._close_file()
                path, self.path = self.path, None  # what comes to be there next is not ours
                _archive(path, outcome, self._now())
            self.close()

    def close(self) -> None:
        """Let go of it; it stays unfinished, or is forgotten if CDF never opened it."""
        with self._mutex:
            if not self._mine():
                return
            self._close_file()
            if self.path is not None and self._state.phase is Phase.NEW:
                _delete(self.path)
            self.path = None
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self.path or "nowhere"
        parts = len(self._state.parts)
        stored = parts - len(self._state.missing_parts)
        return f"<Journal {where}: {self._state.phase.value}, {stored} of {parts} parts stored>"

    @classmethod
    def _off(cls, folder: Path, error: OSError, now: Callable[[], datetime]) -> Journal:
        journal = cls(None, None, now)
        journal._warn(
            f"Uploads cannot be remembered in {folder}: {error.strerror or error}. The upload goes "
            "on, but if this process ends, it starts from the first byte. Set the environment "
            f"variable {STATE_VARIABLE} to a folder that can be written to."
        )
        return journal

    def _begin(self, path: Path, *header: Any) -> None:
        try:
            self._fd = _open_file(path, new=self.replayed is None)
        except OSError as error:
            self._trouble(error)
            return
        self.path = path
        if self.replayed is None:
            self._add("Journal", _header(*header))
        me = Holder.me(self._now())
        self._add("Held", {"pid": me.pid, "host": me.host, "notebook": me.notebook})
        self._flush(sync=True, at_s=0.0)

    def _mine(self) -> bool:
        return os.getpid() == self._pid

    def _matters(self, event: ev.Event) -> bool:
        """A part that starts matters only where it brings the upload back to sending."""
        if isinstance(event, ev.PartStarted):
            return self._state.phase is not Phase.SENDING
        return type(event).__name__ in _KEPT

    def _is_urgent(self, event: ev.Event) -> bool:
        if isinstance(event, ev.PartStored):
            return event.at_s - self._synced_s >= _SYNC_EVERY_S
        return not isinstance(event, ev.PartStarted | ev.Paused | ev.Resumed)

    def _add(self, kind: str, fact: Mapping[str, Any]) -> None:
        line, self._crc = _line({"fact": kind, "at": self._now().isoformat(), **fact}, self._crc)
        self._pending.append(line)

    def _flush(self, *, sync: bool, at_s: float) -> None:
        """Write what is pending, all or nothing."""
        if self._fd is None:
            return
        try:
            if self._torn:
                os.ftruncate(self._fd, self._end)
            self._torn = True
            written = _write(self._fd, self._pending)
            if sync:
                _sync(self._fd)
                self._synced_s = at_s
        except OSError as error:
            self._trouble(error)
            return
        self._torn = False
        self._end += written
        self._pending.clear()
        self.warning = ""

    def _trouble(self, error: OSError) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
        self._warn(
            f"The journal of this upload cannot be written: {error.strerror or error}. The upload "
            "goes on, but if this process ends, parts that are stored from now on are sent again."
        )

    def _warn(self, text: str) -> None:
        self.warning = text
        if not self._warned:
            self._warned = True
            warnings.warn(JournalWarning(text), stacklevel=4)

    def _close_file(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _claimed(
    path: Path, mark: Fingerprint, resume: bool, now: Callable[[], datetime]
) -> Replayed | None:
    """The journal to go on with; what cannot be gone on with is put away."""
    try:
        known = _known(path)
    except JournalDamaged:
        if resume:
            raise
        _delete(path, keep_lock=True)
        return None
    if known is None or known.opened is None:
        _delete(path, keep_lock=True)  # whoever wrote it died before anything was sent
        return None
    phase = known.state.phase
    over = phase is Phase.CANCELLED or (phase is Phase.DONE and known.fingerprint._changes(mark))
    if not resume or over:
        _archive(path, phase.value if phase.over else "superseded", now(), keep_lock=True)
        return None
    known.fingerprint.check(mark)
    return known


def _header(mark: Fingerprint, metadata: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    return {
        "version": VERSION,
        "fingerprint": asdict(mark),
        "metadata": metadata,
        "overwrite": overwrite,
    }


def _plain(event: ev.Event) -> dict[str, Any]:
    """An event as JSON; `at_s` is of this process's clock alone."""
    values = {item.name: getattr(event, item.name) for item in fields(event)}
    del values["at_s"]
    if isinstance(event, ev.Opened):
        values["upload_id"] = event.upload_id.reveal()
        values["urls"] = [url.reveal() for url in event.urls]
    return values


def _line(fact: Mapping[str, Any], crc: int) -> tuple[Secret, int]:
    body = json.dumps(fact, separators=(",", ":"))
    crc = zlib.crc32(body.encode(), crc)
    return Secret(f"{crc:08x} {body}\n"), crc


def _write(fd: int, lines: list[Secret]) -> int:
    """One write; more only where the kernel took a part of it. Returns the bytes."""
    rest = Secret("".join(line.reveal() for line in lines))  # ASCII: a character is a byte
    size, written = len(rest.reveal()), 0
    while written < size:
        written += os.write(fd, rest.reveal()[written:].encode())
    return size


def _sync(fd: int) -> None:
    try:
        getattr(os, "fdatasync", os.fsync)(fd)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _open_file(path: Path, *, new: bool) -> int:
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o600)
    if new:
        _sync_folder(path.parent)
    return fd


def _sync_folder(folder: Path) -> None:
    """So that the file's name, too, outlives a power cut; not every file system can."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _make_folder(folder: Path) -> None:
    """A folder that someone chose and made stays as it is: the files in it are 0600 anyway."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder == _default_folder():
        folder.chmod(0o700)


# --- the end of an upload -------------------------------------------------------------------------


def _archive(path: Path, outcome: str, at: datetime, *, keep_lock: bool = False) -> None:
    """Copy a journal to `history/` without its secrets, then delete it."""
    folder = path.parent / "history"
    try:
        _make_folder(folder)
        created = replay(path).created_at
        kept = folder / f"{path.stem}-{int(created.timestamp() * 1e6):x}{SUFFIX}"
        _write_archive(path, kept, {"fact": "Archived", "at": at.isoformat(), "outcome": outcome})
        _prune(folder)
    except (OSError, JournalDamaged) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        warnings.warn(
            JournalWarning(f"The upload {path.stem} is not in the history: {reason}."), stacklevel=2
        )
    _delete(path, keep_lock=keep_lock)


def _write_archive(path: Path, kept: Path, last: Mapping[str, Any]) -> None:
    new = kept.with_suffix(".new")
    new.unlink(missing_ok=True)
    fd = _open_file(new, new=True)
    try:
        _write(fd, _without_secrets(path, last))
        _sync(fd)
    finally:
        os.close(fd)
    os.replace(new, kept)


def _without_secrets(path: Path, last: Mapping[str, Any]) -> list[Secret]:
    kept, crc = [], 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        fact = json.loads(line[9:])
        if fact["fact"] == "Opened":
            fact.update(upload_id="", urls=[])
        text, crc = _line(fact, crc)
        kept.append(text)
    return [*kept, _line(last, crc)[0]]


def _prune(folder: Path) -> None:
    for path in _journals(folder)[HISTORY_KEPT:]:
        path.unlink(missing_ok=True)


def _delete(path: Path, *, keep_lock: bool = False) -> None:
    """Whoever deletes has the lock; who gets it after that finds no journal, and starts anew."""
    path.unlink(missing_ok=True)
    if not keep_lock:
        with contextlib.suppress(OSError):  # Windows does not delete what is open
            _lock_path(path).unlink(missing_ok=True)


# --- who has it in hand ---------------------------------------------------------------------------


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _lock(path: Path, wait_s: float = _LOCK_WAIT_S) -> FileLock:
    """Take the upload in hand; the lock is that of the operating system."""
    lock = FileLock(_lock_path(path), mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=wait_s, poll_interval=0.02)
    except Timeout:
        holder = _holder(path)
        raise UploadBusy(
            f"The upload {path.stem} is in hand of {holder or 'another process'}."
        ).hint("Let it finish, or stop it there; then the same call goes on from here.") from None
    return lock


def _holder(path: Path) -> Holder | None:
    try:
        replayed, _, _ = _read(path)
    except OSError:
        return None
    return replayed.holder if replayed else None


def _held_by(replayed: Replayed) -> str:
    """Who has it in hand now, or ""."""
    if replayed.outcome or not _lock_path(replayed.path).exists():
        return ""
    try:
        _lock(replayed.path, wait_s=0).release()
    except UploadBusy:
        return str(replayed.holder or "another process")
    except OSError:
        return ""
    return ""
