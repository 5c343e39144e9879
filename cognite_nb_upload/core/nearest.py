"""What somebody meant who wrote a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like it, "" where none is.

    Case and underscores say nothing: `assetIds` is `asset_ids`, and not `assets`.
    """
    from difflib import get_close_matches  # only a typing mistake pays for loading it

    by_letters = {_letters(one): one for one in sorted(known, reverse=True)}
    found = get_close_matches(_letters(name), by_letters, 1)
    return by_letters[found[0]] if found else ""


def _letters(name: str) -> str:
    return name.replace("_", "").casefold()
