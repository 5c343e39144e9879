"""What happens to an upload when its workers and their scheduler do what machines do."""

from __future__ import annotations

import hashlib
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusters import Processes
from support import until as until_true
from upload_rig import PART, Ear, asked, config_for, file_of, puts, until

from cognite_nb_upload import CogniteClient, EngineLost, PartFailed, UploadStopped, UsageError
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import PartPhase
from cognite_nb_upload.emulator import Emulator

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

PARTS = 16
AT_ONCE = 4  # parts of one worker at a time
# Slow enough that something is always on its way, and fast enough for a test.
RATE = 24 * MIB


def name_of(where: str) -> str:
    """`w0` of `w0 at 127.0.0.1:4711`."""
    return where.partition(" ")[0]


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def big(tmp_path: Path) -> Path:
    return file_of(tmp_path, PARTS)


@pytest.fixture
def client(cdf: Emulator, request: pytest.FixtureRequest) -> Any:
    """A client whose workers may be silent for a minute, or for as long as a test says."""
    with CogniteClient(config_for(cdf, stall_timeout_s=getattr(request, "param", 60.0))) as made:
        yield made


@pytest.fixture
def begin(client: CogniteClient, dask: Processes, big: Path) -> Callable[..., Any]:
    """Starts an upload of `big` at the cluster."""

    def start(**more: Any) -> Any:
        given = {"engine": dask.address, "part_size": PART, "max_bandwidth": RATE, **more}
        return client.files.start_upload(big, **given)

    return start


def test_a_worker_that_is_killed_costs_its_parts_and_nothing_else(
    begin: Callable[..., Any], dask: Processes, cdf: Emulator, big: Path
) -> None:
    dask.start("w0", "w1", "w2")
    upload, ear = begin(), Ear()
    upload.listen(ear)
    moments = random.Random(5)
    for name in ("w0", "w1"):
        until(upload, lambda state, name=name: any(
            part.phase is PartPhase.SENDING and name_of(part.where) == name
            and part.sent >= moments.random() * PART for part in state.parts
        ))  # fmt: skip
        dask.kill(name)
    done = upload.result()
    assert digest_of(cdf.content(done.id)) == digest_of(big.read_bytes())
    lost = ear.of(ev.PartLost)
    assert lost
    assert {reason.split()[1] for reason in (one.reason for one in lost)} <= {"w0", "w1"}
    assert all("was lost" in one.reason and one.wait_s is not None for one in lost)
    assert done.retries == len(lost) <= 2 * AT_ONCE
    assert puts(cdf).total() <= PARTS + 2 * AT_ONCE
    frame = upload.to_frame()
    assert set(frame["worker"].map(name_of)) >= {"w2"}
    assert frame["attempts"].sum() == PARTS + len(lost)
    assert f"on {len(upload.state.workers)} worker" in repr(upload)


@pytest.mark.parametrize("client", [6.0], indirect=True)
def test_a_frozen_worker_s_parts_go_to_another_and_the_end_does_not_wait_for_it(
    begin: Callable[..., Any], dask: Processes, cdf: Emulator, big: Path
) -> None:
    dask.start("w0", "w1")
    upload, ear = begin(), Ear()
    upload.listen(ear)
    until(upload, lambda state: {name_of(one) for one in state.workers} == {"w0", "w1"})
    dask.freeze("w0")
    done = upload.result(timeout_s=60)
    assert digest_of(cdf.content(done.id)) == digest_of(big.read_bytes())
    reasons = {one.reason for one in ear.of(ev.PartLost)}
    assert reasons
    assert all(one.startswith("worker w0") and "told nothing for 6 s" in one for one in reasons)
    assert puts(cdf).total() <= PARTS + AT_ONCE


def test_a_worker_that_comes_late_gets_parts(begin: Callable[..., Any], dask: Processes) -> None:
    dask.start("w0")
    upload = begin(max_bandwidth=10 * MIB)
    until(upload, lambda state: state.workers)
    dask.start("w1")
    until(upload, lambda state: "w1" in {name_of(one) for one in state.workers})
    upload.set_limits(max_bandwidth=math.inf)
    upload.result()


