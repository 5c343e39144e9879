from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from paneling import choose
from support import some_bytes

from cognite_nb_upload import CogniteClient, background
from cognite_nb_upload.widgets.panel.panel import UploadPanel

MakePanel = Callable[..., UploadPanel]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials in the environment, and a folder of its own for the journals."""
    for name in os.environ:
        if name.startswith(("CDF_", "IDP_", "COGNITE_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "journals"
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(folder))
    return folder


@pytest.fixture
def data() -> bytes:
    """Three parts: 5 MiB and a byte, the same again, and a little more."""
    return some_bytes(seed=1) + some_bytes(seed=2) + some_bytes(1000, seed=3)


@pytest.fixture
def big(tmp_path: Path, data: bytes) -> Path:
    """A file of three parts."""
    path = tmp_path / "data" / "big.segy"
    path.parent.mkdir()
    path.write_bytes(data)
    return path


@pytest.fixture
def make_panel(client: CogniteClient) -> Iterator[MakePanel]:
    """Makes panels whose lists are loaded; their uploads are stopped before `client` closes."""
    with ExitStack() as stack:

        def make(given: object = None) -> UploadPanel:
            panel = UploadPanel(given)
            stack.callback(close_own_client, panel, client)
            stack.callback(panel.close)
            stack.callback(stop_all, panel)
            panel.form.tasks.wait()
            panel.tasks.wait()
            return panel

        yield make


def stop_all(panel: UploadPanel) -> None:
    for upload in panel.uploads:
        upload.stop()


def close_own_client(panel: UploadPanel, client: CogniteClient) -> None:
    """A client that the panel has made of something else."""
    if panel.client is not None and panel.client is not client._twin:
        background.call(panel.client.close)


@pytest.fixture
def panel(make_panel: MakePanel, client: CogniteClient) -> UploadPanel:
    return make_panel(client)


@pytest.fixture
def ready(panel: UploadPanel, big: Path) -> UploadPanel:
    """A panel in which only Upload has to be pressed; parts are as small as they may be."""
    choose(panel, big)
    return panel
