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
