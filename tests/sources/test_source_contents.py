"""`as_source`: whatever holds bytes becomes something that can be read again, from any place."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import mmap
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from contents import CONTENTS, DATA, Make, OnlyReads, compressed, opened, written

from cognite_nb_upload import sources
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.errors import SourceChanged, UsageError
from cognite_nb_upload.sources import Source, as_source, as_source_async, give_back, given, memory


def whole(source: Source) -> bytes:
    """All bytes, read in pieces that do not divide them, the later ones first."""
    starts = range(0, source.size, 999)
    pieces = {at: bytes(source.read_at(at, 999)) for at in reversed(starts)}
    return b"".join(pieces[at] for at in starts)


@pytest.fixture(params=CONTENTS)
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = CONTENTS[request.param](tmp_path)
    yield made
    if hasattr(made, "close") and not isinstance(made, mmap.mmap):
        made.close()


def test_every_content_gives_its_bytes_from_any_place_and_again(content: Any) -> None:
    source = as_source(content)
    assert source.size == len(DATA)
    assert whole(source) == DATA
    assert whole(source) == DATA
    assert bytes(source.read_at(len(DATA) - 3, 100)) == DATA[-3:]
    assert bytes(source.read_at(len(DATA), 100)) == b""
    source.close()


def test_every_content_is_taken_on_an_event_loop_too(content: Any) -> None:
    source = asyncio.run(as_source_async(content))
    assert whole(source) == DATA
    source.close()


def test_several_threads_may_read_at_once(content: Any) -> None:
    source = as_source(content)
    starts = list(range(0, source.size, 100))
    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda at: bytes(source.read_at(at, 100)), starts))
    assert b"".join(pieces) == DATA
    source.close()


def test_length_takes_only_so_much(content: Any) -> None:
    if isinstance(content, list) or hasattr(content, "send"):
        return  # an iterator says where it ends itself
    source = as_source(content, length=5000)
    assert whole(source) == DATA[:5000]
    source.close()


def test_text_is_sent_as_utf8() -> None:
    assert whole(as_source("blåbær ≥ 3")) == "blåbær ≥ 3".encode()


def test_nothing_is_a_content_too() -> None:
    for nothing in (b"", "", io.BytesIO(), iter(())):
        assert as_source(nothing).size == 0


@pytest.mark.parametrize(
    "kind",
    [name for name in CONTENTS if "file" in name.lower() or name in ("BytesIO", "gzip", "bz2")],
)
def test_a_file_is_read_from_its_position_which_moves_on_by_what_is_taken(
    kind: str, tmp_path: Path
) -> None:
    file = CONTENTS[kind](tmp_path)
    assert file.read(7) in (DATA[:7], DATA[:7])
    first = as_source(file, length=1000)
    second = as_source(file, length=500)
    rest = as_source(file)
    assert whole(first) == DATA[7:1007]
    assert whole(second) == DATA[1007:1507]
    assert whole(rest) == DATA[1507:]
    assert file.read() == b""
    for source in (first, second, rest):
        source.close()
    if hasattr(file, "close"):
        file.close()


class Busy(io.BytesIO):
    """Between going somewhere and reading there, other threads have their turn."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(0)
        return super().read(size)


def test_parts_of_one_file_object_do_not_disturb_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(given, "COPIED_UP_TO", 0)
    file = Busy(DATA * 20)
    parts = [as_source(file, length=len(DATA)) for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(whole, parts))
    assert found == [DATA] * 20


class Hesitant(OnlyReads):
    """A file that takes its time with the first who asks; the next would be faster."""

    def __init__(self) -> None:
        super().__init__(DATA)
        self.asked = 0
        self.next_has_come = threading.Event()

    def read(self, size: int = -1) -> bytes:
        self.asked += 1
        if self.asked == 1:
            self.next_has_come.wait(0.05)
        else:
            self.next_has_come.set()
        return super().read(size)


def test_on_an_event_loop_who_asks_first_has_the_first_bytes() -> None:
    async def in_a_row(file: Any) -> list[Source]:
        return await asyncio.gather(*(as_source_async(file, length=100) for _ in range(10)))

    sources = asyncio.run(in_a_row(Hesitant()))
    assert b"".join(whole(one) for one in sources) == DATA[:1000]
    for one in sources:
        one.close()


