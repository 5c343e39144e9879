"""Large parts cost neither memory nor the caller's event loop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import PART

from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, emulator

LOOK = """
import asyncio, sys, threading, time

async def look(lags):
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - began - 0.005)

def p99(lags):
    return sorted(lags)[int(len(lags) * 0.99)]
"""
# The same, in a process that does nothing else: what this machine makes any loop wait.
ELSEWHERE = (
    LOOK
    + """
lags = []
async def main():
    looking = asyncio.ensure_future(look(lags))
    await asyncio.to_thread(sys.stdin.readline)
    looking.cancel()

asyncio.run(main())
print(p99(lags))
"""
)
SCRIPT = (
    LOOK
    + """
import json, resource, subprocess
from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.core.state import PartPhase

at_once = []
base_url, token, path, part_size, parts, elsewhere = sys.argv[1:]
part_size, parts = int(part_size), int(parts)
config = ClientConfig(
    client_name="script", project="demo", credentials=Token(token), base_url=base_url
)

async def upload(client, size):
    with open(path, "rb") as file:
        async with client.files.multipart_upload_session("a", parts) as session:
            session.listen(lambda state, event: at_once.append(
                [part.phase for part in state.parts].count(PartPhase.SENDING)))
            await asyncio.gather(
                *(session.upload_part_async(no, file, length=size) for no in range(parts))
            )

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

async def main():
    lags = []
    other = subprocess.Popen(
        [sys.executable, "-c", elsewhere], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    async with AsyncCogniteClient(config) as client:
        await upload(client, 6 * 2**20)  # everything is loaded, every thread has been started
        at_once.clear()
        before, looking = peak(), asyncio.ensure_future(look(lags))
        await upload(client, part_size)
        looking.cancel()
    there = float(other.communicate("\\n")[0])
    print(json.dumps({
        "grown": peak() - before, "p99_s": p99(lags), "elsewhere_s": there, "looks": len(lags),
        "at_once": max(at_once)
    }))

asyncio.run(main())
"""
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """4 parts of 200 MiB each, all in flight at once, from one process to another."""
    path = tmp_path_factory.mktemp("sparse") / "large"
    with path.open("wb") as file:
        file.truncate(800 * MIB)
    with emulator(process=True, checksums=False, strict_storage=True) as cdf:
        yield {"cdf": cdf, **run(cdf, path)}


def run(cdf: Emulator, path: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", SCRIPT, cdf.base_url, cdf.token, str(path)]
    done = subprocess.run(
        [*command, str(200 * MIB), "4", ELSEWHERE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_200_mib_parts_in_flight_cost_tens_of_mib(measured: dict[str, Any]) -> None:
    rows = [row for row in measured["cdf"].requests() if row["body_bytes"] == 200 * MIB]
    assert {row["part"] for row in rows} == {0, 1, 2, 3}
    assert measured["at_once"] == 4
    assert measured["grown"] < 50 * MIB


@pytest.mark.slow
def test_the_callers_event_loop_stays_responsive_meanwhile(measured: dict[str, Any]) -> None:
    assert measured["looks"] > 50
    assert measured["p99_s"] - measured["elsewhere_s"] < 0.1  # beyond what any process waits here


def test_an_iterator_of_a_part_is_spooled_to_disk_and_not_held(tmp_path: Path) -> None:
    code = f"""
import resource
from cognite_nb_upload.sources import as_source

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

as_source(iter([bytes({PART})])).close()
before = peak()
source = as_source(bytes({MIB}) for _ in range(200))
print(source.size, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    size, grown = map(int, done.stdout.split())
    assert size == 200 * MIB
    assert grown < 20 * MIB
