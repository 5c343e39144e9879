"""The uploads of this process: the same call finds the one that runs, whatever became of it."""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from upload_rig import (
    PART,
    Ear,
    asked,
    content_of,
    file_of,
    fired,
    program,
    puts,
    until,
    until_phase,
    until_true,
)

from cognite_nb_upload import (
    CogniteClient,
    Upload,
    UploadStopped,
    resume,
    running_uploads,
    uploads,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.journal.folder import state_folder
from cognite_nb_upload.transfer import running

Clients = Callable[..., CogniteClient]


def on_its_way(client: CogniteClient, cdf: Emulator, content: Any, **fields: Any) -> Upload:
    """An upload of which part 1 stands still; all others are stored."""
    cdf.inject(Fault("stall", "part", part=1))
    upload = client.files.start_upload(content, part_size=PART, **fields)
    until(upload, lambda state: state.missing_parts == (1,))
    until_true(lambda: fired(cdf) == ["stall"])
    return upload


def test_the_same_call_returns_the_upload_that_runs(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path, external_id="x", metadata={"a": "1", "b": "2"})
    again = client.files.start_upload(
        str(path), part_size=PART, metadata={"b": "2", "a": "1"}, external_id="x"
    )
    assert again is first
    assert again.notes == ()
    first.stop()
    assert len(asked(cdf, "init")) == 1


def test_an_upload_whose_handle_is_gone_is_found_by_another_client_and_ends_well(
    client: CogniteClient, clients: Clients, cdf: Emulator, tmp_path: Path
) -> None:
    """As `%reset -f` leaves it: no name leads to the upload, and the client is a new one."""
    path = file_of(tmp_path, 3)
    known = id(on_its_way(client, cdf, path))
    gc.collect()
    (found,) = running_uploads()
    assert id(found) == known
    assert clients(cdf).files.start_upload(path, part_size=PART) is found
    found.pause()
    found.resume()  # the part that stood still is sent again
    assert cdf.content(found.result(30).id) == content_of(3)
    assert dict(puts(cdf)) == {0: 1, 1: 2, 2: 1}
    assert running_uploads() == []


def test_other_options_return_the_one_that_runs_and_say_what_was_ignored(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path)
    again = client.files.start_upload(
        path, part_size=2 * PART, max_bandwidth=1e9, verify="size", max_concurrency=3
    )
    assert again is first
    (note,) = first.notes
    ignored = f"part_size={2 * PART}, max_concurrency=3, max_bandwidth=1000000000.0"
    assert f"{ignored} of the later call were ignored" in note
    assert "verify" not in note
    assert note.rstrip(".") in repr(first)
    assert client.files.limits.bandwidth.rate is None
    assert (first.plan.part_size, first.max_concurrency) == (PART, 64)
    first.pause()
    first.resume()
    assert first.result(30).notes == (note,)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "other.segy"},
        {"directory": "/elsewhere"},
        {"metadata": {"a": "2"}},
        {"external_id": "y"},
        {"external_id": "x", "overwrite": True},
    ],
)
def test_another_request_is_another_upload(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, other: dict[str, Any]
) -> None:
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path, metadata={"a": "1"})
    second = client.files.start_upload(path, **{"metadata": {"a": "1"}, **other})
    assert second is not first
    assert second in running_uploads()
    second.stop()
    first.stop()


def test_a_file_that_was_written_to_is_another_upload(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path)
    path.write_bytes(content_of(3, seed=1))
    second = client.files.start_upload(path)
    assert second is not first
    first.stop()
    second.stop()


