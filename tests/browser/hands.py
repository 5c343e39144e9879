"""What a person does in a notebook with a panel, and what one sees there."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

from jupyter_app import Notebook
from playwright.sync_api import Locator, Page, expect

from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault

expect.set_options(timeout=60_000)

PANEL = "from cognite_nb_upload.widgets import UploadPanel\npanel = UploadPanel()\npanel"
# A part may be as small as this, in MiB: files of a few parts stay small.
PART_MIB = 6


def a_file(folder: Path, name: str, size: int = 20 * MIB) -> bytes:
    """Write a file of random bytes, and return them."""
    content = random.Random(name).randbytes(size)
    (folder / name).write_bytes(content)
    return content


def slow(rate_mib: float, **more: Any) -> Fault:
    """Parts whose bytes are taken at this rate each, in MiB/s."""
    return Fault("slow", "part", times=None, bytes_per_s=rate_mib * MIB, **more)


def puts(cdf: Emulator, since: int) -> list[int]:
    """The parts that were stored, in order, since the request of that number."""
    rows = cdf.requests()[since:]
    return [row["part"] for row in rows if row["route"] == "part" and row["status"] == 200]


class Panel:
    """An `UploadPanel` in the output of a cell.

    Attributes:
        at: the cell, to find things in.
        start: the Upload button.
        reason: why it is disabled.
        view: the upload that was started last.
    """

    def __init__(self, notebook: Notebook, cell: int = 0) -> None:
        self.notebook, self.page = notebook, notebook.page
        self.at = notebook.cell(cell)
        self.start = self.button("Upload", exact=True)
        self.reason = self.at.locator(".cnbu-reason")
        self.view = self.at.locator(".cnbu-view").first
        notebook.run_cell(cell)
        expect(self.box("File")).to_be_visible()
        expect(self.at.locator(".cnbu-busy")).to_have_count(0)

    def box(self, label: str) -> Locator:
        """The input of that label."""
        return self.at.get_by_label(label, exact=True)

    def button(self, name: str | re.Pattern[str], *, exact: bool = False) -> Locator:
        """The button of that name."""
        return self.at.get_by_role("button", name=name, exact=exact)

    def field(self, label: str) -> Locator:
        """All that belongs to a field: its inputs, and what is said below them."""
        box = self.page.get_by_label(label, exact=True)
        return self.at.locator(".cnbu-field, .cnbu-files, .cnbu-inside").filter(has=box).last

    def type(self, label: str, text: str, then: str = "") -> None:
        """Type in place of what is there, key by key, and press `then`."""
        self.box(label).click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.type(text)
        if then:
            self.page.keyboard.press(then)

    def put(self, label: str, text: str) -> None:
        """Have this text in a box at once, as if pasted."""
        self.box(label).fill(text)

    def choose(self, name: str) -> None:
        """Type a file's name but for its end, and press Enter."""
        self.type("File", name.rpartition(".")[0], then="Enter")
        expect(self.box("File")).to_have_value(str(self.notebook.app.root / name))
        expect(self.at.locator(".cnbu-plan")).to_contain_text("part")

    def pick(self, label: str, text: str, line: str) -> None:
        """Search in a list, and click on a line."""
        self.type(label, text)
        self.field(label).get_by_role("button", name=line).first.click()
        expect(self.field(label).locator(".cnbu-chip").filter(has_text=line)).to_be_visible()

    def unfold(self, *titles: str) -> None:
        """Open groups of fields."""
        for title in titles:
            self.button(f"▸ {title}").click()
            expect(self.button(f"▾ {title}")).to_be_visible()

    def in_parts(self, at_once: int = 2) -> None:
        """Small parts, a few at once."""
        self.unfold("How it is sent")
        self.put("Part size, MiB", str(PART_MIB))
        self.put("Parts at once", str(at_once))

    def press_upload(self) -> None:
        """Upload, and wait until it shows."""
        expect(self.start).to_be_enabled()
        self.start.click()
        expect(self.view).to_be_visible()

    def stored(self, count: int) -> None:
        """Wait until so many parts of the upload are stored."""
        self.page.wait_for_function(
            """([view, count]) => view.querySelectorAll(".cnbu-strip .s").length >= count""",
            arg=[self.view.element_handle(), count],
        )


# What a view shows from now on, whenever it shows something else, with what the kernel does then.
_WATCH = """view => {
    const kernel = () =>
        window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status;
    window.seen = [];
    const look = () => window.seen.push({
        kernel: kernel(),
        width: view.querySelector(".cnbu-bar b")?.style.width ?? "",
        strip: view.querySelector(".cnbu-strip")?.innerHTML ?? "",
        text: view.innerText,
    });
    const all = {subtree: true, childList: true, characterData: true, attributes: true};
    new MutationObserver(look).observe(view, all);
}"""


def watch(view: Locator) -> None:
    """Remember what a view shows from now on."""
    view.evaluate(_WATCH)


def seen(view: Locator, kernel: str = "") -> list[dict[str, str]]:
    """What it has shown: all of it, or what it showed while the kernel was "busy"."""
    rows: list[dict[str, str]] = view.page.evaluate("window.seen")
    return [row for row in rows if kernel in ("", row["kernel"])]


def strips(rows: list[dict[str, str]]) -> set[str]:
    """The strips among them that differ."""
    return {row["strip"] for row in rows}


# Looks after each change and in each frame, as a key would come then: on what was the focus last,
# when it was on the body?
_WATCH_FOCUS = """() => {
    const name = at => `${at.tagName} ${at.className} ${at.innerText ?? ""}`.slice(0, 80);
    const lost = window.focusLost = [];
    let last = "nothing";
    const look = () => {
        const at = document.activeElement;
        if (at && at !== document.body) last = name(at);
        else if (lost.at(-1) !== last) lost.push(last);
    };
    const channel = new MessageChannel();
    channel.port1.onmessage = look;
    const later = () => channel.port2.postMessage(0);
    const all = {subtree: true, childList: true, attributes: true};
    new MutationObserver(later).observe(document, all);
    document.addEventListener("focusout", later, true);
    const frame = () => { later(); requestAnimationFrame(frame); };
    frame();
}"""


def watch_focus(page: Page) -> None:
    """Remember from now on where the keyboard's focus was lost."""
    page.evaluate(_WATCH_FOCUS)


def focus_lost(page: Page) -> list[str]:
    """What had the focus each time before it fell to the page's body."""
    found: list[str] = page.evaluate("window.focusLost")
    return found


def press(button: Locator) -> None:
    """Press it with the keyboard."""
    button.focus()
    button.page.keyboard.press("Enter")


def use_theme(page: Page, theme: str) -> None:
    """`JupyterLab Light` or `JupyterLab Dark`."""
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
    )
    page.wait_for_selector(f'body[data-jp-theme-name="{theme}"]', state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")  # it dims all meanwhile
