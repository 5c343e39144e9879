from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from paneling import all_widgets
from support import until
from web_store import WebStore, web_store

from cognite_nb_upload.widgets.panel.chooser import FileChooser, look_at
from cognite_nb_upload.widgets.panel.panel import UploadPanel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "surveys").mkdir()
    (tmp_path / "surveys" / "volve.segy").write_bytes(b"1234")
    (tmp_path / "Seismic.segy").write_bytes(b"12345678")
    (tmp_path / "notes.txt").write_bytes(b"1")
    (tmp_path / ".hidden").write_bytes(b"1")
    return tmp_path


@pytest.fixture
def chooser() -> Iterator[FileChooser]:
    made = FileChooser()
    yield made
    made.close()


def lines(chooser: FileChooser) -> list[str]:
    return [line.text for line in chooser.lines.lines]


def type_in(chooser: FileChooser, text: str) -> None:
    chooser.input.value = text
    assert chooser.tasks.wait()


def test_typing_a_path_completes_it(chooser: FileChooser, folder: Path) -> None:
    type_in(chooser, f"{folder}/s")
    assert lines(chooser) == ["surveys/", "Seismic.segy  ·  8 bytes", "notes.txt  ·  1 byte", "../"]
    type_in(chooser, f"{folder}/sei")
    assert lines(chooser) == ["Seismic.segy  ·  8 bytes", "../"]


def test_enter_picks_the_first_line_folder_by_folder(chooser: FileChooser, folder: Path) -> None:
    type_in(chooser, f"{folder}/su")
    chooser.input._handle_custom_msg({"event": "submit"}, [])
    assert chooser.tasks.wait()
    assert chooser.input.value == f"{folder}/surveys/"
    assert lines(chooser) == ["volve.segy  ·  4 bytes", "../"]
    chooser.input._handle_custom_msg({"event": "submit"}, [])
    assert chooser.tasks.wait()
    assert chooser.file is not None
    assert (chooser.file.content, chooser.file.size) == (folder / "surveys" / "volve.segy", 4)
    assert lines(chooser) == []


def test_enter_picks_by_the_whole_text_and_not_by_older_lines(
    chooser: FileChooser, folder: Path
) -> None:
    type_in(chooser, f"{folder}/s")
    chooser.input.value = f"{folder}/note"
    chooser.input._handle_custom_msg({"event": "submit"}, [])  # before it is looked up
    assert chooser.tasks.wait()
    assert chooser.file is not None
    assert chooser.file.content == folder / "notes.txt"


def test_enter_goes_nowhere_when_nothing_fits(chooser: FileChooser, folder: Path) -> None:
    type_in(chooser, f"{folder}/nothing")
    chooser.input._handle_custom_msg({"event": "submit"}, [])
    assert chooser.tasks.wait()
    assert chooser.input.value == f"{folder}/nothing"


def test_a_file_that_is_typed_whole_is_chosen(chooser: FileChooser, folder: Path) -> None:
    assert chooser.reason
    type_in(chooser, str(folder / "notes.txt"))
    assert chooser.file is not None
    assert chooser.reason == ""
    type_in(chooser, str(folder / "notes"))
    assert chooser.file is None
    assert chooser.reason


def test_an_answer_about_an_older_path_is_not_chosen_once_another_is_typed(
    chooser: FileChooser, folder: Path
) -> None:
    typed, chosen_late = threading.Event(), list[object]()

    def type_another() -> None:
        chooser.input.value = f"{folder}/nothing"
        typed.set()

    another = threading.Thread(target=type_another)

    def found(_: object) -> None:  # the older path, but it is not chosen yet
        if not another.ident:
            another.start()
            another.join(0.2)  # a lock may hold it up

    def chosen(change: dict[str, object]) -> None:
        if typed.is_set() and change["new"] is not None:
            chosen_late.append(change["new"])

    chooser.observe(found, "reason")
    chooser.observe(chosen, "file")
    chooser.input.value = str(folder / "notes.txt")
    assert typed.wait(60)
    assert chooser.tasks.wait()
    assert not chosen_late
    assert chooser.file is None


