"""One file of a job that is to be sent, and what is known of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cognite_nb_upload.batch.rows import INVALID, WAITING, BatchRow
from cognite_nb_upload.core.plan import plan_parts
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.journal.evidence import NOTHING_SEEN, Evidence
from cognite_nb_upload.journal.jobs import Known
from cognite_nb_upload.models import CDFFile, FileMetadata
from cognite_nb_upload.sources import FileSource, shown_path

# Of how many files other stores are asked at a time.
_LOOKS_AT_ONCE: Final = 16


@dataclass(slots=True)
class RowTask:
    """A row that is to be sent.

    Attributes:
        about: what CDF is told of the file.
        overwrite: the file that has this external id is replaced.
        known: what an earlier run began of it.
        file: what CDF has handed out for it.
        proof: what the store's answer has proved of its bytes, in words.
        evidence: what was seen of the file that was sent.
        node: the item that makes its node, where the job's files are in the data model.
        uploaded_before: when the content that is replaced was uploaded.
        whole: the store has answered to a request of exactly the file's size, sent to its end.
    """

    row: BatchRow
    about: FileMetadata
    overwrite: bool = False
    known: Known | None = None
    file: CDFFile | None = None
    proof: str = ""
    uploaded_before: datetime | None = None
    whole: bool = False
    evidence: Evidence = NOTHING_SEEN
    node: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def look_at_all(rows: Iterable[BatchRow], part_size: int | None, retry: Retry) -> None:
    """Take each file's size and time; what is wrong with one is said in its row.

    Other stores are asked of several files at a time.
    """
    new = [row for row in rows if row.status == WAITING and row.size is None]
    elsewhere = [row for row in new if row.place is not None]
    for row in new:
        if row.place is None:
            _look_at(row, part_size, retry)
    if elsewhere:
        with ThreadPoolExecutor(min(_LOOKS_AT_ONCE, len(elsewhere))) as threads:
            list(threads.map(lambda row: _look_at(row, part_size, retry), elsewhere))


def _look_at(row: BatchRow, part_size: int | None, retry: Retry) -> None:
    try:
        found = size_and_time(row, retry)
        plan_parts(found[0], part_size)
    except UploadToolkitError as error:
        row.fail(str(error), INVALID)
    except Exception as error:  # of any library that opens addresses; its text may hold one
        row.fail(f"{shown_path(row.path)} cannot be looked at: {type(error).__name__}.", INVALID)
    else:
        row.size, row.mtime_ns = found


def size_and_time(row: BatchRow, retry: Retry) -> tuple[int, int]:
    """Bytes of a row's file, and its mtime in ns.

    Raises:
        UploadToolkitError: it cannot be looked at.
    """
    return row.place.look(retry) if row.place else _size_and_time(row.path)


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a file.")
    if not found.st_size:
        FileSource.open(path).close()  # a file in /proc has bytes all the same, and is refused
    return found.st_size, found.st_mtime_ns
