"""Parts that the page sends to the store by itself, steered by the kernel.

Rules of this file: it is tried with the first part, and where the page may not (CORS) the bytes go
through the kernel; the kernel alone judges, retries and completes. A URL is given to the page that
holds the file in a message, and is nowhere else. What is to be paced or digested goes through the
kernel, since only it can.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cognite_nb_upload.api.session import FileMultipartUploadSession, OpenUpload
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.http import Sealed, SignedURL, checked_upload_url
from cognite_nb_upload.store.connection import Body, Storage, Verdict, judge
from cognite_nb_upload.store.part import PartJob, PartSender
from cognite_nb_upload.transfer.files import AsyncFiles
from cognite_nb_upload.unfinished import as_async_client
from cognite_nb_upload.widgets.browser.link import Link, Put

if TYPE_CHECKING:
    from cognite_nb_upload.widgets.browser.file import BrowserFile

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


class PageStorage:
    """A `Storage` for the parts of one browser file.

    Args:
        file: the file.
        storage: where its bytes go through the kernel.
        emit: is told when the upload waits for the page, and when it no longer does.
    """

    def __init__(
        self, file: BrowserFile, storage: Storage, emit: Callable[[ev.Event], None]
    ) -> None:
        self._file, self._storage, self._emit = file, storage, emit
        self._link: Link = file.link

    def put(self, url: Secret, body: Body, stop: CancelToken) -> Verdict:
        """Send one part, once; the calling thread waits, also for a file that is away.

        Raises:
            SourceChanged: the file has changed on its disk.
            UploadStopped: it was stopped while the file was away.
            TransferError: the URL is not one to send anything to, or the file was removed.
        """
        with self._file.steered(stop, self._emit, body.start + body.size):
            if self._file.direct and _is_free(body):
                with Sealed():
                    target = checked_upload_url(url, self._storage._base_url)
                    verdict = self._by_page(target, body, stop)
                if verdict is not None:
                    return verdict
            self._file.wait_until_here()
            return self._storage.put(url, body, stop)

    # --- by the page itself ------------------------------------------------------------------

    def _by_page(self, target: SignedURL, body: Body, stop: CancelToken) -> Verdict | None:
        """Have the page send it; None where the page may not send to that host."""
        way = self._link.ways.setdefault(target.host, _Way())
        while True:
            self._file.wait_until_here()
            if not self._may_go(way, stop):
                return None
            put = self._begin(target, body)
            try:
                self._follow(put, way, body, stop)
            finally:
                self._end(put, way)
            if stop:
                return Verdict(False, stop.reason or "stopped")
            if not put.lost and not self._link.why_gone(put.key):
                return self._judged(put, way)
            body.on_sent(0)  # its page is gone, and what it sent of this part with it

    def _may_go(self, way: _Way, stop: CancelToken) -> bool:
        """Wait until the first part has found out; the first one is let through."""
        with self._link.changed:
            while way.open is None and way.probed and not stop:
                self._link.wait()
            way.probed = True
            return way.open is not False

    def _begin(self, target: SignedURL, body: Body) -> Put:
        url = f"{target.scheme}://{target.netloc.decode()}{target.raw_path.decode()}"
        with self._link.changed:
            return self._link.put(self._file.key, body.start, body.size, url)

    def _follow(self, put: Put, way: _Way, body: Body, stop: CancelToken) -> None:
        """Wait until it is over, and tell what has gone out."""
        told = 0
        while not (put.lost or stop):
            with self._link.changed:
                if not put.done and put.sent == told:
                    self._link.wait()
                sent, done = put.sent, put.done
                self._note_way(put, way)
            if sent > told:
                if body.pace is not None:
                    body.pace(sent - told, stop)
                body.on_sent(sent)
                told = sent
            if done:
                return
            if self._is_stalled(put, body):
                put.stalled = True
                return

    def _note_way(self, put: Put, way: _Way) -> None:
        """Bytes that go out, or an answer: the page may send to this host."""
        if way.open is None and (put.sent or put.status):
            way.open = True
            self._link.changed.notify_all()

    def _is_stalled(self, put: Put, body: Body) -> bool:
        waits = self._storage._timeouts
        limit_s = waits.answer_s if put.sent >= body.size else waits.stall_s
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

    def _judged(self, put: Put, way: _Way) -> Verdict | None:
        if put.stalled:
            return Verdict(
                False, "nothing moved between the page and the store", retry=True, overloaded=True
            )
        if put.redirected:
            return Verdict(False, "the store points elsewhere; redirects are not followed")
        if put.status:
            way.broken = 0
            return judge(put.status, put.headers, put.text)
        way.broken += 1
        if way.open is None or way.broken >= _BROKEN_MOST:
            way.open = False
            return None
        return Verdict(False, "the connection from the page to the store broke", retry=True)


def _is_free(body: Body) -> bool:
    """True where the kernel need not see the bytes: they are not digested, and not held back."""
    bandwidth = getattr(body.pace, "__self__", None)
    limited = getattr(bandwidth, "rate", None) is not None
    return body.size > 0 and body.digest is None and not limited


# --- uploads that use it --------------------------------------------------------------------------


class _PageSession(FileMultipartUploadSession):
    """A session whose parts go by way of the page."""

    file: BrowserFile

    def _sender(self, job: PartJob, stop: CancelToken) -> PartSender:
        sender = super()._sender(job, stop)
        sender._storage = PageStorage(self.file, self._storage, self._feed.emit)  # type: ignore[assignment] # it has `put`
        return sender


class _PageFiles(AsyncFiles):
    """`client.files` for uploads of one browser file; limits and connections are the client's."""

    def __init__(self, files: AsyncFiles, file: BrowserFile) -> None:
        super().__init__(files._rpc, files.storage)
        self.limits, self._file = files.limits, file

    def session(
        self, opened: OpenUpload, *, feed: Feed, sizes: tuple[int | None, ...] = ()
    ) -> FileMultipartUploadSession:
        session = _PageSession(self._rpc, self.storage, opened, feed=feed, sizes=sizes)
        session.file = self._file
        return session


def page_files(client: Any, file: BrowserFile) -> AsyncFiles:
    """The `files` of a client, ours or an official one, to upload a browser file with."""
    return _PageFiles(as_async_client(client).files, file)
