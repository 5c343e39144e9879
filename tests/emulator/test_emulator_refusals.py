"""What CDF refuses: limits, unknown references, missing rights, wrong requests."""

from __future__ import annotations

import gzip
import json

import pytest

POINT = {"type": "Point", "coordinates": [10.5, 59.9]}
RING = [[0, 0], [1, 0], [1, 1], [0, 0]]


def feature(geometry, **more):
    return {"type": "Feature", "geometry": geometry} | more


GOOD = {
    "name": "x" * 256,
    "externalId": "x" * 255,
    "directory": "/" + "x" * 511,
    "source": "x" * 128,
    "mimeType": "x" * 256,
    "metadata": {"k" * 128: "v" * (10240 - 128)},
    "assetIds": [1000, 1001],
    "dataSetId": 7,
    "sourceCreatedTime": 0,
    "sourceModifiedTime": 1_700_000_000_000,
    "securityCategories": [1, 2],
    "labels": [{"externalId": "seismic"}, {"externalId": "raw"}],
    "geoLocation": feature({"type": "Polygon", "coordinates": [RING]}, properties={"a": 1}),
}
BAD = [
    ("name", "x" * 257),
    ("name", 7),
    ("externalId", "x" * 256),
    ("directory", "relative/path"),
    ("directory", "/" + "x" * 512),
    ("source", "x" * 129),
    ("mimeType", "x" * 257),
    ("metadata", {"ø" * 65: "v"}),
    ("metadata", {"k": "v" * 10240}),
    ("metadata", {"k": 1}),
    ("metadata", {f"k{n}": "" for n in range(257)}),
    ("assetIds", []),
    ("assetIds", [1000] * 1001),
    ("assetIds", ["1000"]),
    ("dataSetId", 0),
    ("dataSetId", 2**53),
    ("dataSetId", True),
    ("sourceCreatedTime", -1),
    ("sourceModifiedTime", 1.5),
    ("securityCategories", list(range(1, 102))),
    ("labels", [{"externalId": "seismic"}] * 2),
    ("labels", [{"externalId": f"l{n}"} for n in range(11)]),
    ("labels", ["seismic"]),
    ("geoLocation", POINT),
    ("geoLocation", feature({"type": "Point", "coordinates": [1, 2, 3]})),
    ("geoLocation", feature({"type": "LineString", "coordinates": [[1, 2]]})),
    ("geoLocation", feature({"type": "Polygon", "coordinates": [RING[:3]]})),
    ("geoLocation", feature({"type": "Polygon", "coordinates": [[*RING[:3], [5, 5]]]})),
    ("geoLocation", feature({"type": "GeometryCollection", "geometries": [POINT]})),
    ("directory", None),
    ("uploaded", True),
    ("colour", "red"),
]


def test_every_field_at_its_limit_is_taken_and_shown(api):
    session = api.init(**GOOD)
    assert {name: session[name] for name in GOOD} == GOOD


@pytest.mark.parametrize(
    "geometry",
    [
        POINT,
        {"type": "MultiPoint", "coordinates": [[1, 2]]},
        {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
        {"type": "MultiLineString", "coordinates": [[[1, 2], [3, 4]]]},
        {"type": "MultiPolygon", "coordinates": [[RING]]},
    ],
    ids=lambda geometry: geometry["type"],
)
def test_every_kind_of_geometry_is_taken(api, geometry):
    api.init(geoLocation=feature(geometry))


def test_a_field_past_its_limit_is_refused_by_name(api):
    for name, value in BAD:
        body = {"name": "a"} | {name: value}
        error = api.no(400, "/files/initmultipartupload", body, parts=1)
        assert name in error["message"], (name, value, error)
    assert len(api.cdf.files()) == 2  # those of the data model


def test_a_file_needs_a_name_and_between_1_and_250_parts(api):
    path = "/files/initmultipartupload"
    api.no(400, path, {}, parts=1)
    for parts in (0, 251, -1, "many"):
        api.no(400, path, {"name": "a"}, parts=parts)
    api.no(400, path, {"name": "a"})
    api.no(400, path, {"name": "a"}, parts=1, overwrite="TRUE")
    assert len(api.init(250)["uploadUrls"]) == 250


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"labels": [{"externalId": "raw"}, {"externalId": "no"}]}, [{"externalId": "no"}]),
        ({"dataSetId": 12345}, [{"id": 12345}]),
        ({"assetIds": [1000, 12345]}, [{"id": 12345}]),
        ({"securityCategories": [77]}, [{"id": 77}]),
    ],
)
def test_references_to_what_is_not_there_are_refused_and_named(api, fields, missing):
    body = {"name": "a"} | fields
    assert api.no(400, "/files/initmultipartupload", body, parts=1)["missing"] == missing


