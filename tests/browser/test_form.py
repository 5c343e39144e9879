"""The form in a real notebook: what is invalid, what is hostile, keyboards, themes and widths."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hands import PANEL, Panel, a_file, use_theme
from jupyter_app import JupyterApp, Notebook
from looks import faint, nameless, outside, walk
from playwright.sync_api import Page, expect

from cognite_nb_upload.emulator import Emulator, Fault

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)
OpenNotebook = Callable[[list[str]], Notebook]
Screenshot = Callable[[str], Path]

FOLDS = ("Labels, assets and security", "Time and place", "Metadata", "How it is sent")
TOO_LARGE = "9999999999999999"


@pytest.fixture(autouse=True)
def _no_faults(lab_cdf: Emulator) -> Iterator[None]:
    yield
    lab_cdf.clear_faults()


def create(cdf: Emulator, kind: str, **item: Any) -> None:
    """Make a data set, a label, an asset or a file in CDF."""
    one = kind == "files"
    reply = httpx.post(
        f"{cdf.base_url}/api/v1/projects/{cdf.project}/{kind}",
        json=item if one else {"items": [item]},
        headers={"authorization": f"Bearer {cdf.token}"},
    )
    assert reply.is_success, reply.text


# --- what is invalid -------------------------------------------------------------------------

WRONG = [
    ("Name", "", "Name is missing", "a.bin"),
    ("Name", "x" * 257, "Name has 257 characters; CDF takes at most 256", "a.bin"),
    ("MIME type", "x" * 257, "MIME type has 257 characters", ""),
    ("External id", "x" * 256, "External id has 256 characters; CDF takes at most 255", ""),
    ("Directory", "surveys", "an absolute unix path", "/surveys"),
    ("Source", "x" * 129, "Source has 129 characters; CDF takes at most 128", ""),
    ("Source created", "1960-01-01T12:00", "before 1970", ""),
    ("Source modified", "1960-01-01T12:00", "before 1970", ""),
    ("Latitude", "sixty", "a point has a latitude and a longitude", ""),
    ("GeoJSON", '{"type": "Circle"}', "Circle", ""),
    ("Value 1", "lonely", "the value 'lonely' has no key", ""),
    ("Key 1", "k" * 129, "of 129 bytes; CDF takes at most 128", ""),
    ("Part size, MiB", "six", "Part size is a number of MiB", ""),
    ("Parts at once", "65", "1 to 64", ""),
]
WRONG_PICKS = [
    ("Data set", TOO_LARGE, "ids are 1 to 9007199254740991"),
    ("Assets", TOO_LARGE, "ids are 1 to 9007199254740991"),
    ("Security categories", TOO_LARGE, "ids are 1 to 9007199254740991"),
    ("Labels", "x" * 256, "256 characters; CDF takes at most 255"),
]


@both
def test_what_is_invalid_is_said_beside_its_field_and_stops_the_upload(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    a_file(lab.root, "checked.bin", size=1000)
    create(lab_cdf, "files", name="older.bin", externalId=f"taken-{lab.kind}")
    panel = Panel(open_notebook([PANEL]))
    expect(panel.reason).to_have_text("Choose a file.")
    panel.put("File", "/no/such/folder/")
    expect(panel.reason).to_have_text("There is no folder /no/such/folder.")
    panel.choose("checked.bin")
    panel.unfold(*FOLDS)
    for label, wrong, said, right in WRONG:
        panel.put(label, wrong)
        refuses(panel, label, said)
        panel.put(label, right)
        expect(panel.start).to_be_enabled()
    for label, wrong, said in WRONG_PICKS:
        panel.put(label, wrong)
        panel.box(label).press("Enter")
        refuses(panel, label, said)
        screenshot("form-invalid")
        panel.field(label).locator(".cnbu-chip").click()
        expect(panel.start).to_be_enabled()

    panel.put("Labels", "not picked")
    expect(panel.reason).to_contain_text("is typed and not picked")
    panel.put("Labels", "")
    panel.put("External id", f"taken-{lab.kind}")
    expect(panel.field("External id")).to_contain_text("The file 'older.bin'")
    expect(panel.reason).to_contain_text("has it already. Tick Overwrite")
    expect(panel.start).to_be_disabled()
    panel.at.get_by_label("Overwrite the file").check()
    expect(panel.field("External id")).to_contain_text("is replaced")
    expect(panel.start).to_be_enabled()


def refuses(panel: Panel, label: str, said: str) -> None:
    """It says what is wrong below the input, and beside the button, which is disabled."""
    error = panel.field(label).locator(".cnbu-error")
    expect(error).to_contain_text(said)
    expect(panel.reason).to_contain_text(said)
    expect(panel.start).to_be_disabled()
    below = error.bounding_box()["y"] - panel.box(label).bounding_box()["y"]
    assert 0 < below < 200, f"the error stands {below} pixels below its input"


# --- what is hostile -------------------------------------------------------------------------

IMG = '<img src=x onerror="window.bad=1">'
# Reads as "exe.pdf" where it is obeyed; and a line of its own.
SPOOF = "\u202efdp\u2066\nx"
EVIL = IMG + SPOOF
ON_DISK = "<img src=x onerror=window.bad=1>.bin"


def plant(cdf: Emulator, kind: str) -> None:
    """Hostile names for all that CDF lists; a file, too."""
    create(cdf, "datasets", externalId=f"evil-{kind}", name=EVIL, description=EVIL)
    create(cdf, "labels", externalId=f"{IMG}-{kind}", name=EVIL, description=EVIL)
    create(cdf, "assets", externalId=f"evil-{kind}", name=f"evil {EVIL}", description=EVIL)
    create(cdf, "securitycategories", name=f"{EVIL} {kind}")
    create(cdf, "files", name=EVIL, externalId=f"evil-{kind}")


def refusal(status: int) -> dict[str, Any]:
    """An answer of CDF that is as hostile."""
    body = {"error": {"code": status, "message": EVIL}}
    return {"status": status, "body": json.dumps(body), "headers": {"x-request-id": IMG}}


def assert_harmless(page: Page) -> None:
    """Nothing that was planted has become a part of the page."""
    assert page.evaluate("window.bad") is None
    assert page.locator("img[src=x]").count() == 0
    text = page.locator(".cnbu-panel").inner_text()
    titles = page.locator(".cnbu-panel [title]").evaluate_all("all => all.map(e => e.title)")
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text + "".join(titles))


@both
def test_markup_is_text_whoever_wrote_it(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    plant(lab_cdf, lab.kind)
    a_file(lab.root, ON_DISK, size=1000)
    lab_cdf.inject(Fault("status", "labels_list", **refusal(403)))
    panel = Panel(open_notebook([PANEL]))
    panel.unfold(*FOLDS)
    expect(panel.field("Labels")).to_contain_text(IMG)  # why there is no list
    panel.field("Labels").get_by_role("button", name="Try again").click()

    panel.put("File", "<img")
    panel.button(ON_DISK).click()
    for label, said in [("Data set", IMG), ("Labels", IMG), ("Assets", "evil <img"),
                        ("Security categories", IMG)]:  # fmt: skip
        panel.pick(label, "<img", said)
    panel.put("External id", f"evil-{lab.kind}")
    expect(panel.field("External id")).to_contain_text(f"The file '{IMG}")
    assert_harmless(panel.page)
    screenshot("form-hostile")

    for label in (
        "Name",
        "MIME type",
        "Source",
        "Key 1",
        "Value 1",
        "Part size, MiB",
    ):
        panel.put(label, EVIL.replace("\n", ""))
    panel.put("Directory", f"/{IMG}")
    panel.put("External id", f"{IMG}{lab.kind}\u202e")
    panel.put("Data set", f"{IMG} and no other")
    expect(panel.field("Data set")).to_contain_text(f"No data set fits '{IMG} and no other'.")
    panel.put("Data set", "")
    panel.put("GeoJSON", json.dumps({"type": IMG, "coordinates": EVIL}))
    expect(panel.field("GeoJSON")).to_contain_text(IMG)
    panel.button("Paste…").click()
    panel.put("Pairs to paste", f"{{{IMG}")
    panel.button("Add these rows").click()
    expect(panel.reason).not_to_have_text("")
    assert_harmless(panel.page)
    panel.put("GeoJSON", "")
    panel.put("Part size, MiB", "")
    panel.button("Show the code").click()
    expect(panel.at.locator(".cnbu-code")).to_contain_text("<img src=x")

    lab_cdf.inject(Fault("status", "init", **refusal(400)))
    panel.press_upload()
    expect(panel.view).to_contain_text("Not uploaded")
    expect(panel.view.locator(".cnbu-said")).to_contain_text(IMG)
    panel.view.locator("summary").click()
    assert_harmless(panel.page)
    screenshot("form-hostile-ended")
    panel.button("Go on").click()
    expect(panel.view).to_contain_text(f"Uploaded {IMG}\\u202efdp")
    panel.button("History").click()
    expect(panel.at.locator("table")).to_contain_text(IMG)
    panel.button("Recent").click()
    expect(panel.button(ON_DISK)).to_be_visible()
    assert_harmless(panel.page)


# --- keyboards, themes and widths ------------------------------------------------------------


@both
def test_the_keyboard_reaches_everything_and_everything_has_a_name(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator
) -> None:
    a_file(lab.root, "keys.bin", size=1000)
    panel = Panel(open_notebook([PANEL]))
    panel.choose("keys.bin")
    panel.pick("Data set", "seis", "Seismic surveys")
    for title in FOLDS:
        panel.button(f"▸ {title}").focus()
        panel.page.keyboard.press("Space")
        expect(panel.button(f"▾ {title}")).to_be_visible()
    panel.button("Add a row").focus()
    panel.page.keyboard.press("Enter")
    expect(panel.box("Key 2")).to_be_focused()
    panel.type("Key 2", "note")
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.type("by keys alone")
    # The head of the section tells what is in it once the kernel has taken it.
    expect(panel.button("▾ Metadata · 1 pair")).to_be_visible()

    seen = walk(panel.at.locator(".cnbu-panel"))
    assert seen["reached"] == seen["all"], "Tab goes through all of it, in the order one reads"
    assert len(seen["all"]) > 40
    assert not seen["unseen"], "one sees where one is"
    assert not nameless(panel.page, ".cnbu-panel")

    panel.start.focus()
    panel.page.keyboard.press("Enter")
    expect(panel.view).to_contain_text("Uploaded keys.bin")
    (file,) = [one for one in lab_cdf.files() if one.get("metadata") == {"note": "by keys alone"}][
        -1:
    ]
    assert file["dataSetId"] == 7


def test_a_screen_reader_is_told_and_keys_move_in_lists(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator
) -> None:
    panel = Panel(open_notebook([PANEL]))
    keys = panel.page.keyboard
    fold = panel.button("Time and place")
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "true")
    expect(panel.box("Directory")).to_have_attribute("aria-invalid", "false")
    panel.put("Directory", "relative")
    expect(panel.box("Directory")).to_have_attribute("aria-invalid", "true")
    note = panel.box("Directory").get_attribute("aria-describedby")
    expect(panel.page.locator(f"#{note}")).to_contain_text("an absolute unix path")
    panel.unfold("Labels, assets and security")
    names = [one.get_attribute("aria-label") for one in panel.button("Browse").all()]
    assert len(names) > 2
    assert len(set(names)) == len(names), "each says of what it shows a list"

    panel.type("Data set", "s")
    lines = panel.field("Data set").locator(".cnbu-hits button")
    expect(lines.first).to_be_visible()
    keys.press("ArrowDown")
    expect(lines.first).to_be_focused()
    keys.press("ArrowDown")
    expect(lines.nth(1)).to_be_focused()
    keys.press("ArrowUp")
    keys.press("ArrowUp")
    expect(panel.box("Data set")).to_be_focused()
    keys.press("Escape")
    expect(lines).to_have_count(0)
    expect(panel.box("Data set")).to_be_focused()


@both
def test_it_reads_in_light_and_dark_narrow_and_wide(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    a_file(lab.root, "looks.bin", size=1000)
    panel = Panel(open_notebook([PANEL]))
    panel.choose("looks.bin")
    panel.unfold(*FOLDS)
    panel.put("Directory", "relative")
    panel.put("Latitude", "60.25")
    panel.put("Longitude", "2.5")
    panel.pick("Labels", "3d", "3D seismic")
    panel.put("Data set", "s")
    whole = panel.at.locator(".cnbu-panel")
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        use_theme(panel.page, theme)
        for width in (900, 1600):
            panel.page.set_viewport_size({"width": width, "height": 1400})
            screenshot(f"form-{theme.split()[1].lower()}-{width}")
            assert not outside(whole), f"it fits into {width} pixels"
            assert not faint(whole, least=4), f"one can read it in {theme}"
