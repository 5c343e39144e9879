"""What nobody sees of pasted text: spaces, line breaks, and characters without a shape."""

from __future__ import annotations

import unicodedata
from typing import Final

# Controls, formats (zero-width, byte order), halves of surrogate pairs, separators. Characters that
# have no category yet, and private ones, are somebody's letters.
_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})


def is_unseen(char: str) -> bool:
    """True for spaces, line breaks, control characters, and those without a shape of their own."""
    return char.isspace() or unicodedata.category(char) in _CATEGORIES


def trimmed(text: str) -> str:
    """The text without what is unseen around it; "" where there is nothing else."""
    first, last = 0, len(text)
    while first < last and is_unseen(text[first]):
        first += 1
    while first < last and is_unseen(text[last - 1]):
        last -= 1
    return text[first:last]
