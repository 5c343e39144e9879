"""An object in another store as a `Source`: one reader for each part, which knows where it ends.

Rules of this file: what is read is what was looked at, or `SourceChanged`; a read that breaks goes
on from its byte; a store that asks for less is waited for; whoever cancels waits for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeVar

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import SourceChanged, TransferError
from cognite_nb_upload.objects.port import Changed, ObjectFacts, Unreadable, Way

T = TypeVar("T")

_HINT: Final = "Nothing was completed. Upload it again once nobody writes to it."
NOT_PINNED: Final = (
    "not pinned: its store tells no version, time or ETag, so that an object that is replaced by "
    "one of the same size goes unnoticed, and an upload that was stopped begins from its first byte"
)


class ObjectSource:
    """Bytes `[start, start + size)` of an object in another store.

    Attributes:
        name: its own, without the folders.
        size: bytes.
        address: where it is, without credentials and signatures.
        pinned: its store tells one version of it from another.
        told: what its store tells of it.
        origin: what another process opens it by; None where that cannot be said.
    """

    def __init__(
        self,
        way: Way,
        facts: ObjectFacts,
        *,
        address: str,
        name: str,
        start: int = 0,
        size: int | None = None,
        retry: Retry | None = None,
    ) -> None:
        self.name, self.address, self.told = name, address, facts
        self.size = (facts.size or 0) - start if size is None else size
        self._way, self._start, self._retry = way, start, retry or Retry()
        self._claimed_from: int | None = None
        self.origin: Secret | None = None

    def claimed_from(self, start: int) -> None:
        """It is the rest of a file object that stood at byte `start`."""
        self._claimed_from = start

    @property
    def pinned(self) -> bool:
        """Its store tells one version of it from another."""
        return bool(self.told.token)

    @property
    def vouched(self) -> bool:
        """Its store gives each content an ETag or a version of its own."""
        return self.told.is_exact

    @property
    def whole(self) -> bool:
        """True where it is all of the object: what the store tells of the whole holds for it."""
        return not self._start and self.size == self.told.size

    def __repr__(self) -> str:
        pinned = self.told.token if self.pinned else "not pinned"
        return f"<ObjectSource {self.address!r}: {show_bytes(self.size)}, {pinned}>"

    # --- a Source -----------------------------------------------------------------------------

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`, by a request of their own."""
        size = max(0, min(size, self.size - offset))
        return b"".join(self.blocks(offset, offset + size, CancelToken()))

    def reader(self, start: int, size: int, cancel: CancelToken) -> PartReader:
        """What reads bytes `[start, start + size)` in order; close it afterwards."""
        return PartReader(self, start, start + size, cancel)

    def check(self) -> None:
        """Compare with what was looked at, unless each read does so by itself.

        Raises:
            SourceChanged: it was replaced, or is no longer there.
        """
        if not self._way.compares:
            self.check_last()

    def check_last(self) -> None:
        """Ask the store, and compare with what was looked at.

        Raises:
            SourceChanged: it was replaced, or is no longer there.
            TransferError: the store does not say.
        """
        try:
            how = self.told.difference(self.looked())
        except Changed as error:
            how = str(error)
        if how:
            raise self._changed(how)

    def looked(self) -> ObjectFacts:
        """What the store tells of it now.

        Raises:
            Gone: there is nothing.
            TransferError: the store does not say.
        """
        return self._tried(self._way.look, CancelToken(), "looked at")

    def facts(self) -> SourceFacts:
        """Address, size and version."""
        part = f"#{self._start}" if self._start else ""
        return SourceFacts(f"{self.address}{part}", self.size, 0, 0, self.told.token)

    def sums(self) -> tuple[tuple[str, bytes, bool], ...]:
        """Checksums of all of it that its store tells: (algorithm, digest, whether it surely is).

        An ETag that looks like an MD5 may be something else. Some stores are asked for them.
        """
        if not self.whole:
            return ()
        ask = getattr(self._way, "sums", None)
        more = ask() if ask is not None and not (self.told.crc32c or self.told.md5) else None
        same = more is not None and not self.told.difference(more)
        facts = more if more is not None and same else self.told
        found = [("CRC32C", facts.crc32c, True), ("MD5", facts.md5, True)]
        if not facts.md5:
            found.append(("MD5", self.told.etag_md5, False))
        return tuple(one for one in found if one[1])

    def close(self) -> None:
        """Close what was opened for it."""
        self._way.close()

    # --- behind it ----------------------------------------------------------------------------

    def blocks(self, start: int, end: int, cancel: CancelToken) -> Iterator[bytes]:
        """Bytes `[start, end)` in blocks; fewer only where `cancel` is set.

        Raises:
            SourceChanged: the object is not what it was.
            TransferError: they do not come, however often they are asked for.
        """
        at, attempt = start, 1
        while at < end and not cancel:
            stream = self._way.stream(self._start + at, self._start + end, self.told)
            try:
                for block in stream:
                    attempt = 1
                    block = block[: end - at]
                    at += len(block)
                    yield block
                    if cancel:
                        return
                if at < end:
                    raise Unreadable("it broke off")
            except Changed as error:
                raise self._changed(str(error)) from None
            except Unreadable as error:
                self._wait(error, attempt, cancel, f"read at byte {self._start + at}")
                attempt += 1
            finally:
                getattr(stream, "close", lambda: None)()

    def _tried(self, ask: Callable[[], T], cancel: CancelToken, what: str) -> T:
        attempt = 1
        while True:
            try:
                return ask()
            except Unreadable as error:
                self._wait(error, attempt, cancel, what)
                attempt += 1

    def _wait(self, error: Unreadable, attempt: int, cancel: CancelToken, what: str) -> None:
        """Wait for the next try, as long as the store asks for; or give up."""
        seconds = self._retry.wait_s(
            attempt,
            status=error.status,
            retryable=error.retry,
            retry_after=error.retry_after,
            now=error.now,
        )
        if seconds is None or not error.retry:
            tries = "" if attempt == 1 else f", in {attempt} tries"
            raise TransferError(f"{self.address} cannot be {what}{tries}: {error.reason}.").hint(
                "What is stored stays stored; the same call goes on from there."
            ) from None
        cancel.wait(seconds)

    def _changed(self, how: str) -> SourceChanged:
        return SourceChanged(f"{self.address} changed during the upload: it {how}.").hint(_HINT)


