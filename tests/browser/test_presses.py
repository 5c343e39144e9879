"""What is sent is what the boxes show, however late or busy the kernel is."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hands import PANEL, Panel, a_file, focus_lost, use_theme, watch_focus
from jupyter_app import JupyterApp, Notebook
from late import LateLine
from playwright.sync_api import Page, Route, expect
from support import until

from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)

# An answer of the kernel is this late, in seconds.
LATE_S = 0.3
BUSY = """
import os, time
open("begun", "w").close()
while not os.path.exists("enough"):
    time.sleep(0.1)
"""
TYPED = {
    "Name": "Nordvik survey 2026.segy",
    "MIME type": "application/x-segy",
    "External id": "nordvik-survey-of-2026",
    "Directory": "/surveys/nordvik/2026",
    "Source": "acquisition, vessel Aurora",
    "Latitude": "60.1234567",
    "Longitude": "2.7654321",
    "Key 1": "survey",
    "Value 1": "NV-26, the second one",
}

OpenNotebook = Callable[[list[str]], Notebook]


@pytest.fixture(params=["busy", "late", "busy and late"])
def open_slow(request: pytest.FixtureRequest, page: Page, lab: JupyterApp) -> Iterator[Any]:
    """Opens a panel, and makes its kernel busy, or its answers late; gives the panel."""
    begun = lab.root / "begun"
    for mark in (begun, lab.root / "enough"):
        mark.unlink(missing_ok=True)
    with LateLine(urlsplit(lab.url).port or 0) as line:
        through = copy.copy(lab)
        through.url = lab.url.replace(f":{urlsplit(lab.url).port}", f":{line.port}")

        def make(cells: list[str], prepare: Callable[[Panel], None]) -> Panel:
            panel = Panel(Notebook.open(page, through, [*cells, BUSY]))
            prepare(panel)
            if "busy" in request.param:
                panel.notebook.run_cell(len(cells), wait=False)
                until(begun.exists)
            if "late" in request.param:
                line.delay_s = LATE_S / 2
            return panel

        yield make
        line.delay_s = 0
        (lab.root / "enough").touch()


def shown(panel: Panel) -> dict[str, str]:
    """What the boxes show, by label."""
    return {label: panel.box(label).input_value() for label in TYPED}


def test_a_press_counts_where_the_button_is_moved_away_meanwhile(
    page: Page, lab: JupyterApp, lab_cdf: Emulator
) -> None:
    a_file(lab.root, "moved.bin", size=1000)
    panel = Panel(Notebook.open(page, lab, [PANEL]))
    panel.choose("moved.bin")
    panel.type("Name", "moved away")
    panel.type("Source", "somebody")
    expect(panel.start).to_be_enabled()
    panel.start.hover()
    page.mouse.down()
    panel.start.evaluate("button => { button.style.marginTop = '80px'; }")
    page.mouse.up()
    until(lambda: [one for one in lab_cdf.files() if one["name"] == "moved away"])
    assert len([one for one in lab_cdf.files() if one["name"] == "moved away"]) == 1


@both
def test_upload_sends_what_the_boxes_show(
    open_slow: Any, lab: JupyterApp, lab_cdf: Emulator, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    a_file(lab.root, "pressed.bin", size=1000)

    def prepare(panel: Panel) -> None:
        panel.choose("pressed.bin")
        panel.unfold("Labels, assets and security", "Time and place", "Metadata", "How it is sent")
        panel.button("Paste…").click()
        expect(panel.box("Pairs to paste")).to_be_visible()

    panel = open_slow([PANEL], prepare)
    typed = TYPED | {"External id": name[:255]}
    for label, text in typed.items():
        panel.type(label, text)
    panel.type("Labels", "raw", then="Enter")
    panel.box("Data set").click()
    # The answer gives the keyboard to the box of the labels, had the person stayed there.
    expect(panel.field("Labels").locator(".cnbu-chip")).to_be_visible()
    expect(panel.box("Data set")).to_be_focused()
    panel.page.keyboard.type("7")
    panel.page.keyboard.press("Enter")
    panel.type("Pairs to paste", "vessel, Aurora\nstreamers, 12")
    panel.button("Add these rows").click()
    panel.type("Part size, MiB", "6.5")
    assert shown(panel) == typed
    panel.start.click()
    until(lambda: [one for one in lab_cdf.files() if one.get("externalId") == name[:255]])

    (file,) = [one for one in lab_cdf.files() if one.get("externalId") == name[:255]]
    assert file["name"] == typed["Name"]
    assert file["mimeType"] == typed["MIME type"]
    assert (file["directory"], file["source"]) == (typed["Directory"], typed["Source"])
    assert file["geoLocation"]["geometry"]["coordinates"] == [2.7654321, 60.1234567]
    assert file["labels"] == [{"externalId": "raw"}]
    assert file["dataSetId"] == 7
    assert file["metadata"] == {
        "survey": "NV-26, the second one", "vessel": "Aurora", "streamers": "12"
    }  # fmt: skip
    expect(panel.view).to_contain_text("Uploaded")
    expect(panel.box("Pairs to paste")).to_be_hidden()
    for picker in ("Labels", "Data set"):  # what was picked does not come back
        expect(panel.box(picker)).to_have_value("")


@both
def test_a_path_that_is_typed_and_sent_at_once(
    open_slow: Any, lab: JupyterApp, lab_cdf: Emulator, request: pytest.FixtureRequest
) -> None:
    """The Upload button is still that of the file that was chosen before."""
    a_file(lab.root, "before.bin", size=1000)
    name = f"after {len(request.node.name)} {lab.kind}.bin"
    a_file(lab.root, name, size=2000)
    panel = open_slow([PANEL], lambda panel: panel.choose("before.bin"))
    panel.put("File", str(lab.root / name))
    panel.start.click()
    expect(panel.view).to_contain_text(f"Uploaded {name}")
    assert "before.bin" not in {one["name"] for one in lab_cdf.files()}


@both
@pytest.mark.parametrize("open_slow", ["busy and late"], indirect=True)
def test_what_was_typed_is_there_again_when_the_cell_is_run_again(
    open_slow: Any, lab: JupyterApp, screenshot: Callable[[str], Path]
) -> None:
    a_file(lab.root, "again typed.bin", size=1000)

    def prepare(panel: Panel) -> None:
        panel.choose("again typed.bin")
        panel.unfold("Labels, assets and security", "Time and place", "Metadata", "How it is sent")
        panel.pick("Labels", "3d", "3D seismic")

    panel = open_slow([PANEL], prepare)
    keys, taken_over = panel.page.keyboard, panel.at.locator(".cnbu-taken")
    watch_focus(panel.page)
    for label, text in TYPED.items():
        panel.type(label, text)
    run_from_the_cell(panel)  # nobody has left the last box, and the kernel is busy
    (lab.root / "enough").touch()
    expect(taken_over).to_contain_text("Taken over from the panel that this cell showed before.")
    assert shown(panel) == TYPED
    expect(panel.box("File")).to_have_value(str(lab.root / "again typed.bin"))
    expect(panel.field("Labels").locator(".cnbu-chip")).to_contain_text("3D seismic")
    expect(panel.start).to_be_enabled()
    for no in range(3):
        panel.box("Source").click()
        keys.press("End")
        keys.type(f" and {no}")
        run_from_the_cell(panel)
        expect(panel.at.locator(".cnbu-panel")).to_have_count(1)
        expect(panel.start).to_be_enabled()
        expect(panel.box("Source")).to_have_value(re.compile(f" and {no}$"))
    for theme in ("Light", "Dark"):
        use_theme(panel.page, f"JupyterLab {theme}")
        taken_over.evaluate("one => one.scrollIntoView({block: 'center'})")
        screenshot(f"taken-over-{theme.lower()}")
    use_theme(panel.page, "JupyterLab Light")

    panel.type("Directory", "/typed/before/the/reload")
    panel.notebook.reload()  # the notebook was not saved since the panel is shown
    expect(panel.at.locator(".cnbu-panel")).to_have_count(0)
    panel = Panel(panel.notebook)
    expect(panel.box("Directory")).to_have_value("/typed/before/the/reload")
    expect(panel.box("Source")).to_have_value(re.compile(" and 0 and 1 and 2$"))
    watch_focus(panel.page)
    panel.button("Start empty").focus()
    keys.press("Enter")
    expect(panel.at.locator(".cnbu-taken")).to_be_hidden()
    for label in ("File", "Source", "Key 1", "Latitude"):
        expect(panel.box(label)).to_have_value("")
    expect(panel.reason).to_have_text("Choose a file.")
    assert not focus_lost(panel.page)


def run_from_the_cell(panel: Panel) -> None:
    """Shift+Enter, with the keyboard in the cell's own text."""
    panel.at.locator(".cm-content").first.focus()
    panel.page.keyboard.press("Shift+Enter")


