"""The folder of journals: find, list, lock, archive, forget.

Unfinished uploads are `<key>.journal` with a `<key>.lock` beside it; those that have ended are in
`history/`. Folders that are made here have mode 0700, files 0600.

Rules of this file: whoever writes, archives or deletes a journal holds its lock, and looks at the
journal anew once it has it; the operating system lets go of a lock when its holder dies, so none is
ever stale. Listing never fails because of one file.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from platformdirs import user_state_path

from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.errors import JournalDamaged, JournalTooNew, UploadBusy, UsageError
from cognite_nb_upload.journal.fingerprint import Fingerprint
from cognite_nb_upload.journal.format import (
    Holder,
    Replayed,
    header_of,
    replay,
    replay_if_any,
    without_secrets,
)
from cognite_nb_upload.journal.lock import ProcessLock
from cognite_nb_upload.sources import absolute
from cognite_nb_upload.text import plain

# Where nothing can be: for a user without a home folder, as of `docker run --user 12345`.
NO_HOME: Final = Path(os.devnull, "no-home")
SUFFIX: Final = ".journal"
STATE_VARIABLE: Final = "COGNITE_NB_UPLOAD_STATE"
# How many archived uploads are kept; each is a few KiB.
HISTORY_KEPT: Final = 200
# Whoever lists uploads tries each lock for an instant; a claim waits that out, in seconds.
_LOCK_WAIT_S: Final = 0.2
# What a file system says that does not sync at all: no reason to do without a journal.
_CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})


class JournalWarning(UserWarning):
    """An upload is not remembered on disk, or another one of the same content is left there."""

    def __str__(self) -> str:
        return plain(super().__str__())


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


def state_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where journals are: here, else `$COGNITE_NB_UPLOAD_STATE`, else the user's state folder."""
    chosen = folder or os.environ.get(STATE_VARIABLE, "").strip().strip("\"'")
    if not chosen:
        return _default_folder()
    return _as_first_seen(os.fsdecode(chosen)) if folder is None else absolute(chosen)


@functools.lru_cache(maxsize=64)
def _first_seen(text: str) -> Path:
    return absolute(text)


def _as_first_seen(text: str) -> Path:
    """The variable's folder: the same one for the whole process, whatever `%cd` does."""
    return absolute(text) if os.path.isabs(text) or text.startswith("~") else _first_seen(text)


def path_of(mark: Fingerprint, folder: Path) -> Path:
    """Where the journal of an upload is, or would be."""
    return folder / f"{mark.key}{SUFFIX}"


def find(mark: Fingerprint, folder: Path | None = None) -> Replayed | None:
    """What is known of an unfinished upload; only looks, and takes nothing in hand.

    Raises:
        SourceChanged: there is an unfinished upload, of other bytes.
        JournalDamaged: there is one, and it cannot be trusted.
    """
    known = look(path_of(mark, state_folder(folder)))
    if known is None or known.state.phase in (Phase.DONE, Phase.CANCELLED):
        return None
    known.fingerprint.check(mark)
    return known


def look(path: Path) -> Replayed | None:
    """The journal; None where there is none, or where CDF had opened nothing yet."""
    replayed = look_closely(path)
    return replayed if replayed and replayed.opened else None


