"""Item 1 of the upload: a handle that is there at once, is awaited, watched and read."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import tempfile
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest
import support
from upload_rig import PART, Ear, Gate, content_of, file_of, puts, until, until_phase

from cognite_nb_upload import (
    APIError,
    AsyncCogniteClient,
    CogniteClient,
    Uploaded,
    UsageError,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import PartPhase, Phase
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.transfer import upload as uploading

# --- awaiting -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_upload_is_a_handle_before_a_byte_is_read_and_its_await_is_the_result(
    native: AsyncCogniteClient, cdf: Emulator
) -> None:
    gate = Gate(content_of(2))
    upload = native.files.upload(gate, part_size=PART)
    assert not upload.done()
    gate.open()
    uploaded = await upload
    assert isinstance(uploaded, Uploaded)
    assert upload.done()
    assert cdf.content(uploaded.id) == gate.data


@pytest.mark.anyio
async def test_an_upload_is_awaited_by_several_tasks_and_several_times(
    native: AsyncCogniteClient,
) -> None:
    gate = Gate(content_of(1))
    upload = native.files.upload(gate, part_size=PART)

    async def cell() -> Uploaded:
        return await upload

    cells = [asyncio.create_task(cell()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.open()
    results = [await one for one in cells] + [await upload, await upload]
    assert all(one is results[0] for one in results)


def test_an_upload_is_awaited_in_one_loop_after_the_other(
    client: CogniteClient, tmp_path: Path
) -> None:
    upload = client.files.start_upload(file_of(tmp_path, 1))

    async def cell() -> Uploaded:
        return await upload

    assert asyncio.run(cell()) is asyncio.run(cell()) is upload.result()


@pytest.mark.anyio
async def test_an_upload_goes_on_while_the_callers_loop_is_blocked(
    native: AsyncCogniteClient, tmp_path: Path
) -> None:
    upload = native.files.upload(file_of(tmp_path, 3), part_size=PART)
    until_phase(upload, Phase.DONE)  # blocks this loop, as a computing cell does
    assert (await upload).parts == 3


@pytest.mark.anyio
async def test_each_await_of_an_upload_that_failed_raises_why(
    native: AsyncCogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(
        Fault("status", "init", status=403, body='{"error": {"code": 403, "message": "no"}}')
    )
    upload = native.files.upload(file_of(tmp_path, 1))
    for _ in range(2):
        with pytest.raises(APIError, match="403: no"):
            await upload
    assert upload.state.phase is Phase.FAILED
    assert "403: no" in upload.state.error
    assert "403: no" in repr(upload)
    assert [row["kind"] for row in cdf.fired()] == ["status"]


def test_the_blocking_upload_returns_the_result(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    uploaded = client.files.upload(
        file_of(tmp_path, 2), part_size=PART, external_id="x", directory="/a", metadata={"k": "v"}
    )
    assert cdf.content(uploaded.id) == content_of(2)
    assert (uploaded.name, uploaded.size, uploaded.parts) == ("big.segy", 2 * PART, 2)
    file = uploaded.file
    assert (file.external_id, file.directory, file.metadata) == ("x", "/a", {"k": "v"})
    assert file.uploaded


def test_result_waits_so_long_and_the_upload_goes_on(client: CogniteClient) -> None:
    gate = Gate(content_of(1))
    upload = client.files.start_upload(gate)
    with pytest.raises(TimeoutError, match=r"still runs after 0\.01 s, and goes on"):
        upload.result(timeout_s=0.01)
    for wait in (upload.result, upload.wait_until_paused):
        with pytest.raises(UsageError, match="timeout_s is a number of seconds"):
            wait("3")  # type: ignore[operator]
    gate.open()
    assert upload.result(timeout_s=30).size == PART


def test_content_of_a_file_that_exists_is_uploaded_by_either_id(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    made = client.files.upload(b"old", name="a.bin", external_id="a")
    uploaded = client.files.upload_content(file_of(tmp_path, 2), external_id="a", part_size=PART)
    assert uploaded.id == made.id
    assert cdf.content(made.id) == content_of(2)
    started = client.files.start_upload_content(b"newer", external_id="a").result(30)
    assert cdf.content(started.id) == b"newer"


# --- sources --------------------------------------------------------------------------------------


def test_every_kind_of_source_arrives_byte_for_byte(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    content = content_of(2)
    path = file_of(tmp_path, 2)
    memory = fsspec.filesystem("memory")
    memory.pipe("/in-memory.bin", content)
    with path.open("rb") as file, tempfile.TemporaryFile() as temporary:
        temporary.write(content)
        temporary.seek(0)
        sources: list[Any] = [
            path, str(path), content, bytearray(content), memoryview(content), file,
            io.BytesIO(content), temporary, memory.open("/in-memory.bin"),
            fsspec.open(f"file://{path}"),
        ]  # fmt: skip
        for no, source in enumerate(sources):
            uploaded = client.files.upload(source, name=f"{no}.bin", part_size=PART)
            assert cdf.content(uploaded.id) == content, source
    memory.rm("/in-memory.bin")


def test_a_file_object_is_taken_from_its_position(client: CogniteClient, cdf: Emulator) -> None:
    file = io.BytesIO(b"header" + b"content")
    file.seek(6)
    uploaded = client.files.upload(file, name="a.bin")
    assert cdf.content(uploaded.id) == b"content"


@pytest.mark.parametrize("many", ["", "/", "*.bin", "[ab].bin"])
def test_a_folder_or_a_pattern_leads_to_upload_many(
    cdf: Emulator, client: CogniteClient, tmp_path: Path, many: str
) -> None:
    (tmp_path / "a.bin").write_bytes(b"x")
    with pytest.raises(UsageError, match="upload_many"):
        client.files.upload(f"{tmp_path}/{many}" if many else tmp_path)
    assert not cdf.requests()


@pytest.mark.parametrize(
    ("content", "fields", "said"),
    [
        (Path("no-such-file"), {}, "cannot be read"),
        (Path(), {}, "is a folder"),
        (b"x", {}, "no name"),
        (b"x", {"name": "a", "part_size": 1024**4}, "part_size"),
        (b"x", {"name": "a", "max_concurrency": 65}, "max_concurrency is 1 to 64"),
        (b"x", {"name": "a", "max_bandwidth": 0}, "max_bandwidth"),
        (b"x", {"name": "a", "verify": "maybe"}, "verify is one of"),
        (b"x", {"name": "a", "directory": "relative"}, "directory"),
    ],
)
def test_what_cannot_be_is_refused_at_the_call_and_nothing_is_sent(
    native: AsyncCogniteClient, cdf: Emulator, content: Any, fields: Any, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        native.files.upload(content, **fields)
    assert cdf.requests() == []


# --- watching -------------------------------------------------------------------------------------


def test_the_state_is_a_snapshot_that_stays_as_it_was(
    client: CogniteClient, tmp_path: Path
) -> None:
    gate = Gate(content_of(3), open_to=PART)
    upload = client.files.start_upload(gate, part_size=PART)
    early = until(upload, lambda state: state.stored == PART)
    with pytest.raises(dataclasses.FrozenInstanceError):
        early.moved = 0  # type: ignore[misc]
    gate.open()
    upload.result(30)
    assert (early.phase, early.stored, early.missing_parts) == (Phase.SENDING, PART, (1, 2))
    late = upload.state
    assert (late.phase, late.stored, late.missing_parts) == (Phase.DONE, 3 * PART, ())


def test_the_state_tells_rate_and_eta_and_what_each_part_did(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("status", "part", part=1, status=503))
    upload = client.files.start_upload(
        file_of(tmp_path, 2), part_size=PART, max_bandwidth=10 * 1024**2
    )
    ear = Ear()
    upload.listen(ear)
    upload.result(30)
    told = [state for state in ear.states if state.rate and state.eta_s is not None]
    assert told
    assert all(0 < state.rate < 40 * 1024**2 for state in told[2:])
    assert all(0 <= (state.eta_s or 0) < 30 for state in told[2:])
    (first, second) = upload.state.parts
    assert (first.attempts, second.attempts, second.lost) == (1, 2, 1)
    lost = next(state for state in ear.states if state.parts[1].phase is PartPhase.LOST)
    assert "503" in lost.parts[1].reason
    assert lost.parts[1].sent == 0
    assert [row["kind"] for row in cdf.fired()] == ["status"]


def test_what_it_waits_for_is_told(client: CogniteClient, cdf: Emulator, tmp_path: Path) -> None:
    cdf.inject(Fault("status", "complete", status=503))
    gate = Gate(content_of(1))
    upload = client.files.start_upload(gate)
    ear = Ear()
    upload.listen(ear)
    gate.open()
    upload.result(30)
    assert any("503" in state.waiting_for for state in ear.states)
    assert upload.state.waiting_for == ""
    assert [row["route"] for row in cdf.fired()] == ["complete"]


def test_the_frame_has_a_row_for_each_part(client: CogniteClient, tmp_path: Path) -> None:
    upload = client.files.start_upload(file_of(tmp_path, 3), part_size=PART)
    upload.result(30)
    frame = upload.to_frame()
    assert list(frame["part"]) == [0, 1, 2]
    assert set(frame["state"]) == {"stored"}
    assert frame["size_bytes"].sum() == frame["sent_bytes"].sum() == 3 * PART


def test_listeners_hear_from_then_on_until_they_are_let_go(
    client: CogniteClient, tmp_path: Path
) -> None:
    gate = Gate(content_of(2), open_to=PART)
    upload = client.files.start_upload(gate, part_size=PART)
    brief, whole = Ear(), Ear()
    stop = upload.listen(brief)
    upload.listen(whole)
    until(upload, lambda state: state.stored == PART)
    stop()
    heard = len(brief.events)
    gate.open()
    upload.result(30)
    assert len(brief.events) == heard
    assert isinstance(whole.events[-1], ev.Completed)


def test_a_listener_that_fails_costs_nothing(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a listener of the test")

    upload = client.files.start_upload(file_of(tmp_path, 2), part_size=PART)
    upload.listen(broken)
    assert cdf.content(upload.result(30).id) == content_of(2)
    assert "a listener of the test" in caplog.text


def test_the_repr_tells_size_parts_phase_and_share(client: CogniteClient) -> None:
    gate = Gate(content_of(4), open_to=2 * PART)
    upload = client.files.start_upload(gate, part_size=PART)
    until(upload, lambda state: state.sent == state.stored == 2 * PART)
    assert "<Upload gate.bin: 20.25 MiB in 4 parts of 5.06 MiB, sending, 50 %" in repr(upload)
    gate.open()
    uploaded = upload.result(30)
    assert ", done, 100 %" in repr(upload)
    assert f"<Uploaded gate.bin: 20.25 MiB in 4 parts, id {uploaded.id}" in repr(uploaded)
    assert f"verified: size {4 * PART} bytes, by the download link" in repr(uploaded)


def test_the_repr_of_an_upload_that_has_not_begun_or_is_empty_says_so(
    client: CogniteClient, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall_answer", "create"))
    upload = client.files.start_upload(b"", name="empty.bin")
    assert "<Upload empty.bin: 0 bytes in 1 part, new, 0 bytes>" in repr(upload)
    upload.cancel()
    assert ", cancelled" in repr(upload)


def test_who_waits_for_the_end_goes_on_once_all_who_show_it_know_of_it(
    client: CogniteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "_TOLD_S", 300.0)
    source, heard = Gate(content_of(1)), threading.Event()
    upload = client.files.start_upload(source, part_size=PART)
    order: list[str] = []

    def shows(_: object) -> None:
        assert upload.done()
        assert upload.result().name == upload.name  # it does not wait for itself
        heard.wait(60)
        order.append("shown")

    async def cell() -> None:
        await upload
        order.append("awaited")

    def script() -> None:
        upload.result()
        order.append("returned")

    upload.when_done(shows)
    waits = [threading.Thread(target=script), threading.Thread(target=asyncio.run, args=(cell(),))]
    for one in waits:
        one.start()
    source.open()
    support.until(upload.done)
    waits[0].join(0.1)
    heard.set()
    for one in waits:
        one.join(60)
    assert order[0] == "shown"
    assert sorted(order) == ["awaited", "returned", "shown"]


def test_what_cannot_draw_the_end_keeps_nobody_from_hearing_of_it(client: CogniteClient) -> None:
    def broken() -> None:
        raise RuntimeError("can't start new thread")

    source = Gate(content_of(1))
    upload = client.files.start_upload(source, part_size=PART)
    upload.before_end(broken)
    source.open()
    assert upload.result(60).size == PART


def test_a_part_is_sent_once_where_nothing_goes_wrong(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    client.files.upload(file_of(tmp_path, 4), part_size=PART)
    assert dict(puts(cdf)) == {0: 1, 1: 1, 2: 1, 3: 1}


def test_an_error_that_is_not_ours_fails_the_upload_visibly(client: CogniteClient) -> None:
    class Broken(Gate):
        def read_at(self, offset: int, size: int) -> bytes:
            raise RuntimeError("a mistake in somebody's source")

    upload = client.files.start_upload(Broken(b"x"))
    with pytest.raises(RuntimeError, match="a mistake"):
        upload.result(30)
    assert upload.state.phase is Phase.FAILED