def test_without_its_scheduler_it_ends_and_goes_on_with_another_cluster_and_with_none(
    client: CogniteClient, dask: Processes, cdf: Emulator, big: Path, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"part_size": PART, "max_bandwidth": RATE}
    dask.start("other")
    with Processes(tmp_path) as cluster:
        cluster.start("w0")
        upload = client.files.start_upload(big, engine=cluster.address, **how)
        until(upload, lambda state: state.stored >= 2 * PART)
        cluster.scheduler.kill()
        with pytest.raises(EngineLost, match="connection to the scheduler is lost") as error:
            upload.result(timeout_s=60)
    assert isinstance(error.value, UploadStopped)
    stored = PARTS - len(error.value.missing_parts)
    assert 2 <= stored < PARTS
    upload = client.files.start_upload(big, engine=dask.address, **how)
    until(upload, lambda state: state.stored >= (stored + 2) * PART)
    assert f"Went on with {stored} of {PARTS} parts" in repr(upload)
    assert {name_of(one) for one in upload.state.workers} == {"other"}
    upload.stop()
    done = client.files.upload(big, **{**how, "max_bandwidth": math.inf})
    assert any("Went on with" in note for note in done.notes)
    assert digest_of(cdf.content(done.id)) == digest_of(big.read_bytes())
    assert puts(cdf).total() <= PARTS + 2 * AT_ONCE


def test_after_a_stop_no_worker_sends_anything(
    begin: Callable[..., Any], client: CogniteClient, dask: Processes, cdf: Emulator, big: Path
) -> None:
    dask.start("w0", "w1")
    upload = begin(max_bandwidth=4 * MIB)
    until(upload, lambda state: len(state.workers) == 2 and state.sent > MIB)
    upload.stop()
    with pytest.raises(UploadStopped):
        upload.result()
    broken = [row["no"] for row in asked(cdf, "part") if row["status"] is None]
    before = puts(cdf).total()
    assert broken
    again = begin(name="other", max_bandwidth=math.inf)
    again.result()
    # Nothing was begun after the stop, and what was on its way never ended.
    assert puts(cdf).total() - before == PARTS
    rows = {row["no"]: row for row in asked(cdf, "part")}
    assert {rows[no]["status"] for no in broken} == {None}
    done = begin(max_bandwidth=math.inf).result()
    assert digest_of(cdf.content(done.id)) == digest_of(big.read_bytes())


def test_workers_without_the_file_or_with_another_are_left_out_and_named(
    client: CogniteClient, dask: Processes, cdf: Emulator, big: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    nothing, other = tmp_path / "nothing", tmp_path / "other"
    nothing.mkdir()
    other.mkdir()
    data = bytearray(big.read_bytes())
    data[len(data) // 2] ^= 1
    (other / big.name).write_bytes(data)
    facts = big.stat()
    os.utime(other / big.name, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    monkeypatch.chdir(big.parent)
    here = Path("/proc/self/cwd") / big.name  # another file in each process
    dask.start("lacks", cwd=nothing)
    dask.start("other", cwd=other)
    until_true(lambda: len(dask.seen()) == 2, within_s=60)
    with pytest.raises(UsageError, match="No worker of the cluster can send") as error:
        client.files.upload(here, engine=dask.address)
    assert "lacks at" in str(error.value)
    assert "other bytes" in str(error.value)
    assert asked(cdf, "init") == []
    dask.start("has", cwd=big.parent)
    until_true(lambda: len(dask.seen()) == 3, within_s=60)
    how: dict[str, Any] = {"engine": dask.address, "part_size": PART, "max_bandwidth": RATE / 8}
    upload = client.files.start_upload(here, **how)
    until_true(lambda: all(f"{one} at" in repr(upload) for one in ("lacks", "other")), within_s=60)
    upload.set_limits(max_bandwidth=math.inf)
    done = upload.result()
    assert {name_of(one) for one in upload.state.workers} == {"has"}
    assert digest_of(cdf.content(done.id)) == digest_of(big.read_bytes())
    assert all(any(f"{one} at" in note for note in done.notes) for one in ("lacks", "other"))


def test_a_part_that_kills_its_workers_is_not_sent_to_all_of_them(
    begin: Callable[..., Any], dask: Processes
) -> None:
    dask.start(*(f"w{no}" for no in range(5)))
    until_true(lambda: len(dask.seen()) == 5, within_s=60)

    def kill(_: object, event: ev.Event) -> None:
        if isinstance(event, ev.PartPlaced) and event.no == 3:
            dask.kill(name_of(event.where))

    upload = begin(max_bandwidth=8 * MIB)
    upload.listen(kill)
    with pytest.raises(PartFailed, match="4 workers have died while they had it, the last w"):
        upload.result()
