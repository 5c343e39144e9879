"""`Download`: a file of CDF on its way to the disk, and the work behind it.

Rules of this file: what is at the path is replaced only by what was seen to be right; what has
arrived is kept, whatever ends the download, and the same call goes on with it; nothing of two
versions is mixed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import os
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import CancelScope, to_thread

from cognite_nb_upload import background
from cognite_nb_upload.api.files import FileEndpoints
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed, Listener
from cognite_nb_upload.core.numbers import as_wait
from cognite_nb_upload.core.plan import MIB, show_bytes
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.errors import (
    SourceChanged,
    UploadStopped,
    UploadToolkitError,
    UsageError,
    VerifyError,
)
from cognite_nb_upload.models.fields import short
from cognite_nb_upload.objects.given import own_path
from cognite_nb_upload.process import Home
from cognite_nb_upload.say import say
from cognite_nb_upload.store.download import ObjectReader, Span, StoredObject
from cognite_nb_upload.text import plain
from cognite_nb_upload.transfer.leaving import wait_for
from cognite_nb_upload.transfer.partial import PartialFile, Wanted, is_too_long, safe_name

# The record is written this often, in seconds: what a killed kernel loses at most.
_SAVE_S: Final = 2.0
# What has arrived of a range is told this often, in seconds: more than anybody can see.
_TELL_S: Final = 0.1


class Download(NotPickled, background.Awaited[Path]):
    """A running download: await it in any cell, or wait with `result()`, for the path.

    It can be watched as an upload can: `bars(download)`. Stopped, interrupted or killed, it leaves
    `name.part` and its record, and the same call goes on from there.
    """

    _instead = "it runs in this process. Its path can be, and the same call goes on elsewhere."

    def __init__(self, work: Callable[[Download], Awaitable[Path]], name: str) -> None:
        self.name = name
        self.notes: tuple[str, ...] = ()
        self.feed = Feed(time.monotonic, UploadState(name=name, receives=True))
        self._work = work
        self._home = Home()
        self._outcome_to_come: Future[Path] = Future()
        over = wait_for(self)  # a script may end without waiting for it
        self._outcome_to_come.add_done_callback(lambda _: over())
        self._running: Future[None] = background.start_after(self._run)

    @property
    def state(self) -> UploadState:
        """An immutable snapshot: phase, ranges, rate, ETA, what it waits for."""
        return self.feed.state

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(state, event)` from now on, from other threads; returns what ends it."""
        return self.feed.listen(listener)

    @property
    def title(self) -> str:
        """How a sentence about it begins."""
        return f"The download of {self.name}"

    @property
    def failed(self) -> int:
        """1 where it has failed, else 0."""
        return int(self.state.phase is Phase.FAILED)

    def done(self) -> bool:
        """True once all is there, or it has failed or was stopped."""
        return self._done.done()

    def __repr__(self) -> str:
        state = self.state
        text = f"<Download {self.name}: {state.phase.value}"
        if state.size is not None and state.parts:
            text += f", {show_bytes(state.sent)} of {show_bytes(state.size)}"
        if state.waiting_for or state.error:
            text += f", {state.error or state.waiting_for}"
        return plain(text + "".join(f"; {note.rstrip('.')}" for note in self.notes) + ">")

    @property
    def _done(self) -> Future[Path]:
        self._home.check(f"The download of {self.name}")  # a forked child would wait for ever
        return self._outcome_to_come

    def __await__(self) -> Generator[Any, None, Path]:
        return self._wait().__await__()

    async def _wait(self) -> Path:
        await background.until_done(self._done)
        return self._outcome()

    def result(self, timeout_s: float | None = None) -> Path:
        """Wait up to `timeout_s` seconds (None: as long as it takes) and return the path.

        Raises:
            TimeoutError: it still runs, and goes on.
            UploadToolkitError: why it ended.
        """
        wait_s = as_wait("timeout_s", timeout_s)
        background.begin()
        background.wait_for(self._done, wait_s, self.name)
        return self._outcome()

    def until_over(self) -> None:
        """Block until it has ended; an interrupt leaves it as it is."""
        background.begin()
        self._done.exception()

    def finish(self) -> Path:
        """Wait for it where nobody keeps it: an interrupt stops it; what has arrived is kept."""
        background.begin()
        try:
            self._done.exception()
        except BaseException:
            self.interrupt()
            self.stop()
            raise
        return self._outcome()

    def interrupt(self) -> None:
        """Have it end, and say how it goes on; returns at once."""
        if not self.done():
            self._running.cancel()
            say(f"Stopped {self.name}: the same call goes on with it.")

    def stop(self) -> None:
        """End it, and keep what has arrived; returns when that is written down."""
        if not self.done():
            self._running.cancel()
            background.begin()
            if not (background.in_own_loop() or self.feed.telling):
                self._done.exception()

    def note(self, text: str) -> None:
        """Tell a reader something, once."""
        if text not in self.notes:
            self.notes = (*self.notes, text)

    def _outcome(self) -> Path:
        error = self._done.exception()
        if error is not None:
            raise error.with_traceback(None)
        return self._done.result()

    async def _run(self) -> None:
        try:
            result = await self._work(self)
        except asyncio.CancelledError:
            self._done.set_exception(UploadStopped(f"The download of {self.name} was stopped."))
            raise
        except BaseException as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(result)


