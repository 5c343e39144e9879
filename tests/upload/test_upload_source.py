"""Rows 22 and 32: the source changes, goes away, or cannot be read, while it is being sent."""

from __future__ import annotations

import errno
import io
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from upload_rig import (
    PART,
    Gate,
    asked,
    content_of,
    file_of,
    program,
    puts,
    stored_puts,
    until,
)

from cognite_nb_upload import CogniteClient, SourceChanged, TransferError, VerifyError, uploads
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.emulator import Emulator, Fault


def _grows(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _shrinks(path: Path) -> None:
    os.truncate(path, PART + 5)


def _is_written_to(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


def _is_replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(content_of(3))
    stat = path.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, path)


def _is_deleted(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [_grows, _shrinks, _is_written_to, _is_replaced, _is_deleted])
def test_a_file_that_changes_meanwhile_stops_the_upload_and_nothing_is_completed(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = file_of(tmp_path, 3)
    upload = client.files.start_upload(path, part_size=PART, max_bandwidth=MIB)
    until(upload, lambda state: state.moved > 0)
    change(path)
    upload.set_limits(max_bandwidth=float("inf"))
    with pytest.raises(SourceChanged) as changed:
        upload.result(30)
    assert "Nothing was completed" in changed.value.__notes__[0]
    assert upload.state.phase is Phase.FAILED
    assert not asked(cdf, "complete")


def test_a_file_that_changes_after_its_last_part_is_not_completed(
    client: CogniteClient, cdf: Emulator
) -> None:
    class LastLook(Gate):
        """Changed when everything is stored, and it is looked at for the last time."""

        def check(self) -> None:
            if upload.state.stored == self.size:
                raise SourceChanged("It was written to a moment ago.")

    gate = LastLook(content_of(2))
    upload = client.files.start_upload(gate, part_size=PART)
    gate.open()
    with pytest.raises(SourceChanged, match="a moment ago"):
        upload.result(30)
    assert upload.state.missing_parts == ()
    assert not asked(cdf, "complete")


class LikePyarrow(io.BytesIO):
    """A file that has `size` and `read_at` of its own: those of `pyarrow.BufferReader`."""

    def size(self) -> int:
        return len(self.getbuffer())

    def read_at(self, nbytes: int, offset: int) -> bytes:
        return bytes(self.getbuffer()[offset : offset + nbytes])


def test_a_file_with_a_read_at_of_its_own_is_read_as_a_file(
    client: CogniteClient, cdf: Emulator
) -> None:
    content = content_of(2)
    uploaded = client.files.upload(LikePyarrow(content), name="a.bin", part_size=PART)
    assert cdf.content(uploaded.id) == content


class Faulty(Gate):
    """A disk that reports an error `times` times, at one place."""

    def __init__(self, data: bytes, at: int, times: int, number: int = errno.EIO) -> None:
        super().__init__(data, open_to=len(data), name="faulty.bin")
        self.left, self._at, self._number = times, at, number

    def read_at(self, offset: int, size: int) -> bytes:
        data = super().read_at(offset, size)
        if offset <= self._at < offset + size and self.reads and self.left:
            self.left -= 1
            raise OSError(self._number, os.strerror(self._number))
        return data


def test_an_error_of_the_disk_is_read_over_once(client: CogniteClient, cdf: Emulator) -> None:
    source = Faulty(content_of(2), at=PART + 100, times=1)
    upload = client.files.start_upload(source, part_size=PART)
    uploaded = upload.result(30)
    assert source.left == 0
    assert upload.state.parts[1].attempts == 1
    assert cdf.content(uploaded.id) == source.data


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_reports_an_error_again_fails_the_upload_which_can_be_gone_on_with(
    client: CogniteClient, cdf: Emulator, number: int
) -> None:
    source = Faulty(content_of(3), at=PART + 100, times=2, number=number)
    upload = client.files.start_upload(source, part_size=PART)
    with pytest.raises(TransferError, match=r"faulty.bin cannot be read at byte \d+") as failed:
        upload.result(30)
    assert os.strerror(number) in str(failed.value)
    assert source.left == 0
    assert upload.state.phase is Phase.FAILED
    assert not asked(cdf, "complete")
    stored = uploads().iloc[0]["stored_parts"]
    assert (uploads().iloc[0]["state"], stored) == ("failed", len(stored_puts(cdf)))
    uploaded = client.files.upload(source.data, name="faulty.bin", part_size=PART)
    assert cdf.content(uploaded.id) == source.data
    assert set(stored_puts(cdf).values()) == {1}


def test_a_source_that_can_no_longer_be_looked_at_counts_as_changed(
    client: CogniteClient, cdf: Emulator
) -> None:
    class Stale(Gate):
        def check(self) -> None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    upload = client.files.start_upload(Stale(content_of(1), open_to=PART))
    with pytest.raises(SourceChanged, match="can no longer be looked at: Stale file handle"):
        upload.result(30)
    assert not asked(cdf, "complete")


def test_the_source_is_closed_however_it_ends(client: CogniteClient) -> None:
    closed: list[str] = []

    class Closing(Gate):
        def close(self) -> None:
            closed.append(self.name)

    client.files.upload(Closing(b"x", open_to=1, name="done"))
    client.files.start_upload(Closing(b"x", name="cancelled")).cancel()
    with pytest.raises(TransferError):
        client.files.upload(_Failing(b"x", name="failed", closed=closed))
    assert closed == ["done", "cancelled", "failed"]


class _Failing(Faulty):
    def __init__(self, data: bytes, name: str, closed: list[str]) -> None:
        super().__init__(data, at=0, times=9)
        self.name, self._samples, self._closed = name, 1, closed

    def close(self) -> None:
        self._closed.append(self.name)


# --- row 32: content in memory --------------------------------------------------------------------

# Above what is copied, and in parts that begin and end in the middle of a MiB.
LARGE = 4


def _bytearray(folder: Path) -> Any:
    return bytearray(content_of(LARGE))


def _bytes_io(folder: Path) -> Any:
    return io.BytesIO(content_of(LARGE))


def _array(folder: Path) -> Any:
    return np.frombuffer(content_of(LARGE), np.uint8).copy()


def _mmap(folder: Path) -> Any:
    with file_of(folder, LARGE).open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


KINDS = [_bytearray, _bytes_io, _array, _mmap]


@contextmanager
def writable(content: Any) -> Iterator[memoryview]:
    """The memory itself, to write to; a BytesIO shows it only for a while."""
    with content.getbuffer() if isinstance(content, io.BytesIO) else memoryview(content) as view:
        yield view


def _flip(content: Any, at: int) -> None:
    with writable(content) as view:
        view[at] ^= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verify", ["size", "checksum", "download"])
def test_32_memory_that_nobody_writes_to_arrives(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: Callable[[Path], Any], verify: Any
) -> None:
    content = kind(tmp_path)
    uploaded = client.files.upload(content, name="a.bin", part_size=PART, verify=verify)
    assert cdf.content(uploaded.id) == content_of(LARGE)
    assert uploaded.verified


@pytest.mark.parametrize("kind", KINDS)
def test_32_one_write_between_two_parts_is_noticed_and_nothing_is_completed(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: Callable[[Path], Any]
) -> None:
    content = kind(tmp_path)
    upload = client.files.start_upload(
        content, name="a.bin", part_size=PART, max_concurrency=1, verify="checksum"
    )
    written: list[int] = []

    def write(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartStored) and not written:
            written.append(event.no)
            _flip(content, 2 * PART + 77)

    upload.listen(write)
    with pytest.raises(SourceChanged, match="was written to during the upload") as changed:
        upload.result(30)
    assert written == [0]
    assert "Nothing was completed" in changed.value.__notes__[0]
    assert asked(cdf, "complete") == []
    assert 2 not in stored_puts(cdf)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 1 * MIB, PART - 1], ids=["first", "middle", "last"])