def look_closely(path: Path) -> Replayed | None:
    """The journal, also where CDF had opened nothing yet."""
    try:
        return replay_if_any(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def left_of(mark: Fingerprint, folder: Path) -> list[Replayed]:
    """Unfinished uploads of the same bytes to the same project that another call began.

    Those of which CDF has no file yet, and those that somebody is sending, are left out.
    """
    return [known for path in _journals(folder) if (known := _left(path, mark)) is not None]


def _left(path: Path, mark: Fingerprint) -> Replayed | None:
    try:
        header = header_of(path)
        if header is None or header.key == mark.key or _place(header) != _place(mark):
            return None
        # Before it is read: one that ends in between is read as ended, and not as left.
        if _is_held(path):
            return None
        known = look(path)
    except (OSError, JournalDamaged):
        return None
    if known is None or known.state.phase in (Phase.DONE, Phase.CANCELLED):
        return None
    return known if _same_content(known.fingerprint, mark) else None


def _same_content(one: Fingerprint, two: Fingerprint) -> bool:
    return _place(one) == _place(two) and not one.changes(two)


def _place(mark: Fingerprint) -> tuple[str, str, str]:
    return mark.project, mark.base_url, mark.source


def files_left_by(mark: Fingerprint, folder: Path) -> frozenset[int]:
    """Ids of the files that earlier calls of this upload began, and gave up before the end."""
    opened = (known.opened for known in _given_up(mark, folder))
    return frozenset(one.file_id for one in opened if one and one.file_id)


def nodes_left_by(mark: Fingerprint, folder: Path) -> frozenset[int]:
    """When earlier calls of this upload made its node, in ms since 1970 by CDF's clock."""
    nodes = (known.node for known in _given_up(mark, folder))
    return frozenset(one.made_ms for one in nodes if one and one.made_ms)


def _given_up(mark: Fingerprint, folder: Path) -> Iterator[Replayed]:
    """What is left of earlier calls of this upload that ended before they were done."""
    for path in (folder / "history").glob(f"{mark.key}-*{SUFFIX}"):
        with contextlib.suppress(OSError, JournalDamaged):
            known = replay_if_any(path)
            if known and known.outcome != "done":
                yield known


def unfinished(folder: Path | None = None) -> list[JournalRow]:
    """Uploads that were opened and have not ended, the last touched first; damaged ones say so."""
    return _rows(state_folder(folder))


def history(folder: Path | None = None) -> list[JournalRow]:
    """The last 200 uploads that have ended, the last first."""
    return _rows(state_folder(folder) / "history")


def forget(upload_id: str, folder: Path | None = None) -> None:
    """Delete what is remembered of an upload. CDF is not told.

    Raises:
        UsageError: there is no such upload.
        UploadBusy: someone is sending it.
    """
    path = path_of_id(upload_id, state_folder(folder))
    with locked(path):
        delete(path)


def path_of_id(upload_id: str, folder: Path) -> Path:
    """The journal of an id, unfinished or archived.

    Raises:
        UsageError: there is none.
    """
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


def _rows(folder: Path) -> list[JournalRow]:
    rows = (_row(path) for path in _journals(folder))
    return [row for row in rows if row is not None]


def _row(path: Path) -> JournalRow | None:
    # Before it is read, too: one that ends in between is not told as left.
    held = _is_held(path)
    try:
        replayed = look(path)
    except JournalDamaged as error:
        state = "newer" if isinstance(error, JournalTooNew) else "damaged"
        return JournalRow(id=path.stem, state=state, note=str(error))
    except OSError as error:
        return JournalRow(id=path.stem, state="unreadable", note=str(error))
    return _row_of(replayed, held) if replayed else None


def _row_of(replayed: Replayed, held: bool) -> JournalRow:
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
        held_by=_held_by(replayed, held),
        note=state.error,
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Within the block, this process has the upload's lock; raises as `lock` does."""
    held = lock(path)
    try:
        yield
    finally:
        held.release()


def lock(path: Path) -> ProcessLock:
    """Take an upload in hand; let go of it with `.release()`, or by dying.

    Raises:
        UploadBusy: someone else has it; the message says who.
        OSError: nothing can be locked in that folder.
    """
    held = ProcessLock.take(_lock_path(path), _LOCK_WAIT_S)
    if held is None:
        holder = _holder(path)
        raise UploadBusy(f"The upload {path.stem} is being sent by {holder}.").hint(
            "`running_uploads()` returns its handle: await it, or stop it."
            if isinstance(holder, Holder) and holder.is_this_process
            else "Let it finish, or stop it there; then the same call goes on from here."
        )
    return held


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _holder(path: Path) -> Holder | str:
    with contextlib.suppress(OSError, JournalDamaged):
        replayed = replay_if_any(path)
        if replayed and replayed.holder:
            return replayed.holder
    return "another process"


def _held_by(replayed: Replayed, held: bool) -> str:
    """Who has it in hand, or had it just before (`held`); else ""."""
    if not replayed.outcome and (held or _is_held(replayed.path)):
        return str(replayed.holder or "another process")
    return ""


def _is_held(path: Path) -> bool:
    """Whether somebody sends it now; False where nothing can be locked."""
    with contextlib.suppress(OSError):
        return ProcessLock.is_held(_lock_path(path))
    return False


def archive(path: Path, outcome: str, at: datetime, *, keep_lock: bool = False) -> None:
    """Copy a journal to `history/` without its secrets, then delete it, whether that went well.

    The caller holds the lock.
    """
    last = {"fact": "Archived", "at": at.isoformat(), "outcome": outcome}
    folder = path.parent / "history"
    try:
        make_folder(folder)
        created_us = int(replay(path).created_at.timestamp() * 1e6)
        _write_whole(folder / f"{path.stem}-{created_us:x}{SUFFIX}", without_secrets(path, last))
        for old in _journals(folder)[HISTORY_KEPT:]:
            old.unlink(missing_ok=True)
    except (OSError, JournalDamaged) as error:
        why = JournalWarning(f"The upload {path.stem} is not in the history: {said(error)}.")
        warnings.warn(why, stacklevel=2)
    finally:
        delete(path, keep_lock=keep_lock)


def delete(path: Path, *, keep_lock: bool = False) -> None:
    """The caller holds the lock; whoever gets it next finds no journal, and starts anew."""
    path.unlink(missing_ok=True)
    if not keep_lock:
        with contextlib.suppress(OSError):  # Windows does not delete what is open
            _lock_path(path).unlink(missing_ok=True)


def _write_whole(path: Path, lines: list[Secret]) -> None:
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    try:
        fd = open_file(new, new=True)
        try:
            write(fd, lines)
        finally:
            os.close(fd)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """A folder that someone chose and made stays as it is: the files in it are 0600 anyway.

    Its parents, where they are missing, have mode 0700 as it has.
    """
    for missing in reversed([one for one in folder.parents if not one.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder == _default_folder():
        folder.chmod(0o700)


def _default_folder() -> Path:
    try:
        return user_state_path("cognite_nb_upload") / "uploads"
    except RuntimeError:
        return NO_HOME


def open_file(path: Path, *, new: bool) -> int:
    """A descriptor that appends to a file of mode 0600; it must be there, or must not (`new`)."""
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o600)


def write(fd: int, lines: list[Secret]) -> int:
    """One write; more only where the kernel took a part of it. Returns the bytes."""
    text = Secret("".join(line.reveal() for line in lines))  # ASCII: a character is a byte
    size, written = len(text.reveal()), 0
    while written < size:
        written += os.write(fd, text.reveal()[written:].encode())
    return size


def sync(fd: int) -> None:
    """Wait until the disk has what was written, where the file system can."""
    try:
        getattr(os, "fdatasync", os.fsync)(fd)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def sync_folder(folder: Path) -> None:
    """So that the file's name, too, outlives a power cut."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def said(error: Exception) -> str:
    """What went wrong, without the path that the message names anyway."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
