"""The work behind an `Upload`, from the file to CDF saying `uploaded`: the walk of one call.

Rules of this file: the journal hears of everything first; a session that cannot be gone on with is
replaced by a fresh one, and the reader is told; fresh URLs are asked for once per stored part, so
that nothing can go round in circles.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from anyio import CancelScope, to_thread

from cognite_nb_upload.api.download import Download
from cognite_nb_upload.api.files import FileEndpoints
from cognite_nb_upload.api.session import FileMultipartUploadSession, OpenUpload
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import Part, Plan, plan_parts, show_bytes
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.core.stop import Stop
from cognite_nb_upload.errors import (
    PartFailed,
    TransferError,
    UploadStopped,
    UploadToolkitError,
)
from cognite_nb_upload.models import CDFFile
from cognite_nb_upload.sources import Source
from cognite_nb_upload.transfer import verify as checks
from cognite_nb_upload.transfer.engine import Engine
from cognite_nb_upload.transfer.fingerprint import Fingerprint
from cognite_nb_upload.transfer.journal import Journal
from cognite_nb_upload.transfer.limits import SharedLimits
from cognite_nb_upload.transfer.replay import Replayed
from cognite_nb_upload.transfer.upload import Upload, Uploaded

# CDF puts a large file together in its own time; after this long, in seconds, we stop asking.
_ASSEMBLY_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be uploaded, and how.

    Attributes:
        source: the bytes.
        plan: the parts they are cut into.
        opener: opens a session of so many parts at CDF.
        reopener: asks for fresh URLs for the file that was opened; None where CDF cannot.
        about: what CDF is told of the file; kept in the journal.
        target: the existing file, where only its content is sent.
        replaces: a file existed before (`overwrite`, or an existing file): never delete it.
    """

    source: Source
    name: str
    plan: Plan
    opener: Callable[[int], Awaitable[OpenUpload]]
    reopener: Callable[[int], Awaitable[OpenUpload]] | None
    about: Mapping[str, Any]
    target: str = ""
    replaces: bool = False
    overwrite: bool = False
    verify: checks.Verify = "size"
    resume: bool = True
    folder: Path = field(default_factory=Path)


