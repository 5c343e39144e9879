"""The work behind a `Batch`: rows are looked at in chunks, beside the sending of those before.

Rules of this file: one bad row stops no other; what was sent is recorded before it is called done;
small files go many at a time, large ones as uploads of their own; who stops the batch stops both,
and the rows that were not sent say so.
"""

from __future__ import annotations

import gc
import logging
import os
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import CancelScope, to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

from cognite_nb_upload.api.rpc import SIGN_IN, signing_in
from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.chunks import Chunks
from cognite_nb_upload.batch.confirm import Confirming
from cognite_nb_upload.batch.engine_files import EngineFiles
from cognite_nb_upload.batch.existing import Existing
from cognite_nb_upload.batch.nodes import MOST, NodeWriter
from cognite_nb_upload.batch.options import JobOptions
from cognite_nb_upload.batch.properties import NodeColumns
from cognite_nb_upload.batch.recall import Recalled
from cognite_nb_upload.batch.rows import (
    DONE,
    INVALID,
    SKIPPED,
    WAITING,
    BatchRow,
    SeenBefore,
    Table,
    batches,
    read_table,
    request_of,
    table_of_counts,
)
from cognite_nb_upload.batch.small import SmallFiles, SmallJob, is_small
from cognite_nb_upload.batch.task import RowTask, look_at_all
from cognite_nb_upload.cluster.cluster import Cluster
from cognite_nb_upload.cluster.engine import EngineRun
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import LARGEST_CHOSEN
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.errors import UploadStopped, UploadToolkitError, UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.evidence import Evidence
from cognite_nb_upload.journal.folder import JournalWarning
from cognite_nb_upload.journal.jobs import (
    JobRecord,
    Known,
    Place,
    Remembered,
    end_unended,
    has_open_rows,
    left_of,
    remembered,
    where_of,
)
from cognite_nb_upload.journal.lock import ProcessLock
from cognite_nb_upload.models import CDFFile, NodeId
from cognite_nb_upload.objects.given import shown_address
from cognite_nb_upload.say import say
from cognite_nb_upload.transfer.files import AsyncFiles, engine_run
from cognite_nb_upload.transfer.hooks import call_hook
from cognite_nb_upload.transfer.upload import Upload, Uploaded

_log = logging.getLogger(__name__)

# Small files wait for answers most of the time, and half of these for a thread, so that no thread
# waits for the loop. Large ones share the slots of the client.
SMALL_AT_ONCE: Final = 96
_THREADS: Final = 48
# Files of one part, and of several.
_MIDDLE_AT_ONCE: Final = 6
_LARGE_AT_ONCE: Final = 2
# The same where an engine's workers send: enough for some envelopes for each of many workers.
_SMALL_AT_ENGINE: Final = 400
_MIDDLE_AT_ENGINE: Final = 64
_LARGE_AT_ENGINE: Final = 4
# The first files are looked at before anything is sent, so that bad rows are told first.
_LOOKED_AT: Final = 1000
_FIRST: Final = 100
_CHUNK: Final = 500
_TELL_S: Final = 0.1
_SYNC_S: Final = 1.0
# While a job looks for what is remembered of its rows; listing a million takes half a minute.
_PLANNING: Final = "planning.joblock"
_PLANNING_S: Final = 60.0

Send = Callable[[RowTask], Awaitable[None]]


