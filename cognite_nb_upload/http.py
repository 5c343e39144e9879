"""What both of our HTTP clients share: trust, proxies, sealed frames, errors put in words.

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
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import PurePath
from types import TracebackType
from typing import Final
from urllib.request import getproxies

import httpx

from cognite_nb_upload import process
from cognite_nb_upload.core.retry import Retry, http_date, parse_retry_after
from cognite_nb_upload.errors import ConfigError, UploadToolkitError

_QUERY: Final = re.compile(r"\?[^\s'\"<>]*")
# What inet_aton may take: one to four numbers, decimal, octal or hexadecimal.
_OLD_IPV4: Final = re.compile(r"(?i)(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}")
_BEARER: Final = re.compile(r"(?i)(authorization'?\"?[:,]\s*b?'?\"?)[^\s'\"]+(\s+[^\s'\")]+)?")

# What says which proxies there are; the last one says that others may have set the first (CGI).
_PROXY_VARIABLES: Final = (
    "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
    "no_proxy", "NO_PROXY", "REQUEST_METHOD",
)  # fmt: skip
# Elsewhere the system has settings of its own.
_IN_ENVIRONMENT: Final = sys.platform not in ("darwin", "win32")


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


_MOST_PORT: Final = 65535
# Where systems keep what they trust, beside the place that OpenSSL was built with: Alpine, Arch and
# BSD; Fedora and RHEL; Debian and Ubuntu; SUSE.
_BUNDLES: Final = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
# Their roots are in no file: the system itself is asked about a certificate.
_ASKED: Final = frozenset({"darwin", "win32"})


def system_roots(platform: str) -> ssl.SSLContext:
    """A TLS context that trusts what the operating system trusts, a company's own authority too.

    On macOS and Windows that takes the package truststore. Elsewhere it would read all roots again
    for every connection, so they are loaded once. Where the system has none, or truststore is
    missing: the roots of certifi.
    """
    if platform in _ASKED:
        if find_spec("truststore") is None:
            return httpx.create_ssl_context(trust_env=False)
        import truststore  # optional, and slow to import

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    if context.cert_store_stats()["x509_ca"]:
        return context
    bundle = next((one for one in _BUNDLES if os.path.isfile(one)), None)
    if bundle is None:
        return httpx.create_ssl_context(trust_env=False)
    context.load_verify_locations(bundle)
    return context


@functools.lru_cache(maxsize=8)
def _tls_context(cafile: str | None, pid: int) -> ssl.SSLContext:
    """One for each process (`pid`): another thread may have its locks at a fork."""
    if cafile and not os.path.exists(cafile):
        raise ConfigError(
            f"The certificates at {cafile} are not there (SSL_CERT_FILE and the like)."
        )
    try:
        if cafile and os.path.isdir(cafile):
            return ssl.create_default_context(capath=cafile)
        return ssl.create_default_context(cafile=cafile) if cafile else system_roots(sys.platform)
    except OSError as error:  # ssl.SSLError is one
        which = f"at {cafile} (SSL_CERT_FILE and the like)" if cafile else "of this system"
        keys = os.environ.get("SSLKEYLOGFILE", "")
        if keys and error.filename == keys:
            raise ConfigError(
                f"SSLKEYLOGFILE names {keys}, which cannot be written to; unset it."
            ) from None
        raise ConfigError(f"The certificates {which} cannot be read: {error.strerror}.") from None


def tls_context() -> ssl.SSLContext:
    """One TLS context for all, which honours the variables that other tools honour.

    SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE, in this order; where none is
    set, what the operating system trusts.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    found = (os.environ.get(name, "").strip().strip("\"'") for name in names)
    cafile = next(filter(None, found), None)
    return _tls_context(cafile, os.getpid())


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """True for this machine's own name and addresses, in every spelling that a socket takes."""
    address = address_of(host)
    return address.is_loopback if address else host.lower().rstrip(".") == "localhost"


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is, also as `127.1`, `0x7f000001` or `::ffff:127.0.0.1`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not _OLD_IPV4.fullmatch(host):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


@functools.lru_cache(maxsize=256)
def is_link_local(host: str) -> bool:
    """True for an address that is never routed, in every spelling and inside IPv6 addresses."""
    address = address_of(host.rstrip("."))
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.sixtofour
        if address in _NAT64 or address in _COMPATIBLE:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.is_link_local or (inner is not None and inner.is_link_local)
    return address is not None and address.is_link_local


def checked_base_url(text: str, name: str = "base_url") -> str:
    """A URL without its last slash: https, or http to this machine.

    Raises:
        ConfigError: anything else.
    """
    url = _url_of(text)
    if url.userinfo:
        raise ConfigError(f"{name} carries a user name; give https://host alone.")
    if not url.host or url.scheme not in ("https", "http"):
        raise ConfigError(f"{name} {redacted(text)!r} is not of the form https://host.")
    if url.scheme == "http" and not is_loopback(url.host):
        raise ConfigError(f"{name} {redacted(text)!r} is not encrypted; use https.")
    return text.rstrip("/")


