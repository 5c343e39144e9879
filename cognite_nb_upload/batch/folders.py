"""The files behind paths, globs and folders.

Rules of this file: folders are walked in order; symlinks are never followed, in globs neither, and
hidden files are left out unless asked for; what cannot be read is an entry that says so, and ends
nothing.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cognite_nb_upload.batch.patterns import MAGIC, Choice, chooser, matcher
from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.objects.address import WEB, Address, is_address
from cognite_nb_upload.objects.given import path_in, shown_address
from cognite_nb_upload.objects.many import Place, Stores
from cognite_nb_upload.sources import NOWHERE


@dataclass(frozen=True, slots=True)
class Found:
    """One file. `relative` is its path from the top of the folder, with `/`.

    Attributes:
        folder: the folder it is in, from that top; "" in the top itself, and for a single path.
        error: why there is no file, in words.
        place: where it is, in another store.
    """

    path: str
    relative: str
    folder: str = ""
    error: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """How folders are walked, and what knows those of other stores.

    Attributes:
        here: where relative paths begin, whatever the current folder becomes; "": in that folder.
    """

    recursive: bool = False
    hidden: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    here: str = ""
    stores: Stores = field(default_factory=Stores, repr=False, compare=False)

    @property
    def choice(self) -> Choice:
        """Which files are wanted."""
        return chooser(self.include, self.exclude)


def find(given: Iterable[object], walk: Walk) -> Iterator[Found]:
    """The files behind each path, glob or folder, in order.

    Raises:
        UsageError: one of them is neither text nor a path.
    """
    for one in given:
        if hasattr(one, "columns"):
            raise UsageError(
                "Tables that come one after another need result=, a CSV or Parquet file."
            )
        try:
            if is_address(one) and (local := path_in(str(one))) is not None:
                one = local
            elif names_several(one):
                yield from _elsewhere(Address(str(one)), walk)
                continue
            elif (place := walk.stores.place(one)) is not None:
                address = place.address.shown
                if walk.choice.takes(address.partition("://")[2].partition("/")[2]):
                    yield Found(address, address, place=place)
                continue
        except UsageError as error:  # one address that cannot be read stops no other
            yield Found(shown_address(one), shown_address(one), error=str(error))
            continue
        path = os.fspath(one) if isinstance(one, os.PathLike) else one
        if not isinstance(path, str):
            table = "; for rows give pandas.DataFrame(rows)" if isinstance(path, dict) else ""
            raise UsageError(f"A path is text or a Path, not a {type(path).__name__}{table}.")
        start = "" if os.path.isabs(os.path.expanduser(path)) else os.path.join(walk.here, "")
        for each in _found(path, isinstance(one, str), walk):
            yield replace(each, path=each.path.removeprefix(start))  # as it was given


def written(path: str) -> str:
    """A path as it names a file everywhere: with `/`, in Unicode's composed form (NFC)."""
    plain = os.path.normpath(path).replace(os.sep, "/")
    return unicodedata.normalize("NFC", plain).removeprefix("/")


def unreadable(path: str) -> str:
    """Why a path can be no file's, in words; "" where it can."""
    if not path:  # as of a variable without a value; joined, it would be the current folder
        return "The path is empty."
    if "\0" in path:
        return f"{path!r} holds a NUL, which no file's path has."
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"{shown(path)!r} is not UTF-8, and CDF's names are: rename it."
    return ""


def shown(path: str) -> str:
    """A path that can be printed and kept in a table, whatever bytes are in it."""
    return path.encode("utf-8", "backslashreplace").decode()


