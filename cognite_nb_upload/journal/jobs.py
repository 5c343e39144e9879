"""A job of many files remembered on disk: append-only lines, one file per job.

Its lines are those of an upload's journal: a checksum of all JSON so far, a space, JSON. They say
which files the job is of (`Row`), that CDF has begun one (`Began`), has it (`Done`) or does not
(`Failed`). A row is known by its key, which says which file and which request it is, whatever call
it was in; so a job is found again by its rows.

Rules of this file: a line is with the kernel before the next request goes out, so it outlives a
kill; the disk is waited for beside the sending. Files are read line by line, and of a job only
what is asked for is held. Upload URLs are in the 0600 file while the job is unfinished, and
nowhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import threading
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cognite_nb_upload import process
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import JournalDamaged, JournalTooNew, UploadBusy
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.evidence import NOTHING_SEEN, Evidence
from cognite_nb_upload.journal.folder import JournalWarning
from cognite_nb_upload.journal.format import Holder, line_of
from cognite_nb_upload.journal.lock import ProcessLock

SUFFIX: Final = ".job"
VERSION: Final = 1
# How much of finished jobs is kept, the newest first, and the last one whatever its size: each
# file's line has some 290 bytes, and every new job reads them all, in 2 us each.
_KEPT: Final = 1000
_KEPT_BYTES: Final = 2**30
# How the line of a file that was sent begins; its key of 32 hex digits follows.
_DONE: Final = b'{"fact":"Done","k":"'
_KEY: Final = slice(len(_DONE), len(_DONE) + 32)
# The checksum's 8 hex digits and the space.
_MARGIN: Final = 9
_LOCK_WAIT_S: Final = 0.2
# Where the last count of a job is looked for, from its end, in bytes.
_TAIL: Final = 8192
_LINES: Final = 250
# So many files at most have ended since they were counted last, a second before.
_UNCOUNTED: Final = 500
# Facts of one file, of which the latest counts, whichever job it is in.
_TIMED: Final = frozenset({"Asked", "Began", "Done"})

Fact = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The project that files go to."""

    project: str
    base_url: str


@dataclass(slots=True)
class Known:
    """What is remembered of one file.

    Attributes:
        done: CDF had it; else it was begun, and how far it came is not known.
        size: bytes, and `mtime_ns`: of the file that was sent.
        url: for the one PUT of a small file that was begun.
        asked: CDF was asked to begin it, and whether it did is not known; `since_ms` is CDF's clock
            then, in ms since 1970, where it was known.
        before_ms: when the content that it replaces was uploaded, by CDF's clock; 0 where there was
            none, None where that is not known.
        at: which of several facts is the latest; 0 in records of earlier versions.
        where: a digest of the file's path.
        evidence: what else was seen of the file that was sent.
    """

    id: int | None
    done: bool = False
    size: int = 0
    mtime_ns: int = 0
    verified: str = ""
    url: Secret | None = None
    asked: bool = False
    since_ms: int | None = None
    before_ms: int | None = None
    at: int = 0
    where: str = ""
    evidence: Evidence = NOTHING_SEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A row of `unfinished_jobs()`. Times are UTC."""

    id: str
    title: str = ""
    project: str = ""
    base_url: str = ""
    files: int = 0
    done: int = 0
    failed: int = 0
    state: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    held_by: str = ""
    note: str = ""


@dataclass(slots=True)
class JobHead:
    """What a job's first lines say."""

    place: Place
    title: str
    how: Mapping[str, Any]
    created_at: datetime
    holder: Holder | None = None


@dataclass(slots=True)
class _Sound:
    """How far a file is sound: bytes of whole lines, and the checksum of the last."""

    end: int = 0
    crc: int = 0
    line_no: int = 0
    fault: str = ""
    counts: Counter[str] = field(default_factory=Counter)


# --- reading ---------------------------------------------------------------------------------


def _facts(
    path: Path, sound: _Sound, is_wanted: Callable[[bytes], bool] = lambda _: True
) -> Iterator[Fact]:
    """Each fact of a job that is wanted, in order; `sound` says how far it goes.

    The torn end is left out.
    """
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            sound.line_no += 1
            body = line[_MARGIN:-1]
            crc = zlib.crc32(body, sound.crc)
            if line[:_MARGIN] != b"%08x " % crc:
                sound.fault = "its checksum is wrong"
                return
            wanted = is_wanted(body)
            try:
                fact = json.loads(body) if wanted else None
            except ValueError:
                sound.fault = "it makes no sense there"
                return
            sound.crc, sound.end = crc, sound.end + len(line)
            if fact is not None:
                yield fact


