"""Real object stores on this machine: SeaweedFS (PyPI) and Azurite (npm), one of each per run.

`seaweed` and `azurite` are what `emulator(storage=...)` wants to hear.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

BUILD = Path(__file__).parents[2] / "build"
AZURITE = "azurite@3.35.0"
AZURE_ACCOUNT, AZURE_KEY = "tests", "c2VjcmV0K3dpdGgvZGlnaXRzMTIz"
S3_KEY, S3_SECRET = "testkey", "secret+with/signs"


def free_port() -> int:
    """A free port whose partner, 10000 above, is free as well: SeaweedFS speaks gRPC there."""
    while True:
        port = random.SystemRandom().randrange(20_000, 50_000)
        if all(_is_free(each) for each in (port, port + 10_000)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


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
            while not _answers(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield
        finally:
            process.kill()


def _answers(port: int) -> bool:
    """Whether an HTTP server, and not only a socket, is there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.recv(5) == b"HTTP/"
    except OSError:
        return False


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 store that checks signatures, expiry and the size of parts."""
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists():
        pytest.skip("SeaweedFS is not installed (extra `stores`)")
    folder = tmp_path_factory.mktemp("seaweed")
    may = ["Admin", "Read", "Write", "List"]
    who = {"name": "tests", "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [who | {"actions": may}]}))
    port = free_port()
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": config,
        "s3.port": port,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "admin.ui": "false",
        "webdav": "false",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
    }
    options |= {f"{name}.port": free_port() for name in ("admin", "master", "filer", "volume")}
    command = [str(weed), "mini", *(f"-{name}={value}" for name, value in options.items())]
    with running(command, port, folder / "weed.log"):
        yield f"s3://{S3_KEY}:{S3_SECRET}@127.0.0.1:{port}/parts"


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azure store that checks shared access signatures, their expiry and block lists."""
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


@pytest.fixture(params=["seaweed", "azurite"])
def storage(request: pytest.FixtureRequest) -> str:
    """Each real store in turn."""
    found: str = request.getfixturevalue(request.param)
    return found
