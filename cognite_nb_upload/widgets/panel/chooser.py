"""Choosing a file on the notebook's machine: type a path with completion, browse, or a recent one.

Rules of this file: disks may be slow, so nothing is looked up in a callback; only what is a regular
file is chosen; hidden files show where one types a dot.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import ipywidgets
import traitlets
from anyio import to_thread

from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.models.show import plain
from cognite_nb_upload.widgets.browser.file import BrowserFile
from cognite_nb_upload.widgets.browser.files import BrowserFiles
from cognite_nb_upload.widgets.controls import Buttons, Line
from cognite_nb_upload.widgets.form.choices import shortened
from cognite_nb_upload.widgets.style import box, button, close_all, hide, on_enter, say
from cognite_nb_upload.widgets.tasks import Tasks

_PAGE: Final = 10
# More entries of one folder are not looked at: nobody browses them, and each costs time.
_MOST: Final = 20_000
# A path is looked up when nobody has typed for this long, in seconds.
_PAUSE_S: Final = 0.1
_UP: Final = "../"


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """A file that can be uploaded: a regular file here, or one in a browser.

    Attributes:
        content: what `client.files.upload` takes: a path, or a `BrowserFile`.
        name: its name, without a folder.
        size: bytes.
        modified_ns: when it was last written, in nanoseconds since 1970.
        real: what the journal knows it by: the path without links.
    """

    content: Path | BrowserFile
    name: str
    size: int
    modified_ns: int
    real: str

    @classmethod
    def of_browser(cls, file: BrowserFile) -> ChosenFile:
        """A file on the computer of whoever looks at the notebook."""
        return cls(file, file.name, file.size, file.modified_ns, file.facts().path)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a folder holds: a folder, or a file of `size` bytes."""

    path: Path
    is_folder: bool
    size: int | None = None

    @property
    def text(self) -> str:
        """Its name, with a slash for a folder and the size for a file."""
        if self.is_folder:
            return f"{shortened(self.path.name, 100)}/"
        size = "" if self.size is None else f"  ·  {show_bytes(self.size)}"
        return shortened(self.path.name, 100) + size


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at a path that somebody types: a file, or what it may become."""

    text: str
    file: ChosenFile | None = None
    entries: tuple[Entry, ...] = ()
    more: int = 0
    said: str = ""


class FileChooser(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A path with completion, folders to browse, recent files, and files of one's own computer.

    Args:
        recent: gives paths that were used lately, newest first; it may read from a disk.

    Attributes:
        file: the file that is chosen, or None. Observable.
        reason: why none is, in one sentence; "" where one is. Observable.
        looking: whether the disk is being asked for what is typed. Observable.
        input: the box one types in.
        lines: what can be picked now, a page of it.
        browser: where files of one's own computer are dropped; hidden until it is asked for.
    """

    file = traitlets.Instance(ChosenFile, allow_none=True)
    reason = traitlets.Unicode("Choose a file.")
    looking = traitlets.Bool(False)

    def __init__(self, recent: Callable[[], Iterable[str]] = tuple) -> None:
        self.tasks = Tasks()
        self._recent = recent
        self._open = False
        self._page = 0
        self._quiet = self._browsing = False
        self.input = ipywidgets.Text(description="File", placeholder="/path/to/a/big/file")
        self.browse = button("Browse", "Show the folder's files", self.open_or_close)
        self.recents = button("Recent", "Show files that were uploaded lately", self.show_recent)
        self.lines = Buttons(ipywidgets.VBox, "cnbu-hits")
        self.note = ipywidgets.HTML()
        self.note.add_class("cnbu-note")
        self.mine = button(
            "My computer", "Choose a file of the computer in front of you", self.show_browser
        )
        self.browser = BrowserFiles()
        self._drop_zone = box(ipywidgets.VBox, [self.browser], "cnbu-section", "cnbu-none")
        buttons = [self.browse, self.recents, self.mine]
        row = box(ipywidgets.HBox, [self.input, *buttons], "cnbu-row")
        super().__init__([row, self.lines.widget, self.note, self._drop_zone])
        self.add_class("cnbu-files")
        self.input.observe(self._typed, "value")
        on_enter(self.input, lambda: self.tasks.start("enter", self._entered))
        self.browser.observe(self._dropped, "files")

    def choose(self, file: str | os.PathLike[str] | BrowserFile) -> None:
        """Choose a file, as if its path was typed; whether it is there shows a moment later."""
        if isinstance(file, BrowserFile):
            self._choose_browser_file(file)
        else:
            self._go(os.fspath(file), opened=False)

    def open_or_close(self) -> None:
        """Show what is in the folder that is typed, or hide it."""
        if self._open:
            self._close_list()
            return
        text = self.input.value.strip()
        if self.file is not None:
            text = f"{os.path.dirname(text)}/" if "/" in text else ""
        self._go(text or f"{os.getcwd()}/", opened=True)

    def show_recent(self) -> None:
        """Show the files that were uploaded lately."""
        self._say("Looking…", "busy")
        self.looking = False  # what is typed is no longer looked up
        self.tasks.start("look", self._look_at_recent)

    def show_browser(self) -> None:
        """Show where files of one's own computer are chosen or dropped, or hide it."""
        self._browsing = not self._browsing
        hide(self._drop_zone, not self._browsing)

    def enter(self) -> None:
        """Pick the first line; where nothing fits, that is none, and not the folder above."""
        if self.lines.lines and self.lines.lines[0].text != _UP:
            self.lines.press(0)

    def close(self) -> None:
        """End what runs in the background, and close the widgets."""
        self.tasks.close()
        self.browser.close()
        close_all(self)

    # --- what is typed -----------------------------------------------------------------------

    async def _entered(self) -> None:
        """The lines may still be those of an older text."""
        if text := self.input.value.strip():
            self.tasks.stop("look")
            await self._look_at(text, self._page)
        if self.file is None:
            self.enter()

    def _typed(self, _: object) -> None:
        if not self._quiet:
            self._open, self._page = True, 0
            self.tasks.stop("enter")  # it was about another text
            self._look_up(_PAUSE_S)

    def _go(self, text: str, opened: bool) -> None:
        """Put a path in, as a person would."""
        self._set_text(text)
        self._open, self._page = opened, 0
        self._look_up(0, text)

    def _set_text(self, text: str) -> None:
        self._quiet = True
        try:
            self.input.value = plain(text)
        finally:
            self._quiet = False

    def _look_up(self, after_s: float, text: str | None = None) -> None:
        text = self.input.value.strip() if text is None else text
        if self.file is not None and str(self.file.content) != text:
            self.file = None
        if not text:
            self._close_list()
            self.tasks.stop("look")
            self._show(Look("", said="Choose a file."))
            return
        page = self._page
        self.looking = True
        self.tasks.start("look", lambda: self._look_at(text, page), after_s)

    async def _look_at(self, text: str, page: int) -> None:
        self._show(await to_thread.run_sync(look_at, text, page, abandon_on_cancel=True))

    async def _look_at_recent(self) -> None:
        found = await to_thread.run_sync(self._recent_entries, abandon_on_cancel=True)
        self._open = True
        self.lines.show([self._line(entry, str(entry.path)) for entry in found])
        self._say("" if found else "No file was uploaded from here yet, or none is there now.")

    def _recent_entries(self) -> list[Entry]:
        """Those that are still there, each once."""
        looks = (look_at(path, 0).file for path in dict.fromkeys(self._recent()))
        found = (
            Entry(file.content, False, file.size)
            for file in looks
            if file is not None and isinstance(file.content, Path)
        )
        return list(islice(found, _PAGE))

    # --- files of one's own computer ---------------------------------------------------------

    def _dropped(self, change: dict[str, Any]) -> None:
        """The newest one is chosen; each of the others can be picked."""
        files, before = change["new"], change["old"]
        new = [file for file in files if file not in before]
        chosen = self.file.content if self.file is not None else None
        if new:
            self._choose_browser_file(new[-1])
        elif chosen in files:
            self._list_others(chosen)
        elif chosen in before:
            self._go("", opened=False)

    def _choose_browser_file(self, file: BrowserFile) -> None:
        self.tasks.stop("look")
        self._set_text("")
        self._show(Look("", ChosenFile.of_browser(file)))
        self._say(f"{file.name}, of your computer", "info")
        self._list_others(file)

    def _list_others(self, chosen: object) -> None:
        others = [file for file in self.browser.files if file is not chosen]
        self._open = bool(others)
        self.lines.show([self._browser_line(file) for file in others])

    def _browser_line(self, file: BrowserFile) -> Line:
        text = f"{shortened(file.name, 100)}  ·  {show_bytes(file.size)}"
        return Line(
            file, f"Rather {text}", f"Upload {text}", partial(self.choose, file), "cnbu-hit"
        )

    # --- what is shown -----------------------------------------------------------------------

    def _show(self, look: Look) -> None:
        if look.file is not None:
            self._close_list()
        elif self._open:
            self._list(look)
        self._say("" if look.file or (look.entries and self._open) else look.said)
        self.reason = "" if look.file else look.said
        self.file = look.file
        self.looking = False

    def _list(self, look: Look) -> None:
        lines = [self._line(entry, entry.text) for entry in look.entries]
        if self._page == 0 and (up := _parent_of(look.text)):
            lines.append(Line(up, _UP, "The folder above", partial(self._go, up, True), "cnbu-hit"))
        if self._page:
            lines.append(self._turn("Back", -1))
        if look.more:
            lines.append(self._turn(f"{look.more} more…", 1))
        self.lines.show(lines)

    def _line(self, entry: Entry, text: str) -> Line:
        path = f"{entry.path}/" if entry.is_folder else str(entry.path)
        text = f"{plain(path)}  ·  {show_bytes(entry.size or 0)}" if text == path else text
        go = partial(self._go, path, entry.is_folder)
        return Line(path, text, plain(path), go, "cnbu-hit")

    def _turn(self, text: str, by: int) -> Line:
        do = partial(self._show_page, self._page + by)
        return Line((text, self._page), text, text, do, "cnbu-hit cnbu-page")

    def _show_page(self, page: int) -> None:
        self._page = max(0, page)
        self._look_up(0)

    def _close_list(self) -> None:
        self._open = False
        self.lines.show([])

    def _say(self, text: str, kind: str = "info") -> None:
        self.note.value = say(text, kind)