def _head(path: Path) -> JobHead | None:
    """The first line of a job; None where it is not whole.

    Its process is about to write it, or was killed then: no file of it was begun.

    Raises:
        JournalDamaged: it is not that of a job.
    """
    sound = _Sound()
    first = next(_facts(path, sound), None)
    if first is None and not sound.fault:
        return None
    if first is None or first.get("fact") != "Job":
        raise _damaged(path, 1, sound.fault or "it is not the first line of a job")
    if first["version"] > VERSION:
        raise JournalTooNew(
            f"The job {path} is of version {first['version']}; this package reads {VERSION}.",
            path=path, line_no=1,
        ).hint("Upgrade cognite_nb_upload to go on with this job.")  # fmt: skip
    place = Place(project=first["project"], base_url=first["base_url"])
    at = datetime.fromisoformat(first["at"])
    return JobHead(place, first["title"], first["how"], at)


def _damaged(path: Path, line_no: int, fault: str) -> JournalDamaged:
    return JournalDamaged(
        f"The job {path} is damaged in line {line_no}: {fault}. It is not used.",
        path=path, line_no=line_no,
    ).hint(
        f"cognite_nb_upload.forget({path.stem!r}) forgets it; its files are then sent again by the "
        "same call."
    )  # fmt: skip


def _learn(known: dict[str, Known], fact: Fact) -> None:
    """What is known of a row after one more fact."""
    key, at = fact["k"], fact.get("at", 0)
    match fact["fact"]:
        case "Asked":
            before = known.get(key)  # what it has begun stays its own
            file_id = None if before is None or before.done else before.id
            known[key] = Known(file_id, asked=True, since_ms=fact["since"], at=at)
        case "Began":
            url = Secret(fact["url"]) if fact.get("url") else None
            known[key] = Known(
                fact["id"], False, fact["size"], fact["mtime"], url=url,
                before_ms=fact.get("before"), at=at, evidence=Evidence.from_json(fact.get("e")),
            )  # fmt: skip
        case "Done":
            known[key] = _known_of(fact)
        case "Again":
            known.pop(key, None)


def _known_of(done: Fact) -> Known:
    return Known(
        done["id"], True, done["size"], done["mtime"], done["verified"],
        at=done.get("at", 0), where=done.get("w", ""),
        evidence=Evidence.from_json(done.get("e")),
    )  # fmt: skip


def where_of(path: str) -> str:
    """A digest of a file's path, 16 hex digits."""
    return hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Remembered:
    """What earlier jobs know of some rows.

    Attributes:
        rows: by key.
        job: the newest job that has one of them; None where there is none.
        ended: that job has ended.
        listed: the keys that it has already.
        sent: by CDF's id, what was sent of those that were asked for by it.
        at: of the latest fact in all of them.
        stamp: tells whether that job was written to since.
    """

    rows: dict[str, Known] = field(default_factory=dict)
    sent: dict[int, Known] = field(default_factory=dict)
    at: int = 0
    stamp: tuple[int, int] | None = None
    job: Path | None = None
    ended: bool = False
    listed: set[str] = field(default_factory=set)


def remembered(
    folder: Path, place: Place, keys: Container[str], ids: Container[int] = ()
) -> Remembered:
    """What the jobs of a project know of rows with these keys, and of files with these ids.

    Raises:
        JournalDamaged: a job of this project cannot be trusted.
    """
    found = Remembered()
    for path in journal_files(folder):
        try:
            head = _head(path)
            if head is not None and head.place == place:
                _look(path, keys, ids, found)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return found


def _look(path: Path, keys: Container[str], ids: Container[int], found: Remembered) -> None:
    sound, known, listed, ended = _Sound(), dict[str, Known](), set[str](), False
    stamp = stamp_of(path)

    def is_wanted(body: bytes) -> bool:
        """False for a file of another job that was sent: most lines, most of the time."""
        if ids or not body.startswith(_DONE) or body[_KEY].decode() in keys:
            return True
        when = body[body.rfind(b'"at":') + 5 : -1]
        if not when.isdigit():
            return True
        found.at = max(found.at, int(when))
        return False

    for fact in _facts(path, sound, is_wanted):
        kind, at = fact["fact"], fact.get("at", 0)
        if kind in ("Ended", "Held"):
            ended = kind == "Ended"
        if fact.get("k") in keys:
            listed.add(fact["k"])
            _learn(known, fact)
        if kind == "Done" and fact["id"] in ids:
            before = found.sent.get(fact["id"])
            if before is None or at >= before.at:
                found.sent[fact["id"]] = _known_of(fact)
        if isinstance(at, int):  # of a line that is no file's it is text
            found.at = max(found.at, at)
    if sound.fault:
        raise _damaged(path, sound.line_no, sound.fault)
    for key, one in known.items():
        there = found.rows.get(key)
        if there is None or (one.at, one.done) > (there.at, there.done):
            found.rows[key] = one
    if listed and found.job is None:
        found.job, found.ended, found.listed, found.stamp = path, ended, listed, stamp


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What tells whether a job was written to; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size


