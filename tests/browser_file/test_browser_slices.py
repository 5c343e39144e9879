from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pages import Page

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.errors import TransferError
from cognite_nb_upload.journal.fingerprint import sample_blocks, sample_hashes
from cognite_nb_upload.widgets.browser.file import BrowserFile
from cognite_nb_upload.widgets.browser.files import BrowserFiles
from cognite_nb_upload.widgets.browser.link import AT_ONCE, LARGEST

DATA = random.Random(5).randbytes(40 * MIB)


@pytest.fixture
def file(files: BrowserFiles, page: Page) -> BrowserFile:
    page.choose(DATA)
    return files.files[0]


def read_all(file: BrowserFile, start: int = 0, end: int | None = None, step: int = MIB) -> bytes:
    end = file.size if end is None else end
    pieces = [file.read_at(at, min(step, end - at)) for at in range(start, end, step)]
    return b"".join(pieces)


def test_any_bytes_can_be_read_in_any_order(file: BrowserFile) -> None:
    places = random.Random(3)
    for _ in range(50):
        at, size = places.randrange(len(DATA)), places.randrange(6 * MIB)
        assert file.read_at(at, size) == DATA[at : at + size]
    assert file.read_at(len(DATA), 10) == b""
    assert file.read_at(len(DATA) - 3, 10) == DATA[-3:]


def test_an_empty_file_has_no_bytes(files: BrowserFiles, page: Page) -> None:
    page.choose(b"")
    assert files.files[0].read_at(0, 10) == b""
    assert page.reads == []


def test_a_few_slices_are_under_way_at_once_and_none_is_large(
    file: BrowserFile, page: Page
) -> None:
    assert read_all(file) == DATA
    assert 1 < page.most_at_once <= AT_ONCE
    assert page.most_bytes <= AT_ONCE * LARGEST
    assert max(size for _, size in page.reads) == LARGEST < 10 * MIB


def test_samples_are_asked_for_together_and_read_once(file: BrowserFile, page: Page) -> None:
    first = sample_hashes(file.read_at, file.size)
    asked = sorted(page.reads)
    assert asked == list(sample_blocks(len(DATA)))
    assert page.asked == 1  # all in one message
    assert page.most_bytes == sum(size for _, size in asked)
    assert sample_hashes(file.read_at, file.size) == first
    assert first == sample_hashes(lambda at, size: DATA[at : at + size], len(DATA))
    assert sorted(page.reads) == asked
    file.close()  # and are let go of
    sample_hashes(file.read_at, file.size)
    assert len(page.reads) > len(asked)


def test_several_readers_share_the_way_and_read_nothing_twice(
    file: BrowserFile, page: Page
) -> None:
    file.read_at(0, 1)  # the samples are taken
    page.reads.clear()
    part = 6 * MIB
    starts = range(0, len(DATA), part)
    begun = threading.Barrier(len(starts))  # until then, the first might read on

    def read_part(at: int) -> bytes:
        first = bytes(file.read_at(at, KIB))
        begun.wait(60)
        return first + read_all(file, at + KIB, min(at + part, len(DATA)), 256 * KIB)

    with ThreadPoolExecutor(len(starts)) as pool:
        assert b"".join(pool.map(read_part, starts)) == DATA
    assert page.most_at_once <= AT_ONCE
    assert sum(size for _, size in page.reads) == len(DATA)


def test_a_part_is_asked_for_at_once_and_to_its_end(file: BrowserFile, page: Page) -> None:
    file.read_at(0, 1)  # the samples are taken
    page.reads.clear()
    file.link.slice_size = LARGEST
    with file.steered(CancelToken(), lambda _: None, LARGEST + 2 * MIB):
        assert read_all(file, MIB, LARGEST + 2 * MIB, 64 * KIB) == DATA[MIB : LARGEST + 2 * MIB]
        assert page.reads == [(MIB, LARGEST), (LARGEST + MIB, MIB)]
        at = LARGEST + 2 * MIB  # what lies behind it can be read, and no more than that is
        assert file.read_at(at, 10) == DATA[at : at + 10]
        assert file.read_at(at - 5, 20) == DATA[at - 5 : at + 15]


