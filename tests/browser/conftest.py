"""A real JupyterLab or Notebook 7 with a real kernel, in headless Chromium, beside an emulated CDF.

`lab` is the server (`@pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)` runs a
test in both), `open_notebook(cells)` opens a notebook of these cells in `page`, and gives a handle:
`run_cell(i)`, `cell(i)`, `output(i)`, `save()`, `saved_text()`, `kill_kernel()`. `screenshot(name)`
keeps a picture in `artifacts/`.

Rules of this file: nothing of the user's Jupyter is read or written; every process ends with its
fixture; whatever waits, waits for what it needs to see. One test process has one server of a kind,
at one address, and one folder where Chromium keeps compiled scripts, for most of the time of a page
goes into these; kernels, files, journals, what a page keeps, and the CDF are a module's or a
test's own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jupyter_app import JupyterApp, Notebook, chromium_options
from playwright.sync_api import (
    BrowserContext,
    Page,
    Playwright,
    ViewportSize,
    sync_playwright,
)
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
def playwright() -> Iterator[Playwright]:
    """Playwright. One for each module: its loop must not outlive it into other tests."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Chromium: scripts that were loaded and compiled are not loaded again."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, profile: Path) -> Iterator[BrowserContext]:
    """Chromium with one empty page, which stays."""
    options = chromium_options()
    options["args"].append("--blink-settings=v8CacheOptions=4")  # compiled scripts are kept at once
    size: ViewportSize = {"width": 1280, "height": 900}
    chromium = playwright.chromium.launch_persistent_context(profile, viewport=size, **options)
    chromium.set_default_timeout(60_000)
    yield chromium
    chromium.close()


@pytest.fixture
def page(chromium: BrowserContext) -> Iterator[Page]:
    """An empty page, 1280 by 900; Chromium remembers nothing of those before it."""
    yield chromium.new_page()
    first, *others = chromium.pages
    for other in others:
        other.close()
    chromium.unroute_all()
    chromium.clear_permissions()
    session = chromium.new_cdp_session(first)
    session.send("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": "all"})
    session.detach()


@pytest.fixture(scope="session")
def address() -> dict[str, Any]:
    """The port and the token of each module's CDF, which servers have told their kernels."""
    return {}


def is_free(port: int) -> bool:
    """Whether a server can listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def lab_cdf(address: dict[str, Any]) -> Iterator[Emulator]:
    """The CDF that kernels find in their environment; it takes faults, and lets pages use URLs."""
    switches = {"process": True, "faults": True, "cors": True, "strict_storage": True}
    if address and not is_free(address["port"]):
        address.clear()  # somebody took it between two modules: another CDF, for other servers
    with emulator(**switches, **address) as running:
        address |= {"port": running.port, "token": running.token}
        yield running
        running.clear_faults()


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., JupyterApp]]:
    """Starts a Jupyter server of a kind on a temporary folder; the same call gives the same one."""
    with ExitStack() as stack:

        @cache
        def started(kind: str, cdf_url: str, project: str, token: str) -> JupyterApp:
            folder = tmp_path_factory.mktemp(kind)
            cdf = {"CDF_URL": cdf_url, "CDF_PROJECT": project, "CDF_TOKEN": token}
            return stack.enter_context(JupyterApp(kind, folder, **cdf))

        yield started


@pytest.fixture(scope="module")
def lab(
    request: pytest.FixtureRequest, labs: Callable[..., JupyterApp], lab_cdf: Emulator
) -> Iterator[JupyterApp]:
    """A Jupyter server on an empty folder; its kernels find `lab_cdf`, and end with the module."""
    kind = getattr(request, "param", "lab")
    app = labs(kind, lab_cdf.base_url, lab_cdf.project, lab_cdf.token)
    yield app
    app.clear()


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
