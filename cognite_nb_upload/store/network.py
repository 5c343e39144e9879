"""A store over the network: parts are put there, and files are read back, by connections of ours.

Rules of this file: a part carries an exact Content-Length and nothing else (a whole file in one PUT
also its type, which its URL is signed for), no credentials and no cookies; no redirect is followed.
A forked child begins without any connection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from weakref import WeakSet

import httpx

from cognite_nb_upload import http, process
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.congestion import Congestion
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.errors import SourceChanged, UploadStopped
from cognite_nb_upload.sources import AnyPlace, Source, reader_of, region_of
from cognite_nb_upload.store.answer import Answer, NoAnswer
from cognite_nb_upload.store.connect import Route
from cognite_nb_upload.store.connection import (
    Body,
    Connection,
    Reply,
    StoreTimeouts,
    piece_size,
)
from cognite_nb_upload.store.port import Checksums, PartJob, Verdict
from cognite_nb_upload.store.read_ahead import ReadAhead
from cognite_nb_upload.store.traffic import Seen, Traffic
from cognite_nb_upload.store.url import SignedURL, checked_upload_url
from cognite_nb_upload.store.verdict import judge, unanswered

# What was asked of stores, and what they answered: at DEBUG, without any signature.
_log = logging.getLogger("cognite_nb_upload.store")


@lru_cache(maxsize=256)
def _origin(scheme: str, netloc: str) -> httpx.URL:
    """The host of a URL, read once: reading it costs a small file a tenth of its CPU."""
    return httpx.URL(f"{scheme}://{netloc}")


class Connections:
    """One process's connections: those that are idle, and what all of them carry."""

    def __init__(self, congestion: Congestion = "auto") -> None:
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._busy = 0
        self.traffic = Traffic(congestion)

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, route: Route, timeouts: StoreTimeouts) -> Connection:
        """The one of this route that was used last, or a new one; what is over is closed."""
        while (found := self._last_of(route)) is not None:
            if found.reusable():
                return found
            found.close()
        return Connection(route, timeouts, self.traffic)

    def _last_of(self, route: Route) -> Connection | None:
        """The idle one of this route that was used last, no longer idle; old ones are closed."""
        with self._lock:
            idle = self._idle
            while idle and idle[0].is_old:  # they lie in the order in which they were used
                idle.pop(0).close()
            for at in range(len(idle) - 1, -1, -1):
                if idle[at].route == route:
                    return idle.pop(at)
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next one, or close it."""
        if connection.is_over:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()

    @contextmanager
    def to(self, url: SignedURL, timeouts: StoreTimeouts) -> Iterator[Connection]:
        """A connection to where a URL leads, kept for the next one."""
        tls = http.tls_context() if url.scheme == "https" else None
        proxy = http.proxy_for(_origin(url.scheme, url.netloc))
        connection = self.take(Route(url.host, url.port, tls, proxy), timeouts)
        with self._lock:
            self._busy += 1
            connection.piece = piece_size(self._busy)
        try:
            yield connection
        finally:
            with self._lock:
                self._busy -= 1
            self.give_back(connection)

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            idle, self._idle = self._idle, []
        for one in idle:
            one.close()


class NetworkStore(NotPickled):
    """Stores behind signed URLs; the `PartStore` over HTTP. Any thread may call it.

    Args:
        base_url: of CDF: where it is on this machine, so may be the store.
        timeouts: when a connection, a part or an answer counts as stalled.
        congestion: how TCP decides what it sends, as of `Traffic`.
    """

    def __init__(
        self, base_url: str, timeouts: StoreTimeouts, congestion: Congestion = "auto"
    ) -> None:
        self.base_url, self.timeouts = base_url, timeouts
        self.connections = process.PerProcess(lambda: Connections(congestion))
        self._with_etag: set[object] = set()
        self._checksums: dict[object, Checksums] = {}
        self._slow: WeakSet[Source] = WeakSet()  # to read
        http.quiet_logs()

    def put(self, job: PartJob, cancel: CancelToken) -> Verdict:
        """Send one part, once; see `PartStore.put`."""
        with http.Sealed():
            url = checked_upload_url(job.url, self.base_url)
            headers = {"content-type": job.content_type} if job.content_type else {}
            try:
                with (
                    self._connection(url) as connection,
                    self._body_of(job, connection.piece, cancel) as body,
                ):
                    answer = connection.put(url, headers, body, cancel)
            except NoAnswer as error:
                _log.debug("PUT %s: %s", url, error)
                return unanswered(error)
            _log.debug("PUT %s: %d", url, answer.status)
        return self.judge(answer, url)

    @contextmanager
    def _body_of(self, job: PartJob, piece: int, cancel: CancelToken) -> Iterator[Body]:
        """What a connection sends of a job; what reads it ends with the block."""
        source, throttle, watched = job.source, job.throttle, job.is_watched
        reader = reader_of(source, job.start, job.size, cancel)
        if isinstance(reader, AnyPlace) and reader.ahead:
            span = (job.start, job.start + job.size)
            reader = ReadAhead(source, reader, span, piece, self._slow, cancel)

        def read(at: int, room: memoryview) -> memoryview:
            data = reader.read_piece(job.start + at, room)
            if len(data) != len(room):
                if cancel:
                    raise UploadStopped(f"Part {job.no} was not sent: {cancel.reason}.")
                left = job.size - at - len(data)
                raise SourceChanged(f"{source.name or 'The content'} ended {left} bytes early.")
            if watched:
                job.watch(data)
            return data

        region = None if watched else region_of(source)
        try:
            yield Body(
                job.size,
                read,
                file=(region[0], region[1] + job.start) if region else None,
                throttle=(lambda wanted: throttle.take(wanted, cancel)) if throttle else None,
                on_sent=job.sent,
            )
        finally:
            reader.close()

    def judge(self, answer: Answer, url: SignedURL) -> Verdict:
        """What an answer means, in the light of the other answers to such URLs."""
        verdict = judge(answer, etag_expected=url.shape in self._with_etag)
        if verdict.stored and answer.headers.get("etag"):
            self._with_etag.add(url.shape)
        if verdict.stored:
            self._checksums[url.shape] = verdict.checksums
        return verdict

    def checksums_of(self, url: Secret) -> Checksums | None:
        """Those of the last answer to such a URL; None where there was none yet."""
        return self._checksums.get(checked_upload_url(url, self.base_url).shape)

    @contextmanager
    def reading(
        self,
        url: Secret,
        cancel: CancelToken,
        first: int | None,
        last: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Reply]:
        """The answer to GET with `Range: bytes=first-last`, without credentials or redirects.

        Where `first` is None, no range is asked for.

        Raises:
            NoAnswer: there is none, or it broke off or stalled.
        """
        span = {} if first is None else {"range": f"bytes={first}-{'' if last is None else last}"}
        plain = {"accept-encoding": "identity"}
        with http.Sealed():
            target = checked_upload_url(url, self.base_url)
            with (
                self._connection(target) as connection,
                connection.get(target, {**span, **plain, **(headers or {})}, cancel) as reply,
            ):
                _log.debug("GET %s: %d", target, reply.status_code)
                yield reply

    def _connection(self, url: SignedURL) -> AbstractContextManager[Connection]:
        return self.connections.get().to(url, self.timeouts)

    def traffic(self, hurry: bool = False) -> Seen:
        """What this process's connections have carried, and how the way is; `hurry` as there."""
        return self.connections.get().traffic.look(hurry)

    def close(self) -> None:
        """Close the connections that are idle."""
        self.connections.get().close()
