from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pages import Page

from cognite_nb_upload.widgets.browser.files import BrowserFiles


def test_what_is_chosen_is_told_to_whoever_observes(files: BrowserFiles, page: Page) -> None:
    told: list[list[str]] = []
    files.observe(lambda change: told.append([file.name for file in change["new"]]), "files")
    page.choose(b"abc", "a.bin")
    page.choose(b"defg", "b.bin")
    assert told == [["a.bin"], ["a.bin", "b.bin"]]
    assert [file.size for file in files.files] == [3, 4]
    assert repr(files) == "<BrowserFiles: a.bin, b.bin>"


def test_a_single_file_makes_room_for_the_next(make_files: Callable[..., Any]) -> None:
    files, page = make_files(multiple=False)
    page.choose(b"abc", "a.bin")
    page.choose(b"defg", "b.bin")
    assert [file.name for file in files.files] == ["b.bin"]
    assert len(files.rows) == 1


def test_the_page_removes_a_file_and_forgets_it(files: BrowserFiles, page: Page) -> None:
    key = page.choose(b"abc", "a.bin")
    page.hear({"kind": "remove", "no": files.rows[0]["no"]}, [])
    assert files.files == ()
    assert files.rows == []
    while key in page.files:  # the page is told in a message
        pass


def test_rows_show_name_size_and_what_is_waited_for(files: BrowserFiles, page: Page) -> None:
    key = page.choose(b"abc" * 1000, "<img src=x>.bin")
    assert files.rows == [
        {"no": 1, "key": key, "name": "<img src=x>.bin", "size": "2.93 KiB", "words": "",
         "mood": "ready"},
    ]  # fmt: skip
    page.reload()
    page.choose(b"other", "<img src=x>.bin")
    assert files.rows[0]["mood"] == "waiting"
    assert "drop the same file again" in files.rows[0]["words"]


def test_what_a_page_says_that_nobody_understands_is_passed_over(
    files: BrowserFiles, page: Page
) -> None:
    page.hear({"kind": "something new"}, [])
    page.hear({}, [])
    page.hear({"kind": "slice", "no": 99, "crc": 0}, [memoryview(b"late")])
    assert files.files == ()
