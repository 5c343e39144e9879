"""A signed URL: checked before anything is sent to it, sent letter for letter, and never shown."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import httpx

from cognite_nb_upload import http
from cognite_nb_upload.core.secret import REDACTED, Secret
from cognite_nb_upload.errors import TransferError

_PORTS: Final = {"http": 80, "https": 443}
_ORIGIN: Final = re.compile(r"^[a-zA-Z]+://[^/?#]*")
# What may stand in a request line: anything else could not go out as it was signed.
_TARGET: Final = re.compile(rb"/[!-~]*")
# As stores hand them out. Reading them with httpx would cost a small file a fifth of its CPU.
_USUAL: Final = re.compile(r"(https?://[a-zA-Z0-9.:\[\]-]+)(/[!-~]*)")
_LONGEST: Final = 8192


class SignedURL:
    """A URL of a store: it goes out letter for letter, and shows no more than its host.

    An HTTP library would normalise it, which may break its signature.

    Attributes:
        scheme: "https"; "http" on this machine.
        host: as a connection asks for it: a name in ASCII, or an address.
        port: 1 to 65535.
        netloc: what the Host header says.
        has_user: it carries a user name, which no signed URL does.
        shape: equal for URLs that ask one host for the same kind of thing.
    """

    __slots__ = ("_target", "has_user", "host", "netloc", "port", "scheme", "shape")

    def __init__(self, url: Secret, base: httpx.URL) -> None:
        """Read it; one without a host is taken below `base`.

        Raises:
            httpx.InvalidURL, ValueError: it cannot be read, or cannot go out as it is.
        """
        text = url.reveal()
        usual = _USUAL.fullmatch(text)
        if usual and len(text) < _LONGEST:
            self._take(_of_origin(usual[1]), usual[2].partition("#")[0])
            return
        if not httpx.URL(text).host:
            text = str(base.copy_with(raw_path=b"/")) + text.lstrip("/")
        read = httpx.URL(text)
        target = _ORIGIN.sub("", text).partition("#")[0]
        self._take(read, target if target.startswith("/") else "/" + target)

    def _take(self, read: httpx.URL, target: str) -> None:
        self._target = Secret(target)
        if not _TARGET.fullmatch(self.target()):
            raise ValueError("it has a character that no request line may have")
        self.scheme = read.scheme
        self.host = read.raw_host.decode("ascii")
        self.port = read.port or _PORTS.get(read.scheme, 0)
        self.netloc = read.netloc.decode("ascii")
        self.has_user = bool(read.userinfo)
        pairs = target.partition("?")[2].split("&")
        self.shape = (self.netloc, frozenset(pair.partition("=")[0] for pair in pairs))

    def target(self) -> bytes:
        """Path and query, as they were handed out: for the request line."""
        return self._target.reveal().encode("ascii")

    def reveal(self) -> str:
        """The whole URL: for a page that sends to it by itself."""
        return f"{self.scheme}://{self.netloc}{self._target.reveal()}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}/{REDACTED}"

    def __repr__(self) -> str:
        return f"SignedURL({str(self)!r})"


def checked_upload_url(url: Secret, base_url: str) -> SignedURL:
    """An upload URL that may be used: joined to the base URL where it is relative.

    Raises:
        TransferError: it cannot be read; it is not https (http only between loopback hosts), has a
            user name in it, or an address that only this machine's network reaches.
    """
    base = _of_origin(base_url)
    signed = _signed(url, base)
    if signed is None:
        raise TransferError("CDF handed out an upload URL that cannot be read.")
    if problem := _problem(signed, base):
        raise TransferError(f"CDF handed out an upload URL to {signed.host} that {problem}.")
    return signed


@lru_cache(maxsize=256)
def _of_origin(text: str) -> httpx.URL:
    """A URL without anything secret in it, read once."""
    return httpx.URL(text)


def _signed(url: Secret, base: httpx.URL) -> SignedURL | None:
    try:
        return SignedURL(url, base)
    except (httpx.InvalidURL, ValueError):  # ValueError: it is not ASCII
        return None


def _problem(url: SignedURL, base: httpx.URL) -> str | None:
    if url.has_user:
        return "carries a user name"
    local = http.is_loopback(url.host) and http.is_loopback(base.host)
    if url.scheme != "https" and not (url.scheme == "http" and local):
        return "is not https"
    return "is a link-local address" if http.is_link_local(url.host) else None
