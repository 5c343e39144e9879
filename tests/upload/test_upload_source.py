"""Row 22: the source changes, goes away, or cannot be read, while it is being sent."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from upload_rig import PART, Gate, asked, content_of, file_of, stored_puts, until

from cognite_nb_upload import CogniteClient, SourceChanged, TransferError, uploads
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator


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
