"""A file on a web server, by ranges.

Rules of this file: no link-local address is read from, whatever name or redirect leads there; no
redirect goes from https to http, and none takes headers along to another host; each answer is
compared with what was looked at, before a byte of it is used.
"""

from __future__ import annotations

import base64
import re
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import httpcore

from cognite_nb_upload import http
from cognite_nb_upload.core.plan import KIB
from cognite_nb_upload.core.retry import RETRYABLE, http_date
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.objects.address import SENT
from cognite_nb_upload.objects.port import Changed, Gone, ObjectFacts, Unreadable, digest_of

_BLOCK: Final = 512 * KIB
_REDIRECTS: Final = 5
_TIMEOUTS: Final = {"connect": 30.0, "read": 30.0, "write": 30.0, "pool": 60.0}
_RANGE: Final = re.compile(r"bytes (\d+|\*)-?(\d*)/(\d+|\*)")
_AGAIN: Final = RETRYABLE | {425}


class LinkLocal(Exception):
    """A name leads to an address that is never routed."""


class _Backend(httpcore.SyncBackend):
    """Looks a name up once, and connects to nothing that is link-local."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(error) from error
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if any(http.is_link_local(one.partition("%")[0]) for one in addresses):
            raise LinkLocal
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


class WebWay:
    """Reads one address of a web server.

    Attributes:
        ranges: the server gives ranges; known once it was looked at.
    """

    compares = True

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        http.quiet_logs()
        parts = urlsplit(url)
        self._given = {**_login(parts), **(headers or {})}
        netloc = parts.netloc.rpartition("@")[2]
        self._url = Secret(urlunsplit(parts._replace(netloc=netloc, fragment="")))
        self._pools: dict[str, httpcore.ConnectionPool] = {}
        self._lock = threading.Lock()
        self.ranges = True

    def look(self) -> ObjectFacts:
        """What the answer to a request for the first byte tells."""
        with http.Sealed(), self._get({"range": "bytes=0-0"}) as answer:
            headers = _plain(answer)
            if answer.status == 416:  # it has no first byte, or takes no range and does not say so
                total = _total(headers)
                self.ranges = total is not None
                return _facts(headers, total)
            self.ranges = answer.status == 206
            size = _total(headers) if self.ranges else _length(headers)
            return _facts(headers, size)

    def stream(self, start: int, end: int, facts: ObjectFacts) -> Iterator[bytes]:
        """Bytes `[start, end)` of one GET."""
        wanted = {"range": f"bytes={start}-{end - 1}"}
        if facts.strong_etag:
            wanted["if-match"] = facts.strong_etag
        with self._get(wanted) as answer:
            headers = _plain(answer)
            size = _total(headers) if answer.status == 206 else _length(headers)
            if how := facts.difference(_facts(headers, size)):
                raise Changed(how)
            if answer.status == 416:
                raise Changed("became shorter")
            if answer.status != 206 or not headers.get("content-range", "").startswith(
                f"bytes {start}-"
            ):
                raise Unreadable("its server gave another range than was asked for")
            yield from _blocks(answer)

    def all(self) -> Iterator[bytes]:
        """All bytes in order, for a server without ranges.

        Raises:
            Unreadable: they broke off.
        """
        with self._get({}) as answer:
            if answer.status == 416:
                raise Unreadable("its server refuses a request for all of it")
            size, came = _length(_plain(answer)), 0
            for block in _blocks(answer):
                came += len(block)
                yield block
            if size is not None and came != size:
                raise Unreadable("it broke off")

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            with suppress(RuntimeError):  # a read that was left behind still has a connection
                pool.close()

    # --- behind it ----------------------------------------------------------------------------

    @contextmanager
    def _get(self, headers: Mapping[str, str]) -> Iterator[httpcore.Response]:
        """The answer behind all redirects, with a status that has content (or 416)."""
        url, mine = self._url.reveal(), dict(self._given)
        with _in_words():
            for _ in range(_REDIRECTS + 1):
                _check(url)
                request = {"accept-encoding": "identity", **mine, **headers}
                with self._pool(url).stream(
                    "GET", url, headers=list(request.items()), extensions={"timeout": _TIMEOUTS}
                ) as answer:
                    target = _redirect(answer, url)
                    if target is None:
                        _check_status(answer)
                        yield answer
                        return
                if urlsplit(target)[:2] != urlsplit(url)[:2]:
                    mine = {}
                url = target
            raise Unreadable(f"its server redirects more than {_REDIRECTS} times", retry=False)

    def _pool(self, url: str) -> httpcore.ConnectionPool:
        proxy = http.proxy_for(url)
        key = "" if proxy is None else str(proxy)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = _pool_for(proxy)
            return self._pools[key]


def _pool_for(proxy: Any) -> httpcore.ConnectionPool:
    common: dict[str, Any] = {"ssl_context": http.tls_context(), "max_connections": 64}
    if proxy is None:
        return httpcore.ConnectionPool(network_backend=_Backend(), **common)
    login = (proxy.username, proxy.password) if proxy.username else None
    kind = httpcore.SOCKSProxy if proxy.scheme.startswith("socks") else httpcore.HTTPProxy
    where = str(proxy.copy_with(username=None, password=None))
    found: httpcore.ConnectionPool = kind(where, proxy_auth=login, **common)
    return found


def _login(parts: Any) -> dict[str, str]:
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _check(url: str) -> None:
    host = urlsplit(url).hostname or ""
    if not host:
        raise UsageError("The address names no host; it is of the form https://host/path.")
    if http.is_link_local(host):
        raise LinkLocal


def _redirect(answer: httpcore.Response, url: str) -> str | None:
    if answer.status not in (301, 302, 303, 307, 308):
        return None
    target = quote(urljoin(url, _plain(answer).get("location", "")), safe=SENT)
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https") or (urlsplit(url).scheme == "https" and scheme != "https"):
        raise Unreadable("its server redirects to what is not https", retry=False)
    return target


def _check_status(answer: httpcore.Response) -> None:
    status, headers = answer.status, _plain(answer)
    if status in (200, 206, 416):
        if headers.get("content-encoding", "identity") not in ("", "identity"):
            raise Unreadable("its server gives it packed alone", retry=False)
        return
    if status in (404, 410):
        raise Gone("is no longer there")
    if status == 412:
        raise Changed("was replaced")
    if status in (401, 403):
        raise Unreadable(
            f"its server refuses to show it ({status}), as where a signed address has expired",
            retry=False, status=status,
        )  # fmt: skip
    raise Unreadable(
        f"its server answered {status}",
        retry=status in _AGAIN,
        status=status,
        retry_after=headers.get("retry-after"),
        now=http_date(headers.get("date")),
    )


def _plain(answer: httpcore.Response) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers
    }


def _total(headers: Mapping[str, str]) -> int | None:
    found = _RANGE.fullmatch(headers.get("content-range", ""))
    return int(found.group(3)) if found and found.group(3) != "*" else None


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _facts(headers: Mapping[str, str], size: int | None) -> ObjectFacts:
    moment = http_date(headers.get("last-modified"))
    hashes = dict(
        one.strip().partition("=")[::2] for one in headers.get("x-goog-hash", "").split(",")
    )
    return ObjectFacts(
        size=size,
        etag=headers.get("etag", ""),
        version=headers.get("x-goog-generation", "") or headers.get("x-amz-version-id", ""),
        modified=headers.get("last-modified", ""),
        modified_ns=int(moment.timestamp()) * 10**9 if moment else 0,
        md5=digest_of(hashes.get("md5") or headers.get("x-ms-blob-content-md5"), 16),
        crc32c=digest_of(hashes.get("crc32c"), 4),
    )


def _blocks(answer: httpcore.Response) -> Iterator[bytes]:
    """What arrives, in blocks that are worth a hand-over between threads."""
    block = bytearray()
    broken: Exception | None = None
    try:
        for piece in answer.iter_stream():
            block += piece
            if len(block) >= _BLOCK:
                yield bytes(block)
                block.clear()
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        broken = error  # what came before it is right: the next read goes on behind it
    if block:
        yield bytes(block)
    if broken is not None:
        raise broken


def retry_after_at(url: str) -> str | None:
    """What a store says at a signed address of how long it wants to be left alone."""
    way = WebWay(url)
    try:
        way.look()
    except Unreadable as error:
        return error.retry_after
    finally:
        way.close()
    return None


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except LinkLocal:
        raise Unreadable(
            "it leads to a link-local address, and none is read from", retry=False
        ) from None
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise Unreadable(http.in_words(error)) from None
    except (httpcore.UnsupportedProtocol, httpcore.ProxyError):
        raise Unreadable("it cannot be asked for this way", retry=False) from None
