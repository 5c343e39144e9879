"""Jobs of many files in the panel."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paneling import all_html
from support import fired, seen, until

from cognite_nb_upload import CogniteClient, upload_many
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.widgets.panel.jobs import JobLine
from cognite_nb_upload.widgets.panel.panel import UploadPanel

MakePanel = Callable[..., UploadPanel]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "many"
    made.mkdir()
    for no in range(3):
        (made / f"<b>{no}.bin").write_bytes(b"x" * (no + 1))
    return made


def line_of(panel: UploadPanel) -> JobLine:
    until(lambda: panel.jobs.lines)
    return next(iter(panel.jobs.lines.values()))


def test_an_unfinished_job_is_listed_and_gone_on_with(
    cdf: Emulator, client: CogniteClient, make_panel: MakePanel, folder: Path
) -> None:
    cdf.inject(Fault("status", "put", status=400, times=2))
    upload_many(client, folder, progress=False)
    assert fired(cdf) == [("status", "put")] * 2
    panel = make_panel(client)
    line = line_of(panel)
    assert "1 of 3 files · 2 failed" in all_html(panel)
    line.resume.click()
    until(lambda: not panel.jobs.lines)
    until(lambda: "many: 3 of 3 files uploaded." in panel.jobs.done.value)
    assert len(seen(cdf, "create")) == 3
    assert sum(one["uploaded"] and one["name"].startswith("<b>") for one in cdf.files()) == 3


def test_what_fails_again_is_shown_as_text(
    cdf: Emulator, client: CogniteClient, make_panel: MakePanel, folder: Path
) -> None:
    cdf.inject(Fault("status", "put", status=400, times=None))
    upload_many(client, folder, progress=False)
    panel = make_panel(client)
    line = line_of(panel)
    line.resume.click()
    until(lambda: "<li>" in line.said.value)
    assert "&lt;b&gt;0.bin" in line.said.value
    until(lambda: not line.goes and "0 of 3 files · 3 failed" in line.told.value)
    panel.jobs.refresh()
    until(lambda: line_of(panel) is line and "<li>" in line.said.value)


def test_why_files_failed_is_told_from_the_record_each_reason_once(
    cdf: Emulator, client: CogniteClient, make_panel: MakePanel, folder: Path
) -> None:
    for no in range(3, 9):
        (folder / f"{no}.bin").write_bytes(b"x" * no)
    cdf.inject(Fault("status", "put", status=400, times=None))
    upload_many(client, folder, progress=False)
    line = line_of(make_panel(client))
    assert "cnbu-none" not in line.why._dom_classes
    line.why.click()
    until(lambda: "<li>" in line.said.value)
    assert line.said.value.count("<li>") == 1
    assert "400" in line.said.value
    assert line.said.value.count("<bdi>") == 3
    assert "and 6 more files" in line.said.value
    line.why.click()
    assert line.said.value == ""


def test_what_panels_show_of_a_list_and_of_a_job_comes_from_one_budget(
    client: CogniteClient, make_panel: MakePanel, tmp_path: Path
) -> None:
    for name in ("listed", "job"):
        (tmp_path / name).mkdir()
        for no in range(100):
            (tmp_path / name / f"{no}.bin").write_bytes(os.urandom(100))
    updates = list[str]()

    def count(change: dict[str, Any]) -> None:
        updates.append(change["name"])

    panel = make_panel(client)
    panel.files.choose(tmp_path / "listed" / "*")
    until(lambda: not panel.start.disabled)
    assert panel._list is not None
    panel._list.observe(count, "rows")
    began_s = time.monotonic()
    panel.start.click()
    other = make_panel(client)
    other._tables[0].observe(count, "rows")
    batch = client.files.start_many(tmp_path / "job", external_id="path")
    for one in (panel, other):
        line_of(one).told.observe(count, "value")
    batch.result()
    until(lambda: panel._tables[0].files.wait(60))
    took_s = time.monotonic() - began_s
    # What a view shows first, at the end, and once more from the record, is not held back.
    assert len(updates) <= 4 + 8 * took_s + 4 * 3
    assert len(updates) > 4


def test_a_job_is_forgotten_when_asked_twice(
    cdf: Emulator, client: CogniteClient, make_panel: MakePanel, folder: Path
) -> None:
    cdf.inject(Fault("status", "put", status=400, times=None))
    upload_many(client, folder, progress=False)
    panel = make_panel(client)
    line = line_of(panel)
    line.forget.click()
    line.really.click()
    until(lambda: not panel.jobs.lines)


def test_an_open_panel_shows_a_job_that_a_cell_sends(
    cdf: Emulator, client: CogniteClient, make_panel: MakePanel, folder: Path
) -> None:
    panel = make_panel(client)
    cdf.inject(Fault("stall", "put", times=None))
    batch = client.files.start_many(folder)
    line = line_of(panel)
    until(lambda: line.batch is batch)
    assert line.row.id == batch.job_id
    until(lambda: fired(cdf))
    line.stop.click()
    until(lambda: panel.jobs.lines and line_of(panel).batch is None)
    assert batch.state.stopped == 3
    cdf.clear_faults()
    until(lambda: "cnbu-none" not in line_of(panel).resume._dom_classes)
    line_of(panel).resume.click()
    until(lambda: not panel.jobs.lines)
    assert sum(one["uploaded"] for one in cdf.files()) == 3
