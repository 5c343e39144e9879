from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from upload_rig import config_for

from cognite_nb_upload import AsyncCogniteClient, CogniteClient, background
from cognite_nb_upload.emulator import Emulator, emulator

Start = Callable[..., Emulator]


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's journals are."""
    folder = tmp_path / "journals"
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(folder))
    return folder


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts an emulator with the given switches; it ends with the test."""
    with ExitStack() as undo:

        def started(**switches: Any) -> Emulator:
            defaults = {"faults": True, "strict_storage": True}
            return undo.enter_context(emulator(**{**defaults, **switches}))

        yield started


@pytest.fixture
def cdf(start: Start) -> Emulator:
    return start()


@pytest.fixture
def clients() -> Iterator[Callable[..., CogniteClient]]:
    """Makes blocking clients of an emulator; they are closed at the end."""
    with ExitStack() as undo:

        def made(cdf: Emulator, **changes: Any) -> CogniteClient:
            return undo.enter_context(CogniteClient(config_for(cdf, **changes)))

        yield made


@pytest.fixture
def client(cdf: Emulator, clients: Callable[..., CogniteClient]) -> CogniteClient:
    return clients(cdf)


@pytest.fixture
def native(cdf: Emulator) -> Iterator[AsyncCogniteClient]:
    """The async client; it is closed on the package's loop, where its uploads ran."""
    made = AsyncCogniteClient(config_for(cdf))
    yield made
    background.call(made.close)


@pytest.fixture
def anyio_backend() -> str:
    """Notebooks run asyncio."""
    return "asyncio"
