"""What CDF has already: which rows are done, which are left as they are, and which are sent.

Rules of this file: one request for a thousand files; what an earlier run has sent is done only
while CDF still has it and the file is as it was; CDF keeps no size and no checksum, so they are
compared only where the user keeps them in metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from anyio import to_thread

from cognite_nb_upload.batch.columns import ASSETS, DATA_SET, OVERWRITE
from cognite_nb_upload.batch.options import JobOptions
from cognite_nb_upload.batch.properties import NodeColumns
from cognite_nb_upload.batch.rows import DONE, INVALID, SKIPPED, WAITING, BatchRow, Table, about
from cognite_nb_upload.batch.task import RowTask, look_at_all, size_and_time
from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.journal.jobs import Known, Remembered, where_of
from cognite_nb_upload.models import CDFFile, FileMetadata
from cognite_nb_upload.models.wire import from_file_ns, to_ms
from cognite_nb_upload.sources import shown_path
from cognite_nb_upload.transfer.files import AsyncFiles

# Of how many files it is asked at a time whether they are what they were.
_LOOKS_AT_ONCE: Final = 16


class Existing:
    """Decides for each row what is to be done with it."""

    def __init__(self, files: AsyncFiles, options: JobOptions, known: Remembered) -> None:
        self._files, self._options = files, options
        self._known = known
        self._names = Names(files)

    def learn(self, known: Remembered) -> None:
        """What is remembered now."""
        self._known = known

    async def decide(self, table: Table, rows: Sequence[BatchRow]) -> list[RowTask]:
        """The rows that are to be sent; the others are done, skipped or invalid after this.

        Raises:
            UploadToolkitError: CDF could not be asked.
        """
        by_id = await self._by_id(rows)
        if told := [row for row in rows if row.status == DONE]:
            await to_thread.run_sync(self._look_again, told, by_id)
        tasks = await self._tasks(table, rows)
        await self._hear_the_time(tasks)
        await to_thread.run_sync(_compare_with_sent, tasks)
        tasks = [task for task in tasks if not self._is_done(task, by_id)]
        if self._options.compares:
            tasks = await self._compared(tasks)
        return tasks

    async def _tasks(self, table: Table, rows: Sequence[BatchRow]) -> list[RowTask]:
        found = []
        waiting = [(row, table.fields(row)) for row in rows if row.status == WAITING]
        await self._names.learn(fields for _, fields in waiting)
        for row, fields in waiting:
            try:
                self._names.put_ids(fields)
                found.append(await self._task(row, fields))
            except UsageError as error:
                row.fail(str(error), INVALID)
        return found

    async def _task(self, row: BatchRow, fields: dict[str, Any]) -> RowTask:
        options = self._options
        overwrite = bool(fields.pop(OVERWRITE, False))
        if options.nodes is not None:
            return _node_task(options.nodes, row, fields, overwrite, self._known.rows.get(row.key))
        if options.sets_time and "source_modified_time" not in fields:
            fields["source_modified_time"] = from_file_ns(row.mtime_ns)
        keys: dict[str, str] = {}
        if options.size_key:
            keys[options.size_key] = str(row.size)
        if options.sha256_key:
            if row.place is not None:
                raise UsageError(f"{row.path}: sha256_key is for files on this machine.")
            keys[options.sha256_key] = await to_thread.run_sync(_sha256, row.path)
        if keys:
            fields["metadata"] = {**fields.get("metadata", {}), **keys}
        known = self._known.rows.get(row.key)
        return RowTask(row, about(row, fields), overwrite, known)

    async def _hear_the_time(self, tasks: Sequence[RowTask]) -> None:
        """By CDF's clock an interrupted run's own files are told from those of somebody else."""
        name = next((one.about.external_id for one in tasks if one.about.external_id), None)
        if name is not None and self._files.cdf_ms() is None:
            await self._files.absent_since(name)

    async def _by_id(self, rows: Sequence[BatchRow]) -> dict[int, CDFFile]:
        """The files that earlier runs have begun or sent, as CDF has them."""
        ids = {row.id for row in rows if row.status == DONE}
        ids |= {known.id for row in rows if (known := self._known.rows.get(row.key))}
        wanted = sorted(one for one in ids if one is not None)
        found = await self._files.retrieve_all(wanted) if wanted else []
        return {file.id: file for file in found if file.id is not None}

    def _look_again(self, told: Sequence[BatchRow], by_id: Mapping[int, CDFFile]) -> None:
        """See whether what the table of an earlier call tells to be done still is; blocks."""
        options, retry = self._options, self._files.config.retry
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as threads:
            reasons = list(threads.map(lambda row: self._why_not(row, by_id), told))
        wrong = [row for row, why in zip(told, reasons, strict=True) if why or options.again]
        for row, why in zip(told, reasons, strict=True):
            row.add_note(why)
        for row in wrong:
            row.status, row.id, row.size, row.verified = WAITING, None, None, ""
        look_at_all(wrong, options.part_size, retry)

    def _why_not(self, row: BatchRow, by_id: Mapping[int, CDFFile]) -> str:
        """Why a row that was done is not, in words; "" where it is."""
        file = by_id.get(row.id or 0)
        if file is None or not file.uploaded:
            return "CDF no longer has what was sent before"
        sent = self._known.sent.get(row.id or 0)
        if sent is not None and sent.where not in ("", where_of(row.path)):
            return f"id {row.id} is of another file"
        try:
            size, mtime_ns = size_and_time(row, self._files.config.retry)
        except UploadToolkitError:  # it is gone here, and in CDF
            return ""
        same = _is_as_sent(sent, row, size, mtime_ns) if sent else row.size in (None, size)
        return "" if same else f"changed since it was sent as id {row.id}"

    def _is_done(self, task: RowTask, by_id: dict[int, CDFFile]) -> bool:
        """True where an earlier run has sent it; else the task knows what that run has left."""
        known, row = task.known, task.row
        if known is None or known.id is None:
            return False
        file = by_id.get(known.id)
        same = task.facts["as_sent"]
        if file is None:
            if known.done:
                row.add_note(f"CDF no longer has id {known.id}, which was sent before")
            task.known = None
            return False
        if not file.uploaded:
            if same:
                task.file = file
            else:  # its URL is for other bytes; the file that was begun is still this row's own
                task.known = replace(known, url=None)
            return False
        if known.done:
            task.known = None
            if not same and not (self._options.compares and task.about.external_id):
                row.add_note(f"changed since it was sent as id {known.id}")
            elif same and not self._options.again and not self._options.compares:
                self._found(task, known)
                return True
            return self._is_same(task, known, same)
        if same and self._has_arrived(task, known, file):
            task.file = file
            task.facts["arrived"] = True
        else:
            task.known = None
        return False

    def _has_arrived(self, task: RowTask, known: Known, file: CDFFile) -> bool:
        """True where the content of a file is there that was begun, its end not heard of.

        What CDF had before that is no sign of it.
        """
        if known.before_ms is None:
            return not (task.overwrite or self._options.compares)
        return file.uploaded_time is not None and to_ms(file.uploaded_time) != known.before_ms

    def _is_same(self, task: RowTask, known: Known, same: bool) -> bool:
        """Of a file without a name of its own in CDF only the record can tell."""
        if not self._options.compares or task.about.external_id or self._options.again:
            return False
        if same or self._options.if_exists == "skip":
            self._found(task, known)
            return True
        return False

    def _found(self, task: RowTask, known: Known) -> None:
        row = task.row
        row.status, row.id, row.verified = DONE, known.id, known.verified
        row.add_note("sent before")

    # --- by external id -----------------------------------------------------------------------

    async def _compared(self, tasks: list[RowTask]) -> list[RowTask]:
        names = [one.about.external_id for one in tasks if one.about.external_id]
        there = await self._files.retrieve_named(names) if names else {}
        left = []
        for task in tasks:
            file = there.get(task.about.external_id or "")
            if file is None or task.facts.get("arrived"):
                left.append(task)
                continue
            task.overwrite = True
            begun = self._known.rows.get(task.row.key)
            # Where it was begun, CDF tells the time of the new content, and has the old one.
            sure = file.uploaded and (begun is None or begun.done)
            why = self._same(task, file) if sure else ""
            if why:
                task.row.status, task.row.id, task.row.error = SKIPPED, file.id, ""
                task.row.add_note(why)
            else:
                left.append(task)
        return left

    def _same(self, task: RowTask, file: CDFFile) -> str:
        """Why a file is left as it is, in words; "" where it is to be sent."""
        options, mine = self._options, task.about
        if options.if_exists == "skip":
            return "CDF has it"
        if self._is_older_than_told(task, file):
            return ""
        if options.if_exists == "changed" and (told := self._same_content(task, file)) is not None:
            return told
        theirs, ours = file.source_modified_time, mine.source_modified_time
        if theirs is None or ours is None:
            return ""
        if _ms(theirs) == _ms(ours):
            # CDF has no time before 1970: the record tells such files apart, where there is one.
            known = self._known.rows.get(task.row.key)
            if task.row.mtime_ns < 0 and known is not None and not task.facts["as_sent"]:
                return ""
            return "same time"
        newer = _ms(ours) > _ms(theirs)
        return "" if newer or options.if_exists == "changed" else "CDF's is newer"

    def _is_older_than_told(self, task: RowTask, file: CDFFile) -> bool:
        """True where CDF's content came before the time that CDF tells of it.

        So it is where a new content was begun, and never arrived.
        """
        known, row = self._known.rows.get(task.row.key), task.row
        if known is not None and (known.size, known.mtime_ns) == (row.size, row.mtime_ns):
            return False  # the clock here is ahead of CDF's
        told, came = file.source_modified_time, file.uploaded_time
        return told is not None and came is not None and told > came

    def _same_content(self, task: RowTask, file: CDFFile) -> str | None:
        """What the user's metadata keys tell of the content; None where they tell nothing."""
        kept, mine = file.metadata or {}, task.about.metadata or {}
        names = [one for one in (self._options.size_key, self._options.sha256_key) if one]
        if not names or any(name not in kept for name in names):
            return None
        if any(kept[name] != mine[name] for name in names):
            return ""
        if self._options.sha256_key is None:
            return None  # the same size proves nothing by itself; the time decides
        return "same size and SHA-256" if self._options.size_key else "same SHA-256"


