"""Parts of a source into a sink, several at once.

Rules of this file: the engine knows a source and a sink, not a network. Workers take parts from one
queue, and keep their thread and their lane from part to part while nobody else is waiting for
it. One whose part waits for a busy store keeps only its thread: other parts go meanwhile. Of the
last parts, one that crawls is cut, and sent again by the worker that had it: never by two at a
time. So is one that has only begun, where fewer are to go at once on a slow way. When one part
fails for good no new ones start, and those in flight may finish. A stop ends everything at once.
Users see our error, never a group of them.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import anyio

from cognite_nb_upload.background import in_thread
from cognite_nb_upload.core.cancel import BackoffWait, CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.finish import Finishing
from cognite_nb_upload.core.plan import Part
from cognite_nb_upload.core.tail import Flight, Tail
from cognite_nb_upload.errors import SourceChanged, TransferError, UploadStopped
from cognite_nb_upload.sources import (
    AnyPlace,
    BytesSource,
    InBlocks,
    PieceReader,
    Source,
    Witness,
    check_last,
    is_pinned,
    piece_read,
    read_once,
    reader_of,
    region_of,
    witness_of,
)
from cognite_nb_upload.transfer.limits import SharedLimits, ended_by

T = TypeVar("T")

_TICK_S: Final = 0.2
# Who pauses waits so long, in seconds, at least for parts that are nearly done.
_FINISH_S: Final = 1.0
# So many parts tell how fast one may be.
_RATES: Final = 32
# Why a part is cut that is sent again at once.
_SLOW: Final = "its connection was much slower than the others"
# Why a part is cut that is sent again once another has ended.
_MANY: Final = "fewer go at once on a slow way"


class Sink(Protocol):
    """Where a part goes: returns once it is stored, and raises when it cannot be."""

    def __call__(self, part: Part, source: Source, stop: CancelToken, rest: BackoffWait, /) -> None:
        """Store one part; blocks its thread.

        `rest(seconds, stop)` waits while others use the place of this one; `stop` ends it.
        """
        ...


@dataclass(slots=True)
class _Place:
    """What a worker has while it sends, and goes without while its part waits.

    Attributes:
        counted: it is one of the parts that this upload may send at once.
        lane: it has one of the lanes that all uploads share.
    """

    counted: bool = True
    lane: bool = False


class SteadySource:
    """A source whose bytes are asked for once more where reading fails; then it fails for good."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._read_piece = piece_read(source)
        self.name, self.size = source.name, source.size

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes from `offset`.

        Raises:
            TransferError: the disk, or what is in its place, reports an error twice.
        """
        return self._twice(lambda: self._source.read_at(offset, size), offset)

    def read_piece(self, offset: int, room: memoryview) -> memoryview:
        """As many bytes as `room` has, in it or where they are already; errors as `read_at`."""
        try:
            return self._read_piece(offset, room)
        except OSError:
            return self._again(lambda: self._read_piece(offset, room), offset)

    @property
    def pinned(self) -> bool:
        """Something tells this content from another after a restart."""
        return is_pinned(self._source)

    @property
    def vouched(self) -> bool:
        """A store elsewhere gives each content a version of its own."""
        return bool(getattr(self._source, "vouched", False))

    def reader(self, start: int, size: int, cancel: CancelToken) -> PieceReader | None:
        """What reads these bytes in order, where the source has such a thing."""
        if not hasattr(self._source, "reader"):
            return None
        found = reader_of(self._source, start, size, cancel)
        if isinstance(found, AnyPlace):  # so that each read is tried once more
            return AnyPlace(self, ahead=found.ahead)
        return InBlocks(self, start + size) if isinstance(found, InBlocks) else found

    def region(self) -> tuple[int, int] | None:
        """The open file that it is a region of, for who lets the kernel send from it."""
        return region_of(self._source)

    def read_once(self, stop: CancelToken) -> None:
        """Take the digests of content in memory; ends early where `stop` is set."""
        read_once(self._source, stop)

    def witness(self, start: int, size: int) -> Witness | None:
        """What compares bytes as they go, where the content may change unseen."""
        return witness_of(self._source, start, size)

    def _twice(self, read: Callable[[], T], offset: int) -> T:
        try:
            return read()
        except OSError:
            return self._again(read, offset)

    def _again(self, read: Callable[[], T], offset: int) -> T:
        try:
            return read()
        except OSError as error:
            raise TransferError(
                f"{self.name or 'The content'} cannot be read at byte {offset}: {_said(error)}."
            ).hint("What is stored stays stored; the same call goes on from there.") from None

    def held(self) -> SteadySource:
        """All of it in memory, as it was at one moment.

        Raises:
            SourceChanged: it is written to.
        """
        data = bytes(self.read_at(0, self.size))
        self.check_last()
        if len(data) != self.size:
            raise SourceChanged(f"{self.name} ended at byte {len(data)} of {self.size}.")
        return SteadySource(BytesSource(data, self.name))

    def check(self) -> None:
        """See that it still is what it was; one that cannot be looked at is not."""
        self._checked(self._source.check)

    def check_last(self) -> None:
        """`check` after the last byte was read."""
        self._checked(lambda: check_last(self._source))

    def _checked(self, check: Callable[[], None]) -> None:
        try:
            check()
        except OSError as error:
            raise SourceChanged(
                f"{self.name} can no longer be looked at: {_said(error)}."
            ) from None

    def facts(self) -> SourceFacts:
        """What it can be recognised by after a restart."""
        return self._source.facts()

    def close(self) -> None:
        """Let go of what was opened."""
        self._source.close()


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__


class Engine:
    """Sends parts until all are stored, one fails for good, or it is stopped.

    Args:
        source: where the bytes are.
        sink: where they go.
        limits: what this client's uploads share.
        at_once: says how many of this upload's parts may go at once, at any moment.
        nearly_done: says which of the parts in flight are finished where it is paused.
        on_finishing: is told of those, several times a second.
        tail: decides which of the last parts is cut and sent again; None: none is.
        flights: the parts in flight.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        limits: SharedLimits,
        at_once: Callable[[], int],
        *,
        nearly_done: Callable[[], Finishing] = Finishing,
        on_finishing: Callable[[Finishing], None] = lambda _: None,
        tail: Tail | None = None,
        flights: Callable[[], Sequence[Flight]] = tuple,
    ) -> None:
        self._source, self._sink, self._limits, self._at_once = source, sink, limits, at_once
        self._nearly_done, self._on_finishing = nearly_done, on_finishing
        self._tail, self._flights = tail, flights
        self._rates: deque[float] = deque(maxlen=_RATES)  # of the parts that ended last
        self._in_flight: dict[int, CancelToken] = {}  # by the part's number, what stops it
        self._pausing = False
        self._finish_by_s = math.inf
        self._threads = anyio.CapacityLimiter(limits.most_at_once)
        self._taking = threading.Lock()
        self._parts: deque[Part] = deque()  # that nobody has taken
        self._workers = self._coming = self._busy = self._returning = 0
        self._freed: anyio.Event | None = None
        self._error: Exception | None = None

    async def run(
        self, parts: Iterable[Part], stop: CancelToken, pause: CancelToken | None = None
    ) -> None:
        """Send all of `parts`.

        `stop` ends those in flight at once; `pause` lets those finish that are nearly done.

        Raises:
            PartFailed: the first part that failed for good.
            SourceChanged: the source is not what it was.
            UploadStopped: `stop` or `pause` was set.
        """
        self._parts, self._error = deque(parts), None
        pause = CancelToken() if pause is None else pause
        loop = asyncio.get_running_loop()
        with pause.waking(lambda: self._pause(loop)):
            self._watched = loop.call_later(_TICK_S, self._watch, loop)
            try:
                async with anyio.create_task_group() as workers:
                    while True:
                        await self._turn()
                        if self._error or stop or pause or not self._parts:
                            break
                        self._workers += 1
                        self._coming += 1
                        self._busy += 1
                        workers.start_soon(self._work, stop, pause)
            finally:
                self._watched.cancel()
        if self._error:
            raise self._error
        if stop or pause:
            raise UploadStopped(f"The upload was stopped: {stop.reason or pause.reason}.")

    # --- pausing ----------------------------------------------------------------------------

    def _pause(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin no part, finish those that are nearly done, and stop the others; any thread."""
        finishing = self._nearly_done()
        self._finish_by_s = time.monotonic() + max(_FINISH_S, 2 * finishing.seconds)
        with self._taking:
            self._pausing = True
            others = [own for no, own in self._in_flight.items() if no not in finishing.parts]
        for own in others:
            own.set("paused")
        loop.call_soon_threadsafe(self._watch_pause)

    def _watch_pause(self) -> None:
        """Tell what is being finished; what takes much longer than it should is stopped."""
        if self._freed is not None:
            self._freed.set()
        with self._taking:
            in_flight = {no: own for no, own in self._in_flight.items() if not own}
        if time.monotonic() > self._finish_by_s:
            for own in in_flight.values():
                own.set("paused")
        elif in_flight:
            left_s = self._nearly_done().seconds
            self._on_finishing(Finishing(frozenset(in_flight), left_s))

    async def _turn(self) -> None:
        """Wait until one more may start; those that come back from a rest go first.

        No more wait for a lane than there are parts: each is some seventy objects.
        """
        while self._parts and (
            self._coming >= len(self._parts)
            or self._busy + self._returning >= self._at_once()
            or self._workers >= self._limits.most_at_once
        ):
            await self._a_change()

    async def _a_change(self) -> None:
        """Wait until a place is free, or a moment: how many there are may change meanwhile."""
        self._freed = freed = self._freed or anyio.Event()
        with anyio.move_on_after(_TICK_S):
            await freed.wait()

    async def _work(self, stop: CancelToken, pause: CancelToken) -> None:
        """Have parts sent by one thread, for as long as it may."""
        lanes, place, loop = self._limits.lanes, _Place(), asyncio.get_running_loop()

        def rest(seconds: float, own: CancelToken) -> None:
            asyncio.run_coroutine_threadsafe(self._rest(place, seconds, own), loop).result()

        def later(own: CancelToken) -> None:
            asyncio.run_coroutine_threadsafe(self._later(place, own), loop).result()

        try:
            try:
                with ended_by(stop), ended_by(pause):
                    await lanes.acquire(self)
                    place.lane = True
            finally:
                self._coming -= 1
            if not (self._error or stop) and (part := self._next()):
                await in_thread(lambda own: self._send(part, own, rest, later), stop, self._threads)
        except Exception as error:
            self._error = self._error or error
        finally:
            self._workers -= 1
            self._leave(place)

    def _leave(self, place: _Place) -> None:
        """Give back what is held of a place."""
        if place.lane:
            self._limits.lanes.release()
        self._busy -= place.counted
        place.lane = place.counted = False
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    async def _rest(self, place: _Place, seconds: float, own: CancelToken) -> None:
        """Let others have the place for so long; ends early, without it, where `own` is set."""
        self._leave(place)
        with suppress(UploadStopped), ended_by(own):
            await anyio.sleep(seconds)
            self._returning += 1
            try:
                while self._busy >= self._at_once():
                    await self._a_change()
                self._busy += 1
                place.counted = True
            finally:
                self._returning -= 1
            await self._limits.lanes.acquire(first=True)
            place.lane = True

    async def _later(self, place: _Place, own: CancelToken) -> None:
        """Give the lane back until there is one again, before all who have not begun."""
        self._limits.lanes.release()
        place.lane = False
        with suppress(UploadStopped), ended_by(own):
            await self._limits.lanes.acquire(first=True)
            place.lane = True

    def _send(
        self,
        part: Part | None,
        own: CancelToken,
        rest: BackoffWait,
        later: Callable[[CancelToken], None],
    ) -> None:
        """Send this part and those after it: a thread that has just sent one is warm."""
        wait: Callable[[CancelToken], None] | None = None
        while part is not None:
            if cut := self._sent(part, own, rest, wait):
                wait = later if cut == _MANY else None
                continue
            wait = None
            may = not own and self._error is None
            may = may and not self._returning and self._busy <= self._at_once()
            part = self._next() if may and self._limits.lanes.may_stay(self) else None

    def _sent(
        self,
        part: Part,
        own: CancelToken,
        rest: BackoffWait,
        wait: Callable[[CancelToken], None] | None,
    ) -> str:
        """Send one part, after `wait`; returns why it was cut, and is to be sent again, or ""."""
        this = CancelToken()
        with self._taking:
            if self._pausing:
                raise UploadStopped(f"Part {part.no} was not begun: paused.")
            self._in_flight[part.no] = this
        try:
            with own.waking(lambda: this.set(own.reason)):
                if wait is not None:
                    wait(this)
                    if self._error is not None:
                        this.set("another part failed")
                began_s = time.monotonic()
                self._sink(part, self._source, this, rest)
        except Exception as error:  # said here: other threads take parts before the loop hears
            if isinstance(error, UploadStopped) and this.reason in (_SLOW, _MANY) and not own:
                return this.reason
            self._error = self._error or error
            raise
        finally:
            with self._taking:
                del self._in_flight[part.no]
        self._rates.append(part.size / max(1e-3, time.monotonic() - began_s))
        return ""

    def _next(self) -> Part | None:
        """The next part that nobody has taken."""
        with self._taking:
            return self._parts.popleft() if self._parts and not self._pausing else None

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look after what is in flight, several times a second; a timer is less than a task."""
        self._watched = loop.call_later(_TICK_S, self._watch, loop)
        self._limits.lanes.look(last=not self._parts)
        self._cut()
        if self._pausing:
            self._watch_pause()

    def _cut(self) -> None:
        """Cut a part that would be over much sooner on another way, or is one too many now."""
        if self._tail is None:
            return
        flights, lanes = self._flights(), self._limits.lanes
        self._tail = self._tail.look(time.monotonic(), flights)
        if self._pausing:
            return
        if lanes.crowded(sum(map(bool, tuple(self._in_flight.values())))):
            self._cut_one(self._tail.spare(flights), _MANY)
        elif not self._parts and self._busy < min(self._at_once(), lanes.limit):
            self._cut_one(self._tail.slow(flights, tuple(self._rates)), _SLOW)

    def _cut_one(self, one: Flight | None, why: str) -> None:
        this = None if one is None else self._in_flight.get(one.no)
        if one is not None and this is not None and self._tail is not None:
            self._tail = self._tail.without(one)
            this.set(why)
