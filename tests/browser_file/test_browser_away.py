from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from pages import Page

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.errors import SourceChanged, TransferError, UploadStopped
from cognite_nb_upload.widgets.browser.file import BrowserFile
from cognite_nb_upload.widgets.browser.files import BrowserFiles

DATA = random.Random(8).randbytes(9 * MIB)
OTHER = DATA[:-1] + b"?"


@pytest.fixture
def file(files: BrowserFiles, page: Page) -> BrowserFile:
    page.choose(DATA)
    file = files.files[0]
    assert file.read_at(0, 100) == DATA[:100]
    return file


@contextmanager
def reading(file: BrowserFile) -> Iterator[Future[Any]]:
    """Somebody reads 4 MiB, as an upload does: it may be stopped."""
    stop = CancelToken()

    def read() -> bytes:
        with file.steered(stop, lambda _: None):
            return bytes(file.read_at(3 * MIB, 4 * MIB))

    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(read)
        finally:
            stop.set("the test is over")


def until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        Event().wait(0.01)
    raise AssertionError("It did not come true.")


@pytest.mark.parametrize("leaving", [True, False], ids=["it says so", "it does not"])
def test_a_page_loaded_anew_is_said_and_the_same_file_is_read_on(
    file: BrowserFile, page: Page, leaving: bool
) -> None:
    page.reload(leaving=leaving)
    with reading(file) as read:
        until(lambda: "loaded anew; drop the same file again" in file.waiting_for)
        page.choose(DATA)
        assert read.result(30) == DATA[3 * MIB : 7 * MIB]
    assert file.waiting_for == ""


def test_a_lost_connection_is_said_and_costs_nothing_but_the_wait(
    file: BrowserFile, page: Page
) -> None:
    page.deaf = True
    with reading(file) as read:
        until(lambda: "does not answer; is its tab closed" in file.waiting_for)
        page.deaf = False  # what was asked meanwhile is lost
        assert read.result(30) == DATA[3 * MIB : 7 * MIB]


def test_a_page_that_was_given_up_and_comes_back_is_read_on_from(
    file: BrowserFile, files: BrowserFiles, page: Page
) -> None:
    other = Page(page.hear)
    files.comm.pages.append(other)
    page.deaf = True
    with reading(file) as read:
        until(lambda: "closed or loaded anew" in file.waiting_for)
        page.deaf = False
        assert read.result(30) == DATA[3 * MIB : 7 * MIB]


@pytest.mark.parametrize(
    ("error", "words"),
    [("NotReadableError", "it was changed on its disk"), ("NotFoundError", "deleted or moved")],
)
def test_a_file_that_cannot_be_read_any_more_is_said(
    file: BrowserFile, page: Page, error: str, words: str
) -> None:
    page.unreadable = error
    with reading(file) as read:
        until(lambda: words in file.waiting_for)
        page.unreadable = ""  # the disk is back
        page.choose(DATA)
        assert read.result(30) == DATA[3 * MIB : 7 * MIB]


def test_a_file_that_was_written_to_is_not_read_on(file: BrowserFile, page: Page) -> None:
    page.unreadable = "NotReadableError"
    with reading(file) as read:
        until(lambda: bool(file.waiting_for))
        page.choose(DATA, modified=1_800_000_000_000)
        with pytest.raises(SourceChanged, match=r"big\.segy changed during the upload"):
            read.result(30)
    with pytest.raises(SourceChanged):
        file.check()


def test_a_file_of_another_time_or_size_is_not_taken_for_the_same(
    file: BrowserFile, files: BrowserFiles, page: Page
) -> None:
    page.reload()
    with reading(file) as read:
        until(lambda: bool(file.waiting_for))
        page.choose(DATA, modified=1_800_000_000_000)
        until(lambda: "its modification time is another" in file.waiting_for)
        page.choose(DATA + b"!")
        until(lambda: "it has 9,437,185 bytes, not 9,437,184" in file.waiting_for)
        assert "not the same big.segy" in files.note
        assert files.files == (file,)
        page.choose(DATA)
        assert read.result(30) == DATA[3 * MIB : 7 * MIB]
    assert files.note == ""


def test_other_bytes_under_the_same_name_size_and_time_are_noticed(
    file: BrowserFile, page: Page
) -> None:
    page.reload()
    with reading(file) as read:
        until(lambda: bool(file.waiting_for))
        page.choose(OTHER)
        until(lambda: "the bytes of the one that was dropped are others" in file.waiting_for)
        page.choose(DATA)
        assert read.result(30) == DATA[3 * MIB : 7 * MIB]


def test_the_same_file_picked_twice_is_one_file(
    file: BrowserFile, files: BrowserFiles, page: Page
) -> None:
    page.choose(DATA)
    assert files.files == (file,)
    assert file.read_at(5, 5) == DATA[5:10]


def test_who_waits_is_stopped_at_once(file: BrowserFile, page: Page) -> None:
    page.reload()
    stop = CancelToken()
    with ThreadPoolExecutor(1) as pool:

        def read() -> bytes | memoryview:
            with file.steered(stop, lambda _: None):
                return file.read_at(0, MIB)

        waiting = pool.submit(read)
        until(lambda: bool(file.waiting_for))
        stop.set("paused")
        with pytest.raises(UploadStopped, match="paused"):
            waiting.result(30)


def test_who_cannot_be_stopped_does_not_wait_for_ever(file: BrowserFile, page: Page) -> None:
    file.link.patience = replace(file.link.patience, away_s=0.6)
    page.reload()
    with pytest.raises(TransferError, match=r"Waited for big\.segy: .* drop the same file again"):
        file.read_at(0, MIB)


def test_closing_ends_a_wait_that_nobody_can_stop(
    file: BrowserFile, files: BrowserFiles, page: Page
) -> None:
    page.reload()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(file.read_at, 0, MIB)
        until(lambda: bool(file.waiting_for))
        file.close()
        with pytest.raises(UploadStopped, match="its upload has ended"):
            waiting.result(30)


def test_a_file_that_is_removed_is_not_waited_for(
    file: BrowserFile, files: BrowserFiles, page: Page
) -> None:
    page.reload()
    with reading(file) as read:
        until(lambda: bool(file.waiting_for))
        files.remove(file)
        with pytest.raises(TransferError, match="removed from the list"):
            read.result(30)
    assert files.files == ()
