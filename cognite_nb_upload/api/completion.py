"""Telling CDF that every part is there, although its answer may be lost.

Rules of this file: after an ambiguous failure CDF is asked what it has before anything is repeated;
an uploaded file is never called failed; `uploaded` turns true in CDF's own time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio

from cognite_nb_upload.api.rpc import Rpc, Unanswered
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.errors import APIError, UploadToolkitError
from cognite_nb_upload.models import CDFFile


class Completion:
    """Completes one multipart upload, and waits until CDF says `uploaded`.

    It may be run again after it was cancelled or has failed.

    Args:
        rpc: to CDF.
        file: the file as CDF described it when the upload was opened.
        upload_id: of the multipart upload; empty where the content went in one PUT, after which
            there is nothing to tell.
        emit: is told what happens.
        earlier: what is known of a session of an earlier process, which may have asked already.
        settle: waits until what was told is remembered for good; CDF is asked after that.
        seen: tells the file where CDF has said `uploaded` of it already.
    """

    def __init__(
        self,
        rpc: Rpc,
        file: CDFFile,
        upload_id: Secret,
        emit: Callable[[ev.Event], None],
        earlier: UploadState | None = None,
        settle: Callable[[], Awaitable[None]] | None = None,
        seen: Callable[[], Awaitable[CDFFile | None]] | None = None,
    ) -> None:
        self.file = file
        self._rpc, self._upload_id, self._emit = rpc, upload_id, emit
        self._settle, self._seen = settle, seen
        self._uploaded_before = file.uploaded_time
        self._unsure = earlier is not None and not earlier.missing_parts
        self._taken = earlier is not None and earlier.accepted

    async def run(self, wait_s: float) -> bool:
        """True once CDF says `uploaded`; False where it took the completion, but does not yet.

        Raises:
            APIError: CDF refused.
            CDFUnreachable: no answer says whether it is complete.
        """
        self._emit(ev.Completing())
        in_one = not self._upload_id
        if self._settle is not None and not in_one:
            await self._settle()
        try:
            if not self._taken and not in_one:
                await self._tell_cdf()
        except UploadToolkitError as error:
            self._emit(ev.Failed(reason=str(error)))
            raise
        self._taken = True
        self._emit(ev.Assembling())
        if in_one and self._seen is not None and (file := await self._seen()) is not None:
            self.file = file
            return True
        return wait_s > 0 and await self._becomes_uploaded(wait_s)

    async def _becomes_uploaded(self, wait_s: float) -> bool:
        """Wait for `uploaded`; where content is replaced, for a new `uploadedTime` first.

        Until then CDF says `uploaded` of the old content. That the time always changes is not
        known, so it is not waited for longer than `uploaded_wait_s`.
        """
        if self._uploaded_before is not None:
            new_s = min(wait_s, self._rpc.config.uploaded_wait_s)
            if await self._becomes(self._is_new_upload, new_s):
                return True
            wait_s -= new_s
        return await self._becomes(self._is_uploaded, wait_s)

    async def _tell_cdf(self) -> None:
        retry = self._rpc.config.retry
        attempt = 0
        while not (self._unsure and await self._is_new_upload()):
            attempt += 1
            try:
                await self._post()
                return
            except Unanswered:
                self._unsure = True
                if (wait_s := retry.wait_s(attempt)) is not None:
                    await anyio.sleep(wait_s)
                elif not await self._is_new_upload():
                    raise
                else:
                    return
            except APIError as error:
                # A second completion may be refused because the first one was carried out.
                maybe_done = self._unsure and 400 <= error.code < 500
                wait_s = self._rpc.config.uploaded_wait_s
                if not (maybe_done and await self._becomes(self._is_new_upload, wait_s)):
                    raise
                return
            except UploadToolkitError:
                raise
            except BaseException:  # cancelled: it may be carried out all the same
                self._unsure = True
                raise

    async def _post(self) -> None:
        await self._rpc.post(
            "/files/completemultipartupload",
            {"id": self.file.id, "uploadId": self._upload_id},
            repeatable=False,
            what="to complete the upload",
            waiting=lambda reason: self._emit(ev.waits_for(reason)),
        )

    async def _becomes(self, question: Callable[[], Awaitable[bool]], within_s: float) -> bool:
        """Ask until the answer is yes; False where it is not within the time."""
        pause_s, until_s = 0.05, time.monotonic() + within_s
        while not await question():
            if time.monotonic() + pause_s > until_s:
                return False
            await anyio.sleep(pause_s)
            pause_s = min(5.0, pause_s * 1.6)
        return True

    async def _is_new_upload(self) -> bool:
        """True where CDF has the content of this upload, not only that of one before."""
        done = await self._is_uploaded()
        before = self._uploaded_before
        return done and (before is None or self.file.uploaded_time != before)

    async def _is_uploaded(self) -> bool:
        """What CDF says now; an answer that does not come is a no."""
        items = {"items": [{"id": self.file.id}]}
        try:
            reply = await self._rpc.post("/files/byids", items, what="to say if it is uploaded")
        except UploadToolkitError:
            return False
        self.file = CDFFile.from_cdf(reply["items"][0])
        return bool(self.file.uploaded)
