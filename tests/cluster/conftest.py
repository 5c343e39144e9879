from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Processes

# The files and listeners of the uploads' tests.
sys.path.insert(0, str(Path(__file__).parent.parent / "upload"))


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def _scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("dask")) as made:
        yield made


@pytest.fixture
def dask(_scheduler: Processes) -> Iterator[Processes]:
    """A cluster of processes with a scheduler; each test starts the workers that it needs."""
    yield _scheduler
    _scheduler.end_workers()