class Blocks(Protocol):
    """What is read in order, block by block."""

    @property
    def name(self) -> str:
        """For who looks at the threads."""
        ...

    def blocks(self, at: int, end: int, stop: CancelToken) -> Iterator[bytes | memoryview]:
        """Bytes `[at, end)`, until `stop` is set."""
        ...


class PartReader:
    """Reads a span of an object in order, one block ahead, in a thread of its own.

    A read that hangs in a library cannot be interrupted: it is left behind, and its thread ends
    with it.
    """

    def __init__(self, source: Blocks, start: int, end: int, cancel: CancelToken) -> None:
        self._source, self._end, self._cancel = source, end, cancel
        self._changed = threading.Condition()
        self._run: _Run | None = None
        self._at = start
        self._rest = memoryview(b"")

    def read_piece(self, at: int, room: memoryview) -> memoryview:
        """As many bytes as `room` has, from `at`, in it or where they are; they stay until the
        next call. Fewer only at the end, or if cancelled.

        Raises:
            SourceChanged, TransferError: as the source's own reads.
        """
        if at != self._at or self._run is None:
            self._begin(at)
        wanted, came = min(len(room), self._end - at), 0
        if len(block := self._next()) >= wanted:  # without a copy
            self._at, self._rest = at + wanted, block[wanted:]
            return block[:wanted]
        self._rest = block
        while came < wanted and (block := self._next()):
            piece = block[: wanted - came]
            room[came : came + len(piece)] = piece
            self._rest = block[len(piece) :]
            came += len(piece)
        self._at = at + came
        return room[:came]

    def begin(self) -> None:
        """Begin to read now, and not only when the first bytes are asked for."""
        self._begin(self._at)

    def close(self) -> None:
        """End the reading; a second call does nothing."""
        if self._run is not None:
            self._run.stop.set("closed")
            with self._changed:
                self._changed.notify_all()
        self._run, self._rest = None, memoryview(b"")

    def _begin(self, at: int) -> None:
        self.close()
        self._at, self._run = at, _Run()
        name = f"reads {self._source.name}"
        threading.Thread(target=self._pump, args=(self._run, at), name=name, daemon=True).start()

    def _next(self) -> memoryview:
        """What is left of the last block, or the next; empty at the end, or if cancelled."""
        run = self._run
        if self._rest or run is None:
            return self._rest
        with self._cancel.waking(self._wake), self._changed:
            self._changed.wait_for(lambda: run.block is not None or run.over or self._cancel)
            if self._cancel:
                return memoryview(b"")
            block, run.block = run.block, None
            self._changed.notify_all()
            if block is None and run.error is not None:
                raise run.error
        return memoryview(block or b"")

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _pump(self, run: _Run, at: int) -> None:
        try:
            for block in self._source.blocks(at, self._end, run.stop):
                with self._changed:
                    run.block = block
                    self._changed.notify_all()
                    # The next is asked for once this one is taken: that is all the memory it costs.
                    self._changed.wait_for(lambda: run.block is None or run.stop)
                if run.stop:
                    break
        except BaseException as error:
            run.error = error
        finally:
            with self._changed:
                run.over = True
                self._changed.notify_all()


class _Run:
    """One thread's reading, from some byte on."""

    def __init__(self) -> None:
        self.stop = CancelToken()
        self.block: bytes | memoryview | None = None
        self.over = False
        self.error: BaseException | None = None
