"""Row 38, and the answers that are no download: nothing of them is ever called downloaded."""

from __future__ import annotations

import base64
import gzip
import hashlib
import threading
from pathlib import Path

import pytest
from blobs import DATA, Answer, Blob, Request

from cognite_nb_upload import CogniteClient, SourceChanged, TransferError, VerifyError
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.store.download import ranges_at_once

OLD = b"what was there before"


def left_alone(folder: Path) -> Path:
    path = folder / "data.bin"
    path.write_bytes(OLD)
    return path


def test_what_arrives_is_what_the_store_has(linked: CogniteClient, blob: Blob, tmp_path: Path):
    path = left_alone(tmp_path)
    assert linked.files.download(path, id=1) == path
    assert path.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]
    assert blob.ranges[0] == f"bytes=0-{MIB // 2 - 1}"
    assert sorted(blob.ranges[1:]) == sorted(
        [f"bytes={MIB // 2}-{8 * MIB - 1}", f"bytes={8 * MIB}-{16 * MIB - 1}",
         f"bytes={16 * MIB}-{19 * MIB - 1}"]
    )  # fmt: skip
    assert {headers.get("if-match") for headers in blob.seen[1:]} == {'"first"'}
    assert {headers["accept-encoding"] for headers in blob.seen} == {"identity"}


