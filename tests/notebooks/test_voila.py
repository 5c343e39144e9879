"""Voila shows the first notebook as a page: the panel is there, and works."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from cognite_nb_upload.emulator import Emulator, emulator

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from build_notebooks import NOTEBOOKS, variables  # noqa: E402
from jupyter_app import chromium_options  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.slow]
PATIENCE_MS = 120_000


@pytest.fixture
def shared() -> Iterator[Emulator]:
    with emulator(process=True, strict_storage=True) as running:
        yield running


@pytest.fixture
def voila(shared: Emulator, tmp_path: Path) -> Iterator[str]:
    """The address of a Voila that serves the first notebook, with folders of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    # What is killed tidies nothing: its temporary folders are in ours.
    own = {name: str(tmp_path / name) for name in folders} | {"TMPDIR": str(tmp_path)}
    options = ["--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}", "--show_tracebacks=True"]
    server = subprocess.Popen(
        [sys.executable, "-m", "voila", NOTEBOOKS[0], *options],
        env={**os.environ, **own, **variables(shared)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its kernel ends with it
    )
    with server:
        assert server.stderr is not None
        said = ""
        while "is running at" not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.stderr.read()


def test_voila_shows_the_panel_and_it_works(voila: str, shared: Emulator) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium_options())
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(voila, timeout=PATIENCE_MS)
        panel = page.locator(".cnbu-panel")
        panel.get_by_text("Uploaded survey.segy").wait_for()
        assert [file["name"] for file in shared.files() if file["uploaded"]] == ["survey.segy"]
        panel.get_by_label("Name").fill("again.segy")
        panel.get_by_role("button", name="Upload", exact=True).click()
        panel.get_by_text("Uploaded again.segy").wait_for()
        browser.close()
    assert "again.segy" in [file["name"] for file in shared.files() if file["uploaded"]]
