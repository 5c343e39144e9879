"""Several files: one list, one Upload, a row each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from paneling import all_html
from support import fired, seen, until

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.widgets.panel.panel import UploadPanel
from cognite_nb_upload.widgets.panel.table import FileTable, total_words

MakePanel = Callable[..., UploadPanel]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files, one of them in a folder of the folder; and one that is hidden."""
    top = tmp_path / "many"
    (top / "deep" / "er").mkdir(parents=True)
    for no, name in enumerate(("a.las", "b.las", "c.csv", "deep/er/a.las", ".hidden")):
        (top / name).write_bytes(b"x" * (1000 + no))
    return top


def several(panel: UploadPanel, text: str) -> FileTable:
    panel.files.input.value = text
    until(lambda: not panel.files.looking and panel.files.files)
    assert panel._list is not None
    return panel._list


def moods(table: FileTable) -> list[str]:
    return [row.mood for row in table.files.rows]


def press(panel: UploadPanel, table: FileTable) -> None:
    assert not panel.start.disabled, panel.reason
    panel.start.click()
    until(lambda: not table.files.running)
    until(lambda: table in panel._endings)  # rows, total and the saved copy are brought up to date


def test_a_glob_is_a_list_with_one_upload(panel: UploadPanel, folder: Path, cdf: Emulator) -> None:
    table = several(panel, f"{folder}/*.las")
    assert [row["name"] for row in table.rows] == ["a.las", "b.las"]
    assert table.total["words"] == "2 files, 1.95 KiB"
    panel.form.fill({"directory": "/wells", "metadata": {"field": "Volve"}})
    told: list[str] = []
    panel.on_uploaded(lambda uploaded: told.append(uploaded.name))
    press(panel, table)
    assert moods(table) == ["done", "done"]
    files = [file for file in cdf.files() if file.get("directory") == "/wells"]
    assert sorted(file["name"] for file in files) == ["a.las", "b.las"]
    assert all(file["metadata"] == {"field": "Volve"} for file in files)
    assert all(file["uploaded"] for file in files)
    until(lambda: sorted(told) == ["a.las", "b.las"])
    assert table.total["words"].startswith("2 of 2 files uploaded")
    assert panel.reason == "Choose a file."
    assert "2 of 2 files uploaded" in panel._saved_bundle()["text/plain"]


def test_a_folder_keeps_its_shape_and_leaves_out_what_is_hidden(
    panel: UploadPanel, folder: Path, cdf: Emulator
) -> None:
    panel.files.input.value = f"{folder}/"
    until(lambda: not panel.files.looking and panel.files.lines.lines)
    panel.files.whole.click()
    until(lambda: panel.files.files and not panel.files.looking)
    assert panel._list is not None
    press(panel, panel._list)
    found = {(one["name"], one.get("directory")) for one in cdf.files()}
    assert {("a.las", None), ("b.las", None), ("c.csv", None), ("a.las", "/deep/er")} <= found
    assert not [name for name, _ in found if name == ".hidden"]


def test_a_row_that_failed_stops_no_other_and_is_tried_again(
    panel: UploadPanel, folder: Path, cdf: Emulator
) -> None:
    table = several(panel, f"{folder}/*.las")
    cdf.inject(Fault("status", "create", status=400, body="<Error>Not so</Error>"))
    press(panel, table)
    assert sorted(moods(table)) == ["done", "failed"]
    assert fired(cdf) == [("status", "create")]
    [failed] = [row for row in table.rows if row["mood"] == "failed"]
    assert "400" in failed["words"]
    assert "1 of 2 files uploaded, 1 failed" in table.total["words"]
    table._handle_custom_msg({"kind": "retry", "no": failed["no"]}, [])
    until(lambda: moods(table) == ["done", "done"])
    assert len(seen(cdf, "create")) == 3


def test_a_list_pauses_stops_and_is_found_by_a_new_panel(
    panel: UploadPanel,
    make_panel: MakePanel,
    client: CogniteClient,
    folder: Path,
    cdf: Emulator,
) -> None:
    table = several(panel, f"{folder}/*.las")
    cdf.inject(Fault("stall", "put", times=None))
    panel.start.click()
    until(lambda: len(fired(cdf)) == 2)
    again = make_panel(client)
    [found] = again._tables
    assert found.files is table.files
    assert again.views == (), "its uploads are in the list"
    found._handle_custom_msg({"kind": "pause"}, [])
    until(lambda: {one.state.phase.value for one in table.files.uploads} == {"paused"})
    assert found.total["paused"]
    found._handle_custom_msg({"kind": "pause"}, [])
    found._handle_custom_msg({"kind": "stop"}, [])
    until(lambda: moods(found) == ["stopped", "stopped"])
    cdf.clear_faults()
    for row in found.files.rows:
        found._handle_custom_msg({"kind": "retry", "no": row.no}, [])
    until(lambda: moods(found) == ["done", "done"])
    until(lambda: "2 of 2" in total_words(found.files))


def test_files_that_are_dropped_together_are_a_list_and_what_is_sent_is_no_part_of_the_next(
    panel: UploadPanel,
) -> None:
    def drop(*names: str, folder: str = "") -> None:
        files = [
            {"key": f"{folder}{name}", "name": name, "size": 10, "modified": 1_780_000_000_000,
             "folder": folder}
            for name in names
        ]  # fmt: skip
        panel.files.browser._handle_custom_msg({"kind": "chosen", "files": files}, [])

    drop("a.las", "b.las")
    drop("a.las", folder="deep")
    assert panel._list is not None
    assert [row["name"] for row in panel._list.rows] == ["a.las", "b.las", "deep/a.las"]
    panel._list._handle_custom_msg({"kind": "remove", "no": 3}, [])
    assert [file.name for file in panel.files.browser.files] == ["a.las", "b.las"]
    assert [file.name for file in panel.files.files] == ["a.las", "b.las"]
    panel.files.clear()
    drop("c.las")
    assert panel.files.file is not None
    assert panel.files.file.name == "c.las"


def test_what_stands_in_the_way_of_a_list_names_the_file(panel: UploadPanel, folder: Path) -> None:
    several(panel, f"{folder}/*.las")
    panel.sending.part_mib.value = "1"
    (folder / "large.las").write_bytes(b"x" * (6 * 2**20))
    several(panel, f"{folder}/*.la*")
    assert panel.reason.startswith("large.las: ")
    panel.sending.part_mib.value = ""
    panel.form.fill({"directory": "relative"})
    assert "absolute unix path" in panel.reason
    panel.form.fields["directory"].fill(None)
    panel.form.external_id.fill("one")
    assert panel.reason == "", "an external id is hidden, and is not sent"
    assert "cnbu-none" in panel.form.external_id.widget._dom_classes
    assert "relative" not in all_html(panel)