def current_folder() -> str:
    """Where relative paths begin now; "" where the current folder is gone."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _found(given: str, may_be_glob: bool, walk: Walk) -> Iterator[Found]:
    if error := unreadable(given):
        yield Found(shown(given), shown(given), error=error)
        return
    pattern = os.path.expanduser(given)
    path = os.path.join(walk.here, pattern)
    if os.path.isdir(path):
        choice = walk.choice
        yield from _walk(path, choice.takes, choice.enters, walk.hidden, walk.recursive)
    elif may_be_glob and MAGIC.search(pattern) and not os.path.lexists(path):
        yield from _glob(pattern, walk)
    elif walk.choice.takes(written(pattern)):
        yield Found(path, written(pattern))  # what is wrong with it is said in its row


def names_several(text: object) -> bool:
    """True for an address that names several files.

    A prefix, which ends in a slash, or a pattern; the web lists nothing.
    """
    if not is_address(text) or path_in(str(text)) is not None:
        return False
    address = Address(str(text))
    key = address.key
    return address.scheme not in WEB and (
        not key or key.endswith("/") or MAGIC.search(key) is not None
    )


def _elsewhere(address: Address, walk: Walk) -> Iterator[Found]:
    """The files of another store below a prefix, or those that fit a pattern."""
    names = address.key.split("/")
    fixed = next((no for no, name in enumerate(names) if MAGIC.search(name)), len(names) - 1)
    top, rest, choice = "/".join(names[:fixed]), names[fixed:], walk.choice
    pattern = "/".join(rest)
    fits = matcher(pattern) if pattern else lambda _: True
    hidden = walk.hidden or any(name.startswith(".") for name in rest)
    deep = len(rest) > 1 or "**" in rest if pattern else walk.recursive
    try:
        for relative, place in walk.stores.below(address, top, deep=deep):
            folders = relative.split("/")[:-1]
            above = ["/".join(folders[:no]) for no in range(1, len(folders) + 1)]
            if not hidden and any(name.startswith(".") for name in relative.split("/")):
                continue
            if fits(relative) and choice.takes(relative) and all(map(choice.enters, above)):
                plain = unicodedata.normalize("NFC", relative)
                yield Found(place.address.shown, plain, "/".join(folders), place=place)
    except UploadToolkitError as error:
        yield Found(address.shown, address.shown, error=str(error))


def _glob(pattern: str, walk: Walk) -> Iterator[Found]:
    """Files that fit; the folder before the first `*`, `?` or `[` is the top."""
    names = pattern.replace(os.sep, "/").split("/")
    fixed = next(no for no, name in enumerate(names) if MAGIC.search(name))
    top, rest = "/".join(names[:fixed]), names[fixed:]
    if pattern.startswith("/") and not top:
        top = "/"
    top = os.path.join(walk.here, top)
    if not os.path.isdir(top or "."):
        return
    fits, choice = matcher("/".join(rest)), walk.choice
    depth = len(rest) if "**" not in rest else None
    hidden = walk.hidden or any(name.startswith(".") for name in rest)

    def enters(folder: str) -> bool:
        return choice.enters(folder) and (depth is None or folder.count("/") + 1 < depth)

    def takes(path: str) -> bool:
        return bool(fits(path)) and choice.takes(path)

    yield from _walk(top, takes, enters, hidden, recursive=True)


def _walk(
    top: str,
    takes: Callable[[str], bool],
    enters: Callable[[str], bool],
    hidden: bool,
    recursive: bool,
) -> Iterator[Found]:
    """The files of a folder, and of those in it, in order: paths may be deeper than the stack."""
    below, here = [""], [iter(_entries(top, ""))]
    while here:
        one = next(here[-1], None)
        if one is None:
            here.pop()
            below.pop()
            continue
        if isinstance(one, Found):
            yield one
            continue
        if one.is_symlink() or (one.name.startswith(".") and not hidden):
            continue
        relative = f"{below[-1]}/{one.name}" if below[-1] else one.name
        if one.is_file(follow_symlinks=False):
            if takes(relative):
                yield _file(one.path, relative, below[-1])
        elif recursive and one.is_dir(follow_symlinks=False) and enters(relative):
            here.append(iter(_entries(one.path, relative)))
            below.append(relative)


def _entries(path: str, below: str) -> Sequence[os.DirEntry[str] | Found]:
    try:
        with os.scandir(path or ".") as scan:
            return sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        why = f"{shown(path)} cannot be read: {error.strerror}."
        return [Found(shown(path), written(shown(below)), error=why)]


def _file(path: str, relative: str, below: str) -> Found:
    if error := unreadable(path):
        return Found(shown(path), shown(relative), error=error)
    return Found(path, written(relative), unicodedata.normalize("NFC", below))


def absolute(path: str, here: str = "") -> str:
    """Where a file is, whatever the current folder becomes; links are not looked into."""
    try:
        return str(Path(os.path.abspath(os.path.join(here, os.path.expanduser(path)))))
    except FileNotFoundError:  # it is relative
        raise UsageError(NOWHERE) from None