def test_a_store_that_is_near_is_read_by_as_many_threads_as_there_are_cores(
    linked: CogniteClient, blob: Blob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lock, third, at_once = threading.Lock(), threading.Event(), [0, 0]

    def held(request: Request) -> None:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
            if at_once[0] > 2:
                third.set()
        third.wait(0.5)  # as long as this another one would have to begin
        start, end = request.range()
        request.part(start, end)
        with lock:
            at_once[0] -= 1

    monkeypatch.setattr("os.cpu_count", lambda: 2)
    blob.answers = [None, held, held, held]
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA
    assert at_once == [0, 2]


@pytest.mark.parametrize(
    ("trip_s", "cores", "ranges"),
    [
        (0.0001, 1, 2),  # one waits for the store while the other decrypts
        (0.0001, 2, 2),
        (0.0001, 3, 3),
        (0.0001, 64, 4),
        (0.02, 1, 4),
        (0.0, 1, 4),  # the system does not tell
    ],
)
def test_so_many_ranges_come_at_once(trip_s: float, cores: int, ranges: int):
    assert ranges_at_once(trip_s, cores) == ranges


# --- seven bad answers ----------------------------------------------------------------------------


def cut_without_a_length(request: Request) -> None:
    request.head(200, None)
    request.wfile.write(DATA[: len(DATA) // 2])


def short_206(request: Request) -> None:
    start, end = request.range()
    request.part(start, (start + end) // 2)


def wrong_range(request: Request) -> None:
    start, end = request.range()
    request.part(start + 1, min(end + 1, len(DATA)))


def packed(request: Request) -> None:
    body = gzip.compress(DATA[: MIB // 2])
    request.head(200, len(body), {"content-encoding": "gzip"})
    request.wfile.write(body)


def unsatisfiable(request: Request) -> None:
    request.head(416, 0, {"content-range": f"bytes */{len(DATA)}"})


def login_page(request: Request) -> None:
    body = b"<!doctype html><title>Please log in</title>"
    request.head(200, len(body), {"content-type": "text/html", "set-cookie": "session=1"})
    request.wfile.write(body)


def page_without_a_version(request: Request) -> None:
    request.head(200, 10, {"etag": "", "content-type": "application/json"})
    request.wfile.write(b'{"a": "b"}')


def no_range_at_all(request: Request) -> None:
    start, end = request.range()
    request.head(206, end - start)
    request.wfile.write(DATA[start:end])


def unknown_size(request: Request) -> None:
    start, end = request.range()
    request.head(206, end - start, {"content-range": f"bytes {start}-{end - 1}/*"})
    request.wfile.write(DATA[start:end])


def another_length(request: Request) -> None:
    start, end = request.range()
    said = {"content-range": f"bytes {start}-{end - 1}/{len(DATA)}"}
    request.head(206, end - start - 1, said)
    request.wfile.write(DATA[start : end - 1])


BAD: dict[Answer, str] = {
    cut_without_a_length: "does not say how many bytes it brings",
    short_206: "the answer brings",
    wrong_range: "the answer brings",
    packed: "packed as gzip",
    unsatisfiable: "416",
    login_page: "is a page, not the file",
    page_without_a_version: "is a page, not the file",
    no_range_at_all: "does not say which bytes",
    unknown_size: "does not say which bytes",
    another_length: "the answer says",
}


def page_as_a_range(request: Request) -> None:
    start, end = request.range()
    said = {"content-range": f"bytes {start}-{end - 1}/{len(DATA)}", "content-type": "text/html"}
    request.head(206, end - start, said)
    request.wfile.write((b"<p>Please log in</p>" * MIB)[: end - start])


def range_with_a_cookie(request: Request) -> None:
    start, end = request.range()
    said = {"content-range": f"bytes {start}-{end - 1}/{len(DATA)}", "set-cookie": "session=1"}
    request.head(206, end - start, said)
    request.wfile.write(bytes(end - start))


@pytest.mark.parametrize("answer", [page_as_a_range, range_with_a_cookie])
def test_a_range_that_is_served_as_the_first_was_not_is_a_page(
    linked: CogniteClient, blob: Blob, tmp_path: Path, answer: Answer
) -> None:
    path = left_alone(tmp_path)
    blob.answers = [None, answer]  # one of the next ranges; it is asked for again
    assert linked.files.download(path, id=1).read_bytes() == DATA
    blob.answers, blob.always = [None], answer
    with pytest.raises(TransferError, match="is a page, not the file"):
        linked.files.download(path, id=1)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("answer", BAD)
@pytest.mark.parametrize("good", [0, 2], ids=["from the first", "in the middle"])
def test_a_bad_answer_is_never_a_download(
    linked: CogniteClient, blob: Blob, tmp_path: Path, answer: Answer, good: int
) -> None:
    path = left_alone(tmp_path)
    blob.answers = [None] * good
    blob.always = answer
    with pytest.raises(TransferError, match=BAD[answer]):
        linked.files.download(path, id=1)
    assert len(blob.seen) > good
    assert path.read_bytes() == OLD


@pytest.mark.parametrize("answer", [one for one in BAD if one is not packed])
@pytest.mark.parametrize("good", [0, 1, 3], ids=["first", "second", "last"])
def test_after_one_bad_answer_it_is_asked_again(
    linked: CogniteClient, blob: Blob, tmp_path: Path, answer: Answer, good: int
) -> None:
    blob.answers = [*[None] * good, answer]
    path = linked.files.download(tmp_path / "data.bin", id=1)
    assert path.read_bytes() == DATA
    assert blob.answers == []
    assert len(blob.seen) >= 5


def cut_short(request: Request) -> None:
    """As many bytes were promised; the connection ends in the middle."""
    start, end = request.range()
    said = {"content-range": f"bytes {start}-{end - 1}/{len(request.blob.data)}"}
    request.head(206, end - start, said)
    request.wfile.write(request.blob.data[start : start + (end - start) // 2])
    request.drop()


def cut_without_length_of_a_range(request: Request) -> None:
    start, end = request.range()
    said = {"content-range": f"bytes {start}-{end - 1}/{len(request.blob.data)}"}
    request.head(206, None, said)
    request.wfile.write(request.blob.data[start : start + (end - start) // 2])


@pytest.mark.parametrize("answer", [cut_short, cut_without_length_of_a_range])
def test_what_breaks_off_goes_on_from_there(
    linked: CogniteClient, blob: Blob, tmp_path: Path, answer: Answer
) -> None:
    blob.answers = [None, answer]
    path = linked.files.download(tmp_path / "data.bin", id=1, max_concurrency=1)
    assert path.read_bytes() == DATA
    starts = [int(one[6:].split("-")[0]) for one in blob.ranges]
    assert len(starts) == 5
    assert starts[1] < starts[2] < starts[3]
    assert sum(len(range_) > 0 for range_ in blob.ranges) == 5


# --- another version ------------------------------------------------------------------------------

NEW = bytes(reversed(DATA[: 9 * MIB])) + DATA[9 * MIB :]


@pytest.mark.parametrize("conditions", [True, False], ids=["If-Match is heard", "If-Match is not"])
@pytest.mark.parametrize("size", [len(DATA), len(DATA) - MIB], ids=["same size", "another size"])
@pytest.mark.parametrize("good", [1, 2, 3])
def test_38_an_object_that_is_replaced_in_the_middle_is_never_a_mixture(
    linked: CogniteClient, blob: Blob, tmp_path: Path, conditions: bool, size: int, good: int
) -> None:
    path = left_alone(tmp_path)
    blob.conditions = conditions

    def replaced(request: Request) -> None:
        blob.replace(NEW[:size])
        request.serve()

    blob.answers = [*[None] * good, replaced]
    with pytest.raises(SourceChanged, match="was replaced while it was being downloaded"):
        linked.files.download(path, id=1, max_concurrency=1)
    assert blob.answers == []
    assert path.read_bytes() == OLD
    assert linked.files.download(path, id=1).read_bytes() == NEW[:size]
    assert list(tmp_path.iterdir()) == [path]


def test_38_replaced_while_the_line_is_broken_it_is_not_gone_on_with(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    def cut_and_replaced(request: Request) -> None:
        cut_short(request)
        blob.replace(NEW)

    blob.answers = [None, cut_and_replaced]
    with pytest.raises(SourceChanged):
        linked.files.download(tmp_path / "data.bin", id=1, max_concurrency=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_38_without_a_version_what_breaks_off_begins_again(
    linked: CogniteClient, blob: Blob, tmp_path: Path, etag: str
) -> None:
    blob.etag = etag

    def cut_and_replaced(request: Request) -> None:
        cut_short(request)
        blob.data = NEW

    blob.answers = [None, cut_and_replaced]
    path = linked.files.download(tmp_path / "data.bin", id=1)
    assert path.read_bytes() == NEW
    assert blob.ranges[1:] == [f"bytes=0-{len(DATA) - 1}"] * 2


def test_a_store_that_knows_no_ranges_is_read_from_the_beginning(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    def whole(request: Request) -> None:
        request.head(200, len(DATA))
        request.wfile.write(DATA)

    blob.always = whole
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA


# --- checksums ------------------------------------------------------------------------------------


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@pytest.mark.parametrize("name", ["x-ms-blob-content-md5", "x-goog-hash"])
@pytest.mark.parametrize("right", [True, False])
def test_the_stores_checksum_of_the_whole_is_compared(
    linked: CogniteClient, blob: Blob, tmp_path: Path, name: str, right: bool
) -> None:
    path = left_alone(tmp_path)
    value = md5(DATA if right else NEW)
    blob.headers = {name: f"crc32c=AAAA,md5={value}" if name == "x-goog-hash" else value}
    if name == "x-goog-hash":
        blob.headers[name] = f"md5={value}"
    download = linked.files.start_download(path, id=1)
    if right:
        assert download.result(30).read_bytes() == DATA
        assert download.state.verified == f"size {len(DATA)} bytes, MD5 by the store"
    else:
        with pytest.raises(VerifyError, match="has not the MD5 that the store tells"):
            download.result(30)
        assert path.read_bytes() == OLD
        assert list(tmp_path.iterdir()) == [path]


def test_an_md5_of_a_range_is_not_taken_for_that_of_the_whole(
    linked: CogniteClient, blob: Blob, tmp_path: Path
) -> None:
    def with_md5(request: Request) -> None:
        start, end = request.range()
        request.part(start, end, content_md5=md5(DATA[start:end]))

    blob.always = with_md5
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA


@pytest.mark.parametrize("size", [0, 1, MIB // 2, MIB // 2 + 1, 8 * MIB, 8 * MIB + 1])
def test_sizes_at_the_edges_arrive(
    linked: CogniteClient, blob: Blob, tmp_path: Path, size: int
) -> None:
    blob.data = DATA[:size]
    assert linked.files.download(tmp_path / "data.bin", id=1).read_bytes() == DATA[:size]
