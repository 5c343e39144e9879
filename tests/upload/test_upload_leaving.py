"""A script that ends while its upload runs: it waits, and its exit code tells what became of it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from upload_rig import PART, begun, file_of, line_of, program, puts, until_true

from cognite_nb_upload import uploads
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault

BEGIN = """
import atexit, sys
from cognite_nb_upload import AsyncCogniteClient
atexit.register(lambda: print("another handler"))
PATH = sys.argv[1]
def begin(**fields):
    return AsyncCogniteClient.from_env().files.upload(PATH, name="nightly.bin", **fields)
"""


MANY = """
import sys
from pathlib import Path
from cognite_nb_upload import AsyncCogniteClient
FILES = list(Path(sys.argv[1]).glob("*.bin"))
batch = AsyncCogniteClient.from_env().files.start_many(FILES)
"""


def there(cdf: Emulator) -> bool:
    return any(one["name"] == "nightly.bin" and one.get("uploaded") for one in cdf.files())


def waited(cdf: Emulator, text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; what CDF withholds comes once it says that it waits."""
    with begun(cdf, text, *arguments) as script:
        waiting = line_of(script.stderr)
        assert waiting.startswith("Waiting for <"), waiting
        until_true(cdf.fired)
        cdf.clear_faults()
        output, said = script.communicate()
    return subprocess.CompletedProcess(script.args, script.returncode, output, waiting + said)


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "del AsyncCogniteClient"])
def test_a_script_waits_for_its_upload(cdf: Emulator, tmp_path: Path, end: str) -> None:
    cdf.inject(Fault("stall_answer", "init"))
    text = f"{BEGIN}begin()\nprint('the end')\n{end}"
    done = waited(cdf, text, file_of(tmp_path, 3))
    assert (done.returncode, done.stdout) == (0, "the end\nanother handler\n")
    waiting, result = done.stderr.splitlines()
    assert waiting.startswith("Waiting for <Upload nightly.bin: 15.19 MiB in ")
    assert result.startswith("<Uploaded nightly.bin: 15.19 MiB in ")
    assert there(cdf)


def test_a_script_that_has_waited_says_nothing_more(cdf: Emulator, tmp_path: Path) -> None:
    done = program(cdf, f"{BEGIN}begin().result()", file_of(tmp_path, 1))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failure_is_told_and_is_the_exit_code_after_all_other_handlers(
    cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("stall", "part", seconds=1.0, times=1))
    cdf.inject(Fault("status", "part", status=400, times=None))
    done = program(cdf, f"{BEGIN}begin()\nsys.stdout.write('not flushed, ')", file_of(tmp_path, 3))
    assert done.returncode == 1
    assert done.stdout == "not flushed, another handler\n"
    assert "The upload of nightly.bin failed: Part" in done.stderr
    assert "the same call goes on from there" in done.stderr
    assert {row["kind"] for row in cdf.fired()} >= {"status"}
    assert not there(cdf)


def test_other_threads_end_as_they_do_without_a_failure(cdf: Emulator, tmp_path: Path) -> None:
    cdf.inject(Fault("status", "init", status=400))
    text = f"""{BEGIN}
import threading, time
from concurrent.futures import ThreadPoolExecutor
begin()
work = ThreadPoolExecutor(1).submit(lambda: (time.sleep(0.5), print("a pool's work")))
threading.Thread(target=lambda: (work.result(), print("a thread's work"))).start()
"""
    done = program(cdf, text, file_of(tmp_path, 1))
    assert done.stdout == "a pool's work\na thread's work\nanother handler\n", done.stderr


@pytest.mark.parametrize(
    "begins",
    ["start_upload(b'x', name='late')", "start_many([sys.argv[1]])"],
    ids=["upload", "many"],
)
def test_what_begins_after_the_main_thread_is_told(
    cdf: Emulator, tmp_path: Path, begins: str
) -> None:
    """It would run in threads that Python has given up, and be lost without a word."""
    text = f"""
import sys, threading
from cognite_nb_upload import CogniteClient
def late():
    threading.main_thread().join()
    CogniteClient.from_env().files.{begins}
threading.Thread(target=late).start()
"""
    done = program(cdf, text, file_of(tmp_path, 1))
    assert "UsageError: The main thread of this program has ended" in done.stderr
    assert cdf.requests() == []


def test_ctrl_c_during_the_wait_pauses_and_says_how_to_go_on(cdf: Emulator, tmp_path: Path) -> None:
    path = file_of(tmp_path, 8)
    text = f"{BEGIN}begin(part_size={PART}, max_bandwidth={6 * MIB}, max_concurrency=2)"
    with begun(cdf, text, path) as script:
        assert line_of(script.stderr).startswith("Waiting for ")
        until_true(lambda: len(puts(cdf)) > 3)
        script.send_signal(signal.SIGINT)
        output, said = script.communicate()
    assert script.returncode == 130
    assert output == "another handler\n"
    assert "The same call goes on with it" in said
    row = uploads().iloc[0]
    assert f"resume({row.name!r})" in said
    assert row["stored_parts"] >= 2
    assert row["held_by"] == ""
    assert "Traceback" not in said


def test_a_script_that_was_interrupted_does_not_wait(cdf: Emulator, tmp_path: Path) -> None:
    text = f"{BEGIN}begin(max_bandwidth=1e6)\nraise KeyboardInterrupt"
    done = program(cdf, text, file_of(tmp_path, 3))
    assert done.returncode != 0
    assert "Stopped <Upload nightly.bin" in done.stderr
    assert not there(cdf)


