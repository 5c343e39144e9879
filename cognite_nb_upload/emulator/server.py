"""A running emulator: the server itself, in this thread, in another, or in another process."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from .app import App
from .connection import BUFFER_SIZE, Connection
from .control import TOKEN_HEADER
from .faults import Fault
from .project import Project
from .settings import Settings
from .store.remote import open_store

PATIENCE_S = 10.0


def bind(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket."""
    # With the protocol named, asyncio sets TCP_NODELAY; without it each answer waits 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def serve(
    settings: Settings,
    root: Path,
    listener: socket.socket,
    stop: asyncio.Event,
    started: Callable[[], None],
) -> None:
    """Answers until `stop` is set, then breaks what is still open."""
    storage = open_store(settings.storage) if settings.storage else None
    project = Project(root, settings, storage=storage)
    app = App(project)
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(app, reader, writer, settings.patience_s)
        task = asyncio.get_running_loop().create_task(connection.serve())
        connections.add(task)
        task.add_done_callback(connections.discard)

    tls = _tls(settings)
    servers = []
    try:
        listeners = [listener]
        if settings.own_store and not settings.relative_urls:
            listeners.append(_store_listener(project, settings.host))
            project.store_port = listeners[1].getsockname()[1]
        servers = [
            await asyncio.start_server(connected, sock=each, ssl=tls, limit=BUFFER_SIZE)
            for each in listeners
        ]
        started()
        await stop.wait()
    finally:
        for server in servers:
            server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for _ in range(10):  # turns of the loop, for the transports to close
            await asyncio.sleep(0)
        project.close()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*settings.tls)
    return context


def _store_listener(project: Project, host: str) -> socket.socket:
    """The store's own port: after a restart the one that it had, so that its URLs stay good."""
    facts = project.state.table("facts")
    try:
        listener = bind(host, (facts.get("store") or {"port": 0})["port"])
    except OSError:  # somebody else has it now
        listener = bind(host)
    with project.state.change():
        facts.put("store", {"port": listener.getsockname()[1]})
    return listener


class Emulator:
    """An emulator as a context manager. All it is asked, it is asked over HTTP.

    After its end `requests()` and `fired()` still answer.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        root: str | Path | None = None,
        port: int = 0,
        process: bool = False,
    ) -> None:
        self._settings = settings
        self._given_root = root
        self._runner: _Thread | _Process = (_Process if process else _Thread)(settings, port)
        self._exit = ExitStack()
        self._last: dict[str, Any] = {}
        self.root = Path()
        self.port = port

    @property
    def project(self) -> str:
        return self._settings.project

    @property
    def token(self) -> str:
        return self._settings.token

    @property
    def base_url(self) -> str:
        """Scheme, host and port, as an official client wants it."""
        return self._settings.url(self.port)

    @property
    def store_url(self) -> str:
        """Scheme, host and port of the store, which is at another port than the API."""
        return self._settings.url(self._ask("GET", "store") or self.port)

    def __repr__(self) -> str:
        return f"<Emulator {self.base_url} project={self.project}>"

    def __enter__(self) -> Self:
        self._last = {}
        with ExitStack() as undo:
            if self._given_root is None:
                folder = tempfile.mkdtemp(prefix="cdf-emulator-")
                undo.callback(shutil.rmtree, folder, ignore_errors=True)
                self.root = Path(folder)
            else:
                self.root = Path(self._given_root)
            self.port = self._runner.start(self.root)
            undo.callback(self._runner.stop)
            self._exit = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._last = {what: self._ask("GET", what) for what in ("requests", "fired")}
        except OSError:  # it was killed
            self._last = {"requests": [], "fired": []}
        finally:
            self._exit.close()

    def inject(self, fault: Fault) -> None:
        """From now on `fault` waits for its requests."""
        self._ask("POST", "faults", fault.to_json())

    def clear_faults(self) -> None:
        """No fault waits any more; what fired stays on record."""
        self._ask("DELETE", "faults")

    def fired(self) -> list[dict[str, Any]]:
        """What went wrong on purpose so far: kind, route, part, request, at_bytes of its body."""
        found: list[dict[str, Any]] = (
            self._last["fired"] if self._last else self._ask("GET", "fired")
        )
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Every request seen, in order of arrival."""
        found: list[dict[str, Any]] = (
            self._last["requests"] if self._last else self._ask("GET", "requests")
        )
        return found

    def files(self) -> list[dict[str, Any]]:
        """The metadata of all files."""
        found: list[dict[str, Any]] = self._ask("GET", "files")
        return found

    def content(self, file_id: int) -> bytes:
        """All bytes of a file, in memory."""
        return self._raw("GET", f"content/{file_id}")

    def sha256(self, file_id: int) -> str:
        """The SHA-256 of a file's bytes, computed where they are."""
        return str(self._ask("GET", f"sha256/{file_id}"))

    @property
    def pid(self) -> int | None:
        """The process id of an emulator with a process of its own."""
        return self._runner.pid

    def _ask(self, method: str, what: str, body: Any = None) -> Any:
        return json.loads(self._raw(method, what, body))

    def _raw(self, method: str, what: str, body: Any = None) -> bytes:
        connection = self._connect()
        try:
            headers = {TOKEN_HEADER: self.token}
            connection.request(
                method, f"/_emulator/{what}", json.dumps(body).encode() if body else None, headers
            )
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(json.loads(data)["error"]["message"])
        return data

    def _connect(self) -> http.client.HTTPConnection:
        if not self._settings.tls:
            return http.client.HTTPConnection(self._settings.reached_at, self.port, timeout=600)
        # Loopback, and the caller's own certificate, of whatever authority.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(
            self._settings.reached_at, self.port, timeout=600, context=context
        )


class _Thread:
    """The server in a daemon thread with a loop of its own."""

    pid: int | None = None

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings, self._port = settings, port
        self._failed: BaseException | None = None

    def start(self, root: Path) -> int:
        listener = bind(self._settings.host, self._port)
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(root, listener), name="cdf-emulator", daemon=True
        )
        self._thread.start()
        self._ready.wait()
        if self._failed:
            self._thread.join()
            raise self._failed
        port: int = self._listening_port
        return port

    def _run(self, root: Path, listener: socket.socket) -> None:
        self._listening_port = listener.getsockname()[1]

        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await serve(self._settings, root, listener, self._stop, self._ready.set)

        try:
            asyncio.run(main())
        except BaseException as error:
            self._failed = error
            listener.close()
        finally:
            self._ready.set()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            raise RuntimeError(f"The emulator did not end within {PATIENCE_S} s.")
        if self._failed:
            raise self._failed


class _Process:
    """The server in a process of its own, which ends when this one does."""

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings, self._port = settings, port
        self.pid: int | None = None

    def start(self, root: Path) -> int:
        command = [sys.executable, "-m", "cognite_nb_upload.emulator", "--from-stdin"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
        stdin, stdout = self._pipes()
        told = {"settings": self._settings.to_json(), "root": str(root), "port": self._port}
        stdin.write(json.dumps(told).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("The emulator's process did not start.")
        self.pid = self._child.pid
        return int(json.loads(line)["base_url"].rpartition(":")[2])

    def stop(self) -> None:
        stdin, stdout = self._pipes()
        self._child.terminate()
        stdin.close()
        stdout.close()
        try:
            self._child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("Pipes were asked for.")
        return self._child.stdin, self._child.stdout
