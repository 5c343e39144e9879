"""Executors as engines, and many small files at an engine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from clusters import Processes
from support import some_bytes
from upload_rig import PART, Ear, config_for, file_of, puts, until

from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    EngineLost,
    UploadStopped,
    UsageError,
)
from cognite_nb_upload.batch.batch import BatchState
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault

PARTS = 8


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")  # this process has threads
    with ProcessPoolExecutor(2, mp_context=context) as made:
        yield made


@pytest.fixture
def big(tmp_path: Path) -> Path:
    return file_of(tmp_path, PARTS)


@pytest.mark.slow
def test_the_processes_of_a_pool_send_the_parts(
    client: CogniteClient, cdf: Emulator, big: Path, pool: ProcessPoolExecutor
) -> None:
    cdf.inject(Fault("status", "part", status=503, times=2))
    upload = client.files.start_upload(big, engine=pool, part_size=PART, verify="checksum")
    done = upload.result()
    assert cdf.content(done.id) == big.read_bytes()
    assert done.retries == len(cdf.fired()) == 2
    assert puts(cdf).total() == PARTS + 2
    assert "MD5" in done.verified
    mine = f"process {os.getpid()} "
    assert upload.state.workers
    assert not any(where.startswith(mine) for where in upload.state.workers)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_pool_and_the_same_call_goes_on_without(
    client: CogniteClient, cdf: Emulator, big: Path, pool: ProcessPoolExecutor
) -> None:
    upload = client.files.start_upload(big, engine=pool, part_size=PART, max_bandwidth=8 * MIB)
    state = until(upload, lambda state: state.stored and state.workers)
    os.kill(int(state.workers[0].split()[1]), signal.SIGKILL)
    with pytest.raises(EngineLost, match="a process of the executor has died"):
        upload.result()
    done = client.files.upload(big, part_size=PART, max_bandwidth=float("inf"))
    assert any("Went on with" in note for note in done.notes)
    assert cdf.content(done.id) == big.read_bytes()


def test_a_pause_reaches_the_workers_and_it_goes_on(
    client: CogniteClient, cdf: Emulator, big: Path
) -> None:
    with ThreadPoolExecutor(3) as threads:
        upload = client.files.start_upload(big, engine=threads, part_size=PART, max_bandwidth=MIB)
        ear = Ear()
        upload.listen(ear)
        until(upload, lambda state: state.sent)
        upload.pause()
        upload.pause()  # at once
        ear.until_heard(ev.Paused)
        upload.set_limits(max_bandwidth=float("inf"))
        upload.resume()
        assert cdf.content(upload.result().id) == big.read_bytes()
        upload = client.files.start_upload(
            big, name="b", engine=threads, part_size=PART, max_bandwidth=MIB
        )
        until(upload, lambda state: state.sent)
        upload.stop()
        with pytest.raises(UploadStopped):
            upload.result()


@pytest.mark.anyio
async def test_it_is_awaited_as_ever(cdf: Emulator, big: Path) -> None:
    async with AsyncCogniteClient(config_for(cdf)) as client:
        with ThreadPoolExecutor(2) as threads:
            done = await client.files.upload(big, engine=threads, progress=False)
    assert len(cdf.content(done.id)) == PARTS * PART


def test_an_executor_that_may_be_anywhere_needs_trust(client: CogniteClient, big: Path) -> None:
    class Elsewhere(Executor):
        pass

    with pytest.raises(UsageError, match="Elsewhere may send orders over a network"):
        client.files.upload(big, engine=Elsewhere())


@pytest.mark.slow
def test_many_small_files_go_in_few_tasks_and_lost_workers_cost_none(
    dask: Processes, cdf: Emulator, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    folder = tmp_path / "many"
    folder.mkdir()
    for no in range(300):
        (folder / f"{no:03}.bin").write_bytes(some_bytes(2000 + no, seed=no))
    (folder / "big.bin").write_bytes(file_of(tmp_path, 2).read_bytes())
    dask.start("w0", "w1")
    cdf.inject(Fault("status", "put", status=503, times=3))
    with (
        CogniteClient(config_for(cdf)) as client,
        distributed.Client(dask.address, set_as_default=False) as seer,
    ):
        batch = client.files.start_many(folder, engine=dask.address)
        killed = threading.Event()

        def look(state: BatchState) -> None:
            if state.done >= 60 and not killed.is_set():
                killed.set()
                dask.kill("w0")

        batch.listen(look)
        frame = batch.result()
        tasks = seer.run_on_scheduler(lambda dask_scheduler: sum(
            prefix.state_counts["processing"]
            for name, prefix in dask_scheduler.task_prefixes.items()
            if name.startswith("upload")
        ))  # fmt: skip
    assert killed.is_set()
    assert 0 < tasks < 100
    assert set(frame["status"]) == {"done"}
    assert len(cdf.fired()) == 3
    rows: list[Any] = list(frame.itertuples())
    assert all(cdf.content(int(row.id)) == Path(row.path).read_bytes() for row in rows)
    small = [row.verified for row in rows if not row.path.endswith("big.bin")]
    assert set(small) == {"MD5, by the store's answer"}
