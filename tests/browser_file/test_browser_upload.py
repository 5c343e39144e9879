from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import pytest
from pages import Page
from support import fired, seen

from cognite_nb_upload import CogniteClient, SourceChanged, Upload, UploadStopped, uploads
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.journal.fingerprint import sample_blocks
from cognite_nb_upload.widgets.browser.file import BrowserFile
from cognite_nb_upload.widgets.browser.files import BrowserFiles
from cognite_nb_upload.widgets.browser.link import AT_ONCE, LARGEST

PART = LARGEST + MIB
# Slices that reach beyond this are held: the first part arrives, the second not yet.
HELD = PART + LARGEST
DATA = random.Random(11).randbytes(3 * PART + 12345)
Make = Callable[..., tuple[BrowserFiles, Page]]


@pytest.fixture
def cdf() -> Iterator[Emulator]:
    with emulator(faults=True, cors=True, strict_storage=True) as running:
        yield running


@pytest.fixture
def file(files: BrowserFiles, page: Page) -> BrowserFile:
    page.choose(DATA)
    return files.files[0]


@pytest.fixture
def direct(make_files: Make) -> tuple[BrowserFile, Page]:
    """A file whose page may send its parts to the store by itself."""
    files, page = make_files(direct=True)
    page.cors = True
    page.choose(DATA)
    return files.files[0], page


def until(true: Callable[[], bool]) -> None:
    for _ in range(6000):
        if true():
            return
        Event().wait(0.01)
    raise AssertionError("It did not come true.")


def arrived(cdf: Emulator, upload: Upload) -> bool:
    done = upload.result(60)
    return cdf.sha256(done.id or 0) == hashlib.sha256(DATA).hexdigest()


def kernel_read(page: Page) -> int:
    """Bytes that went through the kernel; the samples of the fingerprint and ours are 1 MiB."""
    return max(0, sum(size for _, size in page.reads) - MIB)


# --- over the comm --------------------------------------------------------------------------------


def test_a_browser_file_is_uploaded_like_any_source(
    client: CogniteClient, cdf: Emulator, file: BrowserFile
) -> None:
    upload = client.files.start_upload(file, part_size=PART, source="my laptop")
    assert arrived(cdf, upload)
    assert upload.name == "big.segy"


def halted(file: BrowserFile, client: CogniteClient, page: Page, **fields: Any) -> Upload:
    """An upload whose first part is stored, and whose second one the page keeps waiting."""
    page.hold_from = HELD
    upload = file.upload(client, part_size=PART, max_concurrency=1, **fields)
    until(lambda: upload.state.stored >= PART)
    return upload


def test_an_upload_says_what_it_waits_for_and_goes_on(
    client: CogniteClient, cdf: Emulator, file: BrowserFile, page: Page
) -> None:
    upload = halted(file, client, page)
    page.reload()
    until(lambda: "drop the same file again to go on" in upload.state.waiting_for)
    page.choose(DATA)
    assert arrived(cdf, upload)
    assert upload.state.waiting_for == ""
    assert upload.state.retries == 0


def test_an_upload_that_waits_is_paused_and_resumed(
    client: CogniteClient, cdf: Emulator, file: BrowserFile, page: Page
) -> None:
    upload = halted(file, client, page)
    page.reload()
    until(lambda: "drop the same" in upload.state.waiting_for)
    upload.pause()
    until(lambda: upload.state.phase.value == "paused")
    upload.resume()
    until(lambda: "drop the same" in upload.state.waiting_for)
    page.choose(DATA)
    assert arrived(cdf, upload)


def test_an_upload_that_waits_is_stopped_and_the_same_file_goes_on_after_a_restart(
    client: CogniteClient, cdf: Emulator, file: BrowserFile, page: Page, make_files: Make
) -> None:
    first = halted(file, client, page)
    page.reload()
    until(lambda: "drop the same" in first.state.waiting_for)
    first.stop()
    with pytest.raises(UploadStopped):
        first.result(30)
    assert uploads()["source"].tolist() == ["browser:big.segy"]
    files, again = make_files()  # a new kernel: another widget, and the same file dropped on it
    sent = len(seen(cdf, "part"))
    again.choose(DATA)
    second = files.files[0].upload(client, part_size=PART)
    assert arrived(cdf, second)
    assert "Went on with 1 of 4 parts" in str(second.result().notes)
    assert len(seen(cdf, "part")) == sent + 3


def test_an_unfinished_upload_is_gone_on_with_by_its_id(
    client: CogniteClient, cdf: Emulator, file: BrowserFile, page: Page, make_files: Make
) -> None:
    first = halted(file, client, page, source="my laptop")
    first.stop()
    files, again = make_files()
    again.choose(DATA)
    second = files.files[0].resume(client, uploads().index[0])
    assert arrived(cdf, second)
    assert "Went on with 1 of 4 parts" in str(second.result().notes)


def test_another_file_does_not_go_on_with_it(
    client: CogniteClient, cdf: Emulator, file: BrowserFile, page: Page, make_files: Make
) -> None:
    first = halted(file, client, page)
    first.stop()
    files, other = make_files()
    other.choose(DATA[:-1] + b"?")
    with pytest.raises(SourceChanged, match="its bytes are others"):
        files.files[0].upload(client, part_size=PART).result(60)


