from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from openapi import openapi

from cognite_nb_upload.emulator import Emulator, emulator


class Spec:
    """The public API description; a reply is checked against it where it speaks of it."""

    def __init__(self, path: Path) -> None:
        # Its oneOf's have alternatives without required fields, so that all fit or none does.
        text = path.read_text().replace('"oneOf"', '"anyOf"')
        self._spec = json.loads(text)
        # "A list of one or more linear rings", says its description; its minItems says two.
        self._spec["components"]["schemas"]["PolygonCoordinates"]["minItems"] = 1
        self.checked = 0

    def check(self, method: str, path: str, response: httpx.Response) -> None:
        schema = self._schema(method.lower(), path, response.status_code)
        if schema is not None:
            whole = schema | {"components": self._spec["components"]}
            jsonschema.Draft202012Validator(whole).validate(response.json())
            self.checked += 1

    def _schema(self, method: str, path: str, status: int) -> dict[str, Any] | None:
        if status >= 400:
            return self._content(self._spec["components"]["responses"]["ErrorResponse"])
        if path == "/files/initmultipartupload":  # flat, whatever its schema says: files-api.md
            return {"$ref": "#/components/schemas/MultiPartUploadFileMetadata"}
        if path == "/files/uploadlink":  # items, whatever its schema says: files-api.md
            flat = {"$ref": "#/components/schemas/UploadFileMetadata"}
            return {"properties": {"items": {"items": flat}}, "required": ["items"]}
        if path.startswith("/files/") and path.removeprefix("/files/").isdigit():
            path = "/files/{id}"
        found = self._spec["paths"].get(path, {}).get(method, {}).get("responses", {})
        if not found:
            return None
        assert str(status) in found, f"{method} {path} answers {list(found)}, not {status}"
        return self._content(found[str(status)])

    def _content(self, response: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in response:
            response = self._spec["components"]["responses"][response["$ref"].rpartition("/")[2]]
        schema: dict[str, Any] = response["content"]["application/json"]["schema"]
        return schema


class Api:
    """A plain HTTP client of one emulator; no code of ours between the test and the wire."""

    def __init__(self, cdf: Emulator, spec: Spec | None) -> None:
        self.cdf = cdf
        self.spec = spec
        # Plain HTTP: no certificates are loaded, which saves 50 ms a client.
        self.http = httpx.Client(trust_env=False, verify=False, timeout=60)
        self.store = httpx.Client(trust_env=False, verify=False, timeout=60)

    def close(self) -> None:
        self.http.close()
        self.store.close()

    def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **query: Any
    ) -> httpx.Response:
        inspect = path == "/token/inspect"
        prefix = "/api/v1" if inspect else f"/api/v1/projects/{self.cdf.project}"
        headers = {"authorization": f"Bearer {token or self.cdf.token}"}
        response = self.http.request(
            method, self.cdf.base_url + prefix + path, json=body, params=query, headers=headers
        )
        assert response.headers["x-request-id"]
        if self.spec:
            self.spec.check(method, path, response)
        return response

    def post(self, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return self.request("POST", path, {} if body is None else body, **query)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, **query)

    def ok(self, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of a POST that must succeed."""
        response = self.post(path, body, **query)
        assert response.status_code in (200, 201), response.text
        return response.json()

    def no(self, status: int, path: str, body: Any = None, **query: Any) -> Any:
        """The error object of a POST that must be refused with `status`."""
        response = self.post(path, body, **query)
        assert response.status_code == status, response.text
        error = response.json()["error"]
        assert error["code"] == status
        return error

    def init(self, parts: int = 1, *, overwrite: bool = False, **fields: Any) -> Any:
        query = {"parts": parts, "overwrite": str(overwrite).lower()}
        return self.ok("/files/initmultipartupload", {"name": "a.bin"} | fields, **query)

    def put(self, url: str, content: Any, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.store.put(url, content=content, headers=named)

    def complete(self, session: Any) -> httpx.Response:
        body = {"id": session["id"], "uploadId": session["uploadId"]}
        return self.post("/files/completemultipartupload", body)

    def send(self, session: Any, *parts: bytes) -> None:
        for url, part in zip(session["uploadUrls"], parts, strict=True):
            response = self.put(url, part)
            assert response.status_code == 200, response.text
        assert self.complete(session).json() == {}

    def upload(self, *parts: bytes, **fields: Any) -> int:
        session = self.init(len(parts), **fields)
        self.send(session, *parts)
        return int(session["id"])

    def meta(self, file_id: int) -> Any:
        return self.ok("/files/byids", {"items": [{"id": file_id}]})["items"][0]

    def link(self, file_id: int, **query: Any) -> str:
        items = self.ok("/files/downloadlink", {"items": [{"id": file_id}]}, **query)["items"]
        return str(items[0]["downloadUrl"])

    def download(self, file_id: int, **headers: str) -> httpx.Response:
        return self.store.get(self.link(file_id), headers=headers)


def eventually(true: Callable[[], bool], within_s: float = 60) -> None:
    """Returns when `true()` is; for what a server does after its client has left."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture(name="eventually", scope="session")
def _eventually() -> Callable[..., None]:
    return eventually


@pytest.fixture(scope="session")
def spec() -> Spec | None:
    found = openapi()
    return Spec(found) if found else None


@pytest.fixture
def start(spec: Spec | None) -> Iterator[Callable[..., Api]]:
    """Starts an emulator with the given switches; it and its client are closed at the end."""
    with ExitStack() as undo:

        def started(**switches: Any) -> Api:
            defaults = {"faults": True, "min_part_size": 1, "strict_storage": True}
            switches = defaults | switches
            cdf = undo.enter_context(emulator(**switches))
            api = Api(cdf, spec)
            undo.callback(api.close)
            return api

        yield started


@pytest.fixture
def api(start: Callable[..., Api]) -> Api:
    """An emulator with faults allowed, parts of any size, and a strict store."""
    return start()