class DownloadTask:
    """One download at work; `await task(download)`."""

    def __init__(
        self,
        files: FileEndpoints,
        path: Path,
        target: Mapping[str, Any],
        *,
        at_once: int | None,
        resume: bool,
    ) -> None:
        self._files, self._target = files, target
        self._path, self._at_once, self._resume = path, at_once, resume

    async def __call__(self, download: Download) -> Path:
        """Download it.

        Raises:
            SourceChanged: it was replaced meanwhile.
            VerifyError: what arrived is not what the store says it has.
            TransferError: it did not arrive; what did is kept.
        """
        self._download, self._emit = download, download.feed.emit
        try:
            return await self._steps()
        except BaseException as error:
            self._tell_end(error)
            raise

    def _tell_end(self, error: BaseException) -> None:
        if self._download.state.phase.over:
            return
        if isinstance(error, asyncio.CancelledError):
            self._emit(ev.Paused(reason="stopped"))
        else:
            ours = isinstance(error, UploadToolkitError)
            self._emit(ev.Failed(reason=str(error) if ours else type(error).__name__))

    async def _steps(self) -> Path:
        path = await self._place()
        config = self._files.config
        self._reader = reader = ObjectReader(
            self._files.network, config.retry, lambda: self._files.fresh_url(self._target),
            lambda reason: self._emit(ev.waits_for(reason)),
        )  # fmt: skip
        found, first = await reader.open()
        wanted = Wanted(config.project, config.base_url.rstrip("/"), self._target)
        file = await to_thread.run_sync(
            lambda: PartialFile(path, wanted, found, resume=self._resume)
        )
        try:
            return await self._fill(file, found, first)
        finally:
            file.close()

    async def _place(self) -> Path:
        """The path to write to: in a folder, under the file's own name."""
        if not await to_thread.run_sync(self._path.is_dir):
            return self._path
        file = await self._files.retrieve_target(self._target)
        if file is None:
            raise UsageError(f"CDF has no file {dict(self._target)}.")
        return self._path / safe_name(file.name, f"file-{file.id}")

    async def _fill(self, file: PartialFile, found: StoredObject, first: bytes) -> Path:
        self._open(file)
        try:
            await self._fetch(file, found, first)
            verified = await to_thread.run_sync(lambda: _verified(file, found))
        except (SourceChanged, VerifyError):
            await to_thread.run_sync(file.drop)
            raise
        except BaseException:
            with CancelScope(shield=True), suppress(OSError):
                await to_thread.run_sync(lambda: file.save(now=True))
            raise
        with CancelScope(shield=True):  # it is all there, whoever cancels now
            await to_thread.run_sync(file.finish)
        self._emit(ev.Completed(verified=verified))
        return file.path

    def _open(self, file: PartialFile) -> None:
        """Tell what there is to fetch, and what of it is there already."""
        sizes = tuple(span.end - span.start for span in file.spans)
        name = self._download.name = file.path.name
        self._emit(ev.Opened(None, Secret(""), (), sizes, name=name))
        kept = sum(file.have)
        if kept:
            self._download.note(f"Went on with {show_bytes(kept)} that were there already.")
        for span, have in zip(file.spans, file.have, strict=True):
            if have == span.end - span.start:
                self._emit(ev.PartStored(span.no, have))

    async def _fetch(self, file: PartialFile, found: StoredObject, first: bytes) -> None:
        may_go_on = found.etag or len(first) == found.size  # or the rest may be of another version
        if first and may_go_on and not file.have[0]:
            part = file.spans[0]
            await to_thread.run_sync(self._sink(file), part, 0, first)
        async with anyio.create_task_group() as group:
            group.start_soon(self._saving, file)
            spans, at_once = file.missing(), self._at_once
            try:
                await self._reader.read(spans, self._sink(file), at_once)
            except Exception as error:
                failure: Exception | None = error
            else:
                failure = None
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def _sink(self, file: PartialFile) -> Callable[[Span, int, bytes | memoryview], None]:
        told_s: dict[int, float] = {}

        def sink(span: Span, at: int, data: bytes | memoryview) -> None:
            whole = file.spans[span.no]
            if span.no not in told_s:
                told_s[span.no] = -math.inf
                self._emit(ev.PartStarted(span.no, whole.end - whole.start, 1))
            file.write(span, at, data)
            came, now_s = at + len(data) - whole.start, time.monotonic()
            if now_s - told_s[span.no] >= _TELL_S or at + len(data) == whole.end:
                told_s[span.no] = now_s
                self._emit(ev.PartSent(span.no, came))
            if at + len(data) == whole.end:
                self._emit(ev.PartStored(span.no, came))

        return sink

    async def _saving(self, file: PartialFile) -> None:
        while True:
            await anyio.sleep(_SAVE_S)
            with suppress(OSError):  # a full disk is told by what is written to it
                await to_thread.run_sync(file.save)


