"""The workers of an engine, and the orders that they have: who gets the next, and who is lost.

Rules of this file: an order goes to a worker by name, so that it is known where a part is; a worker
is asked once whether it has the file, before it gets parts of it; one that tells nothing for too
long gets nothing more, and what it had goes to another, while its own answer still counts where it
comes first; a batch of small files is one task. The engine is never called with the lock held: its
own threads wait for that lock when they tell something.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from cognite_nb_upload._version import __version__
from cognite_nb_upload.cluster import orders as of
from cognite_nb_upload.cluster.backend import Backend, Handle, Message
from cognite_nb_upload.cluster.orders import Envelope, Order, Receipt, SourceRef, Terms
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.errors import EngineLost, UploadStopped, UsageError
from cognite_nb_upload.store.bandwidth import Bandwidth

_log = logging.getLogger(__name__)

_TICK_S: Final = 0.2
# Tasks of one worker at a time: one connection seldom fills a link.
AT_ONCE: Final = 4
MOST_AT_ONCE: Final = 16
# Small files go in envelopes of so many at most, collected for so long, in seconds.
MOST_SMALL: Final = 50
_COLLECTS_S: Final = 0.2
# A worker's first word, and that of a cluster without workers, is waited for so long, in seconds.
_FIRST_WORD_S: Final = 10.0
_NO_WORKER_S: Final = 300.0
# A part whose workers die is sent to so many, and to no more.
DEATHS: Final = 4
# A worker that lacked so many files, and had none, gets no more small ones.
_LACKS: Final = 3
# Workers forget a coordinator that says nothing for an hour.
_STAYS_S: Final = 600.0


@dataclass(eq=False, slots=True)
class Member:
    """A worker.

    Attributes:
        place: how the engine addresses it.
        name: how people know it.
        room: tasks that it may have at once.
        refused: why it gets nothing, in words.
        here: sources that it has; `lacks`: those that it has not, and why.
        quiet: it tells nothing.
    """

    place: str
    name: str
    room: int
    heard_s: float
    refused: str = ""
    here: set[SourceRef] = field(default_factory=set)
    asked: set[SourceRef] = field(default_factory=set)
    lacks: dict[SourceRef, str] = field(default_factory=dict)
    missed: int = 0
    has_some: bool = False
    tasks: int = 0
    quiet: bool = False

    @property
    def serves(self) -> bool:
        """True where it may get orders."""
        return not (self.refused or self.quiet)


@dataclass(eq=False, slots=True)
class Errand:
    """An order, until its receipt is there. Its fields change; `wake` is called where they do.

    Attributes:
        where: the worker that has it, by name; "" while it waits for one.
        sent: bytes that it has handed to the network.
        waiting: why it is with nobody, in words.
        receipt: what became of it.
    """

    order: Order
    wake: Callable[[], None] = lambda: None
    where: str = ""
    sent: int = 0
    waiting: str = ""
    receipt: Future[Receipt] = field(default_factory=Future)
    avoid: set[str] = field(default_factory=set)
    flights: set[str] = field(default_factory=set)
    queued_s: float = 0.0


@dataclass(eq=False, slots=True)
class _Task:
    """Some orders on their way, as one task of the engine."""

    member: Member
    left: int
    handle: Handle | None = None


@dataclass(eq=False, slots=True)
class _Flight:
    """One order at one worker."""

    id: str
    errand: Errand
    task: _Task
    began: bool = False
    heard_s: float = 0.0
    moved_s: float = 0.0
    sent: int = 0
    name: str = ""


class Cluster:
    """The coordinator's side of one run.

    Args:
        backend: the engine.
        terms: of the run.
        bandwidth: what all workers share.
    """

    def __init__(self, backend: Backend, terms: Terms, bandwidth: Bandwidth) -> None:
        self._backend, self._terms, self._bandwidth = backend, terms, bandwidth
        self._changed = threading.Condition(threading.RLock())
        self._members: dict[str, Member] = {}
        self._queue: deque[Errand] = deque()
        self._flights: dict[str, _Flight] = {}
        self._late: dict[object, list[_Flight]] = {}
        self._looks: list[tuple[_Task, list[_Flight]]] = []
        self._deaths: Counter[object] = Counter()
        self._to_stop: dict[str, list[str]] = {}
        self._to_cancel: list[Handle] = []
        self._numbers = itertools.count()
        self._none_since_s = time.monotonic()
        self._share: float | None = None
        self._looked_s = 0.0
        self._stayed_s = time.monotonic()
        self._over = ""
        self._closed = False
        self._calm_s, self._factor = 0.0, 1.0

    def start(self) -> None:
        """Begin with the engine.

        Raises:
            UsageError: it cannot be used.
        """
        self._backend.start(self)
        threading.Thread(target=self._keep_going, name="cognite_nb_upload", daemon=True).start()

    def close(self) -> None:
        """End the run; waits for no worker that does not answer."""
        with self._changed:
            self._closed = True
            self._over = self._over or "it was closed"
            places = [one.place for one in self._members.values() if not one.quiet]
            left = [*self._queue, *(one.errand for one in self._flights.values())]
            self._changed.notify_all()
        for errand in left:
            self._fulfil(errand, Receipt(errand.order.id, of.STOPPED))
        self._backend.close(places)

    # --- what it is -------------------------------------------------------------------------

    def capacity(self, source: SourceRef | None = None) -> int:
        """Tasks that its workers may have at once; those that have the source, where one is given.

        A store that asks for less halves it, for five seconds at a time.
        """
        with self._changed:
            if time.monotonic() > self._calm_s and self._factor < 1.0:
                self._factor = min(1.0, 2 * self._factor)
                self._calm_s = time.monotonic() + 5.0
            room = sum(
                one.room
                for one in self._members.values()
                if one.serves and (source is None or self._has(one, source))
            )
            return max(1, int(room * self._factor))

    def overloaded(self) -> None:
        """A store asked for less."""
        with self._changed:
            if time.monotonic() > self._calm_s:
                self._factor = max(1 / 64, self._factor / 2)
                self._calm_s = time.monotonic() + 5.0

    def left_out(self, source: SourceRef) -> list[str]:
        """Workers that get no part of a source, each with the reason; asks the engine."""
        found = self.unfit(source)
        with self._changed:
            heard = list(self._members)
        return found + self._backend.silent(heard)

    def unfit(self, source: SourceRef) -> list[str]:
        """Workers that have answered, and get no part of a source, each with the reason."""
        with self._changed:
            return self._unfit(source)

    def _unfit(self, source: SourceRef) -> list[str]:
        return [
            f"{one.name}: {one.refused or one.lacks[source]}"
            for one in self._members.values()
            if one.refused or source in one.lacks
        ]

    def _has(self, member: Member, source: SourceRef) -> bool:
        return self._backend.is_one_place or source in member.here

    # --- asking -----------------------------------------------------------------------------

    def ready(self, source: SourceRef, stop: CancelToken, waits: Callable[[str], None]) -> None:
        """Ask every worker for the file; returns once one of them has it.

        Raises:
            UsageError: no worker has it; nothing was sent.
            EngineLost: the engine has no worker, or is gone.
        """
        if self._backend.is_one_place:
            return
        began_s, told = time.monotonic(), False
        with stop.waking(self._notify):
            while not (fit := self._is_fit(source)):
                if stop:
                    raise UploadStopped(f"The upload was {stop.reason}.")
                waited_s = time.monotonic() - began_s
                if fit is False and (waited_s > _FIRST_WORD_S or not self._unheard()):
                    why = "; ".join(self.left_out(source))
                    raise UsageError(
                        f"No worker of the cluster can send {source.path}: {why}."
                    ).hint("Give a path that all machines share, or leave engine= out.")
                if waited_s > _NO_WORKER_S:
                    raise EngineLost("The cluster has no worker that answers.")
                if waited_s > _FIRST_WORD_S and not told:
                    told = True
                    waits("no worker of the cluster answers yet")
                with self._changed:
                    self._changed.wait(_TICK_S)
        if told:
            waits("")

    def _is_fit(self, source: SourceRef) -> bool | None:
        """True once a worker has the source; False where all that are known have not."""
        with self._changed:
            self._check_alive()
            self._ask(source)
            serving = [one for one in self._members.values() if one.serves]
            if any(source in one.here for one in serving):
                return True
            answered = all(source in one.lacks for one in serving)
            return False if self._members and answered else None

    def _unheard(self) -> list[str]:
        """Workers that have told nothing yet; asks the engine."""
        with self._changed:
            heard = list(self._members)
        return self._backend.silent(heard)

    def send(self, order: Order, wake: Callable[[], None] = lambda: None) -> Errand:
        """Have an order carried out; returns at once. What answers late to the same counts too."""
        with self._changed:
            errand = Errand(order, wake)
            for flight in self._late.pop(_key(order), []):
                if flight.id in self._flights:
                    flight.errand = errand
                    errand.flights.add(flight.id)
                    errand.avoid.add(flight.task.member.place)
            if self._over:
                self._fulfil(errand, Receipt(order.id, of.STOPPED))
                return errand
            errand.queued_s = time.monotonic()
            self._queue.append(errand)
            self._changed.notify_all()
        return errand

    def stop(self, errands: Iterable[Errand]) -> None:
        """Stop these orders wherever they are; their receipts follow."""
        with self._changed:
            for errand in errands:
                if errand in self._queue:
                    self._queue.remove(errand)
                    self._fulfil(errand, Receipt(errand.order.id, of.STOPPED))
                for id in errand.flights:
                    flight = self._flights[id]
                    self._to_stop.setdefault(flight.task.member.place, []).append(id)
                    if flight.task.handle is not None and not flight.began:
                        self._to_cancel.append(flight.task.handle)
            self._changed.notify_all()

    def deaths(self, order: Order) -> int:
        """How many workers have died while they had this part."""
        return self._deaths[_key(order)]

    def check_alive(self) -> None:
        """Raise EngineLost where the engine is gone."""
        with self._changed:
            self._check_alive()

    def _check_alive(self) -> None:
        if self._over:
            raise EngineLost(f"The engine that sent the parts is gone: {self._over}.").hint(
                "The same call goes on from what is stored, with another engine or with none."
            )

    # --- hearing ----------------------------------------------------------------------------

    def hear(self, message: Message) -> None:
        """A worker tells."""
        if message["run"] != self._terms.run:
            return
        now_s = time.monotonic()
        with self._changed:
            member = self._member(message, now_s)
            for id, sent in message.get("sent", {}).items():
                if (flight := self._flights.get(id)) is not None:
                    self._moved(flight, sent, str(message["name"]), now_s)
            for told in message.get("receipts", ()):
                self._receive(Receipt.of(told), member)
            self._changed.notify_all()

    def _member(self, message: Message, now_s: float) -> Member:
        place = "" if self._backend.is_one_place else str(message["place"])
        member = self._members.get(place)
        if member is None:
            room = min(MOST_AT_ONCE, max(AT_ONCE, int(message.get("threads", AT_ONCE))))
            member = self._members[place] = Member(place, str(message["name"]), room, now_s)
            member.refused = str(message.get("refused", ""))
            if message["version"] != __version__:
                member.refused = (
                    f"it has cognite_nb_upload {message['version']}, and this is {__version__}"
                )
        member.heard_s, member.quiet = now_s, False
        return member

    def _moved(self, flight: _Flight, sent: int, name: str, now_s: float) -> None:
        if not flight.began or sent != flight.sent:
            flight.moved_s = now_s
        flight.began, flight.heard_s, flight.sent, flight.name = True, now_s, sent, name
        errand = flight.errand
        if errand.receipt.done():
            return
        errand.where, errand.sent, errand.waiting = name, sent, ""
        errand.wake()

    def _receive(self, receipt: Receipt, member: Member) -> None:
        flight = self._flights.get(receipt.id)
        if flight is None:
            return
        self._land(flight)
        errand, source = flight.errand, flight.errand.order.source
        if errand.order.kind == of.LOOK:
            self._looked(member, source, receipt)
        elif receipt.kind == of.DONE:
            member.has_some = True
        elif receipt.kind in (of.NOT_HERE, of.ANOTHER):
            self._missed(member, source, receipt)
        if receipt.stored or not (errand.flights or errand in self._queue):
            self._fulfil(errand, receipt)

    def _looked(self, member: Member, source: SourceRef, receipt: Receipt) -> None:
        if receipt.kind == of.DONE:
            member.here.add(source)
        elif receipt.kind in (of.NOT_HERE, of.ANOTHER):
            member.lacks[source] = receipt.words.rstrip(".")
        else:
            member.asked.discard(source)  # it is asked again

    def _missed(self, member: Member, source: SourceRef, receipt: Receipt) -> None:
        member.here.discard(source)
        if not self._backend.is_one_place:
            member.lacks[source] = receipt.words.rstrip(".")
            member.missed += 1
            if member.missed >= _LACKS and not member.has_some:
                member.refused = receipt.words.rstrip(".")

    def gone(self, place: str) -> None:
        """A worker is no longer there."""
        with self._changed:
            member = self._members.pop(place, None)
            if member is None:
                return
            for flight in [one for one in self._flights.values() if one.task.member is member]:
                self._dropped(flight, f"worker {member.name} was lost", died=True)
            self._changed.notify_all()

    def failed(self, reason: str) -> None:
        """The engine is gone."""
        with self._changed:
            self._over = self._over or reason
            left = [*self._queue, *(one.errand for one in self._flights.values())]
            self._queue.clear()
            self._flights.clear()
            for errand in left:
                self._fulfil(errand, Receipt(errand.order.id, of.LOST, words=reason))
            self._changed.notify_all()

    def _ended(self, task: _Task, ids: Sequence[str], why: str) -> None:
        """The engine says that a task is over; what it has not told of is lost."""
        with self._changed:
            for id in ids:
                if (flight := self._flights.get(id)) is not None:
                    name = flight.name or task.member.name
                    self._dropped(flight, f"{name} ended it ({why or 'without a word'})")
            self._changed.notify_all()

    def _dropped(self, flight: _Flight, why: str, *, died: bool = False) -> None:
        """A worker will say nothing more of an order."""
        self._land(flight)
        errand = flight.errand
        if errand.order.kind == of.LOOK:
            flight.task.member.asked.discard(errand.order.source)
        if errand.receipt.done() or errand.flights or errand in self._queue:
            return
        if died and flight.began:
            self._deaths[_key(errand.order)] += 1
        if died and not flight.began and errand.order.kind != of.LOOK:
            self._queue.appendleft(errand)  # nothing of it was sent
        else:
            self._fulfil(
                errand, Receipt(flight.id, of.LOST, where=flight.task.member.name, words=why)
            )

    def _land(self, flight: _Flight) -> None:
        self._flights.pop(flight.id, None)
        flight.errand.flights.discard(flight.id)
        task = flight.task
        task.left -= 1
        if not task.left:
            task.member.tasks -= 1

    def _fulfil(self, errand: Errand, receipt: Receipt) -> None:
        with suppress(InvalidStateError):
            errand.receipt.set_result(receipt)
        if errand.receipt.done():
            for id in errand.flights:  # others that have it may stop
                if (flight := self._flights.get(id)) is not None:
                    self._to_stop.setdefault(flight.task.member.place, []).append(id)
        errand.wake()

    # --- going on ---------------------------------------------------------------------------

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _keep_going(self) -> None:
        """Hand out orders, and see who tells nothing, until the run is closed."""
        while True:
            with self._changed:
                if self._closed:
                    return
                envelopes = self._placed(time.monotonic()) if not self._over else []
                envelopes, self._looks = self._looks + envelopes, []
                stops, self._to_stop = self._to_stop, {}
                cancels, self._to_cancel = self._to_cancel, []
                if not (envelopes or stops or cancels):
                    self._changed.wait(_TICK_S)
            try:
                for handle in cancels:
                    handle.cancel()
                for place, ids in stops.items():
                    self._backend.tell([place], {"stop": ids})
                for task, flights in envelopes:
                    self._submit(task, flights)
                self._look_round(time.monotonic())
            except EngineLost as error:
                self.failed(str(error))
            except Exception:
                _log.exception("The engine cannot be used any more.")
                self.failed("it cannot be used any more")

    def _placed(self, now_s: float) -> list[tuple[_Task, list[_Flight]]]:
        """Take from the queue what workers have room for."""
        made: list[tuple[_Task, list[_Flight]]] = []
        open_task: dict[Member, tuple[_Task, list[_Flight]]] = {}
        room = self._room_left()
        if not (room and self._queue):
            return made
        small = sum(one.order.kind == of.WHOLE for one in self._queue)
        per_task = max(1, min(MOST_SMALL, -(-small // room)))
        held = small < MOST_SMALL and not self._has_waited(now_s)
        passed: list[Errand] = []
        while self._queue and (open_task or self._room_left()):
            errand = self._queue.popleft()
            is_small = errand.order.kind == of.WHOLE
            member = None
            if not (is_small and held):
                member = self._best(errand, set(open_task) if is_small else set())
            if member is None:
                passed.append(errand)
                continue
            if is_small and member in open_task:
                task, flights = open_task[member]
            else:
                task, flights = _Task(member, 0), []
                member.tasks += 1
                made.append((task, flights))
                if is_small:
                    open_task[member] = (task, flights)
            flights.append(self._flight(errand, task, now_s))
            if is_small and len(flights) >= per_task:
                del open_task[member]
        self._queue.extendleft(reversed(passed))
        return made

    def _has_waited(self, now_s: float) -> bool:
        """True where the first small file has been held back for long enough."""
        first = next((one for one in self._queue if one.order.kind == of.WHOLE), None)
        return first is not None and now_s - first.queued_s >= _COLLECTS_S

    def _room_left(self) -> int:
        return sum(max(0, one.room - one.tasks) for one in self._members.values() if one.serves)

    def _best(self, errand: Errand, open_for: set[Member]) -> Member | None:
        """The worker that gets an order: an open envelope, or the one with the most room."""
        fit = [one for one in self._members.values() if self._fits(one, errand)]
        for one in fit:
            if one in open_for:
                return one
        free = [one for one in fit if one.tasks < one.room]
        if not free:
            return None
        fresh = [one for one in free if one.place not in errand.avoid]
        return max(fresh or free, key=lambda one: one.room - one.tasks)

    def _fits(self, member: Member, errand: Errand) -> bool:
        order = errand.order
        if not member.serves:
            return False
        if order.kind == of.PART and not self._has(member, order.source):
            self._ask(order.source)
            return False
        return order.source not in member.lacks

    def _flight(self, errand: Errand, task: _Task, now_s: float) -> _Flight:
        flight = _Flight(f"{self._terms.run}-{next(self._numbers)}", errand, task, heard_s=now_s)
        flight.moved_s = now_s
        self._flights[flight.id] = flight
        errand.flights.add(flight.id)
        errand.avoid.add(task.member.place)
        errand.waiting = ""
        task.left += 1
        return flight

    def _ask(self, source: SourceRef) -> None:
        """Ask the workers that were not asked yet whether they have a file."""
        for member in list(self._members.values()):
            if member.serves and source not in member.asked:
                member.asked.add(source)
                task = _Task(member, 0)
                member.tasks += 1
                errand = Errand(Order("", of.LOOK, source))
                flight = self._flight(errand, task, time.monotonic())
                self._looks.append((task, [flight]))
        self._changed.notify_all()

    def _submit(self, task: _Task, flights: list[_Flight]) -> None:
        orders = tuple(replace(one.errand.order, id=one.id) for one in flights)
        ids = [one.id for one in orders]
        names = [f"part {one.no}" if one.kind == of.PART else one.kind for one in orders]
        envelope = Envelope(self._terms, orders, self._share)
        task.handle = self._backend.submit(
            task.member.place, envelope, names, lambda why: self._ended(task, ids, why)
        )

    # --- who tells nothing ------------------------------------------------------------------

    def _look_round(self, now_s: float) -> None:
        if now_s - self._looked_s < _TICK_S:
            return
        self._looked_s = now_s
        with self._changed:
            for flight in list(self._flights.values()):
                if why := self._why_given_up(flight, now_s):
                    self._give_up(flight, why)
            self._look_at_queue(now_s)
            places = [one.place for one in self._members.values() if not one.quiet]
            message = self._news(now_s)
        if message and places:
            self._backend.tell(places, message)

    def _why_given_up(self, flight: _Flight, now_s: float) -> str:
        """Why an order is not waited for any longer, in words; "" where it is."""
        if flight.errand.receipt.done():
            return ""
        member, terms = flight.task.member, self._terms
        heard_s = flight.heard_s if flight.began else member.heard_s
        if not flight.began and self._backend.is_one_place:
            return ""  # it waits for its turn there
        name = flight.name or member.name
        if now_s - max(heard_s, flight.heard_s) > terms.stall_s:
            if now_s - member.heard_s > terms.stall_s:
                member.quiet = True
            return f"worker {name} has told nothing for {terms.stall_s:g} s"
        limit_s = 2 * terms.stall_s
        if flight.sent >= flight.errand.order.size:
            limit_s = terms.answer_s + terms.stall_s
        if flight.began and self._share is None and now_s - flight.moved_s > limit_s:
            return f"nothing moved on worker {name} for {limit_s:g} s"
        return ""

    def _give_up(self, flight: _Flight, why: str) -> None:
        """Let another have the order; this worker's answer counts where it comes first."""
        errand, order = flight.errand, flight.errand.order
        errand.flights.discard(flight.id)
        if order.kind == of.LOOK:
            flight.task.member.asked.discard(order.source)
            self._land(flight)
            return
        if order.kind == of.PART:
            self._late.setdefault(_key(order), []).append(flight)
        else:
            self._land(flight)
        if not errand.flights and errand not in self._queue:
            self._fulfil(
                errand, Receipt(flight.id, of.LOST, where=flight.task.member.name, words=why)
            )

    def _look_at_queue(self, now_s: float) -> None:
        """What waits for a worker is told why; where none can have it, it ends."""
        serving = [one for one in self._members.values() if one.serves]
        if serving or not self._queue:
            self._none_since_s = now_s
        elif now_s - self._none_since_s > _NO_WORKER_S:
            self.failed(f"it has had no worker for {_NO_WORKER_S:g} s")
            return
        for errand in list(self._queue):
            source = errand.order.source
            if serving and all(source in one.lacks for one in serving):
                self._queue.remove(errand)
                words = "; ".join(self._unfit(source))
                self._fulfil(errand, Receipt(errand.order.id, of.NOT_HERE, words=words))
            elif not serving and not errand.waiting:
                errand.waiting = "no worker of the cluster is here"
                errand.wake()

    def _news(self, now_s: float) -> dict[str, object]:
        """What all workers are to know: their share of the bandwidth, and that somebody is here."""
        rate = self._bandwidth.rate
        busy = {one.name or one.task.member.name for one in self._flights.values()}
        share = None if rate is None else rate / max(1, len(busy))
        if share != self._share:
            self._share = share
            return {"rate": share}
        if now_s - self._stayed_s > _STAYS_S:
            self._stayed_s = now_s
            return {"stay": True}
        return {}


def _key(order: Order) -> object:
    """Equal for two orders of which one can stand for the other."""
    return order.kind, order.source, order.no, order.start, order.size, order.url
