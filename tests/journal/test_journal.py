from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from journals import PART, UPLOAD_ID, journal_file, known, mark, opened, record, stored

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.state import ImpossibleEvent, PartState, Phase
from cognite_nb_upload.errors import SourceChanged, UploadBusy, UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.writer import (
    Journal,
    Replayed,
    find,
    forget,
    history,
    replay,
    state_folder,
    unfinished,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


def test_nothing_is_known_of_an_upload_that_never_was(folder: Path) -> None:
    assert find(mark(), folder) is None
    assert unfinished(folder) == history(folder) == []


def test_an_upload_that_was_left_is_found_with_its_session_and_its_stored_parts(
    folder: Path,
) -> None:
    with Journal.open(mark(), folder, metadata={"name": "big.segy"}, overwrite=True) as journal:
        left = record(journal, opened(), stored(2), stored(0))
    found = find(mark(), folder)
    assert found is not None
    assert found.opened == opened()
    assert found.state.missing_parts == (1, 3)
    assert known(found.state) == known(left)
    assert (found.metadata, found.overwrite) == ({"name": "big.segy"}, True)
    assert found.fingerprint == mark()


def test_the_same_call_goes_on_where_the_last_one_stopped(folder: Path) -> None:
    with Journal.open(mark(), folder) as first:
        record(first, opened(), stored(2))
    with Journal.open(mark(), folder) as second:
        assert second.replayed is not None
        assert second.replayed.opened == opened()
        record(second, stored(0))
    with Journal.open(mark(), folder) as third:
        assert third.replayed is not None
        assert third.replayed.state.missing_parts == (1, 3)
    assert len(list(folder.glob("*.journal"))) == 1


def test_every_phase_an_upload_can_be_left_in_is_the_phase_it_is_found_in(tmp_path: Path) -> None:
    part_again = (ev.PartStarted(no=1, size=PART, attempt=1), ev.PartSent(no=1, sent=9))
    walk = (
        opened(),
        stored(0),
        ev.Paused(),
        stored(1),
        ev.Resumed(),
        ev.Failed(reason="no network"),
        *part_again,
        ev.Completing(),
        *part_again,
        ev.Paused(reason="interrupted"),
        ev.Resumed(),
        ev.Completing(),
        ev.Assembling(),
        ev.Completing(),
    )
    for end in range(1, len(walk) + 1):
        folder = tmp_path / str(end)
        with Journal.open(mark(), folder) as journal:
            left = record(journal, *walk[:end])
        found = find(mark(), folder)
        assert found is not None
        assert known(found.state) == known(left), f"after {walk[:end]}"


def test_a_part_in_flight_is_found_as_waiting_with_nothing_sent(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        start = ev.PartStarted(no=1, size=PART, attempt=1)
        left = record(journal, opened(), start, ev.PartSent(no=1, sent=4096))
    assert left.sent == 4096
    found = find(mark(), folder)
    assert found is not None
    assert found.state.sent == 0
    assert found.state.missing_parts == (0, 1, 2, 3)


def test_a_stored_part_that_is_sent_again_is_missing_until_it_is_stored_again(
    folder: Path,
) -> None:
    again = ev.PartStarted(no=0, size=PART, attempt=2)
    with Journal.open(mark(), folder) as journal:
        state = record(journal, opened(), stored(0), stored(1), ev.Completing(), again)
        left = replay(journal_file(folder)).state
        assert left.missing_parts == (0, 2, 3)
        assert left.parts[0] == PartState(0, PART)
        record(journal, stored(0), since=state)
        assert replay(journal_file(folder)).state.missing_parts == (2, 3)


def test_bytes_on_their_way_cost_the_disk_nothing(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        state = record(journal, opened())
        before = journal_file(folder).read_bytes()
        start = ev.PartStarted(no=0, size=PART, attempt=1)
        lost = ev.PartLost(no=0, attempt=1, reason="reset", wait_s=1.0)
        record(
            journal,
            start,
            ev.PartSent(no=0, sent=7),
            lost,
            ev.Waiting(reason="offline"),
            since=state,
        )
        assert journal_file(folder).read_bytes() == before


def test_a_fresh_session_forgets_the_parts_of_the_old_one(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(session="old"), stored(0), stored(1), opened(), stored(3))
    found = find(mark(), folder)
    assert found is not None
    assert found.opened == opened()
    assert found.state.missing_parts == (0, 1, 2)


def test_what_could_not_be_replayed_is_not_written(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        state = record(journal, opened(), stored(0))
        before = journal_file(folder).read_bytes()
        with pytest.raises(ImpossibleEvent):
            journal.record(state, ev.Assembling())
        assert journal_file(folder).read_bytes() == before
        record(journal, stored(1), since=state)
    assert replay(journal_file(folder)).state.missing_parts == (2, 3)


def test_an_upload_that_cdf_never_opened_leaves_nothing(folder: Path) -> None:
    with Journal.open(mark(), folder):
        assert unfinished(folder) == []
    assert list(folder.iterdir()) == []


def test_urls_end_a_week_after_the_session_was_opened(folder: Path) -> None:
    monday = datetime(2026, 3, 2, 12, tzinfo=UTC)
    with Journal.open(mark(), folder, now=lambda: monday) as journal:
        record(journal, opened())
    found = find(mark(), folder)
    assert found is not None
    assert found.opened_at == monday
    assert found.expires_at == monday + timedelta(days=7)


# --- other bytes, other uploads -------------------------------------------------------------------


def test_another_file_under_the_same_name_is_refused_and_the_journal_kept(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
    other = mark(samples=("aa", "zz"), inode=43)
    for look in (find, Journal.open):
        with pytest.raises(SourceChanged, match=r"its bytes are others, it is another file") as no:
            look(other, folder)
        assert any("resume=False" in note for note in no.value.__notes__)
    with Journal.open(mark(), folder) as journal:  # nobody holds it, and it is as it was
        assert journal.replayed is not None
        assert journal.replayed.state.missing_parts == (1, 2, 3)


def test_resume_false_starts_anew_and_puts_the_old_upload_into_the_history(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
    with Journal.open(mark(mtime_ns=1), folder, resume=False) as journal:
        assert journal.replayed is None
        assert [row.state for row in history(folder)] == ["superseded"]
        record(journal, opened(session="new"))
    found = find(mark(mtime_ns=1), folder)
    assert found is not None
    assert found.state.missing_parts == (0, 1, 2, 3)


@pytest.mark.parametrize("what", ["project", "base_url", "source", "name", "metadata", "target"])
def test_a_call_that_asks_for_something_else_is_another_upload(folder: Path, what: str) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
        with Journal.open(mark(**{what: "other"}), folder) as other:
            assert other.replayed is None
            record(other, opened())
    assert len(unfinished(folder)) == 2


def test_the_part_size_of_the_upload_that_is_going_on_stays(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
    found = find(mark(part_size=1), folder)
    assert found is not None
    assert found.fingerprint.part_size == PART


# --- the end --------------------------------------------------------------------------------------


def test_an_upload_that_is_done_is_history_and_its_journal_gone(folder: Path) -> None:
    with Journal.open(mark(), folder, metadata={"externalId": "seismic-1"}) as journal:
        done = (stored(0), stored(1), stored(2), stored(3), ev.Completing(), ev.Completed())
        record(journal, opened(), *done)
        journal.archive("done")
    assert unfinished(folder) == []
    assert find(mark(), folder) is None
    (row,) = history(folder)
    assert (row.name, row.state, row.file_id, row.external_id) == (
        "big.segy",
        "done",
        91,
        "seismic-1",
    )
    assert (row.size, row.parts, row.stored_parts, row.stored_bytes) == (4 * PART, 4, 4, 4 * PART)
    assert sorted(path.name for path in folder.iterdir()) == ["history"]


def test_the_archived_journal_is_sound_and_has_no_url_in_it(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
        journal.archive("cancelled")
    path = journal_file(folder / "history")
    archived = replay(path)
    assert archived.outcome == "cancelled"
    assert archived.state.missing_parts == (1, 2, 3)
    assert b"http" not in path.read_bytes().replace(mark().base_url.encode(), b"")
    assert UPLOAD_ID.encode() not in path.read_bytes()


def test_killed_between_done_and_its_archive_the_same_call_is_told_that_it_is_done(
    folder: Path,
) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), ev.Completing(), ev.Completed(verified="size"))
    with Journal.open(mark(), folder) as again:
        assert again.replayed is not None
        assert again.replayed.state.phase is Phase.DONE
        again.archive("done")
    assert [row.state for row in history(folder)] == ["done"]


def test_done_with_other_bytes_since_is_a_new_upload_not_a_refusal(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), ev.Completing(), ev.Completed())
    with Journal.open(mark(size=1), folder) as again:
        assert again.replayed is None
    assert [row.state for row in history(folder)] == ["done"]


def test_a_cancelled_upload_is_not_gone_on_with(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0), ev.Cancelled())
    assert find(mark(), folder) is None
    with Journal.open(mark(), folder) as again:
        assert again.replayed is None
    assert [row.state for row in history(folder)] == ["cancelled"]


def test_the_history_keeps_the_newest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_folder, "HISTORY_KEPT", 3)
    for no in range(5):
        with Journal.open(mark(name=f"{no}.bin"), folder) as journal:
            record(journal, opened())
            journal.archive("done")
        _age(folder / "history")
    assert [row.name for row in history(folder)] == ["4.bin", "3.bin", "2.bin"]


def test_a_forgotten_upload_is_gone_finished_or_not(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
        with pytest.raises(UploadBusy):
            forget(mark().key, folder)
    with Journal.open(mark(name="other"), folder) as journal:
        record(journal, opened())
        journal.archive("done")
    for row in (*unfinished(folder), *history(folder)):
        forget(row.id, folder)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("wrong", ["0" * 16, "", "../../etc/passwd", "*"])
def test_an_id_that_is_not_there_is_a_usage_error(folder: Path, wrong: str) -> None:
    for act in (forget, Journal.reopen):
        with pytest.raises(UsageError, match="No upload"):
            act(wrong, folder)


# --- by id, and in a table ------------------------------------------------------------------------


def test_an_upload_is_reopened_by_the_id_that_the_table_shows(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(1))
    (row,) = unfinished(folder)
    with Journal.reopen(row.id, folder) as journal:
        assert journal.replayed is not None
        assert journal.replayed.id == row.id
        journal.replayed.fingerprint.check(mark())
        record(journal, stored(0))
    assert replay(journal_file(folder)).state.missing_parts == (2, 3)


def test_what_has_ended_is_not_reopened(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened())
        journal.archive("done")
    (row,) = history(folder)
    with pytest.raises(UsageError, match="has ended"):
        Journal.reopen(row.id, folder)


def test_the_table_tells_what_is_stored_and_who_has_it_in_hand(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(1), stored(3))
        (row,) = unfinished(folder)
        assert f"process {os.getpid()} (this one) on host" in row.held_by
    (row,) = unfinished(folder)
    assert row.held_by == ""
    assert (row.stored_parts, row.stored_bytes, row.parts) == (2, 2 * PART, 4)
    assert (row.project, row.source, row.state) == ("acme", "/data/big.segy", "sending")
    assert row.opened_at is not None
    assert row.expires_at == row.opened_at + timedelta(days=7)


def test_an_upload_that_ends_while_it_is_listed_is_not_told_as_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, read = Journal.open(mark(), folder), journal_folder.look
    record(journal, opened())

    def look(path: Path) -> Replayed | None:
        known = read(path)
        journal.archive("done")  # in another thread, as a rule
        return known

    monkeypatch.setattr(journal_folder, "look", look)
    (row,) = unfinished(folder)
    assert "(this one)" in row.held_by
    assert unfinished(folder) == []


def test_the_table_has_the_last_touched_first(folder: Path) -> None:
    for name in ("a", "b", "c"):
        with Journal.open(mark(name=name), folder) as journal:
            record(journal, opened())
        _age(folder)
    assert [row.name for row in unfinished(folder)] == ["c", "b", "a"]


def _age(folder: Path) -> None:
    """All that is there becomes an hour older: clocks of file systems are coarse."""
    for path in folder.glob("*.journal"):
        then = path.stat().st_mtime - 3600
        os.utime(path, (then, then))


# --- the folder -----------------------------------------------------------------------------------


def test_folder_and_files_are_for_their_owner_alone_under_any_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        with Journal.open(mark(), folder) as journal:
            record(journal, opened())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
            journal.archive("done")
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "history").stat().st_mode) == 0o700
    assert stat.S_IMODE(journal_file(folder / "history").stat().st_mode) == 0o600


def test_the_folder_is_the_given_one_else_the_environments_else_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "chosen"))
    assert state_folder(tmp_path / "given") == tmp_path / "given"
    assert state_folder() == tmp_path / "chosen"
    with Journal.open(mark()) as journal:
        record(journal, opened())
    assert [row.id for row in unfinished()] == [mark().key]
    Journal.reopen(mark().key).archive("done")
    assert find(mark()) is None
    forget(history()[0].id)
    assert list((tmp_path / "chosen").rglob("*.journal")) == []
    monkeypatch.delenv("COGNITE_NB_UPLOAD_STATE")
    assert state_folder().parts[-2:] == ("cognite_nb_upload", "uploads")


