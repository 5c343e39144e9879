"""A file that is not what it was: nothing of it may be completed."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cognite_nb_upload.errors import SourceChanged, TransferError
from cognite_nb_upload.sources import FileSource, as_source, given

SIZE = 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(bytes(SIZE))
    os.utime(path, ns=(10**18, 10**18))  # long ago, so that any write shows in its mtime
    return path


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, SIZE - 1)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"x")


def put_back(path: Path) -> None:
    rewrite(path)
    os.utime(path, ns=(10**18, 10**18))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(SIZE))
    os.utime(other, ns=(10**18, 10**18))
    os.replace(other, path)


CHANGES: dict[Callable[[Path], None], str] = {
    grow: f"was {SIZE} bytes and is {SIZE + 4}",
    shrink: f"was {SIZE} bytes and is {SIZE - 1}",
    rewrite: "was written to",
    put_back: "was written to, and its modification time put back",
    replace: "was replaced by another file",
    os.remove: "is no longer there",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_is_noticed(change: Callable[[Path], None], path: Path) -> None:
    source = as_source(path)
    source.check()
    change(path)
    with pytest.raises(SourceChanged) as caught:
        source.check()
    assert str(path) in str(caught.value)
    assert CHANGES[change] in str(caught.value)
    assert "Nothing was completed" in str(caught.value.__notes__)
    source.close()


def test_an_open_file_may_be_renamed_but_not_written_to(path: Path) -> None:
    with path.open("rb") as file:
        source = as_source(file)
        path.rename(path.with_name("renamed"))
        source.check()
        grow(path.with_name("renamed"))
        with pytest.raises(SourceChanged):
            source.check()
        source.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o600),
        lambda path: os.link(path, path.with_name("link")),
        lambda path: path.read_bytes(),
    ],
    ids=["rights", "link", "read"],
)
def test_other_rights_and_names_are_no_change_of_content(
    change: Callable[[Path], object], path: Path
) -> None:
    path.chmod(0o644)
    source = as_source(path)
    change(path)
    source.check()
    put_back(path)
    with pytest.raises(SourceChanged, match="put back"):
        source.check()
    source.close()


def test_a_file_that_became_shorter_is_noticed_while_it_is_read(path: Path) -> None:
    source = as_source(path)
    os.truncate(path, 100)
    with pytest.raises(SourceChanged, match="ended at byte 100"):
        source.read_at(0, SIZE)
    source.close()


def test_an_object_that_became_shorter_is_noticed_while_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(given, "COPIED_UP_TO", 0)
    file = io.BytesIO(bytes(SIZE))
    source = as_source(file)
    file.truncate(100)
    with pytest.raises(SourceChanged, match="became shorter"):
        source.read_at(0, SIZE)


@pytest.mark.parametrize("failures", [1, 2])
def test_an_error_of_the_disk_is_tried_once_more_and_then_told(
    path: Path, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource.open(path)
    pread, tries = os.pread, []

    def failing(fd: int, size: int, offset: int) -> bytes:
        tries.append(offset)
        if len(tries) <= failures:
            raise OSError(errno.EIO, "Input/output error")
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    if failures == 1:
        assert source.read_at(7, 10) == bytes(10)
    else:
        with pytest.raises(TransferError, match=r"data.bin cannot be read at byte 7: Input/output"):
            source.read_at(7, 10)
    assert len(tries) == 2
    source.close()


def test_a_file_is_recognised_by_path_size_mtime_and_inode(path: Path) -> None:
    source = as_source(path)
    facts = source.facts()
    assert (facts.path, facts.size) == (str(path.resolve()), SIZE)
    assert (facts.mtime_ns, facts.inode) == (10**18, path.stat().st_ino)
    source.close()


def test_closing_twice_closes_nobody_elses_descriptor(path: Path) -> None:
    source = as_source(path)
    source.close()
    with path.open("rb") as other:  # takes the number that has become free
        source.close()
        assert other.read(1) == b"\0"