# How often the cell of the panel has run.
COUNTED = f"runs = globals().get('runs', 0) + 1\n{PANEL}"
ALONE = """
alone = globals().get("alone", 0) + 1
upload = panel.client.files.upload("alone.bin", part_size=6 * 2**20, max_bandwidth=2**16)
upload
"""
# Keys that run a cell, cut it, delete it, add one, make it text, or go to the next.
NOTEBOOK_KEYS = [
    *("Control+Enter", "Shift+Enter", "Alt+Enter", "Control+Shift+Enter"),
    *("x", "d", "d", "a", "b", "m", "ArrowDown", "Escape"),
]
# Keys that merge cells, move them, select all, take back what was done to them, or do it again.
MORE_KEYS = [
    *("Control+Backspace", "Control+Shift+m", "Control+Shift+ArrowDown", "Control+a"),
    *("Control+z", "Control+Shift+z"),
]


@both
def test_no_key_in_the_panel_is_a_command_of_the_notebook(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator
) -> None:
    a_file(lab.root, "kept.bin", size=1000)
    a_file(lab.root, "alone.bin")
    panel = Panel(open_notebook([COUNTED, ALONE, "after = 1"]))
    notebook, keys = panel.notebook, panel.page.keyboard
    cells = panel.page.locator(".jp-Notebook .jp-Cell")
    # What Ctrl+Z could take back.
    panel.page.evaluate("window.jupyterapp.commands.execute('notebook:insert-cell-below')")
    expect(cells).to_have_count(4)
    panel.choose("kept.bin")
    panel.type("Directory", "/typed")
    watch_focus(panel.page)
    fold = panel.button("Metadata")
    for focused in (panel.box("Directory"), panel.button("Browse: "), fold):
        for key in NOTEBOOK_KEYS:
            focused.first.focus()
            keys.press(key)
    for key in NOTEBOOK_KEYS:
        panel.box("Classic file").focus()
        keys.press(key)
    expect(panel.box("Data model")).to_be_checked()  # by the arrow key: it stays the radio's
    panel.box("Data model").focus()
    keys.press("ArrowUp")
    expect(panel.box("Classic file")).to_be_checked()
    for key in MORE_KEYS:
        fold.focus()
        keys.press(key)
    expect(panel.box("Directory")).to_have_value("/typedxddabm")
    panel.type("Source", "typed")
    keys.press("Control+z")
    expect(panel.box("Source")).not_to_have_value("typed")
    keys.press("Control+Shift+z")
    expect(panel.box("Source")).to_have_value("typed")
    assert not focus_lost(panel.page)

    notebook.run_cell(2)  # the upload alone
    parts = notebook.cell(2).get_by_role("button", name=re.compile("(Hide|Show) parts"))
    for key in (*NOTEBOOK_KEYS, *MORE_KEYS):
        parts.focus()
        keys.press(key)
    expect(parts).to_be_focused()
    expect(panel.box("Source")).to_have_value("typed")
    said = notebook.run("print(runs, alone, 'after' in globals())\nupload.stop()")
    assert said.split() == ["1", "1", "False"]
    expect(cells).to_have_count(4)
    fold.focus()
    keys.press("Control+s")  # is the notebook's
    until(lambda: "/typed" in notebook.saved_text(), 30)
    panel.type("Directory", "/saved/from/a/box", then="Control+s")
    until(lambda: "/saved/from/a/box" in notebook.saved_text(), 30)


