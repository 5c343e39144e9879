"""Faults row 24: torn, flipped, empty, newer. Each byte of a journal is tried."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from journals import journal_file, known, mark, opened, record, stored

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.journal.writer import (
    Journal,
    JournalDamaged,
    JournalTooNew,
    find,
    forget,
    history,
    replay,
    unfinished,
)

WALK = (opened(parts=2), stored(1), ev.Paused(), ev.Resumed(), stored(0), ev.Completing())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


def _write(folder: Path) -> tuple[Path, list[int], list[tuple[object, ...]]]:
    """A journal; after each of its lines, its size and what it said."""
    sizes, said = [], []
    with Journal.open(mark(), folder) as journal:
        path = journal_file(folder)
        header = path.read_bytes().index(b"\n") + 1
        sizes += [0, header, path.stat().st_size]
        state = UploadState()
        said += [(), known(state), known(state)]
        for event in WALK:
            state = record(journal, event, since=state)
            sizes.append(path.stat().st_size)
            said.append(known(state))
    return path, sizes, said


def test_torn_at_any_byte_it_says_what_its_whole_lines_say(folder: Path) -> None:
    path, sizes, said = _write(folder)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        lines = sum(size <= cut for size in sizes) - 1
        if lines == 0:
            assert find(mark(), folder) is None
        else:
            replayed = replay(path)
            assert (known(replayed.state), replayed.end) == (said[lines], sizes[lines])


@pytest.mark.parametrize("cut_before_end", [1, 30])
def test_a_torn_end_is_cut_off_before_the_next_line_is_written(
    folder: Path, cut_before_end: int
) -> None:
    path, _, said = _write(folder)
    path.write_bytes(path.read_bytes()[:-cut_before_end])
    with Journal.open(mark(), folder) as journal:
        assert journal.replayed is not None
        assert known(journal.replayed.state) == said[-2]
        left = record(journal, ev.Completing())
    assert known(replay(path).state) == known(left)


def test_torn_before_the_session_was_opened_it_is_a_new_upload(folder: Path) -> None:
    path, sizes, _ = _write(folder)
    whole = path.read_bytes()
    for cut in (0, 1, sizes[1] - 1, sizes[1], sizes[2], sizes[3] - 1):
        path.write_bytes(whole[:cut])
        with Journal.open(mark(), folder) as journal:
            assert journal.replayed is None, cut
            record(journal, opened(), stored(0))
        assert replay(path).state.missing_parts == (1, 2, 3)


def test_any_flipped_byte_is_refused_but_that_of_the_last_newline(folder: Path) -> None:
    path, sizes, said = _write(folder)
    whole = path.read_bytes()
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        if at == len(whole) - 1:
            assert known(replay(path).state) == said[-2]  # a torn end: one fact less
            continue
        with pytest.raises(JournalDamaged) as no:
            replay(path)
        assert no.value.line_no == sum(size <= at for size in sizes)


@pytest.mark.parametrize("how", ["lost", "doubled", "swapped", "zeroed", "anothers"])
def test_whole_lines_that_are_not_where_they_were_written_are_refused(
    folder: Path, how: str
) -> None:
    path, _, _ = _write(folder)
    lines = path.read_bytes().splitlines(keepends=True)
    first, second = lines[3], lines[4]
    lines[3:5] = {
        "lost": [second],
        "doubled": [first, first, second],
        "swapped": [second, first],
        "zeroed": [bytes(len(first)), second],
        "anothers": [first, b"%08x {}\n" % zlib.crc32(b"{}"), second],
    }[how]
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalDamaged):
        replay(path)


def test_two_writers_who_got_past_the_lock_are_noticed(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        state = record(journal, opened(), stored(0))
        path = journal_file(folder)
        at_fork = path.read_bytes()
        record(journal, stored(1), since=state)
        mine = path.read_bytes()[len(at_fork) :]
    path.write_bytes(at_fork + mine + mine.replace(b'"no":1', b'"no":2'))
    with pytest.raises(JournalDamaged):
        replay(path)


def test_a_fact_that_cannot_follow_is_refused_though_its_checksum_is_right(folder: Path) -> None:
    path, _, _ = _write(folder)
    crc = replay(path).crc
    for body in (b'{"fact":"Opened"}', b"[]", b'{"fact":"Burnt","at":"2026-01-01"}', b'"no"'):
        with path.open("rb+") as file:
            file.seek(0, 2)
            end = file.tell()
            file.write(b"%08x %s\n" % (zlib.crc32(body, crc), body))
            file.flush()
            with pytest.raises(JournalDamaged, match="makes no sense"):
                replay(path)
            file.truncate(end)


def test_a_damaged_journal_is_refused_in_words_that_help_and_left_as_it_is(folder: Path) -> None:
    path = _damaged(folder)
    before = path.read_bytes()
    for look in (find, Journal.open):
        with pytest.raises(JournalDamaged, match=r"damaged in line 4: its checksum is wrong") as no:
            look(mark(), folder)
        assert no.value.path == path
        assert str(path) in str(no.value)
        assert any("resume=False" in note and "forget" in note for note in no.value.__notes__)
    assert path.read_bytes() == before


def test_a_damaged_journal_is_listed_and_hinders_no_other_upload(folder: Path) -> None:
    damaged = _damaged(folder)
    with Journal.open(mark(name="other"), folder) as journal:
        record(journal, opened())
    rows = {row.id: row for row in unfinished(folder)}
    assert len(rows) == 2
    assert rows[damaged.stem].state == "damaged"
    assert "line 4" in rows[damaged.stem].note


def test_resume_false_and_forget_are_the_ways_out_of_damage(folder: Path) -> None:
    _damaged(folder)
    with Journal.open(mark(), folder, resume=False) as journal:
        assert journal.replayed is None
        record(journal, opened())
    assert replay(journal_file(folder)).state.missing_parts == (0, 1, 2, 3)
    path = _damaged(folder)
    forget(path.stem, folder)
    assert unfinished(folder) == []
    assert find(mark(), folder) is None


def test_a_journal_of_a_later_version_is_refused_and_kept(folder: Path) -> None:
    path, _, _ = _write(folder)
    body = path.read_bytes().splitlines()[0][9:].replace(b'"version":1', b'"version":3,"more":3')
    path.write_bytes(b"%08x %s\n" % (zlib.crc32(body), body) + b"what only version 3 can read\n")
    before = path.read_bytes()
    for look in (find, Journal.open):
        with pytest.raises(
            JournalTooNew, match=r"of version 3; this package reads version 2"
        ) as no:
            look(mark(), folder)
        assert any("Upgrade" in note for note in no.value.__notes__)
    assert [row.state for row in unfinished(folder)] == ["newer"]
    assert path.read_bytes() == before


def test_what_cannot_be_read_is_listed_as_such(folder: Path) -> None:
    (folder / "0123456789abcdef.journal").mkdir(parents=True)
    (row,) = unfinished(folder)
    assert row.state == "unreadable"


def test_an_upload_whose_history_is_damaged_does_not_end_the_table(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
        journal.archive("done")
    path = journal_file(folder / "history")
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert [row.state for row in history(folder)] == ["damaged"]


def _damaged(folder: Path) -> Path:
    path, sizes, _ = _write(folder)
    content = bytearray(path.read_bytes())
    content[sizes[3] + 20] ^= 1
    path.write_bytes(content)
    return path
