"""An identity provider: forms go out, facts come back.

Rules of this file: nothing is sent but to https or to this machine; no secret of a form or an
answer shows in an error; what a provider says in its refusals is shown as it says it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from cognite_nb_upload.api.answer import HEADERS, Answer, NoAnswer, NotInTime, ask, timeouts
from cognite_nb_upload.api.values import cleaned
from cognite_nb_upload.core.retry import RETRYABLE
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import APIError, CDFUnreachable
from cognite_nb_upload.http import checked_base_url, host_of, httpx_proxy, in_words, tls_context

_WELL_KNOWN: Final = "/.well-known/openid-configuration"
# Where a provider does not say how long a token lives.
_LIFE_S: Final = 300.0


class TokenNotInTime(CDFUnreachable):
    """The identity provider answered too slowly to be waited for again."""


class Refused(APIError):
    """The provider said no; `error` is its code, such as `invalid_grant`."""

    def __init__(self, error: str, message: str, code: int, host: str) -> None:
        super().__init__(message, code=code, what="a token", who=host)
        self.error = error


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gives: a token for CDF, its life in seconds, and one to renew it with."""

    access: Secret
    life_s: float
    refresh: Secret | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked; "" is what it does not have."""

    token: str
    device: str = ""
    authorize: str = ""


def ask_provider(url: str, form: Mapping[str, str] | None, timeout_s: float) -> Answer:
    """The answer to a form, or to GET where there is none.

    Raises:
        TokenNotInTime: no whole answer within `timeout_s`.
        CDFUnreachable: none at all.
        APIError: it is not an answer of a provider.
    """
    host = host_of(url)
    try:
        with httpx.Client(
            timeout=timeouts(timeout_s),
            verify=tls_context(),
            proxy=httpx_proxy(url),
            trust_env=False,
        ) as client:
            request = client.build_request(
                "GET" if form is None else "POST", url, data=form, headers=HEADERS
            )
            return ask(client, request, timeout_s)
    except NotInTime:
        raise TokenNotInTime(
            f"The identity provider at {host} gave no whole answer within {timeout_s:g} s."
        ) from None
    except NoAnswer as error:
        raise APIError(str(error), code=error.code, what="a token", who=host) from None
    except httpx.RequestError as error:
        raise CDFUnreachable(
            f"The identity provider at {host} gave no answer ({in_words(error)})."
        ) from error


def facts_of(reply: Answer, url: str) -> dict[str, Any]:
    """The JSON object of a good answer.

    Raises:
        Refused: the provider said no.
        CDFUnreachable: it is overloaded or broken, and may say something else later.
    """
    host = host_of(url)
    if reply.status_code in RETRYABLE:
        raise CDFUnreachable(f"The identity provider at {host} says {reply.status_code}.")
    facts = _json_object(reply)
    if reply.status_code == 200 and "error" not in facts:
        return facts
    error = str(facts.get("error", ""))
    said = str(facts.get("error_description") or error or "no reason given")
    raise Refused(error, said.splitlines()[0], reply.status_code, host)


def tokens_of(reply: Answer, url: str) -> Tokens:
    """The tokens of an answer.

    Raises:
        Refused: there are none.
        CDFUnreachable: the provider is overloaded or broken.
    """
    facts = facts_of(reply, url)
    if "access_token" not in facts:
        raise Refused("", "no token in its answer", reply.status_code, host_of(url))
    refresh = facts.get("refresh_token")
    return Tokens(
        Secret(str(facts["access_token"])),
        _seconds(facts.get("expires_in")),
        Secret(str(refresh)) if refresh else None,
    )


def discovered(root: str, timeout_s: float) -> Endpoints:
    """The endpoints that a provider names in its discovery document.

    Raises:
        APIError: there is no such document.
        ConfigError: it names an address that is not https.
    """
    url = root if root.endswith(_WELL_KNOWN) else f"{root.rstrip('/')}{_WELL_KNOWN}"
    try:
        facts = facts_of(ask_provider(url, None, timeout_s), url)
    except APIError as error:
        raise error.hint(f"Is there a discovery document at {url}?") from None

    def endpoint(name: str) -> str:
        given = facts.get(name)
        return checked_base_url(cleaned(name, given), name) if given else ""

    found = Endpoints(
        endpoint("token_endpoint"),
        endpoint("device_authorization_endpoint"),
        endpoint("authorization_endpoint"),
    )
    if not found.token:
        raise Refused("", f"{url} names no token_endpoint", 200, host_of(url))
    return found


def _seconds(life: object) -> float:
    """How long something lives; 5 min where its maker does not say so."""
    try:
        life_s = float(str(life))
    except ValueError:
        return _LIFE_S
    return life_s if math.isfinite(life_s) else _LIFE_S


def seconds(facts: Mapping[str, Any], name: str, otherwise: float) -> float:
    """A number of seconds in an answer, not below 0."""
    return max(0.0, _seconds(facts[name])) if facts.get(name) is not None else otherwise


def _json_object(reply: Answer) -> dict[str, Any]:
    try:
        facts = reply.json()
    except NoAnswer as error:
        return {"error": str(error)}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
