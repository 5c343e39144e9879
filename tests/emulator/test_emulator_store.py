"""The store's side: what it refuses, what it says of bytes, ranges, quota, browsers."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest

MIB = 1024**2


@pytest.fixture
def url(api):
    return api.init()["uploadUrls"][0]


def chunked(data):
    yield data


def test_a_strict_store_wants_a_content_length(api, url):
    response = api.put(url, chunked(b"a"))
    assert response.status_code == 411
    assert "<Code>MissingContentLength</Code>" in response.text


def test_a_strict_store_refuses_a_bearer_token_beside_the_signature(api, url):
    response = api.put(url, b"a", authorization="Bearer x")
    assert response.status_code == 400
    assert "Only one auth mechanism allowed" in response.text


def test_a_strict_store_refuses_a_content_type_on_a_part(api, url):
    response = api.put(url, b"a", content_type="application/octet-stream")
    assert response.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in response.text


def test_a_lenient_store_takes_all_three(start):
    api = start(strict_storage=False)
    session = api.init()
    headers = {"authorization": "Bearer x", "content_type": "x/y"}
    assert api.put(session["uploadUrls"][0], chunked(b"abc"), **headers).status_code == 200
    assert api.complete(session).status_code == 200
    assert api.cdf.content(session["id"]) == b"abc"


@pytest.mark.parametrize(
    ("store", "status", "words"),
    [
        ("s3", 403, ("<Code>AccessDenied</Code>", "Request has expired", "<ServerTime>")),
        ("azure", 403, ("<Code>AuthenticationFailed</Code>", "valid in the specified time frame")),
        ("gcs", 400, ("<Code>ExpiredToken</Code>", "The provided token has expired")),
    ],
)
def test_an_expired_url_is_refused_with_the_server_s_time(start, store, status, words):
    api = start(url_life_s=-5, store=store)
    response = api.put(api.init()["uploadUrls"][0], b"a")
    assert response.status_code == status
    assert all(word in response.text for word in words)
    assert parsedate_to_datetime(response.headers["date"])
    assert response.headers["content-type"] == "application/xml"


@pytest.mark.parametrize("store", ["s3", "azure", "gcs"])
def test_a_url_that_was_tampered_with_is_refused(start, store):
    api = start(store=store)
    (url,) = api.init()["uploadUrls"]
    later = url.replace("expires=", "expires=9")
    for bad in (url[:-1], later, url.replace("/0?", "/1?"), url.partition("&")[0]):
        assert api.put(bad, b"a").status_code == 403


def test_a_part_url_is_good_for_putting_alone(api, url):
    assert api.store.get(url).status_code == 404
    assert api.store.post(url, content=b"a").status_code == 404


@pytest.mark.parametrize("size", [5, 2 * MIB])
def test_each_store_says_what_it_has_got(start, size):
    data = os.urandom(size)
    md5 = hashlib.md5(data)
    encoded = base64.b64encode(md5.digest()).decode()
    wanted = {
        "s3": (200, "etag", f'"{md5.hexdigest()}"'),
        "azure": (201, "content-md5", encoded),
        "gcs": (200, "x-goog-hash", f"md5={encoded}"),
    }
    for store, (status, header, value) in wanted.items():
        response = put_one(start(store=store), data)
        assert (response.status_code, response.headers[header]) == (status, value)


def put_one(api, data, **headers):
    return api.put(api.init()["uploadUrls"][0], data, **headers)


def test_without_checksums_an_etag_is_a_name(start):
    tag = put_one(start(checksums=False), b"a").headers["etag"].strip('"')
    assert tag.startswith("0x")
    assert len(tag) != 32


def test_a_content_md5_that_does_not_fit_is_refused(api):
    good = base64.b64encode(hashlib.md5(b"a").digest()).decode()
    assert put_one(api, b"a", content_md5=good).status_code == 200
    assert "BadDigest" in put_one(api, b"b", content_md5=good).text


def test_a_part_larger_than_allowed_is_refused(start):
    api = start(max_part_size=10)
    assert put_one(api, b"0123456789").status_code == 200
    response = put_one(api, b"0123456789+")
    assert response.status_code == 400
    assert "EntityTooLarge" in response.text


@pytest.mark.parametrize("sent", [0, 100_000, 2 * MIB])
def test_a_body_that_ends_early_is_not_stored(api, sent, eventually):
    session = api.init()
    address = urlsplit(session["uploadUrls"][0])
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        client.sendall(f"{head}Content-Length: {3 * MIB}\r\n\r\n".encode() + bytes(sent))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    assert api.complete(session).status_code == 400
    eventually(lambda: not list((api.cdf.root / "store").glob("*/*")))
    assert api.cdf.requests()[1]["body_bytes"] == sent


def test_what_follows_a_body_and_is_no_request_is_a_bad_one(api, url):
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        client.sendall(f"{head}Content-Length: 3\r\n\r\n".encode() + b"abcdef\r\n\r\n")
        answers = b""
        while more := client.recv(1000):
            answers += more
    assert answers.startswith(b"HTTP/1.1 200")
    assert answers.count(b"HTTP/1.1 400") == 1


def test_several_large_parts_go_over_one_connection(api):
    parts = [os.urandom(MIB + n) for n in (0, 1, 2)]
    session = api.init(3)
    address = urlsplit(session["uploadUrls"][0])
    with socket.create_connection((address.hostname, address.port)) as client:
        for url, part in zip(session["uploadUrls"], parts, strict=True):
            path = url.partition(address.netloc)[2]
            head = f"PUT {path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            client.sendall(f"{head}Content-Length: {len(part)}\r\n\r\n".encode() + part)
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert api.complete(session).status_code == 200
    assert api.cdf.content(session["id"]) == b"".join(parts)


def test_the_next_request_may_come_before_the_answer(api):
    session = api.init(2)
    address = urlsplit(session["uploadUrls"][0])
    both = b""
    for url, part in zip(session["uploadUrls"], (b"a" * MIB, b"b" * MIB), strict=True):
        path = url.partition(address.netloc)[2]
        head = f"PUT {path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        both += f"{head}Content-Length: {len(part)}\r\n\r\n".encode() + part
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(both)
        answers = b""
        while answers.count(b"\r\n\r\n") < 2:
            answers += client.recv(1000)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert api.complete(session).status_code == 200
    assert api.cdf.content(session["id"]) == b"a" * MIB + b"b" * MIB


def test_a_100_continue_is_sent_to_those_who_ask(api, url):
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        head += f"Expect: 100-continue\r\nContent-Length: {MIB}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        client.sendall(bytes(MIB))
        assert client.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("asked", "span", "content_range"),
    [
        ("bytes=0-0", (0, 1), "bytes 0-0/10"),
        ("bytes=3-6", (3, 7), "bytes 3-6/10"),
        ("bytes=4-", (4, 10), "bytes 4-9/10"),
        ("bytes=-3", (7, 10), "bytes 7-9/10"),
        ("bytes=5-99", (5, 10), "bytes 5-9/10"),
        ("bytes=-99", (0, 10), "bytes 0-9/10"),
    ],
)
def test_a_range_across_parts_is_answered_with_its_place_and_the_total(
    api, asked, span, content_range
):
    data = b"0123456789"
    response = api.download(api.upload(data[:4], data[4:5], data[5:]), range=asked)
    assert response.status_code == 206
    assert response.content == data[span[0] : span[1]]
    assert response.headers["content-range"] == content_range
    assert response.headers["content-length"] == str(span[1] - span[0])


def test_a_range_outside_is_refused_and_odd_ones_are_ignored(api):
    file_id = api.upload(b"0123456789")
    response = api.download(file_id, range="bytes=10-")
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */10")
    assert api.download(api.upload(b""), range="bytes=0-0").status_code == 416
    for odd in ("bytes=", "bytes=-", "lines=1-2", "bytes=0-1,3-4"):
        assert api.download(file_id, range=odd).status_code == 200


def test_head_tells_the_size_alone(api):
    file_id = api.upload(b"0123456789", name="naïve.txt", mimeType="text/plain")
    response = api.store.head(api.link(file_id))
    assert response.headers["content-length"] == "10"
    assert response.headers["content-type"] == "text/plain"
    assert "na%C3%AFve.txt" in response.headers["content-disposition"]


def test_download_links_live_30_seconds_or_an_hour(api):
    file_id = api.upload(b"a")

    def life(link):
        return int(link.partition("expires=")[2].partition("&")[0]) / 1000

    short, long = life(api.link(file_id)), life(api.link(file_id, extendedExpiration="true"))
    assert 3560 < long - short < 3580


def test_a_quota_is_kept_and_given_back(start):
    api = start(quota_bytes=1000)
    first = api.init(2)
    assert api.put(first["uploadUrls"][0], bytes(900)).status_code == 200
    response = api.put(first["uploadUrls"][1], bytes(101))
    assert response.status_code == 507
    assert "quota of 1000 bytes" in response.text
    assert api.put(first["uploadUrls"][0], bytes(101)).status_code == 507
    api.ok("/files/delete", {"items": [{"id": first["id"]}]})
    assert api.upload(bytes(1000))


def test_pages_of_this_machine_may_use_part_urls_when_asked(start):
    origin = "http://localhost:8888"
    asks = {
        "origin": origin,
        "access-control-request-method": "PUT",
        "access-control-request-headers": "x-a",
    }
    for cors, status in ((True, 200), (False, 403)):
        api = start(cors=cors)
        (url,) = api.init()["uploadUrls"]
        preflight = api.store.options(url, headers=asks)
        assert preflight.status_code == status
        response = api.put(url, b"a", origin=origin)
        allowed = response.headers.get("access-control-allow-origin")
        assert (response.status_code, allowed) == (200, origin if cors else None)
        if cors:
            assert "PUT" in preflight.headers["access-control-allow-methods"]
            assert preflight.headers["access-control-allow-origin"] == origin


def test_pages_of_other_machines_may_not(start):
    api = start(cors=True)
    (url,) = api.init()["uploadUrls"]
    assert api.put(url, b"a", origin="https://attacker.example").status_code == 403


def test_files_on_disk_have_names_of_our_own(api):
    api.upload(b"a", name="../../../etc/passwd", externalId="../x", directory="/../..")
    names = {path.name for path in api.cdf.root.rglob("*")}
    assert not any("passwd" in name or ".." in name for name in names)
    assert (api.cdf.root.stat().st_mode & 0o777) == 0o700
