"""Which files a pattern names: the rules of globs, over paths with `/`.

`*` and `?` stand within one name, `[...]` for one character, `**` for any number of folders. A
pattern without `/` fits a name in any folder; one with `/` fits the path from the top; one that
ends in `/` fits a folder, with all that is in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

MAGIC: Final = re.compile(r"[*?\[]")


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a path fits `pattern` from its first to its last character."""
    fit = re.compile(_regex(pattern), re.DOTALL).fullmatch
    return lambda path: fit(path) is not None


def chooser(include: Iterable[str], exclude: Iterable[str]) -> Choice:
    """What `include` names (everything where it is empty) without what `exclude` names."""
    return Choice(tuple(map(_anywhere, include)), tuple(map(_anywhere, exclude)))


class Choice:
    """Which files of a folder are wanted, by their paths from its top."""

    def __init__(
        self, include: tuple[Callable[[str], bool], ...], exclude: tuple[Callable[[str], bool], ...]
    ) -> None:
        self._include, self._exclude = include, exclude

    def takes(self, path: str) -> bool:
        """True for a file that is wanted."""
        if any(fits(path) for fits in self._exclude):
            return False
        return not self._include or any(fits(path) for fits in self._include)

    def enters(self, folder: str) -> bool:
        """False for a folder that is excluded with all that is in it."""
        return not any(fits(folder) or fits(f"{folder}/") for fits in self._exclude)


def _anywhere(pattern: str) -> Callable[[str], bool]:
    if pattern.endswith("/"):
        return matcher(_rooted(pattern.rstrip("/")) + "/**")
    return matcher(_rooted(pattern))


def _rooted(pattern: str) -> str:
    return pattern.removeprefix("/") if "/" in pattern else f"**/{pattern}"


def _regex(pattern: str) -> str:
    *folders, last = pattern.split("/")
    head = "".join("(?:[^/]+/)*" if one == "**" else f"{_name(one)}/" for one in folders)
    return head + (".*" if last == "**" else _name(last))


def _name(pattern: str) -> str:
    """The regular expression of one name of a path."""
    text, at = "", 0
    while at < len(pattern):
        letter = pattern[at]
        end = pattern.find("]", at + 2) if letter == "[" else -1
        if letter in "*?":
            text += "[^/]*" if letter == "*" else "[^/]"
        elif end > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            text += f"[{'^' + inside[1:] if inside[0] in '!^' else inside}]"
            at = end
        else:
            text += re.escape(letter)
        at += 1
    return text
