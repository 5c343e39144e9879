"""Item 1 and 5 of the upload in a real Jupyter kernel: busy cells, interrupts, kills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import Kernel
from upload_rig import (
    PART,
    all_seen,
    asked,
    content_of,
    environment_of,
    file_of,
    puts,
    stored_puts,
    until_true,
)

from cognite_nb_upload import uploads
from cognite_nb_upload.emulator import Emulator, Fault, emulator

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SETUP = f"""
from pathlib import Path
from cognite_nb_upload import AsyncCogniteClient, CogniteClient, resume, uploads
client = AsyncCogniteClient.from_env()
how = dict(part_size={PART})
"""


@pytest.fixture(scope="module")
def module_cdf() -> Iterator[Emulator]:
    with emulator(faults=True, strict_storage=True) as running:
        yield running


@pytest.fixture(scope="module")
def module_journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals")


@pytest.fixture(scope="module")
def warm(module_cdf: Emulator, module_journals: Path) -> Iterator[Kernel]:
    """One kernel for the tests that leave it well."""
    variables = environment_of(module_cdf)
    with Kernel(**{**variables, "COGNITE_NB_UPLOAD_STATE": str(module_journals)}) as kernel:
        kernel.run(SETUP)
        yield kernel


@pytest.fixture
def kernel(warm: Kernel, module_cdf: Emulator) -> Kernel:
    module_cdf.clear_faults()
    warm.run("")
    return warm


@pytest.fixture
def cdf(module_cdf: Emulator) -> Emulator:
    return module_cdf


def _file(cdf: Emulator, name: str) -> int:
    return next(int(file["id"]) for file in cdf.files() if file["name"] == name)


def test_an_upload_goes_on_while_a_cell_computes(
    kernel: Kernel, cdf: Emulator, tmp_path: Path
) -> None:
    path, begun, flag = file_of(tmp_path, 4, name="busy.segy"), tmp_path / "go", tmp_path / "stop"
    cdf.inject(Fault("stall_answer", "init"))  # until the cell is busy
    kernel.run(f"upload = client.files.upload({str(path)!r}, **how)")
    busy = kernel.begin(
        f"open({str(begun)!r}, 'w').close()\n"
        f"import os\nn = 0\nwhile not os.path.exists({str(flag)!r}):\n    n += sum(range(2000))"
    )
    until_true(begun.exists)
    cdf.clear_faults()
    until_true(
        lambda: any(file["name"] == "busy.segy" and file["uploaded"] for file in cdf.files())
    )
    assert not busy.look()
    flag.touch()
    busy.ok()
    assert "<Uploaded busy.segy" in kernel.run("await upload").value
    assert cdf.content(_file(cdf, "busy.segy")) == content_of(4)


def test_the_notebooks_loop_awaits_an_upload_in_several_cells(
    kernel: Kernel, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2, name="cells.segy")
    assert (
        "<Upload cells.segy" in kernel.run(f"u = client.files.upload({str(path)!r}); repr(u)").value
    )
    for _ in range(2):
        assert "<Uploaded cells.segy" in kernel.run("await u").value
    assert kernel.run("import asyncio; len(await asyncio.gather(u, u))").value == "2"


def test_interrupting_a_cell_that_awaits_pauses_and_awaiting_again_goes_on(
    kernel: Kernel, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3, name="paused.segy")
    cdf.inject(Fault("stall", "part", part=1))
    seen = len(cdf.fired())
    cell = kernel.begin(f"u = client.files.upload({str(path)!r}, **how)\nawait u")
    until_true(lambda: len(cdf.fired()) > seen)
    kernel.interrupt()
    cell.result()
    assert cell.error[0] in ("CancelledError", "KeyboardInterrupt")
    assert cell.text == (
        "Paused paused.segy: `await` it again to go on, or `.cancel()` to give it up.\n"
    )
    assert "paused" in kernel.run("repr(u)").value
    before = all_seen(cdf)
    assert "paused" in kernel.run("import time; time.sleep(0.5); repr(u)").value
    assert cdf.requests() == before
    assert "<Uploaded paused.segy" in kernel.run("await u").value
    assert cdf.content(_file(cdf, "paused.segy")) == content_of(3)


def test_interrupting_the_blocking_call_stops_it_and_the_same_cell_goes_on(
    kernel: Kernel, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3, name="blocking.segy")
    cdf.inject(Fault("stall", "part", part=1))
    seen = len(cdf.fired())
    code = f"CogniteClient.from_env().files.upload({str(path)!r}, **how)"
    cell = kernel.begin(code)
    until_true(lambda: len(cdf.fired()) > seen)
    kernel.interrupt()
    cell.result()
    assert cell.error[0] == "KeyboardInterrupt"
    assert cell.text == "Stopped blocking.segy: the same call goes on with it.\n"
    again = kernel.run(code).value
    assert "parts stored already" in again
    assert cdf.content(_file(cdf, "blocking.segy")) == content_of(3)


def test_a_killed_kernel_loses_nothing_but_what_was_in_flight(tmp_path: Path) -> None:
    path = file_of(tmp_path, 4)
    call = f"(await client.files.upload({str(path)!r}, **how)).notes"
    with emulator(faults=True, strict_storage=True) as cdf:
        cdf.inject(Fault("stall", "part", part=2))
        with Kernel(**environment_of(cdf)) as kernel:
            kernel.run(SETUP)
            kernel.begin(call)
            until_true(lambda: len(stored_puts(cdf)) == 3)
            until_true(lambda: uploads()["stored_parts"].sum() == 3)
            kernel.kill()
        with Kernel(**environment_of(cdf)) as kernel:
            kernel.run(SETUP)
            assert "'3'" in kernel.run("str(uploads().iloc[0]['stored_parts'])").value
            notes = kernel.run(call).value
        assert notes == "('Went on with 3 of 4 parts stored already.',)"
        assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1, 3: 1}
        assert puts(cdf)[2] == 2
        assert len(asked(cdf, "init")) == 1
        (file,) = (file for file in cdf.files() if file["name"] == "big.segy")
        assert cdf.content(file["id"]) == content_of(4)


def test_what_an_upload_warns_of_is_said_in_its_own_cell(
    kernel: Kernel, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 4, name="half.segy")
    cdf.inject(Fault("status", "part", part=2, status=400))
    kernel.run(
        f"try:\n    await client.files.upload({str(path)!r}, **how)\n"
        "except Exception as error:\n    assert 'Part 2' in str(error)"
    )
    told = kernel.run(f"await client.files.upload({str(path)!r}, name='other.segy', **how)")
    assert "An unfinished upload of the same content is left" in told.text