def test_a_look_that_fails_is_said_and_not_waited_for(folder: Path) -> None:
    def broken(_: str) -> bool:
        raise RuntimeError("a mistake")

    chooser = FileChooser()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("cognite_nb_upload.widgets.panel.chooser._is_text", broken)
        type_in(chooser, str(folder / "notes.txt"))
    assert not chooser.looking
    assert "a mistake" in chooser.reason
    chooser.close()


def test_browse_opens_the_folder_and_closes_it(
    chooser: FileChooser, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    chooser.browse.click()
    assert chooser.tasks.wait()
    assert chooser.input.value == f"{folder}/"
    assert lines(chooser)[0] == "surveys/"
    chooser.browse.click()
    assert lines(chooser) == []


def test_a_click_on_the_last_line_goes_one_folder_up(chooser: FileChooser, folder: Path) -> None:
    type_in(chooser, f"{folder}/surveys/")
    chooser.lines.press(-1)
    assert chooser.tasks.wait()
    assert chooser.input.value == f"{folder}/"


def test_hidden_files_show_where_one_types_a_dot(folder: Path) -> None:
    assert [one.path.name for one in look_at(f"{folder}/.").entries] == [".hidden"]
    assert ".hidden" not in [one.path.name for one in look_at(f"{folder}/").entries]


def test_long_folders_come_in_pages(chooser: FileChooser, tmp_path: Path) -> None:
    for no in range(25):
        (tmp_path / f"{no:02}.bin").touch()
    type_in(chooser, f"{tmp_path}/")
    assert lines(chooser)[-1] == "15 more…"
    chooser.lines.press(-1)
    assert chooser.tasks.wait()
    assert lines(chooser)[0].startswith("10.bin")
    assert lines(chooser)[-2:] == ["Back", "5 more…"]


@pytest.mark.parametrize("name", ["fifo", "surveys"])
def test_what_is_no_regular_file_is_never_chosen(
    chooser: FileChooser, folder: Path, name: str
) -> None:
    os.mkfifo(folder / "fifo")
    type_in(chooser, str(folder / name))
    assert chooser.file is None
    assert chooser.reason
    assert look_at(str(folder / "fifo")).said.endswith("is not a regular file.")


def test_a_name_that_is_not_unicode_is_refused_in_words(folder: Path) -> None:
    path = os.fsdecode(os.fsencode(folder) + b"/\xff.bin")
    Path(path).write_bytes(b"1")
    look = look_at(path)
    assert look.file is None
    assert "not Unicode" in look.said
    look.said.encode()


@pytest.mark.parametrize("text", ["/no/such/folder/x", "\0", "/dev/null", "~nobody-of-that-name/"])
def test_nothing_that_is_typed_breaks_it(chooser: FileChooser, text: str) -> None:
    type_in(chooser, text)
    assert chooser.file is None
    assert chooser.reason


@pytest.mark.parametrize(
    "copied", ['"{}"', "'{}'", "\u202a{}", "\ufeff{}\r\n", ' "{} "\n', "\u200b{}\xa0"]
)
def test_what_comes_along_with_a_copied_path_is_left_out(
    chooser: FileChooser, folder: Path, copied: str
) -> None:
    type_in(chooser, copied.format(folder / "notes.txt"))
    assert chooser.file is not None
    assert chooser.file.content == folder / "notes.txt"
    assert chooser.input.value == str(folder / "notes.txt")


def test_a_name_that_has_such_letters_is_taken_as_it_is(folder: Path) -> None:
    for name in ('"a"', " a "):
        (folder / name).write_bytes(b"x")
        file = look_at(f"{folder}/{name}").file
        assert file is not None
        assert file.name == name


def test_a_glob_follows_no_links_and_a_folder_is_no_glob(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "[ab]").mkdir()
    (folder / "a").write_bytes(b"x")
    (folder / "[ab]" / "b.txt").write_bytes(b"x")
    found = look_at(f"{folder}/**/*.txt").files
    assert sorted(one.name for one in found) == ["b.txt", "notes.txt"]
    assert [one.path.name for one in look_at(f"{folder}/[ab]/").entries] == ["b.txt"]


def test_a_path_may_begin_at_home_or_where_the_kernel_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder / "surveys")
    for text in ("~/notes.txt", "../notes.txt"):
        found = look_at(text).file
        assert found is not None
        assert found.content == folder / "notes.txt"


