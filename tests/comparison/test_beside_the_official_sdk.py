"""Each line of the README's comparison, shown: the official SDK 8 and this package, same fault.

`pytest tests/comparison -v` reads as the table does.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cognite.client as sdk
import pytest
from cognite.client.config import global_config
from cognite.client.credentials import Token as SDKToken

from cognite_nb_upload import (
    ClientConfig,
    CogniteClient,
    PartFailed,
    Retry,
    Token,
    UploadIncomplete,
    UsageError,
)
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault, emulator

SIX_MIB = os.urandom(6 * MIB)


@pytest.fixture
def cdf() -> Iterator[Emulator]:
    with emulator(faults=True, strict_storage=False) as cdf:
        yield cdf


@pytest.fixture
def ours(cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CogniteClient]:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    config = ClientConfig(
        client_name="comparison",
        project=cdf.project,
        base_url=cdf.base_url,
        credentials=Token(cdf.token),
        retry=Retry(base_s=0.01),
    )
    with CogniteClient(config) as client:
        yield client


@pytest.fixture
def theirs(cdf: Emulator, monkeypatch: pytest.MonkeyPatch) -> sdk.CogniteClient:
    monkeypatch.setattr(global_config, "disable_pypi_version_check", True)
    config = sdk.ClientConfig(
        client_name="comparison",
        project=cdf.project,
        base_url=cdf.base_url,
        credentials=SDKToken(cdf.token),
    )
    return sdk.CogniteClient(config)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(SIX_MIB + b"the end")
    return path


def stored(cdf: Emulator, name: str) -> bytes:
    return cdf.content(next(one["id"] for one in cdf.files() if one["name"] == name))


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_one_503_ends_a_streamed_part_of_the_sdk(cdf, theirs, file):
    cdf.inject(Fault("status", "part", part=0, status=503))
    with pytest.raises(Exception, match="Too little data") as raised:  # the session's own block
        with (
            theirs.files.multipart_upload_session("data.bin", parts=1) as session,
            file.open("rb") as f,
        ):
            session.upload_part(0, f)
    assert "h11" in type(raised.value).__module__ or "httpx" in type(raised.value).__module__
    assert cdf.fired()


def test_one_503_costs_us_one_more_try(cdf, ours, file):
    cdf.inject(Fault("status", "part", part=0, status=503))
    with ours.files.multipart_upload_session("data.bin", parts=1) as session, file.open("rb") as f:
        session.upload_part(0, f)
    assert cdf.fired()
    assert stored(cdf, "data.bin") == file.read_bytes()


def headers_of_parts(cdf: Emulator) -> list[dict[str, str]]:
    return [one["headers"] for one in cdf.requests() if one["route"] == "part"]


def test_the_sdk_sends_the_token_to_the_store(cdf, theirs):
    with theirs.files.multipart_upload_session("data.bin", parts=1) as session:
        session.upload_part(0, b"bytes")
    assert "authorization" in headers_of_parts(cdf)[0]


def test_we_send_the_store_a_length_and_nothing_else(cdf, ours):
    with ours.files.multipart_upload_session("data.bin", parts=1) as session:
        session.upload_part(0, b"bytes")
    assert set(headers_of_parts(cdf)[0]) == {"host", "content-length"}


def test_the_sdk_sends_a_file_from_its_first_byte_wherever_it_stands(cdf, theirs, file):
    with (
        theirs.files.multipart_upload_session("data.bin", parts=1) as session,
        file.open("rb") as f,
    ):
        f.seek(len(SIX_MIB))
        session.upload_part(0, f)
    assert stored(cdf, "data.bin") == file.read_bytes()


def test_we_send_a_file_from_where_it_stands(cdf, ours, file):
    with ours.files.multipart_upload_session("data.bin", parts=1) as session, file.open("rb") as f:
        f.seek(len(SIX_MIB))
        session.upload_part(0, f)
    assert stored(cdf, "data.bin") == b"the end"


CONTENTS: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(b"bytes"),
    "memoryview": lambda: memoryview(b"bytes"),
    "gzip": lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"bytes"))),
}


@pytest.mark.parametrize("kind", ["bytearray", "memoryview"])
def test_the_sdk_does_not_take(cdf, theirs, kind):
    with pytest.raises(TypeError), theirs.files.multipart_upload_session("x", parts=1) as session:
        session.upload_part(0, CONTENTS[kind]())


@pytest.mark.parametrize("kind", CONTENTS)
def test_we_take(cdf, ours, kind):
    with ours.files.multipart_upload_session("x", parts=1) as session:
        session.upload_part(0, CONTENTS[kind]())
    assert stored(cdf, "x") == b"bytes"


def test_a_part_number_too_large_is_a_bare_index_error_in_the_sdk(cdf, theirs):
    with pytest.raises(IndexError, match="list index"):  # the session's own block
        with theirs.files.multipart_upload_session("x", parts=1) as session:
            session.upload_part(1, b"")


def test_a_part_number_too_large_is_a_sentence_of_ours(cdf, ours):
    with pytest.raises(UsageError, match="numbered from 0 to 0"):  # likewise
        with ours.files.multipart_upload_session("x", parts=1) as session:
            session.upload_part(1, b"")


def test_the_sdk_sends_parts_that_cdf_will_refuse(cdf, theirs):
    with pytest.raises(sdk.exceptions.CogniteAPIError):  # noqa: PT012 # the session's own block
        with theirs.files.multipart_upload_session("x", parts=2) as session:
            session.upload_part(0, b"too small")
            session.upload_part(1, b"the end")
    assert len(headers_of_parts(cdf)) == 2


def test_we_refuse_such_a_part_before_a_byte_goes_out(cdf, ours):
    with pytest.raises(UsageError, match="larger than 5242880 bytes"):  # likewise
        with ours.files.multipart_upload_session("x", parts=2) as session:
            session.upload_part(0, b"too small")
    assert not headers_of_parts(cdf)


def test_a_missing_part_is_named_and_can_still_be_sent(cdf, ours):
    session = ours.files.multipart_upload_session("x", parts=2)
    with pytest.raises(UploadIncomplete, match="Part 1 of 2"), session:
        session.upload_part(0, SIX_MIB)
    with session:
        session.upload_part(1, b"the end")
    assert stored(cdf, "x") == SIX_MIB + b"the end"


def test_after_one_part_fails_for_good_we_send_nothing_more(cdf, ours, file):
    big = file.with_name("big.bin")
    big.write_bytes(SIX_MIB * 20)
    cdf.inject(Fault("status", "part", part=0, status=400, times=99))
    with pytest.raises(PartFailed, match="400"):
        ours.files.upload(big, part_size=6 * MIB)
    assert cdf.fired()
    seen = len(headers_of_parts(cdf))
    assert seen < 20
    assert not [one for one in cdf.requests() if one["route"] == "complete"]