class Run:
    """One upload at work; `await run(upload)`."""

    def __init__(self, files: FileEndpoints, limits: SharedLimits, order: Order) -> None:
        self._files, self._limits, self._order = files, limits, order
        self._plan = order.plan
        self._notes: list[str] = []
        self._began_s = time.monotonic()
        self._fresh_at: int | None = None

    async def __call__(self, upload: Upload) -> Uploaded:
        """Upload it.

        Raises:
            UploadToolkitError: it ended otherwise; but for a cancelled one, the journal is kept.
        """
        self._upload, self._emit = upload, upload.feed.emit
        try:
            await self._take_in_hand()
            return await self._recorded()
        except UploadToolkitError as error:
            if not self._state.phase.over:
                self._emit(ev.Failed(reason=str(error)))
            raise
        finally:
            self._order.source.close()

    @property
    def _state(self) -> UploadState:
        return self._upload.state

    # --- the journal ------------------------------------------------------------------------

    async def _take_in_hand(self) -> None:
        """Find the journal of this very upload, or begin one."""
        order, config = self._order, self._files.config
        mark = await to_thread.run_sync(
            lambda: Fingerprint.of(
                order.source,
                project=config.project,
                base_url=config.base_url,
                name=order.name,
                part_size=self._plan.part_size,
                metadata=order.about,
                overwrite=order.overwrite,
                target=order.target,
            )
        )
        self._journal = await to_thread.run_sync(
            lambda: Journal.open(
                mark,
                order.folder,
                metadata=order.about,
                overwrite=order.replaces,
                resume=order.resume,
            )
        )
        self._upload.feed.listen(self._journal.record)
        if self._journal.warning:
            self._notes.append(self._journal.warning)

    async def _recorded(self) -> Uploaded:
        journal = self._journal
        try:
            result = await self._steps()
        except BaseException:
            with CancelScope(shield=True):
                if self._upload.cancelled:
                    await self._give_up()
                    await to_thread.run_sync(journal.archive, "cancelled")
                else:
                    await self._put_down()
            raise
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(journal.close)
        return result

    async def _put_down(self) -> None:
        """Stopped, or failed: the journal stays, and says so."""
        if self._upload.closing and not self._state.phase.over:
            self._emit(ev.Paused(reason=self._upload.stop_switch.reason))

    async def _give_up(self) -> None:
        file_id = self._state.file_id
        self._emit(ev.Cancelled())
        if self._upload.delete_on_cancel and file_id is not None and not self._order.replaces:
            await self._files.delete(id=file_id)

    # --- the walk ---------------------------------------------------------------------------

    async def _steps(self) -> Uploaded:
        done, session = await self._open()
        if done is None:
            done = await self._send_all(session)
        result = Uploaded(
            file=done,
            size=self._plan.size,
            parts=len(self._plan.parts),
            seconds=time.monotonic() - self._began_s,
            retries=self._state.retries,
            verified=self._state.verified,
            notes=tuple(self._notes),
        )
        await to_thread.run_sync(self._journal.archive, "done")
        return result

    async def _send_all(self, session: FileMultipartUploadSession) -> CDFFile:
        """Send what is missing, through pauses and fresh URLs, and complete."""
        while True:
            stop = self._upload.stop_switch
            try:
                await self._send_missing(session, stop)
                # What is read must still be what was planned, or nothing is completed.
                await to_thread.run_sync(self._order.source.check)
                return await self._complete(session)
            except UploadStopped:
                await self._pause(stop)
            except PartFailed as error:
                session = await self._after_failure(error)

    async def _send_missing(self, session: FileMultipartUploadSession, stop: Stop) -> None:
        if self._upload.closing:
            raise UploadStopped(f"The upload was {stop.reason}.")
        missing = set(session.missing_parts)
        digests = checks.PartDigest if self._order.verify == "checksum" else None

        def sink(part: Part, source: Source, own: Stop) -> None:
            session.send(
                part.no, source, part.start, part.size,
                stop=own, pace=self._limits.bandwidth.take, digests=digests,
            )  # fmt: skip

        engine = Engine(
            self._order.source, sink, self._limits, lambda: self._upload.max_concurrency
        )
        unlisten = self._upload.feed.listen(self._slow_down)
        try:
            await engine.run((part for part in self._plan.parts if part.no in missing), stop)
        finally:
            unlisten()

    def _slow_down(self, _: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartLost) and event.overloaded:
            self._limits.lanes.overloaded()

    async def _pause(self, stop: Stop) -> None:
        """Wait until it is resumed; raises where it was ended instead."""
        upload = self._upload
        if upload.closing:
            raise UploadStopped(
                f"The upload of {self._order.name} was {stop.reason}.",
                missing_parts=self._state.missing_parts,
            )
        self._emit(ev.Paused(reason=stop.reason))
        await upload.until_resumed()
        if not upload.closing:
            self._emit(ev.Resumed())

    async def _complete(self, session: FileMultipartUploadSession) -> CDFFile:
        file = await session.complete(verify=self._verify, wait_s=_ASSEMBLY_S)
        if not file.uploaded:
            raise TransferError(
                f"CDF has taken all of {file.name!r} (id {file.id}), but has not said `uploaded` "
                f"for {_ASSEMBLY_S / 60:.0f} min."
            ).hint("Look at the file later; sending it again is not needed.")
        return file

    async def _verify(self, file: CDFFile) -> str:
        order = self._order
        if order.verify == "none":
            return ""
        if order.verify == "download":
            download = Download(self._files.storage, self._files.config.retry)
            return await checks.by_download(
                download, lambda: self._files.download_url(id=file.id), order.source
            )
        proof = checks.by_checksum(self._state) if order.verify == "checksum" else ""
        if order.verify == "checksum" and not proof:
            self._notes.append("The store gave no checksum that can be compared.")
        size = checks.by_size(await self._size(file), self._plan.size)
        return "; ".join(one for one in (proof, size) if one)

    async def _size(self, file: CDFFile) -> int | None:
        """What the store says; a link that does not work is no proof of anything."""
        try:
            return await self._files.size(id=file.id)
        except UploadToolkitError as error:
            self._notes.append(f"The size could not be verified: {error}")
            return None

    # --- opening ----------------------------------------------------------------------------

    async def _open(self) -> tuple[CDFFile | None, FileMultipartUploadSession]:
        """Go on with the session of the journal, or open one; also the file, if it is done."""
        known = self._journal.replayed
        if known is None or known.opened is None or known.opened.file_id is None:
            return None, await self._open_new(self._order.opener)
        file = await self._files.retrieve(id=known.opened.file_id)
        if file is None:
            return None, await self._begin_anew("the file is no longer in CDF")
        session = self._restored(known, known.opened, file)
        if self._is_done(known, file):
            self._emit_done()
            return file, session
        if known.expires_at is not None and known.expires_at < datetime.now(UTC):
            return None, await self._fresh_urls("its upload URLs have expired")
        stored = len(session.state.parts) - len(session.missing_parts)
        self._notes.append(f"Went on with {stored} of {session.parts} parts stored already.")
        self._emit(ev.Resumed())
        return None, session

    def _is_done(self, known: Replayed, file: CDFFile) -> bool:
        """True where CDF has this upload's content already: the answer to completing was lost."""
        if known.state.phase is Phase.DONE:
            return True
        if not file.uploaded or known.state.missing_parts:
            return False
        new = file.uploaded_time is not None and known.opened_at is not None
        return not self._order.replaces or (
            new and file.uploaded_time > known.opened_at  # type: ignore[operator] # new has looked
        )

    def _emit_done(self) -> None:
        self._notes.append("It had been completed already; nothing was sent.")
        if self._state.phase is not Phase.DONE:
            self._emit(ev.Completed(verified=""))

    def _restored(
        self, known: Replayed, opened: ev.Opened, file: CDFFile
    ) -> FileMultipartUploadSession:
        self._plan = plan_parts(self._order.source.size, known.fingerprint.part_size)
        self._upload.plan = self._plan
        self._upload.feed.restore(known.state)
        handed_out = OpenUpload(file, opened.upload_id, opened.urls, again=True)
        return self._files.session(handed_out, feed=self._upload.feed)

    async def _open_new(
        self, opener: Callable[[int], Awaitable[OpenUpload]]
    ) -> FileMultipartUploadSession:
        opened = await opener(len(self._plan.parts))
        sizes = tuple(part.size for part in self._plan.parts)
        return self._files.session(opened, feed=self._upload.feed, sizes=sizes)

    async def _begin_anew(self, why: str) -> FileMultipartUploadSession:
        self._notes.append(f"Began anew: {why}; parts that were stored are sent again.")
        self._plan = self._upload.plan = self._order.plan
        return await self._open_new(self._order.opener)

    async def _fresh_urls(self, why: str) -> FileMultipartUploadSession:
        """Fresh URLs for the same file where CDF can give them, else a file of its own."""
        if self._order.reopener is None:
            return await self._begin_anew(why)
        self._notes.append(f"Asked CDF for fresh URLs: {why}; parts are sent again.")
        return await self._open_new(self._order.reopener)

    async def _after_failure(self, error: PartFailed) -> FileMultipartUploadSession:
        """Expired URLs earn fresh ones, once for as long as nothing more is stored."""
        stored = self._state.stored
        if error.expired and self._fresh_at != stored:
            self._fresh_at = 0
            return await self._fresh_urls("the store says that its upload URLs have expired")
        missing = self._state.missing_parts
        kept = len(self._state.parts) - len(missing)
        raise error.hint(
            f"{kept} of {len(self._state.parts)} parts ({show_bytes(stored)}) are stored; the same "
            "call goes on from there."
        )
