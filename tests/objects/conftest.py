from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from places import Place, azure, s3, sftp


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's journals are."""
    folder = tmp_path / "journals"
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(folder))
    return folder


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The store that a test names."""
    way: str = request.param
    with ExitStack() as stack:
        if way == "azure":
            yield azure(request.getfixturevalue("azurite"), stack)
        elif way == "sftp":
            (tmp_path / "shown").mkdir()
            yield sftp(tmp_path / "shown", stack)
        else:
            yield s3(request.getfixturevalue("seaweed"), stack, way)
