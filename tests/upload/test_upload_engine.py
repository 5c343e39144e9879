"""Items 3 and 6 of the upload: parts at once, early failures, budgets, and what uploads share."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from proxy import Line
from upload_rig import (
    PART,
    Ear,
    Gate,
    Late,
    asked,
    content_of,
    file_of,
    fired,
    puts,
    stored_puts,
    until,
    until_true,
)

from cognite_nb_upload import CogniteClient, PartFailed, UploadStopped, uploads
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import BackoffWait, CancelToken
from cognite_nb_upload.core.concurrency import MOST, START
from cognite_nb_upload.core.plan import KIB, MIB, Part
from cognite_nb_upload.core.state import PartPhase, Phase, UploadState
from cognite_nb_upload.core.tail import Flight, Tail
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.sources import BytesSource, Source
from cognite_nb_upload.store.traffic import Seen
from cognite_nb_upload.transfer.engine import Engine
from cognite_nb_upload.transfer.limits import Bandwidth, SharedLimits, Slots

# --- the engine, which knows a source and a sink --------------------------------------------------


class Sink:
    """Takes parts; each waits until it is let go, or fails as it is told."""

    def __init__(self, *failing: int) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.go = threading.Event()
        self.may_end: set[int] = set()
        self._failing = failing
        self._lock = threading.Lock()

    def __call__(self, part: Part, source: Source, stop: CancelToken, rest: BackoffWait) -> None:
        with self._lock:
            self.begun.append(part.no)
        if part.no in self._failing:
            raise PartFailed("no", part_no=part.no, attempts=1)
        while not (stop or part.no in self.may_end or self.go.wait(0.01)):
            pass
        if stop:
            raise UploadStopped("stopped")
        with self._lock:
            self.ended.append(part.no)


def engine_for(sink: Any, parts: int, at_once: int) -> Engine:
    return Engine(BytesSource(b"x" * parts), sink, SharedLimits(), lambda: at_once)


def run_engine(
    sink: Any,
    parts: int,
    at_once: int,
    stop: CancelToken,
    meanwhile: Callable[[], Any] = lambda: None,
    engine: Engine | None = None,
    pause: CancelToken | None = None,
) -> None:
    """Runs an engine, and `meanwhile` in another thread."""
    row = [Part(no, no, 1) for no in range(parts)]
    engine = engine or engine_for(sink, parts, at_once)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, meanwhile)
            await engine.run(row, stop, pause)

    try:
        asyncio.run(main())
    except* (PartFailed, UploadStopped) as errors:
        raise errors.exceptions[0] from None


def test_every_part_is_taken_once() -> None:
    sink = Sink()
    sink.go.set()
    run_engine(sink, 40, 8, CancelToken())
    assert sorted(sink.ended) == list(range(40))


def test_a_part_that_fails_for_good_stops_new_ones_and_those_in_flight_finish() -> None:
    sink = Sink(2)
    engine = engine_for(sink, 40, 3)

    def meanwhile() -> None:
        until_true(lambda: engine._error is not None)
        sink.go.set()

    with pytest.raises(PartFailed) as failed:
        run_engine(sink, 40, 3, CancelToken(), meanwhile, engine)
    assert failed.value.part_no == 2
    assert sorted(sink.begun) == [0, 1, 2]
    assert sorted(sink.ended) == [0, 1]


def test_a_stop_ends_what_is_in_flight_and_begins_nothing() -> None:
    sink, stop = Sink(), CancelToken()

    def meanwhile() -> None:
        until_true(lambda: len(sink.begun) == START)
        stop.set("enough")

    with pytest.raises(UploadStopped):
        run_engine(sink, 40, 8, stop, meanwhile)
    assert len(sink.begun) == START
    assert sink.ended == []


# --- a part that waits for a busy store -----------------------------------------------------------


def test_others_go_while_a_part_waits_even_where_one_may_go_at_once() -> None:
    stop, ended = CancelToken(), []

    def sink(part: Part, source: Source, own: CancelToken, rest: BackoffWait) -> None:
        if part.no == 0:
            rest(100, own)
        if not own:
            ended.append(part.no)

    def meanwhile() -> None:
        until_true(lambda: len(ended) == 3)
        stop.set("enough")

    with pytest.raises(UploadStopped):
        run_engine(sink, 4, 1, stop, meanwhile)
    assert ended == [1, 2, 3]


@pytest.mark.parametrize(("at_once", "lanes"), [(1, START), (8, 1)])
def test_a_part_that_has_waited_goes_before_those_that_have_not_begun(
    at_once: int, lanes: int
) -> None:
    order: list[str] = []

    def sink(part: Part, source: Source, own: CancelToken, rest: BackoffWait) -> None:
        order.append(f"begin {part.no}")
        if part.no == 0:
            rest(0, own)
        else:  # it holds the only place, or the only lane, until the first part wants it back
            until_true(lambda: wanted() or "end 0" in order)
        order.append(f"end {part.no}")

    engine = engine_for(sink, 4, at_once)
    shared = engine._limits.lanes
    shared.cap(lanes)

    def wanted() -> bool:
        return bool(engine._returning) or not shared.may_stay(engine)

    run_engine(sink, 4, at_once, CancelToken(), engine=engine)
    assert order.index("end 0") < order.index("begin 3")
    assert sorted(order) == sorted(f"{what} {no}" for what in ("begin", "end") for no in range(4))


def test_parts_that_come_and_go_are_never_more_than_may_go_at_once() -> None:
    lock, now, most, ended = threading.Lock(), [0], [0], []

    def here(step: int) -> None:
        with lock:
            now[0] += step
            most[0] = max(most[0], now[0])

    def sink(part: Part, source: Source, own: CancelToken, rest: BackoffWait) -> None:
        for _ in range(3):
            here(1)
            own.wait(0.001)
            here(-1)
            rest(0.002 * (part.no % 3), own)
        ended.append(part.no)

    run_engine(sink, 60, 3, CancelToken())
    assert sorted(ended) == list(range(60))
    assert most[0] == 3


def test_no_more_parts_wait_than_there_are_threads() -> None:
    stop, waiting = CancelToken(), []

    def sink(part: Part, source: Source, own: CancelToken, rest: BackoffWait) -> None:
        waiting.append(part.no)
        rest(100, own)

    def meanwhile() -> None:
        until_true(lambda: len(waiting) == MOST)
        stop.set("enough")

    with pytest.raises(UploadStopped):
        run_engine(sink, 100, 8, stop, meanwhile)
    assert sorted(waiting) == list(range(MOST))


def test_parts_of_a_busy_store_do_not_hold_up_the_others(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    # Two busy answers halve the lanes from four to two, which is as many as parts that wait.
    for no in (0, 1):
        cdf.inject(Fault("status", "part", part=no, status=503, retry_after=100))
    upload = client.files.start_upload(file_of(tmp_path, 8), part_size=PART, max_concurrency=4)
    state = until(upload, lambda state: state.stored == 6 * PART)
    assert fired(cdf) == ["status", "status"]
    assert [part.no for part in state.parts if part.phase is not PartPhase.STORED] == [0, 1]
    upload.cancel()
    assert puts(cdf) == dict.fromkeys(range(8), 1)


def test_while_offline_no_other_parts_begin(
    cdf: Emulator, clients: Callable[..., CogniteClient]
) -> None:
    def cut(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.Opened):
            line.down()

    content = content_of(8)
    with Line(cdf.port) as line:
        client = clients(cdf, base_url=f"http://127.0.0.1:{line.port}")
        late = Late(content, open_to=len(content))
        upload = client.files.start_upload(late, part_size=PART, max_concurrency=2)
        ear = Ear()
        upload.listen(ear)
        upload.listen(cut)
        late.looked.set()
        ear.until_heard(ev.PartLost, 8)
        assert {event.no for event in ear.of(ev.PartStarted)} == {0, 1}
        line.up()
        assert cdf.content(upload.result(30).id) == content


def test_a_part_that_crawls_at_the_end_is_cut_and_sent_again_by_one_at_a_time(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    """At 40 KiB/s it would take two minutes; what it has sent is a few percent of the upload."""
    cdf.inject(Fault("slow", "part", part=19, bytes_per_s=40 * KIB, after_bytes=0))
    ear, path = Ear(), file_of(tmp_path, 20)
    upload = client.files.start_upload(path, part_size=PART)
    upload.listen(ear)
    file = upload.result(60)
    assert fired(cdf) == ["slow"]
    assert cdf.content(file.id) == path.read_bytes()
    assert puts(cdf) == {**dict.fromkeys(range(19), 1), 19: 2}
    told = [type(event) for event in ear.events if getattr(event, "no", None) == 19]
    assert [one for one in told if one is not ev.PartSent] == [
        ev.PartStarted, ev.PartLost, ev.PartStarted, ev.PartStored
    ]  # fmt: skip
    assert upload.state.retries == 0  # nothing went wrong


@pytest.mark.parametrize("end", ["go", "stop", "pause"])
def test_on_a_slow_long_way_parts_that_have_only_begun_wait_for_others_to_end(end: str) -> None:
    """Four were begun at 100 KB/s together, and wait for each other: two go on, two go later."""
    sink, stop, pause = Sink(), CancelToken(), CancelToken()

    def way(hurry: bool) -> Seen:
        return Seen(round(1e5 * time.monotonic()), trip_s=0.1, queue_s=0.3, tells=True)

    def flights() -> list[Flight]:
        return [Flight(no, 100, 10 + no) for no in tuple(engine._in_flight)]

    def meanwhile() -> None:
        until_true(lambda: [turn.owner for turn in tuple(lanes._waiting)].count(None) == 2)
        assert (lanes.busy, lanes.limit) == (2, 2)
        assert sorted(sink.begun) == [0, 1, 2, 3]
        if end == "go":
            sink.may_end = {2, 3}
            until_true(lambda: len(sink.begun) == 6)
            assert sorted(sink.begun[4:]) == [0, 1]  # before those that had not begun
            sink.go.set()
        else:
            {"stop": stop, "pause": pause}[end].set("enough")

    engine = Engine(
        BytesSource(b"x" * 6), sink, SharedLimits(way), lambda: 8, tail=Tail(1000), flights=flights
    )
    lanes = engine._limits.lanes
    if end == "go":
        run_engine(sink, 6, 8, stop, meanwhile, engine, pause)
        assert sorted(sink.ended) == list(range(6))
        return
    with pytest.raises(UploadStopped):
        run_engine(sink, 6, 8, stop, meanwhile, engine, pause)
    assert sink.ended == []


# --- how many at once -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["status", "reset_mid"])
def test_a_store_that_asks_for_less_is_sent_half_as_many_at_once(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: str
) -> None:
    cdf.inject(Fault(kind, "part", part=0))
    client.files.upload(file_of(tmp_path, 2), part_size=PART)
    assert fired(cdf) == [kind]
    lanes = client.files.limits.lanes.limit
    assert lanes == START // 2 if kind == "status" else lanes >= START


# --- failures -------------------------------------------------------------------------------------


def test_a_part_that_the_store_refuses_ends_the_upload_and_keeps_what_is_stored(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 6)
    cdf.inject(Fault("status", "part", part=3, status=400))
    # One of the two has enough to do with part 2 until the other one has been refused.
    cdf.inject(Fault("slow", "part", part=2, bytes_per_s=2 * MIB, after_bytes=0))
    with pytest.raises(PartFailed, match="Part 3 was not stored in 1 try") as failed:
        client.files.upload(path, part_size=PART, max_concurrency=2)
    assert sorted(fired(cdf)) == ["slow", "status"]
    assert puts(cdf)[3] == 1
    assert 5 not in puts(cdf)
    assert not asked(cdf, "complete")
    stored = sorted(stored_puts(cdf))
    assert failed.value.missing_parts == tuple(no for no in range(6) if no not in stored)
    assert f"{len(stored)} of 6 parts" in failed.value.__notes__[-1]
    row = uploads().iloc[0]
    assert (row["state"], row["stored_parts"]) == ("failed", len(stored))
    assert "Part 3" in row["note"]
    uploaded = client.files.upload(path, part_size=PART)
    assert cdf.content(uploaded.id) == content_of(6)
    assert set(stored_puts(cdf).values()) == {1}


def test_tries_of_a_part_are_renewed_by_the_progress_of_others(
    client: CogniteClient, cdf: Emulator
) -> None:
    """Four tries are all there are; between the third and the fourth, others get through."""
    cdf.inject(Fault("status", "part", part=0, status=500, times=6))

    class Uneven(Gate):
        begun = 0

        def read_at(self, offset: int, size: int) -> bytes:
            if offset == 0 and not self._samples:
                self.begun += 1
                if self.begun == 4:
                    self.open()
                    until(upload, lambda state: state.stored == 2 * PART)
            return super().read_at(offset, size)

    upload = client.files.start_upload(Uneven(content_of(3), open_to=PART), part_size=PART)
    uploaded = upload.result(30)
    assert fired(cdf) == ["status"] * 6
    assert upload.state.parts[0].attempts == 7
    assert cdf.content(uploaded.id) == content_of(3)


def test_without_progress_the_tries_end(client: CogniteClient, cdf: Emulator) -> None:
    cdf.inject(Fault("status", "part", part=0, status=500, times=6))
    with pytest.raises(PartFailed, match="Part 0 was not stored in 4 tries"):
        client.files.upload(content_of(1), name="a.bin", part_size=PART)
    assert fired(cdf) == ["status"] * 4


# --- what several uploads share -------------------------------------------------------------------


def test_several_uploads_share_the_lanes(client: CogniteClient, cdf: Emulator) -> None:
    gates = [Gate(content_of(4, seed), name=f"{seed}.bin") for seed in range(3)]
    running = [client.files.start_upload(gate, part_size=PART) for gate in gates]
    lanes = client.files.limits.lanes
    for upload in running:
        until(upload, lambda state: state.phase is Phase.SENDING)
    until_true(lambda: sum(len(gate.reads) for gate in gates) == START)
    time.sleep(0.3)  # that no more begin can only be seen by waiting
    assert sum(len(gate.reads) for gate in gates) == lanes.busy == lanes.limit == START
    for gate in gates:
        gate.open()
    for upload, gate in zip(running, gates, strict=True):
        assert cdf.content(upload.result(30).id) == gate.data
    assert lanes.busy == 0


def test_several_uploads_share_the_bandwidth(client: CogniteClient, tmp_path: Path) -> None:
    running = [
        client.files.start_upload(file_of(tmp_path, 1, name=f"{no}.bin"), max_bandwidth=2 * MIB)
        for no in range(3)
    ]
    for upload in running:
        until(upload, lambda state: state.moved > 0)
    since = time.monotonic()
    before = sum(upload.state.moved for upload in running)
    time.sleep(1.0)  # a rate is bytes over time
    moved = sum(upload.state.moved for upload in running) - before
    assert moved < 1.5 * 2 * MIB * (time.monotonic() - since)
    running[0].set_limits(max_bandwidth=float("inf"))
    for upload in running:
        upload.result(30)


def test_several_uploads_share_connections(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    for no in range(6):
        client.files.upload(file_of(tmp_path, 1, name=f"{no}.bin"))
    assert len(client._twin.files.network.connections.get()) == 1


@pytest.mark.anyio
async def test_lanes_are_first_come_first_served_and_a_cancelled_turn_is_passed_on() -> None:
    lanes, order = Slots(), []
    lanes.cap(1)
    await lanes.acquire()

    async def take(name: str) -> None:
        await lanes.acquire()
        order.append(name)
        await anyio.lowlevel.checkpoint()
        lanes.release()

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as impatient:
            async with anyio.create_task_group() as inner:
                inner.start_soon(take, "impatient")
                await anyio.wait_all_tasks_blocked()
                for name in ("first", "second", "third"):
                    group.start_soon(take, name)
                await anyio.wait_all_tasks_blocked()
                impatient.cancel()
                lanes.release()  # to the one who will not take it any more
    assert order == ["first", "second", "third"]
    assert lanes.busy == 0


@pytest.mark.anyio
async def test_the_last_parts_hurry_while_the_way_has_room_that_nobody_else_takes() -> None:
    told: list[bool] = []
    way = Seen(trip_s=0.05, queue_s=0.05)

    def traffic(hurry: bool) -> Seen:
        told.append(hurry)
        return way

    lanes = Slots(traffic)
    lanes.cap(2)
    await lanes.acquire()
    lanes.look(last=True)  # each decides by what the look before has seen
    lanes.look(last=True)
    way = Seen(trip_s=0.05)
    lanes.look(last=True)
    lanes.look(last=True)
    lanes.look()  # of an upload that may send one part at a time
    await lanes.acquire()
    lanes.look(last=True)
    lanes.release()
    lanes.look(last=True)
    lanes.release()
    lanes.look()
    assert told == [False, False, False, True, True, False, True, False]


def test_the_engine_says_when_its_last_parts_are_on_their_way() -> None:
    told, hurried = list[bool](), threading.Event()

    def traffic(hurry: bool) -> Seen:
        told.append(hurry)
        if hurry:
            hurried.set()
        return Seen(trip_s=0.05)

    def sink(part: Part, source: Source, stop: CancelToken, rest: BackoffWait) -> None:
        if part.no < 2:
            looks = len(told)
            until_true(lambda: len(told) > looks + 3)
            assert not hurried.is_set()
        else:
            assert hurried.wait(30)

    limits = SharedLimits(traffic)
    engine = Engine(BytesSource(b"abc"), sink, limits, lambda: 2)
    run_engine(sink, 3, 2, CancelToken(), engine=engine)
    assert hurried.is_set()


@pytest.mark.anyio
async def test_no_more_wait_for_a_lane_than_there_are_parts() -> None:
    """A file of one part had 64 tasks wait for it, which were 3500 objects for the collector."""
    limits, sink = SharedLimits(), Sink()
    sink.go.set()
    limits.lanes.cap(1)
    await limits.lanes.acquire()
    engine = Engine(BytesSource(b"abc"), sink, limits, lambda: MOST)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run, [Part(no, no, 1) for no in range(3)], CancelToken())
        await anyio.wait_all_tasks_blocked()
        assert len(limits.lanes._waiting) == 3
        limits.lanes.release()
    assert sorted(sink.ended) == [0, 1, 2]


@pytest.mark.anyio
async def test_who_takes_a_lane_back_comes_before_all_who_wait() -> None:
    lanes, order, upload = Slots(), [], object()
    lanes.cap(1)
    await lanes.acquire(upload)

    async def take(name: str, first: bool) -> None:
        await lanes.acquire(None if first else upload, first=first)
        order.append(name)
        lanes.release()

    async with anyio.create_task_group() as group:
        for name in ("waits", "waits too"):
            group.start_soon(take, name, False)
        await anyio.wait_all_tasks_blocked()
        assert lanes.may_stay(upload)
        group.start_soon(take, "back", True)
        await anyio.wait_all_tasks_blocked()
        assert not lanes.may_stay(upload)
        lanes.release()
    assert order == ["back", "waits", "waits too"]


def test_a_bucket_without_a_limit_gives_all_and_a_stop_ends_the_wait() -> None:
    bucket, stop = Bandwidth(), CancelToken()
    assert bucket.take(MIB, stop) == MIB
    bucket.set(1.0)
    bucket.take(MIB, stop)  # a debt of hours
    threading.Timer(0.1, stop.set).start()
    assert bucket.take(MIB, stop) == MIB
    assert stop


def test_a_slow_source_is_no_stall_of_the_network(
    cdf: Emulator, clients: Callable[..., CogniteClient]
) -> None:
    class Slow(Gate):
        def read_at(self, offset: int, size: int) -> bytes:
            if not self._samples and offset == 0:
                time.sleep(2.5)  # longer than a part may stand still
            return super().read_at(offset, size)

    client = clients(cdf, stall_timeout_s=1.0)
    upload = client.files.start_upload(Slow(content_of(1), open_to=PART))
    ear = Ear()
    upload.listen(ear)
    assert cdf.content(upload.result(30).id) == content_of(1)
    assert ear.of(ev.PartLost) == []
