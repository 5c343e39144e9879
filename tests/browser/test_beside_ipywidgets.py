"""`ipywidgets.FileUpload` and a file of 24 MiB: why this package has a widget of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_app import Notebook
from playwright.sync_api import Page

from cognite_nb_upload.core.plan import MIB

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = ["import ipywidgets\ntheirs = ipywidgets.FileUpload()\ntheirs"]
SIZES = "print([one.size for one in theirs.value])"


def test_file_upload_brings_a_small_file_and_loses_a_large_one_without_a_word(
    open_notebook: Callable[..., Notebook], page: Page, tmp_path: Path
) -> None:
    notebook = open_notebook(CELLS)
    notebook.run_cell(0)
    choose(page, tmp_path / "small", MIB)
    page.locator(".jp-OutputArea button", has_text="(1)").wait_for()
    assert notebook.run(SIZES).strip() == f"[{MIB}]"

    with page.expect_websocket():  # the server has dropped the connection; here is the next
        choose(page, tmp_path / "large", 24 * MIB)
    notebook.wait_until_idle()
    assert notebook.run(SIZES).strip() == f"[{MIB}]", "what was there before"


def choose(page: Page, path: Path, size: int) -> None:
    path.write_bytes(os.urandom(size))
    with page.expect_file_chooser() as chooser:
        page.locator(".jp-OutputArea button", has_text="Upload").click()
    chooser.value.set_files(path)
