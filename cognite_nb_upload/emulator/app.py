"""The HTTP skin: every request is guarded, noted, met by its fault, and answered."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import zlib
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import partial

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from .control import Control
from .faults import FaultBox
from .guard import check_host_and_origin
from .journal import Journal
from .mischief import Mischief
from .objects import Objects, xml_error
from .project import Project
from .rules import Json, Refused, need
from .signing import StoreRefused
from .storage import LocalStorage
from .stores import StoreFailed
from .tokens import Tokens
from .uploads import Uploads
from .wire import Gone, Wire

log = logging.getLogger("cognite_nb_upload.emulator")

MAX_JSON = 16 * 1024**2
PREFIX = "/api/v1/projects/{project}"

Endpoint = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Json, Mapping[str, str], str], Json]


class App:
    """An ASGI application: a Project over HTTP."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.uploads = Uploads(project)
        self.settings = project.settings
        self.faults = FaultBox()
        self.journal = Journal()
        self.tokens = Tokens(self.settings.token, self.settings.token_life_s)
        self.control = Control(self)
        self.routes = [
            *self._json_routes(),
            *Objects(project, self.uploads).routes,
            Route("/api/v1/token/inspect", self.inspect, methods=["GET"], name="inspect"),
            Route("/oauth/token", self.tokens.endpoint, methods=["POST"], name="token"),
        ]

    def _json_routes(self) -> list[Route]:
        u, p, c = self.uploads, self.project, self.project.catalog
        table: list[tuple[str, str, str, Answer, int]] = [
            ("init", "POST", "/files/initmultipartupload", u.init, 201),
            ("complete", "POST", "/files/completemultipartupload", u.complete, 200),
            ("multiuploadlink", "POST", "/files/multiuploadlink", u.multiuploadlink, 201),
            ("uploadlink", "POST", "/files/uploadlink", u.uploadlink, 201),
            ("create", "POST", "/files", u.create, 201),
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
            ("securitycategories", "GET", "/securitycategories", c.categories_list, 200),
            ("securitycategories_create", "POST", "/securitycategories", c.categories_create, 201),
        ]
        return [
            Route(PREFIX + path, self._json(answer, status), methods=[method], name=name)
            for name, method, path, answer, status in table
        ]

    # ---- one request --------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"].startswith("/_emulator/"):
                await self.control(scope, receive, send)
            else:
                await self._serve(scope, receive, send)
        except (Gone, ClientDisconnect, asyncio.CancelledError):  # cancelled: the server stops
            Wire.of(scope).forget()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route(scope)
        part = scope.get("path_params", {}).get("part")
        row = self.journal.open(scope, route.name if route else None, part)

        async def work(receive: Receive, send: Send) -> None:
            response = await self._respond(route, Request(scope, receive))
            await response(scope, receive, send)

        found = self.faults.take(route.name, part) if route else None
        if found is None:
            row.direct = True
            await work(row.counting(receive), row.noting(send))
            return
        fired = partial(self.faults.record, *found, row)
        dress = partial(self._dressed, Request(scope))
        channel = row.counting(receive), row.noting(send)
        mischief = Mischief(found[1], scope, channel, dress, fired)
        await mischief.act(work)

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
            response: Response = await route.endpoint(request)
        except Refused as refusal:
            response = JSONResponse(refusal.to_json(), refusal.status)
        except StoreRefused as no:
            response = xml_error(no)
        except StoreFailed as failure:
            status = 400 if 400 <= failure.status < 500 else 502
            response = JSONResponse(Refused(str(failure), status=status).to_json(), status)
        except (Gone, ClientDisconnect):
            raise
        except Exception:
            log.exception("The emulator failed")
            text = "The emulator itself failed; its log says why."
            response = JSONResponse(Refused(text, status=500).to_json(), 500)
        return self._dressed(request, response)

    def _dressed(self, request: Request, response: Response) -> Response:
        headers = MutableHeaders(raw=response.raw_headers)
        headers.setdefault("x-request-id", secrets.token_hex(16))
        headers.setdefault("date", formatdate(self.project.clock(), usegmt=True))
        origin = request.headers.get("origin")
        if self.settings.cors and origin and request.url.path.startswith("/store/"):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "*"
            headers["vary"] = "origin"
        return response

    # ---- JSON ---------------------------------------------------------------------------------

    def _json(self, answer: Answer, status: int) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            self._authenticate(request)
            if request.path_params["project"] != self.settings.project:
                raise Refused("Unauthorized", status=401)
            body = await read_json(request) if request.method == "POST" else {}
            query = {**request.query_params, **request.path_params}
            found = await self._call(answer, body, query, origin_of(request))
            return JSONResponse(found, status)

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

    def _authenticate(self, request: Request) -> None:
        if not self.tokens.valid(request.headers.get("authorization", "")):
            raise Refused("Unauthorized", status=401)

    async def inspect(self, request: Request) -> Response:
        self._authenticate(request)
        scope = self.settings.write_scope
        everything: Json = {"all": {}}
        writable = everything if scope is None else {"datasetScope": {"ids": scope}}
        table: list[tuple[str, list[str], Json]] = [
            ("filesAcl", ["READ"], everything),
            ("filesAcl", ["WRITE"], writable),
            *((acl, ["READ"], everything) for acl in ("datasetsAcl", "labelsAcl", "assetsAcl")),
            ("securityCategoriesAcl", ["MEMBEROF", "LIST"], everything),
        ]
        mine = {"projectScope": {"projects": [self.settings.project]}}
        capabilities = [{acl: {"actions": can, "scope": where}} | mine for acl, can, where in table]
        projects = [{"projectUrlName": self.settings.project, "groups": [1]}]
        found = {"subject": "emulator", "projects": projects, "capabilities": capabilities}
        return JSONResponse(found)


def origin_of(request: Request) -> str:
    """Where the client reached us, as it wrote it: a proxy in between stays in between."""
    return f"{request.url.scheme}://{request.headers['host']}"


async def read_json(request: Request) -> Json:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        need(len(raw) <= MAX_JSON, "The body is too large")
    try:
        zipped = request.headers.get("content-encoding") == "gzip"
        body = json.loads(unzipped(bytes(raw)) if zipped else raw)
    except (ValueError, zlib.error) as error:
        raise Refused("The body is not JSON") from error
    need(isinstance(body, dict), "The body must be a JSON object")
    return dict(body)


def unzipped(raw: bytes) -> bytes:
    """What was gzip'd, up to MAX_JSON bytes."""
    stream = zlib.decompressobj(wbits=31)
    body = stream.decompress(raw, MAX_JSON)
    need(not stream.unconsumed_tail, "The body is too large")
    need(stream.eof, "The body ends early")
    return body