def test_without_a_good_token_nothing_is_answered(api):
    for token in ("wrong", "Bearer", api.cdf.token + "x"):
        response = api.request("POST", "/files/list", {}, token=token)
        assert response.status_code == 401
    assert api.http.post(api.cdf.base_url + "/api/v1/projects/demo/files/list").status_code == 401
    assert api.http.get(api.cdf.base_url + "/_emulator/requests").status_code == 401


def test_another_project_is_not_ours(api):
    url = api.cdf.base_url + "/api/v1/projects/other/files/list"
    headers = {"authorization": f"Bearer {api.cdf.token}"}
    assert api.http.post(url, json={}, headers=headers).status_code == 401


def test_a_scoped_token_writes_into_its_data_sets_alone(start):
    api = start(write_scope=[7, 99])
    api.init(dataSetId=7)
    for fields in ({}, {"dataSetId": 11}, {"dataSetId": 99}):
        body = {"name": "a"} | fields
        error = api.no(403, "/files/initmultipartupload", body, parts=1)
        assert "insufficient access rights" in error["message"]
    acls = [each["filesAcl"] for each in capabilities(api) if "filesAcl" in each]
    assert {"actions": ["WRITE"], "scope": {"datasetScope": {"ids": [7, 99]}}} in acls


def capabilities(api):
    return api.get("/token/inspect").json()["capabilities"]


def test_the_token_of_a_run_may_write_everywhere_but_into_protected_data_sets(api):
    found = api.get("/token/inspect").json()
    assert found["projects"] == [{"projectUrlName": "demo", "groups": [1]}]
    acls = [each["filesAcl"] for each in found["capabilities"] if "filesAcl" in each]
    assert {"actions": ["WRITE"], "scope": {"all": {}}} in acls
    body = {"name": "a", "dataSetId": 99}
    assert "protected" in api.no(403, "/files/initmultipartupload", body, parts=1)["message"]


def test_bodies_may_be_gzipped(api):
    assert raw(api, gzip.compress(b'{"name": "zipped"}'), "gzip").json()["name"] == "zipped"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"", ""),
        (b"{", ""),
        (b"[]", ""),
        (b"not gzip", "gzip"),
        (gzip.compress(b'{"name": "cut"}', mtime=0)[:-9], "gzip"),
        (gzip.compress(b'{"name": "' + b"x" * 2**25 + b'"}', mtime=0), "gzip"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(api, body, encoding):
    assert raw(api, body, encoding).status_code == 400


def raw(api, body, encoding):
    url = f"{api.cdf.base_url}/api/v1/projects/demo/files/initmultipartupload?parts=1"
    headers = {"authorization": f"Bearer {api.cdf.token}", "content-type": "application/json"}
    headers |= {"content-encoding": encoding} if encoding else {}
    return api.http.post(url, content=body, headers=headers)


DEEP = b"[" * 5000 + b"]" * 5000
NAMED = b'{"name": "a", "geoLocation": {"type": "Feature", "geometry": %s}}'
NOT_TO_BE_STORED = [
    ("files/initmultipartupload", b'{"name": "\\ud800"}'),
    ("files/initmultipartupload", '{"name": "\ud800"}'.encode("utf-8", "surrogatepass")),
    ("files/initmultipartupload", b'{"name": "a", "metadata": {"\\udfff": "v"}}'),
    ("files/initmultipartupload", b'{"name": "a", "sourceCreatedTime": ' + b"9" * 5000 + b"}"),
    ("files/initmultipartupload", b'{"name": "a", "metadata": ' + DEEP + b"}"),
    ("files/initmultipartupload", NAMED % b'{"type": {}, "coordinates": [1, 2]}'),
    ("files/initmultipartupload", NAMED % b'{"type": "Point", "coordinates": [NaN, 2]}'),
    ("files/initmultipartupload", NAMED % b'{"type": "Point", "coordinates": [1e400, 2]}'),
    ("files/initmultipartupload", NAMED % b'{"type": "Point", "coordinates": [1, -Infinity]}'),
    ("files/initmultipartupload", NAMED % (b'{"type": "Polygon", "coordinates": ' + DEEP + b"}")),
    ("files/list", b'{"partition": []}'),
    ("files/list", b'{"partition": "1/0"}'),
    ("files/list", b'{"filter": {"metadata": []}}'),
    ("files/list", b'{"filter": {"labels": {"containsAny": "raw"}}}'),
    ("files/list", b'{"filter": {"directoryPrefix": 7}}'),
    ("files/list", b'{"cursor": "w6TDpA=="}'),
    ("files/search", b'{"search": {"name": []}}'),
    ("files/update", b'{"items": [{"id": 8000000000001, "update": {"metadata": {"add": "ab"}}}]}'),
    ("files/update", b'{"items": [{"id": 8000000000001, "update": {"labels": {"add": {}}}}]}'),
    ("files/byids", b'{"items": [{"instanceId": {"space": [], "externalId": {}}}]}'),
    ("labels/byids", b'{"items": [{"externalId": []}]}'),
    ("datasets", b'{"items": [{"metadata": {"a": {}}}]}'),
    ("assets", b'{"items": [{"name": "a", "parentId": "1000"}]}'),
    ("assets", b'{"items": [{"name": "a", "externalId": "a", "parentExternalId": "a"}]}'),
]


@pytest.mark.parametrize(("path", "body"), NOT_TO_BE_STORED)
def test_what_could_not_be_shown_again_is_refused(api, path, body):
    url = f"{api.cdf.base_url}/api/v1/projects/demo/{path}?parts=1"
    response = api.http.post(
        url, content=body, headers={"authorization": f"Bearer {api.cdf.token}"}
    )
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]
    for each in ("files", "labels", "datasets", "assets"):
        assert api.ok(f"/{each}/list", {"limit": 1000})["items"]


