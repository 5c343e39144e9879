from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jupyter_app import JupyterApp
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)


@both
def test_a_cell_runs_shows_its_output_and_is_saved(
    open_notebook: Callable[..., Any], screenshot: Callable[[str], Any], lab: JupyterApp
) -> None:
    notebook = open_notebook(["print(6 * 7)", "import os; print(os.environ['CDF_PROJECT'])"])
    notebook.run_cell(0)
    notebook.run_cell(1)
    assert notebook.output(0).strip() == "42"
    assert notebook.output(1).strip() == "demo"
    notebook.save()
    assert '"42\\n"' in notebook.saved_text()
    assert screenshot("jupyter").stat().st_size > 1000


@both
def test_a_killed_kernel_comes_back(open_notebook: Callable[..., Any], lab: JupyterApp) -> None:
    notebook = open_notebook(["x = 1"])
    notebook.run_cell(0)
    notebook.kill_kernel()
    assert "NameError" in notebook.run("try: x\nexcept NameError as error: print(repr(error))")


@pytest.mark.parametrize("turn", [1, 2])
def test_a_page_finds_nothing_of_those_before_it(page: Page, lab: JupyterApp, turn: int) -> None:
    page.goto(f"{lab.url}api")
    assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]
    page.evaluate("document.cookie = `turn=1`; localStorage.setItem('turn', '1')")
    assert page.evaluate("[document.cookie, localStorage.length]") == ["turn=1", 1]