def rows_of(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The path and the request of each row of an unfinished job.

    Raises:
        JournalDamaged: it cannot be trusted.
    """
    sound = _Sound()
    for fact in _facts(path, sound):
        if fact["fact"] == "Row":
            yield fact["p"], fact["f"]
    if sound.fault:
        raise _damaged(path, sound.line_no, sound.fault)


def failures_of(path: Path) -> list[tuple[str, str]]:
    """The path of each file of a job that was not sent, in the order of the rows, and why.

    Of a damaged job, what is told before the damage.
    """
    paths: dict[str, str] = {}
    failed: dict[str, str] = {}
    for fact in _facts(path, _Sound()):
        key = fact.get("k", "")
        if fact["fact"] == "Row":
            paths[key] = fact["p"]
        elif fact["fact"] == "Failed":
            failed[key] = fact["why"]
        else:
            failed.pop(key, None)
    return [(shown, failed[key]) for key, shown in paths.items() if key in failed]


def left_of(folder: Path, place: Place, title: str) -> Iterator[tuple[JobRow, dict[str, Fact]]]:
    """Unfinished jobs of a project that have this title and that nobody sends.

    With the request of each of their files, by its path.
    """
    for row in jobs(folder):
        same = (row.project, row.base_url, row.title) == (place.project, place.base_url, title)
        if same and row.state == "unfinished" and not row.held_by:
            with contextlib.suppress(OSError, JournalDamaged):
                yield row, dict(rows_of(folder / f"{row.id}{SUFFIX}"))


def journal_files(folder: Path) -> list[Path]:
    """The jobs in a folder, the last touched first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found, reverse=True)]


def jobs(folder: Path | None = None, *, ended: bool = False) -> list[JobRow]:
    """Unfinished jobs, the last touched first; or those that have ended. It never fails.

    One whose process was killed after its last file, and before it said so, has ended.
    """
    rows = (_row(path) for path in journal_files(journal_folder.state_folder(folder)))
    return [row for row in rows if row is not None and (row.state == "done") == ended]


def _row(path: Path) -> JobRow | None:
    try:
        if (head := _head(path)) is None:
            return None
        held_by, counts = _held_by(path), _last_count(path)
        if not held_by and counts.get("fact") != "Ended":
            counts = _ended_since(path, counts) or counts
        touched_s = path.stat().st_mtime  # it may be gone by now, as it may above
    except JournalDamaged as error:
        state = "newer" if isinstance(error, JournalTooNew) else "damaged"
        return JobRow(id=path.stem, state=state, note=str(error))
    except OSError:
        return None
    return JobRow(
        id=path.stem,
        title=head.title,
        project=head.place.project,
        base_url=head.place.base_url,
        files=counts.get("files", 0),
        done=counts.get("done", 0),
        failed=counts.get("failed", 0),
        state="done" if counts.get("fact") == "Ended" else "unfinished",
        created_at=head.created_at,
        updated_at=datetime.fromtimestamp(touched_s, UTC),
        held_by=held_by,
    )


def _ended_since(path: Path, counts: Fact) -> Fact | None:
    """The end of a job whose process was killed before it could write it; None where some is left.

    It is written now, so that the job is read through once.
    """
    files = counts.get("files", 0)
    if counts.get("failed") or files - counts.get("done", 0) > _UNCOUNTED or not _is_over(path):
        return None
    end_unended(path, files, _is_over)
    return {"fact": "Ended", "files": files, "done": files, "failed": 0}


def end_unended(path: Path, files: int, is_over: Callable[[Path], bool]) -> None:
    """Write the end of a job that has one, and that nobody is sending; blocks.

    `is_over` is asked while nobody else can take the job.
    """
    ended: Fact = {"fact": "Ended", "files": files, "done": files, "failed": 0}
    with contextlib.suppress(OSError, UploadBusy, JournalDamaged):
        touched = path.stat()
        held = _lock(path)
        try:
            if is_over(path):
                _rewrite(path, ended, _left_in(path))
                os.utime(path, ns=(touched.st_atime_ns, touched.st_mtime_ns))
        finally:
            held.release()