def test_a_number_of_the_query_is_written_in_plain_digits(api):
    for parts in ("²", "٣", "9" * 5000, "1e2", "+1"):
        api.no(400, "/files/initmultipartupload", {"name": "a"}, parts=parts)
    assert api.get(f"/files/{'9' * 5000}").status_code == 400


def test_only_this_machine_is_answered(api):
    url = api.cdf.base_url + "/api/v1/token/inspect"
    token = {"authorization": f"Bearer {api.cdf.token}"}
    port = api.cdf.port
    cases = [
        ({"host": f"localhost:{port}"}, 200),
        ({"origin": "http://127.0.0.1:8888"}, 200),
        ({"origin": "http://localhost:8888"}, 200),
        ({"host": f"attacker.example:{port}"}, 403),
        ({"origin": "https://attacker.example"}, 403),
        ({"origin": "http://127.0.0.1.attacker.example"}, 403),
        ({"origin": "null"}, 403),
    ]
    for headers, status in cases:
        assert api.http.get(url, headers=token | headers).status_code == status, headers
    control = {"x-emulator-token": api.cdf.token, "origin": "https://attacker.example"}
    assert api.http.get(f"{api.cdf.base_url}/_emulator/files", headers=control).status_code == 403


def test_what_is_not_there_is_404(api):
    assert api.post("/files/nonsense").status_code == 404
    assert api.request("DELETE", "/files/list").status_code == 404


def test_oauth_tokens_are_given_for_the_run_s_token_and_die(start):
    api = start(token_life_s=0)
    url = api.cdf.base_url + "/oauth/token"
    form = {"grant_type": "client_credentials", "client_id": "emulator"}
    assert api.http.post(url, data=form | {"client_secret": "wrong"}).status_code == 401
    given = api.http.post(url, data=form | {"client_secret": api.cdf.token}).json()
    assert given["expires_in"] == 0
    assert api.request("POST", "/files/list", {}, token=given["access_token"]).status_code == 401

    api = start(token_life_s=60)
    form |= {"client_secret": api.cdf.token}
    given = api.http.post(api.cdf.base_url + "/oauth/token", data=form).json()
    assert given["token_type"] == "Bearer"
    assert api.request("POST", "/files/list", {}, token=given["access_token"]).status_code == 200


def test_faults_exist_only_where_they_were_allowed(start):
    api = start(faults=False)
    body = json.dumps({"kind": "status", "route": "init"})
    headers = {"x-emulator-token": api.cdf.token}
    url = api.cdf.base_url + "/_emulator/faults"
    assert api.http.post(url, content=body, headers=headers).status_code == 404