class BatchWork:
    """A job at work; `await work(batch)` gives its table."""

    def __init__(self, files: AsyncFiles, given: object, options: JobOptions) -> None:
        self._files, self._given, self._options = files, given, options
        self._folder = journal_folder.state_folder()
        self._known = Remembered()
        self._record: JobRecord | None = None
        self._unfinished: frozenset[int] = frozenset()
        self._keys: tuple[set[str], set[int]] = set(), set()
        self._chunk: object = None
        self._first = 0
        self._left = False
        self._seen = SeenBefore()
        self._run: EngineRun | None = None
        self._cluster: Cluster | None = None

    async def __call__(self, batch: Batch) -> Table:
        """Do it.

        Raises:
            UploadToolkitError: nothing could be begun; what is wrong with a row is in the row.
        """
        self._batch, self._stop = batch, batch.stop_switch
        signing_in.set(_tells_to_sign_in(batch))
        try:
            return await self._whole_job()
        finally:
            if self._run is not None:
                with CancelScope(shield=True):
                    await to_thread.run_sync(self._run.release)

    async def _whole_job(self) -> Table:
        batch = self._batch
        await self._learn_view()
        if isinstance(self._given, Chunks):
            return await self._in_chunks(self._given)
        table, self._left = None, True  # what comes after an error is left, too
        try:
            table = await to_thread.run_sync(self._planned)
            batch.table_is(table)
            await to_thread.run_sync(batch.until_begun, abandon_on_cancel=True)
            await self._sent(table)
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(self._put_away, table)
        return table

    async def _in_chunks(self, chunks: Chunks) -> Table:
        """One table after another; gives the table that says how many ended how."""
        counts: Counter[str] = Counter()
        self._left, left = True, False  # what comes after an error is left, too
        try:
            while (frame := await to_thread.run_sync(chunks.next)) is not None:
                self._chunk, self._first = frame, counts.total()
                del frame  # one table at a time: this one goes before the next one comes
                table = await self._one_chunk(chunks)
                counts.update(row.status for row in table.rows)
                left = left or _is_left(table)
                del table
                if self._stop:
                    break
            self._left = left
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(self._put_away, None)
                await to_thread.run_sync(chunks.result.close)
        if not counts:
            raise UsageError("There is no row in what was given.")
        return await to_thread.run_sync(table_of_counts, counts)

    async def _one_chunk(self, chunks: Chunks) -> Table:
        table = await to_thread.run_sync(self._planned)
        self._chunk = None
        self._batch.table_is(table)
        await to_thread.run_sync(self._batch.until_begun, abandon_on_cancel=True)
        await self._sent(table)
        await to_thread.run_sync(chunks.write, await to_thread.run_sync(table.frame))
        return table

    async def _learn_view(self) -> None:
        """What files of the data model are written through decides what their columns are."""
        options = self._options
        if options.space is not None:
            view = await self._files.instances.view(options.view)
            self._options = replace(options, nodes=NodeColumns(options.space, view))

    # --- before ---------------------------------------------------------------------------------

    def _planned(self) -> Table:
        """Read and check the rows, and find what is remembered of them; blocks."""
        with _without_collecting():
            table = self._read()
        options = self._options
        if isinstance(self._given, Chunks):
            sent_twice = options.again or not options.resume
            self._seen.refuse(table, twice=sent_twice, replaced=options.compares)
        if options.max_bandwidth is not None:
            self._files.limits.bandwidth.set(options.max_bandwidth)
        keys = {row.key for row in table.rows if row.status in (WAITING, DONE)}
        told = {row.id for row in table.rows if row.status == DONE and row.id is not None}
        with self._planning():
            self._remember(table, keys, told)
        self._look_at(table.rows[:_LOOKED_AT])
        return table

    @contextmanager
    def _planning(self) -> Iterator[None]:
        """Within the block nobody else looks for the jobs of this machine's rows, or begins one.

        Two calls of the same line at once would both find none.
        """
        held = None
        with suppress(OSError):  # no folder, no records
            journal_folder.make_folder(self._folder)
            held = ProcessLock.take(self._folder / _PLANNING, _PLANNING_S)
        try:
            yield
        finally:
            if held is not None:
                held.release()

    def _remember(self, table: Table, keys: set[str], told: set[int]) -> None:
        """Find what is remembered of the rows, and list those that are new."""
        options = self._options
        if keys and options.resume:
            self._keys = keys, told
            self._known = remembered(self._folder, self._place, keys, told)
            rows = journal_folder.unfinished(self._folder)
            self._unfinished = frozenset(one.file_id for one in rows if one.file_id is not None)
        if options.compares and not self._known.rows:
            self._needs_names(table)
        new = [row for row in table.rows if row.status == WAITING and not self._is_known(row)]
        if new and self._record is not None:
            self._list_rows(self._record, table)
        elif new:
            if options.resume and not options.again and self._known.job is None:
                self._tell_what_is_left(table, new)
            self._recorded(table)

    def _tell_what_is_left(self, table: Table, new: Sequence[BatchRow]) -> None:
        """Say so where a job of the same files was not ended, by a call with other fields."""
        for job, requests in left_of(self._folder, self._place, _title(self._given)):
            rows = [row for row in new if row.path in requests]
            if not rows:
                continue
            was, now = requests[rows[0].path], request_of(table.fields(rows[0]))
            names = sorted(name for name in {**was, **now} if was.get(name) != now.get(name))
            text = (
                f"An unfinished job of the same files is left, with {job.done} of {job.files} in "
                f"CDF; this call differs in {', '.join(names) or 'what it asks for'}. "
                f"`resume({job.id!r})` goes on with that one, `forget({job.id!r})` drops it."
            )
            for row in rows:
                row.add_note(text)
            with suppress(JournalWarning):  # where warnings are errors, the job goes on
                warnings.warn(JournalWarning(text), stacklevel=2)

    def _read(self) -> Table:
        options, given = self._options, self._given
        if isinstance(given, Chunks):
            given = self._chunk
        elif isinstance(given, Recalled):
            given = given.frame()
        return read_table(
            given, options.defaults, options.walk, naming=options.naming, keep=options.keep,
            first=self._first, nodes=options.nodes,
        )  # fmt: skip

    @property
    def _place(self) -> Place:
        config = self._files.config
        return Place(project=config.project, base_url=config.base_url.rstrip("/"))

    def _is_known(self, row: BatchRow) -> bool:
        known = self._known.rows.get(row.key)
        return known is not None and known.done

    def _needs_names(self, table: Table) -> None:
        """Without a name in CDF and without a record nothing tells what is there already."""
        for row in table.rows:
            if row.status == WAITING and table.fields(row).get("external_id") is None:
                raise UsageError(
                    f"if_exists={self._options.if_exists!r} needs the external id of each file, "
                    f"which row {row.no} has not: nothing else tells which file of CDF it is."
                ).hint("Give external_id='path', a function, or a column external_id.")

    def _recorded(self, table: Table) -> JobRecord:
        """The job's record; begun when the first row needs it. Blocks."""
        if self._record is None:
            known = self._known
            record = JobRecord.open(
                self._folder, self._place, known,
                title=_title(self._given), how=self._options.to_json(),
            )  # fmt: skip
            if known.job is not None and known.stamp != record.found:
                # Somebody has sent some of it before the record was ours.
                self._known = remembered(self._folder, self._place, *self._keys)
            self._record = record
            if isinstance(self._given, Chunks):
                record.more_tables()
            self._list_rows(self._record, table)
            self._batch.recorded_as(self._record.id)
        return self._record

    def _list_rows(self, record: JobRecord, table: Table) -> None:
        """Write which rows the job is of; those that are done have their own lines."""
        listed = self._known.listed
        record.list_rows(
            (row.key, row.path, request_of(table.fields(row)))
            for row in table.rows
            if row.status == WAITING and row.key not in listed and not self._is_known(row)
        )

    # --- sending --------------------------------------------------------------------------------

    async def _sent(self, table: Table) -> None:
        options = self._options
        self._confirming = Confirming(self._files, options.verify, self._stop, self._confirmed)
        await self._begin_engine()
        most, middle, large = SMALL_AT_ONCE, _MIDDLE_AT_ONCE, _LARGE_AT_ONCE
        if self._cluster is not None:
            most, middle, large = _SMALL_AT_ENGINE, _MIDDLE_AT_ENGINE, _LARGE_AT_ENGINE
        at_once = min(most, options.max_concurrency or most)
        small_files = self._small_files(table, at_once)
        ways: list[tuple[Send, int]] = [
            (partial(self._send_small, small_files), at_once),
            (self._send_large, min(middle, at_once)),
            (self._send_large, large),
        ]
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._keep_telling)
            async with anyio.create_task_group() as group:
                group.start_soon(self._confirming.run)
                with small_files.threads:
                    await self._send_all(table, ways)
                self._confirming.no_more()
            beside.cancel_scope.cancel()

    async def _send_all(self, table: Table, ways: Sequence[tuple[Send, int]]) -> None:
        """Hand out the rows to so many tasks for each way to send them."""
        async with anyio.create_task_group() as senders:
            queues = []
            for send, workers in ways:
                queue, tasks = anyio.create_memory_object_stream[RowTask](_CHUNK)
                queues.append(queue)
                for _ in range(workers):
                    senders.start_soon(self._work, tasks.clone(), send)
                tasks.close()
            senders.start_soon(self._look_ahead, table, queues)

    def _small_files(self, table: Table, at_once: int) -> SmallFiles:
        job = SmallJob(
            files=self._files,
            record=lambda: self._recorded(table),
            stop=self._stop,
            moved=lambda task, sent: self._batch.moved(task.row, sent),
            threads=min(_THREADS, at_once),
            verify=self._options.verify,
        )
        return SmallFiles(job) if self._cluster is None else EngineFiles(job, self._cluster)

    async def _begin_engine(self) -> None:
        """Begin with the engine, once for the whole job."""
        engine = self._options.engine
        if engine is not None and self._run is None:
            run = engine_run(self._files, engine, self._options.trust_network)
            self._cluster = await to_thread.run_sync(run.acquire)
            self._run = run

    async def _look_ahead(self, table: Table, queues: Sequence[Any]) -> None:
        """Look at the rows in chunks, and hand out those that are to be sent."""
        small, middle, large = queues
        existing = Existing(self._files, self._options, self._known)
        sizes = (_FIRST, _CHUNK) if self._options.nodes is None else (MOST, MOST)
        with small, middle, large:
            for rows in batches(table.rows, *sizes):
                tasks = await self._decided(existing, table, rows)
                self._batch.passed_over(len(rows) - len(tasks))
                async for task in self._with_nodes(table, tasks):
                    self._batch.looked_at(task.row)
                    if task.facts.get("arrived") and self._journal_ended(task):
                        await self._arrived(task)
                    elif is_small(task) and not (self._cluster and task.row.place):
                        await small.send(task)
                    elif (task.row.size or 0) <= LARGEST_CHOSEN:
                        await middle.send(task)
                    else:
                        await large.send(task)

    async def _with_nodes(self, table: Table, tasks: list[RowTask]) -> AsyncIterator[RowTask]:
        """The same rows, once their nodes are there; those whose nodes were refused have ended."""
        if self._options.nodes is None:
            for task in tasks:
                yield task
            return
        writer = NodeWriter(self._files, self._options, lambda: self._recorded(table))
        begun = [task for task in tasks if task.facts.get("arrived")]
        for task in begun:
            yield task
        new = [task for task in tasks if not task.facts.get("arrived")]
        try:
            ready = await writer.written(new)
        except UploadToolkitError as error:
            ready = []
            for task in new:
                if task.row.status == WAITING:
                    task.row.fail(_told(error))
        for task in new:
            if task.row.status != WAITING:
                await self._ended(task.row)
        async for several in writer.linked(ready):
            for task in several:
                yield task

    async def _decided(
        self, existing: Existing, table: Table, rows: Sequence[BatchRow]
    ) -> list[RowTask]:
        """Which of these rows are to be sent; the others have ended."""
        bad = {row.no for row in rows if row.status == INVALID}
        if self._stop:
            for row in rows:
                if row.status == WAITING:
                    await self._stopped(row)
            return []
        if any(row.size is None for row in rows if row.status == WAITING):
            await to_thread.run_sync(self._look_at, rows)
        try:
            tasks = await existing.decide(table, rows)
        except UploadToolkitError as error:
            for row in rows:
                if row.status == WAITING:
                    row.fail(str(error))
            tasks = []
        sending = {task.row.no for task in tasks}
        for row in rows:
            if row.no not in sending and row.no not in bad:
                await self._ended(row)
        if tasks and self._record is None:
            known = self._known
            await to_thread.run_sync(self._recorded, table)
            if self._known is not known:
                existing.learn(self._known)
                return await self._decided(existing, table, [task.row for task in tasks])
        return tasks

    def _look_at(self, rows: Sequence[BatchRow]) -> None:
        look_at_all(rows, self._options.part_size, self._files.config.retry)

    def _journal_ended(self, task: RowTask) -> bool:
        """False where an upload's own journal goes on with it."""
        return task.known is None or task.known.id not in self._unfinished

    async def _arrived(self, task: RowTask) -> None:
        """An interrupted run had sent it, and did not hear the end."""
        assert task.file is not None  # noqa: S101 # that is what `arrived` says
        assert task.known is not None  # noqa: S101 # it says who has begun it
        task.row.id, task.evidence = task.file.id, task.known.evidence
        task.row.add_note("an interrupted run had sent it")
        self._confirming.add(task, task.file)

    async def _work(self, tasks: MemoryObjectReceiveStream[RowTask], send: Send) -> None:
        async with tasks:
            async for task in tasks:
                row, began_s = task.row, time.monotonic()
                row.attempts, row.error = 1, ""
                try:
                    if self._stop:
                        raise UploadStopped(f"The batch was {self._stop.reason}.")
                    await send(task)
                except UploadStopped as error:
                    row.fail(str(error), "stopped")
                except UploadToolkitError as error:
                    row.fail(_told(error))
                except Exception as error:
                    _log.exception("A file of the batch failed; the others go on.")
                    row.fail(f"{type(error).__name__}: {error}")
                row.seconds = round(time.monotonic() - began_s, 3)
                if row.status in ("stopped", "failed"):
                    await self._ended(row)

    async def _send_small(self, small_files: SmallFiles, task: RowTask) -> None:
        self._confirming.add(task, await small_files.send(task))

    async def _send_large(self, task: RowTask) -> None:
        """An upload of its own, with its journal."""
        row, options = task.row, self._options
        how = {
            "part_size": options.part_size,
            "max_concurrency": options.max_concurrency,
            "resume": options.resume,
            "verify": options.verify,
            "engine": options.engine,
            "trust_network": options.trust_network,
            "progress": False,  # the job has bars of its own
        }
        # Opening a file may block, and this is the loop that everything else runs on.
        upload = await to_thread.run_sync(lambda: self._started(task, how))
        upload.listen(partial(self._hear, task))
        with self._stop.waking(upload.stop):
            try:
                uploaded = await upload
            finally:
                row.attempts = max((part.attempts for part in upload.state.parts), default=1)
        row.id, row.verified = uploaded.id, uploaded.verified
        for note in uploaded.notes:
            row.add_note(note)
        if row.place is None:
            task.evidence = await to_thread.run_sync(
                Evidence.read_from, row.path, row.size or 0, row.mtime_ns
            )
        await self._done(task, uploaded)

    def _started(self, task: RowTask, how: Any) -> Upload:
        row = task.row
        if row.place is None:
            task.evidence = Evidence.of_file(row.path)
        path = row.place.open(self._files.config.retry) if row.place else Path(row.path)
        if task.node is None:
            fields: Any = {**how, **task.about.to_kwargs(), "overwrite": task.overwrite}
            classic: Upload = self._files.upload(path, **fields)
            return classic
        node = NodeId(task.node["space"], task.node["externalId"])
        upload: Upload = self._files.upload_content(path, instance_id=node, **how)
        return upload

    def _hear(self, task: RowTask, state: UploadState, event: ev.Event) -> None:
        row = task.row
        if isinstance(event, ev.Opened) and self._record is not None:
            before_ms = None if task.overwrite else 0
            begun = Known(
                event.file_id, False, row.size or 0, row.mtime_ns, before_ms=before_ms,
                evidence=task.evidence,
            )  # fmt: skip
            self._record.began(row.key, begun)
        elif isinstance(event, ev.Waiting) and event.reason.startswith(SIGN_IN):
            self._batch.waits_for(event.reason, row.no)
        elif isinstance(event, ev.WaitEnded):
            self._batch.waits_for("", row.no)
        self._batch.moved(row, state.sent)

    # --- what became of it ------------------------------------------------------------------------

    async def _confirmed(self, task: RowTask, file: CDFFile | None, error: str) -> None:
        """A small file has ended."""
        row = task.row
        if error:
            row.fail(error)
            if self._record is not None:
                self._record.again(row.key)
            await self._ended(row)
        elif file is None:
            row.status = "assembling"
            row.add_note("CDF has not said `uploaded` yet; the same call asks again")
            await self._ended(row)
        else:
            row.id = file.id
            await self._done(task, Uploaded(
                file=file, size=row.size or 0, parts=1, seconds=row.seconds or 0.0,
                retries=max(0, row.attempts - 1), verified=row.verified,
                notes=tuple(filter(None, [row.note])),
            ))  # fmt: skip

    async def _done(self, task: RowTask, uploaded: Uploaded) -> None:
        row = task.row
        row.status, row.error = DONE, ""
        if self._record is not None:
            known = Known(
                row.id, True, row.size or 0, row.mtime_ns, row.verified, where=where_of(row.path),
                evidence=task.evidence,
            )  # fmt: skip
            self._record.done(row.key, known)
        await self._ended(row)
        if self._options.on_done is not None:
            await self._call(row, uploaded)

    async def _call(self, row: BatchRow, uploaded: Uploaded) -> None:
        """The user's own function; its failure is a note of the row, and stops nothing."""
        on_done = self._options.on_done
        assert on_done is not None  # noqa: S101 # asked by the caller
        told = {"path": row.path, "status": row.status, "id": row.id, "size": row.size,
                "verified": row.verified, "note": row.note}  # fmt: skip
        row.add_note(await call_hook("on_done", on_done, told, uploaded))

    async def _stopped(self, row: BatchRow) -> None:
        row.fail(f"The batch was {self._stop.reason}.", "stopped")
        await self._ended(row)

    async def _ended(self, row: BatchRow) -> None:
        if row.status == "failed" and self._record is not None:
            self._record.failed(row.key, row.error)
        elif row.status in (SKIPPED, INVALID) and self._record is not None and row.key:
            self._record.left_out(row.key)
        self._batch.ended(row)

    async def _keep_telling(self) -> None:
        """Tell listeners, and have the record reach the disk, beside the sending."""
        synced_s = time.monotonic()
        while True:
            await anyio.sleep(_TELL_S)
            await to_thread.run_sync(self._batch.tell)
            if time.monotonic() - synced_s >= _SYNC_S and self._record is not None:
                await to_thread.run_sync(self._count)
                synced_s = time.monotonic()

    def _count(self) -> None:
        state = self._batch.state
        if self._record is not None:
            self._record.count(state.files, state.done, state.failed)
            self._record.sync()

    def _put_away(self, table: Table | None) -> None:
        """The record is ended where everything is done; else it waits for the same call."""
        left = self._left or bool(self._stop) if table is None else _is_left(table)
        state = self._batch.state
        here = {row.path for row in table.rows} if table is not None else frozenset()

        def is_open(path: str) -> bool:
            return path not in here and os.path.lexists(path)

        if self._record is not None and left:
            self._count()
            self._record.close()
        elif self._record is not None:
            self._record.end(state.files, state.done, is_open)
        elif not left and self._known.job is not None and not self._known.ended:
            # Everything had been sent: its process was killed before it could say so.
            end_unended(self._known.job, state.files, lambda job: not has_open_rows(job, is_open))


