"""A cell that is run again, a kernel that is gone, and what was just started, in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from hands import PANEL, Panel, a_file, focus_lost, press, slow, use_theme, watch_focus
from jupyter_app import JupyterApp, Notebook
from playwright.sync_api import Page, expect
from support import until

from cognite_nb_upload.emulator import Emulator, Fault

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)
OpenNotebook = Callable[[list[str]], Notebook]
Screenshot = Callable[[str], Path]
# A notebook with a panel that has uploaded something, as a file: bytes.
MOST_SAVED = 60_000


@pytest.fixture(autouse=True)
def _no_faults(lab_cdf: Emulator) -> Iterator[None]:
    yield
    lab_cdf.clear_faults()


@both
def test_a_panel_finds_what_runs_and_what_the_kernel_took_with_it(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    a_file(lab.root, "again.bin")
    panel = Panel(open_notebook([PANEL, "print((await panel.upload).name)"]))
    panel.choose("again.bin")
    panel.in_parts(at_once=1)
    lab_cdf.inject(slow(2))
    panel.press_upload()
    panel.stored(1)

    panel = Panel(panel.notebook)
    expect(panel.view).to_contain_text("again.bin")
    panel.put("File", str(lab.root / "again.bin"))
    expect(panel.reason).to_contain_text("is being uploaded")
    panel.button("Pause").click()
    expect(panel.view).to_contain_text("paused")
    panel.notebook.save()
    panel.notebook.reload()  # F5; here the notebook is saved, and its cell is run again
    panel = Panel(panel.notebook)
    expect(panel.button("Resume")).to_be_visible()
    screenshot("again-found")
    panel.button("Resume").click()
    panel.stored(2)

    panel.notebook.kill_kernel()
    panel.page.locator(".jp-Dialog").get_by_role("button").click()
    lab_cdf.clear_faults()
    whole = panel.at.locator(".cnbu-panel")
    words = whole.evaluate("one => getComputedStyle(one, '::before').content")
    assert "Run this cell again" in words
    icons = """root => [...root.querySelectorAll(".jupyter-widgets-disconnected")]
        .filter(one => getComputedStyle(one, "::before").display !== "none").length"""
    assert whole.evaluate(icons) == 0
    assert panel.at.locator(".cnbu-panel button:visible").count() == 0
    for theme in ("Light", "Dark"):
        use_theme(panel.page, f"JupyterLab {theme}")
        screenshot(f"again-gone-{theme.lower()}")
    use_theme(panel.page, "JupyterLab Light")
    panel = Panel(panel.notebook)
    unfinished = panel.at.get_by_text("Unfinished · 1")
    assert unfinished.bounding_box()["y"] < panel.box("File").bounding_box()["y"]
    screenshot("again-unfinished")
    panel.button("Resume").click()
    expect(panel.view).to_contain_text("Uploaded again.bin")
    panel.notebook.run_cell(1)
    assert panel.notebook.output(1).strip() == "again.bin"


@both
def test_what_was_started_is_in_sight_and_a_failure_is_beside_the_button(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    a_file(lab.root, "sight.bin")
    panel = Panel(open_notebook([PANEL]))
    panel.page.set_viewport_size({"width": 1100, "height": 620})
    panel.choose("sight.bin")
    panel.in_parts()
    panel.unfold("Labels, assets and security", "Time and place", "Metadata")
    panel.start.evaluate("one => one.scrollIntoView({block: 'end'})")
    lab_cdf.inject(slow(2))
    panel.press_upload()
    expect(panel.view.get_by_role("button", name="Stop")).to_be_in_viewport()
    expect(panel.view.locator(".cnbu-strip")).to_be_in_viewport(ratio=1)
    screenshot("sight-started")
    inside = "view => view.contains(document.activeElement)"
    assert panel.view.evaluate(inside), "the keyboard is where it goes on"
    lab_cdf.clear_faults()
    expect(panel.view).to_contain_text("Uploaded sight.bin")

    lab_cdf.inject(Fault("status", "init", status=400, body="<Error>Not so</Error>"))
    panel.put("Source", "another")
    panel.press_upload()
    expect(panel.reason).to_contain_text("sight.bin was not uploaded.")
    expect(panel.reason).to_be_in_viewport()
    screenshot("sight-failed")
    panel.button("Go on").click()
    expect(panel.reason).not_to_contain_text("was not uploaded.")


@both
def test_the_ending_can_be_copied_and_leads_to_fusion(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    a_file(lab.root, "told.bin", size=1000)
    pattern = "https://fusion.example/my-project/files/{id}"
    panel = Panel(open_notebook([PANEL.replace("Panel()", f"Panel(fusion_url={pattern!r})")]))
    page = panel.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.choose("told.bin")
    press(panel.start)
    expect(panel.view).to_contain_text("Uploaded told.bin")
    file_id = [one["id"] for one in lab_cdf.files() if one["name"] == "told.bin"][-1]
    link = panel.view.get_by_role("link", name="Open the file in Fusion")
    expect(link).to_have_attribute("href", pattern.replace("{id}", str(file_id)))
    expect(link).to_have_css("text-decoration-line", "underline")
    panel.button("Show the code").click()
    for name, text in {
        "Copy the file id": str(file_id),
        "Copy the line of code": f"await client.files.retrieve(id={file_id})",
        "Copy the code": panel.notebook.run("print(panel.code)").strip(),
    }.items():
        panel.button(name, exact=True).click()
        expect(panel.button(name, exact=True)).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").strip() == text
    for theme in ("Light", "Dark"):
        use_theme(page, f"JupyterLab {theme}")
        screenshot(f"ending-{theme.lower()}")

    expect(panel.at.locator("[class^=cnbu-saved]")).to_contain_text("Uploaded told.bin")
    panel.notebook.save()
    saved = panel.notebook.saved_text()
    assert "widget-state" in saved
    assert len(saved) < MOST_SAVED
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    panel.notebook.reload()  # with the saved widgets, and a kernel that knows nothing of them
    for words in ("An upload panel; run this cell to see it.", "Uploaded told.bin"):
        expect(panel.at).to_contain_text(words)
    expect(panel.at.locator(".jp-OutputArea input")).to_have_count(0)


@both
def test_the_keyboard_is_never_lost(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator
) -> None:
    a_file(lab.root, "keys.bin", size=1000)
    a_file(lab.root, "alone.bin")
    how = "part_size=6 * 2**20, max_bandwidth=2**20"
    alone = f'upload = panel.client.files.upload("alone.bin", {how})\nupload'
    panel = Panel(open_notebook([PANEL, alone]))
    page = panel.page
    panel.choose("keys.bin")
    watch_focus(page)
    press(panel.button("Show the code"))
    press(panel.button("Hide the code"))
    press(panel.button("▸ Time and place"))
    press(panel.button("▾ Time and place"))
    press(panel.start)
    expect(panel.view).to_contain_text("Uploaded keys.bin")
    press(panel.button("Close"))
    expect(panel.view).to_have_count(0)
    assert not focus_lost(page)

    panel.notebook.run_cell(1)
    cell = panel.notebook.cell(1)
    press(cell.get_by_role("button", name="Pause"))
    press(cell.get_by_role("button", name="Resume"))
    press(cell.get_by_role("button", name="Hide parts"))
    panel.notebook.run("import math; upload.set_limits(max_bandwidth=math.inf)")
    expect(cell).to_contain_text("Uploaded alone.bin")
    expect(cell.locator(".cnbu-view")).to_have_count(0)  # words alone are in its place
    assert not focus_lost(page)


def test_a_page_that_was_loaded_since_is_told_the_end_and_another_tab_that_its_cell_ran(
    open_notebook: OpenNotebook, lab: JupyterApp, page: Page, screenshot: Screenshot
) -> None:
    a_file(lab.root, "since.bin")
    how = "part_size=6 * 2**20, max_bandwidth=2**16"
    upload = f'u = panel.client.files.upload("since.bin", {how})\nu'
    form = "from cognite_nb_upload.widgets import MetadataForm\nform = MetadataForm()\nform"
    again = (
        upload.replace("u = ", "again = ").replace("\nu", "\nagain").replace(")", ", source='b')")
    )
    notebook = open_notebook([PANEL, upload, form, again])
    panel = Panel(notebook)
    for cell in (1, 2):
        notebook.run_cell(cell)
    a_file(lab.root, "of the panel.bin", size=1000)
    panel.choose("of the panel.bin")
    alone = notebook.cell(1)
    expect(alone.get_by_role("button", name="Pause")).to_be_visible()
    expect(panel.view).to_contain_text("since.bin")  # an open panel shows it, too
    notebook.save()
    notebook.reload()
    expect(alone.get_by_role("button", name="Pause")).to_be_visible()
    notebook.run("import math; u.set_limits(max_bandwidth=math.inf)")
    expect(alone).to_contain_text("Uploaded since.bin")
    panel.press_upload()
    expect(panel.view).to_contain_text("Uploaded of the panel.bin")
    for cell, text in enumerate(["Uploaded of the panel.bin", "Uploaded since.bin"]):
        until(lambda: any(text in one for one in saved_words(notebook, cell)), 30)  # noqa: B023
    spoken = page.get_by_role("status").filter(has_text="Uploaded of the panel.bin")
    expect(spoken.and_(page.locator("#cnbu-spoken"))).to_have_count(1)
    notebook.reload()
    expect(alone).to_contain_text("Uploaded since.bin")

    other = Notebook(page.context.new_page(), lab, notebook.name)
    other.page.goto(lab.page_url(notebook.name))
    other.wait_until_idle()
    Panel(other)
    expect(notebook.cell(0)).to_contain_text("This cell was run again in another tab or window.")
    screenshot("again-elsewhere")
    other.page.close()
    notebook.run_cell(3)
    expect(notebook.cell(3).get_by_role("button", name="Pause")).to_be_visible()
    notebook.save()
    saved = notebook.saved_text()
    notebook.run("again.stop(); form.close()")
    expect(notebook.cell(3)).to_contain_text("Stopped: since.bin")
    (lab.root / notebook.name).write_text(saved)
    save_without_widgets(lab.root / notebook.name)
    notebook.reload()  # what this file shows is closed
    expect(notebook.cell(0)).to_contain_text("The upload panel of this cell is not shown")
    expect(notebook.cell(2)).to_contain_text("The form of this cell is not shown")
    expect(notebook.cell(3)).to_contain_text("Progress was shown here while it ran")
    for cell in (0, 2, 3):
        expect(notebook.cell(cell).get_by_text("model not found")).to_be_hidden()
    screenshot("again-older")


def saved_words(notebook: Notebook, cell: int) -> list[str]:
    """A cell's outputs without HTML, as the file has them that is saved now."""
    notebook.save()
    outputs = nbformat.reads(notebook.saved_text(), as_version=4).cells[cell].outputs
    return [one.data.get("text/plain", "") for one in outputs]


def save_without_widgets(path: Path) -> None:
    """As JupyterLab saves a notebook where nobody has changed its settings."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)
