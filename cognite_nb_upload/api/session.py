"""`FileMultipartUploadSession`: an open multipart upload, sent part by part.

Rules of this file: a part is sent by the thread that asks for it; the state is the session's
events, folded; leaving completes, leaving with an exception sends nothing more. What is stored
stays stored, and a session that was left can be entered again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, NoReturn, Self

import anyio
from anyio.lowlevel import RunVar

from cognite_nb_upload import background, models
from cognite_nb_upload.api.completion import Completion
from cognite_nb_upload.api.rpc import Rpc
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import BackoffWait, CancelToken
from cognite_nb_upload.core.feed import Feed, Listener
from cognite_nb_upload.core.numbers import whole
from cognite_nb_upload.core.plan import check_part
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.errors import PartFailed, SourceChanged, UploadIncomplete, UsageError
from cognite_nb_upload.models.wire import to_ms
from cognite_nb_upload.process import Home
from cognite_nb_upload.sources import (
    Content,
    Source,
    as_source,
    as_source_async,
    at_its_end,
    give_back,
)
from cognite_nb_upload.store.part import PartSender
from cognite_nb_upload.store.port import Digest, PartJob, PartStore, Throttle

# Past 16 busy threads the caller's event loop starves; parts beyond that wait.
_PARTS_AT_ONCE: Final = 12
_threads: RunVar[anyio.CapacityLimiter] = RunVar("cognite_nb_upload_part_threads")


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """What CDF handed out for one multipart upload. The URLs are a week's write access.

    Attributes:
        upload_id: of the multipart upload; empty where the content goes in one PUT.
        after: is awaited with the file once it is complete, and returns it as it is then.
        again: it was opened before, and its state is known already.
        settle: is awaited before CDF is told to complete: what has happened is on disk then.
        seen: is awaited before CDF is asked whether the file is uploaded, and returns it where it
            has said so already.
    """

    file: models.CDFFile
    upload_id: Secret
    urls: tuple[Secret, ...]
    after: Callable[[models.CDFFile], Awaitable[models.CDFFile]] | None = None
    again: bool = False
    settle: Callable[[], Awaitable[None]] | None = None
    seen: Callable[[], Awaitable[models.CDFFile | None]] | None = None


class FileMultipartUploadSession(NotPickled):
    """A file's multipart upload: parts in any order and in parallel, completed on leaving.

    Use it as `with` and `upload_part(part_no, content)`, or as `async with` and
    `await upload_part_async(part_no, content)`. Any thread and any task may send parts.

    Attributes:
        file_metadata: the file as CDF has it; brought up to date when it is complete.
        parts: number of parts, 1 to 250.
    """

    _instead = "it holds signed URLs, and sends from this process. Send the parts from its threads."

    def __init__(
        self,
        rpc: Rpc,
        store: PartStore,
        opened: OpenUpload,
        *,
        feed: Feed | None = None,
        sizes: tuple[int | None, ...] = (),
    ) -> None:
        self.file_metadata = opened.file
        self.parts = len(opened.urls)
        self._rpc = rpc
        self._store = store
        self._opened = opened
        self._feed = feed or Feed(time.monotonic)
        self._stop = CancelToken()
        self._home = Home()
        self._lock = threading.Lock()
        self._in_flight: set[int] = set()
        self._completion = Completion(
            rpc,
            opened.file,
            opened.upload_id,
            self._feed.emit,
            self._feed.state if opened.again else None,
            opened.settle,
            opened.seen,
        )
        self._refused: PartFailed | SourceChanged | None = None
        self._finished = False
        if feed is None or not opened.again:
            self._feed.emit(
                ev.Opened(
                    file_id=opened.file.id,
                    upload_id=opened.upload_id,
                    urls=opened.urls,
                    sizes=sizes or (None,) * self.parts,
                    name=opened.file.name,
                    cdf_ms=_latest_ms(opened.file),
                )
            )

    # --- what it is -------------------------------------------------------------------------

    @property
    def state(self) -> UploadState:
        """An immutable snapshot: phase, bytes and tries of each part, rate."""
        return self._feed.state

    @property
    def missing_parts(self) -> tuple[int, ...]:
        """Numbers of the parts that the store has not confirmed, counted from 0."""
        return self.state.missing_parts

    @property
    def in_one(self) -> bool:
        """True where the content goes in one PUT, after which CDF has it."""
        return not self._opened.upload_id

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(state, event)` for what happens from now on; returns what ends it."""
        return self._feed.listen(listener)

    def before_end(self, wait: Callable[[], None]) -> None:
        """Have `wait()` called in a thread before `complete` returns; for listeners that draw."""
        self._feed.before_end(wait)

    def __repr__(self) -> str:
        stored = self.parts - len(self.missing_parts)
        return (
            f"<FileMultipartUploadSession {self.file_metadata.name!r} id {self.file_metadata.id}: "
            f"{stored} of {self.parts} parts stored, {self.state.phase.value}>"
        )

    # --- sending a part ---------------------------------------------------------------------

    def upload_part(self, part_no: int, content: Content, *, length: int | None = None) -> None:
        """Send one part from this thread; blocks until the store has it.

        Args:
            part_no: 0 to `parts` - 1.
            content: str (as UTF-8), bytes, bytearray, memoryview, mmap, a `Path`, a binary file
                object from its current position, or an iterable of bytes (spooled to disk first).
            length: take this many bytes of the content; all that is left of it when None.

        Raises:
            UsageError: the number, the size or the content cannot be; nothing was sent.
            PartFailed: its tries are used up, or the store refused; the session stays usable.
            SourceChanged: the file was written to meanwhile.
        """
        part_no = self._check_free(part_no)
        if hasattr(content, "__aiter__") and not hasattr(content, "read"):
            source = background.call(as_source_async, content, length)
        else:
            source = as_source(content, length)
        self._send_content(part_no, content, source, self._stop, length)

    async def upload_part_async(
        self, part_no: int, content: Content, *, length: int | None = None
    ) -> None:
        """Send one part in a worker thread; up to 12 of an event loop's parts go at once.

        Takes what `upload_part` takes, and async iterables of bytes. Cancelling it stops the part.
        """
        part_no = self._check_free(part_no)
        source = await as_source_async(content, length)
        await background.in_thread(
            lambda own: self._send_content(part_no, content, source, own, length),
            self._stop,
            _limiter(),
            unused=lambda: _let_go(content, source),
        )

    def _send_content(
        self,
        part_no: int,
        content: object,
        source: Source,
        stop: CancelToken,
        length: int | None,
    ) -> None:
        try:
            if (end := at_its_end(source)) and length is None:
                raise UsageError(
                    f"The {type(content).__name__} stands at its end, after {end} bytes, so that "
                    "nothing would be sent: call seek(0) on it first."
                )
            check_part(part_no, source.size, self.parts)
            self.send(part_no, source, 0, source.size, stop=stop)
        except BaseException:
            _let_go(content, source)
            raise
        source.close()

    def send(
        self,
        part_no: int,
        source: Source,
        start: int,
        size: int,
        *,
        stop: CancelToken | None = None,
        throttle: Throttle | None = None,
        backoff_wait: BackoffWait | None = None,
        new_digest: Callable[[Secret], Digest] | None = None,
    ) -> None:
        """Send bytes `[start, start + size)` of a source as one part, and try until it is stored.

        The engine's way in, for a source that holds many parts; blocks the calling thread.
        """
        stop = self._stop if stop is None else stop
        self._check_home()
        with self._lock:
            part_no = self._check_free(part_no)
            self._in_flight.add(part_no)
        job = PartJob(
            part_no,
            self._opened.urls[part_no],
            source,
            start,
            size,
            content_type=self.file_metadata.mime_type if self.in_one else None,
            throttle=throttle,
            emit=self._feed.emit,
            new_digest=new_digest,
            missing=lambda: len(self.missing_parts),
            backoff_wait=backoff_wait,
        )
        try:
            PartSender(job, self._store, self._rpc.config.retry, stop).run()
        except (PartFailed, SourceChanged) as error:
            if isinstance(error, SourceChanged) or error.fatal:
                self._refused = error
            raise
        finally:
            self._in_flight.discard(part_no)

    def _check_free(self, part_no: int) -> int:
        """See that this part may be sent, before any of its content is read; returns its number."""
        self._check_home()
        part_no = self._checked_part_no(part_no)
        if self._finished:
            raise UsageError("This upload is complete; nothing more can be sent through it.")
        if part_no not in self.missing_parts:
            raise UsageError(f"Part {part_no} has been sent already.")
        if part_no in self._in_flight:
            raise UsageError(f"Part {part_no} is being sent already.")
        if self._refused is not None:
            raise type(self._refused)(*self._refused.args, **_facts(self._refused, part_no)).hint(
                "That was an earlier part; nothing of this one was sent. Enter the session again "
                "to try once more."
            )
        return part_no

    def _checked_part_no(self, part_no: int) -> int:
        number = whole(part_no)
        if number is None:
            raise UsageError(f"part_no is a whole number, not {part_no!r}.")
        if not 0 <= number < self.parts:
            raise UsageError(
                f"part_no is {number}; this upload has {self.parts} "
                f"part{'s' if self.parts > 1 else ''}, numbered from 0 to {self.parts - 1}."
            )
        return number

    # --- leaving ----------------------------------------------------------------------------

    def stop(self, reason: str = "stopped") -> None:
        """Stop the parts in flight at once; what is stored stays stored."""
        self._check_home()
        self._stop.set(reason)

    def _check_home(self) -> None:
        self._home.check(f"The upload session of {self.file_metadata.name}")

    def _enter(self) -> Self:
        self._check_home()
        if self._finished:
            raise UsageError("This upload is complete; begin another one.")
        if self._stop:
            self._stop = CancelToken()
        if self.state.phase in (Phase.PAUSED, Phase.FAILED):
            self._feed.emit(ev.Resumed())
        self._refused = None
        return self

    def _leave(self, error: BaseException | None) -> None:
        """Check that it may be completed; stop everything where it was left with an exception."""
        if not self._home.is_here and error is not None:
            return  # the parent goes on
        self._check_home()
        if error is not None:
            self.stop("the session was left with an exception")
            if not self.state.phase.over:
                self._feed.emit(ev.Paused(reason=f"left with {type(error).__name__}"))
            return
        if missing := self.missing_parts:
            raise UploadIncomplete(
                f"{_these_parts(missing)} of {self.parts} "
                f"{'was' if len(missing) == 1 else 'were'} not sent; CDF was not told to complete.",
                missing_parts=missing,
            ).hint("Enter the session again (`with session:`) and send what is missing.")

    def __enter__(self) -> Self:
        return self._enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error)
        if error is None:
            background.call(self.complete)

    async def __aenter__(self) -> Self:
        return self._enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(error)
        if error is None:
            await self.complete()

    async def complete(
        self,
        *,
        verify: Callable[[models.CDFFile], Awaitable[str]] | None = None,
        wait_s: float | None = None,
    ) -> models.CDFFile:
        """Tell CDF that all parts are there, and wait until it says `uploaded`.

        Where CDF still says otherwise after `wait_s`, it returns all the same: the parts are with
        CDF, which puts them together in its own time.

        Args:
            verify: is awaited with the uploaded file, and says in words what it has verified.
            wait_s: seconds; the client's `uploaded_wait_s` (90) when None.

        Raises:
            APIError: CDF refused; the session stays usable.
            CDFUnreachable: CDF gave no answer that says whether it is complete.
        """
        if self._finished and self.state.phase is Phase.DONE:
            return self.file_metadata
        self._check_home()
        try:
            await self._complete(verify, wait_s)
        finally:
            for wait in self._feed.last_waits:
                await background.apart(wait)
        return self.file_metadata

    async def _complete(
        self, verify: Callable[[models.CDFFile], Awaitable[str]] | None, wait_s: float | None
    ) -> None:
        emit, work = self._feed.emit, self._completion
        uploaded = await work.run(self._rpc.config.uploaded_wait_s if wait_s is None else wait_s)
        self._finished = True
        self.file_metadata = work.file
        if self._opened.after is not None:
            self.file_metadata = await self._opened.after(work.file)
        if uploaded:
            emit(ev.Completed(verified=await verify(work.file) if verify else ""))


