"""The run's token, and those that the OAuth endpoint hands out for it."""

from __future__ import annotations

import hmac
import secrets
import time
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

CLIENT_ID = "emulator"
DEFAULT_LIFE_S = 3600.0


class Tokens:
    """Which bearer tokens are good, compared in constant time."""

    def __init__(self, token: str, life_s: float | None) -> None:
        self._token = token
        self._life_s = DEFAULT_LIFE_S if life_s is None else life_s
        self._ends: dict[str, float] = {}

    def valid(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        now = time.monotonic()
        self._ends = {token: end for token, end in self._ends.items() if end > now}
        good = [self._token, *self._ends]
        return any([hmac.compare_digest(token.encode(), given.encode()) for token in good])

    async def endpoint(self, request: Request) -> Response:
        """POST /oauth/token: client credentials, the run's token being the secret."""
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        secret = hmac.compare_digest(form.get("client_secret", "").encode(), self._token.encode())
        if form.get("client_id") != CLIENT_ID or not secret:
            return JSONResponse({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(24)
        self._ends[token] = time.monotonic() + self._life_s
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": round(self._life_s)}
        )
