"""Take the pictures of `docs/images` in a real JupyterLab, in headless Chromium.

`python docs/pictures.py` takes them anew, after the widgets have changed.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, Page, sync_playwright

from cognite_nb_upload.emulator import Fault, emulator

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "browser"))

from hands import use_theme  # noqa: E402
from jupyter_app import JupyterApp, Notebook, chromium_options  # noqa: E402

# CSS pixels around a widget.
AIR: Final = 6
WIDE: Final = "window.jupyterapp.commands.execute('application:toggle-left-area')"
SETUP: Final = """
import os
from pathlib import Path
from cognite_nb_upload import AsyncCogniteClient
from cognite_nb_upload.widgets import MetadataForm, UploadPanel

client = AsyncCogniteClient()
client.files.limits.bandwidth.set(6 * 2**20)
Path("survey.segy").write_bytes(os.urandom(96 * 2**20));
"""
PANEL: Final = """
panel = UploadPanel(client)
panel.files.choose("survey.segy")
panel.form.fill({
    "mime_type": "application/x-segy",
    "external_id": "nordvik:2026",
    "data_set_id": 7,
    "directory": "/surveys/2026",
    "source": "acquisition",
    "labels": ["seismic:3d", "raw"],
    "metadata": {"operator": "Nordvik", "vessel": "Sola"},
})
panel.sending.part_mib.value, panel.sending.at_once.value = "8", "4"
panel
"""
FORM: Final = """
form = MetadataForm(client)
form.fill({
    "name": "survey-2026.segy",
    "external_id": "survey:2026",
    "data_set_id": 7,
    "labels": ["seismic", "raw"],
    "directory": "/surveys/2026",
    "geo_location": {
        "type": "Polygon",
        "coordinates": [[[2.1, 56.4], [2.6, 56.4], [2.7, 56.7], [2.2, 56.8], [2.1, 56.4]]],
    },
    "metadata": {"operator": "Nordvik", "vessel": "Sola"},
})
for fold in form.folds[1:]:
    fold.toggle()
form
"""
UPLOAD: Final = """\
upload = client.files.upload("survey.segy", data_set_id=7, part_size=8 * 2**20, max_concurrency=4)
upload"""
# Two stores that are busy, and a connection that breaks.
FAULTS: Final = (
    Fault("status", "part", part=2, status=503, retry_after=30),
    Fault("status", "part", part=5, status=503, retry_after=30),
    Fault("reset_mid", "part", part=4),
)


def main() -> None:
    """Write panel.png, form.png, dark.png and upload.png."""
    (HERE / "images").mkdir(exist_ok=True)
    with (
        emulator(process=True, faults=True, port=8787) as cdf,
        tempfile.TemporaryDirectory() as folder,
        JupyterApp("lab", Path(folder), cdf) as app,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(**chromium_options())
        page = browser.new_page(viewport={"width": 1020, "height": 2200}, device_scale_factor=1.5)
        notebook = Notebook.open(page, app, [SETUP, PANEL, FORM, UPLOAD, ""])
        page.evaluate(WIDE)
        for cell in (0, 1):
            notebook.run_cell(cell)
        take_panel(page, notebook.cell(1).locator(".cnbu-panel"))
        notebook.run_cell(2)
        form = notebook.cell(2).locator(".cnbu-form").first
        take_form(page, form, "form")
        use_theme(page, "JupyterLab Dark")
        take_form(page, form, "dark")
        for fault in FAULTS:
            cdf.inject(fault)
        notebook.run_cell(3)
        take_upload(page, notebook.cell(3).locator(".cnbu-view"))
        browser.close()


def take_panel(page: Page, panel: Locator) -> None:
    """A file on its way, a third of it sent."""
    panel.locator("button:enabled", has_text=re.compile("^Upload$")).click()
    panel.get_by_text(re.compile("^[4-6] of 12 parts stored, [34] sending")).wait_for()
    take(page, panel, "panel")
    panel.get_by_text("Uploaded survey.segy").wait_for()


def take_form(page: Page, form: Locator, name: str) -> None:
    """Filled, and open."""
    form.get_by_text("Free: no file has it.").wait_for()
    form.get_by_text("Seismic surveys").wait_for()
    take(page, form, name)


def take_upload(page: Page, view: Locator) -> None:
    """In the dark, with trouble."""
    view.get_by_text(re.compile("^[5-9] of 12 parts stored, [234] sending, 2 waiting")).wait_for()
    take(page, view, "upload")


def take(page: Page, widget: Locator, name: str) -> None:
    """The widget, and a little air around it."""
    widget.evaluate("element => element.scrollIntoView({block: 'center'})")
    box = widget.bounding_box()
    if box is None:
        raise RuntimeError(f"There is no {name} to be seen.")
    x, y, width, height = (box[side] for side in ("x", "y", "width", "height"))
    air = {"x": x - AIR, "y": y - AIR, "width": width + 2 * AIR, "height": height + 2 * AIR}
    page.screenshot(path=HERE / "images" / f"{name}.png", clip=air)


if __name__ == "__main__":
    main()
