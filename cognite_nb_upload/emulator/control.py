"""Routes under /_emulator, guarded by the run's token: an emulator seen from behind."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from .content import Content
from .faults import Fault, FaultBox
from .project import Project
from .request_log import RequestLog
from .rules import MAX_ID, Json, Refused, number, parsed

TOKEN_HEADER = "x-emulator-token"  # noqa: S105 - a name, not a token


class Control:
    """The emulator seen from behind. Its requests are in no journal, and meet no fault."""

    def __init__(self, project: Project, faults: FaultBox, requests: RequestLog) -> None:
        self._project, self._faults, self._requests = project, faults, requests
        self._settings, self._content = project.settings, Content(project)

    async def answer(self, request: Request) -> Response:
        given = request.headers.get(TOKEN_HEADER, "").encode()
        if not hmac.compare_digest(given, self._settings.token.encode()):
            raise Refused("Unauthorized", status=401)
        what, _, rest = request.url.path.removeprefix("/_emulator/").partition("/")
        if what == "faults":
            return await self._plant(request)
        if what in ("content", "sha256"):
            return await self._bytes(what, number({"id": rest}, "id", 1, MAX_ID))
        found: dict[str, Callable[[], Any]] = {
            "requests": lambda: [record.to_json() for record in self._requests.records],
            "fired": lambda: self._faults.fired,
            "files": self._files,
            "store": lambda: self._project.store_port,
        }
        if what not in found:
            raise Refused("No such control route", status=404)
        return JSONResponse(found[what]())

    async def _plant(self, request: Request) -> Response:
        if not self._settings.faults:
            raise Refused("This emulator was not started with faults allowed", status=404)
        if request.method == "DELETE":
            self._faults.clear()
            return JSONResponse({})
        try:
            fault = Fault.from_json(parsed(await request.body()))
        except (ValueError, TypeError) as error:
            raise Refused(str(error)) from error
        return JSONResponse({"fault": self._faults.inject(fault)})

    def _files(self) -> list[Json]:
        with self._project.state.change():
            return list(self._content.all())

    async def _bytes(self, what: str, file_id: int) -> Response:
        with self._project.state.change():
            pieces = self._content.read(file_id)
        if what == "content":
            return StreamingResponse(pieces)

        def digest() -> str:
            hasher = hashlib.sha256()
            for piece in pieces:
                hasher.update(piece)
            return hasher.hexdigest()

        return JSONResponse(await asyncio.to_thread(digest))
