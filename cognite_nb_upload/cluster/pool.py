"""Any `concurrent.futures.Executor` as an engine.

Rules of this file: its processes cannot be chosen, so they are one place; they tell how far they
are over a socket of this machine that asks for a key, and without it where they are elsewhere; an
executor whose processes may be elsewhere needs `trust_network=True`.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Final

from cognite_nb_upload._version import __version__
from cognite_nb_upload.cluster import worker as at_worker
from cognite_nb_upload.cluster.backend import Handle, Message
from cognite_nb_upload.cluster.backend import Listener as Hears
from cognite_nb_upload.cluster.cluster import MOST_AT_ONCE
from cognite_nb_upload.cluster.orders import Closed, Envelope
from cognite_nb_upload.cluster.worker import Run, this_process
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import EngineLost, UsageError

_log = logging.getLogger(__name__)

_LOCAL: Final = (ProcessPoolExecutor, ThreadPoolExecutor)


def is_local(executor: Executor) -> bool:
    """True where its threads or processes are surely on this machine."""
    return isinstance(executor, _LOCAL) or type(executor).__module__.startswith("loky.")


def carry(closed: Closed) -> list[dict[str, Any]]:
    """The task: carry out the orders of one envelope."""
    envelope = Envelope.of(closed.data)
    run, way = envelope.terms.run, envelope.way
    found = at_worker.begin(run, "", lambda: _run(run, way))
    return found.carry(envelope)


def _run(run: str, way: tuple[str, str] | None) -> Run:
    """A run in this process, with its way to the coordinator."""
    name = this_process()
    about = {"run": run, "place": name}
    line = _connected(way)
    if line is None:
        return Run(name, about, lambda message: None)
    sending = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with sending:
            line.send_bytes(json.dumps(message).encode())

    made = Run(name, about, tell)
    threading.Thread(target=_obey, args=(line, made, run), daemon=True).start()
    return made


def _connected(way: tuple[str, str] | None) -> Connection[Any, Any] | None:
    if way is None:
        return None
    with suppress(OSError, EOFError, ValueError):
        return Client(_address(way[0]), authkey=bytes.fromhex(way[1]))
    return None


def _obey(line: Connection[Any, Any], run: Run, id: str) -> None:
    """Hear what the coordinator says; where it is gone, send nothing more."""
    with suppress(OSError, EOFError, ValueError):
        while True:
            run.control(json.loads(line.recv_bytes()))
    at_worker.forget(id, "")


def _hang_up(line: Connection[Any, Any]) -> None:
    """End what its thread waits for; that thread closes it."""
    family = socket.AF_INET if sys.platform == "win32" else socket.AF_UNIX
    with suppress(OSError), socket.fromfd(line.fileno(), family, socket.SOCK_STREAM) as sock:
        sock.shutdown(socket.SHUT_RDWR)


def _address(text: str) -> Any:
    host, colon, port = text.rpartition(":")
    return (host, int(port)) if colon and sys.platform == "win32" else text


class PoolBackend:
    """An Executor.

    Args:
        executor: the caller's; it is not shut down.
        run: the run's id.
        trust_network: it may have processes on other machines.
    """

    is_one_place = True

    def __init__(self, executor: Executor, run: str, *, trust_network: bool) -> None:
        if not (trust_network or is_local(executor)):
            raise UsageError(
                f"{type(executor).__name__} may send orders over a network, and they have upload "
                "URLs: say trust_network=True if nobody else reads there."
            )
        self._executor, self._run = executor, run
        self._key = Secret(secrets.token_hex(32))
        self._lines: list[Connection[Any, Any]] = []
        self._lock = threading.Lock()
        self._closing = False
        self._folder = ""

    def start(self, listener: Hears) -> None:
        """Listen to its processes; see `Backend.start`."""
        self._hears = listener
        key = bytes.fromhex(self._key.reveal())
        if sys.platform == "win32":
            self._door = Listener(("127.0.0.1", 0), authkey=key)
            host, port = self._door.address
            self._way = f"{host}:{port}"
        else:
            self._folder = tempfile.mkdtemp(prefix="cnbu-")  # 0700; a socket's path is short
            self._way = os.path.join(self._folder, "s")
            self._door = Listener(self._way, "AF_UNIX", authkey=key)
        threading.Thread(target=self._accept, daemon=True).start()
        # Its processes begin with the first order: until then, all that is known is that it exists.
        listener.hear({
            "run": self._run, "place": "", "name": "the executor", "version": __version__,
            "threads": MOST_AT_ONCE,
        })  # fmt: skip

    def _accept(self) -> None:
        while not self._closing:
            try:
                line = self._door.accept()
            except Exception as error:
                _log.debug("A process was not heard: %s", type(error).__name__)  # a wrong key
                continue
            with self._lock:
                self._lines.append(line)
            threading.Thread(target=self._listen, args=(line,), daemon=True).start()

    def _listen(self, line: Connection[Any, Any]) -> None:
        with suppress(OSError, EOFError, ValueError, TypeError):
            while not self._closing:
                self._hears.hear(json.loads(line.recv_bytes()))
        with self._lock:  # nobody else uses its number once it is closed
            self._lines.remove(line)
            line.close()

    def submit(
        self, place: str, envelope: Envelope, names: Sequence[str], ended: Callable[[str], None]
    ) -> Handle:
        """Have a process carry out orders; see `Backend.submit`."""
        way = (self._way, self._key.reveal())
        sent = Envelope(envelope.terms, envelope.orders, envelope.rate, way)
        try:
            future = self._executor.submit(carry, Closed(sent.to_bytes()))
        except BrokenExecutor:
            raise EngineLost("a process of the executor has died, which ends it") from None
        except RuntimeError:
            raise EngineLost("the executor was shut down") from None
        future.add_done_callback(lambda done: self._ended(done, ended))
        return future

    def _ended(self, future: Future[list[dict[str, Any]]], ended: Callable[[str], None]) -> None:
        if self._closing:
            return
        try:
            receipts = future.result()
        except BrokenExecutor:
            self._hears.failed("a process of the executor has died, which ends it")
        except CancelledError:
            ended("cancelled")
        except Exception as error:
            ended(type(error).__name__)
        else:
            name = receipts[0]["where"] if receipts else ""
            self._hears.hear({
                "run": self._run, "place": "", "name": name, "version": __version__,
                "receipts": receipts,
            })  # fmt: skip
            ended("")

    def tell(self, places: Sequence[str], message: Message) -> None:
        """Tell its processes something; see `Backend.tell`."""
        self._send(message)

    def _send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(dict(message)).encode()
        with self._lock:
            for line in self._lines:
                with suppress(OSError):
                    line.send_bytes(data)

    def silent(self, heard: Sequence[str]) -> list[str]:
        """Its processes are known once they tell."""
        return []

    def close(self, places: Sequence[str]) -> None:
        """End the run; see `Backend.close`."""
        self._send({"end": True})
        self._closing = True
        with suppress(OSError, EOFError, ValueError):  # `accept` wakes up with one who knocks
            Client(_address(self._way), authkey=bytes.fromhex(self._key.reveal())).close()
        self._door.close()
        with self._lock:
            for line in self._lines:
                _hang_up(line)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
