"""An upload remembered on disk: append-only lines, one file per upload; resuming is replaying it.

`fingerprint` says which upload it is, `replay` what its lines say, `shelf` where they are kept;
this file writes them.

Rules of this file:

- Nothing is written that could not be replayed. What cannot be written now (a full disk) is written
  with the next fact, in order (`file`). The upload goes on, with a warning.
- A fact is with the kernel before `record` returns, so it outlives a kill. The disk has it within a
  second, synced in another thread: after a power cut, the parts of the last second are sent again.
  Who opens or completes an upload waits for the disk (`settle`).
- Whoever writes holds the lock beside the file. A forked child writes nothing.
- Upload URLs are a week's write access: they are in the 0600 file while the upload is unfinished,
  are left out when it is archived, and are nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import Phase, UploadState, advance
from cognite_nb_upload.errors import JournalDamaged, JournalTooNew, UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.file import JournalFile
from cognite_nb_upload.journal.fingerprint import Fingerprint, sample_blocks, sample_hashes
from cognite_nb_upload.journal.folder import (
    STATE_VARIABLE,
    JournalRow,
    JournalWarning,
    find,
    forget,
    history,
    state_folder,
    unfinished,
)
from cognite_nb_upload.journal.format import (
    KEPT,
    VERSION,
    Holder,
    Replayed,
    line_of,
    plain,
    replay,
)
from cognite_nb_upload.journal.lock import ProcessLock

__all__ = [
    "Fingerprint",
    "Holder",
    "Journal",
    "JournalDamaged",
    "JournalRow",
    "JournalTooNew",
    "JournalWarning",
    "Replayed",
    "find",
    "forget",
    "history",
    "replay",
    "sample_blocks",
    "sample_hashes",
    "state_folder",
    "unfinished",
]

Clock = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """The one who writes: begun by `open` or `reopen`, ended by `archive` or `close`.

    `record` is a listener.

    Attributes:
        path: the file; None where no journal can be kept, and after the end.
        replayed: what was known when it was opened; None for a new upload.
        intent: what was known before CDF was asked for a file, if that was asked and not answered.
        node: that CDF has the file's node, and whether this upload made it.
        warning: what a reader of the screen should know; "" while everything is on disk.
    """

    def __init__(self, lock: ProcessLock | None, replayed: Replayed | None, now: Clock) -> None:
        self.path: Path | None = None
        self.replayed = replayed if replayed and replayed.opened else None
        self.intent = replayed.intent if replayed else None
        self.node = replayed.node if replayed else None
        self.warning = ""
        self._lock = lock
        self._now = now
        self._pid = os.getpid()
        self._mutex = threading.RLock()
        self._file: JournalFile | None = None
        self._warned = threading.Lock()  # taken by the first of its threads that warns
        self._state = replayed.state if replayed else UploadState()
        self._crc = replayed.crc if replayed else 0  # the checksum after the last line

    @classmethod
    def open(
        cls,
        fingerprint: Fingerprint,
        folder: Path | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        resume: bool = True,
        now: Clock = _utc_now,
    ) -> Journal:
        """Take an upload in hand: the unfinished one of this fingerprint, or a new one.

        Where the folder cannot be written to there is no journal; a `JournalWarning` says so.

        Args:
            fingerprint: which upload, of which bytes.
            folder: `state_folder()` when None; made with mode 0700 when missing.
            metadata: JSON that is kept for opening a new session later.
            overwrite: kept too: what was overwritten must never be deleted on cancel.
            resume: False archives what is known, and starts anew.
            now: the wall clock, UTC.

        Raises:
            UploadBusy: someone else has this upload in hand; the message says who.
            SourceChanged: the unfinished upload is of other bytes.
            JournalDamaged: its journal cannot be trusted.
        """
        folder = state_folder(folder)
        path = journal_folder.path_of(fingerprint, folder)
        try:
            journal_folder.make_folder(folder)
            lock = journal_folder.lock(path)
        except OSError as error:
            journal = cls(None, None, now)
            journal._warn(_no_journal(folder, error))
            return journal
        with _released_on_error(lock):
            known = _claim(path, fingerprint, resume, now)
        journal = cls(lock, known, now)
        header = _header(fingerprint, metadata or {}, overwrite)
        end = known.end if known else 0
        return journal._begun(path, None if journal.replayed else header, end)

    @classmethod
    def reopen(
        cls, upload_id: str, folder: Path | None = None, *, now: Clock = _utc_now
    ) -> Journal:
        """Take an unfinished upload in hand by its id; the caller checks the fingerprint.

        Raises:
            UsageError: no unfinished upload has this id.
            UploadBusy: someone else has it in hand.
            JournalDamaged: its journal cannot be trusted.
            OSError: nothing can be locked in that folder.
        """
        folder = state_folder(folder)
        path = journal_folder.path_of_id(upload_id, folder)
        if path.parent != folder:
            raise UsageError(f"The upload {upload_id} has ended; there is nothing to go on with.")
        lock = journal_folder.lock(path)
        with _released_on_error(lock):
            known = replay(path)
        return cls(lock, known, now)._begun(path, None, known.end)

    def record(self, state: UploadState, event: ev.Event) -> None:
        """Write what matters for resuming; a listener. About 30 us: the disk is not waited for."""
        if self._file is None or type(event).__name__ not in KEPT or not self._is_mine():
            return
        with self._mutex:
            if (file := self._file) is None:
                return  # it was closed in this moment
            if isinstance(event, ev.Beginning):
                self.intent = event
            if isinstance(event, ev.NodeApplied):
                self.node = event
            before, self._state = self._state, advance(self._state, event)
            if isinstance(event, ev.PartStarted) and _same(before, self._state):
                return
            file.add(self._line(type(event).__name__, plain(event)))

    def settle(self) -> None:
        """Wait until the disk has all that was recorded; where it cannot, a warning says so."""
        file = self._file
        if file is not None and self._is_mine():
            file.settle()

    def archive(self, outcome: str) -> None:
        """It has ended: keep what is worth knowing, without the URLs, and let go of it."""
        if not self._is_mine():
            return
        with self._mutex:
            if self.path and self._was_opened():
                self._close_file(keep=False)
                journal_folder.archive(self.path, outcome, self._now())
            self.close()

    def refused(self) -> None:
        """CDF has said that it made no file."""
        self.intent = None

    def node_gone(self) -> None:
        """The node that this upload made was deleted again."""
        self.intent = self.node = None

    def close(self) -> None:
        """Let go of it; it stays unfinished, or is forgotten if CDF can have opened nothing."""
        if not self._is_mine():
            return
        with self._mutex:
            path, self.path = self.path, None
            keep = self._was_opened() or bool(self.intent or self.node)
            self._close_file(keep=keep)
            if path and not keep:
                journal_folder.delete(path)
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        parts = len(self._state.parts)
        stored = parts - len(self._state.missing_parts)
        where = self.path or "no file"
        return f"<Journal {self._state.phase.value}, {stored} of {parts} parts stored: {where}>"

    def _begun(self, path: Path, header: Mapping[str, Any] | None, end: int) -> Journal:
        try:
            self._file = JournalFile(path, end, partial(self._on_trouble, path))
            self.path = path
            if header is not None:
                self._file.add(self._line("Journal", header))
            me = Holder.me(self._now())
            held = {"pid": me.pid, "host": me.host, "notebook": me.notebook}
            self._file.add(self._line("Held", held))
        except OSError as error:
            self._warn(_no_journal(path.parent, error))
        except BaseException:
            self.close()
            raise
        return self

    def _is_mine(self) -> bool:
        """Not in a forked child, whose copy is not used: another thread may have its mutex."""
        return os.getpid() == self._pid

    def _was_opened(self) -> bool:
        """True where CDF has made a file, of which something may have been sent."""
        return bool(self._state.parts)

    def _line(self, kind: str, fact: Mapping[str, Any]) -> Secret:
        fact = {"fact": kind, "at": self._now().isoformat(), **fact}
        line, self._crc = line_of(fact, self._crc)
        return line

    def _on_trouble(self, path: Path, error: OSError | None) -> None:
        """Lines are not on disk, or are again."""
        if error is None:
            self.warning = ""
            return
        self._warn(
            f"The journal {path} cannot be written: {journal_folder.said(error)}. The upload goes "
            "on; if this process ends before that is mended, parts stored from now on are sent "
            "again."
        )

    def _warn(self, text: str) -> None:
        self.warning = text
        if self._warned.acquire(blocking=False):
            warnings.warn(JournalWarning(text), stacklevel=2)

    def _close_file(self, *, keep: bool) -> None:
        if self._file is not None:
            (self._file.close if keep else self._file.close_now)()
            self._file = None


def _same(one: UploadState, two: UploadState) -> bool:
    """True where a restart makes the same of both."""
    return (one.phase, one.missing_parts) == (two.phase, two.missing_parts)


def _claim(path: Path, mark: Fingerprint, resume: bool, now: Clock) -> Replayed | None:
    """The journal to go on with; what cannot be gone on with is put away."""
    try:
        known = journal_folder.look_closely(path)
    except JournalDamaged:
        if resume:
            raise
        known = None
    if known is None or not (known.opened or known.intent or known.node):
        journal_folder.delete(path, keep_lock=True)  # damaged, or CDF had been asked for nothing
        return None
    if known.opened is None:  # nothing was sent; what CDF was asked for is kept
        return known
    if resume and not _is_over(known, mark):
        known.fingerprint.check(mark)
        return known
    phase = known.state.phase
    journal_folder.archive(path, phase.value if phase.over else "superseded", now(), keep_lock=True)
    return None


def _is_over(known: Replayed, mark: Fingerprint) -> bool:
    """True where the same call means another upload. One that had just been done is told so."""
    if known.state.phase is Phase.DONE:
        return bool(known.fingerprint.changes(mark))
    return known.state.phase is Phase.CANCELLED


def _header(mark: Fingerprint, metadata: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    about = {"metadata": metadata, "overwrite": overwrite}
    version = VERSION if "node" in metadata else 1
    return {"version": version, "fingerprint": asdict(mark), **about}


def _no_journal(folder: Path, error: OSError) -> str:
    why = f"in {folder}: {journal_folder.said(error)}"
    if folder == journal_folder.NO_HOME:
        why = "without a home folder"
    return (
        f"Uploads cannot be remembered {why}. The upload goes "
        "on; if this process ends, it starts from its first byte again. Set the environment "
        f"variable {STATE_VARIABLE} to a folder that can be written to."
    )


@contextlib.contextmanager
def _released_on_error(lock: ProcessLock) -> Iterator[None]:
    try:
        yield
    except BaseException:
        lock.release()
        raise
