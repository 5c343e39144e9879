"""Whatever is sent, it is answered in words: never a 500, and never a list that cannot be read."""

from __future__ import annotations

import copy
import json
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests_corpus import CORPUS, FILE, PARAMETERS

from cognite_nb_upload.emulator import emulator
from cognite_nb_upload.emulator.families import FAMILIES

ROUTES = sorted(
    (route.name, method, route.path)
    for family in FAMILIES
    for route, _ in family.routes()
    for method in route.methods
)
LISTS = ("files", "assets", "labels", "datasets")


class Raw(str):
    """Text that stands in a body as it is."""


def nested(depth: int) -> Raw:
    return Raw("[" * depth + "]" * depth)


#: What a value may be replaced by; each of these has once ended a server, or a list.
NASTY = [
    None, True, False, {}, [], "", "a", 0, -1, 1.5, 2**63, 10**400, [None], [{}], {"a": {}}, "ab",
    "\ud800", "a\x00b", "x" * 300, "²", ["\udfff"], {"\ud800": "v"}, {"type": {}}, [[]], [[[1]]],
    {"set": None}, {"add": "ab"}, {"id": 1, "externalId": "a"}, ["a", "a"], [1, 1], [True],
    float("nan"), float("inf"), Raw("1e400"), Raw("-1e400"), Raw("9" * 5000), nested(70),
    nested(5000), Raw('{"a": ' * 80 + "1" + "}" * 80), [[1e308, -1e308]] * 5, [[10**300, 1]] * 5,
]  # fmt: skip
TEXTS = [
    "",
    "0",
    "-1",
    "²",
    "9" * 5000,
    "1/0",
    "٣",
    "true",
    "TRUE",
    "[1",
    "{}",
    "[{}]",
    "\x00",
    "é",
]


def paths(value, here=()):
    """The way to every node of a JSON value."""
    yield here
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            yield from paths(each, (*here, key))


def mutated(body, draw):
    """The body with one node replaced, removed, doubled, or with one more beside it."""
    whole, *parts = paths(body)
    where = draw(st.sampled_from(parts * 2 + [whole]))
    if where == whole:
        return draw(st.sampled_from(NASTY))
    body = copy.deepcopy(body)
    place = body
    for key in where[:-1]:
        place = place[key]
    match draw(st.sampled_from(["replace", "replace", "replace", "remove", "double", "add"])):
        case "replace":
            place[where[-1]] = draw(st.sampled_from(NASTY))
        case "remove":
            del place[where[-1]]
        case "double" if isinstance(place, list):
            place.append(place[where[-1]])
        case _ if isinstance(place, dict):
            place[draw(st.sampled_from(["x", "id", "externalId", "\ud800", ""]))] = draw(
                st.sampled_from(NASTY)
            )
    return body


def encoded(value) -> bytes:
    """JSON as Python writes it, NaN and lone surrogates, too; a Raw is written as it is."""
    if isinstance(value, Raw):
        return value.encode()
    if isinstance(value, dict):
        pairs = (encoded(str(key)) + b":" + encoded(each) for key, each in value.items())
        return b"{" + b",".join(pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(encoded, value)) + b"]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return json.dumps(value).encode()


@st.composite
def requests(draw):
    """Method, path, query and body, with one to three things wrong."""
    name, method, path = draw(st.sampled_from(ROUTES))
    body, query = copy.deepcopy(CORPUS.get(name, ({"items": [{}]}, {})))
    parameters = dict(PARAMETERS)
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["body", "body", "body", "query", "path"])):
            case "body" if body is not None and not isinstance(body, Raw):
                body = mutated(body, draw)
            case "query":
                key = draw(st.sampled_from([*query, "limit", "parts", "x"]))
                query[key] = draw(st.sampled_from(TEXTS))
            case "path" if path.endswith("}"):
                last = path.rpartition("{")[2][:-1]
                parameters[last] = draw(st.sampled_from(TEXTS))
    path = path.format_map({name: quote(value, safe="") for name, value in parameters.items()})
    escaped = draw(st.booleans())  # `\ud800` as six characters, or as bytes that are no UTF-8
    return method, path, query, ascii_only(body) if escaped else encoded(body)


def ascii_only(body) -> bytes:
    text = encoded(body).decode("utf-8", "surrogatepass")
    return "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in text).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with (
        emulator(root=tmp_path_factory.mktemp("mutants")) as cdf,
        httpx.Client(trust_env=False, verify=False, timeout=60) as http,
    ):
        token = {"authorization": f"Bearer {cdf.token}", "content-type": "application/json"}
        http.headers.update(token)
        yield cdf, http


def everything_can_be_listed(cdf, http):
    for name in LISTS:
        url = f"{cdf.base_url}/api/v1/projects/demo/{name}/list"
        answer = http.post(url, json={"limit": 1000})
        assert answer.status_code == 200, answer.text
        json.dumps(answer.json(), ensure_ascii=False, allow_nan=False).encode()


@given(requests())
@settings(
    max_examples=2000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_is_answered_with_a_500(server, request):
    cdf, http = server
    method, path, query, body = request
    url = f"{cdf.base_url}{path}?{urlencode(query)}"
    answer = http.request(method, url, content=body)
    assert answer.status_code < 500, (answer.status_code, answer.text)


def test_after_all_of_them_everything_can_be_listed(server):
    cdf, http = server
    url = f"{cdf.base_url}/api/v1/projects/demo/files/initmultipartupload?parts=1&overwrite=true"
    assert http.post(url, json=FILE).status_code == 201
    everything_can_be_listed(cdf, http)