def test_after_a_failure_the_position_is_where_the_part_began(tmp_path: Path) -> None:
    for kind in ("raw file", "BytesIO", "gzip", "SpooledTemporaryFile in memory"):
        with CONTENTS[kind](tmp_path) as file:
            file.seek(10)
            source = as_source(file, length=90)
            assert file.tell() == 100
            give_back(file, source)
            assert file.tell() == 10
            source.close()


def test_a_position_that_has_moved_on_since_is_left_alone() -> None:
    file = io.BytesIO(DATA)
    first, second = as_source(file, length=10), as_source(file, length=10)
    give_back(file, first)
    assert file.tell() == 20
    give_back(file, second)
    assert file.tell() == 10


def test_decompressing_happens_once_however_often_it_is_read(tmp_path: Path) -> None:
    with compressed(tmp_path, gzip) as file:
        source = as_source(file)
        assert file.tell() == len(DATA)
        whole(source)
        assert file.tell() == len(DATA)  # nobody went back in it
        source.close()


def test_bytes_are_not_copied() -> None:
    view = as_source(DATA).read_at(0, 10)
    assert isinstance(view, memoryview)
    assert view.obj is DATA


@pytest.mark.parametrize("make", [bytearray, lambda data: memoryview(bytearray(data)), io.BytesIO])
def test_memory_that_may_be_written_to_is_copied_where_it_is_small_and_says_so(make: Any) -> None:
    content = make(DATA)
    source = as_source(content)
    with content.getbuffer() if isinstance(content, io.BytesIO) else memoryview(content) as view:
        view[0] = 99
    assert whole(source) == DATA
    assert "10 KiB in memory, copied" in repr(source)


@pytest.mark.parametrize("make", [bytearray, lambda data: memoryview(bytearray(data)), io.BytesIO])
def test_memory_above_that_is_watched_as_it_goes(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "COPIED_UP_TO", 100)
    monkeypatch.setattr(memory, "_BLOCK", 1000)
    content = make(DATA)
    source = as_source(content)
    sources.read_once(source, CancelToken())
    for start, size in [(0, len(DATA)), (0, 1000), (500, 2000), (999, 2), (7000, len(DATA) - 7000)]:
        witness = sources.witness_of(source, start, size)
        assert witness is not None
        for at in range(start, start + size, 333):
            witness.update(source.read_at(at, min(333, start + size - at)))
    with content.getbuffer() if isinstance(content, io.BytesIO) else memoryview(content) as view:
        view[1500] ^= 1
    for start, size in [(0, 2000), (1000, 1000), (1400, 300), (1501, 10)]:
        witness = sources.witness_of(source, start, size)
        assert witness is not None
        with pytest.raises(SourceChanged, match=r"between byte 1\d+ and byte \d+"):
            witness.update(source.read_at(start, size))
    source.close()


def test_memory_is_watched_through_a_buffered_reader_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "COPIED_UP_TO", 100)
    content = io.BytesIO(DATA)
    source = as_source(io.BufferedReader(content))
    sources.read_once(source, CancelToken())
    with content.getbuffer() as view:
        view[-1] ^= 1
    witness = sources.witness_of(source, 0, len(DATA))
    assert witness is not None
    with pytest.raises(SourceChanged, match="was written to"):
        witness.update(source.read_at(0, len(DATA)))
    source.close()


def test_a_pass_that_was_stopped_is_begun_again() -> None:
    stop = CancelToken()
    stop.set()
    source = as_source(bytearray(DATA))
    sources.read_once(source, stop)
    assert source.facts() == as_source(DATA).facts()
    assert source.facts() != as_source(DATA[:-1] + b"x").facts()


def test_memory_may_be_resized_once_the_source_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "COPIED_UP_TO", 100)
    data = bytearray(DATA)
    source = as_source(data)
    with pytest.raises(BufferError):
        data.append(1)
    source.close()
    data.append(1)


def test_a_file_that_was_handed_in_stays_open_and_what_we_opened_is_closed(tmp_path: Path) -> None:
    with opened(tmp_path) as file:
        as_source(file).close()
        assert not file.closed
        assert file.read() == b""
    openable = fsspec.open(f"file://{written(tmp_path)}", "rb")
    source = as_source(openable)
    assert len(openable.fobjects) == 1
    source.close()
    assert openable.fobjects == []


