"""The HTTP skin: every request is checked, noted, met by its fault, and answered."""

from __future__ import annotations

import asyncio
import logging
import secrets
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .connection import Gone
from .control import Control
from .families import FAMILIES
from .fault_injector import FaultInjector
from .faults import FaultBox
from .host_check import check_host_and_origin, is_allowed
from .project import Project
from .request_log import RequestLog
from .routes import Call, Route, read_body
from .rules import Json, Refused, need, parsed
from .store.disk import LocalStorage
from .store.endpoints import xml_error
from .store.remote import StoreFailed
from .store.signing import StoreRefused

log = logging.getLogger("cognite_nb_upload.emulator")

MAX_JSON = 16 * 1024**2
Answer = Callable[[Request], Awaitable[Response]]
CORS_METHODS = "GET, HEAD, POST, PUT, DELETE"


class App:
    """An ASGI application: a Project over HTTP."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.settings = project.settings
        self.faults = FaultBox()
        self.requests = RequestLog()
        self._control = Control(project, self.faults, self.requests)
        self._busy: Counter[str] = Counter()  # requests that are being answered, by lane
        self._endpoints: list[tuple[Route, Callable[..., Any]]] = []
        for family in [made(project) for made in FAMILIES]:
            project.capabilities += family.capabilities()
            self._endpoints += [(route, getattr(family, name)) for route, name in family.routes()]

    # ---- one request --------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/_emulator/") and not self._at_store(scope):
            request = Request(scope, receive)
            response = await self._response(request, self._control.answer)
            await response(scope, receive, send)
            return
        route, answer = self._find(scope)
        part = _part(scope["path_params"])
        with self.requests.recorded(scope, route.name if route else None, part) as record:

            async def work(receive: Receive, send: Send) -> None:
                response = await self._response(Request(scope, receive), answer)
                await response(scope, receive, send)

            receive, send = record.counting(receive), record.noting(send)
            planted = self.faults.take(route.name, part) if route else None
            if planted is None:
                await work(receive, send)
                return
            fired = partial(self.faults.record, *planted, record)
            dress = partial(self._dressed, Request(scope))
            is_over = partial(self.faults.is_over, planted[0])
            injector = FaultInjector(planted[1], scope, (receive, send), dress, fired, is_over)
            await injector.act(work)

    def _find(self, scope: Scope) -> tuple[Route | None, Answer]:
        """The route of a request, and what answers it; a last slash of the path does not count."""
        path = "/" + scope["path"].strip("/")
        scope["path_params"] = {}
        for route, endpoint in self._endpoints:
            found = route.pattern.fullmatch(path) if scope["method"] in route.methods else None
            if found and (path.startswith("/store/") or not self._at_store(scope)):
                scope["path_params"] = found.groupdict()
                return route, partial(self._json, route, endpoint) if route.body else endpoint
        return None, _nowhere

    def _at_store(self, scope: Scope) -> bool:
        """Whether the request came to the store's own port, where nothing else is."""
        return bool(scope["server"][1] == self.project.store_port)

    async def _response(self, request: Request, answer: Answer) -> Response:
        try:
            check_host_and_origin(request, self.settings.allowed_hosts)
            asks_leave = request.method == "OPTIONS" and "origin" in request.headers
            response = self._preflight(request) if asks_leave else await answer(request)
        except Refused as refusal:
            response = _refused(refusal)
        except StoreRefused as no:
            response = xml_error(no)
        except StoreFailed as failure:
            status = 400 if 400 <= failure.status < 500 else 502
            response = _refused(Refused(str(failure), status=status))
        except (Gone, ClientDisconnect):
            raise
        except Exception:
            log.exception("The emulator failed")
            text = "The emulator itself failed; its log says why."
            response = _refused(Refused(text, status=500))
        return self._dressed(request, response)

    # ---- the JSON API -------------------------------------------------------------------------

    async def _json(self, route: Route, endpoint: Callable[..., Any], request: Request) -> Response:
        """Refuses what is more at once in a lane than the whole project is allowed."""
        lane = route.lane
        if lane and self._busy[lane] >= getattr(self.settings, f"{lane}_limit"):
            raise Refused(f"Too many concurrent requests: {lane}", status=429)
        self._busy[lane] += 1
        try:
            if lane:
                await asyncio.sleep(self.settings.instances_s)
            return await self._answer(route, endpoint, request)
        finally:
            self._busy[lane] -= 1

    async def _answer(
        self, route: Route, endpoint: Callable[..., Any], request: Request
    ) -> Response:
        path = request.path_params
        known = self.project.tokens.valid(request.headers.get("authorization", ""))
        if not known or path.get("project", self.settings.project) != self.settings.project:
            raise Refused("Unauthorized", status=401)
        body = await read_json(request) if request.method == "POST" else {}
        if route.body:
            route.body("", body)
        store = self._store(request)
        call = Call(body, dict(request.query_params), path, origin_of(request), store)

        def locked() -> Json:
            with self.project.state.change():
                return dict(endpoint(call))

        if isinstance(self.project.storage, LocalStorage):
            return JSONResponse(locked(), route.status)
        # It asks another server.
        return JSONResponse(await asyncio.to_thread(locked), route.status)

    def _store(self, request: Request) -> str:
        """What the store's URLs begin with: nothing, if relative ones are asked for.

        The store has a port of its own for those who reached the API directly. Others came through
        a proxy, which may know but one port: their URLs lead to where they came in.
        """
        if self.settings.relative_urls:
            return ""
        own, url = request.scope["server"][1], request.url
        if self.project.store_port is None or (url.port or 80) != own:
            return origin_of(request)
        return f"{url.replace(port=self.project.store_port, path='', query='')}"

    # ---- headers that all answers have --------------------------------------------------------

    def _preflight(self, request: Request) -> Response:
        if not self._shared(request):
            text = "CORSResponse: CORS is not enabled for this bucket."
            raise StoreRefused(403, "AccessForbidden", text)
        asked = request.headers.get("access-control-request-headers", "")
        given = {"allow-methods": CORS_METHODS, "allow-headers": asked, "max-age": "600"}
        return Response(None, 200, {f"access-control-{name}": text for name, text in given.items()})

    def _shared(self, request: Request) -> bool:
        """Whether web pages of this machine may read the answer."""
        path = request.url.path
        return self.settings.cors if path.startswith("/store/") else path[:11] != "/_emulator/"

    def _dressed(self, request: Request, response: Response) -> Response:
        headers = response.headers
        headers.setdefault("x-request-id", secrets.token_hex(16))
        headers.setdefault("date", formatdate(self.project.clock(), usegmt=True))
        origin = request.headers.get("origin", "")
        if self._shared(request) and is_allowed(origin, self.settings.allowed_hosts):
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "*"
            headers["vary"] = "origin"
        return response


def origin_of(request: Request) -> str:
    """Where the client reached us, as it wrote it: a proxy in between stays in between."""
    return f"{request.url.scheme}://{request.headers['host']}"


async def _nowhere(request: Request) -> Response:
    raise Refused(f"There is no {request.method} {request.url.path}", status=404)


def _refused(refusal: Refused) -> Response:
    return JSONResponse(refusal.to_json(), refusal.status)


def _part(path: Mapping[str, str]) -> int | None:
    part = path.get("part", "")
    return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else None


async def read_json(request: Request) -> Json:
    raw = await read_body(request, Refused("The body is too large"), MAX_JSON)
    if request.headers.get("content-encoding") != "gzip":
        return parsed(raw)
    try:
        return parsed(unzipped(raw))
    except zlib.error as error:
        raise Refused("The body is not JSON") from error


def unzipped(raw: bytes) -> bytes:
    """What was gzip'd, up to MAX_JSON bytes."""
    stream = zlib.decompressobj(wbits=31)
    body = stream.decompress(raw, MAX_JSON)
    need(not stream.unconsumed_tail, "The body is too large")
    need(stream.eof, "The body ends early")
    return body
