"""Ctrl-C in a script stops the work, not only the wait for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from support import fired, routes, seen, some_bytes, until

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.sources import BytesSource
from cognite_nb_upload.store.port import Checksums
from cognite_nb_upload.transfer.verify import PartDigest

SCRIPT = """
import sys
from cognite_nb_upload import ClientConfig, CogniteClient, Token, background

background._GRACE_S = 300.0  # a call that does not end is given this long
config = ClientConfig(
    client_name="script", project="demo", credentials=Token(sys.argv[2]), base_url=sys.argv[1]
)
client = CogniteClient(config)
session = client.files.multipart_upload_session("a", 1)

def work():
    {work}

print("begun", flush=True)
try:
    work()
except KeyboardInterrupt:
    print("interrupted", session.missing_parts, session.state.sent, flush=True)
sys.stdin.readline()   # the process lives on: what was not stopped would go on
{after}
print("done", flush=True)
"""


@contextmanager
def running(cdf: Emulator, work: str, after: str = "") -> Iterator[subprocess.Popen[str]]:
    """The script, once it has begun; what it prints is read line by line."""
    code = SCRIPT.format(work=work, after=after)
    command = [sys.executable, "-c", code, cdf.base_url, cdf.token]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as script:
        late = threading.Timer(60, script.kill)  # what does not end is seen by what it never says
        late.start()
        try:
            assert said(script) == "begun"
            yield script
        finally:
            late.cancel()
            script.kill()


def said(script: subprocess.Popen[str]) -> str:
    assert script.stdout is not None
    return script.stdout.readline().strip()


def go_on(script: subprocess.Popen[str]) -> str:
    assert script.stdin is not None
    script.stdin.write("\n")
    script.stdin.flush()
    return said(script)


def test_an_interrupted_part_is_stopped_and_can_be_sent_again(
    cdf: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(some_bytes() * 4)
    cdf.inject(Fault("slow", "part", bytes_per_s=2_000_000, after_bytes=0))
    work = f"session.upload_part(0, __import__('pathlib').Path({str(path)!r}))"
    with running(cdf, work, after="with session: work()") as script:
        until(lambda: [row for row in seen(cdf, "part") if row["body_bytes"]])
        script.send_signal(signal.SIGINT)
        assert said(script) == "interrupted (0,) 0"
        assert go_on(script) == "done"
    first, second = seen(cdf, "part")
    assert first["status"] is None  # it was never answered: the connection was cut
    # What the kernels' buffers held may still have come, which is 6 MiB at most.
    assert first["body_bytes"] < 8 * MIB < path.stat().st_size / 2
    assert second["body_bytes"] == path.stat().st_size
    assert fired(cdf) == [("slow", "part")]
    assert routes(cdf)[-2:] == ["complete", "byids"]


@pytest.mark.parametrize(
    ("route", "work"),
    [
        ("list", "client.files.list()"),
        ("complete", "session.upload_part(0, b'x'); session.__exit__(None, None, None)"),
        ("download", "session.upload_part(0, b'x'); session.__exit__(None, None, None); "
         "client.files.download('/dev/shm/never', id=session.file_metadata.id)"),
    ],
)  # fmt: skip
def test_an_interrupted_call_ends_at_once_and_is_not_repeated(
    route: str, work: str, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall_answer", route, times=None))
    with running(cdf, work) as script:
        until(cdf.fired)
        script.send_signal(signal.SIGINT)
        if route == "download":
            assert said(script) == "Stopped never: the same call goes on with it."
        assert said(script).startswith("interrupted")
        assert go_on(script) == "done"
    assert len(cdf.fired()) == 1
    assert routes(cdf).count(route) == 1


def test_an_interrupted_wait_for_the_next_try_ends_at_once(cdf: Emulator) -> None:
    cdf.inject(Fault("status", "part", status=503, retry_after=100, times=None))
    with running(cdf, "session.upload_part(0, b'x')") as script:
        until(cdf.fired)
        script.send_signal(signal.SIGINT)
        assert said(script) == "interrupted (0,) 0"
        assert go_on(script) == "done"
    assert routes(cdf) == ["init", "part"]


def test_an_interrupt_as_the_answer_is_judged_takes_the_bytes_back(
    cdf: Emulator, client: CogniteClient
) -> None:
    class Interrupted(PartDigest):
        def judge(self, theirs: Checksums) -> NoReturn:
            raise KeyboardInterrupt

    session = client.files.multipart_upload_session("a", 1)
    with pytest.raises(KeyboardInterrupt):
        session.send(0, BytesSource(b"x"), 0, 1, new_digest=lambda _: Interrupted())
    assert (session.missing_parts, session.state.sent) == ((0,), 0)
    assert len(seen(cdf, "part")) == 1


def test_leaving_by_ctrl_c_sends_nothing_more_and_completes_nothing(cdf: Emulator) -> None:
    work = "with session: session.upload_part(0, bytes(6_000_000))"
    cdf.inject(Fault("stall", "part", after_bytes=100_000, times=None))
    with running(cdf, work) as script:
        until(cdf.fired)
        script.send_signal(signal.SIGINT)
        assert said(script) == "interrupted (0,) 0"
        assert go_on(script) == "done"
    assert routes(cdf) == ["init", "part"]
    assert cdf.files()[-1]["uploaded"] is False
