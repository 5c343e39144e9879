"""Real object stores on this machine: SeaweedFS (PyPI) and Azurite (npm), one of each per run.

`seaweed` and `azurite` are what `emulator(storage=...)` wants to hear.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cognite_nb_upload.emulator import bucket
from cognite_nb_upload.emulator.s3 import answers, free_port

BUILD = Path(__file__).parents[1] / "build"
AZURITE = "azurite@3.35.0"
AZURE_ACCOUNT, AZURE_KEY = "tests", "c2VjcmV0K3dpdGgvZGlnaXRzMTIz"
S3_KEY, S3_SECRET = "testkey", "secret+with/signs"


@contextmanager
def running(command: list[str], port: int, log: Path, **extra: str) -> Iterator[None]:
    """`command` in a process of its own, from when it answers on `port` until it is killed."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | extra, cwd=log.parent
        ) as process,
    ):
        try:
            end = time.monotonic() + 60
            while not answers(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.kill()


@pytest.fixture(scope="session")
def seaweed() -> Iterator[str]:
    """An S3 store that checks signatures, expiry and the size of parts."""
    if not (Path(sys.executable).parent / "weed").exists():
        pytest.skip("SeaweedFS is not installed (extra `stores`)")
    with bucket("parts", key=S3_KEY, secret=S3_SECRET) as store:
        yield f"s3://{S3_KEY}:{S3_SECRET}@{store.endpoint.removeprefix('http://')}/parts"


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azure store that checks shared access signatures, their expiry and block lists."""
    from filelock import FileLock  # of the extra `test`; other tests need nothing of it

    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("Azurite needs npm")
    home = BUILD / "azurite"
    home.mkdir(parents=True, exist_ok=True)
    program = home / "node_modules" / ".bin" / "azurite-blob"
    with FileLock(home / "lock"):
        if not program.exists():
            install = [npm, "install", "--prefix", str(home), "--no-audit", "--no-fund", AZURITE]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    folder, port = tmp_path_factory.mktemp("azurite"), free_port()
    command = [str(program), "--blobPort", str(port), "--location", str(folder)]
    command += ["--silent", "--disableTelemetry", "--disableProductStyleUrl"]
    account = f"{AZURE_ACCOUNT}:{AZURE_KEY}"
    with running(command, port, folder / "azurite.log", AZURITE_ACCOUNTS=account):
        yield f"azure://{account}@127.0.0.1:{port}/parts"
