"""Who is answered at all: this machine, under a name of its own, and allowed hosts."""

from __future__ import annotations

from collections.abc import Container
from urllib.parse import urlsplit

from starlette.requests import Request

from .rules import Refused

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


def check_host_and_origin(request: Request, allowed: Container[str] = ()) -> None:
    """Another name in Host is a rebound DNS; another in Origin, a web page's request."""
    urls = [f"//{request.headers.get('host', '')}"]
    if "origin" in request.headers:
        urls.append(request.headers["origin"])
    if not all(is_allowed(url, allowed) for url in urls):
        raise Refused("The emulator answers requests of this machine alone", status=403)


def is_allowed(url: str, allowed: Container[str]) -> bool:
    """Whether the URL's host is this machine or an allowed one, and its port a port."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:  # not a URL at all
        return False
    return host in LOOPBACK or host in allowed
