"""The work behind an `Upload`, from the file to CDF saying `uploaded`: the walk of one call.

Rules of this file: the journal hears of everything first; a session that cannot be gone on with is
replaced by a fresh one, and the reader is told; each fresh one has to get further than the last, so
that nothing can go round in circles; what CDF has is never called failed.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
from anyio import CancelScope, CapacityLimiter, fail_after, to_thread

from cognite_nb_upload import background, process
from cognite_nb_upload.api.files import Claim, FileEndpoints
from cognite_nb_upload.api.instances import Own
from cognite_nb_upload.api.rpc import signing_in
from cognite_nb_upload.api.session import FileMultipartUploadSession, OpenUpload
from cognite_nb_upload.cluster.store import ClusterStore
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import BackoffWait, CancelToken
from cognite_nb_upload.core.feed import Listener
from cognite_nb_upload.core.finish import nearly_done
from cognite_nb_upload.core.plan import Part, plan_parts, show_bytes
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.core.tail import Tail, flights_of
from cognite_nb_upload.errors import (
    APIError,
    EngineLost,
    PartFailed,
    SourceChanged,
    TransferError,
    UploadStopped,
    UploadToolkitError,
    VerifyError,
)
from cognite_nb_upload.journal.fingerprint import Fingerprint, digest
from cognite_nb_upload.journal.folder import (
    JournalWarning,
    files_left_by,
    left_of,
    nodes_left_by,
)
from cognite_nb_upload.journal.format import Replayed
from cognite_nb_upload.journal.writer import Journal
from cognite_nb_upload.models import CDFFile, FileNode
from cognite_nb_upload.models.wire import to_ms
from cognite_nb_upload.sources import Source, parts_at_once, passes_once
from cognite_nb_upload.store.download import ObjectReader
from cognite_nb_upload.transfer import running
from cognite_nb_upload.transfer import verify as checks
from cognite_nb_upload.transfer.early import EarlyAnswers, is_soon_uploaded
from cognite_nb_upload.transfer.engine import Engine, SteadySource
from cognite_nb_upload.transfer.hooks import call_hook
from cognite_nb_upload.transfer.limits import SharedLimits, ended_by
from cognite_nb_upload.transfer.places import place
from cognite_nb_upload.transfer.source_proof import SourceProof
from cognite_nb_upload.transfer.spec import UploadSpec
from cognite_nb_upload.transfer.upload import Upload, Uploaded

# So many uploads look at their file and open their journal at once. Two hundred that begin together
# would fill all threads, each of which makes the caller's event loop wait for the interpreter.
_BEGIN_AT_ONCE: Final = 4
_beginning: Final = process.PerProcess(lambda: CapacityLimiter(_BEGIN_AT_ONCE))
# CDF puts a large file together in its own time; after this long, in seconds, we stop asking.
_ASSEMBLY_S: Final = 3600.0
# Who cancels waits for the file to be deleted, where that was asked for, but no longer, in seconds.
_DELETE_S: Final = 30.0
# A node says `isUploaded` some time after the file does; so long, in seconds, is waited for it.
_NODE_S: Final = 30.0


class UploadTask:
    """One upload at work; `await run(upload)`.

    Args:
        files: CDF's endpoints.
        limits: what its parts share with others.
        order: what is sent, and how.
        workers: those of an engine, where they send the parts.
    """

    def __init__(
        self,
        files: FileEndpoints,
        limits: SharedLimits,
        order: UploadSpec,
        workers: ClusterStore | None = None,
    ) -> None:
        self._workers = workers
        self._files, self._limits, self._order = files, limits, order
        self._plan = order.plan
        self._source = SteadySource(order.source)
        self._began_s = time.monotonic()
        self._opening = self._unchecked = False
        self._proof: SourceProof | None = None
        self._early: EarlyAnswers | None = None
        self._restored_id: int | None = None
        self._furthest = -1
        self._after = order.after if order.node is None else self._node_follows

    async def __call__(self, upload: Upload) -> Uploaded:
        """Upload it.

        Raises:
            UploadToolkitError: it ended otherwise; but for a cancelled one, the journal is kept.
        """
        self._upload, self._emit, self._place = upload, upload.feed.emit, place()
        emit = self._emit
        signing_in.set(lambda reason: emit(ev.waits_for(reason)))  # it outlives this task
        try:
            return await self._told(await self._in_turn())
        except BaseException as error:
            self._tell_end(error)
            raise
        finally:
            self._limits.lanes.ended(self)
            with CancelScope(shield=True):  # to delete a large temporary file takes a while
                if self._workers is not None:
                    await to_thread.run_sync(self._workers.close)
                await to_thread.run_sync(self._source.close)

    async def _in_turn(self) -> Uploaded:
        """Wait for a place among those that are at work, and upload it."""
        await self._place.take(self._tell_wait)
        unlisten = self._upload.feed.listen(self._place.follow)
        try:
            await self._take_in_hand()
            return await self._recorded()
        finally:
            unlisten()
            self._place.give()

    async def _told(self, result: Uploaded) -> Uploaded:
        """Call the caller's own function; the file is in CDF, whatever becomes of that."""
        hook = self._order.on_done
        wrong = await call_hook("on_done", hook, result) if hook is not None else ""
        return replace(result, notes=(*result.notes, wrong)) if wrong else result

    @property
    def _state(self) -> UploadState:
        return self._upload.state

    @property
    def _over_network(self) -> bool:
        """True where this process's own connections carry the parts."""
        return self._files.store is self._files.network

    # --- the journal ------------------------------------------------------------------------

    async def _take_in_hand(self) -> None:
        """Find the journal of this very upload, or begin one."""
        await self._read_once()
        few, order = _beginning.get(), self._order
        for earlier in await to_thread.run_sync(running.ending, order, self._upload, limiter=few):
            await earlier.ended()  # it still holds the journal

        def look() -> tuple[Fingerprint, Journal]:
            mark = order.fingerprint(self._source)
            return mark, self._opened_journal(mark)

        self._mark, self._journal = await to_thread.run_sync(look, limiter=few)
        self._upload.path = self._mark.source
        self._upload.id = order.upload_id or self._mark.key
        self._upload.feed.listen(self._journal.record, first=True)

    async def _read_once(self) -> None:
        """Content in memory is read once, in a thread, before anything is sent."""
        if not hasattr(self._order.source, "read_once"):
            return
        while True:
            stop = self._upload.stop_switch
            await background.in_thread(self._source.read_once, stop)
            if not stop:
                return
            await self._pause(stop)

    def _opened_journal(self, mark: Fingerprint) -> Journal:
        order = self._order
        if not order.upload_id:
            journal = Journal.open(
                mark,
                order.folder,
                metadata=order.about,
                overwrite=order.replaces,
                resume=order.resume,
            )
            if journal.replayed is None and order.resume:
                self._tell_what_is_left(mark)
            return journal
        journal = Journal.reopen(order.upload_id, order.folder)
        try:
            if journal.replayed is not None:
                journal.replayed.fingerprint.check(mark)
        except BaseException:
            journal.close()
            raise
        return journal

    def _tell_what_is_left(self, mark: Fingerprint) -> None:
        """Say so where the same bytes are half sent already, by a call with other fields."""
        for known in left_of(mark, self._order.folder):
            missing, parts = len(known.state.missing_parts), len(known.state.parts)
            text = (
                f"An unfinished upload of the same content is left, with {parts - missing} of "
                f"{parts} parts stored; this call differs in {_differences(known, self._order)}. "
                f"`resume({known.id!r})` goes on with that one, `forget({known.id!r})` drops it."
            )
            self._note(text)
            with suppress(JournalWarning):  # where warnings are errors, the upload goes on
                warnings.warn(JournalWarning(text), stacklevel=2)

    async def _recorded(self) -> Uploaded:
        journal = self._journal
        try:
            await self._meet_workers()
            result = await self._steps()
        except BaseException as error:
            with CancelScope(shield=True):
                self._tell_end(error)
                if self._upload.cancelled:
                    await self._give_up()
                    await to_thread.run_sync(journal.archive, "cancelled")
                elif isinstance(error, SourceChanged) and error.unseen:
                    await to_thread.run_sync(journal.archive, "failed")
            raise
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(journal.close)
        return result

    async def _meet_workers(self) -> None:
        """See that an engine's workers have the file, before CDF is asked for anything."""
        workers, samples = self._workers, self._mark.samples
        if workers is None:
            return

        def waits(why: str) -> None:
            self._emit(ev.waits_for(why))

        def open_it(stop: CancelToken) -> None:
            workers.open(self._order.source, samples, stop, waits, self._note)

        while True:
            stop = self._upload.stop_switch
            try:
                return await background.in_thread(open_it, stop)
            except EngineLost:
                raise
            except UploadStopped:
                workers.close()
                await self._pause(stop)

    def _tell_end(self, error: BaseException) -> None:
        """Cancelled, put down or failed: whoever listens hears how it ended, once."""
        upload, phase, error = self._upload, self._state.phase, process.told(error)
        if upload.cancelled:
            event: ev.Event = ev.Cancelled()
        elif upload.closing or isinstance(error, asyncio.CancelledError):
            event = ev.Paused(reason=upload.stop_switch.reason or "stopped")
        else:
            ours = isinstance(error, UploadToolkitError)
            event = ev.Failed(reason=str(error) if ours else type(error).__name__)
        if not phase.over and not (isinstance(event, ev.Paused) and phase is Phase.PAUSED):
            self._emit(event)

    async def _give_up(self) -> None:
        """Delete the file if that was asked for, and say what is left behind."""
        upload, file_id = self._upload, self._state.file_id
        if self._order.node is not None:
            upload.last_words = await self._node_left(self._order.node)
        elif file_id is None:
            if self._opening:
                upload.last_words = (
                    "CDF was being asked to begin, and may hold an empty file of this name, which "
                    "it deletes after a week."
                )
                if self._order.absent_since is not None:
                    upload.last_words += " The same call goes on with it."
        elif upload.delete_on_cancel and self._order.replaces:
            upload.last_words = "The file was not deleted: it existed before this upload."
        elif upload.delete_on_cancel:
            upload.last_words = await self._deleted(file_id)

    async def _node_left(self, node: FileNode) -> str:
        """Delete the node if that was asked for and this upload made it; says what is left."""
        named, known = f"The node ({node.space!r}, {node.external_id!r})", self._journal.node
        if known is None:
            if not self._opening or self._journal.intent is None:
                return ""
            return (
                f"{named} was being made, and may be there; it was not deleted, since nothing "
                "tells whether it is this upload's. The same call goes on with it."
            )
        if not self._upload.delete_on_cancel:
            return f"{named} is left, without the content of this upload; the same call goes on."
        if known.made_ms is None:
            return f"{named} was not deleted: it is not known to be made by this upload."
        try:
            with fail_after(_DELETE_S):
                why = await self._files.instances.delete_own(node.id, known.made_ms)
        except (UploadToolkitError, TimeoutError) as error:
            why = str(error) or f"CDF did not answer within {_DELETE_S:.0f} s."
        if why:
            return f"{named} was not deleted: {why}"
        self._journal.node_gone()
        return ""

    async def _deleted(self, file_id: int) -> str:
        """Delete the file; returns what went wrong, in words."""
        try:
            with fail_after(_DELETE_S):
                await self._files.delete(id=file_id)
        except (UploadToolkitError, TimeoutError) as error:
            why = str(error) or f"CDF did not answer within {_DELETE_S:.0f} s."
            return f"The file, id {file_id}, was not deleted from CDF: {why}"
        return ""

    # --- the walk ---------------------------------------------------------------------------

    async def _steps(self) -> Uploaded:
        self._early = self._asks_early()
        try:
            done, session = await self._open()
            if done is None:
                done = await self._send_all(session)
        finally:
            if self._early is not None:
                await self._early.close()
                self._early = None  # it holds this task, and the two would be left to the collector
        result = Uploaded(
            file=done,
            size=self._plan.size,
            parts=len(self._plan.parts),
            seconds=time.monotonic() - self._began_s,
            retries=self._state.retries,
            verified=self._state.verified,
            notes=(*self._upload.notes, *filter(None, [self._journal.warning])),
        )
        with CancelScope(shield=True):  # it is done, whoever cancels now
            await to_thread.run_sync(self._journal.archive, "done")
        return result

    async def _send_all(self, session: FileMultipartUploadSession) -> CDFFile:
        """Send what is missing, through pauses and fresh URLs, and complete."""
        while True:
            stop = self._upload.stop_switch
            try:
                self._refute()
                while session.missing_parts:
                    await self._send_missing(session, stop)
                    self._refute()
                await self._check_source(stop)
                with ended_by(stop):
                    return await self._complete(session, stop)
            except EngineLost as error:
                error.missing_parts = self._state.missing_parts
                raise
            except UploadStopped:
                await self._pause(stop)
            except PartFailed as error:
                session = await self._after_failure(error)

    async def _send_missing(self, session: FileMultipartUploadSession, stop: CancelToken) -> None:
        missing = set(session.missing_parts)
        source, new_digest = self._source, None
        if session.in_one and self._over_network:
            source = await self._held(stop)
        if session.in_one and self._order.verify == "size":
            new_digest = partial(self._digest, ())
        elif self._order.verify == "checksum":
            taken = (await self._source_proof()).algorithms
            new_digest = partial(self._digest, taken)

        # What comes once is read in order: no other part may begin while one waits.
        in_order = passes_once(self._order.source)

        def sink(part: Part, source: Source, own: CancelToken, rest: BackoffWait) -> None:
            session.send(
                part.no, source, part.start, part.size,
                stop=own, throttle=self._limits.bandwidth,
                backoff_wait=None if in_order else rest, new_digest=new_digest,
            )  # fmt: skip

        engine = Engine(
            source,
            sink,
            self._limits,
            lambda: parts_at_once(self._order.source, self._upload.max_concurrency),
            nearly_done=lambda: nearly_done(self._state),
            on_finishing=lambda finishing: self._emit(ev.Waiting(reason=str(finishing))),
            tail=Tail(self._plan.size) if self._over_network else None,
            flights=lambda: flights_of(self._state),
        )
        unlisten = self._upload.feed.listen(self._telling_the_lanes())
        self._unchecked = not session.in_one
        try:
            with self._upload.sending() as (_, pause):
                parts = (part for part in self._plan.parts if part.no in missing)
                await engine.run(parts, stop, pause)
        finally:
            unlisten()

    async def _held(self, stop: CancelToken) -> SteadySource:
        """What goes in one PUT, read whole: with its last byte CDF has it, and is not told."""
        held: list[SteadySource] = []
        await background.in_thread(lambda _: held.append(self._source.held()), stop)
        return held[0]

    async def _check_source(self, stop: CancelToken) -> None:
        """What was read must still be what was planned, or nothing is completed.

        A pipe that stays open tells nothing after its last byte; `stop` ends the wait for it.
        """
        if not self._unchecked:
            return
        comes_once = passes_once(self._order.source)
        if comes_once:
            self._tell_wait(f"{self._source.name} to end, after its last byte")
        with ended_by(stop):
            await background.in_thread(lambda _: self._source.check_last(), stop)
        if comes_once:
            self._tell_wait("")
        self._unchecked = False
        if self._proof is not None:
            self._proof.of_sent(self._state)

    def _digest(self, taken: Sequence[str], url: Secret) -> checks.PartDigest:
        given = self._files.network.checksums_of(url) or ()
        return checks.PartDigest(
            self._limits.checksums,
            lambda: checks.etags_are_md5(self._state),
            checks.algorithms_in(given),
            taken,
        )

    async def _source_proof(self) -> SourceProof:
        """What the source's own store tells of the whole; it is asked once."""
        if self._proof is None:
            source, parts = self._order.source, len(self._plan.parts)
            self._proof = await to_thread.run_sync(SourceProof.of, source, parts)
        return self._proof

    def _refute(self) -> None:
        """Parts whose checksum was in doubt are sent again, once others show that it counts."""
        for no in checks.refuted_parts(self._state):
            self._emit(ev.PartRefuted(no, checks.REFUTED))

    def _telling_the_lanes(self) -> Listener:
        """Tell what all uploads share how many bytes went out, and when a store asks for less."""
        loop, lanes = asyncio.get_running_loop(), self._limits.lanes
        over_network = self._over_network

        def tell(state: UploadState, event: ev.Event) -> None:
            if isinstance(event, ev.PartSent):
                if not (over_network and lanes.told):
                    lanes.moved(self, state.moved)
            elif isinstance(event, ev.PartLost) and event.overloaded:
                loop.call_soon_threadsafe(lanes.overloaded)  # lanes belong to the loop

        return tell

    async def _pause(self, stop: CancelToken) -> None:
        """Wait until it is resumed; raises where it was ended instead."""
        upload = self._upload
        if upload.closing:
            raise UploadStopped(
                f"The upload of {self._order.name} was {stop.reason}.",
                missing_parts=self._state.missing_parts,
            )
        self._emit(ev.Paused(reason=stop.reason))
        self._place.give()
        await upload.until_resumed()
        if not upload.closing:
            await self._place.take(self._tell_wait)
            self._emit(ev.Resumed())

    async def _complete(self, session: FileMultipartUploadSession, stop: CancelToken) -> CDFFile:
        if stop:
            raise UploadStopped(f"The upload was {stop.reason}.")
        before = session.file_metadata.uploaded_time
        try:
            file = await session.complete(verify=self._verify, wait_s=_ASSEMBLY_S)
        except APIError as error:
            error.hint("The same call asks again; resume=False sends everything again.")
            raise
        if not file.uploaded:
            raise TransferError(
                f"CDF has taken all of {file.name!r} (id {file.id}), but has not said `uploaded` "
                f"for {_ASSEMBLY_S / 60:.0f} min."
            ).hint("Look at the file later; sending it again is not needed.")
        if before is not None and file.uploaded_time == before:
            self._note(checks.OLD_TIME)
        return file

    async def _verify(self, file: CDFFile) -> str:
        order = self._order
        if order.verify == "none":
            return ""
        try:
            if order.verify == "download":
                return await self._read_back(file)
            if order.verify == "size" and (proof := checks.of_the_whole(self._state)):
                return proof
            proofs = await self._checksums() if order.verify == "checksum" else []
            proofs.append(checks.by_size(await self._size(file), self._plan.size))
            return "; ".join(filter(None, proofs))
        except (VerifyError, UploadStopped, SourceChanged):
            raise
        except UploadToolkitError as error:  # a link that does not work proves nothing
            self._note(f"It is in CDF, but could not be verified: {error}")
            return ""

    async def _checksums(self) -> list[str]:
        """What the checksums of both stores prove."""
        source, proof = await self._source_proof(), checks.by_checksum(self._state)
        if not proof:
            self._note(checks.why_unproven(self._state))
        if source.why_not:
            self._note(f"Not compared was {source.why_not}.")
        return [proof, source.of_sent(self._state)]

    def _asks_early(self) -> EarlyAnswers | None:
        """What asks CDF and the store beside each other, where both are likely to answer at once.

        Where a file existed before, an early answer may be of its old content.
        """
        order, in_one = self._order, self._order.in_one is not None
        if not self._over_network or order.replaces or not is_soon_uploaded(self._plan):
            return None
        if not in_one and order.verify not in ("size", "checksum"):
            return None

        def sized() -> bool | None:
            if order.verify == "size" and in_one:  # the checksum in its answer may tell
                agree = self._limits.checksums.agree
                return None if agree is None else not agree
            return order.verify in ("size", "checksum")

        size = self._plan.size if in_one else None
        return EarlyAnswers(self._files, self._upload.feed, self._upload.stop_switch, size, sized)

    async def _seen(self) -> CDFFile | None:
        """The file, where CDF has said `uploaded` of it before it was its turn."""
        return None if self._early is None else await self._early.file()

    async def _size(self, file: CDFFile) -> int | None:
        known, size = (False, None) if self._early is None else await self._early.size()
        if not known:
            size = await self._files.size(id=file.id)
        if size is None:
            self._note("The store does not say what size it holds.")
        return size

    async def _read_back(self, file: CDFFile) -> str:
        stop = self._upload.stop_switch
        await self._place.take_back(self._tell_wait)
        reader = ObjectReader(
            self._files.network,
            self._files.config.retry,
            lambda: self._files.download_url(id=file.id),
        )
        return await checks.by_download(reader, self._source, stop)

    def _note(self, text: str) -> None:
        self._upload.note(text)

    # --- opening ----------------------------------------------------------------------------

    async def _open(self) -> tuple[CDFFile | None, FileMultipartUploadSession]:
        """Go on with the session of the journal, or open one; also the file, if it is done."""
        while stop := self._upload.stop_switch:
            await self._pause(stop)
        known = self._journal.replayed
        if known is None or known.opened is None or known.opened.file_id is None:
            return None, await self._open_new()
        # The journal's parts, whatever this call would choose: its first line says it once for all.
        self._plan = plan_parts(self._plan.size, known.fingerprint.part_size)
        self._upload.plan = self._plan
        file = await self._files.retrieve(id=known.opened.file_id)
        if file is None:
            return None, await self._begin_anew("the file is no longer in CDF")
        session = self._restored(known, known.opened, file)
        if self._is_done(known, known.opened, file):
            return await self._found_done(file), session
        stored = len(session.state.parts) - len(session.missing_parts)
        self._note(f"Went on with {stored} of {session.parts} parts stored already.")
        if self._state.phase in (Phase.SENDING, Phase.PAUSED, Phase.FAILED):
            self._emit(ev.Resumed())
        return None, session

    def _is_done(self, known: Replayed, opened: ev.Opened, file: CDFFile) -> bool:
        """True where CDF has this upload's content already: the answer to completing was lost.

        Whether that is new is told by CDF's clock alone; ours may have jumped.
        """
        if known.state.phase is Phase.DONE:
            return True
        if not file.uploaded or known.state.missing_parts:
            return False
        return not self._order.replaces or (
            opened.cdf_ms is not None
            and file.uploaded_time is not None
            and to_ms(file.uploaded_time) > opened.cdf_ms
        )

    async def _found_done(self, file: CDFFile) -> CDFFile:
        self._note("It had been completed already; nothing was sent.")
        if self._after is not None:
            file = await self._after(file)
        if self._state.phase is not Phase.DONE:
            self._emit(ev.Completed(verified=await self._verify(file)))
        return file

    def _restored(
        self, known: Replayed, opened: ev.Opened, file: CDFFile
    ) -> FileMultipartUploadSession:
        self._upload.feed.restore(known.state)
        handed_out = OpenUpload(
            file, opened.upload_id, opened.urls, self._after, again=True, settle=self._settled
        )
        self._restored_id = file.id
        return self._files.session(handed_out, feed=self._upload.feed)

    async def _open_new(self) -> FileMultipartUploadSession:
        """Begin a new file, or go on with this upload's own, of which no answer told."""
        claim = await self._claim()
        self._opening = True
        try:
            if self._order.node is not None:
                await self._make_node(self._order.node)
            opened = await self._opened(claim)
        except APIError as error:
            if 400 <= error.code < 500:
                self._journal.refused()
            for note in self._upload.notes:  # such as what is left of an earlier call
                error.hint(note)
            raise
        self._opening = False
        return await self._session_of(opened)

    async def _opened(self, claim: Claim | None) -> OpenUpload:
        """Ask CDF to begin it: for one PUT where it is small, else for parts."""
        order, began_s = self._order, time.monotonic()
        if order.in_one is not None and self._over_network:
            opened = await order.in_one(claim)
            if self._early is not None:
                self._early.began(time.monotonic() - began_s)
            return opened
        return await order.opener(len(self._plan.parts), claim, self._tell_wait)

    async def _claim(self) -> Claim | None:
        """By what a file is known that this call or an earlier one began, journalled first."""
        order = self._order
        if order.absent_since is None:
            return None
        absent_ms = None
        with suppress(UploadToolkitError):  # then CDF itself says what is wrong
            absent_ms = await order.absent_since()
        before = self._journal.intent
        if absent_ms is None and before is not None:
            absent_ms = before.absent_ms
        self._emit(ev.Beginning(absent_ms=absent_ms))
        left = await to_thread.run_sync(files_left_by, self._mark, order.folder)
        return Claim(absent_ms, left)

    def _tell_wait(self, reason: str) -> None:
        self._emit(ev.waits_for(reason))

    async def _make_node(self, node: FileNode) -> None:
        """Make the node of the file, unless this upload has; the journal hears of both steps."""
        order, instances = self._order, self._files.instances
        if self._journal.node is not None and await instances.node(node.id) is not None:
            return
        item = await instances.item(node)
        if order.overwrite:
            self._emit(ev.Beginning())
            made_ms = await instances.upsert(item, self._tell_wait)
        else:
            made_ms = await instances.insert(item, await self._own_node(node), self._tell_wait)
        self._emit(ev.NodeApplied(node.space, node.external_id, made_ms))
        await self._settled()

    async def _own_node(self, node: FileNode) -> Own:
        """By what the node is known that this call or an earlier one makes, journalled first."""
        absent_ms, before = await self._files.instances.absent_since(node.id), self._journal.intent
        if absent_ms is None and before is not None:
            absent_ms = before.absent_ms
        self._emit(ev.Beginning(absent_ms=absent_ms))
        await self._settled()
        left = await to_thread.run_sync(nodes_left_by, self._mark, self._order.folder)
        return Own(absent_ms, left)

    async def _node_follows(self, file: CDFFile) -> CDFFile:
        """Wait until the node says `isUploaded`, which follows later; what it says is reported."""
        node = self._order.node
        assert node is not None  # noqa: S101 # only then is this called
        pause_s, until_s = 0.05, time.monotonic() + _NODE_S
        try:
            while not await self._files.instances.is_uploaded(node.id):
                if time.monotonic() + pause_s > until_s:
                    self._note(
                        "The content is in CDF, but its node has not said isUploaded for "
                        f"{_NODE_S:.0f} s."
                    )
                    break
                self._tell_wait("its node to say isUploaded")
                await anyio.sleep(pause_s)
                pause_s = min(2.0, pause_s * 1.6)
        except UploadToolkitError as error:
            self._note(f"The content is in CDF, but its node could not be asked: {error}")
        self._tell_wait("")
        return file

    async def _session_of(self, opened: OpenUpload) -> FileMultipartUploadSession:
        opened = replace(opened, after=self._after, settle=self._settled, seen=self._seen)
        sizes = tuple(part.size for part in self._plan.parts)
        session = self._files.session(opened, feed=self._upload.feed, sizes=sizes)
        if not is_soon_uploaded(self._plan):  # that is sent again in less time than a disk takes
            await self._settled()  # a part that is stored is of use only if its URL is remembered
        return session

    async def _settled(self) -> None:
        """Wait until the disk has what happened so far."""
        with suppress(JournalWarning):  # where warnings are errors, the upload goes on
            await to_thread.run_sync(self._journal.settle)

    async def _begin_anew(self, why: str, left: str = "") -> FileMultipartUploadSession:
        self._note(f"Began anew: {why}; parts that were stored are sent again{left}.")
        return await self._open_new()

    async def _fresh_urls(self, why: str) -> FileMultipartUploadSession:
        """Fresh URLs for the same file where CDF can give them, else a file of its own."""
        if self._order.reopener is None:
            left = f", as another file: CDF deletes the unfinished one, id {self._state.file_id}"
            return await self._begin_anew(why, left)
        self._note(f"Asked CDF for fresh URLs: {why}; parts are sent again.")
        return await self._session_of(
            await self._order.reopener(len(self._plan.parts), self._tell_wait)
        )

    async def _after_failure(self, error: PartFailed) -> FileMultipartUploadSession:
        """A session that is over earns a fresh one, which has to get further than the last."""
        stored, missing = self._state.stored, self._state.missing_parts
        gone = error.status == 404 and self._state.file_id == self._restored_id
        if (error.expired or gone) and stored > self._furthest:
            self._furthest = stored
            why = "has forgotten this upload" if gone else "says that its upload URLs have expired"
            return await self._fresh_urls(f"the store {why}")
        error.missing_parts = missing
        kept = len(self._state.parts) - len(missing)
        raise error.hint(
            f"{kept} of {len(self._state.parts)} parts ({show_bytes(stored)}) are stored; the same "
            "call goes on from there."
        )


def _differences(known: Replayed, spec: UploadSpec) -> str:
    """The fields in which this call differs from an unfinished one, by CDF's names."""
    was, now = known.metadata, spec.about
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if known.fingerprint.target != spec.target:
        names.append("the file that gets the content")
    elif known.fingerprint.metadata != digest([spec.about, spec.overwrite]) and not names:
        names.append("overwrite")
    return ", ".join(names) or "its name"