def has_open_rows(path: Path, is_open: Callable[[str], bool]) -> bool:
    """True where a row of a job is not done, and is still to be sent: `is_open(path)`."""
    return any(is_open(one) for one in _left_in(path).values() if one)


def _is_over(path: Path) -> bool:
    """True where each row of a job is done, and no table was to come."""
    sound, left = _Sound(), dict[str, bool]()
    for fact in _facts(path, sound):
        if fact["fact"] == "Tables":
            return False
        if "k" in fact:
            left[fact["k"]] = fact["fact"] not in ("Done", "Out")
    return bool(left) and not sound.fault and not any(left.values())


def _last_count(path: Path) -> Fact:
    """The last line that counts files; only for show, so its checksum is not looked at."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            fact: Fact = json.loads(line[_MARGIN:])
            if isinstance(fact, dict) and fact.get("fact") in ("Count", "Ended"):
                return fact
    return _counted(path)


def _counted(path: Path) -> Fact:
    """Counts where a killed process left none: from the whole file."""
    state: dict[str, str] = {}
    for fact in _facts(path, _Sound()):
        if "k" in fact:
            state[fact["k"]] = fact["fact"]
    counts = Counter(state.values())
    return {"files": len(state), "done": counts["Done"], "failed": counts["Failed"]}


def path_of_job(job_id: str, folder: Path) -> Path | None:
    """The file of a job; None where there is none of this id."""
    path = folder / f"{job_id}{SUFFIX}"
    return path if job_id.isalnum() and path.exists() else None


def forget_job(path: Path) -> None:
    """Delete what is remembered of a job. CDF is not told.

    Raises:
        UploadBusy: someone is sending it.
    """
    held = _lock(path)
    path.unlink(missing_ok=True)
    held.release()
    with contextlib.suppress(OSError):
        _lock_path(path).unlink(missing_ok=True)


def head_of(path: Path) -> JobHead:
    """The project, the title and the options of a job.

    Raises:
        JournalDamaged: it cannot be trusted.
    """
    if (head := _head(path)) is None:
        raise _damaged(path, 1, "it is not whole")
    return head


# --- locking ---------------------------------------------------------------------------------


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".joblock")


def _lock(path: Path) -> ProcessLock:
    held = ProcessLock.take(_lock_path(path), _LOCK_WAIT_S)
    if held is None:
        raise UploadBusy(
            f"The job {path.stem}, which has files of this call, is being sent by {_holder(path)}."
        ).hint("Let it finish, or stop it there; then the same call goes on from here.")
    return held


def _holder(path: Path) -> str:
    holder: Holder | None = None
    with contextlib.suppress(OSError, TypeError, ValueError, KeyError):
        for fact in _facts(path, _Sound()):
            if fact["fact"] == "Held":
                at = datetime.fromisoformat(fact["at"])
                holder = Holder(fact["pid"], fact["host"], at, fact["notebook"])
    return str(holder or "another process")


def _held_by(path: Path) -> str:
    with contextlib.suppress(OSError):
        if ProcessLock.is_held(_lock_path(path)):
            return _holder(path)
    return ""


# --- writing ---------------------------------------------------------------------------------


class JobRecord:
    """The one who writes a job: begun by `open`, ended by `end` or `close`. Any thread may write.

    Attributes:
        id: 16 hex digits; "" where no record can be kept.
        warning: what a reader should know; "" while everything is on disk.
        found: the stamp of the job when it was taken.
    """

    def __init__(self, path: Path | None, held: ProcessLock | None) -> None:
        self.path, self.warning = path, ""
        self.id = path.stem if path else ""
        self._held = held
        self._pid = os.getpid()
        self._mutex, self._syncing = threading.Lock(), threading.Lock()
        self._fd: int | None = None
        self._sound = _Sound()
        self._dirty = False
        self._at = 0
        self.found: tuple[int, int] | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        place: Place,
        known: Remembered,
        *,
        title: str,
        how: Mapping[str, Any],
    ) -> JobRecord:
        """Take a job: the one that has some of the rows, or a new one.

        Where the folder cannot be written to there is no record; a `JournalWarning` says so.

        Raises:
            UploadBusy: someone else is sending it; the message says who.
            JournalDamaged: it cannot be trusted.
        """
        path = known.job or folder / f"{secrets.token_hex(8)}{SUFFIX}"
        try:
            journal_folder.make_folder(folder)
            held = _lock(path)
        except OSError as error:
            record = cls(None, None)
            record._warn(_no_record(folder, error))
            return record
        record = cls(path, held)
        record._at = known.at
        try:
            record._begin(path, place, title, how, new=known.job is None)
        except OSError as error:
            record._warn(_no_record(folder, error))
            record.close()
        except BaseException:
            record.close()
            raise
        return record

    def _begin(
        self, path: Path, place: Place, title: str, how: Mapping[str, Any], *, new: bool
    ) -> None:
        if not new:
            self.found = stamp_of(path)
            for _ in _facts(path, self._sound):
                pass
            if self._sound.fault:
                raise _damaged(path, self._sound.line_no, self._sound.fault)
        self._fd = journal_folder.open_file(path, new=new)
        process.own(self._fd)
        os.ftruncate(self._fd, self._sound.end)
        facts: list[Fact] = []
        if new:
            about = {"version": VERSION, "project": place.project, "base_url": place.base_url}
            facts.append({"fact": "Job", **about, "title": title, "how": dict(how)})
        me = Holder.me(datetime.now(UTC))
        facts.append({"fact": "Held", "pid": me.pid, "host": me.host, "notebook": me.notebook})
        now = datetime.now(UTC).isoformat()
        self._write([{**fact, "at": now} for fact in facts])
        if new and not self._sound.end:  # the disk is full: without a first line it is no job
            self.close()
            path.unlink(missing_ok=True)
            self.path, self.id = None, ""
        self.sync()

    def list_rows(self, rows: Iterator[tuple[str, str, Mapping[str, Any]]]) -> None:
        """Write which files the job is of: (key, path, request) each."""
        facts: list[Fact] = []
        for key, path, request in rows:
            facts.append({"fact": "Row", "k": key, "p": path, "f": request})
            if len(facts) == _LINES:
                self._write(facts)
                facts = []
        self._write(facts)

    def more_tables(self) -> None:
        """The rows that it lists are not yet all of them."""
        self._write([{"fact": "Tables"}])

    def asked(self, key: str, since_ms: int | None) -> None:
        """CDF is about to be asked to begin a file; its clock says `since_ms`."""
        self._write([{"fact": "Asked", "k": key, "since": since_ms}])

    def began(self, key: str, begun: Known) -> None:
        """CDF has begun a file; a small one goes to its URL."""
        fact: Fact = {
            "fact": "Began", "k": key, "id": begun.id, "size": begun.size, "mtime": begun.mtime_ns,
            "before": begun.before_ms, "e": begun.evidence.to_json(),
        }  # fmt: skip
        self._write([fact | ({"url": begun.url} if begun.url is not None else {})])

    def done(self, key: str, known: Known) -> None:
        """CDF has a file."""
        self._write([_done(key, known)])

    def failed(self, key: str, why: str) -> None:
        """A file was not sent."""
        self._write([{"fact": "Failed", "k": key, "why": why[:500]}])

    def left_out(self, key: str) -> None:
        """A file is not to be sent: CDF has it, or it cannot be."""
        self._write([{"fact": "Out", "k": key}])

    def again(self, key: str) -> None:
        """What was known of a file no longer holds."""
        self._write([{"fact": "Again", "k": key}])

    def count(self, files: int, done: int, failed: int) -> None:
        """How far it is, for those who list jobs."""
        self._write([{"fact": "Count", "files": files, "done": done, "failed": failed}])

    def sync(self) -> None:
        """Wait until the disk has it; blocks."""
        with self._syncing:  # others write meanwhile
            with self._mutex:
                fd, self._dirty = self._fd if self._dirty else None, False
            if fd is not None:
                with contextlib.suppress(OSError):
                    journal_folder.sync(fd)

    def end(self, files: int, done: int, is_open: Callable[[str], bool] = lambda _: False) -> None:
        """Everything is done: keep what was sent, without URLs and requests; blocks.

        Rows of earlier calls that are still to be sent keep it unfinished: `is_open(path)`.
        """
        if self.path is None or os.getpid() != self._pid:
            return
        count = {"fact": "Ended", "files": files, "done": done, "failed": 0}
        with self._mutex:
            path = self.path
            try:
                left = _left_in(path)
                if not any(is_open(one) for one in left.values() if one):
                    _rewrite(path, count, left)
            except (OSError, JournalDamaged) as error:
                why = JournalWarning(f"The job {path.stem} is kept as unfinished: {error}")
                warnings.warn(why, stacklevel=2)
        self.close()
        for old in _too_many(path.parent):
            with contextlib.suppress(OSError, UploadBusy):
                forget_job(old)

    def close(self) -> None:
        """Release it; it stays unfinished."""
        if os.getpid() != self._pid:
            return
        with self._syncing, self._mutex:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
            if self._held is not None:
                self._held.release()
                self._held = None

    def _write(self, facts: list[Fact]) -> None:
        """All of them or none; what cannot be written is lost, with a warning."""
        if not facts or os.getpid() != self._pid:
            return
        with self._mutex:
            if self._fd is None:
                return
            lines, crc = [], self._sound.crc
            for fact in facts:
                timed = fact | {"at": self._later()} if fact["fact"] in _TIMED else fact
                line, crc = line_of(_plain(timed), crc)
                lines.append(line)
            try:
                written = journal_folder.write(self._fd, lines)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._sound.end)
                self._warn(_not_written(self.path, error))
                return
            self._sound.crc, self._sound.end = crc, self._sound.end + written
            self._dirty = True

    def _later(self) -> int:
        """Ms since 1970; later than every fact before, also where the clock was set back."""
        self._at = max(time.time_ns() // 1_000_000, self._at + 1)
        return self._at

    def _warn(self, text: str) -> None:
        if not self.warning:
            warnings.warn(JournalWarning(text), stacklevel=3)
        self.warning = text


def _plain(fact: Fact) -> Fact:
    """A fact as JSON, its URL in clear."""
    url = fact.get("url")
    return {**fact, "url": url.reveal()} if isinstance(url, Secret) else fact


def _done(key: str, known: Known) -> Fact:
    return {
        "fact": "Done", "k": key, "id": known.id, "size": known.size, "mtime": known.mtime_ns,
        "verified": known.verified, "w": known.where, "e": known.evidence.to_json(),
    }  # fmt: skip


def _too_many(folder: Path) -> list[Path]:
    """The finished jobs that are kept no longer."""
    gone, number, size = [], 0, 0
    for path in journal_files(folder):
        with contextlib.suppress(OSError):
            if _has_ended(path):
                number, size = number + 1, size + path.stat().st_size
                if number > 1 and (number > _KEPT or size > _KEPT_BYTES):
                    gone.append(path)
    return gone


def _has_ended(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return _last_count(path).get("fact") == "Ended"
    return False


def _left_in(path: Path) -> dict[str, str]:
    """The path of each row of a job that is still to be sent, by its key; "" where not told."""
    left: dict[str, str] = {}
    for fact in _facts(path, _Sound()):
        if fact["fact"] in ("Done", "Out"):
            left.pop(fact["k"], None)
        elif "k" in fact:
            left[fact["k"]] = fact.get("p") or left.get(fact["k"], "")
    return left


def _rewrite(path: Path, last: Fact, left: Container[str]) -> None:
    """The job as what it has sent, and what it began of the rows that are left, without URLs.

    It is read and written line by line; the caller holds the lock.
    """
    sound = _Sound()
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    fd = journal_folder.open_file(new, new=True)
    try:
        lines, crc = [], 0
        for fact in _facts(path, sound):
            begun = fact["fact"] in ("Asked", "Began") and fact["k"] in left
            if begun or fact["fact"] in ("Job", "Done", "Again"):
                fact.pop("url", None)
                line, crc = line_of(fact, crc)
                lines.append(line)
            if len(lines) == _LINES:
                journal_folder.write(fd, lines)
                lines = []
        if sound.fault:
            raise _damaged(path, sound.line_no, sound.fault)
        journal_folder.write(fd, [*lines, line_of(last, crc)[0]])
        journal_folder.sync(fd)
        os.replace(new, path)
    finally:
        os.close(fd)
        new.unlink(missing_ok=True)


def _no_record(folder: Path, error: OSError) -> str:
    return (
        f"The job cannot be remembered in {folder}: {journal_folder.said(error)}. It goes on; if "
        "this process ends, its files are sent again. Set the environment variable "
        f"{journal_folder.STATE_VARIABLE} to a folder that can be written to."
    )


def _not_written(path: Path | None, error: OSError) -> str:
    return (
        f"The job's record {path} cannot be written: {journal_folder.said(error)}. It goes on; if "
        "this process ends before that is mended, files sent from now on are sent again."
    )
