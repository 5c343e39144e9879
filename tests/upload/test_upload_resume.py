"""Item 5 of the upload: going on where an earlier call stopped (rows 24 to 28)."""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from upload_rig import (
    PART,
    Ear,
    Gate,
    asked,
    content_of,
    file_of,
    fired,
    program,
    puts,
    stored_puts,
    until,
    until_true,
)

from cognite_nb_upload import (
    CogniteClient,
    PartFailed,
    SourceChanged,
    Upload,
    UploadBusy,
    UsageError,
    resume,
    uploads,
)
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal import writer as journal
from cognite_nb_upload.journal.writer import JournalDamaged, JournalWarning
from cognite_nb_upload.models import GeoLocation

Clients = Callable[..., CogniteClient]
Start = Callable[..., Emulator]


def left_off(
    client: CogniteClient, cdf: Emulator, content: Any, at: int = 1, **fields: Any
) -> Upload:
    """An upload that was stopped while part `at` was on its way, and all others are stored."""
    cdf.inject(Fault("stall", "part", part=at))
    before = len(cdf.fired())
    upload = client.files.start_upload(content, part_size=PART, **fields)
    until(upload, lambda state: len(state.parts) and state.missing_parts == (at,))
    until_true(lambda: len(cdf.fired()) > before)  # else it holds the call that goes on
    upload.stop()
    return upload


# --- the table, and going on by it ----------------------------------------------------------------


def test_the_table_lists_what_is_unfinished_and_what_ended(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    assert uploads().empty
    client.files.upload(b"x", name="small.bin")
    upload = left_off(client, cdf, file_of(tmp_path, 3), external_id="x")
    frame = uploads()
    assert list(frame["state"]) == ["paused", "done"]
    assert list(uploads(recent=False)["name"]) == ["big.segy"]
    row = frame.iloc[0]
    assert (row["size_bytes"], row["parts"], row["stored_parts"]) == (3 * PART, 3, 2)
    assert (row["file_id"], row["external_id"]) == (upload.state.file_id, "x")
    assert row["stored_bytes"] == 2 * PART
    assert row["expires_at"] - row["opened_at"] == pd.Timedelta(days=7)
    assert str(frame["opened_at"].dtype).startswith("datetime64[")
    assert frame.index.name == "id"


def _row(frame: pd.DataFrame) -> object:
    return frame.iloc[0]


def _id(frame: pd.DataFrame) -> object:
    return frame.index[0]


def _tuple(frame: pd.DataFrame) -> object:
    return next(frame.itertuples())


def _record(frame: pd.DataFrame) -> object:
    return frame.reset_index().to_dict("records")[0]


@pytest.mark.parametrize("chosen", [_row, _id, _tuple, _record])
def test_resume_goes_on_by_a_row_or_an_id(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, chosen: Callable[[Any], object]
) -> None:
    left_off(client, cdf, file_of(tmp_path, 3))
    uploaded = resume(chosen(uploads()), client).result(30)
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1}
    assert cdf.content(uploaded.id) == content_of(3)
    assert uploaded.notes == ("Went on with 2 of 3 parts stored already.",)
    assert list(uploads()["state"]) == ["done"]


EVERY_FIELD: dict[str, Any] = {
    "name": "ö \N{GREEK SMALL LETTER ALPHA}.bin",
    "external_id": "x",
    "source": "rig",
    "mime_type": "application/x-segy",
    "metadata": {"a": "1", "ü": "x" * 100},
    "directory": "/a/b",
    "geo_location": GeoLocation.of({"type": "Point", "coordinates": [10.5, 59.9]}),
    "source_created_time": 1_700_000_000_123,
    "source_modified_time": dt.datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=dt.UTC),
}


def test_an_upload_with_every_field_is_gone_on_with_by_its_id(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    left_off(client, cdf, file_of(tmp_path, 2), **EVERY_FIELD)
    uploaded = resume(uploads().iloc[0], client).result(30)
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1}
    assert len(asked(cdf, "init")) == 1
    assert uploaded.file.metadata == EVERY_FIELD["metadata"]


