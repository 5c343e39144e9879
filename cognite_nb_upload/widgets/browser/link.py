"""The way to the pages that hold files: slices asked for, answers counted, silence understood.

Rules of this file: what comes from a page is heard in any thread, and quickly; the threads that
wait for it do the work. A few slices are under way at a time, which is all the flow control there
is. A slice is asked for again only when a page has said, after it was asked, that it is not at work
on it: messages keep their order, so such a slice is lost, and nothing is ever sent twice by
impatience. No widget is known here.

Measured and left alone: a WebSocket of the page's own carries a fifth to a third more than
JupyterLab's does. But Jupyter's server keeps what cells print while a page is cut off for the last
of its connections alone, so that a second one would lose outputs which have nothing to do with us.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cognite_nb_upload.core.plan import KIB, MIB

Message = Mapping[str, Any]

# Jupyter's server closes a connection over a message of more than 10 MiB. Each message costs 30 to
# 50 ms of CPU, whatever its size: JupyterLab draws anew that the kernel is busy, and then idle.
LARGEST: Final = 19 * MIB // 2
SMALLEST: Final = 64 * KIB
# Measured: 3 of 8 MiB go a fifth faster than 6 of 4 MiB, and more, or two, go slower or no faster.
AT_ONCE: Final = 3
_FIRST: Final = MIB
# A slice that takes longer than this, in seconds, was too large for its way: others wait behind it.
_SLOW_S: Final = 4.0
_QUICK_S: Final = 0.5
_PING_GROWTH: Final = 1.3
_LEFT: Final = "the page that held it was closed or loaded anew"
_ON_DISK: Final = "it was"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds of silence, and what follows from them.

    Attributes:
        quiet_s: without progress, a page is asked whether it is there,
        ping_s: and asked again, at first,
        ping_most_s: and at last.
        silent_s: without an answer, it is said that the page does not answer.
        gone_s: where another page has answered meanwhile, it is gone.
        away_s: who cannot be stopped gives up waiting for a file that is away.
    """

    quiet_s: float = 2.0
    ping_s: float = 3.0
    ping_most_s: float = 10.0
    silent_s: float = 8.0
    gone_s: float = 5.0
    away_s: float = 60.0


@dataclass(slots=True, eq=False)
class Ask:
    """A slice of a file, or several `(at, size)` in one: asked for at `at_s`, `data`, or `lost`."""

    no: int
    key: str
    pieces: tuple[tuple[int, int], ...]
    at_s: float = 0.0
    data: memoryview | None = None
    crc: int = 0
    lost: bool = False

    @property
    def at(self) -> int:
        """Where it begins."""
        return self.pieces[0][0]

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(size for _, size in self.pieces)

    @property
    def is_sound(self) -> bool:
        """True where what arrived has the size and the CRC-32 that the page found."""
        return self.data is not None and len(self.data) == self.size and (
            zlib.crc32(self.data) == self.crc
        )  # fmt: skip


@dataclass(slots=True, eq=False)
class Put:
    """A part that a page sends to its store by itself; `done` once the store has answered.

    Attributes:
        sent: bytes that the page's network has taken, as of `at_s`.
        status: the store's HTTP status; 0: no answer, or none that the page may see.
    """

    no: int
    key: str
    sent: int = 0
    at_s: float = 0.0
    done: bool = False
    lost: bool = False
    stalled: bool = False
    redirected: bool = False
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


