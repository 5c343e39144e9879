"""JupyterLab below a path of its own, as on a hub."""

from __future__ import annotations

from pathlib import Path

import pytest
from hands import PANEL, Panel, a_file
from jupyter_app import JupyterApp, Notebook
from playwright.sync_api import Page, expect
from support import sha256

from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_panel_uploads_files_of_both_computers(
    page: Page, lab_cdf: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "hub").mkdir()
    with JupyterApp("lab", tmp_path / "hub", lab_cdf, base_url="/user/x/") as hub:
        content = a_file(hub.root, "hub.bin")
        panel = Panel(Notebook.open(page, hub, [PANEL]))
        assert "/user/x/lab" in page.url
        panel.choose("hub.bin")
        panel.press_upload()
        expect(panel.view).to_contain_text("Uploaded hub.bin")
        own = a_file(tmp_path, "own.bin", size=1000)
        panel.at.locator(".cnbu-drop-input").set_input_files(tmp_path / "own.bin")
        expect(panel.box("Name")).to_have_value("own.bin")
        panel.press_upload()
        expect(panel.view).to_contain_text("Uploaded own.bin")
    stored = {one["name"]: lab_cdf.sha256(one["id"]) for one in lab_cdf.files() if one["uploaded"]}
    assert (stored["hub.bin"], stored["own.bin"]) == (sha256(content), sha256(own))
