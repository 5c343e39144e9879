from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detached import MIB, Chromium, Memory, choose, drop, renderers
from hands import PANEL, Panel, slow
from jupyter_app import JupyterApp, Notebook
from playwright.sync_api import Page, Playwright, TimeoutError, expect

from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDGET = """
from cognite_nb_upload import AsyncCogniteClient, uploads
from cognite_nb_upload.widgets.browser.files import BrowserFiles
client = AsyncCogniteClient.from_env()
files = BrowserFiles(direct={direct})
files
"""
UPLOAD = "upload = files.files[0].upload(client, part_size=6 * 2**20)"
# Slow enough to do something in the middle of it, and no slower.
SLOW_UPLOAD = f"{UPLOAD[:-1]}, max_concurrency=1, max_bandwidth=3e6)"
HURRY = "upload.set_limits(max_bandwidth=float('inf'))"

# Sockets of the page, to be dropped as a bad network drops them.
KEEP_SOCKETS = """
(() => {
    const sockets = window.testSockets = [], Real = window.WebSocket;
    window.WebSocket = class extends Real {
        constructor(...args) { super(...args); sockets.push(this); }
    };
})()
"""

# Which cells there are, which one is active, and which ones have run.
STATE = """
(() => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    const cells = notebook.widgets.map(one => [one.model.id, one.model.executionCount]);
    return [notebook.activeCellIndex, cells];
})()
"""


