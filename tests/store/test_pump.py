"""How a file's bytes get into a connection: by the kernel alone, or piece by piece over TLS."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from support import config_of, sha256

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, emulator

# Two parts, neither of which ends where a piece does.
PART, LAST = 9 * MIB + 7, 3 * MIB + 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "a.bin"
    file.write_bytes(os.urandom(PART + LAST))
    return file


@pytest.fixture(params=["plain", "tls"])
def cdf(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    if request.param == "plain":
        with emulator(strict_storage=True) as running:
            yield running
        return
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with emulator(tls=authority.issue("127.0.0.1"), strict_storage=True) as running:
        yield running


def upload(cdf: Emulator, path: Path) -> int:
    with (
        CogniteClient(config_of(cdf)) as client,
        client.files.multipart_upload_session("a", 2) as session,
        path.open("rb") as file,
    ):
        session.upload_part(0, file, length=PART)
        session.upload_part(1, file)
    assert session.file_metadata.id is not None
    return session.file_metadata.id


def test_a_file_arrives_byte_for_byte(cdf: Emulator, path: Path) -> None:
    assert cdf.sha256(upload(cdf, path)) == sha256(path.read_bytes())


@pytest.mark.skipif(not hasattr(os, "sendfile"), reason="this system has no sendfile")
def test_without_tls_the_kernel_sends_the_file_and_what_it_cannot_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sent = os.sendfile, []

    def first_half(out: int, file: int, offset: int, count: int) -> int:
        if sum(sent) > PART // 2:
            raise OSError(errno.EINVAL, "Invalid argument")
        sent.append(real(out, file, offset, count))
        return sent[-1]

    monkeypatch.setattr(os, "sendfile", first_half)
    with emulator(strict_storage=True) as cdf:
        assert cdf.sha256(upload(cdf, path)) == sha256(path.read_bytes())
    assert PART // 2 < sum(sent) < PART


@pytest.mark.parametrize("cdf", ["tls"], indirect=True)
def test_a_disk_that_fails_once_is_read_again(
    cdf: Emulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failed = os.preadv, []

    def fails_once(*args: object) -> int:
        if not failed:
            failed.append(args)
            raise OSError(errno.EIO, "Input/output error")
        return int(real(*args))

    monkeypatch.setattr(os, "preadv", fails_once)
    assert cdf.sha256(upload(cdf, path)) == sha256(path.read_bytes())
    assert failed