def test_the_blocking_face_resumes_too(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    left_off(client, cdf, file_of(tmp_path, 2))
    assert client.files.resume_upload(str(uploads().index[0])).size == 2 * PART


def test_content_for_an_existing_file_is_gone_on_with_by_its_id(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    made = client.files.upload(b"old", name="a.bin", external_id="a")
    cdf.inject(Fault("stall", "part", part=1))
    upload = client.files.start_upload_content(
        file_of(tmp_path, 2), external_id="a", part_size=PART
    )
    until(upload, lambda state: state.missing_parts == (1,))
    until_true(cdf.fired)  # else it holds the call that goes on
    upload.stop()
    assert uploads(recent=False).iloc[0]["name"] == "a"
    uploaded = resume(uploads().iloc[0], client).result(30)
    assert uploaded.id == made.id
    assert cdf.content(made.id) == content_of(2)
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1}


def test_bytes_are_given_again_and_go_on(client: CogniteClient, cdf: Emulator) -> None:
    left_off(client, cdf, content_of(2), name="a.bin")
    row = uploads().iloc[0]
    with pytest.raises(UsageError, match="has no path; give its bytes"):
        resume(row, client)
    uploaded = resume(row, client, content_of(2)).result(30)
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1}
    assert cdf.content(uploaded.id) == content_of(2)


def test_a_file_that_was_moved_is_given_by_its_new_place(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    left_off(client, cdf, path)
    row, moved = uploads().iloc[0], path.rename(tmp_path / "moved.segy")
    with pytest.raises(UsageError, match="cannot be read"):
        resume(row, client)
    uploaded = resume(row, client, moved).result(30)
    assert uploaded.name == "big.segy"
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1}


