"""Item 4 of the upload: completing although answers are lost, and verifying what is there."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from proxy import BitFlipper, Line
from upload_rig import (
    PART,
    Ear,
    Gate,
    asked,
    content_of,
    file_of,
    fired,
    puts,
    stored_puts,
    until_phase,
    until_true,
)

from cognite_nb_upload import (
    APIError,
    CogniteClient,
    PartFailed,
    TransferError,
    VerifyError,
    uploads,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import PartPhase, PartState, Phase, UploadState
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.store.digests import MAKERS
from cognite_nb_upload.store.part import Check
from cognite_nb_upload.transfer import work as run
from cognite_nb_upload.transfer.verify import REFUTED, KnownChecksums, PartDigest, by_checksum

Clients = Callable[..., CogniteClient]
Start = Callable[..., Emulator]


# --- completing: rows 13 to 15 --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lost_answer", "close_answer", "half_answer", "garbage"])
@pytest.mark.parametrize("again", ["ok", "refuse"])
def test_a_lost_answer_to_complete_does_not_lose_the_upload(
    start: Start, clients: Clients, tmp_path: Path, kind: str, again: str
) -> None:
    cdf = start(repeated_complete=again)
    cdf.inject(Fault(kind, "complete"))
    uploaded = clients(cdf).files.upload(file_of(tmp_path, 1))
    assert fired(cdf) == [kind]
    assert cdf.content(uploaded.id) == content_of(1)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_answer_that_leaves_open_whether_it_is_complete_is_looked_into(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, status: int
) -> None:
    cdf.inject(Fault("status", "complete", status=status))
    uploaded = client.files.upload(file_of(tmp_path, 1))
    assert fired(cdf) == ["status"]
    routes = [row["route"] for row in cdf.requests()]
    first, second = (no for no, route in enumerate(routes) if route == "complete")
    assert "byids" in routes[first:second]
    assert cdf.content(uploaded.id) == content_of(1)


def test_completed_late_and_unheard_and_a_second_time_refused_it_is_uploaded_all_the_same(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(repeated_complete="refuse", uploaded_delay_s=0.5)
    cdf.inject(Fault("lost_answer", "complete"))
    uploaded = clients(cdf).files.upload(file_of(tmp_path, 1))
    assert fired(cdf) == ["lost_answer"]
    assert uploaded.file.uploaded
    assert cdf.content(uploaded.id) == content_of(1)


def test_uploaded_turns_true_in_cdfs_own_time_which_is_a_state_of_its_own(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(uploaded_delay_s=1.0)
    gate = Gate(content_of(1))
    upload = clients(cdf).files.start_upload(gate)
    ear = Ear()
    upload.listen(ear)
    gate.open()
    assert upload.result(30).file.uploaded
    phases = [state.phase for state in ear.states]
    assert phases[-3:] == [Phase.COMPLETING, Phase.ASSEMBLING, Phase.DONE]
    assert 3 <= len(asked(cdf, "byids")) <= 12  # asked with growing pauses
    assert len(asked(cdf, "complete")) == 1


def test_replaced_content_is_waited_for_though_the_old_one_is_uploaded(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(uploaded_delay_s=1.0)
    client, path = clients(cdf), file_of(tmp_path, 1)
    client.files.upload(path, external_id="x")
    path.write_bytes(content_of(1, seed=1) + b"longer")
    done = client.files.upload(path, external_id="x", overwrite=True)
    assert done.verified == f"size {path.stat().st_size} bytes, by the download link"
    assert cdf.content(done.id) == path.read_bytes()


def test_a_time_that_stays_as_it_was_is_told(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(uploaded_delay_s=2.0)
    client, path = clients(cdf, uploaded_wait_s=0.2), file_of(tmp_path, 1)
    client.files.upload(path, external_id="x")
    path.write_bytes(content_of(1, seed=1))
    done = client.files.upload(path, external_id="x", overwrite=True)
    assert any("the upload time of the one before" in note for note in done.notes)


def test_not_uploaded_for_too_long_is_said_and_the_same_call_only_looks_again(
    start: Start, clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cdf = start(uploaded_delay_s=3.0, repeated_complete="refuse")
    client, path = clients(cdf), file_of(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(run, "_ASSEMBLY_S", 0.1)
        with pytest.raises(TransferError, match="CDF has taken all of"):
            client.files.upload(path)
    assert client.files.upload(path).file.uploaded
    assert dict(puts(cdf)) == {0: 1}
    assert len(asked(cdf, "complete")) == 1


def test_a_part_that_cdf_misses_fails_the_upload_with_its_number_and_can_be_sent_anew(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 3)
    # A store that lies, and well: it gives an ETag, as for the other parts.
    lie = {"etag": '"0123"'}
    cdf.inject(Fault("status", "part", part=1, status=200, body="", headers=lie))
    with pytest.raises(APIError, match=r"missing \(the first part is 0\): 1") as refused:
        client.files.upload(path, part_size=PART)
    assert "resume=False" in refused.value.__notes__[-1]
    assert client.files.upload(path, part_size=PART, resume=False).size == 3 * PART


# --- verify="size" --------------------------------------------------------------------------------


def _claims(size: str) -> Fault:
    headers = {"content-range": f"bytes 0-0/{size}"}
    return Fault("status", "download", status=206, body="x", headers=headers, times=None)


def test_the_size_is_asked_of_the_store_and_said_in_the_result(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    uploaded = client.files.upload(file_of(tmp_path, 2), part_size=PART)
    assert uploaded.verified == f"size {2 * PART} bytes, by the download link"
    (row,) = asked(cdf, "download")
    assert row["headers"]["range"] == "bytes=0-0"
    assert row["status"] == 206


def test_another_size_in_the_store_is_an_error_and_stays_one(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 1)
    cdf.inject(_claims("999"))
    for _ in range(2):  # the same call again must not take it for done
        with pytest.raises(VerifyError, match=f"holds 999 bytes; {PART} were sent"):
            client.files.upload(path)
    assert fired(cdf) == ["status"] * 2
    assert dict(puts(cdf)) == {0: 1}
    assert uploads().iloc[0]["state"] == "failed"
    cdf.clear_faults()
    assert client.files.upload(path).verified == f"size {PART} bytes, by the download link"


def test_a_store_that_does_not_say_its_size_verifies_nothing_and_the_result_says_so(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(_claims("*"))
    uploaded = client.files.upload(file_of(tmp_path, 1))
    assert fired(cdf) == ["status"]
    assert uploaded.verified == ""
    assert uploaded.notes == ("The store does not say what size it holds.",)
    assert "does not say what size" in repr(uploaded)


@pytest.mark.parametrize("verify", ["size", "download"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "downloadlink", status=403, times=None),
        Fault("status", "download", status=403, times=None),
        Fault("reset_before", "download", times=None),
    ],
    ids=lambda fault: f"{fault.route}-{fault.kind}",
)
def test_an_uploaded_file_is_never_called_failed_because_it_cannot_be_looked_at(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, fault: Fault, verify: Any
) -> None:
    cdf.inject(fault)
    uploaded = client.files.upload(file_of(tmp_path, 1), verify=verify)
    assert set(fired(cdf)) == {fault.kind}
    assert uploaded.verified == ""
    assert "could not be verified" in uploaded.notes[0]


@pytest.mark.parametrize("kind", ["reset_before", "status", "close_after", "html"])
def test_a_store_that_fails_once_is_asked_its_size_again(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: str
) -> None:
    cdf.inject(Fault(kind, "download"))
    uploaded = client.files.upload(file_of(tmp_path, 1))
    assert fired(cdf) == [kind]
    assert uploaded.verified.startswith("size")


def test_the_size_of_a_small_file_is_asked_while_cdf_is_asked_if_it_is_uploaded(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("stall_answer", "byids"))
    upload = client.files.start_upload(file_of(tmp_path, 1))
    until_true(lambda: asked(cdf, "download"))
    assert fired(cdf) == ["stall_answer"]
    assert not upload.done()  # the size is no word of CDF's
    cdf.clear_faults()
    assert upload.result(60).verified == f"size {PART} bytes, by the download link"
    assert len(asked(cdf, "downloadlink")) == len(asked(cdf, "download")) == 1


def test_a_size_that_is_asked_too_early_is_asked_again_once_the_file_is_uploaded(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(uploaded_delay_s=0.5)
    uploaded = clients(cdf).files.upload(file_of(tmp_path, 1))
    assert uploaded.verified == f"size {PART} bytes, by the download link"
    assert uploaded.notes == ()
    assert [row["status"] for row in asked(cdf, "downloadlink")][-1] == 200
    assert len(asked(cdf, "download")) == 1


def test_what_replaces_a_file_is_looked_at_when_its_content_is_there(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(uploaded_delay_s=0.5)
    files = clients(cdf).files
    files.upload(file_of(tmp_path, 1), external_id="one")
    again = files.upload(b"shorter", name="big.segy", external_id="one", overwrite=True)
    assert again.verified == "size 7 bytes, by the download link"
    assert cdf.content(again.id) == b"shorter"


def test_without_verification_nothing_is_asked_or_said(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    uploaded = client.files.upload(file_of(tmp_path, 1), verify="none")
    assert uploaded.verified == ""
    assert uploaded.notes == ()
    assert asked(cdf, "downloadlink") == asked(cdf, "download") == []


# --- verify="checksum" ----------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["s3", "gcs", "azure"])
def test_each_stores_checksum_of_each_part_is_compared(
    start: Start, clients: Clients, tmp_path: Path, store: str
) -> None:
    cdf = start(store=store)
    uploaded = clients(cdf).files.upload(file_of(tmp_path, 2), part_size=PART, verify="checksum")
    assert uploaded.verified == (
        f"MD5 of every part, by the store's answers; size {2 * PART} bytes, by the download link"
    )
    assert cdf.content(uploaded.id) == content_of(2)


def test_a_store_without_checksums_is_not_one_that_agrees(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(checksums=False)
    uploaded = clients(cdf).files.upload(file_of(tmp_path, 1), verify="checksum")
    assert uploaded.verified == f"size {PART} bytes, by the download link"
    assert uploaded.notes == ("The store gave no checksum that can be compared.",)


WRONG = base64.b64encode(b"\0" * 16).decode()


@pytest.mark.parametrize(
    "headers", [{"content-md5": WRONG}, {"x-goog-hash": f"crc32c=AAAAAA==, md5={WRONG}"}]
)
def test_a_part_whose_checksum_differs_is_sent_again(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, headers: dict[str, str]
) -> None:
    cdf.inject(Fault("status", "part", part=1, status=200, body="", headers=headers))
    upload = client.files.start_upload(file_of(tmp_path, 2), part_size=PART, verify="checksum")
    uploaded = upload.result(30)
    assert fired(cdf) == ["status"]
    assert upload.state.parts[1].lost == 1
    assert dict(puts(cdf)) == {0: 1, 1: 2}
    assert uploaded.verified.startswith("MD5 of every part")
    assert cdf.content(uploaded.id) == content_of(2)


def test_a_checksum_that_keeps_differing_fails_the_part_and_nothing_is_completed(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(
        Fault("status", "part", status=200, body="", headers={"content-md5": WRONG}, times=None)
    )
    with pytest.raises(PartFailed, match="MD5 is not that of the bytes sent"):
        client.files.upload(file_of(tmp_path, 1), verify="checksum")
    assert fired(cdf) == ["status"] * 4
    assert asked(cdf, "complete") == []


# An ETag that looks like an MD5, and is another.
OTHER = {"etag": f'"{"0" * 32}"'}


@pytest.mark.parametrize("part", [0, 1, 2, 3])
@pytest.mark.parametrize("at_once", [1, 4])
def test_33_one_bit_turned_on_its_way_to_a_store_of_etags_is_sent_again(
    start: Start, clients: Clients, tmp_path: Path, part: int, at_once: int
) -> None:
    cdf = start(store="s3")
    with BitFlipper(cdf.port, f"/{part}?") as line:
        client = clients(cdf, base_url=f"http://127.0.0.1:{line.port}")
        uploaded = client.files.upload(
            file_of(tmp_path, 4), part_size=PART, verify="checksum", max_concurrency=at_once
        )
        assert line.flipped == 1
    assert cdf.content(uploaded.id) == content_of(4)
    assert uploaded.retries == 1
    assert dict(stored_puts(cdf)) == {0: 1, 1: 1, 2: 1, 3: 1, part: 2}
    assert uploaded.verified.startswith("MD5 of every part, by the store's answers")


@pytest.mark.parametrize("part", [0, 3])
def test_33_a_bit_that_is_turned_every_time_fails_the_upload_and_nothing_is_completed(
    start: Start, clients: Clients, tmp_path: Path, part: int
) -> None:
    cdf = start(store="s3")
    with BitFlipper(cdf.port, f"/{part}?", times=100) as line:
        client = clients(cdf, base_url=f"http://127.0.0.1:{line.port}")
        with pytest.raises(PartFailed, match="ETag is an MD5, as those of other parts show"):
            client.files.upload(
                file_of(tmp_path, 4), part_size=PART, verify="checksum", max_concurrency=1
            )
        assert line.flipped >= 4
    assert asked(cdf, "complete") == []


def test_33_a_doubt_of_an_earlier_process_is_cleared_by_the_next_one(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(store="s3")
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("status", "part", part=1, status=404, times=1))
    with BitFlipper(cdf.port, "/0?") as line:
        client = clients(cdf, base_url=f"http://127.0.0.1:{line.port}")
        with pytest.raises(PartFailed):
            client.files.upload(path, part_size=PART, verify="checksum", max_concurrency=1)
        assert line.flipped == 1
        uploaded = client.files.upload(path, part_size=PART, verify="checksum", max_concurrency=1)
    assert fired(cdf) == ["status"]
    assert cdf.content(uploaded.id) == content_of(2)
    assert uploaded.verified.startswith("MD5 of every part")


class OtherEtags(Line):
    """A line to a store whose ETags look like MD5s and are none, as with a key of its own."""

    def _changed(self, data: bytes, answer: bool) -> bytes:
        etag = rb'(?i)(\r\netag: )"[0-9a-f]{32}"'
        return re.sub(etag, rb'\1"%032x"' % 7, data) if answer else data


def test_33_etags_that_all_differ_prove_nothing_and_it_is_said_why(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(store="s3")
    with OtherEtags(cdf.port) as line:
        client = clients(cdf, base_url=f"http://127.0.0.1:{line.port}")
        uploaded = client.files.upload(file_of(tmp_path, 2), part_size=PART, verify="checksum")
    assert dict(puts(cdf)) == {0: 1, 1: 1}
    assert uploaded.verified == f"size {2 * PART} bytes, by the download link"
    assert "encrypts with a key of its own" in uploaded.notes[0]
    assert "verify='download'" in uploaded.notes[0]


def digest(data: bytes, *, etags_are_md5: bool = False) -> PartDigest:
    made = PartDigest(etags_are_md5=lambda: etags_are_md5)
    made.update(data[:3])
    made.update(memoryview(data)[3:])
    return made


MD5 = hashlib.md5(b"content", usedforsecurity=False)


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("etag", f'"{MD5.hexdigest()}"', Check(agreed=(("MD5", "etag"),))),
        ("etag", OTHER["etag"], Check(unproven="etag")),  # a bucket with a key of its own
        ("etag", f'"{MD5.hexdigest()}-2"', Check(unproven="silent")),
        ("etag", '"0x8DC"', Check(unproven="silent")),
        (
            "content-md5",
            base64.b64encode(MD5.digest()).decode(),
            Check(agreed=(("MD5", "content-md5"),)),
        ),
        ("content-md5", "not base64", Check(unproven="silent")),
        ("content-md5", "AAAA", Check(unproven="silent")),
        ("x-goog-sha1", WRONG, Check(unproven="silent")),
        ("content-md5", WRONG, Check("the store's MD5 is not that of the bytes sent")),
        ("x-goog-md5", WRONG, Check("the store's MD5 is not that of the bytes sent")),
    ],
)
def test_what_a_store_says_agrees_differs_or_proves_nothing(
    name: str, value: str, verdict: Check
) -> None:
    assert digest(b"content").judge(((name, value),)) == verdict


def test_where_etags_are_md5s_one_that_differs_is_a_mismatch() -> None:
    made = digest(b"content", etags_are_md5=True)
    assert made.judge((("etag", OTHER["etag"]),)) == Check(REFUTED)
    assert made.judge((("etag", '"0x8DC"'),)) == Check(unproven="silent")


def test_only_what_the_store_answers_with_is_computed() -> None:
    known = KnownChecksums()
    assert "MD5" in known.wanted()
    assert PartDigest(known).judge((("etag", '"0x8DC"'),)) == Check(unproven="silent")
    assert known.wanted() == ()
    made = PartDigest(known)
    made.update(b"content")
    assert made.judge((("etag", f'"{MD5.hexdigest()}"'),)) == Check(unproven="late")
    assert known.wanted() == ("MD5",)
    known.learn(frozenset({"CRC32C"}))
    assert known.wanted() == ("CRC32C",)  # a fifteenth of the work


@pytest.mark.parametrize(("switches", "wanted"), [
    ({"store": "s3"}, ("MD5",)), ({"store": "azure"}, ("MD5",)), ({"checksums": False}, ()),
])  # fmt: skip
def test_a_client_learns_what_its_store_answers_with(
    start: Start, clients: Clients, tmp_path: Path, switches: Any, wanted: Any
) -> None:
    client = clients(start(**switches))
    client.files.upload(file_of(tmp_path, 1), verify="checksum")
    assert client.files.limits.checksums.wanted() == wanted


def test_what_a_store_gives_is_known_from_uploads_that_compared_nothing(
    start: Start, clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the parts that go first take no digest in vain."""
    taken: list[str] = []

    def counted(name: str) -> Callable[[], Any]:
        make = MAKERS[name]
        return lambda: taken.append(name) or make()

    for name in tuple(MAKERS):
        monkeypatch.setitem(MAKERS, name, counted(name))
    monkeypatch.setitem(MAKERS, "CRC32C", lambda: taken.append("CRC32C") or hashlib.md5())
    client = clients(start(store="s3"))
    client.files.upload(file_of(tmp_path, 2), name="a", part_size=PART)
    assert taken == []
    uploaded = client.files.upload(
        file_of(tmp_path, 2), name="b", part_size=PART, verify="checksum"
    )
    assert taken == ["MD5", "MD5"]
    assert uploaded.verified.startswith("MD5 of every part")


