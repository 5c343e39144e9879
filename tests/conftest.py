from __future__ import annotations

import asyncio
import os
import signal
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from real_stores import azurite, seaweed  # noqa: F401 # fixtures, one of each per run
from support import config_of

from cognite_nb_upload import AsyncCogniteClient, CogniteClient
from cognite_nb_upload.emulator import Emulator, emulator

# A grammar of addresses that jsonschema would compile in each process, for a second; none asks it.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]


def pytest_configure() -> None:
    """What a shell has set would disturb: its background jobs, and what these start, ignore
    interrupts; and of hundreds of interpreters each would compile all modules again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, and what shares a server or a kernel shares a process.

    One group for each JupyterLab and each module's kernel, and one for the real stores.
    """
    for item in items:
        if group := _group_of(item):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_how_late)


def _how_late(item: pytest.Item) -> tuple[bool, float]:
    """Slow tests first; of these first what may take longest, which no worker ends with alone."""
    timeout = item.get_closest_marker("timeout")
    return item.get_closest_marker("slow") is None, -float(timeout.args[0]) if timeout else 0.0


def _group_of(item: pytest.Item) -> str:
    """The group of tests that `pytest -n` runs in one process; "" for those that stand alone."""
    if item.get_closest_marker("store"):
        return "stores"
    if item.get_closest_marker("browser") or item.get_closest_marker("kernel"):
        params = getattr(getattr(item, "callspec", None), "params", {})
        return f"{item.path.stem}-{params.get('lab', '')}"
    return ""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _loop_of_the_main_thread() -> Iterator[None]:
    """Jupyter's blocking clients make an event loop for this thread, and leave it open."""
    yield
    with warnings.catch_warnings(), suppress(RuntimeError):  # there is none: nothing to close
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = asyncio.get_event_loop_policy().get_event_loop()
        loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def cdf() -> Iterator[Emulator]:
    """A little CDF of its own for each test, which takes faults."""
    with emulator(faults=True, strict_storage=True) as running:
        yield running


@pytest.fixture
def connect(cdf: Emulator) -> Iterator[Callable[..., CogniteClient]]:
    """Makes blocking clients of `cdf`, with the given settings, and closes them."""
    with ExitStack() as stack:

        def make(**settings: Any) -> CogniteClient:
            return stack.enter_context(CogniteClient(config_of(cdf, **settings)))

        yield make


@pytest.fixture
def client(connect: Callable[..., CogniteClient]) -> CogniteClient:
    return connect()


@pytest.fixture
async def async_client(cdf: Emulator) -> AsyncIterator[AsyncCogniteClient]:
    async with AsyncCogniteClient(config_of(cdf)) as made:
        yield made
