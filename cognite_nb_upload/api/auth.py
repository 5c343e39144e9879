"""Who the caller is: credentials that give one header, as the official SDK's do.

Rules of this file: `authorization_header()` is synchronous and may block, so it is called off the
event loop; a token is refreshed early, by one thread, and no lock is held meanwhile; no secret
shows in a repr or error.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol, runtime_checkable

import httpx

from cognite_nb_upload.api.answer import HEADERS, Answer, NoAnswer, NotInTime, ask, timeouts
from cognite_nb_upload.api.values import checked_cluster, cleaned, cleaned_token, trimmed
from cognite_nb_upload.core.retry import RETRYABLE
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.errors import APIError, CDFUnreachable, ConfigError, UploadToolkitError
from cognite_nb_upload.http import Sealed, checked_base_url, httpx_proxy, in_words, tls_context
from cognite_nb_upload.process import PerProcess

Header = tuple[str, str]

# files-api.md 6: refresh about 30 s early.
_EARLY_S: Final = 30.0


@runtime_checkable
class Credentials(Protocol):
    """Anything that can say which header to send: the official SDK's providers among them."""

    def authorization_header(self) -> tuple[str, str]:
        """The header's name and value. May block."""
        ...


class Token(NotPickled):
    """A bearer token, or a callable that gives the one to use now.

    Args:
        token: the token; a callable is asked before every request. Line breaks and spaces around
            it, and a `Bearer` before it, are dropped.

    Raises:
        ConfigError: it is empty, or holds what no token has; it is not shown.
    """

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token if callable(token) else Secret(_checked_token(token))

    def header_at_hand(self) -> Header | None:
        """The header where nothing has to be asked for it; else None. Never blocks."""
        return self.authorization_header() if isinstance(self._token, Secret) else None

    def authorization_header(self) -> tuple[str, str]:
        """`("Authorization", "Bearer ...")`."""
        given = self._token.reveal() if isinstance(self._token, Secret) else self._token()
        return "Authorization", f"Bearer {_checked_token(given)}"

    def __repr__(self) -> str:
        return "Token(<secret>)"


def _checked_token(text: object) -> str:
    token = cleaned_token(text)
    if not token:
        raise ConfigError("The token is empty.")
    return token


class TokenNotInTime(CDFUnreachable):
    """The identity provider answered too slowly to be waited for again."""


