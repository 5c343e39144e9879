"""What both of our HTTP clients share: trust, checked URLs, quiet logs, errors put in words.

Rules of this file: certificates are always verified; a URL is https, or http to this machine when
CDF itself is on this machine; no log line of httpx or httpcore shows a URL's query.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

from cognite_nb_upload.errors import ConfigError, TransferError

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


def checked_base_url(text: str) -> str:
    """A base URL without its last slash: https, or http to this machine.

    Raises:
        ConfigError: anything else.
    """
    url = httpx.URL(text)
    if not url.host or url.userinfo or url.scheme not in ("https", "http"):
        raise ConfigError(f"base_url {redacted(text)!r} is not of the form https://host.")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ConfigError(f"base_url {text!r} is not encrypted; use https.")
    return text.rstrip("/")


def checked_upload_url(text: str, base_url: str) -> str:
    """An upload URL that may be used: joined to the base URL where it is relative.

    Raises:
        TransferError: not https (http only between loopback hosts), a user name in it, or an
            address that only this machine's network reaches.
    """
    base = httpx.URL(base_url)
    url = httpx.URL(text)
    if not url.host:
        text = str(base.copy_with(raw_path=b"/")).rstrip("/") + "/" + text.lstrip("/")
        url = httpx.URL(text)
    if problem := _url_problem(url, base):
        raise TransferError(f"CDF handed out an upload URL to {url.host} that {problem}.")
    return text


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


def proxy_refused(error: BaseException) -> bool:
    """True where a proxy answered 407: it wants a login."""
    return isinstance(error, httpx.ProxyError) and "407" in str(error)


def never_connected(error: BaseException) -> bool:
    """True where not a byte of the request can have left: safe to repeat whatever it was."""
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)


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
    "PoolTimeout": "no connection was free in time",
}
