"""An object read back from its store: the bytes that were asked for, of one version, and no others.

Rules of this file: an answer counts only where it says which bytes it brings, of how many, and of
which version, and where these are the ones that were asked for. An object that is replaced
meanwhile ends the reading: two versions are never mixed. What breaks off is asked for again from
there on. A URL is used until the store refuses it; then CDF is asked for another one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import anyio

from cognite_nb_upload import background
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import SourceChanged, TransferError
from cognite_nb_upload.store.answer import NoAnswer
from cognite_nb_upload.store.connection import Reply
from cognite_nb_upload.store.network import NetworkStore

# What is asked for first, and tells size and version: a small file is all there with it.
FIRST: Final = 512 * KIB
# Ranges at once: more gain nothing on a fast link, and a slow one is full with these.
_AT_ONCE: Final = 4
# A store within this round trip, in seconds, is as quick as this machine: there more threads than
# cores only take the interpreter from each other.
_NEAR_S: Final = 0.002
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
# A store says so of a URL that is over or wrong: CDF is asked for another one, once.
_PAGE: Final = "the answer is a page, not the file: is there a login or a proxy between?"
_OF_THE_URL: Final = frozenset({400, 401, 403, 404, 410})
T = TypeVar("T")
Pieces = Generator[memoryview, None, None]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store says of an object.

    Attributes:
        size: bytes.
        etag: its strong ETag; "" where there is none: then two answers cannot be known to be of
            one version, and what breaks off begins again.
        checksums: of all its bytes, by the store's name for them.
    """

    size: int
    etag: str = ""
    checksums: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `[start, end)` that are to be read, as number `no` of several."""

    no: int
    start: int
    end: int


# At most so many spans: a record and a strip of them stay small. Each costs a round trip, in
# which its connection is idle: they are long where the object is, and never shorter than this.
_MOST_SPANS: Final = 200
_SPANS: Final = 32
_SMALLEST_SPAN: Final = 8 * MIB
_LONGEST_SPAN: Final = 64 * MIB


def span_size(found: StoredObject) -> int:
    """Bytes of a span. Without a version there is one span: another might not fit it."""
    if not found.etag:
        return max(1, found.size)
    fits = min(_LONGEST_SPAN, found.size // _SPANS // MIB * MIB)
    return max(_SMALLEST_SPAN, fits, -(-found.size // _MOST_SPANS // MIB) * MIB)


def ranges_at_once(trip_s: float, cores: int) -> int:
    """How many ranges come at once, where nobody says so.

    Args:
        trip_s: the shortest round trip to the store, in seconds; 0 where it is not known.
        cores: of this machine.
    """
    return min(_AT_ONCE, max(2, cores)) if 0 < trip_s < _NEAR_S else _AT_ONCE


def cut(size: int, step: int) -> list[Span]:
    """Spans of `step` bytes that tile an object of `size` bytes."""
    starts = range(0, size, step)
    return [Span(no, start, min(start + step, size)) for no, start in enumerate(starts)]


class Sink(Protocol):
    """Where bytes go. Any thread may call it, each span in order."""

    def __call__(self, span: Span, at: int, data: bytes | memoryview, /) -> None:
        """Take the object's bytes from `at` on. What it raises ends the reading."""
        ...