def open_below(folder: Path) -> list[str]:
    """What this process has open there, files without a name among them."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # another thread has closed it meanwhile
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [link for link in links if link.startswith(f"{folder}/")]


def test_descriptors_are_given_back_even_by_a_source_that_nobody_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = [as_source(written(tmp_path)), as_source(iter([DATA]))]
    assert len(open_below(tmp_path)) == 2
    del left
    gc.collect()
    assert open_below(tmp_path) == []


# --- async iterables ------------------------------------------------------------------------


async def pieces() -> AsyncIterator[bytes]:
    for at in range(0, len(DATA), 1000):
        await asyncio.sleep(0)
        yield DATA[at : at + 1000]


def test_an_async_iterator_is_spooled() -> None:
    source = asyncio.run(as_source_async(pieces()))
    assert whole(source) == DATA
    source.close()


def test_a_source_names_what_an_async_iterator_gave_that_is_not_bytes() -> None:
    async def words() -> AsyncIterator[Any]:
        yield "text"

    with pytest.raises(UsageError, match="gave a str; it has to give bytes"):
        asyncio.run(as_source_async(words()))


def test_a_pipe_that_is_slow_does_not_block_the_event_loop() -> None:
    reads, writes = os.pipe()

    async def both() -> bytes:
        with io.FileIO(reads) as file:
            waiting = asyncio.ensure_future(as_source_async(file))
            for _ in range(3):
                await asyncio.sleep(0)  # the reader is at work, and this goes on
            os.write(writes, b"at last")
            os.close(writes)
            return whole(await waiting)

    assert asyncio.run(asyncio.wait_for(both(), 10)) == b"at last"


def test_waiting_for_a_pipe_can_be_cancelled() -> None:
    reads, writes = os.pipe()

    async def cancelled() -> None:
        with io.FileIO(reads) as file:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(as_source_async(file), 0.05)
            os.close(writes)  # lets the thread go

    asyncio.run(cancelled())


# --- what cannot be -------------------------------------------------------------------------


def closed_file(folder: Path) -> IO[bytes]:
    file = opened(folder)
    file.close()
    return file


class AsyncFile:
    name = "/data/a.bin"

    async def read(self, size: int = -1) -> bytes:
        return b""


class pathlike:  # used as a function
    """A path as only `os.fspath` knows it, of text or of bytes."""

    def __init__(self, path: str | bytes) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        return self._path


def in_a_zip(folder: Path) -> zipfile.Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.bin", b"a")
    return zipfile.Path(folder / "a.zip", "a.bin")


def test_a_path_of_bytes_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "é.bin").write_bytes(DATA)
    source = as_source(pathlike(os.fsencode(tmp_path / "é.bin")))
    assert (source.name, bytes(source.read_at(0, source.size))) == ("é.bin", DATA)
    source.close()


@pytest.mark.parametrize("kind", ["i4", "S5", "U2", [("Z", "i4"), ("P", "f8")]])
def test_an_array_of_plain_values_is_its_memory(kind: Any) -> None:
    array = np.zeros(3, kind)
    assert as_source(array).size == array.nbytes


@pytest.mark.parametrize("kind", [">i4", "<i4"])
def test_an_array_is_sent_as_its_memory_is(kind: str) -> None:
    """The byte order is the array's own; a masked array that masks nothing is an array."""
    array = np.arange(3, dtype=kind)
    for one in (array, np.ma.array(array), np.ma.array(array, mask=[0, 0, 0])):
        assert whole(as_source(one)) == array.tobytes()


class Sparse:
    """As a sparse matrix of SciPy is: rows come of it, and it shows no memory."""

    dtype = np.dtype("f8")

    def __iter__(self) -> Iterator[Any]:
        return iter([self])


