"""Signed URLs, and what each kind of store says of a bad one."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate

AZURE_REFUSAL = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is "
    "formed correctly including the signature."
)
S3_REFUSAL = (
    "The request signature we calculated does not match the signature you provided. Check your key "
    "and signing method."
)
ISO = "%Y-%m-%dT%H:%M:%SZ"


class StoreRefused(Exception):
    """The store says no, in XML, as object stores do."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclass(frozen=True)
class Signer:
    """Signs a method, a path and an expiry, and checks them."""

    key: bytes
    clock: Callable[[], float] = time.time

    def url(self, method: str, path: str, life_s: float) -> str:
        """`path` with a query that is good for `method` during the next `life_s`."""
        expires = str(round((self.clock() + life_s) * 1000))
        return f"{path}?expires={expires}&signature={self._sign(method, path, expires)}"

    def check(self, method: str, path: str, query: Mapping[str, str], store: str) -> None:
        """Raises StoreRefused unless `query` signs `method` and `path`, and has not expired."""
        expires, given = query.get("expires", ""), query.get("signature", "")
        right = self._sign(method, path, expires)
        if not hmac.compare_digest(right.encode(), given.encode()):
            raise mismatch(store)
        now, end = self.clock(), int(expires) / 1000  # it is signed, so it is a number of ours
        if now >= end:
            raise expired(store, end, now)

    def _sign(self, method: str, path: str, expires: str) -> str:
        text = f"{method}\n{path}\n{expires}"
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


def mismatch(store: str) -> StoreRefused:
    """The signature is not that of this request."""
    if store == "azure":
        detail = "Signature did not match."
        return StoreRefused(
            403, "AuthenticationFailed", AZURE_REFUSAL, AuthenticationErrorDetail=detail
        )
    return StoreRefused(403, "SignatureDoesNotMatch", S3_REFUSAL)


def expired(store: str, end: float, now: float) -> StoreRefused:
    """The signature was good until `end`."""
    then, today = formatdate(end, usegmt=True), formatdate(now, usegmt=True)
    if store == "azure":
        detail = (
            f"Signature not valid in the specified time frame: Expiry [{then}] - Current [{today}]"
        )
        return StoreRefused(
            403, "AuthenticationFailed", AZURE_REFUSAL, AuthenticationErrorDetail=detail
        )
    if store == "gcs":
        detail = f"The provided token has expired. Request signature expired at: {then}"
        return StoreRefused(400, "ExpiredToken", "Invalid argument.", Details=detail)
    return StoreRefused(
        403,
        "AccessDenied",
        "Request has expired",
        Expires=time.strftime(ISO, time.gmtime(end)),
        ServerTime=time.strftime(ISO, time.gmtime(now)),
    )
