"""A file that is not all there yet: `name.part`, and beside it `name.part.json`, its record.

Rules of this file: the record never says more than the disk has (the bytes are synced first); it
says of which version of which file they are, and holds no URL. Another version, a damaged record or
a part file of another size begins again. One download writes to a part file at a time.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cognite_nb_upload import process
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.errors import TransferError, UploadBusy, UsageError
from cognite_nb_upload.store.download import Span, StoredObject, cut, span_size

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be replaced anyway
    fcntl = None  # type: ignore[assignment]

_VERSION: Final = 1
_SUFFIX: Final = ".part"
# A slow disk is synced for at most this share of the time.
_SYNC_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which file of which project is to be downloaded."""

    project: str
    base_url: str
    target: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As the record has it."""
        return {"project": self.project, "base_url": self.base_url, "target": dict(self.target)}


class PartialFile:
    """The part file of one download, open for writing from any thread.

    Attributes:
        spans: the pieces that the file is fetched in; they tile it.
        have: how many bytes of each piece are there, from its start.
    """

    def __init__(self, path: Path, wanted: Wanted, found: StoredObject, *, resume: bool) -> None:
        self.path = path
        self._part = path.with_name(path.name + _SUFFIX)
        self._record = path.with_name(path.name + f"{_SUFFIX}.json")
        self._wanted, self._found = wanted, found
        self._lock = threading.Lock()
        self._saved: list[int] | None = None
        self._sync_again_s = 0.0
        self._fd = self._opened()
        try:
            step = self._known_step() if resume and found.etag else 0
            if not step:
                os.ftruncate(self._fd, 0)
                step = span_size(found)
                self.have = [0] * len(cut(found.size, step))
            self._step = step
            self.spans = cut(found.size, step)
            self._make_room()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> int:
        if self.path.exists() and not self.path.is_file():
            raise UsageError(f"{self.path} is not a regular file; give another path.")
        while True:
            fd = self._locked()
            if fcntl is None or _is_at(fd, self._part):
                process.own(fd)
                return fd
            os.close(fd)  # its download has ended meanwhile, and given it its name

    def _locked(self) -> int:
        """The part file, open and locked.

        Raises:
            UsageError: it cannot be written.
            UploadBusy: another download writes to it.
        """
        binary = getattr(os, "O_BINARY", 0)
        try:
            fd = os.open(self._part, os.O_RDWR | os.O_CREAT | binary, 0o666)
        except OSError as error:
            folder = self.path.parent
            why = error.strerror if folder.is_dir() else "there is no such folder"
            raise UsageError(f"Nothing can be written to {folder}: {why}.") from None
        if fcntl is not None:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise UploadBusy(f"{self.path} is being downloaded already.") from None
            except OSError:
                pass  # a file system without locks
        return fd

    def _known_step(self) -> int:
        """The size of the pieces, where the record and the part file are of this very version."""
        try:
            record = json.loads(self._record.read_bytes())
            same = record.pop("have"), record.pop("step")
            if record != self._header() or os.fstat(self._fd).st_size != self._found.size:
                return 0
            have, step = same
            sizes = [span.end - span.start for span in cut(self._found.size, int(step))]
            if len(sizes) != len(have) or not all(
                0 <= mine <= size for mine, size in zip(have, sizes, strict=True)
            ):
                return 0
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return 0
        self.have = list(have)
        return int(step)

    def _header(self) -> dict[str, Any]:
        found = {"size": self._found.size, "etag": self._found.etag}
        return {"version": _VERSION, **self._wanted.to_json(), **found}

    def _make_room(self) -> None:
        missing = self._found.size - sum(self.have)
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            if not any(self.have):  # no empty file stays behind
                self.drop()
            raise UsageError(
                f"{self.path.parent} has room for {show_bytes(free)}; {show_bytes(missing)} are "
                "needed."
            )
        os.ftruncate(self._fd, self._found.size)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self._found.size

    def missing(self) -> list[Span]:
        """What of each piece is not there yet."""
        return [
            Span(span.no, span.start + have, span.end)
            for span, have in zip(self.spans, self.have, strict=True)
            if span.start + have < span.end
        ]

    def write(self, span: Span, at: int, data: bytes | memoryview) -> None:
        """Put bytes of a piece where they belong.

        Raises:
            TransferError: the disk does not take them.
        """
        view, offset = memoryview(data), at
        try:
            while view:
                went = self._write_some(view, offset)
                view, offset = view[went:], offset + went
        except OSError as error:
            raise TransferError(
                f"{self._part} cannot be written to after {show_bytes(sum(self.have))}: "
                f"{error.strerror}."
            ).hint("What has arrived is kept; the same call goes on from there.") from None
        self.have[span.no] = offset - self.spans[span.no].start

    def _write_some(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._fd, view, offset)
        with self._lock:  # Windows has no pwrite
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.write(self._fd, view)

    def read(self, at: int, size: int) -> bytes:
        """At most `size` bytes from `at`, of what has arrived."""
        if hasattr(os, "pread"):
            return os.pread(self._fd, size, at)
        with self._lock:
            os.lseek(self._fd, at, os.SEEK_SET)
            return os.read(self._fd, size)

    def save(self, *, now: bool = False) -> None:
        """Write the record of what is there; less often where the disk is slow, unless `now`."""
        began_s = time.monotonic()
        have = list(self.have)
        if have == self._saved or not (now or began_s >= self._sync_again_s):
            return
        getattr(os, "fdatasync", os.fsync)(self._fd)
        record = {**self._header(), "step": self._step, "have": have}
        beside = self._record.with_name(f"{self._record.name}.new")
        beside.write_text(json.dumps(record))
        os.replace(beside, self._record)
        self._saved = have
        took_s = time.monotonic() - began_s
        self._sync_again_s = began_s + took_s / _SYNC_SHARE

    def finish(self) -> None:
        """All is there: it takes its name, and the record goes."""
        if fcntl is None:
            self.close()
        try:  # under the lock: nobody else writes to what has its name
            os.replace(self._part, self.path)
            self._record.unlink(missing_ok=True)
        except OSError as error:
            raise TransferError(
                f"{self._part} is whole, but cannot take the place of {self.path}: "
                f"{error.strerror}."
            ) from None
        finally:
            self.close()

    def drop(self) -> None:
        """Forget what has arrived."""
        if fcntl is None:
            self.close()
        for path in (self._part, self._record):
            with suppress(OSError):
                path.unlink()
        self.close()

    def close(self) -> None:
        """Close it; a second call does nothing."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    """True where the open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def is_too_long(path: Path) -> bool:
    """True where no file can have this path, or its part file and the record of it cannot."""
    try:
        os.stat(path.with_name(f"{path.name}{_SUFFIX}.json"))
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def safe_name(name: str, instead: str) -> str:
    """A name from CDF as one that a file can have anywhere; `instead` where nothing is left."""
    text = "".join("_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in name)
    text = text.rstrip(" .").lstrip(" ")
    stem, dot, end = text.rpartition(".")
    while len(text.encode()) > _LONGEST and (stem or end):
        stem, end = (stem[:-1], end) if stem else ("", end[:-1])
        text = f"{stem}{dot}{end}"
    if text.split(".")[0].upper() in _RESERVED:
        text = f"_{text}"
    return text if text.strip("._ ") else instead


# Names that mean devices on Windows, and what is left of 255 bytes beside `.part.json.new`.
_PORTS: Final = {f"{kind}{no}" for kind in ("COM", "LPT") for no in range(1, 10)}
_RESERVED: Final = {"CON", "PRN", "AUX", "NUL"} | _PORTS
_LONGEST: Final = 240
