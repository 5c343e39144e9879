"""Run the notebooks from top to bottom on an emulated CDF, and save their outputs for web pages.

    python notebooks/build_notebooks.py [NAME ...]

A saved output needs no kernel and no widget: what was a widget is its picture, or its last text.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from cognite_nb_upload.emulator import Emulator, emulator

HERE: Final = Path(__file__).parent
NOTEBOOKS: Final = tuple(sorted(HERE.glob("[0-9][0-9]_*.ipynb")))
# A page has no widgets: a panel or a form is shown as it looked.
PICTURES: Final = {
    "An upload panel": HERE.parent / "docs" / "images" / "panel.png",
    "<MetadataForm": HERE.parent / "docs" / "images" / "form.png",
}
_PORT: Final = re.compile(r"127\.0\.0\.1:\d+")
_VIEW: Final = "application/vnd.jupyter.widget-view+json"
_TIMEOUT_S: Final = 120
_VARIABLES: Final = ("CDF_", "IDP_", "COGNITE_", "LOGIN_FLOW", "PROVIDER")


def main(names: Sequence[str]) -> None:
    """Run and save the notebooks whose names begin with one of `names`; all of them if none."""
    with emulator(process=True) as cdf, tempfile.TemporaryDirectory() as folder:
        for path in NOTEBOOKS:
            if not names or path.name.startswith(tuple(names)):
                print(path.name)
                nbformat.write(tidied(run(path, Path(folder), variables(cdf))), path)


def variables(cdf: Emulator) -> dict[str, str]:
    """The environment in which `from_env()` finds this emulator."""
    return {"CDF_URL": cdf.base_url, "CDF_PROJECT": cdf.project, "CDF_TOKEN": cdf.token}


def run(path: Path, folder: Path, found: Mapping[str, str]) -> NotebookNode:
    """The notebook as it is after a fresh kernel has run it; nothing is written but in `folder`.

    Args:
        path: the notebook.
        folder: where the kernel starts; it keeps IPython's files and temporary ones there.
        found: variables that name a project; others of their kind are left out.

    Raises:
        CellExecutionError: a cell failed, or took more than 120 s.
    """
    notebook = nbformat.read(path, as_version=4)
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_VARIABLES)}
    client = NotebookClient(
        notebook, timeout=_TIMEOUT_S, resources={"metadata": {"path": str(folder)}}
    )
    (folder / "tmp").mkdir(exist_ok=True)
    own = {"IPYTHONDIR": str(folder / "ipython"), "TMPDIR": str(folder / "tmp")}
    client.execute(env={**kept, **found, **own})
    return notebook


def tidied(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what a page cannot show, and without what differs from run to run."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _still(output)) is not None]
    return notebook


def _still(output: NotebookNode) -> NotebookNode | None:
    """An output that needs no widget; None where nothing is left of it."""
    data: dict[str, Any] = output.get("data", {})
    if "text/plain" in data:
        data["text/plain"] = _PORT.sub("127.0.0.1:...", data["text/plain"])
    if data.pop(_VIEW, None) is None:
        return output
    shown = data.get("text/plain", "")
    for begins, picture in PICTURES.items():
        if shown.startswith(begins) and picture.exists():
            data["image/png"] = base64.b64encode(picture.read_bytes()).decode()
    return output if "image/png" in data or output.output_type == "execute_result" else None


if __name__ == "__main__":
    main(sys.argv[1:])
