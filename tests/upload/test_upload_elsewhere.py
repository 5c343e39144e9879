"""A file in another store: read where it is, by its address, and never two of its versions."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import google_crc32c
import pytest
from foreign import Foreign
from upath import UPath
from upload_rig import PART, asked, content_of, program, until_true
from web_store import WebStore, web_store

from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    SourceChanged,
    TransferError,
    UsageError,
    VerifyError,
    resume,
    running_uploads,
    uploads,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.emulator import Emulator

PARTS = 3
CONTENT = content_of(PARTS)
OTHER = content_of(PARTS, seed=9)
Clients = Callable[..., CogniteClient]


@pytest.fixture
def web() -> Iterator[WebStore]:
    with web_store() as running:
        yield running


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's filesystem in memory, which is one for the whole process."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


def broken_every(no: int, at: int = 2 << 20) -> Callable[[str, str], int | None]:
    """Each so-many-th answer breaks off within it."""
    count = iter(range(1, 10_000))
    return lambda path, span: at if next(count) % no == 0 else None


# --- what is read, and how often ------------------------------------------------------------------


def test_an_address_is_read_once_and_named_by_its_path(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("wells/big%20one.segy", CONTENT) + "?X-Amz-Signature=planted"
    done = client.files.upload(address, part_size=PART)
    assert cdf.content(done.id) == CONTENT
    assert (done.name, done.parts, done.notes) == ("big one.segy", PARTS, ())
    assert len(CONTENT) <= web.given <= 1.01 * len(CONTENT)


WAYS: dict[str, Callable[[Any], Any]] = {
    "address": lambda fs: "memory://wells/a.las",
    "path": lambda fs: UPath("memory://wells/a.las"),
    "openable": lambda fs: fsspec.open("memory://wells/a.las"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_filesystem_is_read_as_any_other_store(
    client: CogniteClient, cdf: Emulator, memory: Any, way: str
) -> None:
    memory.pipe("/wells/a.las", CONTENT)
    done = client.files.start_upload(WAYS[way](memory), part_size=PART)
    assert done.result().name == "a.las"
    assert done.path == "memory://wells/a.las"
    assert cdf.content(done.result().id) == CONTENT


class Counted(fsspec.AbstractFileSystem):  # type: ignore[misc] # fsspec has no types
    """A filesystem elsewhere: files are opened with a read-ahead cache, and reads are counted."""

    protocol = "counted"
    cachable = False

    def __init__(self, data: bytes, **facts: Any) -> None:
        super().__init__()
        self.data, self.facts, self.read = data, facts, 0

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": len(self.data), "type": "file", **self.facts}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        return _CountedFile(self, path, mode, cache_type="readahead", size=len(self.data))

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
        self.read += len(found := self.data[start:end])
        return found


class _CountedFile(fsspec.spec.AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    def _fetch_range(self, start: int, end: int) -> bytes:
        found: bytes = self.fs.cat_file(self.path, start, end)
        return found


def test_an_open_file_of_a_filesystem_is_read_from_where_it_stands(
    client: CogniteClient, cdf: Emulator
) -> None:
    fs = Counted(CONTENT, ETag="a")
    with fs.open("wells/a.las") as file:
        file.seek(7)
        done = client.files.upload(file, part_size=PART)
        assert file.tell() == len(CONTENT)
        with pytest.raises(UsageError, match="stands at its end"):
            client.files.upload(file)
    assert cdf.content(done.id) == CONTENT[7:]
    assert fs.read <= 1.05 * len(CONTENT)


def test_a_foreign_file_is_read_one_part_at_a_time(client: CogniteClient, cdf: Emulator) -> None:
    fs = Counted(CONTENT)
    upload = client.files.start_upload(Foreign(fs.open("a")), part_size=PART, max_concurrency=8)
    done = upload.result()
    assert cdf.content(done.id) == CONTENT
    assert fs.read <= 2 * len(CONTENT)
    assert "One part goes at a time" in repr(done)


def test_a_server_without_ranges_is_copied_to_this_disk_first(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    web.ranges = False
    done = client.files.upload(web.put("a.bin", CONTENT), part_size=PART)
    assert cdf.content(done.id) == CONTENT
    assert "copied to this disk first" in done.notes[0]


def test_a_server_that_refuses_ranges_without_its_size_has_no_empty_file(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    web.fault = lambda path, span: (416, {}) if span else None
    done = client.files.upload(web.put("a.bin", CONTENT), part_size=PART)
    assert cdf.content(done.id) == CONTENT


def test_a_foreign_file_whose_read_fails_once_is_read_once_more(
    client: CogniteClient, cdf: Emulator
) -> None:
    class Failing(Foreign):
        failed = 0

        def read(self, size: int = -1) -> bytes:
            if self.tell() >= PART and not self.failed:
                Failing.failed += 1
                raise OSError("it was reset")
            return super().read(size)

    done = client.files.upload(Failing(Counted(CONTENT).open("a")), part_size=PART)
    assert Failing.failed == 1
    assert cdf.content(done.id) == CONTENT


def test_a_member_of_an_archive_elsewhere_is_unpacked_first(
    client: CogniteClient, cdf: Emulator, memory: Any
) -> None:
    import zipfile

    with memory.open("/x.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("in/a.csv", b"1,2\n" * 100)
    done = client.files.upload("zip://in/a.csv::memory://x.zip")
    assert (done.name, cdf.content(done.id)) == ("a.csv", b"1,2\n" * 100)


def test_a_filesystem_that_gives_all_for_a_range_is_refused(
    client: CogniteClient, cdf: Emulator
) -> None:
    class Whole(Counted):
        protocol = "whole"

        def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> bytes:
            return self.data

    with pytest.raises(TransferError, match="gives no ranges"):
        client.files.upload(Whole(CONTENT, ETag="a").open("a"), part_size=PART, name="a")
    assert not asked(cdf, "complete")


def test_a_file_address_is_the_file(client: CogniteClient, cdf: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "a b#1.bin"
    path.write_bytes(b"x")
    for given in (f"file://{path}", f"file:{path}", path.as_uri(), UPath(path)):
        upload = client.files.start_upload(given)
        assert upload.result().name == "a b#1.bin"
        assert upload.path == str(path)


def test_an_empty_object_is_an_empty_file(client: CogniteClient, web: WebStore) -> None:
    assert client.files.upload(web.put("empty", b"")).size == 0


# --- what breaks, and what asks for less ----------------------------------------------------------


def test_a_read_that_breaks_goes_on_from_its_byte(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    web.fault = broken_every(2)
    done = client.files.upload(web.put("a", CONTENT), part_size=PART)
    assert cdf.content(done.id) == CONTENT
    assert web.fired >= PARTS
    assert web.given <= 1.05 * len(CONTENT)
    assert done.retries == 0  # it is no try of the target's


def test_a_store_that_asks_for_a_wait_gets_it(
    clients: Clients, cdf: Emulator, web: WebStore
) -> None:
    """A `Retry-After` above what is waited for at all ends it; one below is waited out."""
    busy = {"retry-after": "1"}
    web.fault = lambda path, span: (503, busy) if web.fired < 1 and len(web.asked) > 1 else None
    client, address = clients(cdf), web.put("a", CONTENT)
    done = client.files.upload(address, part_size=PART)
    assert cdf.content(done.id) == CONTENT
    assert web.fired == 1
    busy["retry-after"] = "7200"
    web.fired = 0
    web.asked.clear()
    with pytest.raises(TransferError, match=r"cannot be read at byte \d+.*answered 503"):
        client.files.upload(address, part_size=PART, name="b")
    assert web.fired == 1  # it was not asked again before its time


def test_stopping_does_not_wait_for_a_store_that_stands_still(
    client: CogniteClient, web: WebStore
) -> None:
    hold, held = threading.Event(), threading.Event()

    def fault(path: str, span: str) -> None:
        if span and not span.startswith("bytes=0-0"):
            held.set()
            web.lock.release()
            hold.wait(30)
            web.lock.acquire()

    web.fault = fault
    upload = client.files.start_upload(web.put("a", CONTENT), part_size=PART)
    assert held.wait(30)
    try:
        upload.stop()
        until_true(lambda: not running_uploads())
        assert not hold.is_set()
    finally:
        hold.set()


# --- never two versions ---------------------------------------------------------------------------


def test_one_that_is_replaced_while_it_goes_is_refused(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("a", CONTENT)

    def replaced(state: Any, event: ev.Event) -> None:
        if isinstance(event, ev.PartStored):
            web.put("a", OTHER)

    upload = client.files.start_upload(address, part_size=PART, max_concurrency=1)
    upload.listen(replaced)
    with pytest.raises(SourceChanged, match="was replaced"):
        upload.result()
    assert not asked(cdf, "complete")


@pytest.mark.parametrize("facts", [{"ETag": "1"}, {"mtime": 1.5}, {"VersionId": "1"}])
def test_one_that_is_replaced_after_the_last_read_is_refused(
    client: CogniteClient, cdf: Emulator, facts: dict[str, Any]
) -> None:
    fs = Counted(content_of(1), **facts)
    name, value = next(iter(facts.items()))

    def replaced(state: Any, event: ev.Event) -> None:
        if isinstance(event, ev.PartStored):
            fs.facts = {name: value * 2}

    upload = client.files.start_upload(fs.open("a"), name="a")
    upload.listen(replaced)
    with pytest.raises(SourceChanged, match="was replaced"):
        upload.result()
    assert not asked(cdf, "complete")


INTERRUPTED = """
import sys, os, upload_rig
from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core import events as ev
class Cdf:
    base_url, project, token = (os.environ[f"CDF_{n}"] for n in ("URL", "PROJECT", "TOKEN"))
