"""What a pause keeps: parts that are nearly done are finished, and few bytes are sent again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from upload_rig import (
    PART,
    Ear,
    content_of,
    environment_of,
    file_of,
    fired,
    puts,
    until,
    until_phase,
    until_true,
)

from cognite_nb_upload import AsyncCogniteClient, CogniteClient, Upload, UploadStopped, uploads
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.core.state import PartPhase, Phase, UploadState
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.transfer import engine


def has_a_rate(state: UploadState) -> bool:
    """A rate of more than a second, and a part that is half way."""
    samples = state.samples
    seen = bool(samples) and samples[-1][0] - samples[0][0] > 1.2
    half = any(part.phase is PartPhase.SENDING and part.sent > PART / 4 for part in state.parts)
    return seen and half


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is in this moment, parts that are nearly done may finish."""
    monkeypatch.setattr(engine, "_FINISH_S", 60.0)


def flowing(client: CogniteClient, path: Path, rate: float, at_once: int = 2) -> Upload:
    """An upload of two parts at once, long enough to know how fast it is."""
    upload = client.files.start_upload(
        path, part_size=PART, max_concurrency=at_once, max_bandwidth=rate
    )
    until(upload, has_a_rate)
    return upload


@pytest.mark.usefixtures("patient")
def test_parts_that_are_nearly_done_are_finished_and_said_so(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    upload, ear = flowing(client, file_of(tmp_path, 8), 8 * MIB), Ear()
    upload.listen(ear)
    upload.pause()
    before = upload.state
    state = until_phase(upload, Phase.PAUSED)
    assert state.waiting_for == "paused"
    said = [event.reason for event in ear.of(ev.Waiting)]
    assert said[0].startswith("finishing ")
    assert ear.of(ev.PartLost) == []
    assert state.stored >= before.sent  # not a byte is sent again
    assert state.missing_parts != ()
    upload.set_limits(max_bandwidth=1e9)
    upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(8)
    assert set(puts(cdf).values()) == {1}


def test_a_second_pause_stops_them_at_once(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    upload, ear = flowing(client, file_of(tmp_path, 8), 3 * MIB), Ear()
    upload.listen(ear)
    upload.set_limits(max_bandwidth=KIB)  # by the rate until now they end soon, and they do not
    upload.pause()
    ear.until_heard(ev.Waiting)
    before = upload.state
    upload.pause()
    state = until_phase(upload, Phase.PAUSED)
    assert state.stored == before.stored
    assert state.sent == state.stored
    upload.set_limits(max_bandwidth=1e9)
    upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(8)


def test_a_stop_finishes_nothing(client: CogniteClient, tmp_path: Path) -> None:
    upload, ear = flowing(client, file_of(tmp_path, 8), 6 * MIB), Ear()
    upload.listen(ear)
    upload.stop()
    assert ear.of(ev.Waiting) == []
    with pytest.raises(UploadStopped):
        upload.result(30)


def test_a_part_that_stands_still_does_not_hold_up_a_pause_for_long(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("stall", "part", part=4))
    upload = client.files.start_upload(
        file_of(tmp_path, 8), part_size=PART, max_concurrency=3, max_bandwidth=8 * MIB
    )
    until_true(lambda: fired(cdf) == ["stall"])
    until(upload, has_a_rate)
    upload.pause()
    until_phase(upload, Phase.PAUSED)
    upload.set_limits(max_bandwidth=1e9)
    upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(8)


@pytest.mark.usefixtures("patient")
def test_one_that_is_resumed_while_parts_finish_goes_on(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    upload, ear = flowing(client, file_of(tmp_path, 8), 6 * MIB), Ear()
    upload.listen(ear)
    upload.pause()
    ear.until_heard(ev.Waiting)
    upload.resume()
    upload.set_limits(max_bandwidth=1e9)
    assert cdf.content(upload.result(30).id) == content_of(8)
    assert set(puts(cdf).values()) == {1}


def test_one_that_is_paused_as_its_last_part_ends_is_paused(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    def last(state: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartStored) and not state.missing_parts:
            upload.pause()

    upload = client.files.start_upload(file_of(tmp_path, 4), part_size=PART, max_bandwidth=20 * MIB)
    upload.listen(last)
    until_phase(upload, Phase.PAUSED)
    upload.resume()
    assert cdf.content(upload.result(30).id) == content_of(4)


@pytest.mark.anyio
@pytest.mark.usefixtures("patient")
async def test_an_interrupted_await_lets_them_finish_beside_the_cells(
    native: AsyncCogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    upload = native.files.upload(
        file_of(tmp_path, 8), part_size=PART, max_concurrency=2, max_bandwidth=8 * MIB
    )

    async def cell() -> None:
        await upload

    waiting = asyncio.create_task(cell())
    await asyncio.to_thread(until, upload, has_a_rate)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    before = upload.state
    state = until_phase(upload, Phase.PAUSED)
    assert state.waiting_for == "interrupted"
    assert state.stored >= before.sent
    upload.cancel()


# --- at the size, and at the rates, that were asked for -------------------------------------------

SIZE = 512 * MIB


def sparse(folder: Path) -> Path:
    path = folder / "big.segy"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("rate", [25 * MIB, 12 * MIB])
def test_after_a_pause_at_70_percent_60_percent_are_stored(
    client: CogniteClient, tmp_path: Path, rate: int
) -> None:
    upload = client.files.start_upload(sparse(tmp_path), max_bandwidth=rate)
    until_seconds(upload, lambda state: state.sent >= 0.7 * SIZE)
    upload.pause()
    state = until_phase(upload, Phase.PAUSED)
    assert state.stored >= 0.6 * SIZE
    upload.cancel()


KILLED = """
import sys
from cognite_nb_upload import CogniteClient
upload = CogniteClient.from_env().files.start_upload(sys.argv[1], max_bandwidth=float(sys.argv[2]))
upload.listen(lambda state, _: print(state.sent, flush=True))
upload.result()
"""


@pytest.mark.slow
@pytest.mark.parametrize("rate", [25 * MIB, 12 * MIB])
def test_after_a_kill_at_70_percent_55_percent_are_stored(
    cdf: Emulator, tmp_path: Path, rate: int
) -> None:
    program = [sys.executable, "-c", KILLED, str(sparse(tmp_path)), str(rate)]
    environment = environment_of(cdf)
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 0.7 * SIZE:
                break
        process.send_signal(signal.SIGKILL)
    row = uploads().iloc[0]
    assert row["stored_bytes"] >= 0.55 * SIZE


def until_seconds(upload: Upload, true: Callable[[UploadState], bool]) -> None:
    """As `until`, for what takes its time."""
    for _ in range(4):
        try:
            until(upload, true)
        except AssertionError:
            continue
        return
    raise AssertionError("It did not become true.")
