"""Where reading is slow, the next block is read while one is sent."""

from __future__ import annotations

import os
import random
import threading
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.errors import SourceChanged
from cognite_nb_upload.sources import AnyPlace, BytesSource, FileSource, Source
from cognite_nb_upload.store import read_ahead
from cognite_nb_upload.store.read_ahead import ReadAhead, ReadPace

CONTENT = random.Random(1).randbytes(3 * MIB + 17)


class Slow(BytesSource):
    """Takes 10 ms for each read; keeps who read what."""

    def __init__(self, content: bytes = CONTENT, ends: int | None = None) -> None:
        super().__init__(content, "slow")
        self.reads: list[tuple[str, int]] = []
        self.read = threading.Condition()
        self._ends = ends

    def read_at(self, offset: int, size: int) -> bytes | memoryview:
        time.sleep(0.01)
        if self._ends is not None and offset >= self._ends:
            raise SourceChanged("It has ended.")
        with self.read:
            self.reads.append((threading.current_thread().name, offset))
            self.read.notify_all()
        return super().read_at(offset, size)

    def until_read(self, count: int) -> None:
        with self.read:
            assert self.read.wait_for(lambda: len(self.reads) >= count, 30)


def ahead(
    source: BytesSource | FileSource,
    cancel: CancelToken | None = None,
    slow: set[Source] | None = None,
) -> ReadAhead:
    return ReadAhead(
        source,
        AnyPlace(source),
        (0, source.size),
        128 * KIB,
        set() if slow is None else slow,
        CancelToken() if cancel is None else cancel,
    )


def test_a_source_that_was_slow_is_read_ahead_from_the_first_byte_of_its_next_part() -> None:
    source, slow = Slow(), set[Source]()
    reader, room = ahead(source, slow=slow), memoryview(bytearray(64 * KIB))
    for no in range(4):
        reader.read_piece(no * len(room), room)
    reader.close()
    assert slow == {source}
    before = len(source.reads)
    again = ahead(source, slow=slow)
    source.until_read(before + 1)  # nobody has asked for it
    assert bytes(again.read_piece(0, room)) == CONTENT[: len(room)]
    again.close()


def test_slow_is_what_takes_long_more_than_a_few_times() -> None:
    quick, slow, late = ReadPace(), ReadPace(), ReadPace()
    assert not any(quick.took(MIB, 0.0005) for _ in range(1000))
    assert [slow.took(MIB, 0.01) for _ in range(4)] == [False, False, True, True]
    assert not any([late.took(MIB, 0.1), *(late.took(MIB, 0.0005) for _ in range(100))][40:])


@pytest.mark.parametrize("seed", range(3))
def test_the_bytes_are_the_same_whatever_is_asked_for_at_a_time(seed: int) -> None:
    draw, source = random.Random(seed), Slow()
    reader, came = ahead(source), bytearray()
    while len(came) < source.size:
        room = memoryview(
            bytearray(min(draw.choice((100, 64 * KIB, MIB)), source.size - len(came)))
        )
        data = reader.read_piece(len(came), room)
        assert len(data) == len(room)
        came += data
    assert came == CONTENT
    assert len({name for name, _ in source.reads}) == 2  # some by a thread of their own
    reader.close()


def test_the_next_block_is_read_before_it_is_asked_for_and_no_more() -> None:
    source, room = Slow(), memoryview(bytearray(128 * KIB))
    reader, sender = ahead(source), threading.current_thread().name
    for no in range(3):
        reader.read_piece(no * len(room), room)
    source.until_read(4)  # nobody has asked for it
    reader.read_piece(3 * len(room), room)
    source.until_read(5)
    names = [name for name, _ in source.reads]
    assert names[:3] == [sender] * 3
    assert sender not in names[3:]
    assert [at for _, at in source.reads] == [no * len(room) for no in range(5)]
    reader.close()


def test_what_is_quick_is_read_by_the_thread_that_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(BytesSource):
        def read_at(self, offset: int, size: int) -> bytes | memoryview:
            readers.add(threading.current_thread())
            return super().read_at(offset, size)

    readers, clock = set[threading.Thread](), count()
    # However busy the machine is, no read takes longer than a microsecond.
    monkeypatch.setattr(
        read_ahead, "time", SimpleNamespace(monotonic=lambda: next(clock) / 1_000_000)
    )
    source = Watched(CONTENT)
    reader, room = ahead(source), memoryview(bytearray(4 * KIB))
    for at in range(0, MIB, len(room)):
        assert bytes(reader.read_piece(at, room)) == CONTENT[at : at + len(room)]
    reader.close()
    assert readers == {threading.current_thread()}


def test_what_goes_wrong_ahead_is_told_when_its_bytes_are_asked_for() -> None:
    source, room = Slow(ends=5 * 128 * KIB), memoryview(bytearray(128 * KIB))
    reader = ahead(source)
    for no in range(5):
        assert len(reader.read_piece(no * len(room), room)) == len(room)
    with pytest.raises(SourceChanged, match="It has ended"):
        reader.read_piece(5 * len(room), room)
    reader.close()


def test_a_read_that_hangs_is_waited_for_until_it_is_cancelled() -> None:
    go, cancel = threading.Event(), CancelToken()

    class Hangs(Slow):
        def read_at(self, offset: int, size: int) -> bytes | memoryview:
            if offset >= 4 * 128 * KIB:
                cancel.set("paused")
                go.wait(30)
            return super().read_at(offset, size)

    reader, room = ahead(Hangs(), cancel=cancel), memoryview(bytearray(128 * KIB))
    for no in range(4):
        reader.read_piece(no * len(room), room)
    assert len(reader.read_piece(4 * len(room), room)) == 0
    reader.close()
    go.set()


class Delayed(FileSource):
    """Each read takes 10 ms; keeps who read how much."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY)
        super().__init__(fd, name="delayed", path=path, start=0, size=len(CONTENT))
        self.reads: list[tuple[str, int]] = []

    def read_into(self, room: memoryview, offset: int) -> int:
        time.sleep(0.01)
        self.reads.append((threading.current_thread().name, len(room)))
        return super().read_into(room, offset)

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads.append((threading.current_thread().name, size))
        return super().read_at(offset, size)


def read_all(source: Delayed) -> None:
    """Read it in pieces of 128 KiB, and see that each byte is right."""
    reader, came = ahead(source), bytearray()
    while len(came) < source.size:
        room = memoryview(bytearray(min(128 * KIB, source.size - len(came))))
        came += reader.read_piece(len(came), room)
    reader.close()
    source.close()
    assert came == CONTENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a.bin"
    file.write_bytes(CONTENT)
    return file


def test_a_file_in_memory_is_not_slow_where_only_the_machine_is_busy(path: Path) -> None:
    source = Delayed(path)
    try:
        os.preadv(source.region()[0], [bytearray(1)], 0, os.RWF_NOWAIT)
    except (AttributeError, OSError):
        pytest.skip("this system does not tell what is in memory")
    read_all(source)
    assert {name for name, _ in source.reads} == {threading.current_thread().name}


def test_where_the_system_does_not_tell_a_file_that_takes_long_is_read_ahead_in_small_blocks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    source, sender = Delayed(path), threading.current_thread().name
    read_all(source)
    sizes = {size for name, size in source.reads if name != sender}
    assert max(sizes) == 32 * KIB
