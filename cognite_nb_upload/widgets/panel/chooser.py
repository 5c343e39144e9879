"""Choosing a file on the notebook's machine: type a path with completion, browse, or a recent one.

Rules of this file: disks may be slow, so nothing is looked up in a callback; only what is a regular
file is chosen; hidden files show where one types a dot. What was asked last is shown: an answer to
anything before it is dropped, also one that comes while something else is typed.
"""

from __future__ import annotations

import glob
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import ipywidgets
import traitlets
from anyio import to_thread

from cognite_nb_upload import background
from cognite_nb_upload.api.values import unquoted
from cognite_nb_upload.batch.folders import Walk, find, names_several
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import UploadToolkitError
from cognite_nb_upload.models.show import plain
from cognite_nb_upload.objects.address import Address, is_address
from cognite_nb_upload.objects.given import path_in
from cognite_nb_upload.objects.many import Stores
from cognite_nb_upload.progress.outcome import in_words
from cognite_nb_upload.transfer.upload import Upload
from cognite_nb_upload.widgets.browser.file import BrowserFile
from cognite_nb_upload.widgets.browser.files import BrowserFiles
from cognite_nb_upload.widgets.controls import Buttons, Line
from cognite_nb_upload.widgets.form.choices import shortened
from cognite_nb_upload.widgets.style import box, button, close_all, hide, make, on_enter, say
from cognite_nb_upload.widgets.tasks import Tasks

_PAGE: Final = 10
# More entries of one folder are not looked at: nobody browses them, and each costs time.
_MOST: Final = 20_000
# A path is looked up when nobody has typed for this long, in seconds.
_PAUSE_S: Final = 0.1
_UP: Final = "../"
# A list of more files than this is no work for a panel, but for `upload_many`.
_MOST_FILES: Final = 1000
# Nobody's store is asked for half an address, as far as that can be told.
_ADDRESS_PAUSE_S: Final = 0.8


@dataclass(frozen=True, slots=True)
class ChosenFile:
    """A file that can be uploaded: a regular file here, or one in a browser.

    Attributes:
        content: a path, an address of another store, or a `BrowserFile`.
        name: its name, without a folder.
        size: bytes.
        modified_ns: when it was last written, in nanoseconds since 1970.
        real: what the journal knows it by: the path without links, the address without secrets.
        folder: where it lies below the folder that was chosen, parted by "/"; "" where in it.
    """

    content: Path | Address | BrowserFile
    name: str
    size: int
    modified_ns: int
    real: str
    folder: str = ""

    @classmethod
    def of_browser(cls, file: BrowserFile) -> ChosenFile:
        """A file on the computer of whoever looks at the notebook."""
        facts = file.facts()
        return cls(file, file.name, file.size, file.modified_ns, facts.path, file.folder)


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
    """What there is at a path that somebody types: a file, several, or what it may become.

    `bare`: the text is that of the box without what came along with it.
    """

    text: str
    file: ChosenFile | None = None
    files: tuple[ChosenFile, ...] = ()
    entries: tuple[Entry, ...] = ()
    more: int = 0
    said: str = ""
    bare: bool = False


# Ways to a browser's files that running uploads still read, while no panel shows them.
_left: list[BrowserFiles] = []
_leaving: Final = threading.Lock()


