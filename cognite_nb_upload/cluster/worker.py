"""What a worker does: it opens the file, sends what it is asked to, and tells how that goes.

Rules of this file: a worker talks to the store alone, never to CDF; what goes wrong is told, not
raised, so that no engine logs it; it tells twice a second which orders it has and how far they are;
it sends nothing more once its run has ended, or nobody has asked it for an hour.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cognite_nb_upload._version import __version__
from cognite_nb_upload.cluster import orders as of
from cognite_nb_upload.cluster.orders import Envelope, NotHere, Order, Receipt, SourceRef, Terms
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import PartFailed, SourceChanged, TransferError, UploadStopped
from cognite_nb_upload.process import PerProcess
from cognite_nb_upload.sources import BytesSource, Source
from cognite_nb_upload.store.bandwidth import Bandwidth
from cognite_nb_upload.store.connection import StoreTimeouts
from cognite_nb_upload.store.digests import Digests
from cognite_nb_upload.store.network import NetworkStore
from cognite_nb_upload.store.part import PartSender
from cognite_nb_upload.store.port import Check, Checksums, PartJob, Verdict

Tell = Callable[[dict[str, Any]], None]

# Seconds between two messages: while something goes, and while nothing does.
_TELLS_S: Final = 0.5
_IDLE_S: Final = 2.0
# It tells more often until it is asked for the first time: its first word may not be heard yet.
_FIRST_S: Final = 10.0
# Receipts of small files are collected for so long, in seconds.
_COLLECTS_S: Final = 0.1
# Nobody has asked for so long, in seconds: the coordinator is gone.
_FORGOTTEN_S: Final = 3600.0
# Small files of one envelope that go at once.
_SMALL_AT_ONCE: Final = 8
_OPEN_FILES: Final = 32


class Taken(Digests):
    """Digests of what is sent; the coordinator judges them."""

    def take(self, digests: Mapping[str, bytes]) -> None:
        """Nobody else computes them."""

    def judge(self, theirs: Checksums) -> Check:
        """Nothing is judged here."""
        return Check()


@dataclass(slots=True)
class _Working:
    """An order that is being carried out."""

    cancel: CancelToken = field(default_factory=CancelToken)
    sent: int = 0


class Run:
    """One coordinator's orders in one worker.

    Args:
        name: the worker, as people read it.
        about: what each message says of the worker.
        tell: sends a message to the coordinator.
    """

    def __init__(self, name: str, about: Mapping[str, Any], tell: Tell) -> None:
        self.name, self._tell = name, tell
        self._about = {**about, "name": name, "version": __version__}
        self._lock = threading.Lock()
        self._working: dict[str, _Working] = {}
        self._stopped: set[str] = set()
        self._receipts: list[Receipt] = []
        self._sources: OrderedDict[SourceRef, Source] = OrderedDict()
        self._stores: dict[str, NetworkStore] = {}
        self._bandwidth = Bandwidth()
        self._asked_s = time.monotonic()
        self._ended = threading.Event()
        threading.Thread(target=self._keep_telling, name="cognite_nb_upload", daemon=True).start()

    # --- what it is asked ---------------------------------------------------------------------

    def carry(self, envelope: Envelope) -> list[dict[str, Any]]:
        """Carry out orders; blocks, and returns the receipts, which are told as well."""
        self._asked_s = time.monotonic()
        if envelope.rate != self._bandwidth.rate:
            self._bandwidth.set(envelope.rate)
        several = envelope.orders
        for one in several:
            with self._lock:
                self._working[one.id] = _Working()
        if len(several) == 1:
            receipts = [self._carried(several[0], envelope.terms)]
        else:
            with ThreadPoolExecutor(_SMALL_AT_ONCE) as pool:
                receipts = list(pool.map(lambda one: self._carried(one, envelope.terms), several))
        self._flush()
        return [one.to_message() for one in receipts]

    def control(self, message: Mapping[str, Any]) -> None:
        """What the coordinator says beside its orders; returns at once."""
        self._asked_s = time.monotonic()
        if "rate" in message:
            self._bandwidth.set(message["rate"])
        if ids := message.get("stop"):
            with self._lock:
                self._stopped.update(ids)
                tokens = [self._working[id].cancel for id in ids if id in self._working]
            for token in tokens:
                token.set("stopped")
        if message.get("end"):
            self.end()

    def end(self) -> None:
        """Send nothing more, and close everything."""
        self._ended.set()
        with self._lock:
            tokens = [one.cancel for one in self._working.values()]
            sources, self._sources = list(self._sources.values()), OrderedDict()
        for token in tokens:
            token.set("stopped")
        if not tokens:
            for source in sources:
                source.close()
        for store in list(self._stores.values()):
            store.close()

    @property
    def over(self) -> bool:
        """True once it has ended."""
        return self._ended.is_set()

    # --- doing it -----------------------------------------------------------------------------

    def _carried(self, order: Order, terms: Terms) -> Receipt:
        working = self._working[order.id]
        if order.kind == of.PART:
            self._say({"sent": {order.id: 0}})
        try:
            if self._ended.is_set() or order.id in self._stopped:
                raise UploadStopped("stopped")
            receipt = self._done(order, terms, working)
        except NotHere as error:
            receipt = Receipt(order.id, of.NOT_HERE, words=str(error))
        except SourceChanged as error:
            receipt = Receipt(order.id, of.ANOTHER, words=str(error))
        except UploadStopped:
            receipt = Receipt(order.id, of.STOPPED)
        except TransferError as error:
            receipt = Receipt(order.id, of.FAILED, words=str(error))
        except Exception as error:  # its text may hold anything
            receipt = Receipt(order.id, of.FAILED, words=type(error).__name__)
        receipt = _at(receipt, self.name)
        with self._lock:
            del self._working[order.id]
            self._receipts.append(receipt)
        if order.kind != of.WHOLE:
            self._flush()
        return receipt

    def _done(self, order: Order, terms: Terms, working: _Working) -> Receipt:
        match order.kind:
            case of.LOOK:
                order.source.look(self._source(order.source))
                return Receipt(order.id, of.DONE)
            case of.PART:
                return self._part(order, terms, working)
            case _:
                return self._whole(order, terms, working)

    def _part(self, order: Order, terms: Terms, working: _Working) -> Receipt:
        """One try of one part; the coordinator decides whether there is another."""
        source, digest = self._source(order.source), Taken(order.algorithms)
        job = replace(
            self._job(order, source, working), digest=digest if digest.algorithms else None
        )
        source.check()
        verdict = self._store(terms).put(job, working.cancel)
        source.check()
        return Receipt(order.id, of.DONE, verdict=verdict, digests=digest.digests())

    def _whole(self, order: Order, terms: Terms, working: _Working) -> Receipt:
        """A small file, as it was at one moment, tried until it is stored."""
        opened = order.source.open()
        try:
            data = opened.read_at(0, opened.size)
            opened.check()
        finally:
            opened.close()
        store = _Last(self._store(terms))
        job = self._job(order, BytesSource(data), working)
        digest = Taken(order.algorithms)
        digest.update(data)
        try:
            PartSender(job, store, Retry(**terms.retry), working.cancel).run()
        except PartFailed as error:
            failure = {"status": error.status, "fatal": error.fatal, "expired": error.expired}
            return Receipt(
                order.id, of.DONE, words=str(error), verdict=store.verdict,
                attempts=error.attempts, failure=failure,
            )  # fmt: skip
        return Receipt(
            order.id, of.DONE, verdict=store.verdict, digests=digest.digests(),
            attempts=store.tries,
        )  # fmt: skip

    def _job(self, order: Order, source: Source, working: _Working) -> PartJob:
        def hear(event: ev.Event) -> None:
            if isinstance(event, ev.PartSent):
                working.sent = event.sent

        assert order.url is not None  # noqa: S101 # a look alone has none
        return PartJob(
            order.no, order.url, source, order.start, order.size,
            content_type=order.content_type, throttle=self._bandwidth, emit=hear,
        )  # fmt: skip

    def _source(self, ref: SourceRef) -> Source:
        """The file, opened once for all parts."""
        with self._lock:
            if (known := self._sources.get(ref)) is not None:
                self._sources.move_to_end(ref)
                return known
        opened = ref.open()
        with self._lock:
            kept = self._sources.setdefault(ref, opened)
            while len(self._sources) > _OPEN_FILES:
                self._sources.popitem(last=False)  # closed once no part reads it any more
        if kept is not opened:
            opened.close()
        return kept

    def _store(self, terms: Terms) -> NetworkStore:
        with self._lock:
            store = self._stores.get(terms.base_url)
            if store is None:
                waits = StoreTimeouts(
                    connect_s=terms.connect_s, stall_s=terms.stall_s, answer_s=terms.answer_s
                )
                store = self._stores[terms.base_url] = NetworkStore(terms.base_url, waits)
        return store

    # --- telling ------------------------------------------------------------------------------

    def _keep_telling(self) -> None:
        began_s, told_s = self._asked_s, 0.0
        while not self._ended.is_set():
            now_s = time.monotonic()
            with self._lock:
                working = {id: one.sent for id, one in self._working.items()}
            if not working and now_s - self._asked_s > _FORGOTTEN_S:
                self.end()
                return
            new = self._asked_s == began_s and now_s - began_s < _FIRST_S
            if new or now_s - told_s >= (_TELLS_S if working else _IDLE_S):
                self._say({"sent": working})
                told_s = now_s
            self._flush()
            soon = new or self._receipts or len(working) > 1
            self._ended.wait(_COLLECTS_S if soon else _TELLS_S)

    def _flush(self) -> None:
        with self._lock:
            receipts, self._receipts = self._receipts, []
        if receipts:
            self._say({"receipts": [one.to_message() for one in receipts]})

    def _say(self, message: dict[str, Any]) -> None:
        with suppress(Exception):  # the way is closed: nobody hears
            self._tell({**self._about, **message})


class _Last:
    """A store that keeps its last verdict."""

    def __init__(self, store: NetworkStore) -> None:
        self._store, self.tries = store, 0
        self.verdict: Verdict | None = None

    def put(self, job: PartJob, cancel: CancelToken) -> Verdict:
        """Send the part, once."""
        self.tries += 1
        self.verdict = self._store.put(job, cancel)
        return self.verdict


def _at(receipt: Receipt, where: str) -> Receipt:
    return replace(receipt, where=where)


_runs: Final[PerProcess[dict[tuple[str, str], Run]]] = PerProcess(dict)


def run_of(run: str, place: str) -> Run | None:
    """The run of that id at that worker of this process."""
    return _runs.get().get((run, place))


def begin(run: str, place: str, made: Callable[[], Run]) -> Run:
    """The run, made where there is none."""
    runs = _runs.get()
    if (found := runs.get((run, place))) is None or found.over:
        found = runs[run, place] = made()
    return found


def forget(run: str, place: str) -> None:
    """End a run at a worker, and forget it."""
    found = _runs.get().pop((run, place), None)
    if found is not None:
        found.end()


def this_process() -> str:
    """How people know this process: `process 4711 on host`."""
    return f"process {os.getpid()} on {socket.gethostname()}"
