"""A small file: read whole, sent from memory in one PUT.

Rules of this file: what is sent is what was read at once, its time and size the same before and
after; so nothing half old and half new can be in CDF. What an interrupted run has begun is gone on
with, where CDF still takes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from cognite_nb_upload.api.files import Claim
from cognite_nb_upload.batch.rows import BatchRow
from cognite_nb_upload.batch.task import RowTask
from cognite_nb_upload.batch.threads import SenderThreads
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, fits_one_put
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import PartFailed, SourceChanged, UsageError
from cognite_nb_upload.journal.evidence import NOTHING_SEEN, Evidence
from cognite_nb_upload.journal.jobs import JobRecord, Known
from cognite_nb_upload.models import CDFFile, NodeId
from cognite_nb_upload.models.wire import to_ms
from cognite_nb_upload.objects.many import Place
from cognite_nb_upload.sources import BytesSource, is_pinned, says_more, shown_path
from cognite_nb_upload.store.part import PartSender
from cognite_nb_upload.store.port import Checksums, PartJob
from cognite_nb_upload.transfer.files import AsyncFiles
from cognite_nb_upload.transfer.verify import PartDigest

# A file that is written to while it is read is read again, so many times.
_READS: Final = 3
# What is sent at once in less time than anybody can see is not told piece by piece.
_TOLD: Final = 64 * KIB
_GONE: Final = (403, 404, 410)

Opened = tuple[CDFFile, Secret]
"""What CDF has handed out: the file, and the URL for its content."""


def is_small(task: RowTask) -> bool:
    """True where one PUT will do."""
    return fits_one_put(task.row.size or 0, task.about.mime_type)


@dataclass(frozen=True, slots=True)
class SmallJob:
    """What small files are sent for.

    Attributes:
        files: CDF's endpoints.
        record: gives the job's record, which is begun when the first file needs it.
        stop: ends all of them.
        moved: is told how many bytes of a file have gone.
        threads: files at once, at most.
        verify: as in `upload_many`.
    """

    files: AsyncFiles
    record: Callable[[], JobRecord]
    stop: CancelToken
    moved: Callable[[RowTask, int], None]
    threads: int
    verify: str


class SmallFiles:
    """Sends small files; the store's answer is compared with what was sent.

    Attributes:
        threads: those that send; a file is sent within their `with`.
    """

    def __init__(self, job: SmallJob) -> None:
        self._files, self._record, self._stop = job.files, job.record, job.stop
        self._moved = job.moved
        limits = job.files.limits
        limits.small_files = pace = limits.small_files.for_next(job.threads)
        self.threads = SenderThreads(pace, job.stop)
        known = job.files.limits.checksums
        self._digests = None if job.verify == "none" else (lambda _: PartDigest(known))

    async def send(self, task: RowTask) -> CDFFile:
        """Send it; CDF may need a while to say `uploaded` after that.

        Raises:
            UploadToolkitError: it is not in the store.
        """
        try:
            file = await self._sent(task)
        except PartFailed as error:
            if task.known is None or task.file is None or error.status not in _GONE:
                raise
            # The URL of the interrupted run is used up; its file is still this row's own.
            task.known, task.file = replace(task.known, url=None), None
            file = await self._sent(task)
        if task.overwrite and task.node is None:
            file = await self._files.mend_overwritten(file, task.about)
        return file

    async def _sent(self, task: RowTask) -> CDFFile:
        """Begin it and send it, in one thread where all goes well."""
        opened, first = self._at_hand(task), None
        if opened is None and task.node is not None:
            node = NodeId(task.node["space"], task.node["externalId"])
            opened = self._begun(task, *await self._files.open_node_whole(node))

        def work(stop: CancelToken) -> None:
            nonlocal opened, first
            if opened is None:
                self._asking(task)
                tried = self._files.try_whole(task.about, task.overwrite)
                if not isinstance(tried, tuple):
                    first = tried
                    return
                opened = self._begun(task, *tried)
            self._put(task, *opened, stop)

        await self.threads.run(work)
        if not task.whole:
            about, overwrite, claim = task.about, task.overwrite, _claim(task.known)
            opened = self._begun(
                task, *await self._files.open_whole(about, overwrite, claim, first)
            )
            await self.threads.run(work)
        assert opened is not None  # noqa: S101 # it was sent
        return opened[0]

    def _at_hand(self, task: RowTask) -> Opened | None:
        """What an interrupted run was handed out."""
        known, file = task.known, task.file
        if known is None or file is None or known.url is None:
            return None
        task.row.add_note("went on with what an interrupted run had begun")
        return file, known.url

    def _asking(self, task: RowTask) -> None:
        """CDF is about to be asked to begin it."""
        row, known = task.row, task.known
        again = known is not None and known.asked
        if again and task.about.external_id is None:
            row.add_note("an interrupted run may have left an empty file of this name in CDF")
        since_ms = known.since_ms if known is not None and again else self._files.cdf_ms()
        self._record().asked(row.key, since_ms)

    def _begun(self, task: RowTask, file: CDFFile, url: Secret) -> Opened:
        row, task.uploaded_before = task.row, file.uploaded_time
        before_ms = to_ms(file.uploaded_time) if file.uploaded_time else 0
        task.evidence = NOTHING_SEEN if row.place else Evidence.of_file(row.path)
        begun = Known(
            file.id, False, row.size or 0, row.mtime_ns, url=url, before_ms=before_ms,
            evidence=task.evidence,
        )  # fmt: skip
        self._record().began(row.key, begun)
        return file, url

    def _put(self, task: RowTask, file: CDFFile, url: Secret, stop: CancelToken) -> None:
        task.row.id = file.id
        proofs: list[Checksums] = []
        data = self._read(task)
        job = PartJob(
            0, url, BytesSource(data), 0, len(data),
            content_type=file.mime_type, throttle=self._files.limits.bandwidth,
            emit=lambda event: self._hear(task, event, proofs), new_digest=self._digests,
        )  # fmt: skip
        PartSender(job, self._files.store, self._files.config.retry, stop).run()
        task.whole = True
        task.proof = proof_of(agreed for one in proofs for agreed in one)

    def _hear(self, task: RowTask, event: ev.Event, proofs: list[Checksums]) -> None:
        row = task.row
        if isinstance(event, ev.PartStarted):
            row.attempts = event.attempt
            self._moved(task, 0)
        elif isinstance(event, ev.PartSent) and (row.size or 0) > _TOLD:
            self._moved(task, event.sent)
        elif isinstance(event, ev.PartLost):
            self._moved(task, 0)
        elif isinstance(event, ev.PartStored):
            proofs.append(event.checksums)
            self._moved(task, event.size)

    def _read(self, task: RowTask) -> bytes:
        """The whole file, as it was at one moment.

        Raises:
            SourceChanged: somebody keeps writing to it, or it has fewer bytes than it says.
        """
        if task.row.place is not None:
            return self._read_elsewhere(task.row, task.row.place)
        path = task.row.path
        for _ in range(_READS):
            try:
                with open(path, "rb", buffering=0) as file:
                    before = os.fstat(file.fileno())
                    data = _all_of(file.fileno(), before.st_size)
                    after = os.fstat(file.fileno())
            except OSError as error:
                raise UsageError(f"{shown_path(path)} cannot be read: {error.strerror}.") from None
            if len(data) == before.st_size and _facts(before) == _facts(after):
                self._is_planned(task.row, before)
                task.evidence = Evidence.of(before, data)
                return data
        if len(data) < before.st_size and _facts(before) == _facts(after):
            raise says_more(path, before.st_size, len(data))
        raise _changed(path, "it is written to all the time")

    def _read_elsewhere(self, row: BatchRow, place: Place) -> bytes:
        """The whole object, of the version that was looked at."""
        source = place.open(self._files.config.retry)
        try:
            data = bytes(source.read_at(0, source.size))
            source.check()
        finally:
            source.close()
        if len(data) != row.size:
            raise _changed(row.path, f"it was {row.size} bytes and is {len(data)}")
        if not is_pinned(source):
            row.add_note("its store tells no version of it")
        return data

    def _is_planned(self, row: BatchRow, found: os.stat_result) -> None:
        """What CDF was told of the file must be that of what is sent."""
        if (row.size, row.mtime_ns) != (found.st_size, found.st_mtime_ns):
            raise _changed(row.path, "it was written to after it was looked at")


def proof_of(agreed: Iterable[tuple[str, str]]) -> str:
    """Which checksums of the store's answers agree, in words; "" where there are none."""
    names = sorted({algorithm for algorithm, _ in agreed})
    return f"{' and '.join(names)}, by the store's answer" if names else ""


def _claim(known: Known | None) -> Claim | None:
    """By what a file that an interrupted run may have begun is known."""
    if known is None:
        return None
    return Claim(known.since_ms, frozenset() if known.id is None else frozenset({known.id}))


def _facts(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _all_of(fd: int, size: int) -> bytes:
    """What the file holds, and a byte more where it has grown."""
    data = os.read(fd, size + 1)
    while 0 < len(data) < size:
        more = os.read(fd, size + 1 - len(data))
        if not more:
            break
        data += more
    return data


def _changed(path: str, how: str) -> SourceChanged:
    return SourceChanged(f"{path} changed during the upload: {how}.").hint(
        "Nothing of it is in CDF. Upload it again once nobody writes to it."
    )
