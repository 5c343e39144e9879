"""A real JupyterLab or Notebook 7 with a real kernel, in headless Chromium, beside an emulated CDF.

`lab` is the server (`@pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)` runs a
test in both), `open_notebook(cells)` opens a notebook of these cells in `page`, and gives a handle:
`run_cell(i)`, `cell(i)`, `output(i)`, `save()`, `saved_text()`, `kill_kernel()`. `screenshot(name)`
keeps a picture in `artifacts/`.

Rules of this file: nothing of the user's Jupyter is read or written; every process ends with its
fixture; whatever waits, waits for what it needs to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_app import JupyterApp, Notebook, chromium_options
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from cognite_nb_upload.emulator import Emulator, emulator

ARTIFACTS = Path(__file__).parents[2] / "artifacts"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What the page shows belongs to the report of a test that failed."""
    outcome: Any = yield
    report = outcome.get_result()
    shown = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and shown is not None:
        try:
            text = shown.locator("body").inner_text(timeout=5000)
        except PlaywrightError as error:
            text = f"nothing that can be read: {error}"
        report.sections.append(("What the page shows", text[-5000:]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. One for each module: Playwright's loop must not outlive it into other tests."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(**chromium_options())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab_cdf() -> Iterator[Emulator]:
    """The CDF that kernels find in their environment; it takes faults, and lets pages use URLs."""
    with emulator(process=True, faults=True, cors=True, strict_storage=True) as running:
        yield running
        running.clear_faults()


@pytest.fixture(scope="module")
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, lab_cdf: Emulator
) -> Iterator[JupyterApp]:
    """A Jupyter server of its own on a temporary folder; its kernels find `lab_cdf`."""
    kind = getattr(request, "param", "lab")
    with JupyterApp(kind, tmp_path_factory.mktemp(kind), lab_cdf) as app:
        yield app


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page, 1280 by 900, with a profile of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def open_notebook(page: Page, lab: JupyterApp) -> Callable[..., Notebook]:
    """Opens a notebook of the given cells' sources in `page`, its kernel ready."""

    def open_it(cells: list[str]) -> Notebook:
        return Notebook.open(page, lab, cells)

    return open_it


@pytest.fixture
def screenshot(page: Page, request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Keeps a picture of `page`, named after the app too: `artifacts/<name>-lab.png`."""

    def take(name: str) -> Path:
        app = request.getfixturevalue("lab")
        path = ARTIFACTS / f"{name}-{app.kind}.png"
        path.parent.mkdir(exist_ok=True)
        page.screenshot(path=path)
        return path

    return take