client = CogniteClient(upload_rig.config_for(Cdf))
how = dict(part_size=upload_rig.PART, max_concurrency=1, verify=sys.argv[2])
upload = client.files.start_upload(sys.argv[1], **how)
upload.listen(lambda state, event: os._exit(9) if isinstance(event, ev.PartStored) else None)
upload.result()
"""


def interrupted(cdf: Emulator, address: str, verify: str = "size") -> None:
    """An upload in another process, which died after its first part."""
    assert program(cdf, INTERRUPTED, address, verify).returncode == 9


def test_another_process_goes_on_with_the_same_version(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("a", CONTENT)
    interrupted(cdf, address)
    (known,) = uploads().itertuples()
    assert known.source == address
    web.given = 0
    done = resume(known, client).result()
    assert cdf.content(done.id) == CONTENT
    assert "Went on with 1 of 3 parts" in repr(done)
    assert web.given <= 2.1 * PART


def test_another_version_is_not_gone_on_with(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("a", CONTENT)
    interrupted(cdf, address)
    web.put("a", OTHER)
    with pytest.raises(SourceChanged, match="its bytes are others"):
        client.files.upload(address, part_size=PART)
    assert not asked(cdf, "complete")
    done = client.files.upload(address, part_size=PART, resume=False)
    assert cdf.content(done.id) == OTHER


def test_what_tells_no_version_begins_from_its_first_byte(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("a", CONTENT, etag="")
    interrupted(cdf, address)
    ((upload_id, _),) = uploads().iterrows()
    with pytest.raises(UsageError, match="not pinned"):
        resume(upload_id, client)
    web.put("a", OTHER, etag="")
    upload = client.files.start_upload(address, part_size=PART)
    done = upload.result()
    assert cdf.content(done.id) == OTHER
    assert "not pinned" in repr(upload)


# --- what the source's own store tells ------------------------------------------------------------


def google(web: WebStore, path: str, of: bytes, kind: str = "crc32c") -> dict[str, str]:
    """What Google's store says of a whole object, beside other checksums."""
    md5 = base64.b64encode(hashlib.md5(of).digest()).decode()
    crc32c = base64.b64encode(google_crc32c.Checksum(of).digest()).decode()
    headers = {"x-goog-hash": f"crc32c={crc32c},md5={md5}" if kind == "crc32c" else f"md5={md5}"}
    web.headers[path] = headers
    return headers