def _verified(file: PartialFile, found: StoredObject) -> str:
    """What was verified, in words.

    Raises:
        VerifyError: the store's checksum is not that of what arrived.
    """
    if sum(file.have) != found.size:
        raise VerifyError(f"{sum(file.have)} bytes have arrived, of {found.size}.")
    for algorithm, value in found.checksums:
        digest = _digest(algorithm)
        if digest is None:
            continue
        for at in range(0, found.size, MIB):
            digest.update(file.read(at, MIB))
        if base64.b64encode(digest.digest()).decode() != value:
            raise VerifyError(
                f"What has arrived has not the {algorithm} that the store tells of it."
            ).hint("Nothing of it is kept. Download it again.")
        return f"size {found.size} bytes, {algorithm} by the store"
    return f"size {found.size} bytes"


def _digest(algorithm: str) -> Any:
    if algorithm == "MD5":
        return hashlib.md5(usedforsecurity=False)
    try:
        return import_module("google_crc32c").Checksum()  # an extra
    except ImportError:
        return None


def target_path(path: str | os.PathLike[str]) -> Path:
    """Where to download to, whatever the current folder becomes.

    Raises:
        UsageError: it is to be a folder that is not there, is too long, or is no path on this
            machine.
    """
    found = own_path(path, "A download")
    if os.path.isdir(found):
        return found
    if str(path).endswith(("/", os.sep)):
        raise UsageError(f"There is no folder {found}.")
    if is_too_long(found):
        raise UsageError(f"{short(found.name)} is too long for a file's name; give a shorter one.")
    return found
