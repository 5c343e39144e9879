"""Who the caller is: credentials that give one header, as the official SDK's do.

Rules of this file: `authorization_header()` is synchronous and may block, so it is called off the
event loop; a token is refreshed early, by one thread, and no lock is held meanwhile; no secret
shows in a repr or error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from cognite_nb_upload.api.oauth.held import Header, Held, TokenSource
from cognite_nb_upload.api.oauth.provider import Refused, Tokens, ask_provider, tokens_of
from cognite_nb_upload.api.values import (
    checked_cluster,
    cleaned,
    cleaned_scopes,
    cleaned_text,
    cleaned_token,
    entra_authority,
)
from cognite_nb_upload.core.numbers import checked_seconds
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.errors import ConfigError
from cognite_nb_upload.http import checked_base_url


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
        # One that is given as it is is checked once: a small file costs little more than that.
        self._token = token if callable(token) else Secret(f"Bearer {_checked_token(token)}")

    def header_at_hand(self) -> Header | None:
        """The header where nothing has to be asked for it; else None. Never blocks."""
        return self.authorization_header() if isinstance(self._token, Secret) else None

    def authorization_header(self) -> tuple[str, str]:
        """`("Authorization", "Bearer ...")`."""
        if isinstance(self._token, Secret):
            return "Authorization", self._token.reveal()
        return "Authorization", f"Bearer {_checked_token(self._token())}"

    def __repr__(self) -> str:
        return "Token(<secret>)"


def _checked_token(text: object) -> str:
    token = cleaned_token(text)
    if not token:
        raise ConfigError("The token is empty.")
    return token


class OAuthClientCredentials(TokenSource):
    """A token for a client id and secret, fetched when needed and renewed 30 s before it ends.

    Args:
        token_url: where the identity provider gives out tokens.
        client_id: the application's id.
        client_secret: its secret.
        scopes: e.g. `["https://westeurope-1.cognitedata.com/.default"]`.
        audience: where the provider asks for one.
        timeout_s: how long one request to the provider may take, in seconds.

    Raises:
        ConfigError: `token_url` is not https (http only on this machine), or something is missing.
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
        self._secret = Secret(cleaned_text("client_secret", client_secret))
        for name, value in (("client_id", self.client_id), ("client_secret", self._secret)):
            if not value:
                raise ConfigError(f"{name} is empty; give that of the application.")
        self._scopes = cleaned_scopes("scopes", scopes)
        self._audience = None if audience is None else cleaned("audience", audience)
        self._timeout_s = checked_seconds("timeout_s", timeout_s)
        super().__init__(clock)

    @classmethod
    def entra_id(
        cls, tenant_id: str, client_id: str, client_secret: str, cluster: str
    ) -> OAuthClientCredentials:
        """For Microsoft Entra ID, by tenant and CDF cluster."""
        return cls(
            f"{entra_authority(tenant_id)}/oauth2/v2.0/token",
            client_id,
            client_secret,
            [f"https://{checked_cluster(cluster)}.cognitedata.com/.default"],
        )

    def _fetch_tokens(self, mine: Held) -> Tokens:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self._secret.reveal(),
            "scope": self._scopes,
            "audience": self._audience or "",
        }
        form = {key: value for key, value in form.items() if value}
        reply = ask_provider(self.token_url, form, self._timeout_s)
        try:
            return tokens_of(reply, self.token_url)
        except Refused as error:
            raise error.hint(
                "Check the client id, the client secret, the tenant and the scopes."
            ) from None

    def __repr__(self) -> str:
        return f"OAuthClientCredentials({self.token_url!r}, {self.client_id!r}, <secret>)"