def test_32_a_write_that_is_put_back_before_the_part_ends_is_noticed(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: Callable[[Path], Any], at: int
) -> None:
    content = kind(tmp_path)
    upload = client.files.start_upload(
        content, name="a.bin", part_size=PART, max_concurrency=1, verify="checksum"
    )
    flips: list[str] = []

    def write(state: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartStarted) and event.no == 1 and not flips:
            flips.append("written")
            _flip(content, PART + at)
        elif isinstance(event, ev.PartLost) or (
            isinstance(event, ev.PartSent) and event.no == 1 and event.sent > at
        ):
            if flips == ["written"]:
                flips.append("put back")
                _flip(content, PART + at)

    upload.listen(write)
    with pytest.raises(SourceChanged, match="was written to"):
        upload.result(30)
    assert flips == ["written", "put back"]
    assert asked(cdf, "complete") == []


@pytest.mark.parametrize("kind", KINDS)
def test_32_a_thread_that_writes_all_the_time_never_gets_a_torn_file_completed(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: Callable[[Path], Any]
) -> None:
    content, over, writes = kind(tmp_path), threading.Event(), [0]

    def write() -> None:
        while not over.is_set():
            for at in range(0, LARGE * PART, PART // 3):
                _flip(content, at)
            writes[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(SourceChanged, match="was written to"):
            client.files.upload(content, name="a.bin", part_size=PART, verify="checksum")
    finally:
        over.set()
        writer.join()
    assert writes[0] > 1
    assert asked(cdf, "complete") == []


def test_32_a_write_before_the_first_byte_goes_is_part_of_the_content(
    client: CogniteClient, cdf: Emulator
) -> None:
    small = bytearray(content_of(2))
    upload = client.files.start_upload(small, name="a.bin", part_size=PART)
    small[:] = bytes(len(small))  # it was copied by the call
    small.append(1)
    again = client.files.upload(small, name="b.bin", dry_run=True)
    assert "content in memory, copied" in repr(again)
    assert cdf.content(upload.result(30).id) == content_of(2)


def test_32_a_dry_run_says_that_large_memory_is_read_where_it_is(client: CogniteClient) -> None:
    dry = client.files.upload(bytearray(content_of(LARGE)), name="a.bin", dry_run=True)
    assert "content in memory, read where it is; a change is noticed" in repr(dry)


def test_32_a_write_between_two_tries_of_a_part_is_noticed(
    client: CogniteClient, cdf: Emulator
) -> None:
    content = bytearray(content_of(LARGE))
    cdf.inject(Fault("lost_answer", "part", part=1))
    upload = client.files.start_upload(content, name="a.bin", part_size=PART, max_concurrency=1)

    def write(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartLost) and event.wait_s is not None:
            content[PART] ^= 1

    upload.listen(write)
    with pytest.raises(SourceChanged):
        upload.result(30)
    assert [row["kind"] for row in cdf.fired()] == ["lost_answer"]
    assert asked(cdf, "complete") == []


def test_32_other_bytes_after_a_restart_are_another_upload_whatever_the_samples_say(
    client: CogniteClient, cdf: Emulator
) -> None:
    content = bytearray(content_of(LARGE))
    cdf.inject(Fault("status", "part", part=1, status=404))
    with pytest.raises(TransferError):
        client.files.upload(content, name="a.bin", part_size=PART, max_concurrency=1)
    content[PART - 1] ^= 1  # in a part that is stored, and in no sample
    uploaded = client.files.upload(content, name="a.bin", part_size=PART)
    assert cdf.content(uploaded.id) == bytes(content)
    assert puts(cdf)[0] == 2


def test_32_what_is_written_after_the_last_part_is_no_difference_of_the_store(
    client: CogniteClient, cdf: Emulator
) -> None:
    content = bytearray(content_of(LARGE))
    upload = client.files.start_upload(content, name="a.bin", part_size=PART, verify="download")

    def write(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.Completing):
            content[0] ^= 1

    upload.listen(write)
    assert "by reading them back" in upload.result(30).verified
    assert content != content_of(LARGE)


def test_32_a_part_of_a_session_that_is_written_to_while_it_goes_is_noticed(
    client: CogniteClient, cdf: Emulator
) -> None:
    content = bytearray(content_of(LARGE))
    session = client.files.multipart_upload_session("a.bin", parts=1)

    def write(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartSent) and event.sent < PART:
            content[-1] ^= 1

    def send() -> None:
        with session:
            session.upload_part(0, content)

    session.listen(write)
    with pytest.raises(SourceChanged, match="was written to"):
        send()
    assert content[-1] != content_of(LARGE)[-1]
    assert asked(cdf, "complete") == []


def test_32_a_read_back_that_differs_from_the_memory_that_was_sent_is_an_error(
    client: CogniteClient, cdf: Emulator
) -> None:
    content = bytearray(content_of(LARGE))
    upload = client.files.start_upload(content, name="a.bin", part_size=PART, verify="download")

    def tamper(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.Completing):
            (part,) = (path for path in cdf.root.rglob("1") if path.stat().st_size == PART)
            part.write_bytes(bytes(PART))

    upload.listen(tamper)
    with pytest.raises(VerifyError, match="CDF's bytes differ from those sent"):
        upload.result(30)


def test_22_a_file_whose_time_is_put_back_is_noticed_and_begun_anew(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    status = path.stat()
    upload = client.files.start_upload(path, part_size=PART, max_concurrency=1)

    def write(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartStored) and event.no == 0:
            with path.open("r+b") as file:
                file.write(b"other")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    upload.listen(write)
    with pytest.raises(SourceChanged, match="its modification time put back"):
        upload.result(30)
    assert asked(cdf, "complete") == []
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    uploaded = client.files.upload(path, part_size=PART)
    assert cdf.content(uploaded.id) == path.read_bytes()
    assert puts(cdf)[0] == 2  # what was stored before is not gone on with


TRUNCATES = """
import mmap, os, sys
from cognite_nb_upload import CogniteClient, SourceChanged
from upload_rig import PART, until

path, kind = sys.argv[1:]
if kind == "array":
    import numpy
    content = numpy.memmap(path, mode="r")
else:
    with open(path, "rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
with CogniteClient.from_env() as client:
    upload = client.files.start_upload(
        content, name="mapped", part_size=PART, max_bandwidth=4e6, max_concurrency=1
    )
    until(upload, lambda state: state.sent > 0)
    os.truncate(path, 1000)
    try:
        upload.result(60)
    except SourceChanged as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be truncated there")
@pytest.mark.parametrize("kind", ["mapping", "array"])
def test_32_a_mapped_file_that_becomes_shorter_does_not_end_the_process(
    cdf: Emulator, tmp_path: Path, kind: str
) -> None:
    """To read past the end of the file is SIGBUS, which ends a kernel."""
    ended = program(cdf, TRUNCATES, file_of(tmp_path, 4), kind)
    assert ended.returncode == 0, ended.stderr
    assert "is mapped from became shorter" in ended.stdout
    assert not asked(cdf, "complete")
