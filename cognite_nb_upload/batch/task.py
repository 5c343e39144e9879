"""One file of a job that is to be sent, and what is known of it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import Any

from cognite_nb_upload.batch.rows import INVALID, WAITING, BatchRow
from cognite_nb_upload.core.plan import plan_parts
from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.journal.jobs import Known
from cognite_nb_upload.models import CDFFile, FileMetadata
from cognite_nb_upload.sources import shown_path


@dataclass(slots=True)
class RowTask:
    """A row that is to be sent.

    Attributes:
        about: what CDF is told of the file.
        overwrite: the file that has this external id is replaced.
        known: what an earlier run began of it.
        file: what CDF has handed out for it.
        proof: what the store's answer has proved of its bytes, in words.
        node: the item that makes its node, where the job's files are in the data model.
        whole: the store has answered to a request of exactly the file's size, sent to its end.
    """

    row: BatchRow
    about: FileMetadata
    overwrite: bool = False
    known: Known | None = None
    file: CDFFile | None = None
    proof: str = ""
    whole: bool = False
    node: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def look_at(row: BatchRow, part_size: int | None) -> None:
    """Take a file's size and time; what is wrong with it is said in the row."""
    if row.status != WAITING or row.size is not None:
        return
    try:
        row.size, row.mtime_ns = _size_and_time(row.path)
        plan_parts(row.size, part_size)
    except UploadToolkitError as error:
        row.fail(str(error), INVALID)


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a file.")
    return found.st_size, found.st_mtime_ns
