from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paneling import all_html, choose, ended, press
from support import PART, config_of, fired, seen, sha256, until

from cognite_nb_upload import CogniteClient, UploadStopped
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.folder import JournalRow
from cognite_nb_upload.progress.words import clean
from cognite_nb_upload.widgets.panel.panel import UploadPanel
from cognite_nb_upload.widgets.panel.unfinished import Item, _item_html

MakePanel = Callable[..., UploadPanel]


@pytest.fixture
def row(client: CogniteClient, cdf: Emulator, big: Path, surroundings: Path) -> JournalRow:
    """An upload that was stopped when one part of three was stored."""
    cdf.inject(Fault("stall", "part", part=1, times=None))
    cdf.inject(Fault("stall", "part", part=0, times=None))
    upload = client.files.start_upload(big, part_size=PART)
    until(lambda: len(fired(cdf)) == 2 and upload.state.missing_parts == (0, 1))
    upload.stop()
    with pytest.raises(UploadStopped):
        upload.result(60)
    cdf.clear_faults()
    [unfinished] = journal_folder.unfinished(surroundings)
    return unfinished


def item_of(panel: UploadPanel, row: JournalRow) -> Item:
    until(lambda: row.id in panel.unfinished.items)
    return panel.unfinished.items[row.id]


def is_shown(button: Any) -> bool:
    return "cnbu-none" not in button._dom_classes


def test_an_unfinished_upload_is_listed_with_what_is_stored(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient, big: Path
) -> None:
    panel = make_panel(client)
    item = item_of(panel, row)
    assert is_shown(item.resume)
    for said in (
        "Unfinished · 1",
        "big.segy",
        "1 of 3 parts",
        clean(str(big), 80),
        "URLs are valid for",
    ):
        assert said in all_html(panel)


def test_resume_sends_only_what_is_missing(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient, cdf: Emulator, data: bytes
) -> None:
    panel = make_panel(client)
    before = len(seen(cdf, "part"))
    item_of(panel, row).resume.click()
    assert panel.upload is not None
    result = panel.upload.result(60)
    assert sorted(one["part"] for one in seen(cdf, "part")[before:]) == [0, 1]
    assert (result.id, cdf.sha256(row.file_id or 0)) == (row.file_id, sha256(data))
    until(lambda: not panel.unfinished.rows and panel.unfinished.history)
    assert "Went on with 1 of 3 parts" in ended(panel.views[0])


def test_resume_asks_to_sign_in_first(row: JournalRow, make_panel: MakePanel) -> None:
    panel = make_panel()
    item_of(panel, row).resume.click()
    assert "Not started." in all_html(panel)
    assert "Sign in first." in panel._wrong.value
    assert panel.upload is None


def test_what_runs_here_is_not_listed_as_unfinished(ready: UploadPanel, cdf: Emulator) -> None:
    cdf.inject(Fault("stall", "part", times=None))
    press(ready)
    until(lambda: fired(cdf))
    ready.unfinished.refresh()
    assert ready.tasks.wait()
    assert ready.unfinished.rows == ()


def test_what_was_stopped_is_listed_once_its_view_is_closed(
    ready: UploadPanel, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall", "part", times=None))
    press(ready)
    until(lambda: fired(cdf))
    [view] = ready.views
    view.keep.click()
    ended(view)
    assert ready.tasks.wait()
    assert ready.unfinished.rows == ()
    view.take_away.click()
    until(lambda: len(ready.unfinished.rows) == 1)


def test_forgetting_asks_first(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient, surroundings: Path
) -> None:
    panel = make_panel(client)
    item = item_of(panel, row)
    item.forget.click()
    item.back.click()
    assert panel.tasks.wait()
    assert len(journal_folder.unfinished(surroundings)) == 1
    item.forget.click()
    item.really.click()
    until(lambda: not panel.unfinished.rows)
    assert journal_folder.unfinished(surroundings) == []


def test_an_upload_of_another_project_can_only_be_forgotten(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient, cdf: Emulator
) -> None:
    with CogniteClient(config_of(cdf, project="elsewhere")) as other:
        panel = make_panel(other)
        item = item_of(panel, row)
        assert not is_shown(item.resume)
        assert is_shown(item.forget)
        assert f"project {cdf.project}" in all_html(panel)


def test_a_file_that_was_moved_is_chosen_and_gone_on_with(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient, big: Path, cdf: Emulator
) -> None:
    moved = big.rename(big.parent / "moved.segy")
    panel = make_panel(client)
    item = item_of(panel, row)
    assert "is not there: choose the file above" in all_html(panel)
    item.resume.click()
    assert "Not started." in all_html(panel)
    assert panel.upload is None
    choose(panel, moved)
    item.resume.click()
    assert panel.upload is not None
    assert panel.upload.result(60).id == row.file_id


def test_an_upload_from_a_browser_says_where_its_file_is(row: JournalRow) -> None:
    html = _item_html(replace(row, source="browser:<b>.segy"), here=True, gone=True)
    assert "on your own computer: choose it above, then resume" in html
    assert "<b>" not in html


def test_another_file_of_that_size_is_refused(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient, big: Path
) -> None:
    big.write_bytes(b"\0" * big.stat().st_size)
    panel = make_panel(client)
    item_of(panel, row).resume.click()
    assert "Not uploaded:" in ended(panel.views[0])


def test_an_upload_in_hand_of_another_process_can_not_be_resumed(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient
) -> None:
    held = replace(row, held_by="process 1 on host far")
    panel = make_panel(client)
    item_of(panel, row)
    panel.unfinished.rows = (held,)
    panel.unfinished._show()
    item = panel.unfinished.items[row.id]
    assert not is_shown(item.resume)
    assert "held by process 1 on host far" in all_html(panel)


def test_a_damaged_journal_is_listed_and_can_be_forgotten(
    row: JournalRow, make_panel: MakePanel, client: CogniteClient, surroundings: Path
) -> None:
    path = surroundings / f"{row.id}.journal"
    path.write_bytes(path.read_bytes()[:50] + b"x" + path.read_bytes()[51:])
    panel = make_panel(client)
    item = item_of(panel, row)
    assert not is_shown(item.resume)
    item.really.click()
    until(lambda: not panel.unfinished.rows)
    assert not path.exists()


def test_the_history_is_folded_and_tells_what_was_uploaded(ready: UploadPanel) -> None:
    result = press(ready).result(60)
    until(lambda: "History · 1 upload" in ready.unfinished.fold.description)
    assert "<table>" not in all_html(ready)
    ready.unfinished.fold.click()
    assert f"<td>{result.id}</td><td>done</td>" in all_html(ready)