class FileChooser(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A path with completion, folders to browse, recent files, and files of one's own computer.

    Args:
        recent: gives paths that were used lately, newest first; it may read from a disk.
        before: the one whose place it takes; files of one's own computer go on from there.

    Attributes:
        file: the file that is chosen, or None. Observable.
        files: the files that are chosen where they are several; else empty. Observable.
        reason: why none is, in one sentence; "" where one is. Observable.
        looking: whether the disk is being asked for what is typed. Observable.
        input: the box one types in.
        lines: what can be picked now, a page of it.
        whole: the button that takes all files of the folder that is listed.
        browser: where files and folders of one's own computer are picked or dropped.
    """

    browser: BrowserFiles
    handed_over: bool
    _taken: set[BrowserFile]
    file = traitlets.Instance(ChosenFile, allow_none=True)
    files = traitlets.Tuple()
    reason = traitlets.Unicode("Choose a file.")
    looking = traitlets.Bool(False)

    def __init__(
        self, recent: Callable[[], Iterable[str]] = tuple, before: FileChooser | None = None
    ) -> None:
        self.tasks = Tasks()
        # Guards what is chosen. It is never waited for in the package's loop: observers hear of
        # changes while it is held.
        self._lock = threading.RLock()
        self._asked = 0  # counts what was asked for; what is not the last of it is not shown
        self._closed = False
        self._recent = recent
        self._open = False
        self._page = 0
        self._quiet = False
        self._folder = ""  # the one that is listed
        self.input = make(ipywidgets.Text, description="File", placeholder="/path/to/a/big/file")
        self.browse = button("Browse", "Show the folder's files", self.open_or_close)
        self.recents = button("Recent", "Show files that were uploaded lately", self.show_recent)
        self.lines = Buttons(ipywidgets.VBox, "cnbu-hits")
        self.note = make(ipywidgets.HTML)
        self.note.add_class("cnbu-note")
        self.whole = button(
            "Take all files of this folder", "Those in its folders too", self._take_folder
        )
        hide(self.whole, True)
        # What a panel left behind that was closed: a page that was loaded again is asked there for
        # the file that is being sent.
        given = before.browser if before is not None and before.handed_over else None
        with _leaving:
            if given in _left:
                _left.remove(given)
            left = given or (_left.pop() if _left else None)
        self.browser = left or BrowserFiles()
        # Those that an upload has taken.
        self._taken = set(before._taken if given and before else self.browser.files)
        self._picked: tuple[ChosenFile, ...] = ()  # files that are chosen without a path
        self.handed_over = False
        self._drop_zone = box(ipywidgets.VBox, [self.browser], "cnbu-section")
        row = box(ipywidgets.HBox, [self.input, self.browse, self.recents], "cnbu-row")
        tools = box(ipywidgets.HBox, [self.whole], "cnbu-tools")
        children = [row, self.lines.widget, tools, self.note, self._drop_zone]
        super().__init__(children, layout=make(ipywidgets.Layout))
        self.add_class("cnbu-files")
        self.input.observe(self._typed, "value")
        on_enter(self.input, self._submitted)
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
        with self._lock:
            asked = self._ask()
            self._say("Looking…", "busy")
            self.looking = False  # what is typed is no longer looked up
            self.tasks.start("look", lambda: self._look_at_recent(asked))

    def choose_several(self, files: Sequence[ChosenFile]) -> None:
        """Choose these; of one it is the file, of none nothing."""
        one = files[0] if len(files) == 1 else None
        several = tuple(files) if len(files) > 1 else ()
        if one is not None and isinstance(one.content, BrowserFile):
            self._choose_browser_file(one.content)
            return
        with self._lock:
            self._ask()
            self._picked = tuple(files)
            self._show(Look("", one, several, said="" if files else "Choose a file."))

    def leave(self, file: ChosenFile) -> None:
        """Take one of several off."""
        if isinstance(file.content, BrowserFile):
            self.browser.remove(file.content)
        else:
            self.choose_several([one for one in self.files if one is not file])

    def clear(self) -> None:
        """Choose nothing: what was chosen is on its way."""
        chosen = (*self.files, *([self.file] if self.file else []))
        self._taken |= {one.content for one in chosen if isinstance(one.content, BrowserFile)}
        if self.files:
            self._go("", opened=False)

    def enter(self) -> None:
        """Pick the first line; where nothing fits, that is none, and not the folder above."""
        first = next(iter(self.lines.lines), None)
        if first is not None and first.text != _UP:
            first.do()

    # --- what the next run of the cell takes over ----------------------------------------------

    def held(self) -> dict[str, Any]:
        """What is typed, and the files that are chosen without a path."""
        return {"file": (self.input.value, self._picked)}

    def hold(self, state: Mapping[str, Any]) -> None:
        """Choose what another chooser has `held`; None chooses nothing."""
        if "file" not in state:
            return
        text, picked = state["file"] or ("", ())
        here = [one for one in picked if self._is_at_hand(one)]
        if not picked:
            self._go(text, opened=False)
        else:
            self._set_text(text)
            self.choose_several(here)

    def _is_at_hand(self, file: ChosenFile) -> bool:
        content = file.content
        return content in self.browser.files if isinstance(content, BrowserFile) else True

    def boxes(self) -> dict[str, Any]:
        """The box that one types in."""
        return {"file": self.input}

    def hand_over(self) -> None:
        """Leave files of one's own computer to the chooser that comes in its place."""
        self.handed_over = bool(self.browser.files)

    def close(self, until_over: Sequence[Upload] = (), *, keep: bool = False) -> None:
        """End what runs in the background, and close the widgets.

        The page's way to files of its computer stays until these uploads are over, if they read
        them, and always with `keep`: a list takes its files one after another. The next chooser
        shows it. A second call does nothing.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._ask()
        self.tasks.close()
        browser = self.browser
        browser.unobserve(self._dropped, "files")
        reading = [one for one in until_over if one.spec.source in browser.files]
        if reading or keep:
            self._drop_zone.children = ()
            with _leaving:
                _left.append(browser)
        elif self.handed_over:
            self._drop_zone.children = ()
        else:
            browser.close()
        close_all(self)

        def over(_: object) -> None:
            with _leaving:  # the last two may end at once
                unused = browser in _left and all(one.done() for one in reading)
                if keep or not unused:
                    return
                _left.remove(browser)
            browser.close()

        for upload in reading:
            upload.when_done(over)

    # --- what is typed -----------------------------------------------------------------------

    def _ask(self) -> int:
        """Something else is asked for: no answer to what was asked before is shown any more."""
        with self._lock:
            for name in ("look", "enter"):
                self.tasks.stop(name)
            self._asked += 1
            return self._asked

    def _submitted(self) -> None:
        """Enter was pressed. The lines may still be those of an older text."""
        with self._lock:
            text, page, asked = self.input.value.strip(), self._page, self._ask()
            self.tasks.start("enter", lambda: self._entered(text, page, asked))

    async def _entered(self, text: str, page: int, asked: int) -> None:
        look = await _looked_up(text, page) if text else None

        def show() -> None:
            if look is not None:
                self._show(look)
            if self.file is None:
                self.enter()

        await self._answer(show, asked)

    async def _answer(self, show: Callable[[], None], asked: int) -> None:
        """Show what was asked for, unless something else was asked since."""

        def answer() -> None:
            with self._lock:
                if asked == self._asked:
                    show()

        await background.apart(answer)

    def _typed(self, _: object) -> None:
        with self._lock:  # else what another thread puts in might be taken for this
            if not self._quiet:
                self._open, self._page = True, 0
                self._look_up(_PAUSE_S)

    def _go(self, text: str, opened: bool) -> None:
        """Put a path in, as a person would."""
        with self._lock:
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
        """Look for what is typed; the caller holds the lock."""
        asked = self._ask()
        text = self.input.value.strip() if text is None else text
        self._picked = ()
        if text:  # first: a press from now on means what is typed
            self.looking = True
        if self.file is not None and str(self.file.content) != text:
            self.file = None
        self.files = ()
        if not text:
            self._close_list()
            self._show(Look("", said="Choose a file."))
            return
        page = self._page
        if after_s and is_address(text):
            after_s = _ADDRESS_PAUSE_S
        self.tasks.start("look", lambda: self._look_at(text, page, asked), after_s)

    async def _look_at(self, text: str, page: int, asked: int) -> None:
        look = await _looked_up(text, page)
        await self._answer(lambda: self._show(look), asked)

    async def _look_at_recent(self, asked: int) -> None:
        found = await to_thread.run_sync(self._recent_entries, abandon_on_cancel=True)

        def show() -> None:
            self._open = True
            hide(self.whole, True)
            self.lines.show([self._line(entry, str(entry.path)) for entry in found])
            self._say("" if found else "No file was uploaded from here yet, or none is there now.")

        await self._answer(show, asked)

    def _recent_entries(self) -> list[Entry]:
        """Those that are still there, each once."""
        paths = [path for path in dict.fromkeys(self._recent()) if not is_address(path)]
        looks = (look_at(path, 0).file for path in paths)
        found = (
            Entry(file.content, False, file.size)
            for file in looks
            if file is not None and isinstance(file.content, Path)
        )
        return list(islice(found, _PAGE))

    # --- files of one's own computer ---------------------------------------------------------

    def _dropped(self, change: dict[str, Any]) -> None:
        """All that no upload has taken yet are chosen."""
        files = [file for file in change["new"] if file not in self._taken]
        new = any(file not in change["old"] for file in files)
        chosen = {one.content for one in self.files} | {self.file and self.file.content}
        if new or not chosen.isdisjoint(change["old"]):
            if not files:
                self._go("", opened=False)
                return
            self._set_text("")
            self.choose_several([ChosenFile.of_browser(file) for file in files])

    def _choose_browser_file(self, file: BrowserFile) -> None:
        chosen = ChosenFile.of_browser(file)
        with self._lock:
            self._ask()
            self._set_text("")
            self._picked = (chosen,)
            self._show(Look("", chosen))
            self._say(f"{file.name}, of your computer", "info")

    # --- what is shown -----------------------------------------------------------------------

    def _show(self, look: Look) -> None:
        """Show what was found, and choose it; the caller holds the lock."""
        found = bool(look.file or look.files)
        if found:
            self._close_list()
        elif self._open:
            self._list(look)
        self._say("" if found or (look.entries and self._open) else look.said)
        self.reason = "" if found else look.said
        if look.bare:
            self._set_text(look.text)
        if look.file is not None and isinstance(look.file.content, Address):
            self._set_text(str(look.file.content))  # a box is saved with the notebook
            self._say(f"{look.file.name}, of another store", "info")
        self.files = look.files
        self.file = look.file
        self.looking = False
        (self.add_class if look.files else self.remove_class)("cnbu-many")

    def _take_folder(self) -> None:
        with self._lock:
            asked, folder = self._ask(), Path(self._folder)
            self._say("Looking…", "busy")
            self.looking = True
            self.tasks.start("look", lambda: self._look_below(folder, asked))

    async def _look_below(self, folder: Path, asked: int) -> None:
        look = await _looked(f"{folder}/", files_below, folder)

        def show() -> None:
            self._picked = look.files or ((look.file,) if look.file is not None else ())
            self._show(look)

        await self._answer(show, asked)

    def _list(self, look: Look) -> None:
        lines = [self._line(entry, entry.text) for entry in look.entries]
        if self._page == 0 and (up := _parent_of(look.text)):
            lines.append(Line(up, _UP, "The folder above", partial(self._go, up, True), "cnbu-hit"))
        if self._page:
            lines.append(self._turn("Back", -1))
        if look.more:
            lines.append(self._turn(f"{look.more} more…", 1))
        self.lines.show(lines)
        self._folder = str(_split(look.text)[0]) if look.entries else ""
        hide(self.whole, not self._folder)

    def _line(self, entry: Entry, text: str) -> Line:
        path = f"{entry.path}/" if entry.is_folder else str(entry.path)
        text = f"{plain(path)}  ·  {show_bytes(entry.size or 0)}" if text == path else text
        go = partial(self._go, path, entry.is_folder)
        return Line(path, text, plain(path), go, "cnbu-hit")

    def _turn(self, text: str, by: int) -> Line:
        do = partial(self._show_page, self._page + by)
        return Line((text, self._page), text, text, do, "cnbu-hit cnbu-page")

    def _show_page(self, page: int) -> None:
        with self._lock:
            self._page = max(0, page)
            self._look_up(0)

    def _close_list(self) -> None:
        with self._lock:
            self._open = False
            self.lines.show([])
            hide(self.whole, True)

    def _say(self, text: str, kind: str = "info") -> None:
        self.note.value = say(text, kind)


async def _looked_up(text: str, page: int) -> Look:
    return await _looked(text, look_at, text, page)


async def _looked(text: str, look: Callable[..., Look], *given: object) -> Look:
    """What `look` finds, in a thread; where it fails, that is said, or it would be waited for."""
    try:
        return await to_thread.run_sync(look, *given, abandon_on_cancel=True)
    except Exception as error:
        return Look(text, said=in_words(error))


def look_at(text: str, page: int = 0) -> Look:
    """What there is at a typed path; reads the disk.

    A folder is what ends in a slash; else the last word is the beginning of a name. Where nothing
    is called so, what comes along with a path that is copied is left out: quotes, line breaks, and
    marks that nobody sees, such as Windows puts before it.
    """
    look, bare = _look_at(text, page), unquoted(text)
    if look.file or look.files or look.entries or bare in ("", text):
        return look
    other = _look_at(bare, page)
    nothing = not (other.file or other.files or other.entries)
    return look if nothing else replace(other, bare=True)


def _look_at(text: str, page: int) -> Look:
    if is_address(text):
        return _elsewhere(text)
    folder, begins = _split(text)
    try:
        found = _file_at(text, folder / begins) if begins else None
        if found is None and glob.has_magic(text) and not os.path.isdir(os.path.expanduser(text)):
            return _several(text, (one.path for one in find([text], Walk()) if not one.error))
        return found or _folder_at(text, folder, begins, page)
    except (OSError, ValueError) as error:
        return Look(text, said=f"{_shown(folder / begins)} cannot be read: {_why(error)}.")


def _shown(path: object) -> str:
    """A path, or what is to be one, in a sentence: it may be as long as whatever was pasted."""
    return shortened(str(path), 200)


def _elsewhere(text: str) -> Look:
    """What another store tells of an address."""
    try:
        if (local := path_in(text)) is not None:
            return look_at(str(local))
        if names_several(text):
            return Look(text, said="That is several files; in code, `upload_many` takes them.")
        place = Stores().place(text)
        assert place is not None  # noqa: S101 # it is an address, and of no file here
        size, modified_ns = place.look(Retry(attempts=2))
    except UploadToolkitError as error:
        return Look(text, said=plain(error))
    where = place.address
    return Look(text, ChosenFile(where, where.name, size, max(0, modified_ns), where.shown))


def files_below(folder: Path) -> Look:
    """All files of a folder and of those in it, but for hidden ones; reads the disk."""
    return _several(f"{folder}/", _paths_below(folder), folder)


def _paths_below(folder: Path) -> Iterator[str]:
    for at, folders, names in os.walk(folder):  # it does not follow links, which may go in circles
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(at, name) for name in names if not name.startswith("."))


def _several(text: str, paths: Iterable[str], top: Path | None = None) -> Look:
    """The regular files among these paths, of which there may be many."""
    files = [found.file for path in sorted(islice(paths, _MOST)) if (found := _one_of(path))]
    chosen = [file for file in files if file is not None]
    if not chosen:
        return Look(text, said=f"No file that can be read fits {_shown(text)}.")
    if len(chosen) > _MOST_FILES:
        said = f"{len(chosen):,} files fit; a panel takes at most {_MOST_FILES:,}. In code, "
        return Look(text, said=said + "`upload_many` takes any number.")
    if top is not None:
        chosen = [replace(file, folder=_folder_below(top, file)) for file in chosen]
    one = chosen[0] if len(chosen) == 1 else None
    return Look(text, one, tuple(chosen) if one is None else ())


def _one_of(path: str) -> Look | None:
    try:
        return _file_at(path, Path(os.path.abspath(path)))
    except OSError:  # it cannot even be looked at
        return None


def _folder_below(top: Path, file: ChosenFile) -> str:
    below = Path(str(file.content)).parent.relative_to(top).as_posix()
    return "" if below == "." else below


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
        return Look(text, said=f"{_shown(path)} is not a regular file.")
    if not os.access(path, os.R_OK):
        return Look(text, said=f"{_shown(path)} cannot be read: permission denied.")
    if not _is_text(str(path)):
        said = f"{_shown(path)} is not Unicode; rename it, or give name='...' in code."
        return Look(text, said=said)
    real = os.path.realpath(path)
    return Look(text, ChosenFile(path, path.name, facts.st_size, facts.st_mtime_ns, real))


def _folder_at(text: str, folder: Path, prefix: str, page: int) -> Look:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in islice(entries, _MOST) if _fits(entry.name, prefix)]
    except (FileNotFoundError, NotADirectoryError):
        return Look(text, said=f"There is no folder {_shown(folder)}.")
    found.sort(key=lambda entry: _rank(entry, prefix))
    shown = found[page * _PAGE : (page + 1) * _PAGE]
    said = (
        "Pick a file, or type on."
        if found
        else f"Nothing in {_shown(folder)} is called {_shown(prefix)!r}."
    )
    if not prefix and not found:
        said = f"{_shown(folder)} is empty."
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