def test_equal_bytes_in_memory_are_the_same_upload_and_others_are_not(
    client: CogniteClient, cdf: Emulator
) -> None:
    content = content_of(3)
    first = on_its_way(client, cdf, content, name="a.bin")
    assert client.files.start_upload(bytearray(content), name="a.bin") is first
    other = bytearray(content)
    other[3 * PART // 2 + 70_000] ^= 1  # where no sample of the fingerprint looks
    second = client.files.start_upload(bytes(other), name="a.bin")
    assert second is not first
    second.stop()
    first.stop()


def test_content_for_an_existing_file_is_found_too(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    for name in "ab":
        client.files.upload(b"old", name=name, external_id=name)
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall", "part", part=1))
    first = client.files.start_upload_content(path, external_id="a", part_size=PART)
    until(first, lambda state: state.missing_parts == (1,))
    assert client.files.start_upload_content(path, external_id="a") is first
    second = client.files.start_upload_content(path, external_id="b")
    assert second is not first
    second.result(30)
    first.stop()


def test_the_same_call_goes_on_with_a_paused_upload(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path)
    first.pause()
    until_phase(first, Phase.PAUSED)
    assert first in running_uploads()
    assert client.files.start_upload(path, part_size=PART).result(30).parts == 3


def test_an_upload_that_has_ended_is_not_found(client: CogniteClient, tmp_path: Path) -> None:
    path = file_of(tmp_path, 1)
    first = client.files.start_upload(path)
    first.result(30)
    assert running_uploads() == []
    second = client.files.start_upload(path)
    assert second is not first
    assert second.result(30).id != first.result().id


def test_the_call_after_a_stop_waits_for_the_end_of_the_one_before(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path, held, let = file_of(tmp_path, 3), threading.Event(), threading.Event()
    first = on_its_way(client, cdf, path)

    def hold(_: object, event: ev.Event) -> None:
        if isinstance(event, ev.Paused):
            held.set()
            assert let.wait(30)

    first.listen(hold)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(first.stop)
        assert held.wait(30)  # it was stopped, and has not ended
        second = client.files.start_upload(path, part_size=PART)
        assert second is not first
        let.set()
        stopping.result(30)
    with pytest.raises(UploadStopped):
        first.result(30)
    assert "Went on with 2 of 3 parts" in second.result(30).notes[0]


def test_calls_of_several_threads_at_once_are_one_upload(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path, barrier = file_of(tmp_path, 2), threading.Barrier(8)
    cdf.inject(Fault("stall", "part", part=1))

    def call() -> Upload:
        barrier.wait(30)
        return client.files.start_upload(path, part_size=PART)

    with ThreadPoolExecutor(8) as pool:
        handles = {one.result(30) for one in [pool.submit(call) for _ in range(8)]}
    assert len(handles) == 1
    until(handles.pop(), lambda state: state.missing_parts == (1,))
    running_uploads()[0].stop()


def test_the_table_lists_what_runs_and_resume_returns_its_handle(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path)
    row = uploads().iloc[0]
    assert (row.name, first.path) == (first.id, str(path))
    assert "(this one)" in row["held_by"]
    assert resume(row, client) is first
    assert resume(first.id) is first  # no client is needed
    first.pause()
    until_phase(first, Phase.PAUSED)
    ear = Ear()
    first.listen(ear)
    assert resume(row, client).result(30).parts == 3
    assert ear.of(ev.Resumed)


def test_an_upload_that_ends_between_two_looks_is_listed_once(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    """Its journal is in the history before it is gone from where it was."""
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path)
    (journal,) = state_folder().glob("*.journal")
    as_it_was = journal.read_bytes()
    first.pause()
    until_phase(first, Phase.PAUSED)
    first.resume()
    first.result(30)
    until_true(lambda: not journal.exists())
    journal.write_bytes(as_it_was)
    (row,) = uploads().itertuples()
    assert (row.state, row.stored_parts) == ("done", 3)
    assert uploads(recent=False).index.tolist() == [first.id]
    journal.unlink()

    cdf.inject(Fault("stall", "part", part=1))
    again = client.files.start_upload(path, part_size=PART, overwrite=True)
    until(again, lambda state: state.missing_parts == (1,))
    # An earlier one of the same file stays in the list.
    assert set(uploads().index) == {again.id, row.Index}
    again.stop()


def test_reloading_the_module_keeps_what_runs(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    first = on_its_way(client, cdf, file_of(tmp_path, 2))
    with pytest.raises(ImportError, match="is not reloaded"):
        importlib.reload(running)
    assert running.running_uploads() == [first]
    first.stop()
    assert running.running_uploads() == []


FORKED = """
import os, sys
from cognite_nb_upload import CogniteClient, running_uploads
from upload_rig import Gate, content_of
client = CogniteClient.from_env()
upload = client.files.start_upload(Gate(content_of(2)), part_size=len(content_of(1)))
assert running_uploads() == [upload]
child = os.fork()
if not child:
    os._exit(len(running_uploads()))
print("child has", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(running_uploads()))
sys.stdout.flush()
os._exit(0)
"""


def test_a_forked_child_has_none_of_its_parents_uploads(cdf: Emulator) -> None:
    done = program(cdf, FORKED)
    assert done.stdout == "child has 0 1\n", done.stderr


# --- what another call has left -------------------------------------------------------------------


def left_off(client: CogniteClient, cdf: Emulator, content: Any, **fields: Any) -> str:
    """The id of an upload that was stopped with one part missing."""
    upload = on_its_way(client, cdf, content, **fields)
    upload.stop()
    return upload.id


def test_a_call_that_begins_anew_because_a_field_changed_tells_what_is_left(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    left = left_off(client, cdf, path, metadata={"uploaded_at": "1"})
    with pytest.warns(UserWarning, match="2 of 3 parts stored; this call differs in metadata"):
        uploaded = client.files.upload(path, part_size=PART, metadata={"uploaded_at": "2"})
    (note,) = uploaded.notes
    assert f"`resume({left!r})` goes on with that one" in note
    resumed = resume(left, client).result(30)
    assert resumed.file.metadata == {"uploaded_at": "1"}
    assert dict(puts(cdf)) == {0: 2, 1: 3, 2: 2}  # 3 each, and the one that stood still


def test_nothing_is_told_of_an_upload_of_other_bytes(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    left_off(client, cdf, path)
    path.write_bytes(content_of(3, seed=1))
    assert client.files.upload(path, directory="/elsewhere").notes == ()


def test_nothing_is_told_of_an_upload_that_somebody_is_sending(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    first = on_its_way(client, cdf, path)
    assert client.files.upload(path, directory="/elsewhere").notes == ()
    first.stop()