class Names:
    """External ids of data sets and assets, and the ids that CDF has for them."""

    def __init__(self, files: AsyncFiles) -> None:
        self._files = files
        self._ids: dict[str, dict[str, int | None]] = {"datasets": {}, "assets": {}}

    async def learn(self, several: Iterable[dict[str, Any]]) -> None:
        """Ask CDF for those that are not known yet, a thousand at a time."""
        wanted: dict[str, set[str]] = {"datasets": set(), "assets": set()}
        for fields in several:
            wanted["datasets"] |= {one for one in (fields.get(DATA_SET),) if one}
            wanted["assets"] |= set(fields.get(ASSETS, ()))
        for kind, names in wanted.items():
            new = sorted(names - self._ids[kind].keys())
            if new:
                found = await self._files.ids_of(kind, new)
                self._ids[kind] |= {name: found.get(name) for name in new}

    def put_ids(self, fields: dict[str, Any]) -> None:
        """Put the ids in place of the names.

        Raises:
            UsageError: CDF has none of this name, or both a name and an id are given.
        """
        data_set, assets = fields.pop(DATA_SET, None), fields.pop(ASSETS, None)
        if data_set is not None:
            if fields.get("data_set_id") is not None:
                raise UsageError("Give data_set_id or data_set_external_id, not both.")
            fields["data_set_id"] = self._id("datasets", "data set", data_set)
        if assets:
            ids = [self._id("assets", "asset", one) for one in assets]
            fields["asset_ids"] = (*fields.get("asset_ids", ()), *ids)

    def _id(self, kind: str, word: str, name: str) -> int:
        found = self._ids[kind].get(name)
        if found is None:
            raise UsageError(f"CDF has no {word} with the external id {name!r}.")
        return found


def _node_task(
    nodes: NodeColumns, row: BatchRow, fields: dict[str, Any], overwrite: bool, known: Known | None
) -> RowTask:
    """A file of the data model: its node says what a classic file says of itself."""
    item = nodes.item(row.path, fields)
    said = item["sources"][-1]["properties"]
    name = row.name[:256]
    about = FileMetadata.of(name=name, mime_type=said.get("mimeType"))
    return RowTask(row, about, overwrite, known, node=item)


def _compare_with_sent(tasks: Sequence[RowTask]) -> None:
    """See of each file that an earlier run knew whether it is still the one; blocks."""
    for task in tasks:
        known, row = task.known, task.row
        task.facts["as_sent"] = known is not None and _is_as_sent(
            known, row, row.size or 0, row.mtime_ns
        )


def _is_as_sent(known: Known, row: BatchRow, size: int, mtime_ns: int) -> bool:
    if (known.size, known.mtime_ns) != (size, mtime_ns):
        return False
    return row.place is not None or known.evidence.is_of(row.path, size)


def _ms(moment: datetime) -> int:
    return to_ms(moment)


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}.") from None