@both
@pytest.mark.parametrize("by", ["key", "toolbar"])
def test_a_save_while_another_one_is_on_its_way_is_not_lost(
    open_notebook: OpenNotebook, lab: JupyterApp, by: str
) -> None:
    panel = Panel(open_notebook([PANEL]))
    notebook, page = panel.notebook, panel.page
    first = held_save(panel, "/typed/before")
    page.evaluate(COUNT_SAVES)
    panel.type("Directory", "/typed/meanwhile", then="Control+s" if by == "key" else "")
    expect(panel.box("Directory")).to_have_value("/typed/meanwhile")
    if by == "toolbar":
        page.locator(".jp-NotebookPanel-toolbar [data-command='docmanager:save']").first.click()
    first.continue_()
    page.wait_for_function("window.saves.length >= 3")
    assert page.evaluate("window.saves") == ["completed", "started", "completed"]
    assert "/typed/meanwhile" in notebook.saved_text()
    assert "/typed/before" not in notebook.saved_text()
    assert not page.evaluate(IS_DIRTY)


@both
def test_what_is_typed_while_a_save_is_on_its_way_is_left_to_save(
    open_notebook: OpenNotebook, lab: JupyterApp
) -> None:
    """Autosave saves it, and whoever closes the notebook is asked: both look at `dirty`."""
    panel = Panel(open_notebook([PANEL]))
    notebook, page = panel.notebook, panel.page
    first = held_save(panel, "/typed/before")
    page.evaluate(COUNT_SAVES)
    panel.type("Directory", "/typed/meanwhile")
    first.continue_()
    page.wait_for_function("window.saves.length >= 1")
    assert page.evaluate(IS_DIRTY)
    notebook.save()
    assert "/typed/meanwhile" in notebook.saved_text()
    assert not page.evaluate(IS_DIRTY)
    panel.type("Directory", "/typed/afterwards")  # no save is on its way
    assert page.evaluate(IS_DIRTY)