def test_crc32c_is_compared_where_it_can_be_computed() -> None:
    google_crc32c = pytest.importorskip("google_crc32c")
    right = base64.b64encode(google_crc32c.Checksum(b"content").digest()).decode()
    assert digest(b"content").judge((("x-goog-crc32c", right),)) == Check(
        agreed=(("CRC32C", "x-goog-crc32c"),)
    )
    check = digest(b"content").judge((("x-goog-crc32c", "AAAAAA=="),))
    assert check.problem == "the store's CRC32C is not that of the bytes sent"


def test_the_words_say_of_how_many_parts_and_why_not_of_all() -> None:
    agreed = (("MD5", "etag"),)
    some = UploadState(
        parts=(
            PartState(0, 1, PartPhase.STORED, checksums=agreed),
            PartState(1, 1, PartPhase.STORED),
            PartState(2, 1, PartPhase.STORED, unproven="silent"),
            PartState(3, 1, PartPhase.STORED, unproven="silent"),
        )
    )
    assert by_checksum(some) == (
        "MD5 of 1 of 4 parts, by the store's answers (part 1: stored by an earlier call, which "
        "compared none; parts 2 and 3: the store gave no checksum)"
    )
    assert by_checksum(UploadState(parts=(PartState(0),))) == ""


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [("MD5 CRC32C", "CRC32C", "CRC32C"), ("MD5", "CRC32C", "CRC32C or MD5"), ("MD5", "MD5", "MD5")],
)
def test_the_words_name_what_every_part_was_compared_by(
    first: str, second: str, words: str
) -> None:
    parts = tuple(
        PartState(no, 1, PartPhase.STORED, checksums=tuple((one, "x") for one in names.split()))
        for no, names in enumerate((first, second))
    )
    assert by_checksum(UploadState(parts=parts)) == f"{words} of every part, by the store's answers"


