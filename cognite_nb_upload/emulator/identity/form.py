"""The form of a request, and what stands in its Authorization header."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, unquote_plus

from starlette.requests import Request

from ..routes import read_body
from ..rules import Refused

MAX_FORM = 16 * 1024  # bytes; a form is read before anyone has shown a token


async def read_form(request: Request) -> dict[str, str]:
    raw = await read_body(request, Refused("The form is too large", status=413), MAX_FORM)
    try:
        found = parse_qs(raw.decode(), errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Refused("The form cannot be read") from error
    return {name: values[0] for name, values in found.items()}


def client_of(request: Request, form: dict[str, str]) -> tuple[str, str]:
    """The client's id and secret, in the form or by HTTP Basic."""
    scheme, _, basic = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        return _basic(basic)
    return form.get("client_id", ""), form.get("client_secret", "")


def _basic(text: str) -> tuple[str, str]:
    """The client's id and secret, as RFC 6749 has them in an Authorization header."""
    try:
        name, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote_plus(name), unquote_plus(secret)
