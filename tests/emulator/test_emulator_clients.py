"""What lets other people's clients in, and what keeps strangers out."""

from __future__ import annotations

import base64
import socket
import time

import httpx
import pytest

from cognite_nb_upload.emulator import emulator

PAGE = "http://localhost:3000"


def test_booleans_are_taken_as_python_writes_them(api):
    for text, again in (("False", 409), ("True", 201)):
        api.post("/files", {"name": "a", "externalId": "a"}, overwrite=text)
        made = api.post("/files", {"name": "a", "externalId": "a"}, overwrite=text)
        assert made.status_code == again


def test_a_slash_at_the_end_of_a_path_does_not_count(api):
    assert api.post("/files/", {"name": "a"}).status_code == 201
    assert api.post("/files/list/").status_code == 200


def test_a_token_at_the_store_is_taken_by_default(start):
    api = start(strict_storage=False)
    made = api.ok("/files", {"name": "a"})
    assert api.put(made["uploadUrl"], b"a", authorization="Bearer x").status_code == 200


def test_the_store_is_another_origin_and_nothing_but_a_store(api):
    store = api.cdf.store_url
    assert api.init()["uploadUrls"][0].startswith(f"{store}/store/parts/")
    assert store != api.cdf.base_url
    headers = {"authorization": f"Bearer {api.cdf.token}", "x-emulator-token": api.cdf.token}
    for path in ("/api/v1/token/inspect", "/_emulator/files", "/oauth/token"):
        assert api.http.get(store + path, headers=headers).status_code == 404


def test_who_comes_through_a_proxy_is_sent_back_through_it(api):
    headers = {"authorization": f"Bearer {api.cdf.token}", "host": "localhost:8888"}
    url = f"{api.cdf.base_url}/api/v1/projects/demo/files"
    made = api.http.post(url, json={"name": "a"}, headers=headers).json()
    assert made["uploadUrl"].startswith("http://localhost:8888/store/")


def test_the_store_can_be_where_the_api_is(start):
    api = start(own_store=False)
    assert api.cdf.store_url == api.cdf.base_url
    assert api.init()["uploadUrls"][0].startswith(api.cdf.base_url)


def test_pages_of_this_machine_may_use_the_api(api):
    url = f"{api.cdf.base_url}/api/v1/projects/demo/files/list"
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-cdp-app"}
    preflight = api.http.options(url, headers={"origin": PAGE} | asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert preflight.headers["access-control-allow-headers"] == "x-cdp-app"
    token = {"authorization": f"Bearer {api.cdf.token}", "origin": PAGE}
    answer = api.http.post(url, json={}, headers=token)
    assert answer.headers["access-control-allow-origin"] == PAGE
    stranger = api.http.options(url, headers={"origin": "https://attacker.example"} | asks)
    assert stranger.status_code == 403
    assert "access-control-allow-origin" not in stranger.headers


def test_allowed_hosts_are_answered_with_a_token_alone(start):
    api = start(host="127.0.0.2", allowed_hosts=["cdf.test", "127.0.0.2"])
    assert api.cdf.base_url.startswith("http://127.0.0.2:")
    url = f"{api.cdf.base_url}/api/v1/token/inspect"
    token = {"authorization": f"Bearer {api.cdf.token}"}
    named = {"host": f"cdf.test:{api.cdf.port}"}
    assert api.http.get(url, headers=token | named).status_code == 200
    assert api.http.get(url, headers=token).status_code == 200
    assert api.http.get(url, headers=named).status_code == 401
    assert api.http.get(url, headers=token | {"host": "other.test"}).status_code == 403


def test_client_credentials_come_by_http_basic_too(api):
    url = f"{api.cdf.base_url}/oauth/token"
    form = {"grant_type": "client_credentials"}
    for secret, status in ((api.cdf.token, 200), ("wrong", 401)):
        basic = base64.b64encode(f"emulator:{secret}".encode()).decode()
        answer = api.http.post(url, data=form, headers={"authorization": f"Basic {basic}"})
        assert answer.status_code == status
    for basic in ("²", "AAA", "//79"):
        headers = {"authorization": f"Basic {basic}".encode()}
        assert api.http.post(url, data=form, headers=headers).status_code == 401


def test_a_form_is_bounded_before_it_is_read(api):
    url = f"{api.cdf.base_url}/oauth/token"
    assert api.http.post(url, content=b"x" * 20_000).status_code == 413
    assert api.http.post(url, content=b"\xff\xfe=1").status_code == 400
    assert api.http.post(url, content="&".join(["a=1"] * 200)).status_code == 400


def sent(cdf, data):
    with socket.create_connection(("127.0.0.1", cdf.port), timeout=10) as client:
        client.sendall(data)
        answer = b""
        while more := client.recv(1000):
            answer += more
    return answer


def test_a_head_is_bounded_before_it_is_read(api):
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
    assert sent(api.cdf, head + b"x" * 100_000).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "half",
    [
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
def test_a_request_that_stands_still_is_cut(start, half):
    api = start(patience_s=0.2)
    begun = time.monotonic()
    assert sent(api.cdf, half) == b""
    assert time.monotonic() - begun >= 0.2


def test_what_a_token_grants_is_what_there_is(api):
    found = api.get("/token/inspect").json()["capabilities"]
    granted = {name for each in found for name in each if name != "projectScope"}
    assert {"filesAcl", "datasetsAcl", "labelsAcl", "assetsAcl", "sessionsAcl"} <= granted
    assert all(each["projectScope"] == {"projects": ["demo"]} for each in found)
    (group,) = api.get("/groups").json()["items"]
    assert group["capabilities"]
    assert api.get("").json()["urlName"] == "demo"


def test_sessions_are_made_and_revoked_and_keep_no_secret(api):
    body = {"items": [{"clientId": "a", "clientSecret": "hidden"}]}
    (made,) = api.ok("/sessions", body)["items"]
    assert made["nonce"]
    (listed,) = api.get("/sessions", status="ready").json()["items"]
    assert (listed["id"], listed["clientId"]) == (made["id"], "a")
    api.ok("/sessions/revoke", {"items": [{"id": made["id"]}]})
    assert api.get("/sessions", status="ready").json()["items"] == []
    assert b"hidden" not in b"".join(path.read_bytes() for path in api.cdf.root.glob("state.db*"))
    api.no(400, "/sessions", {"items": [{"clientId": "a"}]})


def test_ipv6_works_where_there_is_one():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with emulator(host="::1") as cdf:
        headers = {"authorization": f"Bearer {cdf.token}"}
        answer = httpx.get(f"{cdf.base_url}/api/v1/token/inspect", headers=headers)
        assert answer.status_code == 200
