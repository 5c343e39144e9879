"""What an answer of a store means, and what it means that there is none. Pure: facts in, words out.

Rule of this file: only a clean 200 or 201 that came after the last byte counts as stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cognite_nb_upload import http
from cognite_nb_upload.core.retry import RETRYABLE
from cognite_nb_upload.store.answer import (
    Answer,
    Cancelled,
    NoAnswer,
    NotConnected,
    ProxyRefused,
    Stalled,
)
from cognite_nb_upload.store.port import Checksums, Verdict

_CODE: Final = re.compile(r"<Code>([^<]{1,100})</Code>")
_BETWEEN: Final = "Is there a login page or a proxy between you and the store?"


def judge(answer: Answer, *, etag_expected: bool = False) -> Verdict:
    """What a store's answer to a part means.

    Args:
        answer: the store's.
        etag_expected: its other answers to such requests carried an ETag.
    """
    status, headers, text = answer.status, answer.headers, answer.text
    said = _store_code(text)
    if status in (200, 201):
        problem = _not_stored(answer, said, etag_expected)
        if problem:
            return Verdict(False, problem, retry=True, hint=_BETWEEN)
        return Verdict(True, status=status, checksums=_checksums(headers))
    words = f"the store says {status}" + (f" {said}" if said else "")
    if 300 <= status < 400:
        host = http.host_of(headers.get("location", "")) or "another address"
        return Verdict(
            False, f"{words}, and points to {host}; redirects are not followed", status=status
        )
    if status == 403 or (status == 400 and _says_expired(text)):  # GCS says so with 400
        return _forbidden(words, answer)
    asked = headers.get("cdf-is-auto-retryable", "").lower() == "true"
    return Verdict(
        False,
        words,
        retry=status in RETRYABLE or asked or status < 300,
        status=status,
        overloaded=status in (429, 503),
        retry_after=headers.get("retry-after"),
        retryable=asked or status < 300,
        now=http.server_time(headers),
    )


def unanswered(error: NoAnswer) -> Verdict:
    """What it means that no answer came."""
    words = str(error)
    if isinstance(error, Cancelled):
        return Verdict(False, words or "stopped")
    if isinstance(error, Stalled):
        return Verdict(False, words, retry=True, overloaded=True)
    if (problem := http.certificate_problem(error)) is not None:
        return Verdict(False, f"the store is not trusted: {problem}", hint=http.certificate_hint())
    if isinstance(error, ProxyRefused) and error.status == 407:
        return Verdict(False, words, status=407, hint=http.PROXY_HINT)
    if isinstance(error, NotConnected):
        return Verdict(False, words, retry=True, offline=True, overloaded=error.slow)
    return Verdict(False, words, retry=True)


def _not_stored(answer: Answer, said: str, etag_expected: bool) -> str:
    """Why a 200 does not mean that the part is stored; "" where it does."""
    status, headers = answer.status, answer.headers
    if answer.early:
        return f"the answer was {status} before all of the part was sent"
    if headers.get("content-encoding", "identity").lower() != "identity":
        return "the answer could not be read"  # nothing was asked for in any encoding
    if not _is_clean(headers, answer.text):
        return f"the answer was {status} with a body that no store gives ({said or 'a page?'})"
    if "set-cookie" in headers:
        return f"the answer was {status} with a cookie, which no store sets"
    if etag_expected and not headers.get("etag"):
        return f"the answer was {status} without the ETag that the store's other answers have"
    return ""


def _forbidden(words: str, answer: Answer) -> Verdict:
    """The URL has expired, this machine's clock is off, or the signature does not fit."""
    status, text = answer.status, answer.text
    there = http.server_time(answer.headers)
    if "requesttimetooskewed" in text.lower() and there is not None:
        off = abs((datetime.now(there.tzinfo) - there).total_seconds()) / 60
        return Verdict(
            False,
            f"{words}: your clock is off by {off:.0f} min",
            status=status,
            hint=f"This machine's clock is off by {off:.0f} min; set it, and go on.",
        )
    expired = _says_expired(text)
    return Verdict(
        False,
        f"{words}: the upload URL has expired" if expired else words,
        status=status,
        expired=expired,
        hint="Open the upload again: CDF then hands out fresh URLs." if expired else "",
    )


def _says_expired(text: str) -> bool:
    """S3 and GCS say "expired"; Azure names the time frame."""
    lower = text.lower()
    return "<error" in lower and (
        "expired" in lower or "signature not valid in the specified time frame" in lower
    )


def _store_code(text: str) -> str:
    found = _CODE.search(text)
    return found.group(1) if found else ""


def _is_clean(headers: Mapping[str, str], text: str) -> bool:
    start = text.lstrip("\ufeff \r\n\t")[:512].lower()
    page = "text/html" in headers.get("content-type", "").lower() or start.startswith(
        ("<html", "<!doctype")
    )
    return not page and "<error" not in start


def _checksums(headers: Mapping[str, str]) -> Checksums:
    """The store's own checksums as it gave them: `etag`, `content-md5`, `crc32c`, `md5`."""
    found = [(name, headers[name]) for name in ("etag", "content-md5") if headers.get(name)]
    for pair in headers.get("x-goog-hash", "").split(","):
        name, _, value = pair.strip().partition("=")
        if value:
            found.append((f"x-goog-{name}", value))
    return tuple(found)
