"""The workers of an engine as a `PartStore`: one more way to carry a part.

Rules of this file: the coordinator judges, retries and completes, as with any other store; a part
whose worker was lost is tried again, and one that keeps losing workers is not sent to more of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from cognite_nb_upload.cluster import orders as of
from cognite_nb_upload.cluster.cluster import DEATHS, Cluster, Errand
from cognite_nb_upload.cluster.engine import EngineRun
from cognite_nb_upload.cluster.orders import Order, Receipt, SourceRef
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.http import Sealed
from cognite_nb_upload.objects.source import ObjectSource
from cognite_nb_upload.sources import FileSource, Source, check_last
from cognite_nb_upload.store.port import PartJob, Verdict
from cognite_nb_upload.store.url import checked_upload_url

# A worker that was told to stop may take so long, in seconds.
_STOPS_S: Final = 0.9


def ref_of(source: Source, samples: tuple[str, ...] = ()) -> SourceRef:
    """What workers open a source by.

    Raises:
        UsageError: they cannot: it is in this process alone.
    """
    if isinstance(source, ObjectSource) and source.whole and source.pinned and source.origin:
        version = source.told.token
        return SourceRef(source.address, source.size, 0, samples, version, source.origin)
    path = getattr(source, "path", None)
    if not isinstance(source, FileSource) or path is None:
        raise _unshared(source)
    facts = source.facts()
    return SourceRef(str(path), facts.size, facts.mtime_ns, samples)


def check_shared(source: Source) -> None:
    """See that workers can open a source.

    Raises:
        UsageError: it is in this process alone.
    """
    ref_of(source)


def _unshared(source: Source) -> UsageError:
    return UsageError(
        f"{source.name or 'The content'} is not a file that workers can open: engine= needs the "
        "path of one that all machines share, or the address of one in a store that tells versions."
    )


class ClusterStore:
    """Carries the parts of one upload to the workers of an engine.

    Args:
        run: of the engine.
        base_url: CDF's: a URL that may not be used is refused here.
    """

    def __init__(self, run: EngineRun, base_url: str) -> None:
        self._run, self._base_url = run, base_url
        self._cluster: Cluster | None = None
        self._ref: SourceRef | None = None
        self._note: Callable[[str], None] = lambda _: None

    def open(
        self,
        source: Source,
        samples: tuple[str, ...],
        stop: CancelToken,
        waits: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        """Begin, and ask the workers for the file; returns once one of them has it.

        Args:
            source: the file.
            samples: its fingerprint.
            stop: ends it.
            waits: is told what is waited for.
            note: is told which workers are left out and why, now and as long as parts are sent.

        Raises:
            UsageError: no worker has it, or the engine cannot be used; nothing was sent.
        """
        self._ref = ref = ref_of(source, samples)
        self._cluster = cluster = self._run.acquire()
        cluster.ready(ref, stop, waits)
        self._note = note
        self._tell(cluster.left_out(ref))

    def close(self) -> None:
        """Let go of the engine."""
        if self._cluster is not None:
            self._cluster = None
            self._run.release()

    @property
    def at_once(self) -> int:
        """Parts that its workers may have at once, now."""
        return self._cluster.capacity(self._ref) if self._cluster else 1

    def overloaded(self) -> None:
        """A store asks for less."""
        if self._cluster is not None:
            self._cluster.overloaded()

    def put(self, job: PartJob, cancel: CancelToken) -> Verdict:
        """Have a worker send the part, once; see `PartStore.put`."""
        cluster, ref = self._cluster, self._ref
        assert cluster is not None and ref is not None  # noqa: S101, PT018 # it was opened
        with Sealed():
            checked_upload_url(job.url, self._base_url)
            algorithms = job.digest.algorithms if job.digest else ()
            order = Order(
                "", of.PART, ref, job.no, job.start, job.size, job.url, job.content_type, algorithms
            )
            receipt = self._carried(cluster, order, job, cancel)
        self._tell(cluster.unfit(ref))  # some answer after the first parts have gone
        if receipt.kind == of.DONE and receipt.verdict is not None:
            if job.digest is not None:
                job.digest.take(receipt.digests)
            return receipt.verdict
        cluster.check_alive()
        if ref.origin is not None:  # a worker found another version, or nothing
            check_last(job.source)
        return self._lost(cluster, order, receipt, cancel)

    def _tell(self, left_out: Iterable[str]) -> None:
        for one in left_out:
            self._note(f"A worker is left out. {one}.")

    def _carried(
        self, cluster: Cluster, order: Order, job: PartJob, cancel: CancelToken
    ) -> Receipt:
        news = threading.Event()
        errand = cluster.send(order, news.set)
        with cancel.waking(news.set):
            told = ("", 0, "")
            while not (errand.receipt.done() or cancel):
                news.wait()
                news.clear()
                told = _tell(errand, job, told)
        if not errand.receipt.done():
            cluster.stop([errand])
            ended = threading.Event()
            errand.receipt.add_done_callback(lambda _: ended.set())
            if not ended.wait(_STOPS_S):
                return Receipt(order.id, of.STOPPED)
        receipt = errand.receipt.result()
        if receipt.where and receipt.where != told[0]:
            job.emit(ev.PartPlaced(job.no, receipt.where))
        return receipt

    def _lost(
        self, cluster: Cluster, order: Order, receipt: Receipt, cancel: CancelToken
    ) -> Verdict:
        """What it means that no store has answered."""
        if receipt.kind == of.STOPPED:
            return Verdict(False, cancel.reason or "stopped", retry=True)
        if receipt.kind == of.NOT_HERE and not receipt.where:
            return Verdict(False, f"no worker has the file any more: {receipt.words}")
        died = cluster.deaths(order)
        if receipt.kind == of.LOST and died >= DEATHS:
            words = f"{died} workers have died while they had it, the last {receipt.where}"
            return Verdict(False, words, hint="Leave engine= out to send it from here.")
        words = receipt.words.rstrip(".") or "it was lost"
        if receipt.kind != of.LOST:
            words = f"worker {receipt.where}: {words}"
        return Verdict(False, words, retry=True)


def _tell(errand: Errand, job: PartJob, told: tuple[str, int, str]) -> tuple[str, int, str]:
    """Tell what has changed of an errand; returns what is told now."""
    where, sent, waiting = now = (errand.where, errand.sent, errand.waiting)
    if where and where != told[0]:
        job.emit(ev.PartPlaced(job.no, where))
    if sent != told[1]:
        job.sent(sent)
    if waiting != told[2]:
        job.waiting(waiting)
    return now
