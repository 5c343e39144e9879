"""An address as text: told from a path, shown without secrets, and what it names.

Rule of this file: user names, signatures and other queries are in no text that leaves it.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import UsageError

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+")
# Written by some without the two slashes.
_WITHOUT_SLASHES: Final = frozenset({"dbfs", "abfs", "abfss", "s3", "gs", "az"})
WEB: Final = frozenset({"http", "https"})
# Of a signed address, what only says that one may read, for a while.
_SIGNATURE: Final = re.compile(
    r"(?i)x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|signature|expires|key-pair-id|policy|"
    r"sv|se|sp|sr|sig|st|spr|sip|skoid|sktid|skt|ske|sks|skv|si|.*token.*"
)
_NO_WEB: Final = "An address of the web cannot be read; it is of the form https://host/path."
# A request carries these as they are; a space and letters of other scripts go as %XX.
SENT: Final = "".join(map(chr, range(0x21, 0x7F)))
# Two colons may also stand in an IPv6 address.
_CHAIN: Final = re.compile(r"::(?=[A-Za-z][\w+.-]*://)")


class Address:
    """An address of a file, or of several.

    Attributes:
        scheme: in lower case, such as "s3".
        shown: the address without user name and query: for people and for the journal.
        name: the last part of its path.
    """

    __slots__ = ("_text", "name", "scheme", "shown")

    def __init__(self, text: str) -> None:
        scheme, _, rest = text.partition(":")
        self.scheme = scheme.lower()
        rest = rest if rest.startswith("//") else f"//{rest.lstrip('/')}"
        if self.scheme in WEB:
            rest = _web(rest.strip())
        self._text = Secret(f"{self.scheme}:{rest}")
        path = rest.partition("::")[0] if "::" in rest and self.scheme not in WEB else rest
        path = unquote(urlsplit(path).path) if self.scheme in WEB else _unsigned(path)
        self.name = path.rstrip("/").rpartition("/")[2]
        first, *others = _CHAIN.split(rest)  # such as a file in an archive at another address
        try:
            self.shown = "::".join([_shown(self.scheme, first), *map(_shown_link, others)])
        except ValueError:
            raise UsageError(_NO_WEB) from None

    def reveal(self) -> str:
        """The whole address, with what is secret in it."""
        return self._text.reveal()

    @property
    def has_secrets(self) -> bool:
        """It has what is not shown: a signature, a password, or another query."""
        return self.shown != self.reveal()

    @property
    def container(self) -> str:
        """What stands between `//` and the next slash: bucket, container, host."""
        return self.reveal().partition("://")[2].partition("/")[0]

    @property
    def key(self) -> str:
        """What stands behind the container, letter for letter."""
        return self.reveal().partition("://")[2].partition("/")[2]

    def beside(self, key: str) -> Address:
        """The address of another key of the same container."""
        return Address(f"{self.scheme}://{self.container}/{key}")

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def _web(rest: str) -> str:
    """What stands behind `https:`, as a request can carry it; what it can carry is not touched.

    Raises:
        UsageError: no connection can be made to it.
    """
    rest = re.sub(r"[\t\r\n]", "", rest)  # as browsers read it
    try:
        parts = urlsplit(rest)
        port = "" if parts.port is None else f":{parts.port}"
        host = (parts.hostname or "").encode("idna").decode()
    except (ValueError, UnicodeError):  # its text may hold a password
        raise UsageError(_NO_WEB) from None
    netloc = parts.netloc
    if not netloc.isascii():
        login, at, _ = netloc.rpartition("@")
        netloc = f"{login}{at}{host}{port}"
    return quote(f"//{netloc}{rest[2 + len(parts.netloc) :]}", safe=SENT)


def is_address(text: object) -> bool:
    """True for `scheme://...`, unless a local file is called so."""
    if not isinstance(text, str):
        return False
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        return False
    if scheme.lower() == "file" and rest.startswith("/"):  # Java writes `file:/a/b`
        rest = f"//{rest}"
    if not rest.startswith("//") and scheme.lower() not in _WITHOUT_SLASHES:
        return False
    return "\0" not in text and not os.path.lexists(text)


def _shown_link(link: str) -> str:
    scheme, colon, rest = link.partition(":")
    return _shown(scheme.lower(), rest) if colon else link


def _unsigned(key: str) -> str:
    """A key without a signature; a question mark may also be a letter of it."""
    path, _, query = key.partition("?")
    signed = any(_SIGNATURE.fullmatch(name) for name, _ in parse_qsl(query, keep_blank_values=True))
    return path if signed else key


def _shown(scheme: str, rest: str) -> str:
    if scheme not in WEB:
        place, slash, key = rest.removeprefix("//").partition("/")
        # abfs://container@account is no user name; a password is told by its colon.
        user, at, host = place.rpartition("@")
        place = host if at and ":" in user else place
        return f"{scheme}://{place}{slash}{_unsigned(key)}"
    parts = urlsplit(f"{scheme}:{rest}")
    place = parts.netloc.rpartition("@")[2]
    # What is asked for with `?id=7` is another file than with `?id=8`; what it says stays unseen.
    asked = [pair for pair in parse_qsl(parts.query, keep_blank_values=True)
             if not _SIGNATURE.fullmatch(pair[0])]  # fmt: skip
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()[:8] if asked else ""
    return f"{scheme}://{place}{parts.path}" + (f"?{digest}" if digest else "")