def test_the_sources_checksum_of_the_whole_is_compared(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("a", CONTENT)
    google(web, "a", CONTENT)
    done = client.files.upload(address, part_size=PART, verify="checksum")
    assert "CRC32C of the whole, by the source's store" in done.verified
    assert "MD5 of every part, by the store's answers" in done.verified


def test_bytes_that_are_not_those_of_the_sources_checksum_are_not_completed(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("a", CONTENT)
    google(web, "a", OTHER)
    with pytest.raises(VerifyError, match="What was read of the source has the CRC32C"):
        client.files.upload(address, part_size=PART, verify="checksum")
    assert not asked(cdf, "complete")


def test_parts_of_an_earlier_process_count_in_the_sources_checksum(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    address = web.put("a", CONTENT)
    google(web, "a", CONTENT)
    interrupted(cdf, address, "checksum")
    done = client.files.upload(address, part_size=PART, verify="checksum")
    assert "Went on with 1 of 3 parts" in done.notes[0]
    assert "CRC32C of the whole, by the source's store" in done.verified


def test_an_etag_proves_something_where_it_agrees_alone(
    client: CogniteClient, web: WebStore
) -> None:
    right, wrong = hashlib.md5(b"content").hexdigest(), hashlib.md5(b"other").hexdigest()
    proofs = []
    for etag in (right, wrong):
        address = web.put("a", b"content", etag=f'"{etag}"')
        proofs.append(client.files.upload(address, name=etag, verify="checksum").verified)
    assert ["by the source's store" in one for one in proofs] == [True, False]


def test_an_md5_of_a_whole_in_parts_is_said_not_to_be_compared(
    client: CogniteClient, web: WebStore
) -> None:
    address = web.put("a", CONTENT)
    google(web, "a", CONTENT, "md5")
    done = client.files.upload(address, part_size=PART, verify="checksum")
    assert "Not compared was the MD5 that its source's store tells" in done.notes[0]


# --- what is refused, and what is written nowhere -------------------------------------------------


@pytest.mark.parametrize(
    "address", ["http://169.254.10.20/x", "http://[fe80::1]/x", "http://2852039166/x"]
)
def test_a_link_local_address_is_not_read_from(client: CogniteClient, address: str) -> None:
    with pytest.raises(UsageError, match="link-local"):
        client.files.upload(address)


def test_a_redirect_to_a_link_local_address_is_not_followed(
    client: CogniteClient, web: WebStore
) -> None:
    web.fault = lambda path, span: (302, {"location": "http://169.254.10.20/latest"})
    with pytest.raises(UsageError, match="link-local"):
        client.files.upload(web.put("a", b"x"))
    assert web.fired == 1


def test_what_is_not_there_is_told_before_cdf_is_asked(
    client: CogniteClient, cdf: Emulator, web: WebStore
) -> None:
    with pytest.raises(UsageError, match="is not there"):
        client.files.upload(f"{web.url}/none.bin")
    with pytest.raises(UsageError, match="no scheme that can be read"):
        client.files.upload("nosuch://bucket/x")
    with pytest.raises(UsageError, match=r"of dbfs:/mnt/x are missing.* /dbfs/mnt/x is that file"):
        client.files.upload("dbfs:/mnt/x")
    with pytest.raises(UsageError, match="storage_options are for an address"):
        client.files.upload(b"x", name="x", storage_options={"key": "a"})
    assert not asked(cdf, "init")


def test_secrets_of_an_address_are_written_nowhere(
    native: AsyncCogniteClient,
    cdf: Emulator,
    web: WebStore,
    journals: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = web.put("a.bin", CONTENT)
    address = plain.replace("//", "//user:planted1@") + "?X-Amz-Signature=planted2"
    caplog.set_level(logging.DEBUG)
    upload = native.files.upload(
        address, part_size=PART, storage_options={"headers": {"x-key": "planted3"}}
    )
    done = upload.result()
    told = [repr(upload), repr(done), str(upload.spec), repr(upload.spec.source), caplog.text]
    told += [path.read_text() for path in journals.rglob("*") if path.is_file()]
    assert any(plain in one for one in told)
    with pytest.raises(UsageError) as missing:
        native.files.upload(address.replace("a.bin", "b.bin"))
    told += [
        str(missing.value),
        repr(missing.value.__notes__ if hasattr(missing.value, "__notes__") else ""),
    ]
    assert not [one for one in told if "planted" in one]
    sent = [headers for _, _, headers in web.asked]
    assert all(one["x-key"] == "planted3" for one in sent[:-1])
    assert all(one["authorization"].startswith("Basic ") for one in sent)
