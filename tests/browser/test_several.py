"""Several files and folders in a real notebook: typed, picked and dropped; one list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hands import PANEL, Panel, a_file, slow, use_theme
from jupyter_app import JupyterApp, Notebook
from looks import faint, outside
from playwright.sync_api import expect

from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)
OpenNotebook = Callable[[list[str]], Notebook]
Screenshot = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _no_faults(lab_cdf: Emulator) -> Iterator[None]:
    yield
    lab_cdf.clear_faults()


@both
def test_a_list_has_one_upload_a_row_each_retry_and_a_total(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    for no in range(4):
        a_file(lab.root, f"well {no}.las", size=8 * MIB)
    panel = Panel(open_notebook([PANEL]))
    panel.put("File", str(lab.root / "*.las"))
    table = panel.at.locator(".cnbu-list")
    expect(table.locator("tbody tr")).to_have_count(4)
    expect(table).to_contain_text("4 files, 32 MiB")
    table.get_by_role("button", name="Remove well 3.las").click()
    expect(table.locator("tbody tr")).to_have_count(3)
    screenshot("several-ready")
    lab_cdf.inject(slow(3))
    lab_cdf.inject(Fault("status", "init", status=400, body="<Error>Not so</Error>"))
    panel.put("Directory", f"/wells/{lab.kind}")
    expect(panel.start).to_be_enabled()
    outputs = panel.at.locator(".jp-OutputArea-output")
    count = outputs.count()
    panel.start.click()
    expect(table.get_by_role("progressbar", name="All files")).to_be_in_viewport()
    expect(table).to_contain_text("1 failed")
    expect(table).to_contain_text("left")
    for theme in ("Light", "Dark"):
        use_theme(panel.page, f"JupyterLab {theme}")
        screenshot(f"several-{theme.lower()}")
        assert not outside(panel.at.locator(".cnbu-panel"))
        assert not faint(table, least=4)
    lab_cdf.clear_faults()
    table.get_by_role("button", name="Retry").click()
    expect(table).to_contain_text("3 of 3 files uploaded")
    here = [one for one in lab_cdf.files() if one.get("directory") == f"/wells/{lab.kind}"]
    assert sorted(one["name"] for one in here if one["uploaded"]) == [
        "well 0.las", "well 1.las", "well 2.las"
    ]  # fmt: skip
    screenshot("several-done")
    assert outputs.count() == count, "each file is shown in its row, and nowhere else"


def test_a_folder_of_ones_own_computer_keeps_its_shape(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "own 1.txt").write_text("one")
    (tmp_path / "mine" / "deep" / "own 2.txt").write_text("two")
    panel = Panel(open_notebook([PANEL]))
    expect(panel.at.get_by_text("or drop here")).to_be_visible()
    panel.at.locator(".cnbu-drop-folder").set_input_files(tmp_path / "mine")
    table = panel.at.locator(".cnbu-list")
    expect(table.locator("tbody tr")).to_have_count(2)
    expect(panel.start).to_be_enabled()
    panel.start.click()
    expect(table).to_contain_text("2 of 2 files uploaded")
    found = {one["name"]: one.get("directory") for one in lab_cdf.files() if one["uploaded"]}
    assert (found["own 1.txt"], found["own 2.txt"]) == (None, "/deep")