class Opening(NotPickled, background.Awaited[FileMultipartUploadSession]):
    """A multipart upload about to be opened: `await` it, or enter it with `async with`."""

    _instead = FileMultipartUploadSession._instead

    def __init__(self, open_it: Callable[[], Awaitable[FileMultipartUploadSession]]) -> None:
        self._open_it = open_it
        self._session: FileMultipartUploadSession | None = None

    async def _open(self) -> FileMultipartUploadSession:
        if self._session is None:
            self._session = await self._open_it()
        return self._session

    def __await__(self) -> Generator[Any, None, FileMultipartUploadSession]:
        return self._open().__await__()

    def __enter__(self) -> NoReturn:
        """Say what to write instead.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "This client is asynchronous; use `async with`, in an async function."
        ).hint(
            "In a notebook `async with` works in any cell. `CogniteClient` has the same for `with`."
        )

    def __exit__(self, *_: object) -> None:
        """Never reached; without it Python would not ask `__enter__`."""

    async def __aenter__(self) -> FileMultipartUploadSession:
        return await (await self._open()).__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await (await self._open()).__aexit__(kind, error, traceback)

    def __repr__(self) -> str:
        return repr(self._session) if self._session else "<Opening: await it, or use async with>"


def _latest_ms(file: models.CDFFile) -> int | None:
    """The latest time in what CDF says of a file, by CDF's clock."""
    times = (file.created_time, file.last_updated_time, file.uploaded_time)
    return max((to_ms(one) for one in times if one is not None), default=None)


def _let_go(content: object, source: Source) -> None:
    """The part was not sent: its content is as it was before."""
    with suppress(Exception):
        give_back(content, source)
    source.close()


def _limiter() -> anyio.CapacityLimiter:
    try:
        return _threads.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_PARTS_AT_ONCE)
        _threads.set(limiter)
        return limiter


def _facts(error: PartFailed | SourceChanged, part_no: int) -> dict[str, Any]:
    if isinstance(error, SourceChanged):
        return {}
    return {
        "part_no": part_no,
        "attempts": 0,
        "status": error.status,
        "fatal": True,
        "expired": error.expired,
    }


def _these_parts(numbers: tuple[int, ...]) -> str:
    """`Part 3`, `Parts 1, 2 and 7`, `Parts 0, 1, 2, 3, 4, 5, 6, 7 and 20 more`."""
    if len(numbers) == 1:
        return f"Part {numbers[0]}"
    shown, rest = numbers[:8], numbers[8:]
    if rest:
        return f"Parts {', '.join(map(str, shown))} and {len(rest)} more"
    return f"Parts {', '.join(map(str, shown[:-1]))} and {shown[-1]}"
