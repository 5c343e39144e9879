"""Faults do what their names say, to the requests they are meant for, and are put on record."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from cognite_nb_upload.emulator import Fault

MIB = 1024**2
BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
PART = b"x" * (3 * MIB)


@pytest.fixture
def session(api):
    return api.init(3)


@pytest.fixture
def put(api, session):
    """Puts a part on a fresh connection, so that none of them inherits a broken one."""

    def put(no=0, content=PART, **keywords):
        fresh = {"trust_env": False, "verify": False, "timeout": 60}
        return httpx.put(session["uploadUrls"][no], content=content, **fresh | keywords)

    return put


def stored(api, session):
    """The numbers of the parts that are on the disk."""
    folder = api.cdf.root / "store" / session["uploadId"]
    return sorted(int(path.name) for path in folder.iterdir() if path.suffix != ".tmp")


def fired(api):
    return [(each["kind"], each["route"], each["part"]) for each in api.cdf.fired()]


BREAKS = ["reset_before", "reset_mid", "reset_after", "close_before", "close_mid", "close_after"]


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_connection_stores_nothing_and_the_next_try_succeeds(api, session, put, kind):
    api.cdf.inject(Fault(kind, "part"))
    with pytest.raises(BROKEN):
        put()
    assert stored(api, session) == []
    assert put().status_code == 200
    assert fired(api) == [(kind, "part", 0)]
    assert [row["status"] for row in api.cdf.requests()[1:]] == [None, 200]


@pytest.mark.parametrize("kind", BREAKS)
def test_json_requests_break_as_well(api, kind):
    api.cdf.inject(Fault(kind, "init"))
    with pytest.raises(BROKEN):
        api.init()
    assert fired(api) == [(kind, "init", None)]
    assert len(api.cdf.files()) == 2
    api.init()


@pytest.mark.parametrize(("kind", "at"), [("reset_mid", 12345), ("close_mid", 2 * MIB)])
def test_the_byte_at_which_it_breaks_is_given(api, session, put, kind, at):
    api.cdf.inject(Fault(kind, "part", after_bytes=at))
    with pytest.raises(BROKEN):
        put()
    assert api.cdf.fired()[0]["at_bytes"] == at
    assert at <= api.cdf.requests()[1]["body_bytes"] < len(PART)


def test_a_reset_is_a_reset_and_a_close_is_a_close(api, session):
    address = urlsplit(session["uploadUrls"][0])
    head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    whole = f"{head}Content-Length: 5\r\n\r\n12345".encode()
    api.cdf.inject(Fault("reset_after", "part"))
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(whole)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    api.cdf.inject(Fault("close_after", "part"))
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(whole)
        assert client.recv(1) == b""
    assert len(api.cdf.fired()) == 2


@pytest.mark.parametrize("kind", ["lost_answer", "close_answer", "half_answer"])
def test_a_lost_answer_means_that_the_work_is_done(api, session, put, kind):
    api.cdf.inject(Fault(kind, "part", part=1))
    with pytest.raises(BROKEN):
        put(1)
    assert stored(api, session) == [1]
    assert fired(api) == [(kind, "part", 1)]

    api.cdf.inject(Fault(kind, "create"))
    with pytest.raises(BROKEN):
        api.post("/files", {"name": "orphan"})
    assert "orphan" in [meta["name"] for meta in api.cdf.files()]


def test_half_an_answer_declares_more_than_it_sends(api):
    api.cdf.inject(Fault("half_answer", "list", after_bytes=7))
    with pytest.raises(httpx.RemoteProtocolError, match="received 7 bytes"):
        api.post("/files/list")
    assert fired(api)


def test_half_a_download(api):
    file_id = api.upload(b"0123456789")
    api.cdf.inject(Fault("half_answer", "download"))
    with pytest.raises(httpx.RemoteProtocolError, match="received 5 bytes, expected 10"):
        api.download(file_id)
    assert api.download(file_id).content == b"0123456789"
    assert fired(api) == [("half_answer", "download", None)]
    big = api.upload(bytes(5 * MIB))
    api.cdf.inject(Fault("half_answer", "download", after_bytes=4 * MIB))
    with pytest.raises(httpx.RemoteProtocolError, match=f"received {4 * MIB} bytes"):
        api.download(big)
    assert len(api.cdf.fired()) == 2


@pytest.mark.parametrize("retry_after", [7, "Fri, 31 Dec 2100 23:59:59 GMT", "soon"])
def test_a_status_comes_with_what_was_asked_for(api, session, put, retry_after):
    fault = Fault(
        "status",
        "part",
        status=429,
        retry_after=retry_after,
        headers={"cdf-is-auto-retryable": "true"},
        body='{"error": {"code": 429, "message": "slow down"}}',
    )
    api.cdf.inject(fault)
    response = put()
    assert response.status_code == 429
    assert response.headers["retry-after"] == str(retry_after)
    assert response.headers["cdf-is-auto-retryable"] == "true"
    assert response.json()["error"]["message"] == "slow down"
    assert stored(api, session) == []
    assert api.cdf.requests()[-1]["body_bytes"] == len(PART)
    assert fired(api) == [("status", "part", 0)]


def test_a_status_may_have_a_store_s_body(api, put):
    body = "<Error><Code>RequestTimeTooSkewed</Code><ServerTime>2026-01-01</ServerTime></Error>"
    api.cdf.inject(Fault("status", "part", status=403, body=body))
    response = put()
    assert (response.status_code, response.text) == (403, body)
    assert response.headers["content-type"].startswith("application/xml")
    assert fired(api)


def test_an_early_status_comes_before_the_end_of_the_body(api, session, put):
    api.cdf.inject(Fault("early_status", "part", status=503, after_bytes=100_000))
    response = put()
    assert response.status_code == 503
    assert response.headers["connection"] == "close"
    assert api.cdf.requests()[-1]["body_bytes"] < len(PART)
    assert stored(api, session) == []
    assert api.cdf.fired()[0]["at_bytes"] == 100_000


def test_a_redirect_is_answered_and_its_target_would_be_seen(api, put):
    api.cdf.inject(Fault("redirect", "part", headers={"location": "/stolen"}))
    response = put()
    assert (response.status_code, response.headers["location"]) == (307, "/stolen")
    assert httpx.put(api.cdf.base_url + "/stolen", trust_env=False).status_code == 404
    assert api.cdf.requests()[-1]["path"] == "/stolen"
    assert api.cdf.requests()[-1]["route"] is None
    assert fired(api)


def test_answers_that_look_like_success_and_are_none(api, session, put):
    for kind, words in (("html", "<!doctype html>"), ("xml_error", "<Code>InternalError</Code>")):
        api.cdf.inject(Fault(kind, "part"))
        response = put()
        assert response.status_code == 200
        assert words in response.text
    assert stored(api, session) == []
    assert len(api.cdf.fired()) == 2


def test_garbage_is_not_http(api, put):
    api.cdf.inject(Fault("garbage", "part"))
    with pytest.raises(httpx.RemoteProtocolError):
        put()
    assert fired(api)


def test_a_stall_stops_reading_until_the_client_leaves(api, session, put):
    api.cdf.inject(Fault("stall", "part", after_bytes=MIB))
    with pytest.raises(httpx.WriteTimeout):
        put(content=b"x" * (40 * MIB), timeout=httpx.Timeout(30, write=2))
    assert api.cdf.requests()[-1]["body_bytes"] < 20 * MIB
    assert fired(api) == [("stall", "part", 0)]
    assert put().status_code == 200


def test_a_stall_that_ends_is_only_late(api, session, put):
    api.cdf.inject(Fault("stall", "part", seconds=0.2))
    begun = time.monotonic()
    assert put().status_code == 200
    assert time.monotonic() - begun >= 0.2
    assert stored(api, session) == [0]
    assert fired(api)


def test_a_stalled_answer_comes_late_or_never(api, session, put, eventually):
    api.cdf.inject(Fault("stall_answer", "part", seconds=0.2))
    assert put(0).status_code == 200
    api.cdf.inject(Fault("stall_answer", "part"))
    with pytest.raises(httpx.ReadTimeout):
        put(1, timeout=httpx.Timeout(30, read=0.2))
    eventually(lambda: len(api.cdf.fired()) == 2)
    assert stored(api, session) == [0, 1]


@pytest.mark.parametrize("kind", ["stall", "stall_answer"])
def test_faults_that_are_cleared_hold_nothing_any_more(api, session, put, eventually, kind):
    api.cdf.inject(Fault(kind, "part"))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(put)
        eventually(lambda: fired(api))
        assert not answer.done()
        api.cdf.clear_faults()
        assert answer.result(60).status_code == 200
    assert stored(api, session) == [0]


def test_a_slow_store_reads_at_its_pace(api, session, put):
    api.cdf.inject(Fault("slow", "part", bytes_per_s=MIB))
    begun = time.monotonic()
    assert put(content=bytes(MIB // 4)).status_code == 200
    assert time.monotonic() - begun > 0.2
    assert fired(api)


def test_an_answer_may_drip(api, put, eventually):
    api.cdf.inject(Fault("drip", "part", seconds=0.001))
    assert put().status_code == 200
    api.cdf.inject(Fault("drip", "part"))
    with pytest.raises(httpx.ReadTimeout):
        put(timeout=httpx.Timeout(30, read=0.2))
    eventually(lambda: len(api.cdf.fired()) == 2)


def test_skip_times_and_part_choose_their_victims(api, session, put):
    api.cdf.inject(Fault("status", "part", part=1, skip=1, times=2))
    answers = [put(no, b"x").status_code for no in (0, 1, 1, 0, 1, 1)]
    assert answers == [200, 200, 503, 200, 503, 200]
    assert [each["part"] for each in api.cdf.fired()] == [1, 1]


def test_a_fault_without_times_goes_on_until_it_is_cleared(api, put):
    api.cdf.inject(Fault("status", "any", times=None))
    assert [put().status_code for _ in range(3)] == [503] * 3
    api.cdf.clear_faults()
    assert put().status_code == 200
    assert len(api.cdf.fired()) == 3


def test_faults_take_their_turns(api, put):
    api.cdf.inject(Fault("status", "part", status=500, times=2))
    api.cdf.inject(Fault("status", "part", status=502, skip=1))
    assert [put().status_code for _ in range(5)] == [500, 500, 200, 502, 200]
    assert [each["fault"] for each in api.cdf.fired()] == [0, 0, 1]


def test_a_fault_that_was_not_met_did_not_fire(api, put):
    api.cdf.inject(Fault("status", "part", part=2))
    assert put(0).status_code == 200
    assert api.cdf.fired() == []


def test_faults_that_cannot_be_are_refused(api):
    for bad in ({"kind": "flood"}, {"route": "nowhere"}, {"kind": "slow"}):
        with pytest.raises(ValueError, match=r"fault|route"):
            Fault(**{"kind": "status", "route": "part"} | bad)
    url, token = api.cdf.base_url + "/_emulator/faults", {"x-emulator-token": api.cdf.token}
    for bad in ({"kind": "flood", "route": "part"}, {"kind": "status", "route": "part", "x": 1}):
        assert api.http.post(url, content=json.dumps(bad), headers=token).status_code == 400


def test_the_end_is_clean_while_requests_hang(start, eventually):
    api = start()
    urls = api.init(4)["uploadUrls"]
    for kind in ("stall", "stall_answer"):
        api.cdf.inject(Fault(kind, "part", times=2))
    errors = []

    def hang(url):
        try:
            httpx.put(url, content=PART * 4, trust_env=False, verify=False, timeout=30)
        except httpx.HTTPError as error:
            errors.append(error)

    threads = [threading.Thread(target=hang, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    eventually(lambda: len(api.cdf.fired()) == 4)
    api.cdf.__exit__(None, None, None)  # raises after 10 s
    for thread in threads:
        thread.join()
    assert len(errors) == 4


def test_the_record_can_be_read_after_the_end(start):
    api = start()
    api.cdf.inject(Fault("status", "init"))
    api.no(503, "/files/initmultipartupload", {"name": "a"}, parts=1)
    api.cdf.__exit__(None, None, None)
    assert [each["kind"] for each in api.cdf.fired()] == ["status"]
    assert [row["status"] for row in api.cdf.requests()] == [503]


def test_the_end_is_clean_while_a_download_is_not_read(start):
    api = start()
    address = urlsplit(api.link(api.upload(bytes(64 * MIB))))
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"GET {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(4) == b"HTTP"
        api.cdf.__exit__(None, None, None)  # raises after 10 s


def test_a_client_that_leaves_a_download_does_no_harm(api, caplog):
    file_id = api.upload(bytes(8 * MIB))
    with api.store.stream("GET", api.link(file_id)) as response:
        next(response.iter_raw(1000))
    assert api.download(file_id).status_code == 200
    assert all(row.levelname != "ERROR" for row in caplog.records)
