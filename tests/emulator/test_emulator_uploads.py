"""Content gets in, and comes out byte for byte."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

MIB = 1024**2


def test_what_was_put_can_be_downloaded_byte_for_byte(api):
    parts = [os.urandom(2 * MIB), os.urandom(MIB + 1), b"end"]
    file_id = api.upload(*parts)
    assert api.download(file_id).content == b"".join(parts)
    assert api.cdf.content(file_id) == b"".join(parts)


def test_init_answers_flat_with_a_url_for_each_part(api):
    session = api.init(3, name="b.bin")
    assert session["name"] == "b.bin"
    assert session["uploaded"] is False
    assert len(set(session["uploadUrls"])) == 3


def test_parts_may_come_shuffled_and_in_parallel(api):
    parts = [os.urandom(300_000 + n) for n in range(12)]
    session = api.init(len(parts))
    order = list(range(len(parts)))
    random.Random(7).shuffle(order)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda no: api.put(session["uploadUrls"][no], parts[no]), order))
    assert api.complete(session).status_code == 200
    assert api.cdf.content(session["id"]) == b"".join(parts)


def test_a_part_that_is_sent_again_replaces_the_first(api):
    session = api.init(2)
    api.put(session["uploadUrls"][0], b"wrong, and longer")
    api.send(session, b"right ", b"end")
    assert api.cdf.content(session["id"]) == b"right end"


def test_an_empty_file_is_one_part_of_no_bytes(api):
    file_id = api.upload(b"")
    assert api.download(file_id).content == b""
    assert api.meta(file_id)["uploaded"] is True


def test_complete_names_the_missing_parts_and_may_follow_once_they_are_there(api):
    session = api.init(3)
    api.put(session["uploadUrls"][1], b"b")
    refusal = api.complete(session)
    assert refusal.status_code == 400
    assert refusal.json()["error"]["message"].endswith(": 0, 2")
    api.send(session, b"a", b"b", b"c")
    assert api.cdf.content(session["id"]) == b"abc"


def test_only_the_last_part_may_be_smaller_than_5_mib(start):
    api = start(min_part_size=5 * MIB)
    session = api.init(2)
    api.put(session["uploadUrls"][0], bytes(5 * MIB - 1))
    api.put(session["uploadUrls"][1], b"end")
    assert api.complete(session).status_code == 400
    api.send(session, bytes(5 * MIB), b"end")


def test_complete_wants_an_upload_of_this_very_file(api):
    mine, other = api.init(), api.init()
    body = {"id": mine["id"], "uploadId": other["uploadId"]}
    api.no(400, "/files/completemultipartupload", body)
    api.no(400, "/files/completemultipartupload", {"id": mine["id"], "uploadId": "0" * 32})
    api.no(400, "/files/completemultipartupload", {"id": mine["id"]})
    both = {"id": mine["id"], "externalId": "a", "uploadId": mine["uploadId"]}
    api.no(400, "/files/completemultipartupload", both)


def test_complete_takes_an_external_id_too(api):
    session = api.init(externalId="a")
    api.put(session["uploadUrls"][0], b"a")
    body = {"externalId": "a", "uploadId": session["uploadId"]}
    assert api.ok("/files/completemultipartupload", body) == {}


def test_a_repeated_complete_is_harmless_or_refused_as_asked(start):
    for mode, status in (("ok", 200), ("refuse", 400)):
        api = start(repeated_complete=mode)
        session = api.init()
        api.send(session, b"a")
        assert api.complete(session).status_code == status
        assert api.cdf.content(session["id"]) == b"a"


def test_a_part_after_complete_is_refused_and_changes_nothing(api):
    session = api.init()
    api.send(session, b"a")
    assert api.put(session["uploadUrls"][0], b"b").status_code == 404
    assert api.cdf.content(session["id"]) == b"a"


def test_uploaded_turns_true_after_its_delay(start, eventually):
    api = start(uploaded_delay_s=1.0)
    begun = time.monotonic()
    file_id = api.upload(b"a")
    assert api.meta(file_id)["uploaded"] is False
    api.no(400, "/files/downloadlink", {"items": [{"id": file_id}]})
    eventually(lambda: api.meta(file_id)["uploaded"])
    assert time.monotonic() - begun >= 1.0
    assert api.meta(file_id)["uploadedTime"] > api.meta(file_id)["createdTime"]
    assert api.cdf.content(file_id) == b"a"


def test_an_overwrite_keeps_the_content_until_the_new_one_is_complete(api):
    file_id = api.upload(b"old", externalId="a", metadata={"k": "1", "l": "2"}, assetIds=[1001])
    session = api.init(externalId="a", overwrite=True, name="new", metadata={"k": "3"})
    assert session["id"] == file_id
    api.put(session["uploadUrls"][0], b"new")
    assert api.cdf.content(file_id) == b"old"
    assert api.complete(session).status_code == 200
    assert api.cdf.content(file_id) == b"new"
    meta = api.meta(file_id)
    assert (meta["name"], meta["metadata"], meta["assetIds"]) == ("new", {"k": "3"}, [1001])


def test_an_overwrite_changes_neither_directory_nor_source(api):
    api.upload(b"old", externalId="a", directory="/old", source="old")
    new = api.init(externalId="a", overwrite=True, directory="/new", source="new", mimeType="x/y")
    assert (new["directory"], new["source"], new["mimeType"]) == ("/old", "old", "x/y")


def test_an_external_id_that_exists_is_a_duplicate_without_overwrite(api):
    api.upload(b"a", externalId="a")
    for path, query in (("/files/initmultipartupload", {"parts": 1}), ("/files", {})):
        error = api.no(409, path, {"name": "b", "externalId": "a"}, **query)
        assert error["duplicated"] == [{"externalId": "a"}]


def test_an_existing_file_gets_new_urls_by_its_external_id(api):
    api.init(externalId="a")
    link = api.ok("/files/multiuploadlink", {"items": [{"externalId": "a"}]}, parts=2)
    (session,) = link["items"]
    api.send(session, b"a", b"b")
    assert api.cdf.content(session["id"]) == b"ab"


def test_a_data_model_file_gets_its_content_by_its_instance_id(api):
    wanted = {"instanceId": {"space": "scans", "externalId": "deck_1"}}
    (session,) = api.ok("/files/multiuploadlink", {"items": [wanted]}, parts=1)["items"]
    assert session["instanceId"] == wanted["instanceId"]
    api.put(session["uploadUrls"][0], b"points")
    api.ok("/files/completemultipartupload", wanted | {"uploadId": session["uploadId"]})
    (link,) = api.ok("/files/downloadlink", {"items": [wanted]})["items"]
    assert link["instanceId"] == wanted["instanceId"]
    assert api.store.get(link["downloadUrl"]).content == b"points"


def test_links_for_files_that_are_not_there_are_refused(api):
    missing = [{"externalId": "nowhere"}]
    for path, query in (("/files/multiuploadlink", {"parts": 1}), ("/files/uploadlink", {})):
        assert api.no(400, path, {"items": missing}, **query)["missing"] == missing


def test_a_file_in_one_put_with_its_content_type(api):
    made = api.ok("/files", {"name": "a.txt", "mimeType": "text/plain"})
    assert api.put(made["uploadUrl"], b"first", content_type="text/plain").status_code == 200
    assert api.meta(made["id"])["uploaded"] is True
    assert api.put(made["uploadUrl"], b"again", content_type="text/plain").status_code == 200
    assert api.download(made["id"]).content == b"again"
    assert api.download(made["id"]).headers["content-type"] == "text/plain"
    assert api.put(made["uploadUrl"], b"x", content_type="text/html").status_code == 403


def test_an_upload_link_replaces_the_content(api):
    file_id = api.upload(b"old", externalId="a")
    (link,) = api.ok("/files/uploadlink", {"items": [{"externalId": "a"}]})["items"]
    assert api.put(link["uploadUrl"], b"new").status_code == 200
    assert api.cdf.content(file_id) == b"new"


def test_urls_may_be_relative(start):
    api = start(relative_urls=True)
    session = api.init()
    (url,) = session["uploadUrls"]
    assert url.startswith("/")
    assert api.put(api.cdf.base_url + url, b"a").status_code == 200
    assert api.complete(session).status_code == 200
    assert api.link(session["id"]).startswith("/")


def test_a_restart_on_the_same_root_and_port_keeps_everything(start, tmp_path):
    first = start(root=tmp_path / "cdf")
    done, session = first.upload(b"done"), first.init(2)
    assert first.put(session["uploadUrls"][0], b"half").status_code == 200
    first.cdf.__exit__(None, None, None)

    again = start(root=tmp_path / "cdf", port=first.cdf.port)
    assert again.cdf.content(done) == b"done"
    assert again.put(session["uploadUrls"][1], b" and half").status_code == 200
    assert again.complete(session).status_code == 200
    assert again.cdf.content(session["id"]) == b"half and half"


def test_a_file_without_content_is_forgotten_after_its_week(start):
    api = start(file_life_s=-1)
    session = api.init()
    assert api.no(400, "/files/byids", {"items": [{"id": session["id"]}]})["missing"]
    assert api.put(session["uploadUrls"][0], b"a").status_code == 404


def test_a_deleted_file_takes_its_upload_and_its_bytes_along(api):
    session, done = api.init(), api.upload(b"a")
    items = [{"id": session["id"]}, {"id": done}]
    link = api.link(done)
    assert api.ok("/files/delete", {"items": items}) == {}
    assert api.put(session["uploadUrls"][0], b"a").status_code == 404
    assert api.store.get(link).status_code == 404
    assert list((api.cdf.root / "store").iterdir()) == []


def test_the_journal_shows_what_was_sent_and_no_secret(api):
    session = api.init(2)
    api.put(session["uploadUrls"][1], b"12345")
    init, part = api.cdf.requests()
    assert (init["route"], init["status"], init["part"]) == ("init", 201, None)
    assert init["headers"]["authorization"] == "<secret>"
    assert (part["route"], part["part"], part["body_bytes"]) == ("part", 1, 5)
    assert "authorization" not in part["headers"]
    text = str([init, part])
    assert api.cdf.token not in text
    assert session["uploadUrls"][1].rpartition("signature=")[2] not in text
