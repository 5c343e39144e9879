from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import some_bytes

from cognite_nb_upload import CogniteClient, upload_many
from cognite_nb_upload.emulator import Emulator


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where journals are, for this test alone."""
    folder = tmp_path / "state"
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    (made / "sub").mkdir(parents=True)
    for no in range(4):
        (made / f"f{no}.bin").write_bytes(some_bytes(1000 + no, seed=no))
    (made / ".hidden").write_bytes(b"hidden")
    (made / "sub" / "deep.bin").write_bytes(b"deep")
    (made / "link.bin").symlink_to(made / "f0.bin")
    return made


@pytest.fixture
def many(client: CogniteClient) -> Callable[..., pd.DataFrame]:
    """`upload_many` with this test's client, without bars."""

    def run(files: object, **how: Any) -> pd.DataFrame:
        return upload_many(client, files, progress=False, **how)

    return run


@pytest.fixture
def uploaded(cdf: Emulator) -> Callable[[], list[dict[str, Any]]]:
    """The files that CDF has the content of."""
    return lambda: [one for one in cdf.files() if one["uploaded"]]