def test_recent_files_are_those_that_are_still_there_each_once(folder: Path) -> None:
    paths = [str(folder / name) for name in ("notes.txt", "gone", "notes.txt", "Seismic.segy")]
    chooser = FileChooser(recent=lambda: paths)
    chooser.recents.click()
    assert chooser.tasks.wait()
    assert [line.key for line in chooser.lines.lines] == [paths[0], paths[3]]
    chooser.lines.press(1)
    assert chooser.tasks.wait()
    assert chooser.file is not None
    assert chooser.file.content == folder / "Seismic.segy"
    chooser.close()


def test_a_link_is_chosen_by_its_own_name(chooser: FileChooser, folder: Path) -> None:
    (folder / "link.segy").symlink_to(folder / "notes.txt")
    chooser.choose(folder / "link.segy")
    until(lambda: chooser.file and not chooser.looking)
    assert chooser.file is not None
    assert chooser.file.name == "link.segy"
    assert chooser.file.real == str(folder / "notes.txt")


# --- addresses of other stores --------------------------------------------------------------------


@pytest.fixture
def web() -> Iterator[WebStore]:
    with web_store() as running:
        yield running


def test_an_address_is_looked_up(chooser: FileChooser, web: WebStore) -> None:
    type_in(chooser, web.put("wells/a.las", b"1234"))
    assert chooser.file is not None
    assert (chooser.file.name, chooser.file.size, chooser.reason) == ("a.las", 4, "")
    assert chooser.file.real == f"{web.url}/wells/a.las"
    type_in(chooser, f"{web.url}/wells/none.las")
    assert chooser.file is None
    assert chooser.reason == f"{web.url}/wells/none.las is not there."


def test_an_address_of_a_file_here_is_that_file(chooser: FileChooser, folder: Path) -> None:
    type_in(chooser, (folder / "notes.txt").as_uri())
    assert chooser.file is not None
    assert chooser.file.content == folder / "notes.txt"


def test_a_signature_does_not_stay_in_the_box(chooser: FileChooser, web: WebStore) -> None:
    """What is in a box is saved with the notebook."""
    type_in(chooser, web.put("a.las", b"1234") + "?X-Amz-Signature=planted")
    assert chooser.input.value == f"{web.url}/a.las"
    assert chooser.file is not None
    assert "planted" not in repr(chooser.file)
    assert web.asked[-1][0] == "/a.las?X-Amz-Signature=planted"


def test_a_prefix_is_several_files_which_code_takes(chooser: FileChooser) -> None:
    type_in(chooser, "memory://wells/")
    assert "upload_many" in chooser.reason


@pytest.mark.parametrize("text", ["/", "", "*"], ids=["path", "name", "pattern"])
def test_what_is_said_of_a_long_text_can_be_read(panel: UploadPanel, text: str) -> None:
    long = text + "x" * 10_000
    panel.files.input.value = long
    until(lambda: panel.files.reason not in ("", "Choose a file."))
    assert len(panel.files.reason) < 500
    fields = panel.form.fields
    fields["labels"].search.value = fields["data_set_id"].search.value = long  # type: ignore[attr-defined]
    fields["metadata"].rows[0].value.value = long  # type: ignore[attr-defined]
    panel.form.tasks.wait()
    assert not [one for one in all_widgets(panel) if len(str(getattr(one, "tooltip", ""))) > 500]
    for field in fields.values():
        assert len(field.error) < 500
        assert len(field.note.value) < 2000
    assert len(panel.reason) < 500
