"""The provider's endpoints: discovery, device code (RFC 8628), code with PKCE, and tokens."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ..host_check import LOOPBACK
from ..routes import Family, plain
from ..rules import Json
from ..tokens import CLIENT_ID
from . import pages
from .form import client_of, read_form
from .grants import Denied, Grants

if TYPE_CHECKING:
    from ..project import Project

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_ASKED = ("client_id", "response_type", "redirect_uri", "scope", "state", "code_challenge",
          "code_challenge_method")  # fmt: skip


class Identity(Family):
    """Who gives out tokens. A person's password is the run's token, and so is the secret."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self._grants = Grants()

    @plain("discovery", "/oauth/.well-known/openid-configuration", "GET")
    async def discovery(self, request: Request) -> Response:
        return JSONResponse(_metadata(f"{_origin(request)}/oauth"))

    @plain("discovery_v2", "/oauth/v2.0/.well-known/openid-configuration", "GET")
    async def discovery_v2(self, request: Request) -> Response:
        """Where an authority of Entra ID has it."""
        return await self.discovery(request)

    # ---- device code --------------------------------------------------------------------------

    @plain("device_code", "/oauth/devicecode", "POST")
    async def device_code(self, request: Request) -> Response:
        form = await read_form(request)
        if form.get("client_id") != CLIENT_ID:
            return _refused(Denied("invalid_client", "There is no such client."))
        settings, scope = self.project.settings, form.get("scope", "")
        code, device = self._grants.ask_device(
            CLIENT_ID, scope, settings.device_life_s, settings.device_interval_s
        )
        where = f"{_origin(request)}/oauth/device"
        query = urlencode({"user_code": device.user_code})
        return _secret(
            {
                "device_code": code,
                "user_code": device.user_code,
                "verification_uri": where,
                "verification_uri_complete": f"{where}?{query}",
                "expires_in": settings.device_life_s,
                "interval": settings.device_interval_s,
                "message": f"To sign in, open {where} and enter the code {device.user_code}.",
            }
        )

    @plain("device_page", "/oauth/device", "GET", "POST")
    async def device_page(self, request: Request) -> Response:
        """Where a person types the code, and allows or denies."""
        if request.method == "GET":
            return pages.device(request.query_params.get("user_code", ""))
        form = await read_form(request)
        typed = form.get("user_code", "")
        device = self._grants.device_of(typed)
        if device is None:
            return pages.device(typed, "No device waits with this code.")
        if form.get("decision") == "deny":
            device.allowed = False
            return pages.told("Denied", "You can close this page.")
        if not self._is_person(form):
            return pages.device(typed, "The password is wrong.")
        device.allowed = True
        return pages.told("Signed in", "You can close this page.")

    # ---- authorization code with PKCE ---------------------------------------------------------

    @plain("authorize", "/oauth/authorize", "GET", "POST")
    async def authorize(self, request: Request) -> Response:
        """Where a person allows or denies; the answer goes to a port of this machine."""
        posted = request.method == "POST"
        form = await read_form(request) if posted else dict(request.query_params)
        asked = {name: form.get(name, "") for name in _ASKED}
        if wrong := _wrong_request(asked):
            return pages.told("This cannot be asked for", wrong, 400)
        if not posted:
            return pages.decision(asked["client_id"], asked["scope"], asked)
        if form.get("decision") == "deny":
            return _redirected(asked, {"error": "access_denied"})
        if not self._is_person(form):
            return pages.decision(
                asked["client_id"], asked["scope"], asked, "The password is wrong."
            )
        code = self._grants.ask_code(
            asked["client_id"], asked["scope"], asked["redirect_uri"], asked["code_challenge"]
        )
        return _redirected(asked, {"code": code})

    def _is_person(self, form: Mapping[str, str]) -> bool:
        given = form.get("password", "").strip()
        return hmac.compare_digest(given.encode(), self.project.settings.token.encode())

    # ---- tokens -------------------------------------------------------------------------------

    @plain("token", "/oauth/token", "POST")
    async def token(self, request: Request) -> Response:
        form = await read_form(request)
        client_id, secret = client_of(request, form)
        grants: dict[str, Callable[[], Json]] = {
            "client_credentials": lambda: self._for_client(client_id, secret),
            _DEVICE_GRANT: lambda: self._signed_in(
                client_id, self._grants.poll(form.get("device_code", ""), client_id)
            ),
            "authorization_code": lambda: self._signed_in(
                client_id,
                self._grants.redeem(
                    form.get("code", ""),
                    client_id,
                    form.get("redirect_uri", ""),
                    form.get("code_verifier", ""),
                ),
            ),
            "refresh_token": lambda: self._renewed(client_id, form.get("refresh_token", "")),
        }
        try:
            if (answer := grants.get(form.get("grant_type", ""))) is None:
                raise Denied("unsupported_grant_type")
            return _secret(answer())
        except Denied as denied:
            return _refused(denied)

    def _for_client(self, client_id: str, secret: str) -> Json:
        if not self.project.tokens.is_client(client_id, secret):
            raise Denied("invalid_client", "The client id or its secret is wrong.")
        return self._bearer()

    def _signed_in(self, client_id: str, scope: str) -> Json:
        answer = self._bearer() | {"scope": scope}
        if "offline_access" not in scope.split():
            return answer
        life_s = self.project.settings.refresh_life_s
        return answer | {"refresh_token": self._grants.sign_in(client_id, scope, life_s)}

    def _renewed(self, client_id: str, token: str) -> Json:
        life_s = self.project.settings.refresh_life_s
        scope, following = self._grants.renew(token, client_id, life_s)
        return self._bearer() | {"scope": scope, "refresh_token": following}

    def _bearer(self) -> Json:
        tokens = self.project.tokens
        life_s = round(tokens.life_s)
        return {"access_token": tokens.issue(), "token_type": "Bearer", "expires_in": life_s}


def _origin(request: Request) -> str:
    """Where the client reached us, as it wrote it."""
    return f"{request.url.scheme}://{request.headers['host']}"


def _metadata(issuer: str) -> Json:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "device_authorization_endpoint": f"{issuer}/devicecode",
        "token_endpoint": f"{issuer}/token",
        "response_types_supported": ["code"],
        "grant_types_supported": [
            "authorization_code", "client_credentials", "refresh_token", _DEVICE_GRANT,
        ],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic", "client_secret_post", "none",
        ],
        "scopes_supported": ["openid", "profile", "offline_access"],
    }  # fmt: skip


def _wrong_request(asked: Mapping[str, str]) -> str:
    """Why a request for a code is not even passed on to its client; "" where it may be."""
    if asked["client_id"] != CLIENT_ID:
        return "There is no such client."
    url = urlsplit(asked["redirect_uri"])
    if url.scheme != "http" or url.hostname not in LOOPBACK:
        return "redirect_uri is not on this machine."
    if asked["response_type"] != "code" or asked["code_challenge_method"] != "S256":
        return "Only response_type=code with code_challenge_method=S256 is given."
    return "" if len(asked["code_challenge"]) == 43 else "code_challenge is missing."


def _redirected(asked: Mapping[str, str], answer: Mapping[str, str]) -> Response:
    query = urlencode({**answer, "state": asked["state"]})
    return RedirectResponse(f"{asked['redirect_uri']}?{query}", 303)


def _secret(answer: Json) -> Response:
    return JSONResponse(answer, headers={"cache-control": "no-store"})


def _refused(denied: Denied) -> Response:
    status = 401 if denied.error == "invalid_client" else 400
    body = {"error": denied.error, "error_description": denied.description}
    return JSONResponse(body, status, headers={"cache-control": "no-store"})
