"""Which requests go through a proxy: what the environment says, and never those to this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import httpx
import pytest
from proxy import ConnectProxy
from support import config_of

from cognite_nb_upload import CogniteClient, ConfigError, OAuthClientCredentials
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.http import is_loopback, proxy_for

VARIABLES = "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY".split()
CDF = "https://westeurope-1.cognitedata.com"
SetEnv = Callable[..., None]
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> SetEnv:
    def set_all(**env: str) -> None:
        for name, value in env.items():
            monkeypatch.setenv(name, value)

    return set_all


def shown(target: str) -> str | None:
    proxy = proxy_for(target)
    return None if proxy is None else str(proxy)


@pytest.mark.parametrize(
    ("env", "target", "proxy"),
    [
        ({}, CDF, None),
        ({"HTTPS_PROXY": PROXY}, CDF, PROXY),
        ({"https_proxy": PROXY}, CDF, PROXY),
        ({"ALL_PROXY": PROXY}, CDF, PROXY),
        ({"HTTP_PROXY": PROXY}, CDF, None),
        ({"HTTP_PROXY": PROXY}, "http://elsewhere.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "http://other"}, CDF, PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, CDF, PROXY),
        ({"HTTPS_PROXY": f" {PROXY}\n"}, CDF, PROXY),
        ({"HTTPS_PROXY": ""}, CDF, None),
    ],
)
def test_the_environment_says_which_proxy(
    setenv: SetEnv, env: Mapping[str, str], target: str, proxy: str | None
) -> None:
    setenv(**env)
    assert shown(target) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "target", "direct"),
    [
        ("*", CDF, True),
        ("cognitedata.com", CDF, True),
        ("cognitedata.com", "https://cognitedata.com", True),
        (".cognitedata.com", CDF, True),
        (".cognitedata.com", "https://cognitedata.com", False),
        ("*.cognitedata.com", CDF, True),
        ("*.cognitedata.com", "https://cognitedata.com", False),
        ("data.com", CDF, False),
        ("COGNITEDATA.com", CDF, True),
        ("westeurope-1.cognitedata.com:443", CDF, True),
        ("westeurope-1.cognitedata.com:8443", CDF, False),
        ("westeurope-1.cognitedata.com:8443", f"{CDF}:8443", True),
        ("https://westeurope-1.cognitedata.com", CDF, True),
        ("https://cognitedata.com", CDF, False),
        ("http://westeurope-1.cognitedata.com", CDF, False),
        ("all://westeurope-1.cognitedata.com", CDF, True),
        ("a.example, cognitedata.com", CDF, True),
        ("a.example cognitedata.com", CDF, True),
        ("10.0.0.7", "https://10.0.0.7", True),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("fd00::/8", "https://[fd12::1]", True),
        ("fd00::/8", "https://[fe12::1]", False),
        ("[fd12::1]", "https://[fd12::1]", True),
        ("[fd12::1]:8443", "https://[fd12::1]:8443", True),
        ("[fd12::1]:8443", "https://[fd12::1]", False),
        ("fd12::1", "https://[fd12:0::1]", True),
        ("10.0.0.0/8", CDF, False),
        ("localhost,127.0.0.1,::1/128,fe80::/10", CDF, False),
        ("::,[::1,a:b:c,:1,http://,*.,.", CDF, False),
        ("xn--,xn--a", CDF, False),
    ],
)
def test_no_proxy_leads_around_it(setenv: SetEnv, no_proxy: str, target: str, direct: bool) -> None:
    setenv(HTTPS_PROXY=PROXY, NO_PROXY=no_proxy)
    assert shown(target) == (None if direct else PROXY)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.8.9.10",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_is_never_reached_through_a_proxy(setenv: SetEnv, host: str) -> None:
    setenv(HTTP_PROXY=PROXY, HTTPS_PROXY=PROXY, ALL_PROXY=PROXY)
    assert shown(f"http://{host}:8000") is None
    assert shown(f"https://{host}") is None
    assert is_loopback(httpx.URL(f"http://{host}").host)


@pytest.mark.parametrize("host", ["localhost.example", "1.127.0.0", "128.0.0.1", "face", "my127.1"])
def test_another_machine_is_not_taken_for_this_one(setenv: SetEnv, host: str) -> None:
    setenv(HTTPS_PROXY=PROXY)
    assert not is_loopback(host)
    assert shown(f"https://{host}") == PROXY


def test_a_token_for_this_machine_does_not_reach_the_proxy(setenv: SetEnv, cdf: Emulator) -> None:
    with ConnectProxy() as proxy:
        setenv(HTTP_PROXY=proxy.url, ALL_PROXY=proxy.url)
        named = config_of(cdf, base_url=f"http://localhost:{cdf.port}")
        with CogniteClient(named) as client:
            uploaded = client.files.upload(b"x", name="a")
            assert client.files.size(id=uploaded.id) == 1
        assert proxy.heads == []


def test_a_client_secret_for_this_machine_does_not_reach_the_proxy(
    setenv: SetEnv, cdf: Emulator
) -> None:
    with ConnectProxy() as proxy:
        setenv(HTTP_PROXY=proxy.url, ALL_PROXY=proxy.url)
        login = OAuthClientCredentials(f"http://localhost:{cdf.port}/oauth2/token", "me", "secret")
        with pytest.raises(Exception, match=r"refused|no answer"):
            login.authorization_header()
        assert proxy.heads == []


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"HTTPS_PROXY": "gopher://secret@proxy.example"}, "HTTPS_PROXY names a proxy by gopher"),
        ({"all_proxy": "socks4://secret@proxy.example:1"}, "all_proxy names a proxy by socks4"),
        ({"HTTPS_PROXY": "http://me:secret@proxy.example:port"}, "HTTPS_PROXY is not of the form"),
        ({"https_proxy": "://secret"}, "https_proxy is not of the form"),
        ({"https_proxy": "http://me:secret@proxy.example:99999"}, "https_proxy is not of the form"),
        ({"all_proxy": "http://me:secret@xn--a"}, "all_proxy is not of the form"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable_alone(
    setenv: SetEnv, env: Mapping[str, str], said: str
) -> None:
    setenv(**env)
    with pytest.raises(ConfigError, match=said) as refused:
        proxy_for(CDF)
    assert "secret" not in str(refused.value)


def test_a_socks_proxy_without_its_package_is_said_before_anything_is_sent(
    setenv: SetEnv, monkeypatch: pytest.MonkeyPatch, cdf: Emulator
) -> None:
    setenv(ALL_PROXY="socks5://proxy.example:1080")
    monkeypatch.setitem(sys.modules, "socksio", None)
    client = CogniteClient(config_of(cdf, base_url=CDF))
    with pytest.raises(ConfigError, match=r"ALL_PROXY names a SOCKS proxy.*\[socks\]"):
        client.files.upload(b"x", name="a")