def test_another_file_in_its_place_is_refused_by_resume(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    left_off(client, cdf, file_of(tmp_path, 2))
    row = uploads().iloc[0]
    with pytest.raises(SourceChanged, match="has 5 bytes; the unfinished upload"):
        resume(row, client, b"other")
    other = file_of(tmp_path, 2, name="other.segy", seed=1)
    with pytest.raises(SourceChanged, match="its bytes are others"):
        resume(row, client, other).result(30)
    assert list(uploads()["state"]) == ["paused"]
    assert not asked(cdf, "complete")


def test_what_cannot_be_resumed_is_refused(
    client: CogniteClient, cdf: Emulator, clients: Clients, start: Start, tmp_path: Path
) -> None:
    client.files.upload(b"x", name="a.bin")
    with pytest.raises(UsageError, match=r"has ended \(done\)"):
        resume(uploads().iloc[0], client)
    with pytest.raises(UsageError, match="No upload 'nonsense'"):
        resume("nonsense", client)
    with pytest.raises(UsageError, match="neither a row"):
        resume(7, client)
    left_off(client, cdf, file_of(tmp_path, 2))
    other = start(project="other")
    with pytest.raises(UsageError, match="goes to project 'demo'"):
        resume(uploads().iloc[0], clients(other))
    assert other.requests() == []


def test_an_overwrite_that_is_gone_on_with_still_changes_what_cdf_leaves_as_it_was(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    client.files.upload(b"old", name="a.bin", external_id="a", directory="/old")
    fields = {"name": "a.bin", "external_id": "a", "directory": "/new", "overwrite": True}
    left_off(client, cdf, file_of(tmp_path, 2), **fields)
    uploaded = resume(uploads(recent=False).iloc[0], client).result(30)
    assert uploaded.file.directory == "/new"
    (there,) = (file for file in cdf.files() if file.get("externalId") == "a")
    assert there["directory"] == "/new"


# --- the same call --------------------------------------------------------------------------------


def test_resume_false_begins_anew(client: CogniteClient, cdf: Emulator, tmp_path: Path) -> None:
    path = file_of(tmp_path, 2)
    first = left_off(client, cdf, path)
    uploaded = client.files.upload(path, part_size=PART, resume=False)
    assert uploaded.id != first.state.file_id
    assert uploaded.notes == ()
    assert sorted(uploads()["state"]) == ["done", "superseded"]


def test_other_metadata_is_another_upload(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    left_off(client, cdf, path)
    left = uploads().index[0]
    uploaded = client.files.upload(path, part_size=PART, directory="/elsewhere")
    (note,) = uploaded.notes
    assert "1 of 2 parts stored; this call differs in directory." in note
    assert f"`resume({left!r})` goes on with that one" in note
    assert sorted(uploads()["state"]) == ["done", "paused"]


def test_the_part_size_of_the_upload_that_is_going_on_stays(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    left_off(client, cdf, path)
    uploaded = client.files.upload(path)  # by itself, it would be two parts
    assert uploaded.parts == 3
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1}


def test_a_file_that_changed_since_is_refused_whatever_gave_it_away(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    left_off(client, cdf, path)
    was = path.stat()
    file_of(tmp_path, 2, seed=1)
    with pytest.raises(SourceChanged, match="its bytes are others"):
        client.files.upload(path, part_size=PART)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # now name, size and time are the same
    with pytest.raises(SourceChanged, match="its bytes are others") as refused:
        client.files.upload(path, part_size=PART)
    assert "resume=False" in refused.value.__notes__[0]
    assert not asked(cdf, "complete")
    assert client.files.upload(path, part_size=PART, resume=False).notes == ()


@pytest.mark.skipif(sys.platform != "linux", reason="ctime tells nothing there")
def test_a_file_whose_time_was_put_back_since_is_refused_where_no_sample_tells(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path, other = file_of(tmp_path, 3), file_of(tmp_path, 2, name="other.segy", seed=1)
    left_off(client, cdf, other)
    other.chmod(0o640)  # which changes the ctime, too
    assert "1 of 2 parts stored" in client.files.upload(other, part_size=PART).notes[0]
    completed = len(asked(cdf, "complete"))
    left_off(client, cdf, path)
    was = path.stat()
    with path.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"edited")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    with pytest.raises(SourceChanged, match="its modification time put back") as refused:
        client.files.upload(path, part_size=PART)
    assert "resume=False" in refused.value.__notes__[0]
    assert len(asked(cdf, "complete")) == completed
    done = client.files.upload(path, part_size=PART, resume=False)
    assert cdf.content(done.id) == path.read_bytes()


def test_a_file_that_is_gone_in_cdf_is_begun_anew_and_said(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    first = left_off(client, cdf, path)
    client.files.delete(first.state.file_id)
    uploaded = client.files.upload(path, part_size=PART)
    assert uploaded.id != first.state.file_id
    assert uploaded.notes == (
        "Began anew: the file is no longer in CDF; parts that were stored are sent again.",
    )
    assert cdf.content(uploaded.id) == content_of(2)


def test_begun_anew_with_other_parts_in_mind_and_killed_again_no_byte_is_misplaced(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 4)
    first = left_off(client, cdf, path)
    client.files.delete(first.state.file_id)
    fired = len(cdf.fired())
    cdf.inject(Fault("stall", "part", part=1))
    second = client.files.start_upload(path, part_size=PART + 4096)
    until(second, lambda state: len(state.parts) and state.missing_parts == (1,))
    until_true(lambda: len(cdf.fired()) > fired)
    second.stop()
    uploaded = client.files.upload(path, part_size=2 * PART)
    assert uploaded.notes[0].startswith("Went on with 3 of 4 parts")
    assert cdf.content(uploaded.id) == content_of(4)


def test_a_journal_that_cannot_be_trusted_is_never_a_done_and_says_what_to_do(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, journals: Path
) -> None:
    path = file_of(tmp_path, 2)
    left_off(client, cdf, path)
    (file,) = journals.glob("*.journal")
    text = bytearray(file.read_bytes())
    text[200] ^= 1
    file.write_bytes(text)
    with pytest.raises(JournalDamaged) as damaged:
        client.files.upload(path, part_size=PART)
    assert "resume=False" in damaged.value.__notes__[0]
    assert list(uploads()["state"]) == ["damaged"]
    assert client.files.upload(path, part_size=PART, resume=False).size == 2 * PART


# --- URLs that are over ---------------------------------------------------------------------------

EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


def expired(**when: Any) -> Fault:
    return Fault("status", "part", status=403, body=EXPIRED, **when)


def test_urls_that_expire_earn_fresh_ones_for_the_same_file_and_it_is_said(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(expired(part=1))
    uploaded = client.files.upload(file_of(tmp_path, 2), part_size=PART, external_id="x")
    assert fired(cdf) == ["status"]
    assert uploaded.notes == (
        "Asked CDF for fresh URLs: the store says that its upload URLs have expired; parts are "
        "sent again.",
    )
    assert len(asked(cdf, "multiuploadlink")) == len(asked(cdf, "init")) == 1
    assert cdf.content(uploaded.id) == content_of(2)


def test_urls_that_expired_between_two_calls_too(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    left_off(client, cdf, path, external_id="x")
    cdf.inject(expired(part=1))
    uploaded = client.files.upload(path, part_size=PART, external_id="x")
    assert "fresh URLs" in uploaded.notes[-1]
    assert cdf.content(uploaded.id) == content_of(2)


def test_without_an_external_id_it_becomes_another_file_and_the_old_one_is_named(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(expired(part=1))
    uploaded = client.files.upload(file_of(tmp_path, 2), part_size=PART)
    (note,) = uploaded.notes
    (old,) = (
        file["id"]
        for file in cdf.files()
        if file["name"] == "big.segy" and file["id"] != uploaded.id
    )
    assert note.startswith("Began anew: the store says that its upload URLs have expired")
    assert note.endswith(f"CDF deletes the unfinished one, id {old}.")
    assert cdf.content(uploaded.id) == content_of(2)


@pytest.mark.slow
def test_urls_that_live_for_a_second_are_replaced_for_real(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(url_life_s=6.0)
    client, path = clients(cdf), file_of(tmp_path, 2)
    left_off(client, cdf, path, external_id="x")
    time.sleep(6.1)
    uploaded = client.files.upload(path, part_size=PART, external_id="x")
    assert "fresh URLs" in uploaded.notes[-1]
    assert cdf.content(uploaded.id) == content_of(2)


def test_urls_that_are_always_expired_end_the_upload_and_are_no_loop(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(expired(times=None))
    with pytest.raises(PartFailed, match="the upload URL has expired") as failed:
        client.files.upload(file_of(tmp_path, 2), part_size=PART, external_id="x")
    assert failed.value.expired
    assert len(asked(cdf, "multiuploadlink")) == 1


def test_each_fresh_session_has_to_get_further_than_the_last(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(expired(part=2, times=None))
    with pytest.raises(PartFailed):
        client.files.upload(
            file_of(tmp_path, 3), part_size=PART, external_id="x", max_concurrency=1
        )
    assert len(asked(cdf, "multiuploadlink")) == 1
    assert puts(cdf)[0] == 2


def test_a_session_that_the_store_has_forgotten_is_replaced_after_a_restart_alone(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    gone = Fault("status", "part", part=1, status=404)
    cdf.inject(gone)
    path = file_of(tmp_path, 2)
    with pytest.raises(PartFailed, match="404"):  # row 7: a fresh session is refused at once
        client.files.upload(path, part_size=PART, external_id="x")
    cdf.inject(gone)
    uploaded = client.files.upload(path, part_size=PART, external_id="x")
    assert fired(cdf) == ["status"] * 2
    assert "has forgotten this upload" in uploaded.notes[-1]
    assert cdf.content(uploaded.id) == content_of(2)


# --- row 25: who has it in hand -------------------------------------------------------------------


def test_content_that_cannot_be_compared_is_refused_while_it_is_sent_and_told_by_whom(
    client: CogniteClient, cdf: Emulator
) -> None:
    gates = [Gate(content_of(2), open_to=PART) for _ in range(2)]
    upload = client.files.start_upload(gates[0], part_size=PART)
    until(upload, lambda state: state.stored)
    second = client.files.start_upload(gates[1], part_size=PART)
    with pytest.raises(UploadBusy, match=rf"process {os.getpid()} \(this one\)") as told:
        second.result(30)
    assert "running_uploads()" in told.value.__notes__[0]
    assert second.state.phase is Phase.FAILED
    assert uploads().iloc[0]["held_by"].startswith(f"process {os.getpid()}")
    upload.cancel()
    gates[1].open()
    assert client.files.upload(gates[1], part_size=PART).size == 2 * PART


# --- row 24: no journal ---------------------------------------------------------------------------


def test_without_a_folder_for_journals_the_upload_goes_on_with_a_loud_warning(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "file" / "folder"))
    with pytest.warns(JournalWarning, match="Uploads cannot be remembered in .*Not a directory"):
        uploaded = client.files.upload(file_of(tmp_path, 2), part_size=PART)
    assert "cannot be remembered" in uploaded.notes[0]
    assert "cannot be remembered" in repr(uploaded)
    assert cdf.content(uploaded.id) == content_of(2)


FULL_DISK = """
import resource, signal, sys, warnings
from pathlib import Path
from upload_rig import PART
from cognite_nb_upload import CogniteClient
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
with CogniteClient.from_env() as client, warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    uploaded = client.files.upload(Path(sys.argv[1]), part_size=PART)
print(*[one.category.__name__ for one in caught], len(uploaded.notes), uploaded.notes[-1])
"""


def test_on_a_full_disk_the_upload_goes_on_with_one_loud_warning(
    cdf: Emulator, tmp_path: Path
) -> None:
    ended = program(cdf, FULL_DISK, file_of(tmp_path, 2))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("JournalWarning 1 The journal ")
    assert "File too large. The upload goes on" in ended.stdout
    (file,) = (file for file in cdf.files() if file["name"] == "big.segy")
    assert cdf.content(file["id"]) == content_of(2)


# --- row 26: the clock jumps ----------------------------------------------------------------------


@contextmanager
def clock_off_by(days: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The wall clock of the journal, and `time.time` for all, are wrong by so much."""
    real, shift = time.time, days * 86400.0

    class Wrong(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime.fromtimestamp(real() + shift, tz)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "datetime", Wrong)
        patch.setattr(time, "time", lambda: real() + shift)
        yield


@pytest.mark.parametrize("days", [-30, 30])
def test_urls_expire_by_the_stores_clock_not_by_ours(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    path = file_of(tmp_path, 2)
    with clock_off_by(days, monkeypatch):
        left_off(client, cdf, path)
    expires = uploads().iloc[0]["expires_at"]
    assert (expires < pd.Timestamp.now(tz="UTC")) == (days < 0)
    uploaded = client.files.upload(path, part_size=PART)
    assert uploaded.notes == ("Went on with 1 of 2 parts stored already.",)
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1}


@pytest.mark.parametrize("days", [-1, 1])
def test_old_content_is_not_taken_for_the_new_whatever_our_clock_says(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """An overwrite of which everything is stored, and that was stopped before it was completed."""
    made = client.files.upload(b"old", name="big.segy", external_id="x")
    how: dict[str, Any] = {"part_size": PART, "external_id": "x", "overwrite": True}
    cdf.inject(Fault("status", "complete", retry_after=100))
    path = file_of(tmp_path, 2)
    with clock_off_by(days, monkeypatch):
        upload = client.files.start_upload(path, **how)
        until(upload, lambda state: "503" in state.waiting_for)
        upload.stop()
        assert cdf.content(made.id) == b"old"
        uploaded = client.files.upload(path, **how)
    assert uploaded.notes == ("Went on with 2 of 2 parts stored already.",)
    assert cdf.content(made.id) == content_of(2)


@pytest.mark.parametrize("days", [-1, 1])
def test_new_content_is_known_as_such_whatever_our_clock_says(
    start: Start, clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """An overwrite whose completion was carried out, and whose answer nobody heard."""
    cdf = start(repeated_complete="refuse")
    client, path = clients(cdf), file_of(tmp_path, 2)
    made = client.files.upload(b"old", name="big.segy", external_id="x")
    how: dict[str, Any] = {"part_size": PART, "external_id": "x", "overwrite": True}
    with clock_off_by(days, monkeypatch):
        cdf.inject(Fault("stall_answer", "complete"))
        upload = client.files.start_upload(path, **how)
        until_true(cdf.fired)
        upload.stop()
        found = client.files.upload(path, **how)
    assert found.notes == ("It had been completed already; nothing was sent.",)
    assert len(asked(cdf, "complete")) == 1
    assert cdf.content(made.id) == content_of(2)


def test_a_clock_that_jumps_during_an_upload_moves_neither_rate_nor_waits(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdf.inject(Fault("status", "part", part=1, status=503, times=2))
    upload = client.files.start_upload(file_of(tmp_path, 3), part_size=PART, max_bandwidth=2e7)
    ear = Ear()
    upload.listen(ear)
    began = time.monotonic()
    with warnings.catch_warnings(), clock_off_by(400, monkeypatch):
        upload.result(30)
    took_s = time.monotonic() - began
    assert fired(cdf) == ["status"] * 2
    times = [state.at_s for state in ear.states]
    assert times == sorted(times)
    assert times[-1] - times[0] <= took_s + 1
    assert all(state.rate < 1e9 for state in ear.states)
