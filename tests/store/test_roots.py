"""Whose certificates are trusted where no variable says so: what the operating system trusts."""

from __future__ import annotations

import select
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import truststore
from certificates import Authority

from cognite_nb_upload import http
from cognite_nb_upload.emulator import Emulator, emulator
from cognite_nb_upload.http import certificate_hint, system_roots, tls_context
from cognite_nb_upload.store.stream import TLSStream

NOWHERE = "/no/such/place"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def safe(authority: Authority) -> Iterator[Emulator]:
    with emulator(tls=authority.issue("localhost"), strict_storage=True) as running:
        yield running


@pytest.fixture(autouse=True)
def _a_system_without_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL itself reads these two: they say where this system has its roots."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setattr(http, "_BUNDLES", ())


def status(cdf: Emulator, context: ssl.SSLContext) -> int:
    """What the emulator answers to a request without a token, once its certificate is trusted."""
    url = f"https://localhost:{cdf.port}/api/v1/token/inspect"
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(url).status_code


def trusted_by(context: ssl.SSLContext) -> set[bytes]:
    return set(context.get_ca_certs(binary_form=True))


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_an_authority_that_the_system_trusts_is_trusted(
    platform: str, safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        status(safe, system_roots(platform))
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    assert status(safe, system_roots(platform)) == 401


def test_roots_are_found_where_openssl_was_not_told_of_them(
    safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_BUNDLES", (NOWHERE, authority.file))
    assert status(safe, system_roots("linux")) == 401


def test_a_part_goes_by_the_systems_own_verification(
    safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a socket that never blocks, as the stores' connections have it."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    context = system_roots("win32")
    assert type(context) is truststore.SSLContext
    sock = socket.create_connection(("localhost", safe.port), 30)
    sock.setblocking(False)
    stream = TLSStream(sock, context, "localhost")
    with stream.sock:
        while wants := stream.handshake():
            assert any(
                select.select(
                    [stream.sock] if wants == "read" else [],
                    [stream.sock] if wants == "write" else [],
                    [],
                    30,
                )
            )
        assert stream.sock.getpeercert() is not None


def test_a_system_without_roots_has_those_of_certifi() -> None:
    roots = trusted_by(system_roots("linux"))
    assert roots == trusted_by(httpx.create_ssl_context(trust_env=False))
    assert len(roots) > 50


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_without_truststore_certifi_is_used_and_the_extra_is_named(
    platform: str, safe: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "truststore" not in certificate_hint(platform)
    monkeypatch.setitem(sys.modules, "truststore", None)
    assert len(trusted_by(system_roots(platform))) > 50
    assert "pip install 'cognite_nb_upload[truststore]'" in certificate_hint(platform)
    assert "truststore" not in certificate_hint("linux")


def test_a_variable_wins_over_the_system(
    safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(authority.folder / "other")
    other.folder.mkdir()
    monkeypatch.setattr(http, "_BUNDLES", (authority.file,))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CURL_CA_BUNDLE", other.file)
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        status(safe, tls_context())
    monkeypatch.setenv("CURL_CA_BUNDLE", authority.file)
    assert status(safe, tls_context()) == 401


def test_without_a_variable_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name)
    assert trusted_by(tls_context()) == trusted_by(system_roots(sys.platform))
