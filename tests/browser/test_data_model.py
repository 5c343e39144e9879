"""The panel's other kind of file in a real notebook: a node, with the fields of its own view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hands import PANEL, Panel, a_file
from jupyter_app import JupyterApp, Notebook
from playwright.sync_api import expect

from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_file_of_the_data_model_is_described_and_uploaded_by_hand(
    open_notebook: Callable[[list[str]], Notebook],
    lab: JupyterApp,
    lab_cdf: Emulator,
    screenshot: Callable[[str], Path],
) -> None:
    content = a_file(lab.root, "line-12.segy", size=100_000)
    panel = Panel(open_notebook([PANEL]))
    panel.choose("line-12.segy")
    panel.at.get_by_label("Data model", exact=True).check()
    expect(panel.box("Space")).to_be_visible()
    expect(panel.box("Labels")).to_have_count(0)
    expect(panel.box("External id")).to_have_value("line-12.segy")
    expect(panel.reason).to_contain_text("Space is missing")
    panel.pick("Space", "field", "The field")
    panel.pick("View", "seismic", "Seismic file")
    expect(panel.reason).to_contain_text("Survey is missing; the view requires it")
    expect(panel.start).to_be_disabled()
    panel.put("Survey", "NV24")
    panel.put("Line", "twelve")
    expect(panel.field("Line").locator(".cnbu-error")).to_contain_text("not a whole number")
    panel.put("Line", "12")
    panel.box("Domain").select_option("Two-way time")
    panel.unfold("Assets, category and source")
    panel.pick("Assets", "Nordvik", "Nordvik A")
    panel.pick("Category", "seismic", "Seismic volume")
    expect(panel.start).to_be_enabled()
    panel.button("Show the code").click()
    expect(panel.at.locator(".cnbu-code")).to_contain_text('view=("field", "SeismicFile", "v3")')
    panel.box("Space").scroll_into_view_if_needed()
    screenshot("data-model")
    panel.press_upload()
    expect(panel.view).to_contain_text("Uploaded line-12.segy")
    known = {"space": "field", "externalId": "line-12.segy"}
    (file,) = [one for one in lab_cdf.files() if one.get("instanceId") == known]
    assert lab_cdf.content(file["id"]) == content
    screenshot("data-model-done")
