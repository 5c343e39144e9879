"""What a notebook shows that was run and saved, also without a kernel; what it must not hold."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from hands import Panel, a_file, seen, slow, strips, watch
from jupyter_app import JupyterApp, Notebook
from playwright.sync_api import Page, expect

from cognite_nb_upload.emulator import Emulator, Fault

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)
OpenNotebook = Callable[[list[str]], Notebook]
Screenshot = Callable[[str], Path]

EVIL = '<img src=x onerror="window.bad=1">'
# Nobody has signed in yet.
SIGN_IN = """\
import os
for name in ("CDF_URL", "CDF_PROJECT", "CDF_TOKEN"):
    del os.environ[name]
from cognite_nb_upload.widgets import UploadPanel
panel = UploadPanel()
panel
"""
LIVE = f"""\
client = panel.client
upload = client.files.upload("saved.bin", name={EVIL!r}, part_size=6 * 2**20)
upload
"""
BY_HAND = """\
from cognite_nb_upload.progress import bars
async with client.files.multipart_upload_session("by hand.bin", parts=2) as session:
    bars(session)
    for no in range(2):
        await session.upload_part_async(no, bytes(6 * 2**20))
"""
IN_TEXT = """\
import sys
how = dict(part_size=6 * 2**20, max_bandwidth=20 * 2**20)
upload = client.files.upload("saved.bin", name="in text.bin", **how)
with bars(upload, file=sys.stdout):
    print(repr(await upload))
"""
REFUSED = 'client.files.upload("saved.bin", name="refused.bin", part_size=6 * 2**20)'


@pytest.fixture(autouse=True)
def _no_faults(lab_cdf: Emulator) -> Iterator[None]:
    yield
    lab_cdf.clear_faults()


@both
def test_a_saved_notebook_shows_how_all_ended_and_holds_no_secret(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    a_file(lab.root, "saved.bin")
    notebook = open_notebook([SIGN_IN, LIVE, BY_HAND, IN_TEXT, REFUSED])
    panel = Panel(notebook)
    sign_in(panel, lab_cdf)
    panel.choose("saved.bin")
    panel.press_upload()
    expect(panel.view).to_contain_text("Uploaded saved.bin")

    lab_cdf.inject(slow(3))
    notebook.run_cell(1)
    live = notebook.cell(1).locator(".cnbu-view")
    watch(live)
    signatures = signed(lab.state)
    expect(notebook.cell(1).get_by_role("button", name="Pause")).to_be_visible()
    live.scroll_into_view_if_needed()
    screenshot("saved-live")
    expect(notebook.cell(1)).to_contain_text(f"Uploaded {EVIL}")
    assert len(strips(seen(live))) > 3, "as the last line of a cell an upload shows itself live"
    lab_cdf.clear_faults()

    notebook.run_cell(2)
    expect(notebook.cell(2)).to_contain_text("Uploaded by hand.bin: 12 MiB in 2 parts")
    notebook.run_cell(3)
    expect(notebook.cell(3)).to_contain_text("in text.bin: uploading 20 MiB in 4 parts")
    expect(notebook.cell(3)).to_contain_text("<Uploaded in text.bin: 20 MiB in 4 parts")
    lab_cdf.inject(Fault("status", "part", part=3, status=400))
    notebook.run_cell(4)
    expect(notebook.cell(4)).to_contain_text("Not uploaded: refused.bin")
    notebook.cell(4).scroll_into_view_if_needed()
    screenshot("saved-run")

    notebook.save()
    saved = notebook.saved_text()
    assert len(signatures) >= 4
    assert not [one for one in (lab_cdf.token, *signatures, "signature=") if one in saved]
    open_without_kernel(notebook)
    all_is_told(notebook.page)
    screenshot("saved-no-kernel")
    open_as_html(notebook)
    all_is_told(notebook.page)
    screenshot("saved-html")


def sign_in(panel: Panel, cdf: Emulator) -> None:
    """With a token, typed."""
    expect(panel.reason).to_have_text("Sign in first.")
    panel.type("Cluster", cdf.base_url)
    panel.box("Sign in with").select_option("Token")
    panel.type("Token", "not-the-token", then="Enter")
    expect(panel.at).to_contain_text("Not signed in.")
    panel.type("Token", cdf.token, then="Enter")
    expect(panel.at).to_contain_text("Signed in to demo")
    expect(panel.box("Token")).to_be_hidden()


def signed(state: Path) -> set[str]:
    """The signatures of all URLs that are in use: the journals know them, and nobody else."""
    text = "".join(one.read_text() for one in state.glob("*.journal"))
    return set(re.findall(r"signature=([0-9a-f]{16,})", text))


def all_is_told(page: Page) -> None:
    """How each upload ended, as text, and nothing that was planted is obeyed."""
    told = [
        "Uploaded saved.bin", f"Uploaded {EVIL}", "Uploaded by hand.bin: 12 MiB in 2 parts",
        "Uploaded in text.bin: 20 MiB in 4 parts",
        "Not uploaded: refused.bin", "3 of 4 parts stored, 1 lost",
    ]  # fmt: skip
    for one in told:
        expect(page.locator("body")).to_contain_text(one)
    assert page.evaluate("window.bad") is None


def open_without_kernel(notebook: Notebook) -> None:
    """Open a copy as somebody does who got it by mail, and has no such kernel."""
    copy = nbformat.from_dict(nbformat.reads(notebook.saved_text(), as_version=4))
    copy.metadata = {"kernelspec": {"name": "gone", "display_name": "Gone", "language": "none"}}
    nbformat.write(copy, notebook.app.root / "copy.ipynb")
    notebook.page.goto(notebook.app.page_url("copy.ipynb"))
    notebook.page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()


def open_as_html(notebook: Notebook) -> None:
    """Open what nbconvert makes of it, without any network."""
    path = notebook.app.root / notebook.name
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--log-level", "ERROR", path]
    subprocess.run(command, check=True)
    notebook.page.context.route(re.compile("^https?:"), lambda route: route.abort())
    notebook.page.goto(path.with_suffix(".html").as_uri())
