"""A person signs in in the panel, with a code that is typed on another page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hands import Panel, a_file
from jupyter_app import JupyterApp, Notebook
from playwright.sync_api import Locator, Page, expect

from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.browser, pytest.mark.slow]
OpenNotebook = Callable[[list[str]], Notebook]
Screenshot = Callable[[str], Path]

NOBODY = """\
import os
for name in ("CDF_URL", "CDF_PROJECT", "CDF_TOKEN"):
    os.environ.pop(name, None)
from cognite_nb_upload.widgets import UploadPanel
panel = UploadPanel()
panel
"""
# As the toolkit's .env says it.
BY_ENVIRONMENT = """\
from cognite_nb_upload.widgets import connect
os.environ |= dict(
    CDF_URL=panel.client.config.base_url, CDF_PROJECT="demo", LOGIN_FLOW="device_code",
    PROVIDER="other", IDP_CLIENT_ID="emulator",
    IDP_DISCOVERY_URL=panel.client.config.base_url + "/oauth",
)
form = connect()
form
"""


def test_a_code_signs_in_and_the_panel_goes_on_by_itself(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    a_file(lab.root, "mine.bin")
    notebook = open_notebook([NOBODY, BY_ENVIRONMENT])
    panel = Panel(notebook)
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.type("Cluster", lab_cdf.base_url)
    panel.type("Tenant id, or URL", f"{lab_cdf.base_url}/oauth")
    panel.type("Client id", "emulator")
    screenshot("sign-in-form")
    panel.button("Sign in", exact=True).click()
    code = panel.at.locator(".cnbu-code-text")
    expect(code).to_be_visible()
    expect(panel.at.get_by_role("timer")).to_contain_text("left. This goes on by itself.")
    panel.button("Copy the code").click()
    expect(panel.button("Copied")).to_be_visible()
    assert notebook.page.evaluate("navigator.clipboard.readText()") == code.text_content()
    screenshot("sign-in-code")

    allow(panel.at.get_by_role("link", name="Open http"), notebook.page, lab_cdf)
    expect(panel.at).to_contain_text("Signed in to demo")
    expect(code).to_be_hidden()
    screenshot("sign-in-done")
    panel.choose("mine.bin")
    panel.press_upload()
    expect(panel.view).to_contain_text("Uploaded mine.bin")

    notebook.run_cell(1)
    cell = notebook.cell(1)
    expect(cell.locator(".cnbu-code-text")).to_be_visible()
    cell.scroll_into_view_if_needed()
    screenshot("sign-in-environment")
    allow(cell.get_by_role("link", name="Open http"), notebook.page, lab_cdf)
    expect(cell).to_contain_text("Signed in to demo")

    notebook.save()
    saved = notebook.saved_text()
    assert lab_cdf.token not in saved
    assert "Bearer" not in saved


def allow(link: Locator, page: Page, cdf: Emulator) -> None:
    """Follow the link, which opens a page of its own, and allow there."""
    with page.context.expect_page() as opened:
        link.click()
    provider = opened.value
    provider.get_by_label("Password").fill(cdf.token)
    provider.get_by_role("button", name="Allow").click()
    expect(provider.get_by_role("status")).to_have_text("You can close this page.")
    provider.close()
