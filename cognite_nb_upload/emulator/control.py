"""Routes under /_emulator, guarded by the run's token: an emulator seen from behind."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from .faults import Fault
from .guard import check_host_and_origin
from .rules import Refused

if TYPE_CHECKING:
    from .app import App

TOKEN_HEADER = "x-emulator-token"  # noqa: S105 - a name, not a token


class Control:
    """The emulator seen from behind. Its requests are in no journal, and meet no fault."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Refused as refusal:
            response = JSONResponse(refusal.to_json(), refusal.status)
        except (ValueError, TypeError) as error:
            response = JSONResponse(Refused(str(error)).to_json(), 400)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        check_host_and_origin(request)
        given = request.headers.get(TOKEN_HEADER, "").encode()
        if not hmac.compare_digest(given, self._app.settings.token.encode()):
            raise Refused("Unauthorized", status=401)
        what, _, rest = request.url.path.removeprefix("/_emulator/").partition("/")
        if what == "faults":
            return await self._faults(request)
        if what in ("content", "sha256"):
            return await self._content(what, int(rest))
        found: dict[str, Callable[[], Any]] = {
            "requests": lambda: [row.to_json() for row in self._app.journal.rows],
            "fired": lambda: self._app.faults.fired,
            "files": lambda: self._app.project.all_files(),
        }
        if what not in found:
            raise Refused("No such control route", status=404)
        return JSONResponse(found[what]())

    async def _faults(self, request: Request) -> Response:
        if not self._app.settings.faults:
            raise Refused("This emulator was not started with faults allowed", status=404)
        if request.method == "DELETE":
            self._app.faults.clear()
            return JSONResponse({})
        return JSONResponse(
            {"fault": self._app.faults.inject(Fault.from_json(await request.json()))}
        )

    async def _content(self, what: str, file_id: int) -> Response:
        pieces = self._app.project.content(file_id)
        if what == "content":
            return StreamingResponse(pieces)

        def digest() -> str:
            hasher = hashlib.sha256()
            for piece in pieces:
                hasher.update(piece)
            return hasher.hexdigest()

        return JSONResponse(await asyncio.to_thread(digest))
