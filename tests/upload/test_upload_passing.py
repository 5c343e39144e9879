"""What comes once, of known length, is sent as it comes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from upload_rig import PART, asked, content_of, fired, puts, until

from cognite_nb_upload import CogniteClient, SourceChanged, UploadStopped, UsageError, background
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator, Fault

CONTENT = content_of(3)
PIECE = 100_003


def pieces(content: bytes = CONTENT) -> Iterator[bytes]:
    for at in range(0, len(content), PIECE):
        yield content[at : at + PIECE]
        yield b""  # which is not its end


def how(**more: Any) -> dict[str, Any]:
    return {"name": "a.bin", "part_size": PART, "spool": False, "length": len(CONTENT), **more}


def test_a_part_is_stored_before_the_last_byte_has_come(
    client: CogniteClient, cdf: Emulator
) -> None:
    go = threading.Event()

    def waiting() -> Iterator[bytes]:
        yield CONTENT[: 2 * PART]
        assert go.wait(60)
        yield CONTENT[2 * PART :]

    upload = client.files.start_upload(waiting(), **how())
    until(upload, lambda state: state.stored >= PART)
    go.set()
    uploaded = upload.result(60)
    assert cdf.content(uploaded.id) == CONTENT
    assert puts(cdf) == {0: 1, 1: 1, 2: 1}
    assert any("It is sent as it comes" in note for note in uploaded.notes)


def test_a_buffer_may_be_used_again_for_the_next_piece(
    client: CogniteClient, cdf: Emulator
) -> None:
    def reusing() -> Iterator[bytearray]:
        buffer = bytearray()
        for piece in pieces():
            buffer += piece
            yield buffer
            buffer.clear()  # a view of it that is kept would make this a BufferError

    uploaded = client.files.upload(reusing(), **how())
    assert cdf.content(uploaded.id) == CONTENT


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_that_is_lost_is_sent_again_and_none_overtakes_it(
    client: CogniteClient, cdf: Emulator, part: int
) -> None:
    cdf.inject(Fault("reset_mid", "part", part=part, times=2))
    uploaded = client.files.upload(pieces(), **how())
    assert fired(cdf) == ["reset_mid", "reset_mid"]
    assert cdf.content(uploaded.id) == CONTENT
    assert puts(cdf) == {**dict.fromkeys(range(3), 1), part: 3}


def test_it_is_paused_and_goes_on_with_the_part_that_it_had_begun(
    client: CogniteClient, cdf: Emulator
) -> None:
    upload = client.files.start_upload(pieces(), **how(max_bandwidth=4e6))
    until(upload, lambda state: state.parts and state.parts[1].sent > 0)
    upload.pause()
    upload.set_limits(max_bandwidth=float("inf"))
    upload.resume()
    assert cdf.content(upload.result(60).id) == CONTENT


@pytest.mark.parametrize("mode", ["checksum", "none"])
def test_it_is_verified_as_it_goes(client: CogniteClient, cdf: Emulator, mode: Any) -> None:
    uploaded = client.files.upload(pieces(), **how(verify=mode))
    assert cdf.content(uploaded.id) == CONTENT
    assert ("MD5 of every part" in uploaded.verified) == (mode == "checksum")


def test_a_pipe_is_sent_as_it_comes_too(client: CogniteClient, cdf: Emulator) -> None:
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb") as file:
            file.write(CONTENT)

    writing = threading.Thread(target=write)
    writing.start()
    with os.fdopen(out, "rb") as pipe:
        uploaded = client.files.upload(pipe, **how())
    writing.join()
    assert cdf.content(uploaded.id) == CONTENT


@pytest.mark.parametrize("end", ["cancel", "resume"])
def test_a_pipe_that_stays_open_after_its_last_byte_can_be_stopped(
    client: CogniteClient, cdf: Emulator, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(background, "_GRACE_S", 0.05)
    out, into = os.pipe()
    with os.fdopen(out, "rb", buffering=0) as pipe, os.fdopen(into, "wb") as file:
        upload = client.files.start_upload(pipe, **how())
        file.write(CONTENT)
        file.flush()
        until(upload, lambda state: "to end, after its last" in state.waiting_for)
        if end == "cancel":
            upload.cancel()
            with pytest.raises(UploadStopped, match="cancelled"):
                upload.result(60)
            assert asked(cdf, "complete") == []
            return
        upload.pause()
        until(upload, lambda state: state.phase is Phase.PAUSED)
        upload.resume()
        until(upload, lambda state: "to end, after its last" in state.waiting_for)
        assert asked(cdf, "complete") == [], "the end is looked for again, not skipped"
        file.close()
        assert cdf.content(upload.result(60).id) == CONTENT


@pytest.mark.parametrize(("change", "words"), [(-1, "gave more than the"), (1, "length is")])
def test_another_number_of_bytes_than_was_told_is_never_completed(
    client: CogniteClient, cdf: Emulator, change: int, words: str
) -> None:
    with pytest.raises(SourceChanged, match=words):
        client.files.upload(pieces(), **how(length=len(CONTENT) + change))
    assert asked(cdf, "complete") == []


def test_what_is_not_bytes_is_told(client: CogniteClient, cdf: Emulator) -> None:
    with pytest.raises(UsageError, match="gave a str; it has to give bytes"):
        client.files.upload(iter([b"a", "b"]), **how(length=2))
    assert asked(cdf, "complete") == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"length": None}, "spool=False needs length"),
        ({"verify": "download"}, "verify='download' compares with the content"),
        ({"spool": True}, "length is for what comes once"),
        ({"length": "soon"}, "length is a number of bytes"),
        ({"length": -1}, "length is a number of bytes"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_read_or_sent(
    client: CogniteClient, cdf: Emulator, more: dict[str, Any], words: str
) -> None:
    def unread() -> Iterator[bytes]:
        raise AssertionError("It was read.")
        yield b""

    with pytest.raises(UsageError, match=words):
        client.files.upload(unread(), **how(**more))
    assert asked(cdf, "init") == []


def test_a_file_is_read_where_it_is_whatever_spool_says(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)
    uploaded = client.files.upload(path, spool=False, part_size=PART)
    assert cdf.content(uploaded.id) == CONTENT
    with pytest.raises(UsageError, match="length is for what comes once"):
        client.files.upload(path, spool=False, length=5)