def test_an_upload_that_was_paused_is_not_waited_for(cdf: Emulator, tmp_path: Path) -> None:
    text = f"{BEGIN}upload = begin(max_bandwidth=1e6)\nupload.pause()\nupload.wait_until_paused(20)"
    done = program(cdf, text, file_of(tmp_path, 3))
    assert done.returncode == 0
    assert "Stopped <Upload nightly.bin" in done.stderr


@pytest.mark.parametrize("wait", ["asyncio.wait_for(upload, 0.001)", "asyncio.sleep(0)"])
def test_a_wait_that_was_cut_off_does_not_keep_the_script(
    cdf: Emulator, tmp_path: Path, wait: str
) -> None:
    text = f"""{BEGIN}
import asyncio
async def main():
    upload = begin(max_bandwidth=1e6)
    waiting = asyncio.ensure_future(upload)
    try:
        await {wait.replace("upload", "waiting")}
        waiting.cancel()
        await waiting
    except (TimeoutError, asyncio.CancelledError):
        print("cut off")
asyncio.run(main())
"""
    done = program(cdf, text, file_of(tmp_path, 3))
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (0, ["cut off", "another handler"])
    assert "Stopped <Upload nightly.bin" in done.stderr
    assert not there(cdf)


DOWNLOAD = """
import sys
from cognite_nb_upload import CogniteClient
client = CogniteClient.from_env()
id = client.files.upload(b"x" * 100_000, name="x.bin", progress=False).id
download = client.files.start_download(sys.argv[1], id=id)
"""


def test_a_script_waits_for_its_download(cdf: Emulator, tmp_path: Path) -> None:
    cdf.inject(Fault("stall_answer", "download"))
    done = waited(cdf, DOWNLOAD, tmp_path / "copy.bin")
    assert done.returncode == 0, done.stderr
    waiting, result = done.stderr.splitlines()
    assert waiting.startswith("Waiting for <Download ")
    assert result.startswith("<Download copy.bin: done")
    assert (tmp_path / "copy.bin").read_bytes() == b"x" * 100_000


def test_a_download_that_failed_is_the_exit_code(cdf: Emulator, tmp_path: Path) -> None:
    # What has failed before the script ends is told by nobody: the answer waits.
    cdf.inject(Fault("stall_answer", "downloadlink"))
    done = waited(cdf, DOWNLOAD.replace("id=id", "id=404"), tmp_path / "copy.bin")
    assert done.returncode == 1
    assert "The download of copy.bin failed: CDF refused" in done.stderr


def test_what_asks_cdf_while_python_ends_is_told_that_it_cannot(cdf: Emulator) -> None:
    text = """
from cognite_nb_upload import CogniteClient
client = CogniteClient.from_env()
client.files.list(limit=1)
class Last:
    def __del__(self, list=client.files.list):
        list(limit=1)
last = Last()
"""
    done = program(cdf, text)
    assert "Python is ending: CDF can no longer be asked" in done.stderr


GONE = {
    "no stream": "None",
    "a closed one": "io.TextIOWrapper(io.BytesIO()); sys.{0}.close()",
    "one that breaks": "Breaks()",
    "one that can only write": "OnlyWrites()",
}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("kind", GONE)
def test_no_stream_that_is_gone_ends_an_upload(
    cdf: Emulator, tmp_path: Path, stream: str, kind: str
) -> None:
    text = f"""
import io, os, sys
from cognite_nb_upload import CogniteClient, upload_many
from cognite_nb_upload.progress import bars
class OnlyWrites:
    def write(self, text):
        return len(text)
class Breaks:
    def write(self, text):
        raise OSError(5, "gone")
    flush = isatty = lambda self: self.write("")
client = CogniteClient.from_env()
kept = sys.{stream}
sys.{stream} = {GONE[kind].format(stream)}
client.files.upload(sys.argv[1])
result = upload_many(client, [sys.argv[1]])
upload = client.files.start_upload(b"x", name="x")
with bars(upload):
    upload.result()
with bars(upload, disable=False):
    upload.result()
sys.{stream} = kept
assert list(result["status"]) == ["done"], list(result["error"])
"""
    done = program(cdf, text, file_of(tmp_path, 1))
    assert done.returncode == 0, done.stderr
    assert len([one for one in cdf.files() if one.get("uploaded")]) == 3


def three_files(folder: Path) -> Path:
    for no in range(3):
        (folder / f"{no}.bin").write_bytes(b"x" * 1000)
    return folder


@pytest.mark.parametrize("more", ["", "batch.planned()", "del batch"])
def test_a_script_waits_for_many_files(cdf: Emulator, tmp_path: Path, more: str) -> None:
    cdf.inject(Fault("stall_answer", "any", skip=1))
    done = waited(cdf, MANY + more, three_files(tmp_path))
    assert done.returncode == 0, done.stderr
    waiting, result = done.stderr.splitlines()
    assert waiting.startswith("Waiting for <Batch: ")
    assert result == "<Batch: 3 of 3 files done>"
    assert len([one for one in cdf.files() if one["uploaded"]]) == 3


def test_a_file_of_many_that_failed_is_the_exit_code(cdf: Emulator, tmp_path: Path) -> None:
    cdf.inject(Fault("status", "any", status=400, times=1, skip=2))
    done = program(cdf, MANY, three_files(tmp_path))
    assert done.returncode == 1
    assert "1 failed" in done.stderr.splitlines()[-1]


def test_a_job_that_cannot_begin_is_told(cdf: Emulator, tmp_path: Path) -> None:
    done = program(cdf, MANY, tmp_path / "none")
    assert done.returncode == 1
    assert "The upload of many files failed: " in done.stderr
