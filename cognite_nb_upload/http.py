"""What both of our HTTP clients share: trust, checked URLs, sealed frames, errors put in words.

Rules of this file: certificates are always verified; a URL is https, or http to this machine when
CDF itself is on this machine; no log line of httpx or httpcore shows a URL's query; no traceback
leads into a frame that holds a token or a signed URL.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import re
import socket
import ssl
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePath
from types import TracebackType
from typing import Final

import httpx

from cognite_nb_upload.core.retry import Retry, parse_retry_after
from cognite_nb_upload.core.secret import REDACTED, Secret
from cognite_nb_upload.errors import ConfigError, TransferError, UploadToolkitError

_QUERY: Final = re.compile(r"\?[^\s'\"<>]*")
_BEARER: Final = re.compile(r"(?i)(authorization'?\"?[:,]\s*b?'?\"?)[^\s'\"]+(\s+[^\s'\")]+)?")


class _Redacting(logging.Filter):
    """Drops the query of every URL, and every authorization value, from a log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        clean = redacted(text)
        if clean != text:
            record.msg, record.args = clean, ()
        return True


def redacted(text: str) -> str:
    """The text without queries of URLs and without authorization values."""
    return _BEARER.sub(r"\1<secret>", _QUERY.sub("?<secret>", text))


def quiet_logs() -> None:
    """Put the redacting filter on the loggers of httpx and httpcore; once is enough."""
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Redacting) for one in logger.filters):
            logger.addFilter(_Redacting())


@functools.lru_cache(maxsize=8)
def _tls_context(cafile: str | None) -> ssl.SSLContext:
    if cafile and os.path.isdir(cafile):
        return ssl.create_default_context(capath=cafile)
    return ssl.create_default_context(cafile=cafile) if cafile else httpx.create_ssl_context()


def tls_context() -> ssl.SSLContext:
    """One TLS context for all, which honours the variables that other tools honour.

    SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, in this order.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    cafile = next((os.environ[name] for name in names if os.environ.get(name)), None)
    if cafile and not os.path.exists(cafile):
        raise ConfigError(
            f"The certificates at {cafile} are not there (SSL_CERT_FILE and the like)."
        )
    return _tls_context(cafile)


def is_loopback(host: str) -> bool:
    """True for this machine's own names and addresses."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_base_url(text: str, name: str = "base_url") -> str:
    """A URL without its last slash: https, or http to this machine.

    Raises:
        ConfigError: anything else.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.userinfo:
        raise ConfigError(f"{name} carries a user name; give https://host alone.")
    if not url.host or url.scheme not in ("https", "http"):
        raise ConfigError(f"{name} {redacted(text)!r} is not of the form https://host.")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ConfigError(f"{name} {redacted(text)!r} is not encrypted; use https.")
    return text.rstrip("/")


class SignedURL(httpx.URL):
    """A URL of a store: it goes out letter for letter, and shows no more than its host.

    httpx would normalise it, which may break its signature.
    """

    def __init__(self, url: Secret, base: httpx.URL) -> None:
        text = url.reveal()
        if not httpx.URL(text).host:
            text = str(base.copy_with(raw_path=b"/")) + text.lstrip("/")
        super().__init__(text)
        target = re.sub(r"^[a-zA-Z]+://[^/?#]*", "", text).partition("#")[0]
        self._target = (target if target.startswith("/") else "/" + target).encode("ascii")

    @property
    def raw_path(self) -> bytes:
        """Path and query, as they were handed out."""
        return self._target

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode()}/{REDACTED}"

    def __repr__(self) -> str:
        return f"SignedURL({str(self)!r})"


def checked_upload_url(url: Secret, base_url: str) -> SignedURL:
    """An upload URL that may be used: joined to the base URL where it is relative.

    Raises:
        TransferError: it cannot be read; it is not https (http only between loopback hosts), has a
            user name in it, or an address that only this machine's network reaches.
    """
    base = httpx.URL(base_url)
    signed = _signed(url, base)
    if signed is None:
        raise TransferError("CDF handed out an upload URL that cannot be read.")
    if problem := _url_problem(signed, base):
        raise TransferError(f"CDF handed out an upload URL to {signed.host} that {problem}.")
    return signed


def _signed(url: Secret, base: httpx.URL) -> SignedURL | None:
    try:
        return SignedURL(url, base)
    except (httpx.InvalidURL, ValueError):  # ValueError: it is not ASCII
        return None


def host_of(text: str) -> str:
    """The host that a URL names; "" where it names none."""
    try:
        return httpx.URL(text).host
    except httpx.InvalidURL:
        return ""


def _url_problem(url: httpx.URL, base: httpx.URL) -> str | None:
    if url.userinfo:
        return "carries a user name"
    if url.scheme != "https" and not (
        url.scheme == "http" and is_loopback(url.host) and is_loopback(base.host)
    ):
        return "is not https"
    try:
        address = ipaddress.ip_address(url.host)
    except ValueError:
        return None
    return "is a link-local address" if address.is_link_local else None


class Sealed:
    """Within the block, frames hold secrets: no traceback leads into them.

    Debuggers and IPython's `%xmode Verbose` print what a frame holds. The error itself stays, and
    so does what it came from; of a foreign error, a note says where it was raised.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        if error is None:
            return
        if isinstance(error, Exception) and not isinstance(error, UploadToolkitError):
            error.add_note(_place(frames))
        for one in _family(error):
            one.__traceback__ = None


