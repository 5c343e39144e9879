"""What one request to a store came to: an answer, or why there is none. Facts, no judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A store's answer to a part.

    Attributes:
        status: HTTP status.
        headers: by lower-case name; those that came several times are joined by a comma.
        text: the first 64 KiB of the body.
        early: it came before all of the part had reached the other side.
    """

    status: int
    headers: Mapping[str, str]
    text: str = ""
    early: bool = False


class NoAnswer(Exception):
    """The request was not answered; `str()` says why, in words, and without any URL."""


class NotConnected(NoAnswer):
    """There was no connection: not a byte of the request has left. `slow`: none in time."""

    def __init__(self, words: str, *, slow: bool = False) -> None:
        super().__init__(words)
        self.slow = slow


class ProxyRefused(NoAnswer):
    """The proxy did not let it through; `status` is what it said."""

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


class Stalled(NoAnswer):
    """Nothing, or hardly anything, moved for too long."""


class Cancelled(NoAnswer):
    """The cancel token was set."""
