"""Chromium that Playwright can let go of, and memory of what takes part.

A page that stays attached copies every WebSocket frame to the driver: an upload is then measured at
a quarter of its speed. So the page is set up, left alone while it works, and attached to again.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from jupyter_app import PATIENCE_S, chromium_options
from playwright.sync_api import BrowserType, Page

MIB = 1024 * 1024


class Chromium:
    """A browser of its own, with a debugging port to attach to."""

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        options = chromium_options()
        self._process = subprocess.Popen(
            [
                options["executable_path"], *options["args"], "--headless=new",
                "--remote-debugging-port=0", f"--user-data-dir={self._profile.name}",
                "--no-first-run", "--window-size=1280,900", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def _address(self) -> str:
        told = Path(self._profile.name) / "DevToolsActivePort"
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if told.exists() and (lines := told.read_text().split()):
                return f"http://127.0.0.1:{lines[0]}"
            time.sleep(0.05)
        raise RuntimeError("Chromium did not start.")

    @contextmanager
    def attached(self, chromium: BrowserType) -> Iterator[Page]:
        """Within the block, its only page."""
        browser = chromium.connect_over_cdp(self._address())
        page = browser.contexts[0].pages[0]
        page.set_default_timeout(PATIENCE_S * 1000)
        try:
            yield page
        finally:
            browser.close()  # lets go of it; it goes on

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(OSError):
            self._profile.cleanup()


def choose(page: Page, selector: str, *paths: Path) -> None:
    """Pick files in a file input by their paths, of any size: nothing is copied."""
    session = page.context.new_cdp_session(page)
    found = session.send(
        "Runtime.evaluate", {"expression": f"document.querySelector({selector!r})"}
    )
    files = {"files": [str(path) for path in paths], "objectId": found["result"]["objectId"]}
    session.send("DOM.setFileInputFiles", files)
    session.detach()


def drop(page: Page, selector: str, *paths: Path) -> None:
    """Drop files on an element, as a mouse does."""
    spot = page.locator(selector).first
    spot.scroll_into_view_if_needed()
    box = spot.bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {
                "type": kind,
                "x": box["x"] + box["width"] / 2,
                "y": box["y"] + box["height"] / 2,
                "data": {"items": [], "files": [str(path) for path in paths],
                         "dragOperationsMask": 1},
            },
        )  # fmt: skip
    session.detach()


class Memory:
    """The most private memory that processes had, by name, in bytes above where they began.

    Args:
        who: gives the processes of each name, at any moment; of several, the sum counts.
    """

    def __init__(self, who: dict[str, Callable[[], list[int]]]) -> None:
        self._who = who
        self._first = {name: _private(pids()) for name, pids in who.items()}
        self.most = dict.fromkeys(who, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._ended.wait(0.25):
            for name, pids in self._who.items():
                grown = _private(pids()) - self._first[name]
                self.most[name] = max(self.most[name], grown)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def renderers(pid: int) -> list[int]:
    """The processes of a browser's pages."""
    return [
        child.pid
        for child in psutil.Process(pid).children(recursive=True)
        if "--type=renderer" in _command(child)
    ]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _private(pids: list[int]) -> int:
    """Bytes that are theirs alone: shared libraries and the page cache do not count."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().uss
        except psutil.Error:
            continue
    return total
