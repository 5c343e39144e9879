"""A Dask cluster as an engine.

Rules of this file: orders are sealed, and the key is handed to workers by a plugin, also to those
that come later, and is taken back at the end; the names of tasks have part numbers only; the client
is one of our own, so that nothing of the caller's is touched; what may wait for a worker that does
not answer has a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken
from distributed import Client, Future, get_worker, secede
from distributed.diagnostics.plugin import WorkerPlugin

from cognite_nb_upload.cluster import worker as at_worker
from cognite_nb_upload.cluster.backend import Handle, Listener, Message
from cognite_nb_upload.cluster.orders import Envelope
from cognite_nb_upload.cluster.trust import check_trusted, is_trusted
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import EngineLost, UsageError

_log = logging.getLogger(__name__)

# Where workers tell; the scheduler keeps the last thousand messages of it, which have no secrets.
TOPIC: Final = "cognite_nb_upload"
_CONNECTS_S: Final = 15.0
# How long the end waits for workers, in seconds.
_ENDS_S: Final = 2.0


class RunPlugin(WorkerPlugin):  # type: ignore[misc] # distributed has no types
    """Gives a worker the key of a run, and what it needs to tell how it goes."""

    def __init__(self, run: str, key: bytes, trusted: bool) -> None:
        self._run, self._key, self._trusted = run, key, trusted

    def setup(self, worker: Any) -> None:
        """Called on each worker: those that are there, and those that come."""
        self._place = worker.address
        label, where = str(worker.name), worker.address.partition("://")[2]
        name = where if label == worker.address else f"{label} at {where}"
        about = {"run": self._run, "place": self._place, "threads": worker.state.nthreads}
        if not (self._trusted or is_trusted(self._place)):
            about["refused"] = "its address is neither encrypted nor on this machine"
        self.run = at_worker.begin(
            self._run,
            self._place,
            lambda: at_worker.Run(name, about, lambda message: worker.log_event(TOPIC, message)),
        )

    def teardown(self, worker: Any) -> None:
        """The run is over, or the worker is."""
        at_worker.forget(self._run, self._place)
        self._key = b""

    def opened(self, sealed: bytes) -> Envelope:
        """What is in a sealed envelope."""
        return Envelope.of(Fernet(self._key).decrypt(sealed))


def carry(run: str, sealed: bytes) -> None:
    """The task: carry out the orders of one envelope. What becomes of them is told."""
    worker = get_worker()
    plugin = worker.plugins.get(_plugin_name(run))
    if not isinstance(plugin, RunPlugin):
        return
    secede()  # it waits for a network: the worker's threads stay free for others
    with suppress(InvalidToken):
        plugin.run.carry(plugin.opened(sealed))


def control(run: str, message: Mapping[str, Any], dask_worker: Any = None) -> None:
    """What the coordinator says beside its orders."""
    found = at_worker.run_of(run, dask_worker.address)
    if found is not None:
        found.control(message)


def _plugin_name(run: str) -> str:
    return f"cognite_nb_upload-{run}"


class DaskBackend:
    """A Dask cluster: by a scheduler's address, with the caller's TLS settings.

    Args:
        address: of the scheduler.
        security: `distributed.Security`, or None for Dask's own settings.
        run: the run's id.
        trust_network: orders may go over a network without TLS.
    """

    is_one_place = False

    def __init__(self, address: str, security: Any, run: str, *, trust_network: bool) -> None:
        self._address, self._security, self._run = address, security, run
        self._trust = trust_network
        self._key = Secret(Fernet.generate_key().decode())
        self._fernet = Fernet(self._key.reveal().encode())
        self._wrong = ""
        self._closing = False

    def start(self, listener: Listener) -> None:
        """Connect, and hand out the key; see `Backend.start`."""
        if not self._trust:
            check_trusted([self._address])
        self._listener = listener
        try:
            self._client = Client(
                self._address, security=self._security, set_as_default=False,
                name="cognite_nb_upload", timeout=_CONNECTS_S,
            )  # fmt: skip
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(
                f"No Dask scheduler answers at {self._address}: {type(error).__name__}."
            ) from None
        try:
            if not self._trust:
                check_trusted(self._workers())
        except BaseException:
            self._client.close()
            raise
        self._client.subscribe_topic(TOPIC, self._hear)
        self._client.subscribe_topic("all", self._hear_scheduler)
        plugin = RunPlugin(self._run, self._key.reveal().encode(), self._trust)
        _apart(lambda: self._register(plugin))

    def _register(self, plugin: RunPlugin) -> None:
        try:
            self._client.register_plugin(plugin, name=_plugin_name(self._run))
        except ImportError:
            self._wrong = "it cannot import cognite_nb_upload; install the same version there"
        except Exception as error:
            if not self._closing:
                self._wrong = f"it did not take the key ({type(error).__name__})"

    def _workers(self) -> dict[str, Any]:
        """The workers that the scheduler knows, by address."""
        found: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        return found

    def _hear(self, event: tuple[float, Any]) -> None:
        self._listener.hear(event[1])

    def _hear_scheduler(self, event: tuple[float, Any]) -> None:
        if event[1].get("action") == "remove-worker":
            self._listener.gone(event[1]["worker"])

    @property
    def _is_up(self) -> bool:
        return bool(self._client.status == "running")

    def submit(
        self, place: str, envelope: Envelope, names: Sequence[str], ended: Callable[[str], None]
    ) -> Handle:
        """Have a worker carry out orders; see `Backend.submit`."""
        self._check_up()
        what = names[0] if len(names) == 1 else f"{len(names)} files"
        future = self._client.submit(
            carry, self._run, self._fernet.encrypt(envelope.to_bytes()),
            key=f"upload {what}-{envelope.orders[0].id}", workers=[place], pure=False,
            allow_other_workers=False, retries=0,
        )  # fmt: skip
        future.add_done_callback(lambda done: self._ended(done, ended))
        return _Task(future)

    def _ended(self, future: Future, ended: Callable[[str], None]) -> None:
        if self._closing:
            return
        if not self._is_up:
            self._listener.failed("the connection to the scheduler is lost")
            return
        status = str(future.status)
        error = future.exception() if status == "error" else None
        ended(type(error).__name__ if error else "" if status == "finished" else status)

    def _check_up(self) -> None:
        if not self._is_up:
            raise EngineLost("the connection to the scheduler is lost")

    def tell(self, places: Sequence[str], message: Message) -> None:
        """Tell workers something; see `Backend.tell`."""
        self._check_up()
        _apart(lambda: self._told(places, message))

    def _told(self, places: Sequence[str], message: Message) -> None:
        with suppress(Exception):  # a worker that has left needs not be told
            self._client.run(
                control, self._run, dict(message), workers=list(places), on_error="ignore"
            )

    def silent(self, heard: Sequence[str]) -> list[str]:
        """Workers that tell nothing; see `Backend.silent`."""
        why = self._wrong or "it does not answer"
        with suppress(Exception):
            return [f"{one}: {why}" for one in self._workers() if one not in heard]
        return []

    def close(self, places: Sequence[str]) -> None:
        """End the run; see `Backend.close`."""
        self._closing = True
        if not self._is_up:
            _apart(self._client.close)
            return
        for work in (
            self._hear_no_more,
            lambda: self._told(places, {"end": True}),
            lambda: self._client.unregister_worker_plugin(_plugin_name(self._run)),
            lambda: self._client.close(timeout=_ENDS_S),
        ):
            _apart(work).join(_ENDS_S)

    def _hear_no_more(self) -> None:
        for topic in (TOPIC, "all"):
            self._client.unsubscribe_topic(topic)


class _Task:
    """A future of Dask's; one that is over is let go of by the client."""

    def __init__(self, future: Future) -> None:
        self._future = future

    def cancel(self) -> None:
        """Do not begin it."""
        with suppress(Exception):
            self._future.cancel()


def _apart(work: Callable[[], object]) -> threading.Thread:
    def body() -> None:
        try:
            work()
        except Exception:
            _log.debug("A worker or the scheduler could not be told", exc_info=False)

    thread = threading.Thread(target=body, name="cognite_nb_upload", daemon=True)
    thread.start()
    return thread
