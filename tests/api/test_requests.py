"""What a JSON request to CDF carries, and what of it an error tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import PART, config_of, quick, routes, seen, some_bytes

from cognite_nb_upload import (
    APIError,
    ClientConfig,
    CogniteClient,
    ConfigError,
    Token,
    TransferError,
    __version__,
)
from cognite_nb_upload.emulator import Emulator, Fault

Connect = Callable[..., CogniteClient]


def test_a_request_says_who_asks_and_for_which_version(cdf: Emulator, connect: Connect) -> None:
    connect(client_name="my notebook").files.list()
    headers = seen(cdf, "list")[0]["headers"]
    assert headers["cdf-version"] == "20230101"
    assert headers["x-cdp-sdk"] == f"CogniteNbUpload:{__version__}"
    assert headers["x-cdp-app"] == "my notebook"
    assert headers["accept"] == "application/json"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith(f"cognite_nb_upload/{__version__}")
    assert "authorization" in headers


def test_a_large_body_is_zipped_and_a_small_one_is_not(
    cdf: Emulator, client: CogniteClient
) -> None:
    metadata = {f"key {no}": "value" * 10 for no in range(100)}
    client.files.multipart_upload_session("a", 1, metadata=metadata)
    client.files.multipart_upload_session("b", 1)
    large, small = seen(cdf, "init")
    assert large["headers"]["content-encoding"] == "gzip"
    assert large["body_bytes"] < 1000
    assert "content-encoding" not in small["headers"]
    assert cdf.files()[-2]["metadata"] == metadata


def test_headers_of_the_settings_go_to_cdf_and_never_to_a_store(
    cdf: Emulator, connect: Connect
) -> None:
    client = connect(headers={"x-mine": "yes"})
    with client.files.multipart_upload_session("a", 1) as session:
        session.upload_part(0, b"x")
    assert seen(cdf, "init")[0]["headers"]["x-mine"] == "yes"
    assert "x-mine" not in seen(cdf, "part")[0]["headers"]


def test_an_error_has_the_status_the_words_and_the_request_id(client: CogniteClient) -> None:
    with pytest.raises(APIError) as caught:
        client.files.delete(id=1)
    error = caught.value
    assert error.code == 400
    assert error.missing == [{"id": 1}]
    assert error.request_id
    assert str(error).startswith("CDF refused to delete the file with 400: ")
    assert str(error).endswith(f"| x-request-id: {error.request_id}")


# --- the other endpoints --------------------------------------------------------------------


def put(client: CogniteClient, name: str, content: bytes, **fields: Any) -> int:
    with client.files.multipart_upload_session(name, 1, **fields) as session:
        session.upload_part(0, content)
    assert session.file_metadata.id is not None
    return session.file_metadata.id


def test_a_file_is_looked_up_by_each_of_its_ids(client: CogniteClient) -> None:
    number = put(client, "a", b"x", external_id="one")
    assert client.files.retrieve(id=number).name == "a"
    assert client.files.retrieve(external_id="one").id == number
    deck = client.files.retrieve(id=8_000_000_000_001)
    assert client.files.retrieve(instance_id=deck.instance_id) == deck
    assert client.files.retrieve(external_id="no such") is None


def test_a_list_is_read_page_by_page(cdf: Emulator, client: CogniteClient) -> None:
    labels = client.catalog.labels()
    assert len(labels) == len(client.catalog.labels(limit=None)) > 10
    assert len(client.catalog.labels(limit=3)) == 3
    assert len(client.files.list(limit=1)) == 1


def test_pages_are_put_together(cdf: Emulator, client: CogniteClient) -> None:
    first = {"items": [{"id": 1, "name": "a"}], "nextCursor": "more"}
    cdf.inject(Fault("status", "list", status=200, body=json.dumps(first)))
    cdf.inject(Fault("status", "list", status=200, body='{"items": [{"id": 2, "name": "b"}]}'))
    assert [file.id for file in client.files.list(limit=None)] == [1, 2]
    assert len(cdf.fired()) == 2


def test_the_catalog_has_what_forms_pick_from(client: CogniteClient) -> None:
    catalog = client.catalog
    assert 7 in {one.id for one in catalog.data_sets()}
    assert "raw" in {one.external_id for one in catalog.labels()}
    assert "Pump" in catalog.find_assets("pump")[0].description
    assert [one.id for one in catalog.assets([1001, 1000, 1])] == [1001, 1000]
    assert catalog.security_categories()[0].name
    assert catalog.inspect() is not None


def test_a_file_is_downloaded_as_it_was_sent(client: CogniteClient, tmp_path: Path) -> None:
    number = put(client, "a", b"content")
    target = tmp_path / "a"
    target.write_bytes(b"older, and longer than what comes")
    assert client.files.download(target, id=number) == target
    assert target.read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [target]
    assert client.files.size(id=number) == 7


def test_an_empty_file_is_downloaded_too(client: CogniteClient, tmp_path: Path) -> None:
    number = put(client, "a", b"")
    assert client.files.download(tmp_path / "a", id=number).read_bytes() == b""
    assert client.files.size(id=number) == 0


def test_a_download_goes_on_from_where_the_line_broke(
    cdf: Emulator, client: CogniteClient, tmp_path: Path
) -> None:
    number = put(client, "a", some_bytes())
    cdf.inject(Fault("half_answer", "download", after_bytes=2_000_000, skip=1))
    client.files.download(tmp_path / "a", id=number)
    assert (tmp_path / "a").read_bytes() == some_bytes()
    assert len(cdf.fired()) == 1
    ranges = [row["headers"]["range"] for row in seen(cdf, "download")]
    assert ranges[:2] == ["bytes=0-524287", f"bytes=524288-{PART - 1}"]
    assert 524_288 < int(ranges[2][6:].split("-")[0]) <= 524_288 + 2_000_000
    first, *others = [set(row["headers"]) for row in seen(cdf, "download")]
    assert first == {"host", "range", "accept-encoding"}
    assert all(one == {"host", "range", "accept-encoding", "if-match"} for one in others)


def test_a_download_that_fails_leaves_what_was_there(
    cdf: Emulator, client: CogniteClient, tmp_path: Path
) -> None:
    number = put(client, "a", b"content")
    (tmp_path / "a").write_bytes(b"older")
    cdf.inject(Fault("status", "download", status=404, times=None))
    with pytest.raises(TransferError, match="stopped at byte 0: the store says 404"):
        client.files.download(tmp_path / "a", id=number)
    assert (tmp_path / "a").read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
    assert len(cdf.fired()) == 1


def test_a_download_url_is_a_secret_until_it_is_revealed(client: CogniteClient) -> None:
    url = client.files.download_url(id=put(client, "a", b"x"))
    assert repr(url) == str(url) == f"{url}" == "<secret>"
    assert url.reveal().startswith("http://127.0.0.1")


@pytest.mark.parametrize("call", ["retrieve", "download_url", "size"])
def test_exactly_one_id_is_wanted(cdf: Emulator, client: CogniteClient, call: str) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        getattr(client.files, call)()
    with pytest.raises(ValueError, match="exactly one"):
        getattr(client.files, call)(id=1, external_id="one")
    assert routes(cdf) == []


# --- settings -------------------------------------------------------------------------------

GOOD: dict[str, Any] = {
    "client_name": "tests",
    "project": "demo",
    "credentials": Token("planted"),
    "cluster": "westeurope-1",
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"client_name": ""}, "client_name is empty"),
    "a name with a line break": ({"client_name": "a\r\nx-evil: 1"}, "client_name"),
    "a name that no header takes": ({"client_name": "Bjørn"}, "use ASCII"),
    "no project": ({"project": ""}, "project is empty"),
    "a token as text": ({"credentials": "planted"}, "credentials is a str; give Token"),
    "neither url nor cluster": ({"cluster": None}, "either base_url or cluster"),
    "both": ({"base_url": "https://cdf.example"}, "either base_url or cluster"),
    "http": ({"cluster": None, "base_url": "http://cdf.example"}, "not encrypted"),
    "no scheme": ({"cluster": None, "base_url": "cdf.example"}, "not of the form https://host"),
    "a bad port": ({"cluster": None, "base_url": "https://a:b"}, "not of the form https://host"),
    "a password": ({"cluster": None, "base_url": "https://me:planted@cdf"}, "a user name"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_a_setting_that_cannot_be_is_told_at_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ClientConfig(**{**GOOD, **changes})
    assert words in str(caught.value)
    assert "planted" not in str(caught.value)


def test_a_cluster_is_a_base_url() -> None:
    config = ClientConfig(**GOOD)
    assert config.base_url == "https://westeurope-1.cognitedata.com"
    assert config.project_url == "https://westeurope-1.cognitedata.com/api/v1/projects/demo"
    assert (config.timeout_s, config.transfer_timeout_s) == (60, 600)


def test_a_client_shows_where_it_goes_and_no_secret() -> None:
    client = CogniteClient(ClientConfig(**GOOD))
    assert repr(client) == "<CogniteClient 'demo' at https://westeurope-1.cognitedata.com>"
    assert "planted" not in repr(client.config)


def test_a_base_url_with_a_slash_at_its_end_is_the_same(cdf: Emulator) -> None:
    with CogniteClient(config_of(cdf, base_url=cdf.base_url + "/", retry=quick())) as client:
        assert len(client.files.list()) == 2