class _Held:
    """The token of one process, and the fetch of the next one that is under way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # never held while the provider is asked
        self.token: Secret | None = None
        self.ends_s = 0.0
        self.fetch: Future[Header] | None = None

    def header(self, until_s: float) -> Header | None:
        """The header with a token that lives until then; None: there is none."""
        token = self.token
        return None if token is None or until_s >= self.ends_s else _bearer(token)


class OAuthClientCredentials(NotPickled):
    """A token for a client id and secret, fetched when needed and renewed 30 s before it ends.

    Args:
        token_url: where the identity provider gives out tokens.
        client_id: the application's id.
        client_secret: its secret.
        scopes: e.g. `["https://westeurope-1.cognitedata.com/.default"]`.
        audience: where the provider asks for one.
        timeout_s: how long one request to the provider may take, in seconds.

    Raises:
        ConfigError: `token_url` is not https (http only on this machine).
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        scopes: Sequence[str] | str = (),
        audience: str | None = None,
        *,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token_url = checked_base_url(cleaned("token_url", token_url), "token_url")
        self.client_id = cleaned("client_id", client_id)
        self._secret = Secret(trimmed(client_secret))
        self._scopes = scopes if isinstance(scopes, str) else " ".join(scopes)
        self._audience = audience
        self._timeout_s = timeout_s
        self._clock = clock
        self._mine = PerProcess(_Held)

    @classmethod
    def entra_id(
        cls, tenant_id: str, client_id: str, client_secret: str, cluster: str
    ) -> OAuthClientCredentials:
        """For Microsoft Entra ID, by tenant and CDF cluster."""
        tenant = cleaned("tenant_id", tenant_id)
        return cls(
            f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
            client_id,
            client_secret,
            [f"https://{checked_cluster(cluster)}.cognitedata.com/.default"],
        )

    def authorization_header(self) -> tuple[str, str]:
        """`("Authorization", "Bearer ...")`.

        The token is good for 30 s at least, or as long as its provider says. Where others fetch one
        already, this waits for theirs, and not at all while the last one is good.

        Raises:
            APIError: the provider refused.
            CDFUnreachable: it gave no answer within `timeout_s`.
        """
        mine, now_s = self._mine.get(), self._clock()
        with mine.lock:
            if header := mine.header(now_s + _EARLY_S):
                return header
            if (others := mine.fetch) is None:
                mine.fetch = Future()
            elif header := mine.header(now_s):  # still good while others fetch the next one
                return header
        if others is None:
            return self._fetch(mine)
        error = others.exception()
        if error is None:
            return others.result()
        if not isinstance(error, Exception):  # the other one was interrupted; this one was not
            return self.authorization_header()
        raise copy.copy(error) if isinstance(error, UploadToolkitError) else error

    def header_at_hand(self) -> Header | None:
        """The header where nothing has to be asked for it; else None. Never blocks."""
        return self._mine.get().header(self._clock() + _EARLY_S)

    def refresh(self) -> None:
        """Forget the token; the next header fetches another."""
        mine = self._mine.get()
        with mine.lock:
            mine.token = None

    def _fetch(self, mine: _Held) -> Header:
        """Fetch a token, also for those who come meanwhile."""
        try:
            with Sealed():
                token, life_s = self._token_of(self._ask())
        except BaseException as error:
            _end(mine).set_exception(error)
            raise
        header = _bearer(token)
        with mine.lock:
            mine.token, mine.ends_s = token, self._clock() + life_s
        _end(mine).set_result(header)
        return header

    def _ask(self) -> Answer:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self._secret.reveal(),
            "scope": self._scopes,
            "audience": self._audience or "",
        }
        form = {key: value for key, value in form.items() if value}
        try:
            with httpx.Client(
                timeout=timeouts(self._timeout_s),
                verify=tls_context(),
                proxy=httpx_proxy(self.token_url),
                trust_env=False,
            ) as client:
                request = client.build_request("POST", self.token_url, data=form, headers=HEADERS)
                return ask(client, request, self._timeout_s)
        except NotInTime:
            raise TokenNotInTime(
                f"The identity provider at {self._host} gave no whole answer within "
                f"{self._timeout_s:g} s."
            ) from None
        except NoAnswer as error:
            raise APIError(str(error), code=error.code, what="a token", who=self._host) from None
        except httpx.RequestError as error:
            raise CDFUnreachable(
                f"The identity provider at {self._host} gave no answer ({in_words(error)})."
            ) from error

    def _token_of(self, reply: Answer) -> tuple[Secret, float]:
        """The token, and how many seconds it lives."""
        if reply.status_code in RETRYABLE:
            raise CDFUnreachable(f"The identity provider at {self._host} says {reply.status_code}.")
        facts = _json_object(reply)
        if reply.status_code != 200 or "access_token" not in facts:
            said = facts.get("error_description") or facts.get("error") or "no token in its answer"
            raise APIError(
                str(said).splitlines()[0],
                code=reply.status_code,
                what="a token",
                who=self._host,
            ).hint("Check the client id, the client secret, the tenant and the scopes.")
        return Secret(str(facts["access_token"])), _seconds(facts.get("expires_in"))

    @property
    def _host(self) -> str:
        return httpx.URL(self.token_url).host

    def __repr__(self) -> str:
        return f"OAuthClientCredentials({self.token_url!r}, {self.client_id!r}, <secret>)"


def _seconds(life: object) -> float:
    """How long a token lives; 5 min where its maker does not say so."""
    try:
        life_s = float(str(life))
    except ValueError:
        return 300.0
    return life_s if math.isfinite(life_s) else 300.0


def _bearer(token: Secret) -> Header:
    return "Authorization", f"Bearer {token.reveal()}"


def _end(mine: _Held) -> Future[Header]:
    """End the fetch that is under way; returns what those wait for who share it."""
    with mine.lock:
        fetch, mine.fetch = mine.fetch or Future(), None
    return fetch


def _json_object(reply: Answer) -> dict[str, Any]:
    try:
        facts = reply.json()
    except NoAnswer as error:
        return {"error": str(error)}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
