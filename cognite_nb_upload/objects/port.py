"""The door to another store: what every way of reading an object there has, and how it fails.

Rules of this file: an answer that does not come is `Unreadable`, and says whether another try may
end otherwise; an object that is not the one that was looked at is `Changed`; no text of a library
is passed on, because it may hold a signed address.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

_HEX: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a store tells of an object. "" and None stand for "it does not say".

    Attributes:
        size: bytes; None where only reading tells.
        etag: as the store writes it, quotes included.
        version: its version id, or its generation.
        modified: when it was last written to, as text that is only compared.
        modified_ns: the same in nanoseconds since 1970; 0 where it cannot be read as a time.
        md5: of the whole, in bytes.
        crc32c: of the whole, 4 bytes.
    """

    size: int | None
    etag: str = ""
    version: str = ""
    modified: str = ""
    modified_ns: int = 0
    md5: bytes = b""
    crc32c: bytes = b""

    @property
    def token(self) -> str:
        """What tells this content from another in the same place; "" where nothing does."""
        if self.etag:
            return f"etag {self.etag.removeprefix('W/').strip(chr(34))}"
        if self.version:
            return f"version {self.version}"
        return f"modified {self.modified}" if self.modified else ""

    @property
    def is_exact(self) -> bool:
        """Each content has an ETag or a version of its own; a time alone has whole seconds."""
        return bool(self.strong_etag or self.version)

    @property
    def strong_etag(self) -> str:
        """The ETag where a request may demand it (`If-Match`); "" where there is none."""
        if not self.etag or self.etag.startswith("W/"):
            return ""
        return self.etag if self.etag.startswith('"') else f'"{self.etag}"'  # of some listings

    @property
    def etag_md5(self) -> bytes:
        """The MD5 that an ETag of 32 hex digits is, unless a key of the bucket encrypts."""
        plain = self.etag.strip('"')
        return bytes.fromhex(plain) if _HEX.fullmatch(plain) else b""

    def difference(self, now: ObjectFacts) -> str:
        """How the object differs from what it was, in words; "" where it is the same."""
        if now.size is not None and now.size != self.size:
            return f"was {self.size} bytes and is {now.size}"
        if self.token and now.token != self.token:
            return "was replaced"
        return ""


def digest_of(text: object, size: int) -> bytes:
    """A checksum that a store writes in base64; b"" where it is none of so many bytes."""
    try:
        found = base64.b64decode(str(text or ""), validate=True)
    except ValueError:
        return b""
    return found if len(found) == size else b""


class Unreadable(Exception):
    """A store gave no answer, or one that is no content.

    Attributes:
        reason: in words, without any address.
        retry: another try may end otherwise.
        status: the HTTP status, where there was one.
        retry_after: the header's text; `now` is the store's clock.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry: bool = True,
        status: int | None = None,
        retry_after: str | None = None,
        now: datetime | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.retry, self.status = reason, retry, status
        self.retry_after, self.now = retry_after, now


class Changed(Exception):
    """The object is not the one that was looked at; the text says how, after "it"."""


class Gone(Changed):
    """There is no object of this name."""


class Way(Protocol):
    """Reads one object. Any number of threads call it at a time.

    Attributes:
        compares: each read by itself fails where the object is not the one of `facts`, so that it
            need not be looked at before and after each part.
    """

    compares: bool

    def look(self) -> ObjectFacts:
        """What the store tells of the object now.

        Raises:
            Gone, Unreadable: it does not.
        """
        ...

    def stream(self, start: int, end: int, facts: ObjectFacts) -> Iterator[bytes]:
        """Bytes `[start, end)` in blocks; the connection ends with the generator.

        Raises:
            Changed: the object is not that of `facts`.
            Unreadable: they do not come, or break off.
        """
        ...

    def close(self) -> None:
        """Close what was opened here."""
        ...
