"""Row 23: a process that uploads is killed or interrupted, and the same call goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from upload_rig import (
    PART,
    asked,
    begun,
    content_of,
    file_of,
    line_of,
    program,
    puts,
    stored_puts,
    until_true,
)

from cognite_nb_upload import CogniteClient, UploadBusy, uploads
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal.writer import replay

PARTS = 4

# Sends itself a signal at the nth event of a kind, from within a listener.
MORTAL = """
import os, signal, sys
from pathlib import Path
from upload_rig import PART
from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core import events as ev

path, kind, nth, number = Path(sys.argv[1]), getattr(ev, sys.argv[2]), int(sys.argv[3]), sys.argv[4]
seen = 0

def die(state, event):
    global seen
    seen += isinstance(event, kind)
    if isinstance(event, kind) and seen == nth:
        os.kill(os.getpid(), getattr(signal, number))

client = CogniteClient.from_env()
upload = client.files.start_upload(path, part_size=PART, max_concurrency=2)
upload.listen(die)
print("listens", flush=True)
upload.result()
"""


def die_at(cdf: Emulator, path: Path, event: str, nth: int, number: str = "SIGKILL") -> None:
    cdf.inject(Fault("stall_answer", "init"))  # nothing happens before the listener is there
    with begun(cdf, MORTAL, path, event, nth, number) as mortal:
        listens = line_of(mortal.stdout)
        cdf.clear_faults()
        _, said = mortal.communicate()
    assert (listens, mortal.returncode) == ("listens\n", -getattr(signal, number)), said


@pytest.mark.parametrize(
    ("event", "nth", "stored"),
    [
        ("PartStored", 2, 2),
        pytest.param("Completing", 1, 4, marks=pytest.mark.slow),
        pytest.param("Opened", 1, 0, marks=pytest.mark.slow),
        pytest.param("PartStarted", 1, 0, marks=pytest.mark.slow),
        pytest.param("PartSent", 3, 0, marks=pytest.mark.slow),
        pytest.param("PartStored", 1, 1, marks=pytest.mark.slow),
        pytest.param("PartStarted", 4, 2, marks=pytest.mark.slow),
        pytest.param("PartStored", 4, 4, marks=pytest.mark.slow),
        pytest.param("Assembling", 1, 4, marks=pytest.mark.slow),
        pytest.param("Completed", 1, 4, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_only_parts_in_flight_are_sent_again(
    client: CogniteClient,
    cdf: Emulator,
    tmp_path: Path,
    journals: Path,
    event: str,
    nth: int,
    stored: int,
) -> None:
    path = file_of(tmp_path, PARTS)
    die_at(cdf, path, event, nth)
    missing = replay(next(journals.glob("*.journal"))).state.missing_parts
    assert PARTS - len(missing) >= stored
    uploaded = client.files.upload(path, part_size=PART)
    assert cdf.content(uploaded.id) == content_of(PARTS)
    assert len(asked(cdf, "init")) == 1
    assert all(puts(cdf)[no] == 1 for no in range(PARTS) if no not in missing)
    assert sum(puts(cdf).values()) <= PARTS + 2  # two were in flight
    assert uploaded.notes
    assert list(uploads()["state"]) == ["done"]


@pytest.mark.slow
def test_killed_before_cdf_was_asked_the_same_call_is_a_new_upload(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall_answer", "init"))
    with begun(cdf, HOLDER, path) as process:
        assert line_of(process.stdout) == "ready\n"
        until_true(cdf.fired)
        process.kill()
        process.wait(30)
    uploaded = client.files.upload(path, part_size=PART)
    assert uploaded.notes == ()
    assert cdf.content(uploaded.id) == content_of(2)


@pytest.mark.slow
def test_terminated_the_same_call_goes_on(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, PARTS)
    die_at(cdf, path, "PartStored", 2, "SIGTERM")
    assert "stored already" in client.files.upload(path, part_size=PART).notes[0]
    assert sum(puts(cdf).values()) <= PARTS + 2  # two were in flight


# Says "ready" once it runs, and uploads until it is ended.
HOLDER = """
import sys
from pathlib import Path
from upload_rig import PART, until
from cognite_nb_upload import CogniteClient

client = CogniteClient.from_env()
upload = client.files.start_upload(Path(sys.argv[1]), part_size=PART)
if len(sys.argv) > 2:
    until(upload, lambda state: state.stored)
print("ready", flush=True)
upload.result()
"""


def test_the_second_of_two_processes_is_told_who_has_it_and_goes_on_when_the_first_is_dead(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall", "part", part=1))
    with begun(cdf, HOLDER, path, "until stored") as process:
        assert line_of(process.stdout) == "ready\n"
        with pytest.raises(UploadBusy, match=rf"being sent by process {process.pid} on host"):
            client.files.upload(path, part_size=PART)
        row = uploads().iloc[0]
        assert row["held_by"].startswith(f"process {process.pid} on host")
    assert uploads().iloc[0]["held_by"] == ""
    uploaded = client.files.upload(path, part_size=PART)
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1}
    assert cdf.content(uploaded.id) == content_of(2)


# --- interrupts -----------------------------------------------------------------------------------

# The first call is interrupted as by Ctrl-C, while it reads the second part; then comes the second.
BLOCKING = """
import os, signal, sys
from upload_rig import PART, Gate, content_of
from cognite_nb_upload import CogniteClient

class Interrupting(Gate):
    armed = True
    def read_at(self, offset, size):
        if not self._samples and offset >= PART and self.armed:
            self.armed = False
            os.kill(os.getpid(), signal.SIGINT)
        return super().read_at(offset, size)

source = Interrupting(content_of(3), open_to=PART)
client = CogniteClient.from_env()
how = {"name": "a.bin", "part_size": PART, "max_concurrency": 1}
try:
    client.files.upload(source, **how)
except KeyboardInterrupt:
    print("interrupted")
print(client.files.upload(content_of(3), **how).notes[0])
"""

HANDLE = """
import os, signal, sys
from upload_rig import PART, Gate, content_of
from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core.events import PartStored

source = Gate(content_of(3), open_to=PART)
client = CogniteClient.from_env()
upload = client.files.start_upload(source, part_size=PART, max_concurrency=1)
upload.listen(lambda state, event: isinstance(event, PartStored) and state.stored == PART
              and os.kill(os.getpid(), signal.SIGINT))
try:
    upload.result()
except KeyboardInterrupt:
    print("interrupted")
source.open()
print(upload.result().size)
"""


def test_interrupting_the_blocking_call_stops_it_and_the_same_call_goes_on(cdf: Emulator) -> None:
    ended = program(cdf, BLOCKING)
    assert ended.stdout.splitlines() == [
        "Stopped a.bin: the same call goes on with it.",
        "interrupted",
        "Went on with 1 of 3 parts stored already.",
    ], ended.stderr
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1}


@pytest.mark.slow
def test_interrupting_result_pauses_and_the_next_result_goes_on(cdf: Emulator) -> None:
    ended = program(cdf, HANDLE)
    assert ended.stdout.splitlines() == [
        "Paused gate.bin: call `result()` again to go on, or `.cancel()` to give it up.",
        "interrupted",
        str(3 * PART),
    ], ended.stderr
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1}