WRONG: dict[str, tuple[Make, str]] = {
    "a text file": (lambda folder: open(written(folder)), "open it as bytes: open(path, 'rb')"),
    "StringIO": (lambda _: io.StringIO("a"), "give text.getvalue().encode()"),
    "a temporary text file": (lambda _: tempfile.NamedTemporaryFile("w+"), "open it as bytes"),
    "a spooled text file": (lambda _: tempfile.SpooledTemporaryFile(mode="w+"), "open it as bytes"),
    "a file for writing": (lambda folder: open(folder / "w", "wb"), "open for writing only"),
    "a closed file": (closed_file, "is closed"),
    "an async file": (lambda _: AsyncFile(), "a.bin is an async file; give its path"),
    "a number": (lambda _: 7, "int cannot be uploaded; give bytes, str, a Path"),
    "None": (lambda _: None, "NoneType cannot be uploaded"),
    "a list of text": (lambda _: ["a"], "gave a str; it has to give bytes"),
    "paths": (lambda folder: iter([folder / "a"]), "several files go by upload_many(client, ...)"),
    "a dict": (lambda _: {b"a": b"b"}, "as json.dumps(content) does"),
    "a set": (lambda _: {b"a", b"b"}, "A set has no order that its bytes could have"),
    "a list of numbers": (lambda _: [1, 2], "gave a int; it has to give bytes"),
    "every second byte": (lambda _: memoryview(DATA)[::2], "not contiguous in memory; give its"),
    "a transposed array": (lambda _: np.eye(3)[:, :2], "content.tobytes()"),
    "masked values": (lambda _: np.ma.array([1, 2], mask=[0, 1]), "give array.filled(...)"),
    "masked records": (
        lambda _: np.ma.array([(1, 2)], [("a", "i4"), ("b", "i4")], mask=[(0, 1)]),
        "give array.filled(...)",
    ),
    "one masked value": (lambda _: np.ma.masked, "give array.filled(...)"),
    "a Series": (lambda _: pd.Series([1, 2]), "Series has values, and no bytes that can be read"),
    "a DataFrame": (lambda _: pd.DataFrame({"a": [1]}), "frame.to_csv().encode()"),
    "dates": (lambda _: np.array(["2024-01-01"], "M8[ns]"), "ndarray has values, and no bytes"),
    "a sparse matrix": (lambda _: Sparse(), "Sparse has values, and no bytes"),
    "objects": (lambda _: np.array([b"a", 1], dtype=object), "memory holds addresses"),
    "records of objects": (lambda _: np.zeros(2, [("X", "i4"), ("o", "O")]), "holds addresses"),
    "a member of a zip": (in_a_zip, "give path.open('rb')"),
    "no path": (lambda _: pathlike(""), "The path is empty"),
    "a folder": (lambda folder: folder, "is a folder; give the path of a file"),
    "a device": (lambda _: Path("/dev/null"), "not a regular file"),
    "an open device": (lambda _: open("/dev/zero", "rb"), "is a device, which has no size"),
    "a file that is not there": (lambda folder: folder / "nope", "nope cannot be read: No such"),
    "an async iterator": (lambda _: pieces(), "with upload_part_async"),
}


@pytest.mark.parametrize(("make", "sentence"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_uploaded_is_told_in_a_sentence_that_says_what_to_do(
    make: Make, sentence: str, tmp_path: Path
) -> None:
    wrong = make(tmp_path)
    with pytest.raises(UsageError) as caught:
        as_source(wrong)
    assert sentence in str(caught.value)
    if hasattr(wrong, "close"):
        wrong.close()


@pytest.mark.parametrize("length", [-1, 1.5, True, "7"])
def test_a_length_is_a_number_of_bytes(length: Any) -> None:
    with pytest.raises(UsageError, match="length is a number of bytes, 0 or more"):
        as_source(DATA, length)


@pytest.mark.parametrize("kind", ["bytes", "Path", "raw file", "BytesIO", "pipe", "gzip"])
def test_fewer_bytes_than_length_are_told_with_both_numbers(kind: str, tmp_path: Path) -> None:
    content = CONTENTS[kind](tmp_path)
    with pytest.raises(UsageError, match=rf"{len(DATA)} bytes.*{len(DATA) + 1}"):
        as_source(content, len(DATA) + 1)
    if hasattr(content, "close"):
        content.close()


def test_an_iterator_that_gives_more_than_length_is_told() -> None:
    with pytest.raises(UsageError, match="more than the 10 bytes"):
        as_source(iter([b"123456", b"789012"]), 10)


def test_a_full_temporary_folder_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as if the disk ended there
    try:
        with pytest.raises(UsageError, match="does not fit into the temporary folder") as caught:
            as_source(b"x" * 60_000 for _ in range(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert "TMPDIR" in str(caught.value.__notes__)


def test_what_is_spooled_leaves_no_file_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = as_source(iter([DATA]))
    assert list(tmp_path.iterdir()) == []
    source.close()