def _place(frames: TracebackType | None) -> str:
    *_, innermost = traceback.extract_tb(frames)
    file = PurePath(innermost.filename).name
    return f"Raised in {innermost.name}, line {innermost.lineno} of {file}."


def _family(error: BaseException) -> Iterator[BaseException]:
    """The error, and everything that is printed with it."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
            yield one


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what lies behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def certificate_problem(error: BaseException) -> str | None:
    """What is wrong with the certificate, where that is the cause; else None."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or "the certificate is not trusted"
    return None


CERTIFICATE_HINT: Final = (
    "If your company inspects TLS, put its certificate in a file and set SSL_CERT_FILE to its path."
)
PROXY_HINT: Final = "The proxy asks for a login: set HTTPS_PROXY=http://user:password@host:port."


# What is on this machine is reached directly, whatever HTTP_PROXY says.
DIRECT: Final[Mapping[str, None]] = {"all://127.0.0.1": None, "all://[::1]": None}


def proxy_refused(error: BaseException) -> bool:
    """True where a proxy answered 407: it wants a login."""
    return isinstance(error, httpx.ProxyError) and "407" in str(error)


def never_connected(error: BaseException) -> bool:
    """True where not a byte of the request can have left: safe to repeat whatever it was."""
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


def asks_too_much(retry: Retry, retry_after: str | None, now: datetime | None) -> str:
    """Says so, where a server asks for more patience than there is; else ""."""
    asked_s = parse_retry_after(retry_after, now) or 0.0
    if asked_s <= retry.patience_s:
        return ""
    return (
        f", and asks to come back in {asked_s:.0f} s, which is longer than the "
        f"{retry.patience_s:.0f} s of Retry(patience_s=...)"
    )


def in_words(error: BaseException) -> str:
    """A transport error as a reader understands it, without any URL."""
    for cause in causes(error):
        if isinstance(cause, socket.gaierror):
            return "the host's name could not be looked up"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "the connection was reset"
    return _WORDS.get(type(error).__name__, type(error).__name__)


_WORDS: Final = {
    "ConnectTimeout": "no connection in time",
    "ConnectError": "no connection",
    "ReadTimeout": "no answer in time",
    "WriteTimeout": "no byte could be sent in time",
    "ReadError": "the connection broke while waiting for the answer",
    "WriteError": "the connection broke while sending",
    "RemoteProtocolError": "the connection was closed without a whole answer",
    "ProxyError": "the proxy refused",
    "DecodingError": "the answer could not be read",
    "PoolTimeout": "no connection was free in time",
}


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The server's own clock, from its `Date` header."""
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
