"""The notebooks: each runs from top to bottom, and what is saved of it can be shown to anyone."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from cognite_nb_upload.emulator import Emulator, emulator

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

from build_notebooks import NOTEBOOKS, run, tidied, variables  # noqa: E402

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
PLANTED = f"planted-{secrets.token_hex(16)}"
# What only this machine has, or only this run: folders, ports, signatures of URLs.
MACHINE = re.compile(r"(?<![\w.~-])/(?:tmp|home|root|work|mnt|opt|private|usr|var|Users)/")
PORT = re.compile(r"(?:127\.0\.0\.1|localhost):\d+")
SIGNED = re.compile(r"[?&](?:X-Amz-|sig=|X-Goog-|signature=)|Bearer [\w.-]{8,}", re.IGNORECASE)


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    """One CDF for all notebooks, as on Binder; its token is one that is looked for."""
    with emulator(process=True, token=PLANTED, strict_storage=True) as running:
        yield running


def outputs(notebook: NotebookNode) -> str:
    """All that the outputs say, but for the bytes of pictures."""
    told = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    for output in (output for cell in told for output in cell):
        output.get("data", {}).pop("image/png", None)
    return json.dumps(told)


def completed(cdf: Emulator) -> int:
    """How many uploads CDF has taken."""
    return sum(row["route"] == "complete" and row["status"] == 200 for row in cdf.requests())


def check(notebook: NotebookNode) -> None:
    """What is told has nothing of this machine, and nothing that is nobody's business."""
    for forbidden in (MACHINE, PORT, SIGNED):
        assert not forbidden.findall(outputs(notebook))


def check_nothing_is_left(folder: Path) -> None:
    """What a kernel wrote is gone with it, but for what IPython keeps for its user."""
    assert {item.name for item in folder.iterdir()} == {"ipython", "tmp"}
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.kernel
@pytest.mark.slow
@each
def test_it_runs_from_top_to_bottom_and_tells_no_secret(
    path: Path, shared: Emulator, tmp_path: Path
) -> None:
    before = completed(shared)
    notebook = run(path, tmp_path, variables(shared))
    assert completed(shared) > before
    assert PLANTED not in nbformat.writes(notebook)  # with the state of all widgets
    saved = tidied(notebook)
    check(saved)
    assert "widget-view" not in outputs(saved)
    check_nothing_is_left(tmp_path)


@pytest.mark.kernel
@pytest.mark.slow
def test_it_brings_an_emulator_along_where_there_is_none(tmp_path: Path) -> None:
    notebook = run(NOTEBOOKS[1], tmp_path, {})
    assert "Ready: an emulated CDF" in outputs(notebook)
    check_nothing_is_left(tmp_path)


@each
def test_its_saved_outputs_are_those_of_one_run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    assert "traceback" not in outputs(notebook)


@each
def test_its_saved_outputs_need_no_kernel_and_tell_no_secret(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    check(notebook)
    assert "widget" not in json.dumps(notebook.metadata)
    assert "widget-view" not in outputs(notebook)


@each
def test_its_links_lead_somewhere(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link


def test_these_are_all() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01_first_upload",
        "02_the_session",
        "03_forms_and_metadata",
        "04_interrupt_and_resume",
        "05_many_files",
        "06_your_own_project",
        "08_from_a_bucket",
        "09_many_machines",
    ]
