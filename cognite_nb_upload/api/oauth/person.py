"""Credentials of a person, who signs in once; after that the token is renewed silently.

Rules of this file: a person is asked in a daemon thread, once for all who wait, so that whoever
stops waiting stops nothing and a script can end; a renewal that the provider refuses means that the
sign-in has run out, and any other failure of it does not.
"""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cognite_nb_upload.api.oauth.cache import TokenCache
from cognite_nb_upload.api.oauth.held import Header, Held, TokenSource, own_copy
from cognite_nb_upload.api.oauth.provider import (
    Endpoints,
    Refused,
    Tokens,
    ask_provider,
    discovered,
    tokens_of,
)
from cognite_nb_upload.api.values import ENTRA_HOST, checked_cluster, cleaned, cleaned_scopes
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.numbers import checked_seconds
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import ConfigError, SignInFailed
from cognite_nb_upload.http import checked_base_url, host_of
from cognite_nb_upload.say import say

_OFFLINE: Final = "offline_access"
# What a provider says of a sign-in that is over (RFC 6749, OpenID Connect); a page of a proxy, or a
# client that is unknown, says something else, and a person could not help there.
_RAN_OUT: Final = frozenset(
    {"invalid_grant", "interaction_required", "login_required", "consent_required"}
)


@dataclass(frozen=True, slots=True)
class SignInPrompt:
    """What a person has to do now: open `url`, and enter `code` there where there is one.

    Attributes:
        url: the page.
        code: what to type on it; "" where nothing is to be typed.
        ends_s: when it is too late, by this process's monotonic clock, in seconds.
        page: `url` with the code filled in, where the provider has that; else `url`.
        again: True where it takes the place of one that nobody used in time.
    """

    url: str
    code: str
    ends_s: float
    page: str = ""
    again: bool = False

    @property
    def left_s(self) -> float:
        """Seconds that are left, not below 0."""
        return max(0.0, self.ends_s - time.monotonic())

    @property
    def words(self) -> str:
        """What to do, in one line without a full stop."""
        return f"open {self.url}" + (f" and enter the code {self.code}" if self.code else "")


Show = Callable[[SignInPrompt | None], object]


def show_words(prompt: SignInPrompt | None) -> None:
    """Print what to do, as a terminal or a cell shows it; once in a night, not at every code."""
    if prompt is not None and not prompt.again:
        minutes = max(1, round(prompt.left_s / 60))
        say(f"To sign in, {prompt.words} ({minutes} min). This goes on by itself.")


