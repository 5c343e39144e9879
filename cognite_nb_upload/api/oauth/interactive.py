"""Signing in on a page of this machine's browser: authorization code with PKCE (RFC 7636, 8252).

Rules of this file: the browser comes back to a port of this machine that nothing else is answered
on; an answer without the state that was sent is not one; the link that people open holds a word
that nobody else on the machine knows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from cognite_nb_upload import process
from cognite_nb_upload.api.oauth.person import PersonCredentials, SignInPrompt
from cognite_nb_upload.api.oauth.provider import Tokens
from cognite_nb_upload.api.values import entra_authority
from cognite_nb_upload.core.numbers import whole
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import ConfigError, SignInFailed

# As the official SDK and the toolkit have it.
_PORT: Final = 53000
_MOST_PORT: Final = 65535
_LIFE_S: Final = 900.0
_STEP_S: Final = 0.5
_DONE: Final = "You have signed in. You can close this page."
_FAILED: Final = "The sign-in failed. You can close this page."


class OAuthInteractive(PersonCredentials):
    """A person signs in with this machine's browser; the token is renewed silently after that.

    It needs kernel and browser on one machine; elsewhere use `OAuthDeviceCode`. The provider must
    know `http://localhost:{redirect_port}` as a redirect address of the client.

    Args:
        authority_url: as for `OAuthDeviceCode`, like all but the next two.
        redirect_port: the port that the browser comes back to; 0 is any free one.
        open_browser: whether the page is opened; the link is shown in any case.
        **settings: `cdf_cluster`, `oauth_discovery_url`, `audience`, `cache`, `show`, `timeout_s`.
    """

    def __init__(
        self,
        authority_url: str | None = None,
        client_id: str = "",
        scopes: Any = None,
        redirect_port: int = _PORT,
        *,
        open_browser: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(authority_url, client_id, scopes, **settings)
        port = whole(redirect_port)
        if port is None or not 0 <= port <= _MOST_PORT:
            raise ConfigError(
                f"redirect_port is a number from 0 to {_MOST_PORT}, not {redirect_port!r}."
            )
        self.redirect_port = port
        self._open_browser = open_browser

    @classmethod
    def entra_id(cls, tenant_id: str, client_id: str, cluster: str, **settings: Any) -> Self:
        """For Microsoft Entra ID, by tenant and CDF cluster."""
        return cls(entra_authority(tenant_id), client_id, cdf_cluster=cluster, **settings)

    def _sign_in(self) -> Tokens:
        url = self._addresses().authorize
        if not url:
            raise ConfigError(f"The identity provider at {self._host} has no sign-in page.")
        verifier = Secret(secrets.token_urlsafe(48))
        with _answered(self.redirect_port) as (answers, visit, port):
            back = f"http://localhost:{port}"
            visit.page = f"{url}{'&' if '?' in url else '?'}{self._query(verifier, back, visit)}"
            prompt = SignInPrompt(f"{back}/{visit.word}", "", time.monotonic() + _LIFE_S)
            self._tell(prompt)
            if self._open_browser and not self._again:  # a night of waiting is no night of tabs
                _open(prompt.url)
            code = self._code(answers, prompt)
            return self._ask_token(
                {
                    "grant_type": "authorization_code",
                    "client_id": self.client_id,
                    "code": code.reveal(),
                    "redirect_uri": back,
                    "code_verifier": verifier.reveal(),
                }
            )

    def _query(self, verifier: Secret, back: str, visit: _Visit) -> str:
        digest = hashlib.sha256(verifier.reveal().encode()).digest()
        query = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": back,
            "scope": self._scopes,
            "state": visit.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        if self._audience:
            query["audience"] = self._audience
        return urlencode(query)

    def _code(self, answers: queue.Queue[dict[str, str]], prompt: SignInPrompt) -> Secret:
        """The code that the browser brings back."""
        while prompt.left_s > 0:
            if self._stop:
                raise SignInFailed("The sign-in was cancelled.")
            try:
                answer = answers.get(timeout=min(_STEP_S, max(0.01, prompt.left_s)))
            except queue.Empty:
                continue
            if "code" in answer:
                return Secret(answer["code"])
            denied = answer.get("error") == "access_denied"
            said = answer.get("error_description") or answer.get("error") or "no code"
            why = "was denied" if denied else f"failed: {said.splitlines()[0]}"
            raise SignInFailed(f"The sign-in {why}.", denied=denied)
        raise SignInFailed("Nobody signed in before the time was over.")


class _Visit:
    """One sign-in: the word of its link, the state of its answer, and the provider's page."""

    def __init__(self) -> None:
        self.word, self.state = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
        self.page = ""


@contextmanager
def _answered(port: int) -> Iterator[tuple[queue.Queue[dict[str, str]], _Visit, int]]:
    """A port of this machine that the browser comes back to, by either kind of address."""
    answers: queue.Queue[dict[str, str]] = queue.Queue()
    visit = _Visit()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            answer = dict(parse_qsl(url.query))
            state = answer.get("state", "").encode()
            if url.path == f"/{visit.word}":
                self._say(303, "", visit.page)
            elif url.path in ("", "/") and hmac.compare_digest(state, visit.state.encode()):
                self._say(200, _DONE if "code" in answer else _FAILED)
                answers.put(answer)
            else:
                self._say(404, "There is nothing here.")

        def _say(self, status: int, text: str, location: str = "") -> None:
            body = f"<!doctype html><title>{text}</title><p>{text}</p>".encode()
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: the code is in the path."""

    servers = _servers(port, Handler)
    try:
        for server in servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield answers, visit, servers[0].server_address[1]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    # On Windows another program could listen there as well; elsewhere it means the port is free
    # again at once.
    allow_reuse_address = os.name != "nt"
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


def _servers(port: int, handler: type[BaseHTTPRequestHandler]) -> list[_Server]:
    try:
        servers = [_Server(("127.0.0.1", port), handler)]
    except OSError:
        raise ConfigError(
            f"Port {port} of this machine is in use, and the browser comes back to it: give "
            "another redirect_port that the provider knows, or 0."
        ) from None
    try:  # "localhost" may mean either
        servers.append(_Server6(("::1", servers[0].server_address[1]), handler))
    except OSError:
        pass
    for server in servers:
        process.own(server.fileno())
    return servers


def _open(url: str) -> None:
    """Open a page in the browser, where there is one; the link is shown as well."""
    import webbrowser  # slow to import, and seldom needed

    try:
        webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return