# --- verify="download" ----------------------------------------------------------------------------


def test_everything_is_read_back_and_compared(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("half_answer", "download", after_bytes=1000))
    uploaded = client.files.upload(file_of(tmp_path, 2), part_size=PART, verify="download")
    assert fired(cdf) == ["half_answer"]
    assert len(asked(cdf, "download")) == 4  # what broke off, its like, and two ranges
    assert uploaded.verified == f"all {2 * PART} bytes, by reading them back"


def _while_it_assembles(
    client: CogniteClient, cdf: Emulator, tamper: Callable[[Path], None]
) -> None:
    """Uploads two parts, and lays hand on what the store holds of the second in between."""
    gate = Gate(content_of(2))
    upload = client.files.start_upload(gate, part_size=PART, verify="download")

    def act(_: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.Assembling):
            (part,) = (path for path in cdf.root.rglob("1") if path.stat().st_size == PART)
            tamper(part)

    upload.listen(act)
    gate.open()
    upload.result(30)


def _flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1000)
        was = file.read(1)
        file.seek(1000)
        file.write(bytes([was[0] ^ 1]))


def test_one_flipped_bit_in_the_store_is_found_and_named(
    client: CogniteClient, cdf: Emulator
) -> None:
    with pytest.raises(VerifyError, match=f"differ from those sent, from byte {PART + 1000} on"):
        _while_it_assembles(client, cdf, _flip)


def test_an_upload_found_completed_after_a_restart_is_verified_as_asked(
    start: Start, clients: Clients, tmp_path: Path
) -> None:
    cdf = start(uploaded_delay_s=2.0, repeated_complete="refuse")
    client, path = clients(cdf), file_of(tmp_path, 1)
    upload = client.files.start_upload(path)
    until_phase(upload, Phase.ASSEMBLING)
    upload.stop()
    again = client.files.upload(path, verify="download")
    assert len(asked(cdf, "complete")) == 1
    assert dict(puts(cdf)) == {0: 1}
    assert again.verified == f"all {PART} bytes, by reading them back"