def _is_left(table: Table) -> bool:
    """True where the same call has something to send."""
    return any(row.status not in (DONE, SKIPPED, INVALID) for row in table.rows)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Within the block, Python does not look for cycles of objects, of which none are made here.

    With a hundred thousand new rows each look takes 50 to 100 ms, in which no thread runs. It would
    look at them three times afterwards, once in each of its generations, and at all else in the
    last. So they go to the oldest generation at once, where the program's next whole look finds
    them; that nothing is left frozen, and nothing that the program itself has frozen is touched.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _told(error: UploadToolkitError) -> str:
    """The error and its next step, in one text."""
    return " ".join([str(error), *getattr(error, "__notes__", ())])


def _title(given: object) -> str:
    """What was given, in a few words for a list of jobs."""
    if isinstance(given, Recalled):
        return given.title
    if isinstance(given, Chunks):
        return f"tables, with their result in {given.result.path.name}"
    if isinstance(given, str | Path) or shown_address(given):
        return shown_address(given) or str(given)
    if hasattr(given, "columns"):
        return f"a table of {len(given)} rows"  # type: ignore[arg-type] # a frame has a length
    several = list(given) if isinstance(given, Sequence) else []
    first = (shown_address(several[0]) or str(several[0])) if several else ""
    return f"{first} and {len(several) - 1} more" if len(several) > 1 else first


def _tells_to_sign_in(batch: Batch) -> Callable[[str], None]:
    """Has the job show what a person has to do to sign in, or prints it where nobody watches.

    The credentials have said the first themselves, and are silent about the codes that follow.
    """
    told: list[str] = []

    def tell(text: str) -> None:
        batch.waits_for(text)
        if text and told and not batch.is_watched:
            say(text)
        told.append(text)

    return tell
