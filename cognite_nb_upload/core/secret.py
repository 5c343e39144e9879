"""A value that no log, repr, format, pickle or traceback shows.

Rule of this file: only `reveal()` gives the value away, and its callers are few enough to be read.
"""

from __future__ import annotations

from typing import Final, NoReturn

REDACTED: Final = "<secret>"


class Secret:
    """A token, a client secret or a signed URL, shown as ``<secret>`` wherever it is printed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it or stores it in a 0600 file."""
        return self._value

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is not pickled.")


class NotPickled:
    """What holds a token, or runs in this process: it says what to do instead of copying it."""

    _instead = (
        "it holds a token. Use it as it is in all threads; make one in another process, with "
        "from_env(), and give that process the environment."
    )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # `copy.copy` and `copy.deepcopy` ask here too.
        raise TypeError(f"{type(self).__name__} is neither pickled nor copied: {self._instead}")