class Link:
    """What all files of one widget share. `changed` is notified whenever anything has.

    Args:
        send: sends a message to the pages that show the widget; any thread may call it.
    """

    def __init__(self, send: Callable[[Message], None], patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.changed = threading.Condition()
        self.slice_size = _FIRST
        self._largest, self._suspect = LARGEST, 0
        self.ways: dict[str, Any] = {}  # a page's own ways to stores, by host
        self._send = send
        self._count = 0
        self._asks: dict[int, Ask] = {}  # under way
        self._queue: deque[Ask] = deque()
        self._puts: dict[int, Put] = {}
        self._keys: set[str] = set()
        self._gone: dict[str, str] = {}  # key -> why
        self._heard_s: dict[str, float] = {}  # page -> when
        self._silent_s: dict[str, float] = {}  # page -> since when it has not answered
        self._ping_due_s = self._ping_wait_s = 0.0

    # --- asking ------------------------------------------------------------------------------

    def hold(self, key: str) -> None:
        """A page has said that it holds a file by this key."""
        with self.changed:
            self._keys.add(key)

    def ask(self, key: str, *pieces: tuple[int, int]) -> Ask:
        """Ask for a slice of at most `LARGEST` bytes; call it, and wait, holding `changed`.

        Args:
            key: of its file.
            pieces: its offset and size; several come in one message, one behind the other.
        """
        ask = Ask(self._next(), key, pieces)
        self._queue.append(ask)
        self._fill()
        return ask

    def forget(self, ask: Ask) -> None:
        """Nobody waits for this slice any more; one that is on its way still takes its place."""
        if ask in self._queue:
            self._queue.remove(ask)

    def put(self, key: str, at: int, size: int, url: str) -> Put:
        """Have the page send `[at, at + size)` of a file to a store's URL."""
        put = Put(self._next(), key, at_s=time.monotonic())
        put.lost = bool(self.why_gone(key))
        if not put.lost:
            self._puts[put.no] = put
            self._send(
                {"kind": "put", "no": put.no, "key": key, "at": at, "size": size, "url": url}
            )  # the URL is in a message, and in the page's memory: in no trait, and in no log
        return put

    def abort(self, put: Put) -> None:
        """Have the page stop sending; `done` says when it has."""
        self._send({"kind": "abort", "no": put.no})

    def release(self, key: str) -> None:
        """The page need not hold this file any more; who still waits for it, waits in vain."""
        with self.changed:
            self._lose(key, "it was removed")
            self._keys.discard(key)
            self._gone.pop(key)
        self._send({"kind": "release", "key": key})

    def was_unreadable(self, key: str) -> bool:
        """True where its page has tried to read it, and could not."""
        return self.why_gone(key).startswith(_ON_DISK)

    def why_gone(self, key: str) -> str:
        """Why the file cannot be read now, in words; "" where it can."""
        return self._gone.get(key, "")

    def is_silent(self, key: str) -> bool:
        """True where the page that holds the file has not answered for a while."""
        since_s = self._silent_s.get(_page_of(key))
        return since_s is not None and time.monotonic() - since_s > self.patience.silent_s

    def wake(self) -> None:
        """Have everyone who waits look again."""
        with self.changed:
            self.changed.notify_all()

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _fill(self) -> None:
        while self._queue and self._has_room(self._queue[0].size):
            ask = self._queue.popleft()
            if self.why_gone(ask.key):
                ask.lost = True
                continue
            ask.no, ask.at_s = self._next(), time.monotonic()
            self._asks[ask.no] = ask
            self._send({"kind": "read", "no": ask.no, "key": ask.key, "pieces": ask.pieces})

    def _has_room(self, size: int) -> bool:
        """Few at once; small ones, more: a message to the page may wait 40 ms for the one before.

        Jupyter's server leaves Nagle's algorithm on.
        """
        under_way = sum(ask.size for ask in self._asks.values())
        return len(self._asks) < AT_ONCE or under_way + size <= LARGEST

    # --- waiting -----------------------------------------------------------------------------

    def wait(self) -> None:
        """Wait for anything to happen, and look after what does not; holding `changed`."""
        self.changed.wait(self.patience.quiet_s / 2)
        now_s = time.monotonic()
        quiet = any(now_s - one.at_s > self.patience.quiet_s for one in self._waited_for())
        if (quiet or self._gone) and now_s >= self._ping_due_s:
            self._ping(now_s)
        self._lose_pages(self._outlived(now_s))

    def _waited_for(self) -> tuple[Ask | Put, ...]:
        return (*self._asks.values(), *self._puts.values())

    def _ping(self, now_s: float) -> None:
        patience = self.patience
        longer_s = min(patience.ping_most_s, self._ping_wait_s * _PING_GROWTH)
        self._ping_wait_s = max(patience.ping_s, longer_s) if self._silent_s else patience.ping_s
        self._ping_due_s = now_s + self._ping_wait_s
        for key in self._keys:
            self._silent_s.setdefault(_page_of(key), now_s)
        self._send({"kind": "ping", "no": self._next()})

    def _outlived(self, now_s: float) -> set[str]:
        """Pages that have not answered for a while, where another one has: they are gone."""
        return {
            page
            for page, since_s in self._silent_s.items()
            if now_s - since_s > self.patience.gone_s
            and any(heard_s > since_s for heard_s in self._heard_s.values())
        }

    # --- hearing -----------------------------------------------------------------------------

    def hear(self, message: Message, buffers: Sequence[memoryview]) -> None:
        """Take what a page says; called by the kernel in whatever thread it hears messages."""
        with self.changed:
            hears = {
                "slice": self._hear_slice,
                "unreadable": self._hear_unreadable,
                "sent": self._hear_sent,
                "put": self._hear_put,
                "pong": self._hear_pong,
                "hello": self._hear_pong,
                "leaving": self._hear_leaving,
            }
            hear = hears.get(str(message.get("kind")))
            if hear is not None:
                hear(message, buffers)
                self._fill()
                self.changed.notify_all()

    def _hear_slice(self, message: Message, buffers: Sequence[memoryview]) -> None:
        ask = self._asks.pop(message["no"], None)
        if ask is None or not buffers:
            return
        ask.data, ask.crc = memoryview(buffers[0]).cast("B"), message["crc"]
        self._heard_from(ask.key)
        if ask.size >= self._suspect:
            self._suspect = 0
        self._adapt(time.monotonic() - ask.at_s, ask.size)

    def _heard_from(self, key: str) -> None:
        page = _page_of(key)
        self._heard_s[page] = time.monotonic()
        self._silent_s.pop(page, None)

    def _adapt(self, took_s: float, size: int) -> None:
        """Larger slices where they come quickly; smaller where others wait for long behind them."""
        if took_s < _QUICK_S and size >= self.slice_size:
            self.slice_size = min(self._largest, self.slice_size * 4)
        elif took_s > _SLOW_S:
            self.slice_size = max(SMALLEST, min(size, self.slice_size) // 2)

    def _hear_unreadable(self, message: Message, _: Sequence[memoryview]) -> None:
        self._lose(message["key"], _unreadable(message["error"]))  # this slice among others

    def _hear_sent(self, message: Message, _: Sequence[memoryview]) -> None:
        for no, sent in message["sent"]:
            if no in self._puts:
                put = self._puts[no]
                put.sent, put.at_s = sent, time.monotonic()
                self._heard_from(put.key)

    def _hear_put(self, message: Message, _: Sequence[memoryview]) -> None:
        put = self._puts.pop(message["no"], None)
        if put is None:
            return
        put.done, put.status = True, message["status"]
        put.redirected = message["redirected"]
        put.headers, put.text = message["headers"], message["text"]
        if message["error"]:
            self._lose(message["key"], _unreadable(message["error"]))

    def _hear_pong(self, message: Message, _: Sequence[memoryview]) -> None:
        page, holds = message["page"], set(message["holds"])
        self._heard_from(f"{page}-")
        for key in holds & self._gone.keys():
            if not self.was_unreadable(key):
                del self._gone[key]  # its connection had been away
        if message["kind"] == "pong":
            self._look_for_lost(page, holds, set(message["working"]), message["no"])

    def _look_for_lost(self, page: str, holds: set[str], working: set[int], ping_no: int) -> None:
        """What was asked of this page before the ping, and is neither here nor at work: lost."""
        lost = [
            one
            for one in self._waited_for()
            if _page_of(one.key) == page and one.no < ping_no and one.no not in working
        ]
        for one in lost:
            one.lost = True
            self._forget(one)
        for key in {one.key for one in lost} - holds:
            self._lose(key, "the page has let go of it")
        self._suspect_size([one.size for one in lost if isinstance(one, Ask)])

    def _suspect_size(self, sizes: Sequence[int]) -> None:
        """Lost again at a size that has not arrived since: too large for something on the way."""
        if not sizes:
            return
        if self._suspect and min(sizes) >= self._suspect:
            self._largest = max(SMALLEST, self._suspect // 2)
            self.slice_size = min(self.slice_size, self._largest)
            self._suspect = 0
        else:
            self._suspect = min(sizes)

    def _forget(self, one: Ask | Put) -> None:
        self._asks.pop(one.no, None)
        self._puts.pop(one.no, None)

    def _hear_leaving(self, message: Message, _: Sequence[memoryview]) -> None:
        self._heard_s.pop(message["page"], None)
        self._lose_pages({message["page"]})

    def _lose_pages(self, pages: set[str]) -> None:
        for key in self._keys:
            if _page_of(key) in pages and key not in self._gone:
                self._lose(key, _LEFT)

    def _lose(self, key: str, why: str) -> None:
        """The file cannot be read by this key, for now."""
        self._gone[key] = why
        for one in (*self._waited_for(), *self._queue):
            if one.key == key:
                one.lost = True
                self._forget(one)
        self._queue = deque(ask for ask in self._queue if not ask.lost)


def _unreadable(error: str) -> str:
    """What the page's error says of the file."""
    if error == "NotFoundError":
        return f"{_ON_DISK} deleted or moved"
    return f"{_ON_DISK} changed on its disk, or cannot be read any more ({error})"


def _page_of(key: str) -> str:
    return key.rpartition("-")[0]