@pytest.fixture(scope="module")
def segy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the person's own computer: 48 MiB of random bytes, twice what is read ahead."""
    path = tmp_path_factory.mktemp("laptop") / "big.segy"
    path.write_bytes(os.urandom(48 * MIB))
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def until(notebook: Notebook, expression: str, seconds: float = 60) -> str:
    """Ask the kernel until it says something other than nothing or False."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said = notebook.run(f"print({expression} or '')").strip()
        if said not in ("", "False"):
            return said
        time.sleep(0.1)
    raise AssertionError(f"{expression} did not come true: {notebook.run('print(upload)')}")


def pick(page: Page, *paths: Path) -> None:
    page.get_by_label("Choose files of this computer").locator("input").first.set_input_files(paths)


def opened(open_notebook: Callable[..., Notebook], *, direct: bool = False) -> Notebook:
    notebook = open_notebook([WIDGET.format(direct=direct)])
    notebook.run_cell(0)
    notebook.page.locator(".cnbu-drop").wait_for()
    return notebook


@pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)
def test_picked_and_dropped_files_arrive_and_no_secret_is_saved(
    open_notebook: Callable[..., Notebook],
    page: Page,
    lab: JupyterApp,
    lab_cdf: Emulator,
    segy: Path,
    screenshot: Callable[[str], Path],
) -> None:
    notebook = opened(open_notebook, direct=True)
    small = segy.with_name("notes <b>&amp; \u202e.txt")
    small.write_text("A small one.")
    choose_by_keyboard(page, segy)
    drop(page, ".cnbu-drop", small)
    page.get_by_role("button", name="Remove notes").wait_for()
    screenshot("browser-files")
    notebook.run("upload = client.files.upload(files.files[1])")  # over the comm
    small_id = int(until(notebook, "upload.done() and upload.result().id"))
    notebook.run(UPLOAD)  # straight to the store
    big_id = int(until(notebook, "upload.done() and upload.result().id"))
    assert "open=True" in notebook.run("print(files.link.ways)")
    assert lab_cdf.sha256(small_id) == sha256(small)
    assert lab_cdf.sha256(big_id) == sha256(segy)
    page.get_by_role("button", name="Remove notes").click()
    until(notebook, "len(files.files) == 1")
    notebook.save()
    saved = notebook.saved_text()
    assert "big.segy" in saved  # its widgets were saved, too
    journal = "".join(path.read_text() for path in lab.state.rglob("*.journal"))
    for secret in (lab_cdf.token, "/store/", "X-Amz", *secrets_in(journal)):
        assert secret not in saved


def choose_by_keyboard(page: Page, path: Path) -> None:
    """Press Enter on the button until a dialog opens: Jupyter takes the focus as a cell ends."""
    button = page.get_by_label("Choose files of this computer").last
    for _ in range(10):
        button.focus()
        try:
            with page.expect_file_chooser(timeout=2000) as chooser:
                page.keyboard.press("Enter")
        except TimeoutError:
            continue
        chooser.value.set_files(path)
        return
    raise AssertionError("Enter opens no dialog.")


def secrets_in(journal: str) -> list[str]:
    """What upload URLs carry, as the journals of finished uploads have it: nothing any more."""
    return [word for word in journal.split('"') if "Signature=" in word]


def test_a_dropped_connection_a_pause_and_a_reload_lose_nothing(
    open_notebook: Callable[..., Notebook],
    page: Page,
    lab_cdf: Emulator,
    segy: Path,
    screenshot: Callable[[str], Path],
) -> None:
    page.add_init_script(KEEP_SOCKETS)
    notebook = opened(open_notebook)
    pick(page, segy)
    page.locator(".cnbu-drop-name").wait_for()
    notebook.run(SLOW_UPLOAD)
    until(notebook, "upload.state.sent > 2 * 2**20")
    assert page.evaluate("testSockets.filter(s => s.readyState === 1).map(s => s.close()).length")
    # What JupyterLab sends before it has noticed is lost: it must have a new connection.
    page.wait_for_function(
        "testSockets.some(s => s.readyState === 1 && s.url.includes('/channels'))"
    )
    notebook.wait_until_idle()
    before = int(notebook.run("print(upload.state.sent)"))
    until(notebook, f"upload.state.sent > {before} + 2**20")
    notebook.run("upload.pause()")
    until(notebook, "upload.state.phase == 'paused'")
    notebook.run("upload.resume()")
    until(notebook, "upload.state.rate > 0")
    notebook.save()
    notebook.reload()
    until(notebook, "'drop the same file again' in upload.state.waiting_for")
    page.get_by_text("drop the same file again").wait_for()
    screenshot("browser-files-waiting")
    pick(page, segy)
    notebook.run(HURRY)
    done = int(until(notebook, "upload.done() and upload.result().id"))
    assert lab_cdf.sha256(done) == sha256(segy)


def test_after_a_killed_kernel_the_same_file_goes_on(
    open_notebook: Callable[..., Notebook], page: Page, lab_cdf: Emulator, segy: Path
) -> None:
    notebook = opened(open_notebook)
    pick(page, segy)
    page.locator(".cnbu-drop-name").wait_for()
    notebook.run(SLOW_UPLOAD)
    until(notebook, "upload.state.stored >= 6 * 2**20")
    notebook.kill_kernel()
    notebook.run_cell(0)
    page.locator(".cnbu-drop-name").wait_for(state="detached")
    notebook.close_dialog()
    drop(page, ".cnbu-drop", segy)
    until(notebook, "len(files.files) == 1")
    assert "big.segy" in notebook.run("print(uploads()['source'].tolist())")
    notebook.run(UPLOAD)
    done = int(until(notebook, "upload.done() and upload.result().id"))
    assert "parts stored already" in notebook.run("print(upload.result().notes)")
    assert lab_cdf.sha256(done) == sha256(segy)


def test_a_file_changed_on_disk_is_not_completed(
    open_notebook: Callable[..., Notebook], page: Page, lab_cdf: Emulator, segy: Path
) -> None:
    path = segy.with_name("changing.segy")
    path.write_bytes(segy.read_bytes())
    notebook = opened(open_notebook)
    pick(page, path)
    page.locator(".cnbu-drop-name").wait_for()
    notebook.run(SLOW_UPLOAD)
    until(notebook, "upload.state.sent > 2**20")
    time.sleep(1.1)  # browsers compare whole seconds
    path.write_bytes(segy.read_bytes()[::-1])
    assert "changed on its disk" in until(notebook, "upload.state.waiting_for")
    pick(page, path)
    until(notebook, "upload.done()")
    said = notebook.run("try: upload.result()\nexcept Exception as error: print(repr(error))")
    assert "SourceChanged" in said
    assert not [row for row in lab_cdf.files() if row["name"] == path.name and row["uploaded"]]


def test_300_mib_cost_little_memory_and_arrive(
    playwright: Playwright, lab: JupyterApp, lab_cdf: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "300.segy"
    with path.open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(MIB))
    with Chromium() as chromium:
        with chromium.attached(playwright.chromium) as page:
            notebook = Notebook.open(page, lab, [WIDGET.format(direct=False)])
            notebook.run_cell(0)
            page.locator(".cnbu-drop").wait_for()
            choose(page, ".cnbu-drop-input", path)
            page.locator(".cnbu-drop-name").wait_for()
        for direct in (False, True):
            told, most = unwatched(playwright, lab, chromium, tmp_path / f"{direct}.json", direct)
            assert lab_cdf.sha256(told["id"]) == sha256(path)
            assert most["kernel"] < 80 * MIB
            assert most["server"] < 80 * MIB
            assert most["page"] < 250 * MIB  # its garbage is collected when it likes


def unwatched(
    playwright: Playwright, lab: JupyterApp, chromium: Chromium, place: Path, direct: bool
) -> tuple[dict[str, Any], dict[str, int]]:
    """Upload the file while nobody is attached to the page; how it ended, and memory."""
    with chromium.attached(playwright.chromium) as page:
        Notebook(page, lab, "").run(told_when_done(place, direct))
    who = {
        "kernel": lab.kernel_pids,
        "server": lambda: [lab.pid],
        "page": lambda: renderers(chromium.pid),
    }
    with Memory(who) as memory:
        while not place.exists():
            time.sleep(0.2)
    return json.loads(place.read_text()), memory.most


def told_when_done(place: Path, direct: bool) -> str:
    """Starts an upload that writes down how it ended, once nobody watches the page."""
    return f"""
