"""Signing in with a code that is typed on another page, or another machine (RFC 8628)."""

from __future__ import annotations

import time
from typing import Any, Final, Self

from cognite_nb_upload.api.oauth.person import PersonCredentials, SignInPrompt
from cognite_nb_upload.api.oauth.provider import (
    Refused,
    Tokens,
    ask_provider,
    facts_of,
    seconds,
)
from cognite_nb_upload.api.values import cleaned, entra_authority
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import CDFUnreachable, ConfigError, SignInFailed
from cognite_nb_upload.http import checked_base_url

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
# RFC 8628: how often is asked unless told, and how much longer it takes after `slow_down`.
_INTERVAL_S: Final = 5.0
_SLOWER_S: Final = 5.0
# A provider that says 0 is not asked without a pause.
_LEAST_S: Final = 0.1
_LIFE_S: Final = 900.0
# The second of each pair is Microsoft's.
_DENIED: Final = frozenset({"access_denied", "authorization_declined"})
_EXPIRED: Final = frozenset({"expired_token", "code_expired"})


class OAuthDeviceCode(PersonCredentials):
    """A person signs in with a code on any machine; the token is renewed silently after that.

    It works wherever the kernel runs, also on a hub. The arguments are those of the official SDK's
    class of this name.

    Args:
        authority_url: of Microsoft Entra ID, `https://login.microsoftonline.com/{tenant}`.
        client_id: the id of a public client, which has no secret.
        scopes: what is asked for; `offline_access` is added, without which no token is renewed.
        cdf_cluster: in place of `scopes`, for what CDF's clusters ask for.
        oauth_discovery_url: any other provider, by the address below which
            `/.well-known/openid-configuration` is.
        audience: where the provider asks for one.
        cache: whether the sign-in is kept on disk, so that another kernel goes on with it: True is
            a file in the user's cache folder, a path is that file. Its owner alone can read it.
        show: is called with what a person has to do, and with None when that is over; prints it
            unless given. Called from threads.
        timeout_s: how long one request to the provider may take, in seconds.

    Raises:
        ConfigError: an address is not https (http only on this machine), or something is missing.
    """

    @classmethod
    def entra_id(cls, tenant_id: str, client_id: str, cluster: str, **settings: Any) -> Self:
        """For Microsoft Entra ID, by tenant and CDF cluster."""
        return cls(entra_authority(tenant_id), client_id, None, cluster, **settings)

    def _sign_in(self) -> Tokens:
        asked = self._ask_code()
        code = Secret(str(asked.get("device_code", "")))
        interval_s = max(_LEAST_S, seconds(asked, "interval", _INTERVAL_S))
        prompt = _prompt(asked)
        self._tell(prompt)
        while prompt.left_s > 0:
            if self._stop.wait(min(interval_s, prompt.left_s)):
                raise SignInFailed("The sign-in was cancelled.")
            try:
                return self._ask_token(
                    {
                        "grant_type": _GRANT,
                        "client_id": self.client_id,
                        "device_code": code.reveal(),
                    }
                )
            except CDFUnreachable:  # it may be there again before the code expires
                interval_s = min(2 * interval_s, 60.0)
            except Refused as error:
                interval_s = self._after(error, interval_s)
        raise _expired()

    def _after(self, error: Refused, interval_s: float) -> float:
        """How long to wait before the next question; raises where none follows."""
        if error.error == "authorization_pending":
            return interval_s
        if error.error == "slow_down":
            return interval_s + _SLOWER_S
        if error.error in _DENIED:
            raise SignInFailed("The sign-in was denied.", denied=True) from None
        if error.error in _EXPIRED:
            raise _expired() from None
        raise error

    def _ask_code(self) -> dict[str, Any]:
        url = self._addresses().device
        if not url:
            raise ConfigError(f"The identity provider at {self._host} has no device code.")
        form = {"client_id": self.client_id, "scope": self._scopes}
        if self._audience:
            form["audience"] = self._audience
        try:
            return facts_of(ask_provider(url, form, self._timeout_s), url)
        except Refused as error:
            raise error.hint(
                "Check the client id, the tenant and the scopes, and whether the client may use "
                "the device code."
            ) from None


def _expired() -> SignInFailed:
    return SignInFailed("Nobody signed in before the code expired.")


def _prompt(asked: dict[str, Any]) -> SignInPrompt:
    name = "verification_uri"
    url = asked.get(name) or asked.get("verification_url") or ""
    page = asked.get(f"{name}_complete") or url
    return SignInPrompt(
        checked_base_url(cleaned(name, url), name),
        cleaned("user_code", str(asked.get("user_code", ""))),
        time.monotonic() + seconds(asked, "expires_in", _LIFE_S),
        checked_base_url(cleaned(name, page), name),
    )
