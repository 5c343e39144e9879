"""The checksums that stores answer with, and what computes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Final

from cognite_nb_upload.core.plan import KIB

_CACHED: Final = 64 * KIB
# CRC32C's polynomial, its lowest power in the highest bit.
_CASTAGNOLI: Final = 0x82F63B78


class Computed:
    """A digest that is known already."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def digest(self) -> bytes:
        """The digest."""
        return self._value


class Digests:
    """Checksums of one try of one part, for another process to judge.

    Args:
        algorithms: which, by name; those that cannot be computed here are left out.
    """

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self._mine = {name: MAKERS[name]() for name in algorithms if name in MAKERS}

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What is computed."""
        return tuple(self._mine)

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the part."""
        for mine in self._mine.values():
            mine.update(data)

    def digests(self) -> dict[str, bytes]:
        """The digests of the bytes so far, by algorithm."""
        return {name: mine.digest() for name, mine in self._mine.items()}


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _makers() -> dict[str, Callable[[], Any]]:
    """What makes a digest, by algorithm; that of CRC32C is an extra."""
    try:
        crc32c: Any = import_module("google_crc32c")
    except ImportError:
        return {"MD5": _md5}

    class CRC32C:
        """The library's, for views too: it takes bytes alone, which are copied within the cache."""

        def __init__(self) -> None:
            self._value = crc32c.Checksum()

        def update(self, data: bytes | memoryview) -> None:
            view = memoryview(data)
            for at in range(0, len(view), _CACHED):
                self._value.update(bytes(view[at : at + _CACHED]))

        def digest(self) -> bytes:
            return bytes(self._value.digest())

    return {"MD5": _md5, "CRC32C": CRC32C}


def joined_crc32c(parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The CRC32C of all parts, of the (CRC32C, size in bytes) of each in order."""
    whole = 0
    for digest, size in parts:
        whole = _after_zeros(whole, size) ^ int.from_bytes(digest, "big")
    return whole.to_bytes(4, "big")


def _after_zeros(crc: int, size: int) -> int:
    """What a CRC becomes where `size` bytes of zero follow: a matrix over bits, squared again."""
    # Of one bit of zero: what each bit of the CRC becomes.
    step = [_CASTAGNOLI, *(1 << no for no in range(31))]
    for _ in range(3):
        step = _squared(step)  # of a byte
    while size:
        if size & 1:
            crc = _times(step, crc)
        step, size = _squared(step), size >> 1
    return crc


def _times(matrix: Sequence[int], vector: int) -> int:
    found = 0
    for row in matrix:
        found ^= row if vector & 1 else 0
        vector >>= 1
    return found


def _squared(matrix: Sequence[int]) -> list[int]:
    return [_times(matrix, row) for row in matrix]


MAKERS: Final = _makers()
LENGTHS: Final = {"MD5": 16, "CRC32C": 4}
