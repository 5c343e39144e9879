"""Who is answered at all: this machine, under a name of its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from .rules import Refused

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


def check_host_and_origin(request: Request) -> None:
    """Another name in Host is a rebound DNS; another in Origin, a web page's request."""
    urls = [f"//{request.headers.get('host', '')}"]
    if "origin" in request.headers:
        urls.append(request.headers["origin"])
    if not all(_is_loopback(url) for url in urls):
        raise Refused("The emulator answers requests of this machine alone", status=403)


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:  # not a URL at all
        return False
