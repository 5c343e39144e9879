"""A file that is in a browser, as a `Source`: read slice by slice over the comm, never as a whole.

Rules of this file: who reads, waits until the bytes are there, and says what for; a page that is
gone costs nothing but the wait, since the same file (name, size, modification time, samples of its
bytes) may be dropped again and is read on from. A slice is used once its size and CRC-32 are those
that the page found. What is read in order is asked for ahead, several readers share the way.
Nothing is told while a lock is held.
"""

from __future__ import annotations

import sys
import threading
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.plan import MIB, show_bytes
from cognite_nb_upload.errors import SourceChanged, TransferError, UploadStopped
from cognite_nb_upload.journal.fingerprint import sample_blocks, sample_hashes
from cognite_nb_upload.models.show import plain
from cognite_nb_upload.sources import AnyPlace
from cognite_nb_upload.widgets.browser.direct import page_files
from cognite_nb_upload.widgets.browser.link import AT_ONCE, Ask, Link
from cognite_nb_upload.widgets.cell import OfThisKernel

if TYPE_CHECKING:
    from cognite_nb_upload.transfer.files import AsyncFiles
    from cognite_nb_upload.transfer.upload import Upload

Emit = Callable[[ev.Event], None]

# Bytes of the slices that all readers of a file are at; each has a small one at least.
# Measured: smaller slices of more parts, within 24 MiB, go a tenth slower.
_AHEAD: Final = 64 * MIB
_LEAST_AHEAD: Final = MIB
# Places that are read on from, more than parts at once; and seconds after which one is given up.
_READERS: Final = 20
_IDLE_S: Final = 10.0
_DAMAGED_MOST: Final = 5


class _Reader:
    """A place in a file that is read on from, and the slices that are asked for from there.

    Attributes:
        end: up to where it is known to be read; 0: not known.
    """

    def __init__(self, at: int, end: int = 0) -> None:
        self.at, self.end = at, end
        self.asks: deque[Ask] = deque()
        self.in_order = bool(end)
        self.busy = True
        self.used_s = time.monotonic()
        self.damaged = 0

    @property
    def edge(self) -> int:
        """Up to where it is asked for."""
        return self.asks[-1].at + self.asks[-1].size if self.asks else self.at

    def take(self, size: int) -> memoryview:
        """At most `size` bytes of the first slice, which is here."""
        ask = self.asks[0]
        if ask.data is None:
            raise AssertionError("the slice is here")
        start = self.at - ask.at
        piece = ask.data[start : start + size]
        self.at += len(piece)
        if self.at == ask.at + ask.size:
            self.asks.popleft()
        return piece