class PersonCredentials(TokenSource):
    """What all ways share in which a person signs in; `OAuthDeviceCode` describes it."""

    def __init__(
        self,
        authority_url: str | None = None,
        client_id: str = "",
        scopes: Sequence[str] | str | None = None,
        cdf_cluster: str | None = None,
        oauth_discovery_url: str | None = None,
        *,
        audience: str | None = None,
        cache: bool | str | os.PathLike[str] = False,
        show: Show = show_words,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        if bool(authority_url) == bool(oauth_discovery_url):
            raise ConfigError("Give either authority_url or oauth_discovery_url, and not both.")
        self._authority = _address("authority_url", authority_url)
        self._discovery = _address("oauth_discovery_url", oauth_discovery_url)
        self.client_id = cleaned("client_id", client_id)
        if not self.client_id:
            raise ConfigError("client_id is empty; give the id of a public client.")
        if not scopes and not cdf_cluster:
            raise ConfigError("Give scopes or cdf_cluster.")
        self._scopes = _scope(scopes or _scopes_of(cdf_cluster))
        self._audience = None if audience is None else cleaned("audience", audience)
        self.show = show
        self._timeout_s = checked_seconds("timeout_s", timeout_s)
        self._endpoints: Endpoints | None = None
        self._listeners: tuple[Show, ...] = ()
        self._listening = threading.Lock()
        self._cache = self._made_cache(cache)
        self._stop, self._again = CancelToken(), False
        self.prompt: SignInPrompt | None = None

    @property
    def was_in(self) -> bool:
        """True where somebody signed in before, in this process."""
        mine = self._mine.get()
        return mine.ends_s > 0 or mine.refresh is not None

    # --- the header ----------------------------------------------------------------------------

    def authorization_header(self) -> tuple[str, str]:
        """`("Authorization", "Bearer ...")`; asks the person where nothing else helps.

        Raises:
            SignInFailed: nobody signed in while there was time, or somebody said no.
            APIError: the provider refused.
            CDFUnreachable: it gave no answer in time.
        """
        return result_of(self.header_soon())

    def header_soon(self, again: bool = False) -> Future[Header]:
        """The header to come; it is fetched in a thread of its own, once for all who ask.

        Args:
            again: whether this follows on a sign-in that nobody came to.
        """
        mine = self._mine.get()
        header, theirs, ours = self._begin(mine)
        if header is not None:
            done: Future[Header] = Future()
            done.set_result(header)
            return done
        if ours is not None:
            self._stop, self._again = CancelToken(), again
            threading.Thread(
                target=self._fetch_quietly, args=(mine,), name="sign-in", daemon=True
            ).start()
            return ours
        assert theirs is not None  # noqa: S101 # one of the three
        if (prompt := self.prompt) is not None and not again:
            self.show(replace(prompt, again=False))  # once more, for who asks now
        return theirs

    def sign_in(self) -> None:
        """Wait until there is a token, asking the person where that is needed.

        Raises:
            SignInFailed: nobody signed in while there was time, or somebody said no.
        """
        self.authorization_header()

    def cancel_sign_in(self) -> None:
        """Ask the person no longer; who waits for it gets a SignInFailed."""
        self._stop.set("cancelled")

    @contextmanager
    def listened_by(self, listener: Show) -> Iterator[None]:
        """Within the block, call `listener` beside `show`, at once where a person is asked now."""
        with self._listening:
            self._listeners = (*self._listeners, listener)
        try:
            if (prompt := self.prompt) is not None:
                listener(prompt)
            yield
        finally:
            with self._listening:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

    def _fetch_quietly(self, mine: Held) -> None:
        with suppress(BaseException):  # those who wait are told
            self._fetch(mine)

    def _fetch_tokens(self, mine: Held) -> Tokens:
        with self._cache.locked() if self._cache is not None else nullcontext():
            tokens = self._renewed_silently(mine)
        if tokens is not None:
            return tokens
        try:
            return self._kept(self._sign_in())
        finally:
            self._tell(None)

    def _renewed_silently(self, mine: Held) -> Tokens | None:
        """Tokens without a person, by what is in memory or on disk; None where neither is good."""
        on_disk = self._cache.read() if self._cache is not None else None
        # Another process may have renewed it: then the one in memory is used up.
        for refresh in dict.fromkeys(filter(None, (on_disk, mine.refresh))):
            if (tokens := self._renewed(refresh)) is not None:
                return self._kept(tokens)
        mine.refresh = None
        if self._cache is not None and on_disk is not None:
            self._cache.forget(on_disk)
        return None

    def _kept(self, tokens: Tokens) -> Tokens:
        if self._cache is not None and tokens.refresh is not None:
            self._cache.write(tokens.refresh)
        return tokens

    def sign_out(self) -> None:
        """Forget the sign-in, in memory and on disk; the provider is not told."""
        mine = self._mine.get()
        with mine.lock:
            mine.token = mine.refresh = None
            mine.ends_s = 0.0
        if self._cache is not None and (token := self._cache.read()) is not None:
            self._cache.forget(token)

    def _renewed(self, refresh: Secret) -> Tokens | None:
        """Tokens without a person; None where the sign-in has run out."""
        form = {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "refresh_token": refresh.reveal(),
            "scope": self._scopes,
        }
        try:
            tokens = self._ask_token(form)
        except Refused as error:
            if error.error in _RAN_OUT:
                return None
            raise
        # A provider that does not rotate gives no other one.
        return Tokens(tokens.access, tokens.life_s, tokens.refresh or refresh)

    def arguments(self) -> dict[str, Any]:
        """What makes the same credentials; there is no secret among it."""
        given = {
            "authority_url": self._authority,
            "oauth_discovery_url": self._discovery,
            "client_id": self.client_id,
            "scopes": self._scopes,
            "audience": self._audience,
        }
        return {name: value for name, value in given.items() if value}

    def _made_cache(self, where: bool | str | os.PathLike[str]) -> TokenCache | None:
        if where is False or where == "":
            return None
        if where is True:
            return TokenCache(None, self.arguments())
        if not isinstance(where, str | os.PathLike) or "\0" in str(where):
            raise ConfigError("cache is True, or the path of a file for the sign-in.")
        return TokenCache(Path(where), self.arguments())

    # --- for the ways of signing in ------------------------------------------------------------

    @abstractmethod
    def _sign_in(self) -> Tokens:
        """Have the person sign in."""

    def _tell(self, prompt: SignInPrompt | None) -> None:
        if prompt is None and self.prompt is None:
            return
        self.prompt = prompt = prompt and replace(prompt, again=self._again)
        for listener in (self.show, *self._listeners):
            listener(prompt)

    def _ask_token(self, form: dict[str, str]) -> Tokens:
        url = self._addresses().token
        return tokens_of(ask_provider(url, form, self._timeout_s), url)

    def _addresses(self) -> Endpoints:
        if self._endpoints is None:
            self._endpoints = self._found_addresses()
        return self._endpoints

    def _found_addresses(self) -> Endpoints:
        if host_of(self._authority) == ENTRA_HOST:
            root = f"{self._authority}/oauth2/v2.0"
            return Endpoints(f"{root}/token", f"{root}/devicecode", f"{root}/authorize")
        return discovered(self._discovery or f"{self._authority}/v2.0", self._timeout_s)

    @property
    def _host(self) -> str:
        return host_of(self._authority or self._discovery)

    def __repr__(self) -> str:
        where = self._authority or self._discovery
        return f"{type(self).__name__}({where!r}, {self.client_id!r})"


def result_of(fetch: Future[Header]) -> Header:
    """The header of a fetch, or the error as the caller's own copy."""
    error = fetch.exception()
    if error is None:
        return fetch.result()
    raise own_copy(error) if isinstance(error, Exception) else SignInFailed("Interrupted.")


def _address(name: str, url: str | None) -> str:
    return checked_base_url(cleaned(name, url), name) if url else ""


def _scopes_of(cluster: str | None) -> list[str]:
    """What the official SDK asks for."""
    root = f"https://{checked_cluster(cluster, 'cdf_cluster')}.cognitedata.com"
    return [f"{root}/IDENTITY", f"{root}/user_impersonation", "openid", "profile"]


def _scope(scopes: Sequence[str] | str) -> str:
    words = cleaned_scopes("scopes", scopes).split()
    return " ".join(words if _OFFLINE in words else [*words, _OFFLINE])
