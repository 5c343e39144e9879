"""The run's token, and those that are handed out for it."""

from __future__ import annotations

import hmac
import secrets
import time

CLIENT_ID = "emulator"
DEFAULT_LIFE_S = 3600.0


class Tokens:
    """Which bearer tokens are good, compared in constant time."""

    def __init__(self, token: str, life_s: float | None) -> None:
        self._token = token
        self.life_s = DEFAULT_LIFE_S if life_s is None else life_s
        self._ends: dict[str, float] = {}

    def valid(self, authorization: str) -> bool:
        """Whether a header `Bearer ...` carries a good token."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        now = time.monotonic()
        self._ends = {token: end for token, end in self._ends.items() if end > now}
        good = [self._token, *self._ends]
        return any([hmac.compare_digest(token.encode(), given.encode()) for token in good])

    def is_client(self, client_id: str, secret: str) -> bool:
        """Whether these are the client's credentials; the run's token is its secret."""
        same = hmac.compare_digest(secret.encode(), self._token.encode())
        return client_id == CLIENT_ID and same

    def issue(self) -> str:
        """A new token, good for `life_s`."""
        token = secrets.token_urlsafe(24)
        self._ends[token] = time.monotonic() + self.life_s
        return token
