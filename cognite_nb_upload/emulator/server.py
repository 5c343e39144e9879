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
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .app import App
from .connection import BUFFER_SIZE, Connection
from .control import TOKEN_HEADER
from .faults import Fault
from .project import Project
from .settings import Settings
from .store.remote import open_store

PATIENCE_S = 60.0


async def serve(
    settings: Settings, root: Path, port: int, stop: asyncio.Event, started: Callable[[int], None]
) -> None:
    """Answers until `stop` is set, then breaks what is still open. `started` is told the port."""
    storage = open_store(settings.storage) if settings.storage else None
    project = Project(root, settings, storage=storage)
    app = App(project)
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(app, reader, writer, settings.patience_s)
        if app.faults.stops_reading:  # before the kernel has taken much: its buffer grows
            connection.narrow()
        task = asyncio.get_running_loop().create_task(connection.serve())
        connections.add(task)
        task.add_done_callback(connections.discard)

    tls = _tls(settings)
    servers: list[asyncio.Server] = []

    async def listen(port: int) -> int:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        server = await asyncio.start_server(
            connected, settings.host, port, limit=BUFFER_SIZE, family=family, backlog=1024, ssl=tls
        )
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    try:
        port = await listen(port)
        if settings.own_store and not settings.relative_urls:
            # After a restart the port that it had, so that its URLs stay good.
            facts = project.state.table("facts")
            try:
                project.store_port = await listen((facts.get("store") or {"port": 0})["port"])
            except OSError:  # somebody else has it now
                project.store_port = await listen(0)
            with project.state.change():
                facts.put("store", {"port": project.store_port})
        started(port)
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


class Emulator:
    """An emulator as a context manager. All it is asked, it is asked over HTTP.

    After its end `requests()` and `fired()` still answer. `pid` is the process id of one that has a
    process of its own, None of others.
    """

    pid: int | None = None

    def __init__(
        self,
        settings: Settings,
        *,
        root: str | Path | None = None,
        port: int = 0,
        process: bool = False,
    ) -> None:
        self._settings = settings
        self.project, self.token = settings.project, settings.token
        self._given_root, self._given_port = root, port
        self._running = _in_process if process else _in_thread
        self._exit = ExitStack()
        self._last: dict[str, Any] = {}
        self.root = Path()
        self.port = port

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
            self.root = Path(self._given_root or tempfile.mkdtemp(prefix="cdf-emulator-"))
            if self._given_root is None:
                undo.callback(shutil.rmtree, self.root, ignore_errors=True)
            running = self._running(self._settings, self._given_port, self.root)
            self.port, self.pid = undo.enter_context(running)
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
        """No fault waits any more, none holds a request; what fired stays on record."""
        self._ask("DELETE", "faults")

    def fired(self) -> list[dict[str, Any]]:
        """What went wrong on purpose so far: kind, route, part, request, at_bytes of its body."""
        return self._rows("fired")

    def requests(self) -> list[dict[str, Any]]:
        """Every request seen, in order of arrival."""
        return self._rows("requests")

    def files(self) -> list[dict[str, Any]]:
        """The metadata of all files."""
        return self._rows("files")

    def content(self, file_id: int) -> bytes:
        """All bytes of a file, in memory."""
        return self._answer("GET", f"content/{file_id}")

    def sha256(self, file_id: int) -> str:
        """The SHA-256 of a file's bytes, computed where they are."""
        return str(self._ask("GET", f"sha256/{file_id}"))

    def _rows(self, what: str) -> list[dict[str, Any]]:
        return list(self._last[what] if what in self._last else self._ask("GET", what))

    def _ask(self, method: str, what: str, body: Any = None) -> Any:
        return json.loads(self._answer(method, what, body))

    def _answer(self, method: str, what: str, body: Any = None) -> bytes:
        with closing(self._connection()) as connection:
            text, headers = json.dumps(body) if body else None, {TOKEN_HEADER: self.token}
            connection.request(method, f"/_emulator/{what}", text, headers)
            response = connection.getresponse()
            data = response.read()
        if response.status != 200:
            raise RuntimeError(json.loads(data)["error"]["message"])
        return data

    def _connection(self) -> http.client.HTTPConnection:
        host = self._settings.reached_at
        if not self._settings.tls:
            return http.client.HTTPConnection(host, self.port, timeout=600)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # loopback, and the caller's own certificate
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, self.port, timeout=600, context=context)


@contextmanager
def _in_thread(settings: Settings, port: int, root: Path) -> Iterator[tuple[int, None]]:
    """The server in a daemon thread with a loop of its own: its port."""
    started: Future[tuple[int, Callable[[], object]]] = Future()
    ended: Future[None] = Future()

    async def main() -> None:
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        stop = partial(loop.call_soon_threadsafe, event.set)
        await serve(settings, root, port, event, lambda port: started.set_result((port, stop)))

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            (ended if started.done() else started).set_exception(error)
        else:
            ended.set_result(None)

    thread = threading.Thread(target=run, name="cdf-emulator", daemon=True)
    thread.start()
    found, stop = started.result()
    try:
        yield found, None
    finally:
        stop()
        thread.join(PATIENCE_S)
        if thread.is_alive():
            raise RuntimeError(f"The emulator did not end within {PATIENCE_S} s.")
        ended.result()


@contextmanager
def _in_process(settings: Settings, port: int, root: Path) -> Iterator[tuple[int, int]]:
    """The server in a process of its own, which ends when this one does: port and process id."""
    told = json.dumps({"settings": settings.to_json(), "root": str(root), "port": port})
    command = [sys.executable, "-m", "cognite_nb_upload.emulator", "--from-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603 - ours
        try:
            if child.stdin and child.stdout:
                child.stdin.write(told.encode() + b"\n")
                child.stdin.flush()
                line = child.stdout.readline()
            if not line:
                raise RuntimeError("The emulator's process did not start.")
            yield int(json.loads(line)["base_url"].rpartition(":")[2]), child.pid
        finally:
            child.terminate()
            try:
                child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
