"""Small files that an engine's workers read and send; CDF is asked from here.

Rule of this file: a worker that is lost, or does not see the file as it was planned, costs a file
nothing: another gets it, a few times.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

from cognite_nb_upload.batch.rows import BatchRow
from cognite_nb_upload.batch.small import Opened, SmallFiles, SmallJob, proof_of
from cognite_nb_upload.batch.task import RowTask
from cognite_nb_upload.cluster.cluster import DEATHS, Cluster
from cognite_nb_upload.cluster.orders import DONE, WHOLE, Order, Receipt, SourceRef
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import PartFailed, UploadStopped, UsageError
from cognite_nb_upload.models import CDFFile
from cognite_nb_upload.sources import absolute, shown_path
from cognite_nb_upload.store.port import Checksums
from cognite_nb_upload.transfer.verify import PartDigest

# A file whose workers are lost is given to so many.
_TRIES: Final = DEATHS


class EngineFiles(SmallFiles):
    """Begins small files here, and has workers send them, many in one task."""

    def __init__(self, job: SmallJob, cluster: Cluster) -> None:
        super().__init__(job)
        self._cluster = cluster
        self._handed_out: dict[int, Opened] = {}

    async def _sent(self, task: RowTask) -> CDFFile:
        file = await super()._sent(task)
        task.whole = False
        file, url = self._handed_out.pop(task.row.no)
        agreed = await self._carried(task.row, file, url)
        task.whole = True
        self._moved(task, task.row.size or 0)
        task.proof = proof_of(agreed)
        return file

    def _put(self, task: RowTask, file: CDFFile, url: Secret, stop: CancelToken) -> None:
        """Leave it to a worker, which gets many at a time."""
        task.row.id, task.whole = file.id, True
        self._handed_out[task.row.no] = file, url

    async def _carried(self, row: BatchRow, file: CDFFile, url: Secret) -> Checksums:
        """Have a worker send it; returns the checksums that agree.

        Raises:
            PartFailed: it is not in the store.
            SourceChanged: it is not what it was.
        """
        digest = self._digests(url) if self._digests else None
        order = Order(
            "", WHOLE, SourceRef(str(absolute(row.path)), row.size or 0, row.mtime_ns),
            size=row.size or 0, url=url, content_type=file.mime_type,
            algorithms=digest.algorithms if digest else (),
        )  # fmt: skip
        for _ in range(_TRIES):
            receipt = await self._receipt(order)
            row.attempts = max(row.attempts, receipt.attempts)
            if receipt.stored:
                return _agreed(receipt, digest)
            if receipt.kind == DONE:
                break
            self._refuse_if_changed(row)
        raise PartFailed(
            receipt.words or "It was not stored.", part_no=0, attempts=receipt.attempts,
            **receipt.failure,
        )  # fmt: skip

    async def _receipt(self, order: Order) -> Receipt:
        errand = self._cluster.send(order)
        with self._stop.waking(lambda: self._cluster.stop([errand])):
            receipt = await asyncio.wrap_future(errand.receipt)
        if self._stop and not receipt.stored:
            raise UploadStopped(f"The batch was {self._stop.reason}.")
        if not receipt.stored:
            self._cluster.check_alive()
        return receipt

    def _refuse_if_changed(self, row: BatchRow) -> None:
        """A worker did not see the file as planned: is that so here, too?"""
        try:
            self._is_planned(row, os.stat(row.path))
        except OSError as error:
            raise UsageError(f"{shown_path(row.path)} cannot be read: {error.strerror}.") from None


def _agreed(receipt: Receipt, digest: PartDigest | None) -> Checksums:
    if digest is None or receipt.verdict is None:
        return ()
    digest.take(receipt.digests)
    check = digest.judge(receipt.verdict.checksums)
    if check.problem:
        raise PartFailed(f"{check.problem}.", part_no=0, attempts=receipt.attempts)
    return check.agreed