def test_the_users_own_folder_is_made_private_and_a_chosen_one_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("COGNITE_NB_UPLOAD_STATE", raising=False)
    for folder, mode in ((state_folder(), 0o700), (tmp_path / "chosen", 0o755)):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        with Journal.open(mark(), folder) as journal:
            record(journal, opened())
        assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_parents_of_the_folder_that_are_missing_are_made_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home" / ".local" / "state"))
    monkeypatch.delenv("COGNITE_NB_UPLOAD_STATE", raising=False)
    (tmp_path / "home").mkdir(mode=0o755)
    with Journal.open(mark()) as journal:
        record(journal, opened())
    made, modes = state_folder(), {}
    while made != tmp_path:
        modes[made.name] = stat.S_IMODE(made.stat().st_mode)
        made = made.parent
    assert modes.pop("home") == 0o755  # it was there
    assert modes == dict.fromkeys((".local", "state", "cognite_nb_upload", "uploads"), 0o700)


def test_a_line_is_a_checksum_and_json_that_a_person_can_read(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
    lines = journal_file(folder).read_text("ascii").splitlines()
    facts = [json.loads(line[9:]) for line in lines]
    assert [fact["fact"] for fact in facts] == ["Journal", "Held", "Opened", "PartStored"]
    assert facts[0]["version"] == 1


def test_the_record_is_a_listener_of_the_uploads_feed(folder: Path) -> None:
    feed = Feed(clock=lambda: 1.0)
    with Journal.open(mark(), folder) as journal:
        feed.listen(journal.record)
        for event in (opened(), stored(0)):
            feed.emit(event)
    found = find(mark(), folder)
    assert found is not None
    assert known(found.state) == known(feed.state)


def test_a_feed_goes_on_from_what_was_found(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
    with Journal.open(mark(), folder) as journal:
        assert journal.replayed is not None
        feed = Feed(clock=lambda: 1.0, state=journal.replayed.state)
        feed.listen(journal.record)
        feed.emit(ev.PartStarted(no=1, size=PART, attempt=1))
        feed.emit(stored(1))
    found = find(mark(), folder)
    assert found is not None
    assert found.state.missing_parts == feed.state.missing_parts == (2, 3)


def test_a_relative_folder_stays_where_it_was_and_quotes_are_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", '"of-this-test"\n')
    assert state_folder() == tmp_path / "of-this-test"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert state_folder() == tmp_path / "of-this-test"


def test_one_that_ends_as_somebody_looks_is_not_told_as_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Journal.open(mark(), folder)
    record(running, opened(), stored(0))
    look = journal_folder.look

    def ends_now(path: Path) -> journal_folder.Replayed | None:
        found = look(path)
        running.archive("done")
        return found

    # Whoever has read it finds its lock free afterwards.
    monkeypatch.setattr(journal_folder, "look", ends_now)
    other = mark(name="the same bytes.segy", metadata="dd")
    assert journal_folder.left_of(other, folder) == []
    running.archive("done")


def test_one_that_was_left_is_told_as_left(folder: Path) -> None:
    with Journal.open(mark(), folder) as journal:
        record(journal, opened(), stored(0))
        other = mark(name="the same bytes.segy", metadata="dd")
        assert journal_folder.left_of(other, folder) == []  # it is being sent
    (left,) = journal_folder.left_of(other, folder)
    assert left.state.missing_parts == (1, 2, 3)
