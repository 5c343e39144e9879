"""Which engine somebody means, and the run that its uploads share.

Rule of this file: an engine's library is imported where an engine of it was given, and not before.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final

from cognite_nb_upload.cluster.backend import Backend
from cognite_nb_upload.cluster.cluster import Cluster
from cognite_nb_upload.cluster.orders import Terms
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.process import PerProcess
from cognite_nb_upload.store.bandwidth import Bandwidth
from cognite_nb_upload.store.network import NetworkStore

_SCHEMES: Final = ("tcp", "tls", "inproc", "ws", "wss", "ucx", "ucxx")


def checked_engine(name: str, engine: Any) -> Any:
    """An engine that can be used.

    Raises:
        UsageError: it is none, or Dask is not installed.
    """
    kind = _kind(engine)
    if kind is None:
        raise UsageError(
            f"{name} is a Dask Client, a cluster, the address of a scheduler such as "
            f"'tcp://127.0.0.1:8786', or an Executor, not {_shown(engine)}."
        )
    if kind == "dask":
        _import_dask()
    return engine


def _shown(engine: object) -> str:
    return repr(engine) if isinstance(engine, str) else type(engine).__name__


def _kind(engine: object) -> str | None:
    if isinstance(engine, str):
        return "dask" if engine.partition("://")[0] in _SCHEMES and "://" in engine else None
    if hasattr(engine, "scheduler_address") or _is_dask_client(engine):
        return "dask"
    if isinstance(engine, Executor) and not type(engine).__module__.startswith("distributed"):
        return "executor"
    return None


def _is_dask_client(engine: object) -> bool:
    return any(
        (one.__module__.partition(".")[0], one.__name__) == ("distributed", "Client")
        for one in type(engine).__mro__
    )


def _import_dask() -> Any:
    try:
        from cognite_nb_upload.cluster import dask
    except ImportError as error:
        raise UsageError(
            f"A Dask cluster needs {error.name or 'distributed'}, which is not installed: "
            "pip install 'cognite_nb_upload[dask]'."
        ) from None
    return dask


def _backend(engine: Any, run: str, *, trust_network: bool) -> Backend:
    if _kind(engine) == "executor":
        from cognite_nb_upload.cluster.pool import PoolBackend

        return PoolBackend(engine, run, trust_network=trust_network)
    address, security = engine, None
    if hasattr(engine, "scheduler_address"):
        address, security = engine.scheduler_address, engine.security
    elif not isinstance(engine, str):
        if getattr(engine, "scheduler", None) is None:
            raise UsageError("The Dask client is closed.")
        address, security = engine.scheduler.address, engine.security
    made: Backend = _import_dask().DaskBackend(
        address, security or None, run, trust_network=trust_network
    )
    return made


class EngineRun:
    """The run of one engine: begun when the first needs it, ended when the last has let go.

    Args:
        engine: the caller's.
        network: the store as this process reaches it; workers use the same limits of time.
        retry: how often a worker tries a small file.
        bandwidth: what all workers share.
        trust_network: orders may go over a network without TLS.
    """

    def __init__(
        self,
        engine: Any,
        network: NetworkStore,
        retry: Retry,
        bandwidth: Bandwidth,
        *,
        trust_network: bool,
    ) -> None:
        self._engine, self._network, self._retry = engine, network, retry
        self._bandwidth, self._trust = bandwidth, trust_network
        self._lock = threading.Lock()
        self._users = 0
        self._cluster: Cluster | None = None

    def acquire(self) -> Cluster:
        """The cluster; blocks while it begins.

        Raises:
            UsageError: the engine cannot be used.
        """
        with self._lock:
            if self._cluster is None:
                run, waits = secrets.token_hex(6), self._network.timeouts
                terms = Terms(
                    run, self._network.base_url, waits.connect_s, waits.stall_s, waits.answer_s,
                    Terms.retry_of(self._retry),
                )  # fmt: skip
                backend = _backend(self._engine, run, trust_network=self._trust)
                cluster = Cluster(backend, terms, self._bandwidth)
                cluster.start()
                self._cluster = cluster
            self._users += 1
            return self._cluster

    def release(self) -> None:
        """Let go of it; blocks while it ends."""
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._cluster is not None:
                self._cluster.close()
                self._cluster = None

    @property
    def now(self) -> Cluster | None:
        """The cluster, while there is one."""
        return self._cluster


class _Runs:
    """The runs of one process, by engine and by client."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.known: list[tuple[Any, object, bool, EngineRun]] = []


_runs: Final = PerProcess(_Runs)


def run_of(
    engine: Any, owner: object, trust_network: bool, make: Callable[[], EngineRun]
) -> EngineRun:
    """The run that the uploads of one client at one engine share."""
    runs = _runs.get()
    with runs.lock:
        for known, of, trust, run in runs.known:
            if known == engine and of is owner and trust == trust_network:
                return run
        run = make()
        used = [one for one in runs.known if one[-1].now is not None]
        runs.known = [*used, (engine, owner, trust_network, run)]
        return run
