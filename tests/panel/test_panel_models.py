"""How many models a panel costs the page, how many it leaves behind, and when it is closed."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets
import pytest
from jupyter_client.manager import start_new_kernel
from paneling import Page

from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.widgets.style import make

MOST_MODELS = 120
PANEL = "from cognite_nb_upload.widgets import UploadPanel\npanel = UploadPanel()\npanel"
PARTS = """
from cognite_nb_upload.widgets import BrowserFiles, MetadataForm, SignIn
shown = MetadataForm(), BrowserFiles(), SignIn()
"""
COUNT = """
panel.tasks.wait(); panel.form.tasks.wait(); panel.files.tasks.wait()
from ipywidgets.widgets import widget
print(len(widget._instances))
"""


@pytest.fixture
def page(cdf: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setenv("CDF_URL", cdf.base_url)
    monkeypatch.setenv("CDF_PROJECT", cdf.project)
    monkeypatch.setenv("CDF_TOKEN", cdf.token)
    manager, client = start_new_kernel(kernel_name="python3")
    yield Page(client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.kernel
@pytest.mark.slow
def test_a_panel_is_few_models_and_its_cell_leaves_none_behind(page: Page) -> None:
    page.run(PANEL, "one")
    idle = int(page.run(COUNT, "count"))
    assert idle < MOST_MODELS
    for _ in range(9):
        page.run(PANEL, "one")
    assert int(page.run(COUNT, "count")) == idle
    page.run(PARTS, "parts")
    few = int(page.run(COUNT, "count"))
    for _ in range(9):
        page.run(PARTS, "parts")
    assert int(page.run(COUNT, "count")) == few
    page.run("signing = SignIn()", "sign in")
    page.run("UploadPanel(signing)", "holder")
    page.run("SignIn()", "sign in")
    assert page.run("print(panel.comm is None, signing.comm is None)", "see") == "False False\n"
    page.run("first = panel", "name")
    page.run(PANEL, "two")
    assert page.run("print(first.comm is None, panel.comm is None)", "see") == "False False\n"
    page.run("a = UploadPanel(); b = UploadPanel()", "both")
    assert page.run("print(a.comm is None, b.comm is None)", "see") == "False False\n"


def test_a_widget_has_a_model_once_something_shown_refers_to_it() -> None:
    inside = make(ipywidgets.Text, description="a")
    shown = ipywidgets.VBox()
    inside.value = "typed before"
    assert inside.comm is None
    shown.children = (inside,)
    assert inside.comm is not None
    other = make(ipywidgets.Text)
    assert other.layout is inside.layout
    assert other.style is inside.style
    other.close()
    assert other.model_id == ""
    shown.close()
    inside.close()