def host_of(text: str) -> str:
    """The host that a URL names; "" where it names none."""
    return _url_of(text).host


def _url_of(text: str) -> httpx.URL:
    """The URL; an empty one where it is none that a connection can be made to."""
    try:
        url = httpx.URL(text)
        named = url.host and (url.port or 0) <= _MOST_PORT and ".." not in url.host
        return url if named and not url.host.startswith(".") else httpx.URL()
    except (httpx.InvalidURL, UnicodeError):  # the second: a host that is no name (`xn--a`)
        return httpx.URL()


def proxy_for(target: httpx.URL | str) -> httpx.URL | None:
    """The proxy that a request to `target` goes through; None: it goes there directly.

    The environment is read at each call, as httpx reads it: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and
    NO_PROXY, in either case (on Windows and macOS the system's settings, where none is set). Unlike
    there, a network in NO_PROXY (`10.0.0.0/8`, `fd00::/8`) means all its addresses, `*.host` means
    what `.host` does, and this machine is reached directly whatever is set: otherwise a token
    for a program on this machine would reach the proxy in clear text.

    Returns:
        A URL of the scheme http, https, socks5 or socks5h (where the proxy looks up the name),
        with user name and password where there are some. `httpx.Proxy` takes it.

    Raises:
        ConfigError: it cannot be used; the sentence names the variable.
    """
    url = httpx.URL(target)
    if is_loopback(url.host) or url.host.lower().rstrip(".").endswith(".localhost"):
        return None
    settings = _settings(_as_set()) if _IN_ENVIRONMENT else getproxies()
    scheme = next((one for one in (url.scheme, "all") if settings.get(one)), None)
    if scheme is None:
        return None
    around = re.split(r"[,\s]+", settings.get("no", ""))
    if "*" in around or any(_means(entry, url) for entry in around if entry):
        return None
    return _checked_proxy(settings[scheme].strip(), f"{scheme}_proxy")


def _as_set() -> tuple[str | None, ...]:
    """What the environment says now; reading it as a whole costs ten times as much."""
    return tuple(map(os.environ.get, _PROXY_VARIABLES))


@functools.lru_cache(maxsize=8)
def _settings(as_set: tuple[str | None, ...]) -> Mapping[str, str]:
    """The proxies while these variables are set so."""
    return getproxies()


def httpx_proxy(target: httpx.URL | str) -> httpx.Proxy | None:
    """`proxy_for`, as httpx's clients take it; they are given `trust_env=False` beside it."""
    proxy = proxy_for(target)
    if proxy is None:
        return None
    return httpx.Proxy(proxy, ssl_context=tls_context() if proxy.scheme == "https" else None)


def _checked_proxy(text: str, variable: str) -> httpx.URL:
    # The value may hold a password: no sentence shows more of it than its scheme.
    name = variable if variable in os.environ else variable.upper()
    url = _url_of(text if "://" in text else f"http://{text}")
    if not url.host or not url.scheme:
        raise ConfigError(f"{name} is not of the form http://host:port.")
    if url.scheme == "socks":  # as desktops write it
        url = url.copy_with(scheme="socks5")
    if url.scheme not in ("http", "https", "socks5", "socks5h"):
        raise ConfigError(
            f"{name} names a proxy by {url.scheme}://, and neither CDF nor a store can be reached "
            "that way; use http, https or socks5, or name their hosts in NO_PROXY."
        )
    if url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigError(
            f"{name} names a SOCKS proxy, which needs the package socksio: "
            "pip install 'cognite_nb_upload[socks]'."
        ).hint("Or name the hosts of CDF and of its stores in NO_PROXY, or unset the variable.")
    return url


def _means(entry: str, url: httpx.URL) -> bool:
    """Whether an entry of NO_PROXY means this URL's host (and port, and scheme)."""
    scheme, with_scheme, rest = entry.rpartition("://")
    host, port = _host_and_port(rest.lower())
    if scheme.lower() not in ("", "all", url.scheme):
        return False
    if port and port != str(url.port or {"http": 80, "https": 443}.get(url.scheme)):
        return False
    address = address_of(url.host)
    if address is not None:
        network = _network(host)
        return network is not None and address in network
    name, domain = url.host.rstrip("."), host_of(f"https://{host.lstrip('*').removeprefix('.')}")
    itself = not host.startswith((".", "*."))
    below = not with_scheme or host.startswith("*")
    return (itself and name == domain) or (below and name.endswith(f".{domain}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, ""


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


def certificate_hint(platform: str = sys.platform) -> str:
    """What to do where a certificate is not trusted."""
    by_system = "pip install 'cognite_nb_upload[truststore]' to trust what this system trusts, or "
    lacking = platform in _ASKED and find_spec("truststore") is None
    return (
        f"If your company inspects TLS, {by_system if lacking else ''}put its certificate in a "
        "file and set SSL_CERT_FILE to its path."
    )


PROXY_HINT: Final = "The proxy asks for a login: set HTTPS_PROXY=http://user:password@host:port."


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
        if (sentence := process.told(cause)) is not cause:
            return str(sentence).rstrip(".")
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
    return http_date(headers.get("date"))
