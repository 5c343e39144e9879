"""An object through any filesystem of fsspec: `cat_file` of one span after the other.

Rules of this file: nothing is opened, since an open file has one cache for all who read it; the
object is looked at before and after each part, because such a read demands no version.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Final
from weakref import WeakKeyDictionary

from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.objects.port import Gone, ObjectFacts, Unreadable, digest_of
from cognite_nb_upload.process import PerProcess

# What is asked for at once, by all parts together and by one of them. Of each part up to three
# such blocks are in memory: one that goes, one that comes, and the library's own.
_TOGETHER: Final = 3 * MIB
_LEAST, _MOST = 3 * MIB // 8, 3 * MIB // 2
_ETAGS: Final = ("ETag", "etag", "e_tag", "Etag")
_VERSIONS: Final = ("VersionId", "version_id", "version", "generation")
_TIMES: Final = ("LastModified", "last_modified", "mtime", "modified", "updated", "created",
                 "modification_time", "Last-Modified")  # fmt: skip
# Filesystems that any number of threads may ask at a time.
_SHARED: Final = frozenset({"memory", "file", "local", "dbfs", "webhdfs", "hdfs", "arrow_hdfs"})
_STATUS: Final = re.compile(r"status(?:[ _]code)?[:= ]+(\d{3})|\((\d{3})\)")


class FilesystemWay:
    """Reads one path of a filesystem of fsspec."""

    compares = False

    def __init__(self, fs: Any, path: str) -> None:
        self._fs, self._path = fs, path
        self._turn = _turn_of(fs)
        self._reading = 0
        self._lock = threading.Lock()

    def look(self) -> ObjectFacts:
        """What `info` tells, past the filesystem's memory of folders."""
        with self._turn, _in_words():
            with suppress(NotImplementedError):
                self._fs.invalidate_cache(self._path)
            info = self._fs.info(self._path)
        if info.get("type") == "directory":
            raise Gone("is a folder")
        return facts_of_info(info)

    def stream(self, start: int, end: int, facts: ObjectFacts) -> Iterator[bytes]:
        """Bytes `[start, end)`, span by span."""
        with self._counted():
            while start < end:
                until = min(start + self._block(), end)
                with self._turn, _in_words():
                    block = bytes(self._fs.cat_file(self._path, start=start, end=until))
                if len(block) > until - start:  # all of it, as from a server without ranges
                    raise Unreadable("its filesystem gives no ranges", retry=False)
                yield block
                if len(block) < until - start:
                    raise Unreadable("it gave too few bytes")
                start = until

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1

    def _block(self) -> int:
        return max(_LEAST, min(_MOST, _TOGETHER // max(1, self._reading)))

    def close(self) -> None:
        """The filesystem is its owner's."""


class _Turns:
    """One lock for each filesystem that answers one question at a time, within one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.of: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()


_turns: Final = PerProcess(_Turns)


def _turn_of(fs: Any) -> AbstractContextManager[Any]:
    """What several threads wait for before they ask; sftp's and ftp's connections are not shared.

    Libraries that do it over HTTP, or in a loop of their own, are asked by all at a time.
    """
    names = getattr(fs, "protocol", "")
    names = {names} if isinstance(names, str) else set(names)
    if getattr(fs, "async_impl", False) or names & _SHARED:
        return nullcontext()
    turns = _turns.get()
    with turns.lock:
        try:
            return turns.of.setdefault(fs, threading.RLock())
        except TypeError:  # nothing can be kept for it
            return threading.RLock()


def facts_of_info(info: Mapping[str, Any]) -> ObjectFacts:
    """The facts in an entry of `info` or `find`."""
    size = info.get("size")
    modified, ns = _time(next((info[one] for one in _TIMES if info.get(one)), None))
    return ObjectFacts(
        size=None if size is None else int(size),
        etag=str(next((info[one] for one in _ETAGS if info.get(one)), "")),
        version=str(next((info[one] for one in _VERSIONS if info.get(one) is not None), "")),
        modified=modified,
        modified_ns=ns,
        md5=digest_of(info.get("md5Hash"), 16) or _content_md5(info),
        crc32c=digest_of(info.get("crc32c"), 4),
    )


def _content_md5(info: Mapping[str, Any]) -> bytes:
    settings = info.get("content_settings")
    found = settings.get("content_md5") if isinstance(settings, Mapping) else None
    return bytes(found) if isinstance(found, bytes | bytearray) and len(found) == 16 else b""


def _time(value: object) -> tuple[str, int]:
    with suppress(ValueError):
        value = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.isoformat(), round(moment.timestamp() * 1e6) * 1000
    if isinstance(value, int | float):
        return repr(value), int(value * 1e9) if value < 1e11 else 0
    return ("" if value is None else str(value)), 0


class _in_words:  # read as a word
    """A library's error, as `Gone` or `Unreadable`; its own text may hold a signed address."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> None:
        if error is None or not isinstance(error, Exception) or isinstance(error, Gone):
            return
        if isinstance(error, FileNotFoundError):
            raise Gone("is no longer there") from None
        found = _STATUS.search(str(error))
        status = int(found.group(1) or found.group(2)) if found else None
        if isinstance(error, PermissionError) or status in (401, 403):
            raise Unreadable("its store refuses to show it", retry=False, status=status) from None
        if isinstance(error, NotImplementedError | TypeError | ValueError | ImportError):
            kind_name = type(error).__name__
            raise Unreadable(f"its filesystem cannot ({kind_name})", retry=False) from None
        words = f"status {status}" if status else type(error).__name__
        raise Unreadable(words, status=status if status and status >= 400 else None) from None
