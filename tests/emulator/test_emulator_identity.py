"""The emulator as an identity provider: what RFC 6749, 7636 and 8628 ask of one."""

from __future__ import annotations

from concurrent.futures import Future
from queue import Queue
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import pytest
from certificates import Authority
from cognite.client import credentials
from cognite.client.credentials import OAuthDeviceCode

from cognite_nb_upload.emulator.identity.grants import challenge_of

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
VERIFIER = "v" * 43


def asking(api):
    """Posts a form to the provider; the status and the answer's JSON."""

    def post(path, **form):
        reply = api.http.post(f"{api.cdf.base_url}/oauth/{path}", data=form)
        return reply.status_code, reply.json()

    return post


@pytest.fixture
def api(start):
    return start(device_interval_s=0)


@pytest.fixture
def asked(api):
    return asking(api)


def decide(api, user_code, decision="allow", password=None):
    given = api.cdf.token if password is None else password
    return api.http.post(
        f"{api.cdf.base_url}/oauth/device",
        data={"user_code": user_code, "decision": decision, "password": given},
    )


def device_of(asked, scope="files offline_access"):
    status, device = asked("devicecode", client_id="emulator", scope=scope)
    assert status == 200
    return device


def poll(asked, device):
    return asked(
        "token", grant_type=DEVICE, client_id="emulator", device_code=device["device_code"]
    )


def works(api, token):
    url = f"{api.cdf.base_url}/api/v1/token/inspect"
    return api.http.get(url, headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_every_endpoint_is_found_by_discovery(api):
    for path in ("", "/v2.0"):
        url = f"{api.cdf.base_url}/oauth{path}/.well-known/openid-configuration"
        found = api.http.get(url).json()
        names = ("authorization", "device_authorization", "token")
        assert {urlsplit(found[f"{name}_endpoint"]).path for name in names} == {
            "/oauth/authorize",
            "/oauth/devicecode",
            "/oauth/token",
        }


def test_a_device_waits_until_a_person_allows_and_gets_tokens_once(api, asked):
    device = device_of(asked)
    assert poll(asked, device)[1]["error"] == "authorization_pending"
    shown = api.http.get(device["verification_uri_complete"]).text
    assert device["user_code"] in shown
    assert "Signed in" in decide(api, device["user_code"].lower().replace("-", " ")).text
    status, given = poll(asked, device)
    assert (status, given["token_type"]) == (200, "Bearer")
    assert works(api, given["access_token"])
    assert given["refresh_token"]
    assert poll(asked, device)[1]["error"] == "invalid_grant"


def test_a_wrong_password_allows_nothing(api, asked):
    device = device_of(asked)
    assert "password is wrong" in decide(api, device["user_code"], password="guess").text
    assert poll(asked, device)[1]["error"] == "authorization_pending"


def test_a_person_denies(api, asked):
    device = device_of(asked)
    decide(api, device["user_code"], "deny", "")
    assert poll(asked, device)[1]["error"] == "access_denied"


def test_who_polls_too_often_is_told_to_slow_down(start):
    asked = asking(start(device_interval_s=60))
    device = device_of(asked)
    said = [poll(asked, device)[1]["error"] for _ in range(2)]
    assert said == ["authorization_pending", "slow_down"]


def test_a_code_expires(start):
    api = start(device_life_s=0)
    device = device_of(asking(api))
    assert poll(asking(api), device)[1]["error"] == "expired_token"
    assert "No device waits" in decide(api, device["user_code"]).text


def test_a_refresh_token_is_good_once_and_used_twice_ends_the_sign_in(api, asked):
    device = device_of(asked)
    decide(api, device["user_code"])
    first = poll(asked, device)[1]["refresh_token"]

    def renew(token):
        return asked("token", grant_type="refresh_token", client_id="emulator", refresh_token=token)

    status, given = renew(first)
    assert status == 200
    assert works(api, given["access_token"])
    assert given["refresh_token"] != first
    assert renew(first)[1]["error"] == "invalid_grant"  # somebody has stolen it
    assert renew(given["refresh_token"])[1]["error"] == "invalid_grant"


def test_there_is_no_refresh_token_unless_it_is_asked_for(api, asked):
    device = device_of(asked, scope="files")
    decide(api, device["user_code"])
    assert "refresh_token" not in poll(asked, device)[1]


def authorize(api, **changes):
    asked = {
        "client_id": "emulator",
        "response_type": "code",
        "redirect_uri": "http://localhost:53000/",
        "scope": "files offline_access",
        "state": "a state",
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    url = f"{api.cdf.base_url}/oauth/authorize"
    return api.http.post(url, data={**asked, "password": api.cdf.token, **changes})


def redeem(asked, code, verifier=VERIFIER, redirect_uri="http://localhost:53000/"):
    return asked(
        "token",
        grant_type="authorization_code",
        client_id="emulator",
        code=code,
        redirect_uri=redirect_uri,
        code_verifier=verifier,
    )


def test_the_challenge_is_that_of_rfc_7636():
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # its appendix B
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_code_is_redeemed_once_by_who_asked_for_it(api, asked):
    def code():
        answer = dict(parse_qsl(urlsplit(authorize(api).headers["location"]).query))
        assert answer["state"] == "a state"
        return answer["code"]

    for changes in ({"verifier": "w" * 43}, {"redirect_uri": "http://localhost:1/"}):
        assert redeem(asked, code(), **changes)[1]["error"] == "invalid_grant"
    once = code()
    status, given = redeem(asked, once)
    assert status == 200
    assert works(api, given["access_token"])
    assert redeem(asked, once)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "another"},
        {"redirect_uri": "https://elsewhere.example/"},
        {"code_challenge": ""},
        {"code_challenge_method": "plain"},
        {"password": "guess"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_code_is_not_given_to_what_is_wrong(api, changes):
    reply = authorize(api, **changes)
    assert reply.status_code in (400, 401)
    assert "location" not in reply.headers


def test_the_official_device_code_signs_in_here(start, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority.file)  # theirs asks by https alone
    api = start(device_interval_s=0, tls=authority.issue("127.0.0.1"))
    theirs = OAuthDeviceCode(
        None,
        "emulator",
        cdf_cluster="westeurope-1",
        oauth_discovery_url=f"{api.cdf.base_url}/oauth",
        mem_cache_only=True,
    )
    # Not by capsys: what is printed while it is read is lost.
    said: Queue[str] = Queue()
    monkeypatch.setattr(credentials, "print", said.put, raising=False)
    header: Future[tuple[str, str]] = Future()
    Thread(target=lambda: header.set_result(theirs.authorization_header()), daemon=True).start()
    assert decide(api, said.get(timeout=60).rpartition("enter the code: ")[2]).is_success
    name, value = header.result(60)
    assert name == "Authorization"
    assert works(api, value.removeprefix("Bearer "))
