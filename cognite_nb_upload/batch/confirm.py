"""Whether CDF has what was sent: it is asked for a thousand files at once, beside the sending.

Rules of this file: a file is done when CDF says `uploaded` of what was sent; what it does not say
within a minute and a half is `assembling`, which is no failure; what the store's answers do not
prove is asked of the store, for a hundred files with one request to CDF.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from cognite_nb_upload.batch.rows import BatchRow
from cognite_nb_upload.batch.task import RowTask
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import UploadToolkitError, VerifyError
from cognite_nb_upload.models import CDFFile
from cognite_nb_upload.sources import FileSource, Source
from cognite_nb_upload.store.download import ObjectReader, size_of
from cognite_nb_upload.transfer import verify as checks
from cognite_nb_upload.transfer.files import AsyncFiles

_IDS: Final = 1000
_LINKS: Final = 100
# After a file was sent, wait so long, in seconds, for CDF to say `uploaded` of it.
_WAIT_S: Final = 90.0
# Files that wait are asked for together: when there are so many, or after so long.
_TOGETHER: Final = 500
_FIRST_S: Final = 0.1
_MOST_S: Final = 5.0
_AT_ONCE: Final = 16

Ended = Callable[[RowTask, CDFFile | None, str], Awaitable[None]]


class Confirming:
    """Takes files that were sent, and says what became of them.

    `ended(task, file, error)` is called for each: with CDF's file, without one where it does not
    say `uploaded` in time, or with what is wrong.
    """

    def __init__(self, files: AsyncFiles, verify: str, stop: CancelToken, ended: Ended) -> None:
        self._files, self._verify, self._stop, self._ended = files, verify, stop, ended
        self._waiting: dict[int, tuple[RowTask, float]] = {}
        self._complete = anyio.Event()
        self._more = anyio.Event()

    def add(self, task: RowTask, file: CDFFile) -> None:
        """This one was sent."""
        assert file.id is not None  # noqa: S101 # CDF has handed it out
        self._waiting[file.id] = (task, time.monotonic())
        self._more.set()

    def no_more(self) -> None:
        """Everything was sent."""
        self._complete.set()
        self._more.set()

    async def run(self) -> None:
        """Ask until CDF says `uploaded` of each, or time is up."""
        pause_s = _FIRST_S
        while not (self._complete.is_set() and not self._waiting):
            if not self._waiting:
                await self._more.wait()
                self._more = anyio.Event()
                continue
            if not self._complete.is_set() and len(self._waiting) < _TOGETHER:
                with anyio.move_on_after(max(pause_s, 1.0)):
                    await self._complete.wait()
            came = await self._look()
            if self._stop:
                break
            pause_s = _FIRST_S if came else min(_MOST_S, pause_s * 1.6)
            if self._complete.is_set() and self._waiting:
                await anyio.sleep(pause_s)
        for task, _ in list(self._waiting.values()):
            await self._ended(task, None, "")
        self._waiting.clear()

    async def _look(self) -> int:
        """Ask for all that wait; returns how many have arrived."""
        came, found = 0, dict[int | None, CDFFile]()
        ids = list(self._waiting)
        for at in range(0, len(ids), _IDS):
            try:
                files = await self._files.retrieve_all(ids[at : at + _IDS])
            except UploadToolkitError:  # what was sent is with CDF, seen or not
                continue
            found |= {one.id: one for one in files if one.uploaded}
            arrived = [(self._waiting.pop(one.id)[0], one) for one in files
                       if one.id in self._waiting and self._is_new(one)]  # fmt: skip
            came += len(arrived)
            await self._proved(arrived)
        late_s = time.monotonic() - _WAIT_S
        for file_id, (task, since_s) in list(self._waiting.items()):
            if since_s < late_s:
                del self._waiting[file_id]
                if (file := found.get(file_id)) is None:
                    await self._ended(task, None, "")
                else:
                    task.row.add_note(checks.OLD_TIME)
                    await self._proved([(task, file)])
        return came

    def _is_new(self, file: CDFFile) -> bool:
        """True where CDF has what was sent, and not only the content that it replaces."""
        before = self._waiting[file.id or 0][0].uploaded_before
        return file.uploaded and (before is None or file.uploaded_time != before)

    async def _proved(self, arrived: Sequence[tuple[RowTask, CDFFile]]) -> None:
        """Compare what the store holds, where its answer to the PUT has not told yet."""
        open_ones = []
        for task, file in arrived:
            proven = bool(task.proof) and self._verify != "download"
            if not proven and self._verify == "size" and task.whole:
                task.proof, proven = f"{task.row.size} bytes, taken whole by the store", True
            if proven or self._verify == "none":
                task.row.verified = task.proof
                await self._ended(task, file, "")
            else:
                open_ones.append((task, file))
        for at in range(0, len(open_ones), _LINKS):
            await self._asked(open_ones[at : at + _LINKS])

    async def _asked(self, several: Sequence[tuple[RowTask, CDFFile]]) -> None:
        try:
            urls = await self._files.download_urls([file.id for _, file in several if file.id])
        except UploadToolkitError as error:
            for task, file in several:
                task.row.add_note(f"It is in CDF, but could not be verified: {error}")
                await self._ended(task, file, "")
            return
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def one(task: RowTask, file: CDFFile) -> None:
            async with limiter:
                await self._compared(task, file, urls.get(file.id or 0))

        async with anyio.create_task_group() as group:
            for task, file in several:
                group.start_soon(one, task, file)

    async def _compared(self, task: RowTask, file: CDFFile, url: Secret | None) -> None:
        at_hand = [url] if url is not None else []

        async def fresh() -> Secret:
            return at_hand.pop() if at_hand else await self._files.download_url(id=file.id)

        row, error = task.row, ""
        network, retry = self._files.network, self._files.config.retry
        try:
            if self._verify == "download":
                row.verified = await self._read_back(ObjectReader(network, retry, fresh), row)
            else:
                if self._verify == "checksum":
                    row.add_note("the store gave no checksum that can be compared")
                there = await size_of(network, retry, fresh)
                row.verified = checks.by_size(there, row.size or 0)
        except VerifyError as wrong:
            error = f"{wrong} It is id {file.id}."
        except UploadToolkitError as problem:
            row.add_note(f"It is in CDF, but could not be verified: {problem}")
        await self._ended(task, file, error)

    async def _read_back(self, reader: ObjectReader, row: BatchRow) -> str:
        source = await to_thread.run_sync(self._source_of, row)
        try:
            return await checks.by_download(reader, source, self._stop)
        finally:
            source.close()

    def _source_of(self, row: BatchRow) -> Source:
        if row.place is not None:
            return row.place.open(self._files.config.retry)
        return FileSource.open(Path(row.path))
