"""The HTTP skin: every request is checked, noted, met by its fault, and answered."""

from __future__ import annotations

import asyncio
import logging
import secrets
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from functools import partial
from typing import Any

from starlette.datastructures import MutableHeaders
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
from .routes import Call, Route, Router
from .rules import Json, Refused, need, parsed
from .store.disk import LocalStorage
from .store.endpoints import xml_error
from .store.remote import StoreFailed
from .store.signing import StoreRefused

log = logging.getLogger("cognite_nb_upload.emulator")

MAX_JSON = 16 * 1024**2
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
        self._router = Router()
        for family in [made(project) for made in FAMILIES]:
            project.capabilities += family.capabilities()
            for route, name in family.routes():
                self._router.add(route, getattr(family, name))

    # ---- one request --------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/_emulator/") and not self._at_store(scope):
            await self._control(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._router.find(scope["method"], scope["path"])
        if self._at_store(scope) and not scope["path"].startswith("/store/"):
            found = None
        route, endpoint, scope["path_params"] = found or (None, None, {})
        part = _part(scope["path_params"])
        record = self.requests.open(scope, route.name if route else None, part)

        async def work(receive: Receive, send: Send) -> None:
            response = await self._respond(route, endpoint, Request(scope, receive))
            await response(scope, receive, send)

        receive, send = record.counting(receive), record.noting(send)
        planted = self.faults.take(route.name, part) if route else None
        if planted is None:
            await work(receive, send)
            return
        fired = partial(self.faults.record, *planted, record)
        dress = partial(self._dressed, Request(scope))
        await FaultInjector(planted[1], scope, (receive, send), dress, fired).act(work)

    def _at_store(self, scope: Scope) -> bool:
        """Whether the request came to the store's own port, where nothing else is."""
        return bool(scope["server"][1] == self.project.store_port)

    async def _respond(
        self, route: Route | None, endpoint: Callable[..., Any] | None, request: Request
    ) -> Response:
        try:
            check_host_and_origin(request, self.settings.allowed_hosts)
            if request.method == "OPTIONS" and "origin" in request.headers:
                response = self._preflight(request)
            elif route is None or endpoint is None:
                raise Refused(f"There is no {request.method} {request.url.path}", status=404)
            elif route.body is None:
                response = await endpoint(request)
            else:
                with self._in_lane(route.lane):
                    if route.lane:
                        await asyncio.sleep(self.settings.instances_s)
                    response = await self._answer(route, endpoint, request)
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

    @contextmanager
    def _in_lane(self, lane: str) -> Iterator[None]:
        """Refuses what is more at once than the whole project is allowed."""
        if lane and self._busy[lane] >= getattr(self.settings, f"{lane}_limit"):
            raise Refused(f"Too many concurrent requests: {lane}", status=429)
        self._busy[lane] += 1
        try:
            yield
        finally:
            self._busy[lane] -= 1

    # ---- the JSON API -------------------------------------------------------------------------

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
        call = Call(
            body, dict(request.query_params), path, origin_of(request), self._store(request)
        )

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
        return f"{url.scheme}://{_bracketed(url.hostname or '')}:{self.project.store_port}"

    # ---- headers that all answers have --------------------------------------------------------

    def _preflight(self, request: Request) -> Response:
        if not self._shared(request):
            text = "CORSResponse: CORS is not enabled for this bucket."
            raise StoreRefused(403, "AccessForbidden", text)
        asked = request.headers.get("access-control-request-headers", "")
        headers = {
            "access-control-allow-methods": CORS_METHODS,
            "access-control-allow-headers": asked,
            "access-control-max-age": "600",
        }
        return Response(None, 200, headers)

    def _shared(self, request: Request) -> bool:
        """Whether web pages of this machine may read the answer."""
        return self.settings.cors or not request.url.path.startswith("/store/")

    def _dressed(self, request: Request, response: Response) -> Response:
        headers = MutableHeaders(raw=response.raw_headers)
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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _part(path: Mapping[str, str]) -> int | None:
    part = path.get("part", "")
    return int(part) if part.isascii() and part.isdigit() and len(part) < 10 else None


async def read_json(request: Request) -> Json:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        need(len(raw) <= MAX_JSON, "The body is too large")
    if request.headers.get("content-encoding") != "gzip":
        return parsed(bytes(raw))
    try:
        return parsed(unzipped(bytes(raw)))
    except zlib.error as error:
        raise Refused("The body is not JSON") from error


def unzipped(raw: bytes) -> bytes:
    """What was gzip'd, up to MAX_JSON bytes."""
    stream = zlib.decompressobj(wbits=31)
    body = stream.decompress(raw, MAX_JSON)
    need(not stream.unconsumed_tail, "The body is too large")
    need(stream.eof, "The body ends early")
    return body
