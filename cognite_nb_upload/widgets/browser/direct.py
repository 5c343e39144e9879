"""Parts that the page sends to the store by itself, steered by the kernel.

Rules of this file: it is tried with the first part, and where the page may not (CORS) the bytes go
through the kernel; the kernel alone judges, retries and completes. A URL is given to the page that
holds the file in a message, and is nowhere else. What is to be paced or digested goes through the
kernel, since only it can.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.http import Sealed
from cognite_nb_upload.store.answer import Answer
from cognite_nb_upload.store.network import NetworkStore
from cognite_nb_upload.store.port import PartJob, Verdict
from cognite_nb_upload.store.url import SignedURL, checked_upload_url
from cognite_nb_upload.store.verdict import judge
from cognite_nb_upload.transfer.files import AsyncFiles
from cognite_nb_upload.unfinished import as_async_client
from cognite_nb_upload.widgets.browser.link import Link, Put

# Seconds that a page may take to confirm that it has stopped sending.
_ABORT_S: Final = 5.0
# After so many broken connections in a row the page is not asked to send any more.
_BROKEN_MOST: Final = 3


@dataclass(slots=True)
class _Way:
    """What is known of a page's own way to one host: may it go there, and who finds out."""

    open: bool | None = None
    probed: bool = False
    broken: int = 0


class PageFile(Protocol):
    """What is to be known of a browser's file, to have its page send parts of it.

    Attributes:
        link: the way to its page.
        key: by which the page knows it.
        direct: True where the page may try.
    """

    link: Link
    key: str
    direct: bool

    def steered(
        self, stop: CancelToken, emit: Callable[[ev.Event], None], end: int = 0
    ) -> AbstractContextManager[None]:
        """Within the block, this thread's reading ends with `stop`, and its waits are told."""
        ...

    def wait_until_here(self) -> None:
        """Wait until a page holds it."""
        ...


class PageStore:
    """The `PartStore` of one browser file: its page sends, or else the kernel does.

    Args:
        file: the file.
        network: where its bytes go through the kernel.
    """

    def __init__(self, file: PageFile, network: NetworkStore) -> None:
        self._file, self._network = file, network
        self._link = file.link

    def put(self, job: PartJob, cancel: CancelToken) -> Verdict:
        """Send one part, once; the calling thread waits, also for a file that is away.

        Raises:
            SourceChanged: the file has changed on its disk.
            UploadStopped: it was stopped while the file was away.
            TransferError: the URL is not one to send anything to, or the file was removed.
        """
        with self._file.steered(cancel, job.emit, job.start + job.size):
            if self._file.direct and _is_free(job):
                with Sealed():
                    target = checked_upload_url(job.url, self._network.base_url)
                    verdict = self._by_page(target, job, cancel)
                if verdict is not None:
                    return verdict
            self._file.wait_until_here()
            return self._network.put(job, cancel)

    # --- by the page itself ------------------------------------------------------------------

    def _by_page(self, target: SignedURL, job: PartJob, cancel: CancelToken) -> Verdict | None:
        """Have the page send it; None where the page may not send to that host."""
        way = self._link.ways.setdefault(target.host, _Way())
        while True:
            self._file.wait_until_here()
            if not self._may_go(way, cancel):
                return None
            put = self._begin(target, job)
            try:
                self._follow(put, way, job, cancel)
            finally:
                self._end(put, way)
            if cancel:
                return Verdict(False, cancel.reason or "stopped")
            if not put.lost and not self._link.why_gone(put.key):
                return self._judged(put, way, job)
            job.sent(0)  # its page is gone, and what it sent of this part with it

    def _may_go(self, way: _Way, cancel: CancelToken) -> bool:
        """Wait until the first part has found out; the first one is let through."""
        with self._link.changed:
            while way.open is None and way.probed and not cancel:
                self._link.wait()
            way.probed = True
            return way.open is not False

    def _begin(self, target: SignedURL, job: PartJob) -> Put:
        with self._link.changed:
            return self._link.put(self._file.key, job.start, job.size, target.reveal())

    def _follow(self, put: Put, way: _Way, job: PartJob, cancel: CancelToken) -> None:
        """Wait until it is over, and tell what has gone out."""
        told = 0
        while not (put.lost or cancel):
            with self._link.changed:
                if not put.done and put.sent == told:
                    self._link.wait()
                sent, done = put.sent, put.done
                self._note_way(put, way)
            if sent > told:
                if job.throttle is not None:
                    job.throttle.take(sent - told, cancel)
                job.sent(sent)
                told = sent
            if done:
                return
            if self._is_stalled(put, job):
                put.stalled = True
                return

    def _note_way(self, put: Put, way: _Way) -> None:
        """Bytes that go out, or an answer: the page may send to this host."""
        if way.open is None and (put.sent or put.status):
            way.open = True
            self._link.changed.notify_all()

    def _is_stalled(self, put: Put, job: PartJob) -> bool:
        waits = self._network.timeouts
        limit_s = waits.answer_s if put.sent >= job.size else waits.stall_s
        return time.monotonic() - put.at_s > limit_s

    def _end(self, put: Put, way: _Way) -> None:
        """See that nothing more is sent, and that others do not wait for what is not found out."""
        with self._link.changed:
            if not (put.done or put.lost):
                self._link.abort(put)
                until_s = time.monotonic() + _ABORT_S
                while not (put.done or put.lost) and time.monotonic() < until_s:
                    self._link.wait()
            if way.open is None:
                way.probed = False
            self._link.changed.notify_all()

    def _judged(self, put: Put, way: _Way, job: PartJob) -> Verdict | None:
        if put.stalled:
            return Verdict(
                False, "nothing moved between the page and the store", retry=True, overloaded=True
            )
        if put.redirected:
            return Verdict(False, "the store points elsewhere; redirects are not followed")
        if put.status:
            way.broken = 0
            # Of the headers the page sees what the store lets it see: no ETag is expected here.
            return judge(Answer(put.status, put.headers, put.text, early=put.sent < job.size))
        way.broken += 1
        if way.open is None or way.broken >= _BROKEN_MOST:
            way.open = False
            return None
        return Verdict(False, "the connection from the page to the store broke", retry=True)


def _is_free(job: PartJob) -> bool:
    """True where the kernel need not see the bytes: they are not watched, and not held back."""
    limited = job.throttle is not None and job.throttle.rate is not None
    return job.size > 0 and not job.is_watched and not limited


def page_files(client: Any, file: PageFile) -> AsyncFiles:
    """The `files` of a client, ours or an official one, to upload a browser file with."""
    files = as_async_client(client).files
    return files.through(PageStore(file, files.network))
