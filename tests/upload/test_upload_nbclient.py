"""A notebook that is run to its end (nbclient, papermill) keeps how its uploads ended."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest
from upload_rig import environment_of, file_of

from cognite_nb_upload.emulator import Emulator

BEGIN = """
from cognite_nb_upload import AsyncCogniteClient
upload = AsyncCogniteClient.from_env().files.upload({path!r}, max_bandwidth=8e6)
upload
"""


@pytest.mark.kernel
@pytest.mark.parametrize("wait", ["await upload", "upload.result()", "print(await upload)"])
def test_a_cell_that_ends_in_an_upload_ends_with_its_end(
    cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    for name, value in environment_of(cdf).items():
        monkeypatch.setenv(name, value)
    cells = [BEGIN.format(path=str(file_of(tmp_path, 3))), wait]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    (shown,) = notebook.cells[0].outputs
    assert shown["data"]["text/plain"].startswith("Uploaded big.segy: 15.2 MiB in ")
    assert "application/vnd.jupyter.widget-view+json" not in shown["data"]


# A file with a panel that has uploaded something, in bytes; twice this with our code in it.
MOST_SAVED = 70_000
PANEL = """
from cognite_nb_upload.widgets import UploadPanel
panel = UploadPanel()
panel
"""
PRESS = """
import time
panel.files.choose({path!r})
while panel.start.disabled:
    time.sleep(0.01)
panel.start.click()
await panel.upload
"""


@pytest.mark.kernel
def test_a_panel_keeps_how_its_uploads_ended_and_none_of_our_code(
    cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(cdf).items():
        monkeypatch.setenv(name, value)
    cells = [PANEL, PRESS.format(path=str(file_of(tmp_path, 3)))]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    _, kept = notebook.cells[0].outputs
    assert kept["data"]["text/plain"].startswith("Uploaded big.segy: 15.2 MiB in ")
    saved = nbformat.writes(notebook)
    assert len(saved) < MOST_SAVED
    assert "addEventListener" not in saved
    assert "run this cell to see it" in saved
