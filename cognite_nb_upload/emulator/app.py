"""The HTTP skin: routes, guards, JSON in and out, bytes to and from the store."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
import logging
import re
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from .control import Control
from .faults import FaultBox
from .intake import take_body
from .journal import Journal
from .mischief import Mischief
from .project import Project
from .rules import MAX_SINGLE_PUT, Json, Refused, need
from .storage import LocalStorage, PartWriter, StoreRefused, checksum_headers
from .tokens import Tokens
from .wire import Gone, Wire

log = logging.getLogger("cognite_nb_upload.emulator")

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
MAX_JSON = 16 * 1024**2
DIRECT = "emulator.direct"  # in a scope: what counts the bytes of a body that may skip the parser
PREFIX = "/api/v1/projects/{project}"

Endpoint = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Json, Mapping[str, str], str], Json]


class App:
    """An ASGI application: a Project over HTTP."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.settings = project.settings
        self.faults = FaultBox()
        self.journal = Journal()
        self.tokens = Tokens(self.settings.token, self.settings.token_life_s)
        self.control = Control(self)
        self.routes = [*self._json_routes(), *self._byte_routes()]

    def _json_routes(self) -> list[Route]:
        p, c = self.project, self.project.catalog
        table: list[tuple[str, str, str, Answer, int]] = [
            ("init", "POST", "/files/initmultipartupload", p.init, 201),
            ("complete", "POST", "/files/completemultipartupload", p.complete, 200),
            ("multiuploadlink", "POST", "/files/multiuploadlink", p.multiuploadlink, 201),
            ("uploadlink", "POST", "/files/uploadlink", p.uploadlink, 201),
            ("create", "POST", "/files", p.create, 201),
            ("byids", "POST", "/files/byids", p.byids, 200),
            ("list", "POST", "/files/list", p.list_files, 200),
            ("search", "POST", "/files/search", p.search, 200),
            ("aggregate", "POST", "/files/aggregate", p.aggregate, 200),
            ("downloadlink", "POST", "/files/downloadlink", p.downloadlink, 200),
            ("delete", "POST", "/files/delete", p.delete, 200),
            ("update", "POST", "/files/update", p.update, 200),
            ("get", "GET", "/files/{id}", p.get_file, 200),
            ("datasets_create", "POST", "/datasets", c.datasets_create, 200),
            ("datasets_list", "POST", "/datasets/list", c.datasets_list, 200),
            ("datasets_byids", "POST", "/datasets/byids", c.datasets_byids, 200),
            ("datasets_aggregate", "POST", "/datasets/aggregate", c.datasets_aggregate, 200),
            ("labels_create", "POST", "/labels", c.labels_create, 201),
            ("labels_list", "POST", "/labels/list", c.labels_list, 200),
            ("labels_byids", "POST", "/labels/byids", c.labels_byids, 200),
            ("labels_delete", "POST", "/labels/delete", c.labels_delete, 200),
            ("assets_create", "POST", "/assets", c.assets_create, 201),
            ("assets_list", "POST", "/assets/list", c.assets_list, 200),
            ("assets_search", "POST", "/assets/search", c.assets_search, 200),
            ("assets_byids", "POST", "/assets/byids", c.assets_byids, 200),
            ("securitycategories", "GET", "/securitycategories", c.securitycategories, 200),
            (
                "securitycategories_create",
                "POST",
                "/securitycategories",
                c.securitycategories_create,
                201,
            ),
        ]
        return [
            Route(PREFIX + path, self._json(answer, status), methods=[method], name=name)
            for name, method, path, answer, status in table
        ]

    def _byte_routes(self) -> list[Route]:
        return [
            Route("/api/v1/token/inspect", self.inspect, methods=["GET"], name="inspect"),
            Route("/oauth/token", self.tokens.endpoint, methods=["POST"], name="token"),
            Route(
                "/store/parts/{upload}/{part:int}",
                self.put_part,
                methods=["PUT", "OPTIONS"],
                name="part",
            ),
            Route("/store/files/{upload}", self.put_file, methods=["PUT", "OPTIONS"], name="put"),
            Route(
                "/store/blobs/{upload}",
                self.download,
                methods=["GET", "HEAD", "OPTIONS"],
                name="download",
            ),
        ]

    # ---- one request --------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._serve(scope, receive, send)
        except (Gone, ClientDisconnect):
            Wire.of(scope).forget()
        except asyncio.CancelledError:  # the server stops
            Wire.of(scope).forget()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/_emulator/"):
            await self.control(scope, receive, send)
            return
        route = self._route(scope)
        part = scope.get("path_params", {}).get("part")
        row = self.journal.open(scope, route.name if route else None, part)
        receive, send = _counting(row, receive), _noting(row, send)

        async def work(receive: Receive, send: Send) -> None:
            response = await self._respond(route, Request(scope, receive))
            await response(scope, receive, send)

        found = self.faults.take(row["route"], part) if route else None
        scope[DIRECT] = None if found else partial(_count, row)
        if found is None:
            await work(receive, send)
            return
        no, fault = found

        def fired(at: int) -> None:
            row["fault"] = fault.kind
            self.faults.record(no, fault, route=row["route"], part=part, request=row["no"], at=at)

        await Mischief(fault, scope, receive, send, fired).act(work)

    def _route(self, scope: Scope) -> Route | None:
        for route in self.routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope.update(child)
                return route
        return None

    async def _respond(self, route: Route | None, request: Request) -> Response:
        try:
            check_host_and_origin(request)
            if route is None:
                raise Refused(f"There is no {request.method} {request.url.path}", status=404)
            response = await route.endpoint(request)
        except Refused as refusal:
            response = JSONResponse(refusal.to_json(), refusal.status)
        except StoreRefused as refusal:
            response = xml_error(refusal)
        except (Gone, ClientDisconnect):
            raise
        except Exception:
            log.exception("The emulator failed")
            message = "The emulator itself failed; its log says why."
            response = JSONResponse(Refused(message, status=500).to_json(), 500)
        assert isinstance(response, Response)  # noqa: S101 - all endpoints return one
        return self._dressed(request, response)

    def _dressed(self, request: Request, response: Response) -> Response:
        headers = MutableHeaders(raw=response.raw_headers)
        headers["x-request-id"] = secrets.token_hex(16)
        headers["date"] = formatdate(self.project.clock(), usegmt=True)
        origin = request.headers.get("origin")
        if self.settings.cors and origin and request.url.path.startswith("/store/"):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = (
                "etag, content-md5, x-goog-hash, content-range"
            )
            headers["vary"] = "origin"
        return response

    # ---- JSON ---------------------------------------------------------------------------------

    def _json(self, answer: Answer, status: int) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            self.authenticate(request)
            if request.path_params["project"] != self.settings.project:
                raise Refused("Unauthorized", status=401)
            body = await read_json(request) if request.method == "POST" else {}
            query = dict(request.query_params) | {
                k: v for k, v in request.path_params.items() if k == "id"
            }
            return JSONResponse(await self._call(answer, body, query, origin_of(request)), status)

        return endpoint

    async def _call(
        self, answer: Answer, body: Json, query: Mapping[str, str], origin: str
    ) -> Json:
        def locked() -> Json:
            with self.project.lock:
                return answer(body, query, origin)

        if isinstance(self.project.storage, LocalStorage):
            return locked()
        return await asyncio.to_thread(locked)  # it asks another server

    def authenticate(self, request: Request) -> None:
        if not self.tokens.valid(request.headers.get("authorization", "")):
            raise Refused("Unauthorized", status=401)

    async def inspect(self, request: Request) -> Response:
        self.authenticate(request)
        scope = self.settings.write_scope
        mine = {"projectScope": {"projects": [self.settings.project]}}
        everything: Json = {"all": {}}
        writable = everything if scope is None else {"datasetScope": {"ids": scope}}
        reads = ("datasetsAcl", "labelsAcl", "assetsAcl")
        capabilities = [
            {"filesAcl": {"actions": ["READ"], "scope": everything}} | mine,
            {"filesAcl": {"actions": ["WRITE"], "scope": writable}} | mine,
            *({acl: {"actions": ["READ"], "scope": everything}} | mine for acl in reads),
            {"securityCategoriesAcl": {"actions": ["MEMBEROF", "LIST"], "scope": everything}}
            | mine,
        ]
        projects = [{"projectUrlName": self.settings.project, "groups": [1]}]
        return JSONResponse(
            {"subject": "emulator", "projects": projects, "capabilities": capabilities}
        )

    # ---- bytes in -----------------------------------------------------------------------------

    async def put_part(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return self._preflight(request)
        upload_id, no = request.path_params["upload"], request.path_params["part"]
        size = self._checked_put(request)
        if self.settings.strict_storage and "content-type" in request.headers:
            raise StoreRefused(
                403,
                "SignatureDoesNotMatch",
                "A Content-Type was sent, which the signature does not cover.",
            )
        upload = self.project.upload_of(upload_id)
        if upload is None or no >= upload["parts"]:
            raise no_such_upload()
        return await self._store(request, upload_id, no, size, self.settings.max_part_size)

    async def put_file(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return self._preflight(request)
        upload_id = request.path_params["upload"]
        size = self._checked_put(request)
        if self.project.upload_of(upload_id, single=True) is None:
            raise no_such_upload()
        response = await self._store(request, upload_id, 0, size, MAX_SINGLE_PUT)
        self.project.single_arrived(upload_id)
        return response

    def _checked_put(self, request: Request) -> int | None:
        """The body's size, if the store would take it at all; None if only its end will tell."""
        self.project.signer.check(
            "PUT", request.url.path, request.query_params, self.settings.store
        )
        strict, length = self.settings.strict_storage, request.headers.get("content-length")
        if strict and "authorization" in request.headers:
            raise StoreRefused(
                400,
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified",
            )
        if strict and length is None:
            raise StoreRefused(
                411, "MissingContentLength", "You must provide the Content-Length HTTP header."
            )
        return None if length is None else int(length)

    async def _store(
        self, request: Request, upload_id: str, no: int, size: int | None, most: int
    ) -> Response:
        if (size or 0) > most:
            raise StoreRefused(400, "EntityTooLarge", f"A body may have at most {most} bytes.")
        local = self.project.local
        writer = local.open_part(upload_id, no, size or 0)
        keep = False
        try:
            await take_body(request, writer, size, request.scope[DIRECT])
            if writer.size > most:
                raise StoreRefused(400, "EntityTooLarge", f"A body may have at most {most} bytes.")
            keep = self._still_wanted(upload_id) and (size is None or writer.size == size)
        except OSError as error:
            raise StoreRefused(
                507, "InsufficientStorage", f"The emulator's disk: {error.strerror}."
            ) from error
        finally:
            local.close_part(writer, size or 0, keep=keep)
        if not keep:
            raise no_such_upload()
        headers = checksum_headers(self.settings.store, writer.digest())
        return Response(status_code=201 if self.settings.store == "azure" else 200, headers=headers)

    def _still_wanted(self, upload_id: str) -> bool:
        return any(self.project.upload_of(upload_id, single=single) for single in (False, True))

    def _preflight(self, request: Request) -> Response:
        if not self.settings.cors or "origin" not in request.headers:
            raise StoreRefused(
                403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket."
            )
        asked = request.headers.get("access-control-request-headers", "")
        headers = {
            "access-control-allow-methods": "PUT, GET, HEAD",
            "access-control-allow-headers": asked,
            "access-control-max-age": "600",
        }
        return Response(status_code=200, headers=headers)

    # ---- bytes out ----------------------------------------------------------------------------

    async def download(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return self._preflight(request)
        self.project.signer.check(
            "GET", request.url.path, request.query_params, self.settings.store
        )
        found = self.project.blob(request.path_params["upload"])
        if found is None:
            raise StoreRefused(404, "NoSuchKey", "The specified key does not exist.")
        meta, content = found
        total = sum(content["sizes"])
        start, end, partial = byte_range(request.headers.get("range"), total)
        headers = {
            "accept-ranges": "bytes",
            "content-length": str(end - start),
            "content-type": meta.get("mimeType", "application/octet-stream"),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(meta['name'], safe='')}",
            "etag": f'"{content["upload"]}-{len(content["sizes"])}"',
        }
        if partial:
            headers["content-range"] = f"bytes {start}-{end - 1}/{total}"
        pieces = self.project.local.slice(content, start, end if request.method == "GET" else start)
        return StreamingResponse(pieces, 206 if partial else 200, headers)


# ---- helpers ----------------------------------------------------------------------------------


def check_host_and_origin(request: Request) -> None:
    """Only loopback names: another name in Host is a rebound DNS, another Origin a web page's request."""
    for header in ("host", "origin"):
        value = request.headers.get(header)
        if value is None and header == "origin":
            continue
        host = urlsplit(value if header == "origin" else f"//{value}").hostname
        if host not in LOOPBACK:
            raise Refused(f"The emulator answers loopback {header}s alone", status=403)


def origin_of(request: Request) -> str:
    """Where the client reached us, as it wrote it: a proxy in between stays in between."""
    return f"{request.url.scheme}://{request.headers['host']}"


async def read_json(request: Request) -> Json:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        need(len(raw) <= MAX_JSON, "The body is too large")
    try:
        if request.headers.get("content-encoding") == "gzip":
            raw = bytearray(unzipped(bytes(raw)))
        body = json.loads(raw)
    except (ValueError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise Refused("The body is not JSON") from error
    need(isinstance(body, dict), "The body must be a JSON object")
    return dict(body)


def unzipped(raw: bytes) -> bytes:
    """gzip undone, up to MAX_JSON bytes."""
    stream = zlib.decompressobj(wbits=31)
    body = stream.decompress(raw, MAX_JSON)
    need(not stream.unconsumed_tail, "The body is too large")
    if not stream.eof:
        raise EOFError
    return body


def byte_range(header: str | None, total: int) -> tuple[int, int, bool]:
    """[start, end) of one `Range: bytes=...`, and whether it is a part."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not asked or asked[0] == "bytes=-":
        return 0, total, False
    first, last = asked[1], asked[2]
    if first:
        start, end = int(first), min(int(last) + 1 if last else total, total)
    else:
        start, end = max(total - int(last), 0), total
    if start >= end:
        raise StoreRefused(
            416, "InvalidRange", "The requested range is not satisfiable", size=str(total)
        )
    return start, end, True


def no_such_upload() -> StoreRefused:
    return StoreRefused(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
    )


def xml_error(refusal: StoreRefused) -> Response:
    details = {"Code": refusal.code, "Message": refusal.message, **refusal.details}
    size = details.pop("size", None)
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in details.items())
    headers = {"content-range": f"bytes */{size}"} if size is not None else {}
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return Response(text, refusal.status, headers, media_type="application/xml")


def _count(row: dict[str, Any], size: int) -> None:
    row["body_bytes"] += size


def _counting(row: dict[str, Any], receive: Receive) -> Receive:
    async def counted() -> Message:
        message = await receive()
        _count(row, len(message.get("body", b"")))
        return message

    return counted


def _noting(row: dict[str, Any], send: Send) -> Send:
    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            row["status"] = message["status"]
        await send(message)

    return noted
