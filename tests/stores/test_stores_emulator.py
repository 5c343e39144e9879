"""The emulator hands out URLs of real stores; here they are used with plain PUTs."""

from __future__ import annotations

import hashlib
import os
import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cognite_nb_upload.emulator import emulator

pytestmark = [pytest.mark.store, pytest.mark.slow]
MIB = 1024**2


class Api:
    def __init__(self, cdf):
        self.cdf = cdf
        self.http = httpx.Client(trust_env=False, verify=False, timeout=60)

    def post(self, path, body, status=200, **query):
        url = f"{self.cdf.base_url}/api/v1/projects/demo/files/{path}"
        headers = {"authorization": f"Bearer {self.cdf.token}"}
        response = self.http.post(url, json=body, params=query, headers=headers)
        assert response.status_code == status, response.text
        return response.json()

    def init(self, parts, **fields):
        query = {"parts": parts, "overwrite": "true"}
        return self.post("initmultipartupload", {"name": "a"} | fields, 201, **query)

    def put(self, session, no, content):
        return self.http.put(session["uploadUrls"][no], content=content)

    def complete(self, session, status=200):
        body = {"id": session["id"], "uploadId": session["uploadId"]}
        return self.post("completemultipartupload", body, status)

    def link(self, file_id):
        body = {"items": [{"id": file_id}]}
        return self.post("downloadlink", body)["items"][0]["downloadUrl"]

    def upload(self, *parts, **fields):
        session = self.init(len(parts), **fields)
        for no, part in enumerate(parts):
            assert self.put(session, no, part).status_code in (200, 201)
        self.complete(session)
        return session["id"]


@pytest.fixture
def start(storage):
    opened = []

    def started(**switches):
        opened.append(emulator(storage=storage, **switches))
        api = Api(opened[-1].__enter__())
        opened.append(api.http)
        return api

    yield started
    for each in reversed(opened):
        each.__exit__(None, None, None)


@pytest.fixture
def api(start):
    return start()


def test_the_urls_are_those_of_the_store(api, storage):
    host = storage.rpartition("@")[2].partition("/")[0]
    (url,) = api.init(1)["uploadUrls"]
    assert url.startswith(f"http://{host}/")
    assert api.link(api.upload(b"x")).startswith(f"http://{host}/")


def test_shuffled_parallel_parts_come_back_byte_for_byte(api):
    parts = [os.urandom(5 * MIB + n) for n in range(5)] + [b"end"]
    session = api.init(len(parts))
    order = list(range(len(parts)))
    random.Random(3).shuffle(order)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda no: api.put(session, no, parts[no]), order))
    assert {answer.status_code for answer in answers} <= {200, 201}
    api.complete(session)
    whole = b"".join(parts)
    response = api.http.get(api.link(session["id"]))
    assert hashlib.sha256(response.content).digest() == hashlib.sha256(whole).digest()
    assert api.cdf.sha256(session["id"]) == hashlib.sha256(whole).hexdigest()
    one = api.http.get(api.link(session["id"]), headers={"range": "bytes=0-0"})
    assert (one.status_code, one.content) == (206, whole[:1])
    assert one.headers["content-range"] == f"bytes 0-0/{len(whole)}"


def test_a_part_that_is_sent_again_replaces_the_first(api):
    session = api.init(2)
    api.put(session, 0, os.urandom(5 * MIB))
    right = os.urandom(5 * MIB)
    assert api.put(session, 0, right).status_code in (200, 201)
    api.put(session, 1, b"end")
    api.complete(session)
    assert api.cdf.content(session["id"]) == right + b"end"


def test_each_part_s_md5_is_told_or_its_etag_is_it(api, storage):
    response = api.put(api.init(1), 0, b"some bytes")
    if storage.startswith("s3"):
        assert response.headers["etag"].strip('"') == hashlib.md5(b"some bytes").hexdigest()
    else:
        assert response.status_code == 201


def test_an_expired_url_is_refused_and_dated(start):
    api = start(url_life_s=-5)
    response = api.put(api.init(1), 0, b"x")
    assert response.status_code == 403
    assert "<Code>" in response.text
    assert "date" in response.headers


def test_a_url_that_was_tampered_with_is_refused(api):
    session = api.init(2)
    first = session["uploadUrls"][0]
    swapped = first.replace("partNumber=1", "partNumber=2")
    cut = first[:-4] + "AAAA"
    for bad in {swapped, cut} - {first}:
        assert api.http.put(bad, content=b"x").status_code == 403


def test_complete_names_what_is_missing_or_too_small(api):
    session = api.init(3)
    api.put(session, 1, b"small")
    assert api.complete(session, 400)["error"]["message"].endswith(": 0, 2")
    api.put(session, 0, bytes(5 * MIB))
    api.put(session, 2, b"end")
    assert api.complete(session, 400)["error"]["message"].endswith(": 1")
    assert api.cdf.files()[-1]["uploaded"] is False


def test_a_lost_part_is_sent_and_a_repeated_complete_is_harmless(api):
    session = api.init(2)
    api.put(session, 1, b"end")
    api.complete(session, 400)
    api.put(session, 0, bytes(5 * MIB))
    api.complete(session)
    api.complete(session)
    assert api.cdf.content(session["id"]) == bytes(5 * MIB) + b"end"


def test_an_empty_file(api):
    file_id = api.upload(b"")
    assert api.http.get(api.link(file_id)).content == b""


def test_an_overwrite_and_a_delete_remove_the_old_bytes(api):
    file_id = api.upload(b"old", externalId="a")
    old = api.link(file_id)
    assert api.http.get(old).content == b"old"
    assert api.upload(b"new", externalId="a") == file_id
    assert api.http.get(old).status_code == 404
    new = api.link(file_id)
    assert api.http.get(new).content == b"new"
    unfinished = api.init(1)
    api.post("delete", {"items": [{"id": file_id}, {"id": unfinished["id"]}]})
    assert api.http.get(new).status_code == 404


def test_an_upload_goes_on_after_a_restart(start, tmp_path):
    first = start(root=tmp_path)
    session = first.init(2)
    first.put(session, 0, bytes(5 * MIB))
    first.cdf.__exit__(None, None, None)
    again = start(root=tmp_path)
    again.put(session, 1, b"end")
    again.complete(session)
    assert again.cdf.content(session["id"]) == bytes(5 * MIB) + b"end"


def test_a_file_in_one_put_stays_with_the_emulator(api):
    url = f"{api.cdf.base_url}/api/v1/projects/demo/files"
    headers = {"authorization": f"Bearer {api.cdf.token}"}
    made = api.http.post(url, json={"name": "a"}, headers=headers).json()
    assert made["uploadUrl"].startswith(api.cdf.store_url)
    assert api.http.put(made["uploadUrl"], content=b"x").status_code == 200
    assert api.cdf.content(made["id"]) == b"x"


def test_azurite_refuses_what_azure_refuses(azurite):
    with emulator(storage=azurite) as cdf:
        api = Api(cdf)
        with api.http:
            session = api.init(1)
            chunked = api.http.put(session["uploadUrls"][0], content=iter([b"x"]))
            assert chunked.status_code >= 400
            wrong = {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}
            spoiled = api.http.put(session["uploadUrls"][0], content=b"x", headers=wrong)
            assert spoiled.status_code == 400
            assert api.complete(session, 400)
