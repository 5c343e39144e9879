"""Certificates that are not trusted, and the way out of a company's network."""

from __future__ import annotations

import inspect
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from certificates import Authority
from proxy import ConnectProxy, SocksProxy, TLSFront
from support import config_of, fired, quick, routes, sha256, some_bytes, until

from cognite_nb_upload import (
    CDFUnreachable,
    ClientConfig,
    CogniteClient,
    ConfigError,
    PartFailed,
    UploadStopped,
)
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.sources import BytesSource
from cognite_nb_upload.store.connection import StoreTimeouts
from cognite_nb_upload.store.network import NetworkStore
from cognite_nb_upload.store.port import PartJob

VARIABLES = (
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE HTTP_PROXY HTTPS_PROXY ALL_PROXY "
    "NO_PROXY http_proxy https_proxy all_proxy no_proxy"
).split()


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def safe(authority: Authority) -> Iterator[Emulator]:
    """An emulator that speaks TLS, as localhost, and by a name that is not this machine's."""
    tls = authority.issue("localhost", "cdf.example")
    allowed = ["cdf.example"]
    with emulator(tls=tls, faults=True, strict_storage=True, allowed_hosts=allowed) as running:
        yield running


def named(cdf: Emulator) -> str:
    return f"https://localhost:{cdf.port}"


def far(cdf: Emulator) -> str:
    """Under a name that is not this machine's: what is, is reached without any proxy."""
    return f"https://cdf.example:{cdf.port}"


def upload(client: CogniteClient, content: bytes = b"x") -> int:
    with client.files.multipart_upload_session("a", 1) as session:
        session.upload_part(0, content)
    assert session.file_metadata.id is not None
    return session.file_metadata.id


# --- 19: certificates -----------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_19_a_companys_own_authority_is_trusted_where_it_is_named(
    variable: str, safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, authority.file)
    with CogniteClient(config_of(safe, base_url=named(safe))) as client:
        number = upload(client, some_bytes())
        assert client.files.size(id=number) == len(some_bytes())
    assert safe.sha256(number) == sha256(some_bytes())


def test_19_an_unknown_authority_is_fatal_at_once_with_a_hint(safe: Emulator) -> None:
    with (
        CogniteClient(config_of(safe, base_url=named(safe))) as client,
        pytest.raises(CDFUnreachable, match=r"localhost could not be trusted: .*certificate") as e,
    ):
        client.files.list()
    assert "SSL_CERT_FILE" in str(e.value.__notes__)
    assert safe.requests() == []


def other_host(authority: Authority) -> tuple[str, str]:
    return authority.issue("other.example")