def held_save(panel: Panel, text: str) -> Route:
    """Type into a box, and save; that save is on its way until the route goes on."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method != "PUT" or held:
            return route.continue_()
        held.append(route)

    panel.page.route(re.compile("/api/contents/"), hold)
    panel.type("Directory", text, then="Control+s")
    until(lambda: held or panel.page.wait_for_timeout(50), 30)
    return held[0]


IS_DIRTY = "window.jupyterapp.shell.currentWidget.context.model.dirty"
# How the saves of the notebook go from now on.
COUNT_SAVES = """() => {
    window.saves = [];
    const context = window.jupyterapp.shell.currentWidget.context;
    context.saveState.connect((_, state) => { window.saves.push(state); });
}"""


SPY = """
import anywidget, traitlets

class Spy(anywidget.AnyWidget):
    _esm = '''
    export default {
        async render({ model }) {
            window.spied = await model.widget_manager.get_model(model.get("spied"));
        }
    }
    '''
    spied = traitlets.Unicode("").tag(sync=True)

Spy(spied=panel.form.fields["source"].input.model_id)
"""
# How long text is held back is the kernel's matter: what was held back is remembered.
REMEMBER = """() => {
    let buffer = null;
    window.held = [];
    Object.defineProperty(window.spied, "_msg_buffer", {
        get: () => buffer,
        set: (value) => {
            buffer = value;
            window.held.push(value?.value);
        },
    });
}"""


@both
@pytest.mark.parametrize("open_slow", ["late"], indirect=True)
def test_text_is_held_back_where_this_package_looks_for_it(open_slow: Any, lab: JupyterApp) -> None:
    """Early warning: the private names of ipywidgets that `page.js` relies on."""

    def prepare(panel: Panel) -> None:
        panel.notebook.run_cell(1)
        panel.page.wait_for_function("window.spied")

    panel = open_slow([PANEL, SPY], prepare)
    panel.box("Source").click()
    assert panel.page.evaluate("window.spied._msg_buffer") is None
    panel.page.evaluate(REMEMBER)
    panel.page.keyboard.type("ab")
    panel.page.wait_for_function("window.held.includes('ab')")
    for name in ("send_sync_message", "rememberLastUpdateFor"):
        assert panel.page.evaluate(f"typeof window.spied.{name}") == "function"