def test_a_file_that_changes_is_not_completed(
    client: CogniteClient, cdf: Emulator, file: BrowserFile, page: Page
) -> None:
    upload = halted(file, client, page)
    page.unreadable = "NotReadableError"
    page.let_go()
    until(lambda: "changed on its disk" in upload.state.waiting_for)
    page.choose(DATA, modified=1)
    with pytest.raises(SourceChanged, match="changed during the upload"):
        upload.result(30)
    assert seen(cdf, "complete") == []


def test_cancelling_while_it_waits_returns_at_once(
    client: CogniteClient, file: BrowserFile, page: Page
) -> None:
    upload = halted(file, client, page)
    page.reload()
    until(lambda: "drop the same" in upload.state.waiting_for)
    upload.cancel()
    assert upload.done()
    assert upload.state.phase.value == "cancelled"


def test_an_upload_of_a_file_that_is_away_is_cancelled_before_it_begins(
    client: CogniteClient, file: BrowserFile, page: Page
) -> None:
    page.reload()
    upload = file.upload(client, part_size=PART)
    until(lambda: "drop the same" in file.waiting_for)
    upload.cancel()
    assert upload.done()
    assert page.reads == []


def test_parts_are_asked_for_in_whole_slices_and_no_byte_twice(
    client: CogniteClient, cdf: Emulator, file: BrowserFile, page: Page
) -> None:
    assert arrived(cdf, file.upload(client, part_size=PART))
    reads = page.reads[len(list(sample_blocks(len(DATA)))) :]
    first = len(DATA) - sum(size for _, size in reads)
    assert first in (0, 64 * KIB)  # a sample may be what is sent first
    sizes = dict(reads)
    assert min(sizes[PART], sizes[2 * PART]) >= MIB
    assert all(at // PART == (at + size - 1) // PART for at, size in reads)


def test_several_files_share_the_way(
    client: CogniteClient, cdf: Emulator, make_files: Make
) -> None:
    files, page = make_files()
    contents = {f"{no}.segy": DATA[no:] for no in range(3)}
    for name, data in contents.items():
        page.choose(data, name)
    running = [file.upload(client, part_size=PART) for file in files.files]
    for upload, data in zip(running, contents.values(), strict=True):
        assert cdf.sha256(upload.result(30).id or 0) == hashlib.sha256(data).hexdigest()
    assert page.most_at_once <= AT_ONCE


# --- straight to the store ------------------------------------------------------------------------


def test_the_page_sends_its_parts_by_itself(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page]
) -> None:
    file, page = direct
    assert arrived(cdf, file.upload(client, part_size=PART))
    assert len(page.puts) == 4
    assert kernel_read(page) == 0


def test_where_the_page_may_not_the_bytes_go_through_the_kernel(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page]
) -> None:
    file, page = direct
    page.cors = False
    upload = file.upload(client, part_size=PART)
    assert arrived(cdf, upload)
    assert len(page.puts) == 1  # the first part has found it out
    assert upload.state.retries == 0


def test_a_part_that_the_store_refuses_is_sent_again_by_the_page(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page]
) -> None:
    file, page = direct
    cdf.inject(Fault("status", "part", part=2, status=503))
    upload = file.upload(client, part_size=PART)
    assert arrived(cdf, upload)
    assert fired(cdf) == [("status", "part")]
    assert upload.state.retries == 1
    assert (len(page.puts), kernel_read(page)) == (5, 0)


def test_a_broken_connection_of_the_page_is_tried_again(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page]
) -> None:
    file, page = direct
    cdf.inject(Fault("reset_after", "part", part=3))
    upload = file.upload(client, part_size=PART, max_concurrency=1)
    assert arrived(cdf, upload)
    assert fired(cdf) == [("reset_after", "part")]
    assert (len(page.puts), kernel_read(page)) == (5, 0)


def test_a_page_loaded_anew_sends_the_part_again_once_it_has_the_file(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page]
) -> None:
    file, page = direct
    page.stuck = True
    upload = file.upload(client, part_size=PART)
    until(lambda: upload.state.sent > 0)
    page.reload()
    until(lambda: "drop the same" in upload.state.waiting_for)
    page.stuck = False
    page.choose(DATA)
    assert arrived(cdf, upload)
    assert kernel_read(page) < MIB


def test_stopping_aborts_what_the_page_sends(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page]
) -> None:
    file, page = direct
    page.stuck = True
    upload = file.upload(client, part_size=PART, max_concurrency=1)
    until(lambda: upload.state.sent > 0)
    upload.stop()
    assert page.aborted
    page.stuck = False
    assert arrived(cdf, file.upload(client, part_size=PART))


@pytest.mark.parametrize("how", [{"verify": "checksum"}, {"max_bandwidth": 1e9}])
def test_what_only_the_kernel_can_do_goes_through_the_kernel(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page], how: Any
) -> None:
    file, page = direct
    assert arrived(cdf, file.upload(client, part_size=PART, **how))
    assert page.puts == []


def test_no_url_is_in_the_widget_s_state(
    client: CogniteClient, cdf: Emulator, direct: tuple[BrowserFile, Page], make_files: Make
) -> None:
    file, page = direct
    states = []
    upload = file.upload(client, part_size=PART)
    upload.listen(lambda *_: states.append(repr(file)))
    assert arrived(cdf, upload)
    assert page.puts
    kept = repr([states, page.hear, file.__dict__, file.link.__dict__])
    assert "/store/" not in kept
    assert "signature" not in kept.lower()
