"""A session: parts in any order and from anywhere, and what leaving it means."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PART, config_of, fired, routes, seen, sha256, some_bytes, until

from cognite_nb_upload import (
    APIError,
    AsyncCogniteClient,
    CogniteClient,
    FileMultipartUploadSession,
    PartFailed,
    PlanError,
    SourceChanged,
    UploadIncomplete,
    UploadStopped,
    UsageError,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault

Open = Callable[..., FileMultipartUploadSession]


@pytest.fixture
def begin(client: CogniteClient) -> Open:
    """Begins an upload of `parts` parts."""
    return lambda parts=1, **fields: client.files.multipart_upload_session("a", parts, **fields)


def content_of(cdf: Emulator, session: FileMultipartUploadSession) -> str:
    """SHA-256 of what CDF has."""
    assert session.file_metadata.id is not None
    return cdf.sha256(session.file_metadata.id)


def leave_with_an_exception(session: FileMultipartUploadSession) -> None:
    with pytest.raises(ZeroDivisionError), session:
        raise ZeroDivisionError


# --- order, threads, tasks ------------------------------------------------------------------


def test_parts_may_be_sent_in_any_order(cdf: Emulator, begin: Open) -> None:
    parts = [some_bytes(seed=0), some_bytes(seed=1), b"the end"]
    with begin(3) as session:
        for no in (2, 0, 1):
            session.upload_part(no, parts[no])
    assert content_of(cdf, session) == sha256(b"".join(parts))
    assert [row["part"] for row in seen(cdf, "part")] == [2, 0, 1]


def test_parts_may_be_sent_by_several_threads_at_once(cdf: Emulator, begin: Open) -> None:
    parts = [some_bytes(seed=no) for no in range(4)]
    together = threading.Barrier(4, timeout=60)

    def meet(state: object, event: ev.Event) -> None:
        if isinstance(event, ev.PartStarted):
            arrived.add(event.no)

    arrived: set[int] = set()
    with begin(4) as session, ThreadPoolExecutor(4) as pool:
        session.listen(meet)

        def send(no: int) -> None:
            together.wait()
            session.upload_part(no, parts[no])

        list(pool.map(send, range(4)))
    assert arrived == {0, 1, 2, 3}
    assert content_of(cdf, session) == sha256(b"".join(parts))


@pytest.mark.anyio
async def test_one_session_takes_parts_from_threads_and_tasks_at_once(
    cdf: Emulator, async_client: AsyncCogniteClient
) -> None:
    parts = [some_bytes(seed=no) for no in range(6)]
    async with async_client.files.multipart_upload_session("a", 6) as session:
        await asyncio.gather(
            *(session.upload_part_async(no, parts[no]) for no in (0, 2, 4)),
            *(asyncio.to_thread(session.upload_part, no, parts[no]) for no in (1, 3, 5)),
        )
    assert content_of(cdf, session) == sha256(b"".join(parts))
    assert len(seen(cdf, "part")) == 6


@pytest.mark.anyio
async def test_one_file_object_gives_its_parts_to_tasks_in_their_order(
    cdf: Emulator, async_client: AsyncCogniteClient, tmp_path: Path
) -> None:
    data = some_bytes(PART + 1000)
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as file:
        async with async_client.files.multipart_upload_session("a", 2) as session:
            await asyncio.gather(
                session.upload_part_async(0, file, length=PART),
                session.upload_part_async(1, file, length=1000),
            )
    assert content_of(cdf, session) == sha256(data)


def test_a_part_may_be_sent_before_the_session_is_entered(cdf: Emulator, begin: Open) -> None:
    session = begin()
    session.upload_part(0, b"early")
    with session:
        pass
    assert session.file_metadata.uploaded


def test_an_empty_file_is_one_part_of_no_bytes(cdf: Emulator, begin: Open) -> None:
    with begin() as session:
        session.upload_part(0, b"")
    assert seen(cdf, "part")[0]["headers"]["content-length"] == "0"
    assert content_of(cdf, session) == sha256(b"")
    assert session.file_metadata.uploaded


# --- leaving --------------------------------------------------------------------------------


def test_file_metadata_is_there_at_once_and_brought_up_to_date(begin: Open) -> None:
    session = begin(external_id="one", labels=["raw"])
    assert session.file_metadata.id is not None
    assert session.file_metadata.external_id == "one"
    assert not session.file_metadata.uploaded
    with session:
        session.upload_part(0, b"x")
        assert not session.file_metadata.uploaded
    assert session.file_metadata.uploaded
    assert session.file_metadata.uploaded_time is not None


def test_leaving_with_an_exception_sends_nothing_more_and_raises_it(
    cdf: Emulator, begin: Open
) -> None:
    session = begin(2)
    session.upload_part(0, some_bytes())
    leave_with_an_exception(session)
    assert routes(cdf) == ["init", "part"]
    with pytest.raises(UploadStopped, match="Part 1 was not sent"):
        session.upload_part(1, b"too late")
    assert routes(cdf) == ["init", "part"]


def test_leaving_with_an_exception_stops_what_other_threads_are_sending(
    cdf: Emulator, begin: Open
) -> None:
    cdf.inject(Fault("stall", "part", after_bytes=65536, times=None))
    ended: list[BaseException] = []

    def send(session: FileMultipartUploadSession) -> None:
        try:
            session.upload_part(0, some_bytes())
        except BaseException as error:
            ended.append(error)

    session, under_way = begin(2), threading.Event()
    session.listen(lambda state, event: under_way.set() if state.sent else None)
    sender = threading.Thread(target=send, args=(session,))
    sender.start()
    assert under_way.wait(60)
    until(lambda: fired(cdf))
    leave_with_an_exception(session)
    sender.join(60)
    assert [type(error) for error in ended] == [UploadStopped]
    assert fired(cdf) == [("stall", "part")]
    assert "complete" not in routes(cdf)


@pytest.mark.anyio
async def test_leaving_with_an_exception_stops_what_tasks_are_sending(
    cdf: Emulator, async_client: AsyncCogniteClient
) -> None:
    cdf.inject(Fault("stall", "part", after_bytes=65536, times=None))
    session = await async_client.files.multipart_upload_session("a", 2)
    under_way = threading.Event()
    session.listen(lambda state, event: under_way.set() if state.sent else None)
    sending = asyncio.ensure_future(session.upload_part_async(0, some_bytes()))
    assert await asyncio.to_thread(under_way.wait, 60)
    await asyncio.to_thread(until, lambda: fired(cdf))
    with pytest.raises(ZeroDivisionError):
        async with session:
            raise ZeroDivisionError
    with pytest.raises(UploadStopped):
        await asyncio.wait_for(sending, 60)
    assert fired(cdf) == [("stall", "part")]
    assert "complete" not in routes(cdf)


def test_leaving_with_parts_missing_names_them_and_completes_nothing(
    cdf: Emulator, begin: Open
) -> None:
    with (
        pytest.raises(UploadIncomplete, match="Parts 0, 2 and 3 of 4") as caught,
        begin(4) as session,
    ):
        session.upload_part(1, some_bytes())
    assert caught.value.missing_parts == (0, 2, 3)
    assert session.missing_parts == (0, 2, 3)
    assert "complete" not in routes(cdf)
    assert not cdf.files()[-1]["uploaded"]


def test_what_is_missing_can_be_sent_by_entering_again(cdf: Emulator, begin: Open) -> None:
    with pytest.raises(UploadIncomplete, match="Part 1 of 2 was not sent"), begin(2) as session:
        session.upload_part(0, some_bytes())
    with session:
        session.upload_part(1, b"end")
    assert content_of(cdf, session) == sha256(some_bytes() + b"end")
    assert [row["part"] for row in seen(cdf, "part")] == [0, 1]


def test_after_an_exception_the_session_can_be_entered_again(cdf: Emulator, begin: Open) -> None:
    session = begin(2)
    session.upload_part(0, some_bytes())
    leave_with_an_exception(session)
    with session:
        session.upload_part(1, b"end")
    assert session.file_metadata.uploaded
    assert [row["part"] for row in seen(cdf, "part")] == [0, 1]


@pytest.mark.anyio
async def test_the_async_face_leaves_in_the_same_ways(
    cdf: Emulator, async_client: AsyncCogniteClient
) -> None:
    session = await async_client.files.multipart_upload_session("a", 2)
    with pytest.raises(ZeroDivisionError):
        async with session:
            raise ZeroDivisionError
    with pytest.raises(UploadIncomplete, match="Parts 0 and 1 of 2 were not sent"):
        async with session:
            pass
    async with session:
        await session.upload_part_async(0, some_bytes())
        await session.upload_part_async(1, b"end")
    assert content_of(cdf, session) == sha256(some_bytes() + b"end")
    assert routes(cdf).count("complete") == 1


def test_a_finished_session_cannot_be_entered_or_sent_to(cdf: Emulator, begin: Open) -> None:
    with begin() as session:
        session.upload_part(0, b"x")
    with pytest.raises(UsageError, match="complete"):
        session.__enter__()
    with pytest.raises(UsageError, match="complete"):
        session.upload_part(0, b"x")
    assert routes(cdf).count("part") == 1


# --- one clear error before a byte goes out -------------------------------------------------


def test_a_part_that_was_sent_is_refused_and_its_content_is_not_read(
    cdf: Emulator, begin: Open
) -> None:
    session = begin(2)
    session.upload_part(0, some_bytes())
    never_read = iter(lambda: 1 / 0, None)
    with pytest.raises(UsageError, match="Part 0 has been sent already"):
        session.upload_part(0, never_read)
    assert len(seen(cdf, "part")) == 1


def test_a_part_that_is_being_sent_is_refused(cdf: Emulator, begin: Open) -> None:
    cdf.inject(Fault("stall", "part", after_bytes=65536))
    session, under_way = begin(2), threading.Event()
    session.listen(lambda state, event: under_way.set() if state.sent else None)

    def send() -> None:
        with pytest.raises(UploadStopped):
            session.upload_part(0, some_bytes())

    sender = threading.Thread(target=send)
    sender.start()
    assert under_way.wait(60)
    with pytest.raises(UsageError, match="Part 0 is being sent already"):
        session.upload_part(0, some_bytes())
    session.stop()
    sender.join(60)
    assert not sender.is_alive()


@pytest.mark.parametrize("part_no", [-1, 3, 4, 250])
def test_a_part_number_outside_is_told_with_the_range(
    cdf: Emulator, begin: Open, part_no: int
) -> None:
    with pytest.raises(UsageError, match=rf"part_no is {part_no}.*3 parts, numbered from 0 to 2"):
        begin(3).upload_part(part_no, some_bytes())
    assert routes(cdf) == ["init"]


@pytest.mark.parametrize("part_no", ["0", 0.0, None, True])
def test_a_part_number_is_a_whole_number(cdf: Emulator, begin: Open, part_no: Any) -> None:
    with pytest.raises(UsageError, match="part_no is a whole number"):
        begin(3).upload_part(part_no, some_bytes())
    assert routes(cdf) == ["init"]


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1])
def test_a_small_part_that_is_not_the_last_is_told_with_its_size_and_the_limit(
    cdf: Emulator, begin: Open, size: int
) -> None:
    with pytest.raises(PlanError, match=rf"Part 1 has {size} bytes.*{5 * MIB} bytes"):
        begin(3).upload_part(1, some_bytes(size))
    assert routes(cdf) == ["init"]


def test_the_last_part_may_be_small(cdf: Emulator, begin: Open) -> None:
    begin(3).upload_part(2, b"x")
    assert [row["status"] for row in seen(cdf, "part")] == [200]


def sparse(folder: Path, size: int) -> Path:
    path = folder / "sparse"
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("kind", ["path", "file", "length"])
def test_a_part_above_4000_mib_is_told_with_its_size_and_the_limit(
    cdf: Emulator, begin: Open, kind: str, tmp_path: Path
) -> None:
    size = 4000 * MIB + 1
    path = sparse(tmp_path, size * (2 if kind == "length" else 1))
    with path.open("rb") as file:
        content: Any = file if kind == "file" else path
        with pytest.raises(PlanError, match=rf"{size} bytes.*at most {4000 * MIB} bytes"):
            begin().upload_part(0, content, length=size if kind == "length" else None)
        assert file.tell() == 0
    assert routes(cdf) == ["init"]


def test_a_refused_part_leaves_a_files_position_and_the_session_as_they_were(
    cdf: Emulator, begin: Open, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(some_bytes() + b"end")
    with path.open("rb") as file, begin(2) as session:
        with pytest.raises(PlanError):
            session.upload_part(0, file, length=7)
        assert file.tell() == 0
        session.upload_part(0, file, length=PART)
        session.upload_part(1, file)
    assert content_of(cdf, session) == sha256(path.read_bytes())


def test_a_wrong_content_is_told_before_a_byte_goes_out(
    cdf: Emulator, begin: Open, tmp_path: Path
) -> None:
    session = begin()
    (tmp_path / "text").write_text("text")
    with (tmp_path / "text").open() as text:
        for wrong in (text, 7, None, ["text"], tmp_path):
            with pytest.raises(UsageError):
                session.upload_part(0, wrong)
    assert routes(cdf) == ["init"]
    session.upload_part(0, b"right")


# --- a part that fails ----------------------------------------------------------------------


def test_a_part_that_used_up_its_tries_fails_and_the_session_stays_usable(
    cdf: Emulator, begin: Open
) -> None:
    cdf.inject(Fault("status", "part", part=0, status=503, times=4))
    with begin(2) as session:
        with pytest.raises(PartFailed, match=r"Part 0 was not stored in 4 tries.*503") as caught:
            session.upload_part(0, some_bytes())
        error = caught.value
        assert (error.part_no, error.attempts, error.status) == (0, 4, 503)
        assert error.missing_parts == (0,)
        assert not error.fatal
        session.upload_part(1, b"end")
        session.upload_part(0, some_bytes())
    assert len(cdf.fired()) == 4
    assert content_of(cdf, session) == sha256(some_bytes() + b"end")


def test_a_file_object_can_be_sent_again_after_a_failure(
    cdf: Emulator, begin: Open, tmp_path: Path
) -> None:
    cdf.inject(Fault("status", "part", status=503, times=4))
    path = tmp_path / "a"
    path.write_bytes(some_bytes(1000))
    with path.open("rb") as file, begin() as session:
        file.seek(100)
        with pytest.raises(PartFailed):
            session.upload_part(0, file)
        assert file.tell() == 100
        session.upload_part(0, file)
    assert content_of(cdf, session) == sha256(some_bytes(1000)[100:])


def test_a_session_shows_itself_without_its_urls(begin: Open) -> None:
    session = begin(2)
    session.upload_part(1, b"x")
    assert repr(session).startswith("<FileMultipartUploadSession 'a' id ")
    assert "1 of 2 parts stored" in repr(session)
    assert "http" not in repr(session)


# --- completing -----------------------------------------------------------------------------


def test_when_cdf_refuses_to_complete_the_session_stays_usable(cdf: Emulator, begin: Open) -> None:
    cdf.inject(Fault("status", "complete", status=400))
    with pytest.raises(APIError, match="400"), begin() as session:
        session.upload_part(0, b"x")
    assert not session.file_metadata.uploaded
    with session:
        pass
    assert session.file_metadata.uploaded
    assert fired(cdf) == [("status", "complete")]


@pytest.mark.anyio
async def test_a_completion_that_was_cancelled_is_not_repeated(cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "complete"))
    async with AsyncCogniteClient(config_of(cdf)) as client:
        session = await client.files.multipart_upload_session("a", 1)
        await session.upload_part_async(0, b"x")
        leaving = asyncio.ensure_future(session.complete())
        await asyncio.to_thread(until, cdf.fired)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        async with session:
            pass
    assert session.file_metadata.uploaded
    assert routes(cdf).count("complete") == 1


# --- a file that changes --------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_sent_is_not_completed(
    cdf: Emulator, begin: Open, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(some_bytes())
    session = begin(2)

    def grow(state: object, event: ev.Event) -> None:
        if isinstance(event, ev.PartStarted):
            with path.open("ab") as file:
                file.write(b"more")

    end = session.listen(grow)
    with pytest.raises(SourceChanged, match=rf"was {PART} bytes and is {PART + 4}"), session:
        session.upload_part(0, path)
    end()
    assert session.missing_parts == (0, 1)
    assert "complete" not in routes(cdf)
    with session:  # what is sent anew is what the file is now
        session.upload_part(0, path)
        session.upload_part(1, b"end")
    assert content_of(cdf, session) == sha256(some_bytes() + b"more" + b"end")


def test_a_file_that_changed_stops_the_other_parts_too(
    cdf: Emulator, begin: Open, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(some_bytes())
    session = begin(2)
    session.listen(lambda state, event: path.write_bytes(b"") if state.sent else None)
    with pytest.raises(SourceChanged):
        session.upload_part(0, path)
    sent = len(seen(cdf, "part"))
    with pytest.raises(SourceChanged, match="shorter") as caught:
        session.upload_part(1, b"end")
    assert "nothing of this one was sent" in str(caught.value.__notes__)
    assert len(seen(cdf, "part")) == sent


@pytest.mark.anyio
async def test_no_more_than_12_parts_of_a_loop_go_at_once(cdf: Emulator) -> None:
    cdf.inject(Fault("stall", "part", after_bytes=0, times=None))
    async with AsyncCogniteClient(config_of(cdf)) as client:
        session = await client.files.multipart_upload_session("a", 20)
        sending = [
            asyncio.ensure_future(session.upload_part_async(no, some_bytes())) for no in range(20)
        ]
        await asyncio.to_thread(until, lambda: len(cdf.fired()) == 12)
        assert len(seen(cdf, "part")) == 12
        session.stop()
        ended = await asyncio.gather(*sending, return_exceptions=True)
    assert {type(one) for one in ended} == {UploadStopped}
    assert len(seen(cdf, "part")) == 12


def test_numbers_of_numpy_are_numbers(client: CogniteClient, cdf: Emulator) -> None:
    with client.files.multipart_upload_session("a", np.int64(1)) as session:
        session.upload_part(np.int64(0), b"x", length=np.int32(1))
    assert cdf.sha256(session.file_metadata.id or 0) == sha256(b"x")
