"""Item 1 of the upload: pause, resume, cancel (row 29), limits while it runs."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from upload_rig import (
    PART,
    Ear,
    Gate,
    Late,
    all_seen,
    asked,
    content_of,
    file_of,
    puts,
    stored_puts,
    until,
    until_phase,
    until_true,
)

from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    Upload,
    UploadStopped,
    UsageError,
    uploads,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import PartPhase, Phase, UploadState
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.emulator.connection import BUFFER_SIZE

Clients = Callable[..., CogniteClient]
Start = Callable[..., Emulator]


def bytes_seen(cdf: Emulator) -> int:
    return sum(row["body_bytes"] for row in asked(cdf, "part"))


def nothing_follows(cdf: Emulator) -> None:
    """What the emulator has seen stays as it is, for as long as a test may take to see it."""
    before = all_seen(cdf)
    time.sleep(0.3)  # that nothing comes can only be seen by waiting
    assert cdf.requests() == before


# --- pause and resume -----------------------------------------------------------------------------


def test_a_pause_stops_the_parts_in_flight_and_resuming_sends_only_those_again(
    client: CogniteClient, cdf: Emulator
) -> None:
    gate = Gate(content_of(4), open_to=PART + PART // 2)
    upload = client.files.start_upload(gate, part_size=PART)
    until(upload, lambda state: state.stored == PART and state.parts[1].sent > 0)
    ear = Ear()
    upload.listen(ear)
    upload.pause()
    gate.open()
    state = until_phase(upload, Phase.PAUSED)
    assert state.waiting_for == "paused"
    assert state.sent == state.stored == PART
    nothing_follows(cdf)
    assert not asked(cdf, "complete")
    upload.resume()
    uploaded = upload.result(30)
    assert cdf.content(uploaded.id) == gate.data
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert puts(cdf)[1] == 2
    assert [type(event) for event in ear.events].count(ev.Resumed) == 1


def test_what_the_network_had_taken_is_taken_back_by_a_pause(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    # The store reads nothing more, so what is sent stays in buffers: it must not go out later.
    cdf.inject(Fault("stall", "part", after_bytes=64 * 1024))
    upload = client.files.start_upload(file_of(tmp_path, 1))
    until_true(cdf.fired)
    until(upload, lambda state: state.sent > 0)
    upload.pause()
    until_phase(upload, Phase.PAUSED)
    seen = bytes_seen(cdf)
    cdf.clear_faults()  # the store reads on
    time.sleep(0.3)  # that nothing comes can only be seen by waiting
    # What its kernel had acknowledged, and what its reader had taken from there already.
    assert bytes_seen(cdf) <= seen + 64 * 1024 + 2 * BUFFER_SIZE + 256 * 1024 < PART
    upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(1)


def test_pauses_and_resumes_in_any_number_lose_nothing(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    upload = client.files.start_upload(file_of(tmp_path, 4), part_size=PART)
    for _ in range(20):
        upload.pause()
        upload.pause()
        upload.resume()
        upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(4)


def test_paused_before_anything_was_asked_of_cdf_nothing_is_asked(
    client: CogniteClient, cdf: Emulator
) -> None:
    late = Late(b"x", open_to=1)
    upload = client.files.start_upload(late)
    upload.pause("lunch")
    late.looked.set()
    assert until_phase(upload, Phase.PAUSED).waiting_for == "lunch"
    assert cdf.requests() == []
    upload.resume()
    assert cdf.content(upload.result(30).id) == b"x"


def test_a_pause_does_not_wait_for_the_lanes_that_other_uploads_hold(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    gate = Gate(content_of(8))
    holder = client.files.start_upload(gate, part_size=PART)
    until_true(lambda: len(gate.reads) == client.files.limits.lanes.limit)
    upload = client.files.start_upload(file_of(tmp_path, 2), part_size=PART)
    until_phase(upload, Phase.SENDING)
    upload.pause()
    until_phase(upload, Phase.PAUSED)
    gate.open()
    holder.result(30)
    upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(2)


@pytest.mark.parametrize("again", ["ok", "refuse"])
def test_a_pause_while_cdf_is_told_to_complete_is_gone_on_with(
    start: Start, clients: Clients, tmp_path: Path, again: str
) -> None:
    cdf = start(repeated_complete=again)
    cdf.inject(Fault("stall_answer", "complete"))
    upload = clients(cdf).files.start_upload(file_of(tmp_path, 1))
    until_true(cdf.fired)
    upload.pause()
    until_phase(upload, Phase.PAUSED)
    upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(1)


def test_a_pause_while_cdf_assembles_ends_the_asking_and_resuming_asks_on(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(uploaded_delay_s=3.0, repeated_complete="refuse")
    upload = clients(cdf).files.start_upload(file_of(tmp_path, 1))
    until_phase(upload, Phase.ASSEMBLING)
    upload.pause()
    until_phase(upload, Phase.PAUSED)
    nothing_follows(cdf)
    upload.resume()
    assert upload.result(30).verified
    assert len(asked(cdf, "complete")) == 1


def test_a_pause_while_everything_is_read_back_begins_the_reading_anew(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("slow", "download", bytes_per_s=MIB, times=None))
    cdf.inject(Fault("stall_answer", "downloadlink"))
    upload = client.files.start_upload(file_of(tmp_path, 3), part_size=PART, verify="download")
    until_phase(upload, Phase.ASSEMBLING)
    until_true(cdf.fired)
    upload.pause()
    until_phase(upload, Phase.PAUSED)
    cdf.clear_faults()
    upload.resume()
    assert upload.result(30).verified == f"all {3 * PART} bytes, by reading them back"
    assert len(asked(cdf, "complete")) == 1


# --- interrupting whoever awaits ------------------------------------------------------------------


@pytest.mark.anyio
async def test_interrupting_who_awaits_pauses_says_so_in_one_line_and_the_next_await_goes_on(
    native: AsyncCogniteClient, cdf: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = Gate(content_of(3), open_to=PART)
    upload = native.files.upload(gate, part_size=PART)

    async def cell() -> None:
        await upload

    waiting = asyncio.create_task(cell())
    await asyncio.sleep(0)
    until(upload, lambda state: state.stored == PART)
    waiting.cancel()  # what a kernel does to the cell that is interrupted
    with pytest.raises(asyncio.CancelledError):
        await waiting
    said = "Paused gate.bin: `await` it again to go on, or `.cancel()` to give it up.\n"
    assert capsys.readouterr().out == said
    gate.open()
    state = until_phase(upload, Phase.PAUSED)
    assert state.waiting_for == "interrupted"
    nothing_follows(cdf)
    assert cdf.content((await upload).id) == gate.data
    assert capsys.readouterr().out == ""


@pytest.mark.anyio
async def test_interrupting_who_awaits_what_is_done_pauses_nothing(
    native: AsyncCogniteClient, capsys: pytest.CaptureFixture[str]
) -> None:
    upload = native.files.upload(b"x", name="a.bin")
    until_phase(upload, Phase.DONE)
    upload.result(30)
    waiting = asyncio.ensure_future(upload)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert capsys.readouterr().out == ""


# --- row 29: cancel -------------------------------------------------------------------------------


def _during_init(cdf: Emulator) -> Callable[[Upload], object]:
    cdf.inject(Fault("stall_answer", "init"))
    return lambda _: until_true(cdf.fired)


def _before_it_began(cdf: Emulator) -> Callable[[Upload], object]:
    return lambda _: None


def _during_parts(cdf: Emulator) -> Callable[[Upload], object]:
    cdf.inject(Fault("stall", "part", part=1, times=None))
    return lambda upload: until(upload, lambda state: state.stored and state.parts[1].sent)


def _while_a_store_is_slow_to_answer(cdf: Emulator) -> Callable[[Upload], object]:
    cdf.inject(Fault("stall_answer", "part", part=1, times=None))
    return lambda _: until_true(cdf.fired)


def _between_two_tries(cdf: Emulator) -> Callable[[Upload], object]:
    cdf.inject(Fault("status", "part", part=1, retry_after=100, times=None))
    return lambda upload: until(upload, lambda state: state.parts[1:] and state.parts[1].wait_s)


def _while_paused(cdf: Emulator) -> Callable[[Upload], object]:
    cdf.inject(Fault("stall", "part", part=1, times=None))

    def pause(upload: Upload) -> None:
        until(upload, lambda state: state.stored)
        upload.pause()
        until_phase(upload, Phase.PAUSED)

    return pause


def _during_complete(cdf: Emulator) -> Callable[[Upload], object]:
    cdf.inject(Fault("stall_answer", "complete"))
    return lambda _: until_true(cdf.fired)


def _before_complete_is_repeated(cdf: Emulator) -> Callable[[Upload], object]:
    cdf.inject(Fault("status", "complete", retry_after=100))
    return lambda upload: until(upload, lambda state: "503" in state.waiting_for)


@pytest.mark.parametrize(
    "stage",
    [
        _before_it_began, _during_init, _during_parts, _while_a_store_is_slow_to_answer,
        _between_two_tries, _while_paused, _during_complete, _before_complete_is_repeated,
    ],
)  # fmt: skip
def test_cancel_returns_when_no_byte_will_follow_at_any_stage(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, journals: Path, stage: Any
) -> None:
    reached = stage(cdf)
    upload = client.files.start_upload(file_of(tmp_path, 3), part_size=PART)
    reached(upload)
    upload.cancel()
    state = upload.state
    seen = all_seen(cdf)
    assert upload.done()
    assert state.phase is Phase.CANCELLED
    with pytest.raises(UploadStopped, match=r"upload of big.segy was cancelled"):
        upload.result()
    time.sleep(0.3)  # that nothing comes can only be seen by waiting
    assert [row["no"] for row in cdf.requests()] == [row["no"] for row in seen]
    assert bytes_seen(cdf) == sum(row["body_bytes"] for row in seen if row["route"] == "part")
    if stage not in (_during_complete, _before_complete_is_repeated):
        assert not asked(cdf, "complete")
    assert not asked(cdf, "delete")
    assert list(journals.glob("*.journal")) == []


def test_cancel_deletes_the_file_only_if_asked(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("stall", "part", part=1, times=None))
    ids = []
    for name, delete in (("kept", False), ("deleted", True)):
        upload = client.files.start_upload(content_of(2), name=name, part_size=PART)
        until(upload, lambda state: state.stored)
        upload.cancel(delete)
        ids.append(upload.state.file_id)
    there = {file["id"] for file in cdf.files()}
    assert [one in there for one in ids] == [True, False]


def test_cancel_never_deletes_a_file_that_existed_before(
    client: CogniteClient, cdf: Emulator
) -> None:
    made = client.files.upload(b"precious", name="a.bin", external_id="a")
    cdf.inject(Fault("stall", "part", part=1, times=None))
    new = content_of(2)
    how: dict[str, Any] = {"external_id": "a", "part_size": PART}
    for begin in (
        lambda: client.files.start_upload(new, name="a.bin", overwrite=True, **how),
        lambda: client.files.start_upload_content(new, **how),
    ):
        upload = begin()
        until(upload, lambda state: state.stored)
        upload.cancel(delete=True)
        with pytest.raises(UploadStopped) as stopped:
            upload.result()
        assert stopped.value.__notes__ == [
            "The file was not deleted: it existed before this upload."
        ]
    assert not asked(cdf, "delete")
    assert cdf.content(made.id) == b"precious"


def test_a_file_that_cannot_be_deleted_is_named(client: CogniteClient, cdf: Emulator) -> None:
    cdf.inject(Fault("status", "delete", status=403))
    cdf.inject(Fault("stall", "part", part=1))
    upload = client.files.start_upload(content_of(2), name="a.bin", part_size=PART)
    until(upload, lambda state: state.stored)
    until_true(cdf.fired)
    upload.cancel(delete=True)
    with pytest.raises(UploadStopped) as stopped:
        upload.result()
    assert f"id {upload.state.file_id}, was not deleted" in stopped.value.__notes__[0]
    assert [row["route"] for row in cdf.fired()] == ["part", "delete"]


def test_cancelled_while_cdf_was_asked_to_begin_says_what_may_be_left(
    client: CogniteClient, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall_answer", "create"))
    upload = client.files.start_upload(b"x", name="a.bin")
    until_true(cdf.fired)
    upload.cancel()
    with pytest.raises(UploadStopped) as stopped:
        upload.result()
    assert "may hold an empty file" in stopped.value.__notes__[0]


def test_what_is_done_stays_done_when_it_is_cancelled(client: CogniteClient, cdf: Emulator) -> None:
    upload = client.files.start_upload(b"x", name="a.bin")
    uploaded = upload.result(30)
    upload.cancel(delete=True)
    upload.pause()
    upload.stop()
    assert upload.result() is uploaded
    assert upload.state.phase is Phase.DONE
    assert cdf.content(uploaded.id) == b"x"


def test_cancelled_in_the_instant_it_completes_it_is_one_or_the_other(
    client: CogniteClient, cdf: Emulator
) -> None:
    for event in (ev.Completing, ev.Assembling, ev.Completed):
        upload = client.files.start_upload(gate := Gate(content_of(1)))

        def cancel(
            _: UploadState, seen: ev.Event, upload: Upload = upload, at: Any = event
        ) -> None:
            if isinstance(seen, at):
                upload.cancel()

        upload.listen(cancel)
        gate.open()
        try:
            done = upload.result(30)
        except UploadStopped:
            assert upload.state.phase is Phase.CANCELLED
            assert event is not ev.Completed
        else:
            assert upload.state.phase is Phase.DONE
            assert cdf.content(done.id) == gate.data


def test_a_listener_may_cancel_stop_and_pause(client: CogniteClient, cdf: Emulator) -> None:
    cdf.inject(Fault("stall", "part", part=1, times=None))
    for act in (Upload.cancel, Upload.stop, Upload.pause):
        upload = client.files.start_upload(content_of(3), name="a.bin", part_size=PART)

        def steer(_: UploadState, seen: ev.Event, upload: Upload = upload, act: Any = act) -> None:
            if isinstance(seen, ev.PartSent):
                act(upload)

        upload.listen(steer)
        until_phase(upload, Phase.CANCELLED if act is Upload.cancel else Phase.PAUSED)
        upload.cancel()


def test_the_same_call_after_a_cancel_is_a_new_upload(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall", "part", part=1))
    upload = client.files.start_upload(path, part_size=PART)
    until(upload, lambda state: state.stored)
    until_true(cdf.fired)
    upload.cancel()
    uploaded = client.files.upload(path, part_size=PART)
    assert uploaded.id != upload.state.file_id
    assert uploaded.notes == ()
    assert list(uploads()["state"]) == ["done", "cancelled"]


def test_a_stopped_upload_is_paused_on_disk_and_the_same_call_goes_on(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    cdf.inject(Fault("stall", "part", part=1))
    upload = client.files.start_upload(path, part_size=PART)
    until(upload, lambda state: state.stored == 2 * PART)
    until_true(cdf.fired)
    upload.stop()
    with pytest.raises(UploadStopped, match="was stopped") as stopped:
        upload.result()
    assert stopped.value.missing_parts == (1,)
    assert upload.state.phase is Phase.PAUSED
    assert list(uploads()["state"]) == ["paused"]
    uploaded = client.files.upload(path, part_size=PART)
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1}
    assert uploaded.notes == ("Went on with 2 of 3 parts stored already.",)


# --- limits ---------------------------------------------------------------------------------------


def _most_at_once(ear: Ear) -> int:
    flying = ([part.phase for part in state.parts].count(PartPhase.SENDING) for state in ear.states)
    return max(flying)


def test_no_more_parts_go_at_once_than_the_limit_says_and_it_changes_live(
    client: CogniteClient,
) -> None:
    gate = Gate(content_of(8))
    upload = client.files.start_upload(gate, part_size=PART, max_concurrency=1)
    until_true(lambda: gate.reads)
    ear = Ear()
    upload.listen(ear)
    gate.open(4 * PART)
    until(upload, lambda state: state.stored == 4 * PART)
    assert _most_at_once(ear) == 1
    until_true(lambda: len(gate.reads) >= 1)
    upload.set_limits(max_concurrency=3)
    until(upload, lambda state: [p.phase for p in state.parts].count(PartPhase.SENDING) == 3)
    gate.open()
    upload.result(30)
    assert _most_at_once(ear) == 3


@pytest.mark.parametrize("bad", [0, 65, 1.5, True])
def test_a_limit_that_cannot_be_is_refused(client: CogniteClient, bad: Any) -> None:
    upload = client.files.start_upload(b"x", name="a.bin")
    with pytest.raises(UsageError, match="max_concurrency is 1 to 64"):
        upload.set_limits(max_concurrency=bad)
    with pytest.raises(UsageError, match="max_bandwidth"):
        upload.set_limits(max_bandwidth=-1)
    upload.result(30)


def test_the_bandwidth_limit_is_kept_and_changes_live(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    upload = client.files.start_upload(file_of(tmp_path, 6), part_size=PART, max_bandwidth=MIB)
    until(upload, lambda state: state.moved > 0)
    since = time.monotonic()
    before = upload.state.moved
    until(upload, lambda state: state.moved > before + 2 * MIB)
    moved, took_s = upload.state.moved - before, time.monotonic() - since
    assert moved < 1.6 * MIB * took_s
    upload.set_limits(max_bandwidth=math.inf)  # at the old rate it would take half a minute
    since = time.monotonic()
    upload.result(60)
    assert time.monotonic() - since < 20
    assert cdf.content(upload.result().id) == content_of(6)


def test_no_limit_may_be_said_at_the_call(client: CogniteClient) -> None:
    client.files.limits.bandwidth.set(1000.0)
    assert client.files.upload(b"x" * 10**6, name="a.bin", max_bandwidth=math.inf).size == 10**6
    assert client.files.limits.bandwidth.rate is None