def look_at(text: str, page: int = 0) -> Look:
    """What there is at a typed path; reads the disk.

    A folder is what ends in a slash; else the last word is the beginning of a name.
    """
    folder, begins = _split(text)
    try:
        found = _file_at(text, folder / begins) if begins else None
        return found or _folder_at(text, folder, begins, page)
    except (OSError, ValueError) as error:
        return Look(text, said=f"{plain(folder / begins)} cannot be read: {_why(error)}.")


def _split(text: str) -> tuple[Path, str]:
    """The folder, and how a name in it begins."""
    path = os.path.expanduser(text)
    folder, begins = os.path.split(path)
    if begins == ".." or text == "~":
        folder, begins = path, ""
    return Path(os.path.abspath(folder)), begins


def _file_at(text: str, path: Path) -> Look | None:
    """The file, or what is in its place; None where there is nothing of that name, or a folder."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(facts.st_mode):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return Look(text, said=f"{plain(path)} is not a regular file.")
    if not os.access(path, os.R_OK):
        return Look(text, said=f"{plain(path)} cannot be read: permission denied.")
    if not _is_text(str(path)):
        said = f"{plain(path)} is not Unicode; rename it, or give name='...' in code."
        return Look(text, said=said)
    real = os.path.realpath(path)
    return Look(text, ChosenFile(path, path.name, facts.st_size, facts.st_mtime_ns, real))


def _folder_at(text: str, folder: Path, prefix: str, page: int) -> Look:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in islice(entries, _MOST) if _fits(entry.name, prefix)]
    except (FileNotFoundError, NotADirectoryError):
        return Look(text, said=f"There is no folder {plain(folder)}.")
    found.sort(key=lambda entry: _rank(entry, prefix))
    shown = found[page * _PAGE : (page + 1) * _PAGE]
    said = (
        "Pick a file, or type on."
        if found
        else f"Nothing in {plain(folder)} is called {plain(prefix)!r}."
    )
    if not prefix and not found:
        said = f"{plain(folder)} is empty."
    return Look(
        text,
        entries=tuple(_entry(one) for one in shown),
        more=max(0, len(found) - (page + 1) * _PAGE),
        said=said,
    )


def _fits(name: str, prefix: str) -> bool:
    if name.startswith(".") or prefix.startswith("."):
        return name.startswith(prefix) and prefix.startswith(".")
    return prefix.casefold() in name.casefold()


def _rank(entry: os.DirEntry[str], prefix: str) -> tuple[bool, bool, str]:
    name = entry.name.casefold()
    return not name.startswith(prefix.casefold()), not _is_folder(entry), name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entry(entry: os.DirEntry[str]) -> Entry:
    made = Entry(Path(entry.path), _is_folder(entry))
    if made.is_folder:
        return made
    try:
        return replace(made, size=entry.stat().st_size)
    except OSError:
        return made


def _parent_of(text: str) -> str:
    """The folder above the one that is listed; "" at the top."""
    folder, _ = _split(text)
    return "" if folder.parent == folder else f"{str(folder.parent).rstrip('/')}/"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _why(error: Exception) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
