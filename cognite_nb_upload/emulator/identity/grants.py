"""What people were asked for and have decided, and what may be renewed without asking them.

Rules of this file: it is all in memory, and a restart forgets it; each code and each refresh token
is good once; a refresh token that is shown again ends the sign-in that it came from, because one of
the two who have it has stolen it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels: a code spells no word (RFC 8628, 6.1)
_CODE_LIFE_S = 60.0
_SLOWER_S = 5.0  # RFC 8628, 3.5


class Denied(Exception):
    """No token: `error` is the code of RFC 6749 or RFC 8628."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(error)
        self.error, self.description = error, description


@dataclass
class Device:
    """A device that waits for a person, who types `user_code` elsewhere."""

    client_id: str
    scope: str
    user_code: str
    ends_s: float
    interval_s: float
    polled_s: float | None = None
    allowed: bool | None = None


@dataclass
class _Code:
    client_id: str
    scope: str
    redirect_uri: str
    challenge: str
    ends_s: float


@dataclass
class _SignedIn:
    """One sign-in: all refresh tokens that follow from it."""

    client_id: str
    scope: str
    over: bool = False
    tokens: set[str] = field(default_factory=set)


class Grants:
    """All that is asked for and granted, by code and token."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._devices: dict[str, Device] = {}
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, tuple[_SignedIn, float]] = {}

    # ---- device code --------------------------------------------------------------------------

    def ask_device(
        self, client_id: str, scope: str, life_s: float, interval_s: float
    ) -> tuple[str, Device]:
        letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
        device = Device(
            client_id, scope, f"{letters[:4]}-{letters[4:]}", self._clock() + life_s, interval_s
        )
        code = secrets.token_urlsafe(32)
        self._devices[code] = device
        return code, device

    def device_of(self, user_code: str) -> Device | None:
        """The device that shows this code and still waits, however a person typed it."""
        wanted = "".join(filter(str.isalpha, user_code.upper()))
        return next(
            (
                device
                for device in self._devices.values()
                if device.user_code.replace("-", "") == wanted
                and device.allowed is None
                and device.ends_s > self._clock()
            ),
            None,
        )

    def poll(self, code: str, client_id: str) -> str:
        """The scope of what was allowed; raises Denied until it is."""
        device, now = self._devices.get(code), self._clock()
        if device is None or device.client_id != client_id:
            raise Denied("invalid_grant", "There is no such device code.")
        if now >= device.ends_s:
            raise Denied("expired_token", "The code has expired.")
        early = device.polled_s is not None and now - device.polled_s < device.interval_s
        device.polled_s = now
        if early:
            device.interval_s += _SLOWER_S
            raise Denied("slow_down", f"Ask once in {device.interval_s:g} s.")
        if device.allowed is None:
            raise Denied("authorization_pending", "Nobody has decided yet.")
        del self._devices[code]
        if not device.allowed:
            raise Denied("access_denied", "The person said no.")
        return device.scope

    # ---- authorization code -------------------------------------------------------------------

    def ask_code(self, client_id: str, scope: str, redirect_uri: str, challenge: str) -> str:
        code = secrets.token_urlsafe(32)
        ends_s = self._clock() + _CODE_LIFE_S
        self._codes[code] = _Code(client_id, scope, redirect_uri, challenge, ends_s)
        return code

    def redeem(self, code: str, client_id: str, redirect_uri: str, verifier: str) -> str:
        """The scope of a code, which is good once."""
        known = self._codes.pop(code, None)
        if known is None or self._clock() >= known.ends_s or known.client_id != client_id:
            raise Denied("invalid_grant", "There is no such code, or it has expired.")
        if known.redirect_uri != redirect_uri:
            raise Denied("invalid_grant", "redirect_uri is another one.")
        if not hmac.compare_digest(known.challenge.encode(), challenge_of(verifier).encode()):
            raise Denied("invalid_grant", "code_verifier does not fit the challenge.")
        return known.scope

    # ---- refresh tokens -----------------------------------------------------------------------

    def sign_in(self, client_id: str, scope: str, life_s: float | None) -> str:
        """The first refresh token of a sign-in."""
        return self._hand_out(_SignedIn(client_id, scope), life_s)

    def renew(self, token: str, client_id: str, life_s: float | None) -> tuple[str, str]:
        """The scope, and the refresh token that takes the place of `token`."""
        signed_in, ends_s = self._refresh.get(token, (_SignedIn("", ""), 0.0))
        if signed_in.client_id != client_id or signed_in.over or self._clock() >= ends_s:
            raise Denied("invalid_grant", "The refresh token is not good, or has expired.")
        if token not in signed_in.tokens:
            signed_in.over = True
            raise Denied("invalid_grant", "The refresh token was used before: sign in again.")
        signed_in.tokens.discard(token)
        return signed_in.scope, self._hand_out(signed_in, life_s)

    def _hand_out(self, signed_in: _SignedIn, life_s: float | None) -> str:
        token = secrets.token_urlsafe(32)
        signed_in.tokens.add(token)
        ends_s = float("inf") if life_s is None else self._clock() + life_s
        self._refresh[token] = signed_in, ends_s
        return token


def challenge_of(verifier: str) -> str:
    """RFC 7636: BASE64URL(SHA256(verifier)), without padding."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