def test_readers_that_have_finished_leave_the_way_to_the_others(
    file: BrowserFile, page: Page
) -> None:
    for at in range(1, 13):
        file.read_at(at * KIB, 10)
    assert len(file._readers) == 12
    read_all(file, MIB)
    assert max(size for _, size in page.reads) == LARGEST


@pytest.mark.parametrize(("at_once", "largest"), [(1, LARGEST), (6, LARGEST), (16, 4 * MIB)])
def test_slices_stay_large_as_long_as_little_lies_ready(
    file: BrowserFile, page: Page, monkeypatch: pytest.MonkeyPatch, at_once: int, largest: int
) -> None:
    monkeypatch.setattr(file, "_sharing", lambda: at_once)
    file.link.slice_size = LARGEST
    assert read_all(file) == DATA
    assert max(size for _, size in page.reads) == largest


def test_a_slice_that_is_lost_is_asked_for_again(file: BrowserFile, page: Page) -> None:
    file.read_at(0, 1)  # the samples are taken
    page.lose = 1
    assert read_all(file) == DATA
    assert page.lost == 1


def test_a_slice_that_takes_its_time_is_not_asked_for_again(file: BrowserFile, page: Page) -> None:
    file.read_at(0, 1)
    page.reads.clear()
    page.hold.set()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(file.read_at, 0, MIB)
        while page.pings < 3:  # it is asked whether it is there, and says that it is at work
            threading.Event().wait(0.01)
        page.let_go()
        assert reading.result(30) == DATA[:MIB]
    assert page.reads == [(0, MIB)]


def test_what_is_lost_for_its_size_is_asked_for_in_smaller_slices(
    file: BrowserFile, page: Page
) -> None:
    page.lose_above = MIB
    assert read_all(file) == DATA
    assert page.lost > 0
    page.lost = 0
    assert read_all(file) == DATA
    assert page.lost == 0  # and it is remembered


def test_samples_that_are_lost_together_are_asked_for_one_by_one(
    file: BrowserFile, page: Page
) -> None:
    page.lose_above = 64 * KIB
    for at, size in sample_blocks(len(DATA)):
        assert file.read_at(at, size) == DATA[at : at + size]
    assert page.lost > 0


def test_a_slice_with_another_checksum_is_asked_for_again(file: BrowserFile, page: Page) -> None:
    file.read_at(0, 1)
    page.reads.clear()
    page.spoil = 1
    assert file.read_at(5, 1000) == DATA[5:1005]
    assert page.reads == [(5, 1000), (5, 1000)]


def test_what_is_always_spoilt_is_given_up(file: BrowserFile, page: Page) -> None:
    file.read_at(0, 1)
    page.spoil = 1000
    with pytest.raises(TransferError, match="damaged"):
        file.read_at(0, 1000)


def test_another_page_that_holds_nothing_is_in_nobody_s_way(
    file: BrowserFile, files: BrowserFiles, page: Page
) -> None:
    other = Page(page.hear)
    files.comm.pages.append(other)
    other.tell("hello")
    assert read_all(file) == DATA
    assert other.reads == []


def test_slices_shrink_on_a_slow_way_and_grow_again(
    file: BrowserFile, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all(file)
    assert file.link.slice_size == LARGEST
    monkeypatch.setattr("cognite_nb_upload.widgets.browser.link._SLOW_S", 0.0)
    monkeypatch.setattr("cognite_nb_upload.widgets.browser.link._QUICK_S", 0.0)
    read_all(file)
    assert file.link.slice_size == 64 * KIB
    monkeypatch.undo()
    read_all(file)
    assert file.link.slice_size > 64 * KIB


def test_closing_keeps_the_file_readable(file: BrowserFile) -> None:
    file.read_at(0, MIB)
    file.close()
    assert file.read_at(MIB, MIB) == DATA[MIB : 2 * MIB]


def test_facts_are_what_a_journal_needs(file: BrowserFile, make_files: Callable[..., Any]) -> None:
    facts = file.facts()
    assert (facts.path, facts.size) == ("browser:big.segy", len(DATA))
    assert facts.mtime_ns == 1_700_000_000_123_000_000