class BrowserFile(OfThisKernel):
    """A file on the computer of whoever looks at the notebook.

    `client.files.upload(file)` takes it like any other source; `file.upload(client)` does the same,
    and also stops at once while it waits for its page.

    Attributes:
        name: without a folder: browsers tell none.
        size: bytes.
        modified_ns: nanoseconds since 1970, exact to the millisecond.
        folder: where it lies in the folder that was dropped; "" where it was not in one.
        waiting_for: why it cannot be read now, and what to do; "" where it can.
        parts_at_once: more parts would share one page's connection, and ask for more memory.
    """

    parts_at_once = 8

    def __init__(
        self,
        link: Link,
        *,
        key: str,
        name: str,
        size: int,
        modified_ms: int,
        folder: str = "",
        direct: bool = False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.size, self.modified_ns = name, size, modified_ms * 10**6
        self.folder = folder
        self.direct = direct
        self.waiting_for = ""
        self.link = link
        self.key = ""  # by which the page that holds it knows it
        self._offered = key
        self._samples: tuple[str, ...] = ()
        self._blocks = frozenset(sample_blocks(size))  # (offset, size)
        self._sampled: dict[tuple[int, int], memoryview] = {}
        self._note = ""
        self._ended = ""
        self._tell_widget = changed
        self._readers: list[_Reader] = []
        self._starts: list[int] = []
        self._said: dict[Emit, str] = {}
        self._lock = threading.Lock()
        self._adopting = threading.Lock()
        self._closings = 0
        self._mine = threading.local()

    # --- a Source ----------------------------------------------------------------------------

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        """At most `size` bytes from `offset`; waits until a page gives them.

        Raises:
            SourceChanged: it has changed on its disk.
            TransferError: it was removed from the list; or it is away for a minute, and nobody
                could stop the wait.
            UploadStopped: the upload was stopped meanwhile.
        """
        size = max(0, min(size, self.size - offset))
        if not size:
            return b""
        if (offset, size) in self._blocks:
            return self._block((offset, size))
        reader = self._mine.reader = self._reader(offset)
        try:
            pieces = []
            while size:
                self._until(partial(self._is_ready, reader, size))
                pieces.append(reader.take(size))
                size -= len(pieces[-1])
        except BaseException:
            self._give_up(reader)
            raise
        reader.busy, reader.used_s = False, time.monotonic()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def reader(self, start: int, size: int, cancel: CancelToken) -> AnyPlace:
        """What reads a part of it, in the thread that sends the part.

        Another thread would know neither what stops the reading nor whom to tell of waits
        (`steered`); the file asks for slices ahead itself.
        """
        return AnyPlace(self, ahead=False)

    def check(self) -> None:
        """See that it is not known to have changed; a page notices when it reads it."""
        if self._ended:
            raise self._error()

    def facts(self) -> SourceFacts:
        """`browser:` and its name, size and modification time."""
        return SourceFacts(f"browser:{self.name}", self.size, self.modified_ns, 0)

    def close(self) -> None:
        """Let go of slices that lie ready; it can still be read."""
        with self._lock:
            idle = [reader for reader in self._readers if not reader.busy]
            self._starts.clear()
            self._said.clear()
            self._sampled = {}
            self._closings += 1
        self._give_up(*idle)
        self.link.wake()

    def __repr__(self) -> str:
        waiting = f", {self.waiting_for}" if self.waiting_for else ""
        return f"<BrowserFile {plain(self.name)}: {show_bytes(self.size)}{waiting}>"

    # --- uploading it ------------------------------------------------------------------------

    def upload(self, client: Any, **fields: Any) -> Upload:
        """Start an upload and return its handle; takes the keywords of `client.files.upload`."""
        upload: Upload = self._files(client).upload(self, **fields)
        return upload

    def resume(self, client: Any, upload_id: str) -> Upload:
        """Go on with an unfinished upload of this file, by its id in `uploads()`."""
        return self._files(client).resume_upload(upload_id, self)

    def _files(self, client: Any) -> AsyncFiles:
        return page_files(client, self)

    @contextmanager
    def steered(self, stop: CancelToken, emit: Emit, end: int = 0) -> Iterator[None]:
        """Within the block, this thread's reading ends with `stop`, and its waits are told.

        Args:
            stop: ends the reading.
            emit: is told the waits.
            end: up to where the thread will read, in order; 0: not known.
        """
        self._mine.stop, self._mine.emit, self._mine.end = stop, emit, end
        try:
            with stop.waking(self.link.wake):
                yield
        finally:
            self._mine.stop, self._mine.emit, self._mine.end = None, None, 0
            if stop:
                self._said.pop(emit, None)
                reader = getattr(self._mine, "reader", None)
                self._give_up(*([reader] if reader else []))

    # --- dropped again -----------------------------------------------------------------------

    @property
    def is_away(self) -> bool:
        """True where no page can be asked for it now."""
        key = self._offered or self.key
        return bool(self.link.why_gone(key)) or self.link.is_silent(key)

    @property
    def keys(self) -> tuple[str, ...]:
        """By which pages know it: the one that is read, and the one that is offered."""
        return tuple(key for key in (self.key, self._offered) if key)

    def is_like(self, name: str, size: int, modified_ms: int) -> bool:
        """True for a file of the same name, size and modification time."""
        return (name, size, modified_ms * 10**6) == (self.name, self.size, self.modified_ns)

    def offer(self, key: str) -> None:
        """It may be the file that was dropped now; its bytes are compared before it is read."""
        with self.link.changed:
            self._offered, self._note = key, ""
            self.link.changed.notify_all()
        self.look()

    def decline(self, why: str) -> None:
        """What was dropped is another file of this name."""
        self._note = why
        self.look()

    def look(self) -> None:
        """Say how it is now, also where nobody reads it."""
        self.waiting_for = self._trouble()
        self._tell_widget()

    def end(self, why: str) -> None:
        """It will not be read any more: it has changed, or was removed."""
        with self.link.changed:
            self._ended = why
            self.link.changed.notify_all()

    @property
    def was_unreadable(self) -> bool:
        """True where its page could not read it any more."""
        return self.link.was_unreadable(self.key)

    # --- reading -----------------------------------------------------------------------------

    def _block(self, block: tuple[int, int]) -> memoryview:
        """What an upload is recognised by, or a small file as a whole: all blocks in one go."""
        while (data := self._sampled.get(block)) is None:
            self.wait_until_here()
            if not self._sampled:
                with suppress(_NotThere):
                    self._sampled = self._sample(self.key)
        return data

    def _reader(self, offset: int) -> _Reader:
        """The reader that has come to `offset`, or a new one, which is its caller's alone."""
        now_s, end = time.monotonic(), getattr(self._mine, "end", 0)
        with self._lock:
            idle = [one for one in self._readers if not one.busy]
            reader = next((one for one in idle if one.at == offset), None)
            if reader is not None:
                reader.in_order = reader.busy = True
                reader.end = end
                return reader
            if offset not in self._starts:
                insort(self._starts, offset)
            self._readers.append(reader := _Reader(offset, end))
            spare = idle[: max(0, len(self._readers) - _READERS)]
            old = [one for one in idle if now_s - one.used_s > _IDLE_S]
        self._give_up(*spare, *old)
        return reader

    def _give_up(self, *readers: _Reader) -> None:
        """Nobody reads on from there: what lies ready is let go of."""
        with self._lock:
            self._readers = [one for one in self._readers if one not in readers]
        with self.link.changed:
            for reader in readers:
                self._drop(reader)

    def _drop(self, reader: _Reader) -> None:
        while reader.asks:
            self.link.forget(reader.asks.popleft())

    def wait_until_here(self) -> None:
        """Wait until a page holds it, as far as that is known."""
        self._until(self._is_here)

    def _until(self, ready: Callable[[], bool], *, adopt: bool = True) -> None:
        """Wait, and say what for; raises where the wait is to end."""
        since_s, closings = time.monotonic(), self._closings
        while not ready():
            trouble = self._trouble()
            self._tell(trouble)
            if not trouble:
                since_s = time.monotonic()
            self._check_wait(trouble, since_s, closings)
            if adopt and self._offered:
                self._adopt()
        self._tell("")

    def _is_here(self) -> bool:
        with self.link.changed:
            if self._ended:
                raise self._error()
            if self._offered:
                return False
            here = not self._trouble()
            if not here:
                self.link.wait()
            return here

    def _is_ready(self, reader: _Reader, size: int) -> bool:
        """See that the reader's first slice is asked for, is here, and is sound."""
        with self.link.changed:
            if self._ended:
                raise self._error()
            if self.key and not self.link.why_gone(self.key) and not self._offered:
                self._plan(reader, size)
            head = reader.asks[0] if reader.asks else None
            if head is None or head.data is None:
                if not self._offered:
                    self.link.wait()
                return False
        return self._is_sound(reader)

    def _is_sound(self, reader: _Reader) -> bool:
        """Where a slice is begun: see that it is what the page read; else it is asked for again."""
        if reader.at != reader.asks[0].at or reader.asks[0].is_sound:
            return True
        reader.damaged += 1
        if reader.damaged > _DAMAGED_MOST:
            raise TransferError(
                f"{self.name} arrives damaged from the browser: {reader.damaged} times a slice had "
                "another size or CRC-32 than the page found."
            )
        with self.link.changed:
            self._drop(reader)
        return False

    def _plan(self, reader: _Reader, size: int) -> None:
        """Ask for what is wanted, and ahead of it where it is read in order."""
        if any(ask.lost for ask in reader.asks):
            kept = []
            while reader.asks and not reader.asks[0].lost:
                kept.append(reader.asks.popleft())
            self._drop(reader)
            reader.asks.extend(kept)
        wanted = end = reader.at + size
        slice_size = self._slice_size()
        if reader.in_order:
            end = max(end, reader.end or self._next_start(reader.at))
            ahead = AT_ONCE * slice_size // self._sharing()
            wanted = max(wanted, min(end, reader.at + ahead))
        while reader.edge < wanted:
            piece = reader.edge, min(slice_size, end - reader.edge)
            reader.asks.append(self.link.ask(self.key, piece))

    def _slice_size(self) -> int:
        return min(self.link.slice_size, max(_LEAST_AHEAD, _AHEAD // self._sharing()))

    def _sharing(self) -> int:
        """How many readers want bytes now, or have some ready: one at least, who asks."""
        return sum(one.busy or bool(one.asks) for one in tuple(self._readers)) or 1

    def _next_start(self, at: int) -> int:
        """Where another reader began: it need not be read twice. The end of the file is last."""
        index = bisect_right(self._starts, at)
        return self._starts[index] if index < len(self._starts) else self.size

    # --- waiting -----------------------------------------------------------------------------

    def _trouble(self) -> str:
        """Why it cannot be read now; "" where it can, or where that shows in a moment."""
        key, name = self._offered or self.key, plain(self.name)
        if why := self.link.why_gone(key):
            note = f" ({self._note})" if self._note else ""
            return f"{name}: {why}; drop the same file again to go on{note}"
        if self.link.is_silent(key):
            return (
                f"{name}: the page that holds it does not answer; is its tab closed, or its "
                f"connection lost? {_when_heard()}"
            )
        return ""

    def _check_wait(self, trouble: str, since_s: float, closings: int) -> None:
        stop: CancelToken | None = getattr(self._mine, "stop", None)
        if stop:
            raise UploadStopped(f"{self.name} was not read on: {stop.reason}.")
        if not trouble or stop is not None:
            return
        if closings != self._closings:
            raise UploadStopped(f"{self.name} was not read on: its upload has ended.")
        if time.monotonic() - since_s > self.link.patience.away_s:
            raise TransferError(f"Waited for {trouble}.").hint(
                "Make the same call again once the file is there: it goes on from its journal."
            )

    def _tell(self, trouble: str) -> None:
        if trouble != self.waiting_for:
            self.waiting_for = trouble
            self._tell_widget()
        emit: Emit | None = getattr(self._mine, "emit", None)
        if emit is not None and self._said.get(emit, "") != trouble:
            self._said[emit] = trouble
            emit(ev.waits_for(trouble))

    def _error(self) -> Exception:
        if self._ended == "removed":
            return TransferError(f"{self.name} was removed from the list of files.")
        return SourceChanged(f"{self.name} changed during the upload: {self._ended}.").hint(
            "Nothing was completed. Upload it again once nobody writes to it."
        )

    # --- is it the same file? ----------------------------------------------------------------

    def _adopt(self) -> None:
        """Compare samples of the file that is offered, and read on from it if they are the same."""
        with self._adopting:
            key = self._offered
            if not key:
                return  # another thread has done it
            blocks: dict[tuple[int, int], memoryview] = {}
            try:
                blocks = self._sample(key)
                samples = sample_hashes(lambda at, size: blocks.get((at, size), b""), self.size)
            except _NotThere:
                same, self._note, samples = not self.key, "it could not be read", ()
            else:
                same = samples == (self._samples or samples)
                self._note = "" if same else "the bytes of the one that was dropped are others"
            old = self.key if same else key
            with self.link.changed:
                if same:
                    self.key, self._samples, self._sampled = key, samples, blocks
                if self._offered == key:
                    self._offered = ""
            if old != self.key and old:
                self.link.release(old)

    def _sample(self, key: str) -> dict[tuple[int, int], memoryview]:
        """Its blocks, all in one slice if they fit; by another key, it need not be this file."""
        left = [block for block in sample_blocks(self.size) if block[1]]
        taken: dict[tuple[int, int], memoryview] = {}
        while left:
            reader = _Reader(left[0][0])
            try:
                self._until(partial(self._is_sampled, reader, key, left), adopt=False)
                here = reader.asks[0].pieces
                taken |= {block: reader.take(block[1]) for block in here}
            finally:
                self._give_up(reader)
            left = left[len(here) :]
        return taken

    def _is_sampled(self, reader: _Reader, key: str, blocks: list[tuple[int, int]]) -> bool:
        with self.link.changed:
            if self._ended:
                raise self._error()
            if (self._offered or self.key) != key or self.link.why_gone(key):
                raise _NotThere
            if not reader.asks or reader.asks[0].lost:
                fitting = max(1, self.link.slice_size // blocks[0][1])
                reader.asks = deque([self.link.ask(key, *blocks[:fitting])])
            if reader.asks[0].data is None:
                self.link.wait()
                return False
        return self._is_sound(reader)


def _when_heard() -> str:
    """When this kernel hears what pages say."""
    ipykernel = sys.modules.get("ipykernel")
    if ipykernel is not None and ipykernel.version_info[0] < 7:
        return "ipykernel 6 hears it only while no cell runs."
    return "A cell that computes keeps the kernel from hearing it."


class _NotThere(Exception):
    """The file that is offered cannot be read."""
