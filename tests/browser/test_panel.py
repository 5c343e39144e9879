"""The panel in a real notebook, with a keyboard and a mouse, beside an emulated CDF."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hands import (
    PANEL,
    Panel,
    a_file,
    focus_lost,
    press,
    puts,
    seen,
    slow,
    strips,
    watch,
    watch_focus,
)
from jupyter_app import JupyterApp, Notebook
from looks import outside
from playwright.sync_api import expect
from support import sha256

from cognite_nb_upload.emulator import Emulator, Fault

pytestmark = [pytest.mark.browser, pytest.mark.slow]
both = pytest.mark.parametrize("lab", ["lab", "notebook"], indirect=True)
OpenNotebook = Callable[[list[str]], Notebook]
Screenshot = Callable[[str], Path]

# A cell that computes, in Python alone, until somebody says it is enough.
COMPUTE = "import os\nwhile not os.path.exists('enough'):\n    sum(range(1000))"


@pytest.fixture(autouse=True)
def _no_faults(lab_cdf: Emulator) -> Iterator[None]:
    yield
    lab_cdf.clear_faults()


def fill_all(panel: Panel, external_id: str) -> None:
    """Every field of the form."""
    panel.type("Name", "Nordvik 2026.segy")
    panel.type("MIME type", "application/x-segy")
    panel.type("External id", external_id)
    panel.pick("Data set", "seis", "Seismic surveys")
    panel.type("Directory", "/surveys/2026")
    panel.type("Source", "acquisition")
    panel.unfold("Labels, assets and security", "Time and place", "Metadata")
    panel.pick("Labels", "3d", "3D seismic")
    panel.type("Labels", "raw", then="Enter")
    panel.pick("Assets", "Nordvik A", "Nordvik A")
    panel.field("Security categories").get_by_role("button", name="Browse").click()
    panel.button("HSE").click()
    panel.box("Source created").fill("2026-05-01T12:30")
    panel.type("Latitude", "60.25")
    panel.type("Longitude", "2.5")
    panel.type("Key 1", "survey")
    panel.type("Value 1", "NV-26")
    panel.button("Paste…").click()
    panel.type("Pairs to paste", "vessel, Aurora\nstreamers, 12")
    panel.button("Add these rows").click()
    expect(panel.box("Value 3")).to_have_value("12")
    expect(panel.field("External id")).to_contain_text("Free: no file has it.")


@both
def test_every_field_arrives_and_bars_move_beside_a_busy_cell(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    content = a_file(lab.root, "nordvik.segy")
    panel = Panel(open_notebook([PANEL, COMPUTE]))
    panel.choose("nordvik.segy")
    fill_all(panel, f"nordvik-{lab.kind}")
    panel.in_parts()
    panel.box("Verify").select_option("Every byte, by reading it back")
    screenshot("panel-filled")
    lab_cdf.inject(slow(2))
    panel.press_upload()
    watch(panel.view)
    panel.notebook.run_cell(1, wait=False)
    panel.stored(2)
    screenshot("panel-busy-cell")
    (lab.root / "enough").touch()
    expect(panel.view).to_contain_text("Uploaded")

    busy = seen(panel.view, "busy")
    assert len({row["width"] for row in busy}) > 3, "the bar moved while the cell computed"
    assert len(strips(busy)) > 3, "the strip moved while the cell computed"
    (file,) = [one for one in lab_cdf.files() if one.get("externalId") == f"nordvik-{lab.kind}"]
    assert lab_cdf.sha256(file["id"]) == sha256(content)
    assert file["name"] == "Nordvik 2026.segy"
    assert file["mimeType"] == "application/x-segy"
    assert file["dataSetId"] == 7
    assert (file["directory"], file["source"]) == ("/surveys/2026", "acquisition")
    assert file["labels"] == [{"externalId": "seismic:3d"}, {"externalId": "raw"}]
    assert file["assetIds"] == [1000]
    assert file["securityCategories"] == [4]
    assert file["geoLocation"]["geometry"] == {"type": "Point", "coordinates": [2.5, 60.25]}
    assert file["metadata"] == {"survey": "NV-26", "vessel": "Aurora", "streamers": "12"}
    # This machine's own zone is the browser's too.
    created = datetime(2026, 5, 1, 12, 30).astimezone(UTC)
    assert file["sourceCreatedTime"] == created.timestamp() * 1000
    modified = (lab.root / "nordvik.segy").stat().st_mtime
    assert file["sourceModifiedTime"] == pytest.approx(modified * 1000, abs=1)
    for fact in (f"{file['id']}", "20 MiB in 4 parts", "Verified", "Sent again", "nothing"):
        expect(panel.view).to_contain_text(fact)


@both
def test_an_upload_pauses_goes_on_stops_and_goes_on_again(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    content = a_file(lab.root, "steered.bin", 36 * 2**20)
    panel = Panel(open_notebook([PANEL, "print((await panel.upload).id)"]))
    panel.choose("steered.bin")
    panel.in_parts(at_once=1)
    since = len(lab_cdf.requests())
    lab_cdf.inject(Fault("stall", "part", part=4, times=None))  # it is not over before it stops
    lab_cdf.inject(slow(4))
    panel.start.focus()
    watch_focus(panel.page)
    panel.press_upload()
    panel.stored(1)

    press(panel.button("Pause"))
    expect(panel.view).to_contain_text("paused")
    stored = puts(lab_cdf, since)
    screenshot("panel-paused")
    panel.type("Limit, MiB/s", "much", then="Enter")
    expect(panel.view).to_contain_text("The limit is a number of MiB/s above 0")
    panel.type("Limit, MiB/s", "1000", then="Enter")
    expect(panel.view).not_to_contain_text("The limit is a number")
    assert puts(lab_cdf, since) == stored, "nothing is sent while it is paused"
    press(panel.button("Resume").first)
    panel.stored(len(stored) + 1)

    press(panel.button("Stop…"))
    expect(panel.button("Keep what is sent")).to_be_focused()
    press(panel.button("Back"))
    press(panel.button("Stop…"))
    screenshot("panel-stop")
    press(panel.button("Keep what is sent"))
    expect(panel.view).to_contain_text("Stopped: steered.bin")
    expect(panel.view).to_contain_text(re.compile(r"[2345] of 6 parts .* are stored and kept"))
    lab_cdf.clear_faults()
    press(panel.button("Go on"))
    expect(panel.view).to_contain_text("Uploaded steered.bin")
    assert not focus_lost(panel.page)
    panel.notebook.run_cell(1)
    file_id = int(panel.notebook.output(1))
    assert lab_cdf.sha256(file_id) == sha256(content)
    assert sorted(puts(lab_cdf, since)) == [0, 1, 2, 3, 4, 5], "no part was stored twice"
    expect(panel.start).to_be_disabled()
    expect(panel.reason).to_contain_text("was sent with just this")


@both
def test_trouble_is_told_waited_for_and_overcome(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    content = a_file(lab.root, "trouble.bin")
    panel = Panel(open_notebook([PANEL]))
    panel.choose("trouble.bin")
    panel.in_parts()
    hit = len(lab_cdf.fired())
    lab_cdf.inject(Fault("status", "part", part=1, status=503, retry_after=3))
    lab_cdf.inject(Fault("reset_mid", "part", part=2))
    panel.press_upload()
    watch(panel.view)
    expect(panel.view).to_contain_text("Uploaded trouble.bin")
    expect(panel.view).to_contain_text(re.compile(r"Sent again\s*2 parts"))
    assert sorted(row["kind"] for row in lab_cdf.fired()[hit:]) == ["reset_mid", "status"]
    shown = seen(panel.view)
    assert any(re.search(r"retry 1 in \d s: .*503", row["text"]) for row in shown)
    assert any('class="l"' in row["strip"] for row in shown), "the strip marked what was lost"
    screenshot("panel-recovered")

    panel.put("Name", "refused.bin")
    lab_cdf.inject(Fault("status", "part", part=3, status=400, body="<Error>Not so</Error>"))
    panel.press_upload()
    expect(panel.view).to_contain_text("Not uploaded: refused.bin")
    panel.view.locator("summary").click()
    expect(panel.view.locator("details pre")).to_contain_text("PartFailed")
    panel.button("Show the code").click()
    expect(panel.at.locator(".cnbu-code")).to_contain_text("refused.bin")
    assert not outside(panel.at.locator(".cnbu-panel"))
    screenshot("panel-failed")
    panel.button("Go on").click()
    expect(panel.view).to_contain_text("Uploaded refused.bin")
    done = [one for one in lab_cdf.files() if one["name"] in ("trouble.bin", "refused.bin")]
    assert {lab_cdf.sha256(one["id"]) for one in done if one["uploaded"]} == {sha256(content)}


@both
def test_an_upload_outlives_its_kernel(
    open_notebook: OpenNotebook, lab: JupyterApp, lab_cdf: Emulator, screenshot: Screenshot
) -> None:
    content = a_file(lab.root, "outlives.bin")
    panel = Panel(open_notebook([PANEL]))
    panel.choose("outlives.bin")
    panel.in_parts(at_once=1)
    since = len(lab_cdf.requests())
    lab_cdf.inject(Fault("stall", "part", part=2, times=None))  # it is not over before the kill
    lab_cdf.inject(slow(3))
    panel.press_upload()
    panel.stored(2)
    panel.notebook.kill_kernel()
    panel.page.locator(".jp-Dialog").get_by_role("button").click()  # the kernel has died: Ok
    lab_cdf.clear_faults()
    stored = puts(lab_cdf, since)
    assert 2 <= len(stored) < 4

    panel = Panel(panel.notebook)
    expect(panel.at).to_contain_text("Unfinished · 1")
    expect(panel.at).to_contain_text(f"{len(stored)} of 4 parts")
    screenshot("panel-unfinished")
    panel.button("Resume").click()
    expect(panel.view).to_contain_text("Uploaded outlives.bin")
    sent = puts(lab_cdf, since)  # the part in flight may have come after its kernel's death, too
    assert set(sent) == {0, 1, 2, 3}
    assert [sent.count(part) for part in stored] == [1] * len(stored), "it was sent again"
    expect(panel.at.get_by_text("Unfinished ·")).to_be_hidden()
    panel.button("History").click()
    expect(panel.at.locator("table")).to_contain_text("outlives.bin")
    file = next(one for one in lab_cdf.files() if one["name"] == "outlives.bin")
    assert lab_cdf.sha256(file["id"]) == sha256(content)