class _Problem(Exception):
    """Why a try came to nothing; `again` where another one may do better."""

    def __init__(self, reason: str, status: int | None = None, *, again: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.status, self.again = reason, status, again


class ObjectReader:
    """Reads one object through signed URLs.

    Args:
        network: the way to the store.
        retry: how often a range that breaks off is asked for again; what comes renews it.
        fresh_url: asks CDF for a URL of the object.
        waiting: is told why it waits, and "" when it goes on.
    """

    def __init__(
        self,
        network: NetworkStore,
        retry: Retry,
        fresh_url: Callable[[], Awaitable[Secret]],
        waiting: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._network, self._retry, self._waiting = network, retry, waiting
        self._fresh_url = fresh_url
        self._url: Secret | None = None
        self._asking = anyio.Lock()
        self.found: StoredObject | None = None
        self._served: tuple[str, bool] | None = None  # as the first answer came: `_served_as`
        self._trip_s = 0.0

    async def open(self) -> tuple[StoredObject, bytes]:
        """Size and version, and the first bytes: all of them, where there are few.

        Raises:
            TransferError: the store gives no answer that can be used.
        """
        first: list[bytes] = []

        def take(url: Secret, stop: CancelToken) -> None:
            first[:] = [self._first(url, stop)]

        await self._tried(lambda: 0, take)
        assert self.found is not None  # noqa: S101 # `_first` sets it, or raises
        return self.found, first[0]

    async def read(self, spans: Iterable[Span], sink: Sink, at_once: int | None = None) -> None:
        """Read the spans, so many at once, and hand what comes to `sink`.

        Where `at_once` is None, as `ranges_at_once` has it.

        Raises:
            SourceChanged: the object is another one now.
            TransferError: a span did not come, however often it was asked for.
        """
        todo, errors = iter(spans), []

        async def work() -> None:
            try:
                for span in todo:
                    await self._span(span, sink)
            except Exception as error:
                errors.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for _ in range(at_once or ranges_at_once(self._trip_s, os.cpu_count() or 1)):
                group.start_soon(work)
        if errors:
            raise errors[0]

    # --- one span ---------------------------------------------------------------------------

    async def _span(self, span: Span, sink: Sink) -> None:
        at = span.start

        def take(url: Secret, stop: CancelToken) -> None:
            nonlocal at
            if not self._found.etag:
                at = span.start  # the rest might be of another version
            with closing(self._body(url, at, span.end, stop)) as pieces:
                for data in pieces:
                    sink(span, at, data)
                    at += len(data)

        await self._tried(lambda: at, take)

    async def _tried(
        self, at: Callable[[], int], work: Callable[[Secret, CancelToken], None]
    ) -> None:
        """Run `work` in a thread until it is through; progress renews its tries."""
        tries = 0
        while True:
            (url, is_new), before = await self._link(), at()
            problem = await _stoppable(partial(_problem_of, work, url))
            if problem is None:
                return
            if problem.status in _OF_THE_URL:
                self._spoil(url)
                if not is_new:
                    continue
            tries = 1 if at() > before else tries + 1
            wait_s = self._retry.wait_s(tries, status=problem.status) if problem.again else None
            if wait_s is None:
                raise TransferError(f"The download stopped at byte {at()}: {problem.reason}.")
            self._waiting(problem.reason)
            await anyio.sleep(wait_s)
            self._waiting("")

    async def _link(self) -> tuple[Secret, bool]:
        """The URL, and whether it was asked for just now."""
        async with self._asking:
            if is_new := self._url is None:
                self._url = await self._fresh_url()
            assert self._url is not None  # noqa: S101 # for mypy
            return self._url, is_new

    def _spoil(self, url: Secret) -> None:
        if self._url is url:
            self._url = None

    @property
    def _found(self) -> StoredObject:
        assert self.found is not None  # noqa: S101 # it is opened first
        return self.found

    # --- one request, in a thread -----------------------------------------------------------

    def _first(self, url: Secret, stop: CancelToken) -> bytes:
        with self._network.reading(url, stop, 0, FIRST - 1) as reply:
            self._trip_s = reply.trip_s
            if reply.status_code != 416:
                found, _, end = _checked(reply, 0, FIRST)
                self._see(found, reply)
                return b"".join(map(bytes, _exactly(reply, 0, 0, min(end, FIRST))))
        with self._network.reading(url, stop, None) as reply:  # no range fits: is it empty?
            found, _, _ = _checked(reply, 0, FIRST)
            if found.size:
                raise _Problem("the store says 416 of a range that it has")
            self._see(found, reply)
            return b""

    def _body(self, url: Secret, start: int, end: int, stop: CancelToken) -> Pieces:
        version = {"if-match": self._found.etag} if self._found.etag else {}
        with self._network.reading(url, stop, start, end - 1, version) as reply:
            if reply.status_code == 412:
                raise _replaced()
            found, first, _ = _checked(reply, start, end)
            self._see(found, reply)
            yield from _exactly(reply, first, start, end)

    def _see(self, found: StoredObject, reply: Reply) -> None:
        """The first answer says which version it is; each further one has to be of the same.

        Raises:
            SourceChanged: it is not.
            _Problem: it is served in another way: by somebody else, as a page.
        """
        known, served = self.found, _served_as(reply.headers)
        if known is None:
            self.found, self._served = found, served
        elif (known.size, known.etag) != (found.size, found.etag):
            raise _replaced()
        elif served != self._served:
            raise _Problem(_PAGE)


def _problem_of(
    work: Callable[[Secret, CancelToken], None], url: Secret, stop: CancelToken
) -> _Problem | None:
    """What kept `work` from being through, or None."""
    try:
        work(url, stop)
    except _Problem as problem:
        return problem
    except NoAnswer as error:
        return _Problem(str(error))
    return None


def _checked(reply: Reply, start: int, end: int) -> tuple[StoredObject, int, int]:
    """What the answer says of the object, and the first byte and the end of what it brings.

    Raises:
        _Problem: it is not an answer to the question for bytes `[start, end)`.
    """
    status, headers = reply.status_code, reply.headers
    if status == 416:
        raise _Problem("the store says 416 of a range that it has")
    if status not in (200, 206):
        raise _Problem(f"the store says {status}", status, again=status >= 400)
    if (coding := headers.get("content-encoding", "identity").lower()) != "identity":
        raise _Problem(f"the answer is packed as {coding}, which nobody asked for", again=False)
    first, last, size = _extent(status, headers)
    wanted = (start, min(end, size)) if status == 206 else (0, size)
    if (first, last) != wanted:
        raise _Problem(
            f"asked for bytes {start} to {end - 1}, the answer brings {first} to {last - 1} "
            f"of {size}"
        )
    etag = headers.get("etag", "")
    found = StoredObject(size, etag if etag.startswith('"') else "", _checksums(status, headers))
    return found, first, last


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int, int, int]:
    """First byte, end and size of the whole, as the answer says."""
    length = headers.get("content-length", "")
    if status == 206:
        said = _RANGE.fullmatch(headers.get("content-range", ""))
        if said is None:
            raise _Problem("the answer does not say which bytes of how many it brings")
        first, last, size = map(int, said.groups())
        if length.isdigit() and int(length) != last + 1 - first:
            raise _Problem(f"the answer says {length} bytes for bytes {first} to {last}")
        return first, last + 1, size
    if not length.isdigit():
        raise _Problem("the answer does not say how many bytes it brings")
    if _is_page(headers):
        raise _Problem(_PAGE)
    return 0, int(length), int(length)


def _is_page(headers: Mapping[str, str]) -> bool:
    """True where somebody else has answered: a store gives ranges, and a version, to each GET."""
    html = headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml"))
    empty = headers.get("content-length") == "0"
    return "set-cookie" in headers or (not empty and (html or "etag" not in headers))


def _served_as(headers: Mapping[str, str]) -> tuple[str, bool]:
    """What a store never changes between two answers of one object: its type, and no cookie."""
    return headers.get("content-type", "").lower(), "set-cookie" in headers


def _exactly(reply: Reply, first: int, start: int, end: int) -> Pieces:
    """Bytes `[start, end)` of an answer whose body begins at byte `first`.

    Raises:
        _Problem: it brings fewer.
    """
    at = first
    for piece in reply.pieces():
        fresh = piece[max(0, start - at) : max(0, end - at)]
        at += len(piece)
        if fresh:
            yield fresh
        if at >= end:
            return
    if at < end:
        raise _Problem(f"the answer ended {end - at} bytes early")


def _checksums(status: int, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Those of the whole object. Content-MD5 is of what the answer brings: the whole with 200."""
    names = ["x-ms-blob-content-md5", *(["content-md5"] if status == 200 else [])]
    found = [("MD5", headers[name]) for name in names if headers.get(name)]
    for pair in headers.get("x-goog-hash", "").split(","):
        name, _, value = pair.strip().partition("=")
        if value and name in ("md5", "crc32c"):
            found.append((name.upper(), value))
    return tuple(dict.fromkeys(found))


def _replaced() -> SourceChanged:
    return SourceChanged("The file was replaced while it was being downloaded.").hint(
        "Nothing of two versions was mixed. Download it again: that gives what is there now."
    )


async def size_of(
    network: NetworkStore, retry: Retry, fresh_url: Callable[[], Awaitable[Secret]]
) -> int | None:
    """Bytes of the whole, by asking the store for one of them; None: it does not say.

    Raises:
        TransferError: it gives no answer.
    """
    attempt = 0
    while True:
        attempt += 1
        url = await fresh_url()
        found = await _stoppable(partial(_ask_size, network, url))
        if not isinstance(found, _Problem):
            return found
        wait_s = retry.wait_s(attempt, status=found.status)
        if wait_s is None:
            raise TransferError(_no_size(found))
        await anyio.sleep(wait_s)


def try_size(network: NetworkStore, url: Secret, stop: CancelToken) -> int | None:
    """`size_of` by this URL, asked once by the calling thread; errors as there."""
    found = _ask_size(network, url, stop)
    if isinstance(found, _Problem):
        raise TransferError(_no_size(found))
    return found


def _ask_size(network: NetworkStore, url: Secret, stop: CancelToken) -> _Problem | int | None:
    try:
        with network.reading(url, stop, 0, 0) as reply:
            status = reply.status_code
            if status not in (200, 206, 416):
                return _Problem(f"the store says {status}", status)
            if status == 200 and _is_page(reply.headers):
                return _Problem(_PAGE)
            return _total_of(reply)
    except NoAnswer as error:
        return _Problem(str(error))


def _no_size(problem: _Problem) -> str:
    return f"The store does not tell the file's size: {problem.reason}."


def _total_of(reply: Reply) -> int | None:
    """The size of the whole, from the answer to `bytes=0-0`; None: it does not say."""
    if reply.status_code in (206, 416):
        total = reply.headers.get("content-range", "").rpartition("/")[2]
    else:  # 200: it ignored the range, or the file is empty
        total = reply.headers.get("content-length", "")
    return int(total) if total.isdigit() else None


async def _stoppable(work: Callable[[CancelToken], T]) -> T:
    """What `work` returns, in a worker thread; being cancelled stops it."""
    found: list[T] = []
    await background.in_thread(lambda stop: found.append(work(stop)), CancelToken())
    return found[0]