def expired(authority: Authority) -> tuple[str, str]:
    return authority.issue("localhost", not_after=datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize(
    ("issue", "words"),
    [(other_host, "Hostname mismatch"), (expired, "certificate has expired")],
)
def test_19_another_hosts_or_an_old_certificate_is_fatal_at_once(
    issue: Any, words: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with (
        emulator(tls=issue(authority), strict_storage=True) as cdf,
        CogniteClient(config_of(cdf, base_url=named(cdf))) as client,
    ):
        with pytest.raises(CDFUnreachable, match=words):
            client.files.list()
        assert cdf.requests() == []


def test_19_a_store_that_is_not_trusted_is_fatal_for_a_part_at_once(
    cdf: Emulator, safe: Emulator
) -> None:
    url = f"{named(safe)}/store/parts/1/0?sig=planted"
    body = json.dumps({"id": 1, "name": "a", "uploadId": "u", "uploadUrls": [url]})
    cdf.inject(Fault("status", "init", status=201, body=body))
    with CogniteClient(config_of(cdf)) as client:
        session = client.files.multipart_upload_session("a", 1)
        with pytest.raises(PartFailed, match=r"the store is not trusted: .*certificate") as caught:
            session.upload_part(0, b"x")
    assert (caught.value.attempts, caught.value.fatal) == (1, True)
    assert "SSL_CERT_FILE" in str(caught.value.__notes__)
    assert fired(cdf) == [("status", "init")]


def test_19_certificates_that_are_not_there_are_told(
    safe: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/ca.pem")
    with (
        CogniteClient(config_of(safe, base_url=named(safe))) as client,
        pytest.raises(ConfigError, match=r"/no/such/ca.pem are not there \(SSL_CERT_FILE"),
    ):
        client.files.list()


def test_19_nothing_turns_verification_off() -> None:
    fields = inspect.signature(ClientConfig).parameters
    assert not [name for name in fields if "verify" in name or "ssl" in name or "insecure" in name]


# --- 20: proxies ----------------------------------------------------------------------------


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with ConnectProxy() as proxy:
        yield proxy


@pytest.fixture
def behind(
    safe: Emulator, proxy: ConnectProxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CogniteClient]:
    """A client that reaches CDF through a proxy alone."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    config = config_of(safe, base_url=far(safe), stall_timeout_s=1.5)
    with CogniteClient(config) as client:
        yield client


def test_20_everything_goes_through_the_proxy_that_is_named(
    safe: Emulator, proxy: ConnectProxy, behind: CogniteClient, tmp_path: Path
) -> None:
    number = upload(behind, some_bytes())
    assert safe.sha256(number) == sha256(some_bytes())
    target = behind.files.download(tmp_path / "a", id=number)
    assert target.read_bytes() == some_bytes()
    places = (safe.port, urlsplit(safe.store_url).port)  # CDF, and the store
    assert set(proxy.asked) == {f"CONNECT cdf.example:{port} HTTP/1.1" for port in places}


def test_20_the_proxy_reads_no_signature_and_no_token(
    safe: Emulator, proxy: ConnectProxy, behind: CogniteClient
) -> None:
    upload(behind)
    heads = "".join(proxy.heads).lower()
    assert heads.count("connect ") == len(proxy.heads) >= 2
    for word in ("signature", "store", "bearer", safe.token.lower()):
        assert word not in heads


def test_20_this_machine_is_reached_directly_whatever_proxy_is_named(
    cdf: Emulator, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name.lower(), proxy.url)
    with CogniteClient(config_of(cdf)) as client:
        upload(client)
    assert proxy.asked == []


def test_20_a_proxy_with_a_login_works(
    safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with ConnectProxy("me:planted") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:planted@127.0.0.1:{proxy.port}")
        with CogniteClient(config_of(safe, base_url=far(safe))) as client:
            upload(client)
        assert len(proxy.asked) >= 2


def test_20_a_socks_proxy_leads_to_cdf_and_to_the_store(
    safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("socksio")  # the extra `socks`, which `test` has
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with SocksProxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with CogniteClient(config_of(safe, base_url=far(safe))) as client:
            number = upload(client, some_bytes())
        assert set(proxy.asked) == {"cdf.example"}
        assert len(proxy.asked) >= 2  # to CDF, and to the store
    assert safe.sha256(number) == sha256(some_bytes())


@pytest.fixture
def behind_tls(
    safe: Emulator, proxy: ConnectProxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CogniteClient]:
    """A client that reaches CDF through a proxy alone, which is itself reached by TLS."""
    certificate = authority.issue("127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with TLSFront(proxy.port, certificate) as front:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{front.port}")
        config = config_of(safe, base_url=far(safe), stall_timeout_s=1.5)
        with CogniteClient(config) as client:
            yield client


def test_20_tls_within_the_tls_of_a_proxy_carries_parts_and_downloads(
    safe: Emulator, proxy: ConnectProxy, behind_tls: CogniteClient, tmp_path: Path
) -> None:
    content = some_bytes(17 * MIB + 3)
    number = upload(behind_tls, content)
    assert safe.sha256(number) == sha256(content)
    target = behind_tls.files.download(tmp_path / "a", id=number)
    assert sha256(target.read_bytes()) == sha256(content)
    assert f"CONNECT cdf.example:{urlsplit(safe.store_url).port} HTTP/1.1" in proxy.asked


def test_20_a_stall_within_the_tls_of_a_proxy_is_cut(
    safe: Emulator, behind_tls: CogniteClient
) -> None:
    safe.inject(Fault("stall", "part", after_bytes=100_000))
    content = bytes(32 * MIB)
    number = upload(behind_tls, content)
    assert fired(safe) == [("stall", "part")]
    assert safe.sha256(number) == sha256(content)


def part_refused(safe: Emulator, proxy: SocksProxy, monkeypatch: pytest.MonkeyPatch) -> PartFailed:
    """The error of a part that such a proxy does not let through; CDF itself is reached."""
    url = f"{far(safe)}/store/parts/1/0?sig=planted"
    body = json.dumps({"id": 1, "name": "a", "uploadId": "u", "uploadUrls": [url]})
    safe.inject(Fault("status", "init", status=201, body=body))
    with CogniteClient(config_of(safe, base_url=named(safe))) as client:
        session = client.files.multipart_upload_session("a", 1)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:planted@"))
        with pytest.raises(PartFailed) as caught:
            session.upload_part(0, b"x")
    assert fired(safe) == [("status", "init")]
    return caught.value


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"refusal": 5}, "the SOCKS proxy refused: the host refused the connection"),
        ({"refusal": 99}, "the SOCKS proxy refused: code 99"),
        ({"login": ("me", "another")}, "the SOCKS proxy refused the user name or password"),
    ],
)
def test_20_what_a_socks_proxy_refuses_is_told_in_words(
    how: dict[str, Any],
    words: str,
    safe: Emulator,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("socksio")
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with SocksProxy(**how) as proxy:
        error = part_refused(safe, proxy, monkeypatch)
    assert words in str(error)
    assert "planted" not in str(error)


def test_20_a_socks_proxy_with_a_login_lets_parts_through(
    safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("socksio")
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with SocksProxy(login=("me", "planted")) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("//", "//me:planted@"))
        with CogniteClient(config_of(safe, base_url=far(safe))) as client:
            upload(client)
        assert set(proxy.asked) == {"cdf.example"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Busy\r\n\r\n", "the proxy refused with 503"),
        (b"hello\r\n\r\n", "the proxy's answer is not HTTP"),
        (b"", "the proxy closed the connection"),
    ],
)
def test_20_a_proxy_that_refuses_otherwise_is_told_in_words(
    answer: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.getsockname()[1]}")

        def refuse() -> None:
            with server.accept()[0] as one:
                one.recv(65536)
                one.sendall(answer)

        threading.Thread(target=refuse, daemon=True).start()
        store = NetworkStore("http://127.0.0.1:1", StoreTimeouts())
        job = PartJob(0, Secret("https://store.example/part"), BytesSource(b"x"), 0, 1)
        verdict = store.put(job, CancelToken())
    assert verdict.reason == words
    assert verdict.retry


def test_20_a_407_is_fatal_at_once_with_a_hint(
    safe: Emulator, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    with ConnectProxy("me:secret") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:planted@127.0.0.1:{proxy.port}")
        with (
            CogniteClient(config_of(safe, base_url=far(safe))) as client,
            pytest.raises(CDFUnreachable, match="proxy refused the connection with 407") as e,
        ):
            client.files.list()
        assert len(proxy.asked) == 1
    assert "HTTPS_PROXY=http://user:password@host:port" in str(e.value.__notes__)
    assert "planted" not in str(e.value)


def test_20_a_407_on_a_part_is_fatal_at_once(
    safe: Emulator, proxy: ConnectProxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with CogniteClient(config_of(safe, base_url=far(safe))) as client:
        session = client.files.multipart_upload_session("a", 1)
        with ConnectProxy("me:secret") as refusing:
            monkeypatch.setenv("HTTPS_PROXY", refusing.url)
            with pytest.raises(PartFailed, match="the proxy refused with 407") as caught:
                session.upload_part(0, b"x")
            assert len(refusing.asked) == 1
    assert (caught.value.attempts, caught.value.status, caught.value.fatal) == (1, 407, True)
    assert "HTTPS_PROXY=" in str(caught.value.__notes__)


def test_20_a_stall_behind_a_proxy_is_cut(safe: Emulator, behind: CogniteClient) -> None:
    safe.inject(Fault("stall", "part", after_bytes=100_000))
    content = bytes(32 * MIB)  # more than all buffers on the way swallow
    number = upload(behind, content)
    assert fired(safe) == [("stall", "part")]
    assert safe.sha256(number) == sha256(content)


def test_20_a_part_behind_a_proxy_can_be_stopped(
    safe: Emulator, proxy: ConnectProxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    safe.inject(Fault("stall_answer", "part"))
    with CogniteClient(config_of(safe, base_url=far(safe), retry=quick())) as client:
        session = client.files.multipart_upload_session("a", 1)
        ended: list[BaseException] = []

        def send() -> None:
            try:
                session.upload_part(0, b"x")
            except UploadStopped as error:
                ended.append(error)

        sender = threading.Thread(target=send)
        sender.start()
        until(safe.fired)
        session.stop()
        sender.join(30)
        assert not sender.is_alive()
    assert len(ended) == 1
    assert routes(safe) == ["init", "part"]