import json, pathlib, threading, time
def work():
    time.sleep(2)
    files.files[0].direct = {direct}
    told = json.dumps({{"id": files.files[0].upload(client, resume=False).result().id}})
    pathlib.Path({str(place)!r} + "~").write_text(told)
    pathlib.Path({str(place)!r} + "~").rename({str(place)!r})
threading.Thread(target=work).start()
"""


def test_a_panel_run_again_asks_for_the_file_that_is_being_sent(
    open_notebook: Callable[..., Notebook],
    page: Page,
    lab_cdf: Emulator,
    segy: Path,
    screenshot: Callable[[str], Path],
) -> None:
    panel = Panel(open_notebook([PANEL]))
    pick(page, segy)
    expect(panel.start).to_be_enabled()
    panel.in_parts(at_once=1)
    lab_cdf.inject(slow(2))
    panel.press_upload()
    panel.stored(1)
    panel = Panel(panel.notebook)  # its cell is run again, and the page still has the file
    panel.stored(2)
    warned: list[str] = []
    page.on("dialog", lambda dialog: warned.append(dialog.type))
    panel.notebook.reload()
    assert "beforeunload" in warned, "who closes the tab is warned"
    panel = Panel(panel.notebook)
    expect(panel.at).to_contain_text("drop the same file again")
    screenshot("browser-files-again")
    lab_cdf.clear_faults()
    pick(page, segy)
    expect(panel.view).to_contain_text("Uploaded ")
    there = [one for one in lab_cdf.files() if one["uploaded"]]
    last = max(there, key=lambda one: one["uploadedTime"])
    assert lab_cdf.sha256(last["id"]) == sha256(segy)


def test_keys_in_the_place_for_files_are_no_commands_of_the_notebook(
    open_notebook: Callable[..., Notebook], page: Page, tmp_path: Path
) -> None:
    notebook = open_notebook([WIDGET.format(direct=False), "1", "2"])
    notebook.run_cell(0)
    cells, mine = page.locator(".jp-Notebook .jp-Cell"), tmp_path / "mine.txt"
    mine.write_text("Mine.")
    pick(page, mine)
    remove = page.get_by_role("button", name="Remove mine.txt")
    before = page.evaluate(STATE)
    for key in ("b", "d", "d", "x", "ArrowDown", "ArrowUp", "Control+z", "Control+Enter"):
        remove.focus()
        page.keyboard.press(key)
        notebook.run("0")  # what a key has begun is seen now
        assert page.evaluate(STATE) == before, f"{key} is a command of the notebook"
    remove.focus()
    page.keyboard.press(" ")
    expect(remove).to_have_count(0)
    focused = "document.activeElement.className"
    assert page.evaluate(focused) == "cnbu-drop-input", "the keyboard is where it goes on"
    notebook.cell(1).locator(".jp-InputPrompt").click()
    page.keyboard.press("b")  # elsewhere keys are the notebook's
    expect(cells).to_have_count(4)


def test_a_file_picked_once_the_kernel_has_ended_is_taken_by_the_next_run(
    open_notebook: Callable[..., Notebook],
    page: Page,
    tmp_path: Path,
    screenshot: Callable[[str], Path],
) -> None:
    notebook = opened(open_notebook)
    mine = tmp_path / "mine.txt"
    mine.write_text("Mine.")
    with page.expect_file_chooser() as dialog:
        page.locator(".cnbu-drop-input").click()
    notebook.kill_kernel()
    notebook.close_dialog()
    note = page.locator(".cnbu-drop-note")
    expect(note).to_contain_text("The kernel has ended.")
    dialog.value.set_files(mine)
    expect(note).to_have_text("Run this cell again: mine.txt will be taken then.")
    screenshot("browser-files-late")
    notebook.run_cell(0)
    expect(page.locator(".cnbu-drop-name")).to_have_text("mine.txt")
    assert until(notebook, "files.files and files.files[0].name") == "mine.txt"
