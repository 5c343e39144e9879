"""The session in a real notebook kernel: awaited, blocking, and interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import Cell, Kernel
from support import PART, fired, routes, seen, sha256, some_bytes, until

from cognite_nb_upload.emulator import Emulator, Fault

pytestmark = pytest.mark.kernel

SET_UP = """
import os
from cognite_nb_upload import *
config = ClientConfig(
    client_name="kernel", project="demo", credentials=Token(os.environ["T"]), base_url="{url}"
)
client, async_client = CogniteClient(config), AsyncCogniteClient(config)
content = open({path!r}, "rb").read()
"""


def ended_by(cell: Cell) -> str:
    """The name of the error that ended it."""
    return str(cell.result().error[0])


@pytest.fixture
def ready(kernel: Kernel, cdf: Emulator, tmp_path: Path) -> Iterator[Kernel]:
    """The kernel, with both clients of a fresh emulator, and some content."""
    path = tmp_path / "a"
    path.write_bytes(some_bytes())
    kernel.run(f"import os; os.environ['T'] = {cdf.token!r}")
    kernel.run(SET_UP.format(url=cdf.base_url, path=str(path)))
    yield kernel
    kernel.run("await async_client.close(); client.close()")


def test_await_in_a_cell_just_works(ready: Kernel, cdf: Emulator) -> None:
    printed = ready.run(
        "async with async_client.files.multipart_upload_session('a', parts=2) as session:\n"
        "    await session.upload_part_async(1, b'end')\n"
        "    await session.upload_part_async(0, content)\n"
        "print(session.file_metadata.id)"
    ).text
    assert cdf.sha256(int(printed)) == sha256(some_bytes() + b"end")


def test_the_blocking_client_works_inside_the_running_loop_of_a_notebook(
    ready: Kernel, cdf: Emulator
) -> None:
    printed = ready.run(
        "with client.files.multipart_upload_session('a', parts=2) as session:\n"
        "    session.upload_part(1, b'end')\n"
        "    session.upload_part(0, content)\n"
        "print(session.file_metadata.id)"
    ).text
    assert cdf.sha256(int(printed)) == sha256(some_bytes() + b"end")


def test_a_client_of_one_cell_is_good_in_the_next(ready: Kernel, cdf: Emulator) -> None:
    ready.run("session = await async_client.files.multipart_upload_session('a', 1)")
    ready.run("await session.upload_part_async(0, 'text')")
    ready.run("with session: pass")
    assert cdf.content(cdf.files()[-1]["id"]) == b"text"


@pytest.mark.parametrize(
    "send", ["await session.upload_part_async(0, content)", "session.upload_part(0, content)"]
)
def test_interrupting_a_cell_stops_the_part_and_not_only_the_wait(
    send: str, ready: Kernel, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall", "part", after_bytes=100_000))
    ready.run("session = client.files.multipart_upload_session('a', 1)")
    cell = ready.begin(send)
    until(cdf.fired)
    ready.interrupt()
    assert ended_by(cell) in ("KeyboardInterrupt", "CancelledError")
    assert ready.run("print(session.missing_parts, session.state.sent)").text == "(0,) 0\n"
    assert fired(cdf) == [("stall", "part")]
    assert routes(cdf) == ["init", "part"]
    ready.run("with session: session.upload_part(0, content)")  # and it can be sent again
    assert [row["body_bytes"] for row in seen(cdf, "part")][1] == PART
    assert cdf.files()[-1]["uploaded"]


@pytest.mark.parametrize("face", ["await async_client", "client"])
def test_interrupting_a_cell_stops_a_request(face: str, ready: Kernel, cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "list", times=None))
    cell = ready.begin(f"{face}.files.list()")
    until(cdf.fired)
    ready.interrupt()
    assert ended_by(cell) in ("KeyboardInterrupt", "CancelledError")
    assert ready.run("1").value == "1"
    assert routes(cdf) == ["list"]


def test_leaving_a_cell_by_the_stop_button_completes_nothing(ready: Kernel, cdf: Emulator) -> None:
    cdf.inject(Fault("stall", "part", part=1, after_bytes=0))
    cell = ready.begin(
        "async with async_client.files.multipart_upload_session('a', parts=2) as session:\n"
        "    await session.upload_part_async(0, content)\n"
        "    await session.upload_part_async(1, content)\n"
    )
    until(cdf.fired)
    ready.interrupt()
    assert ended_by(cell) in ("KeyboardInterrupt", "CancelledError")
    assert "complete" not in routes(cdf)
    ready.run("async with session: await session.upload_part_async(1, b'end')")
    assert cdf.sha256(cdf.files()[-1]["id"]) == sha256(some_bytes() + b"end")


def test_verbose_tracebacks_of_a_kernel_hold_no_secret(ready: Kernel, cdf: Emulator) -> None:
    ready.run("%xmode Verbose")
    printed = ready.run(
        "session = client.files.multipart_upload_session('a', 1)\n"
        "print(session._opened.urls[0].reveal())"
    ).text
    words = [cdf.token, printed.strip().rpartition("signature=")[2]]
    cdf.inject(Fault("stall", "part", times=None))
    cdf.inject(Fault("stall_answer", "list", times=None))
    cdf.inject(Fault("status", "labels_list", status=403))
    shown = ""
    for code in ("session.upload_part(0, content)", "await async_client.files.list()"):
        before = len(cdf.fired())
        cell = ready.begin(code)
        until(lambda before=before: len(cdf.fired()) > before)
        ready.interrupt()
        shown += "".join(cell.result().error)
    shown += "".join(ready.begin("client.catalog.labels()").result().error)
    ready.run("%xmode Context")
    assert "upload_part" in shown
    assert "part_no" in shown  # variables are shown, so that this claims something
    assert "CDF refused to list labels with 403" in shown
    assert [word for word in words if word in shown] == []
