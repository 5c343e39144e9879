"""Picking from a list: search, pick one or several, or type ids where there is no list.

Rules of this file: what is typed and not picked is an error, so that nobody uploads without it; no
list blocks a cell; where there is none, ids are typed, and the field says why.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

import ipywidgets

from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.widgets.controls import Buttons, Line
from cognite_nb_upload.widgets.form.choices import (
    Choice,
    ChoiceList,
    Key,
    Names,
    Search,
    Source,
    shortened,
    why_not,
)
from cognite_nb_upload.widgets.form.field import Field
from cognite_nb_upload.widgets.form.picker_spec import PickerSpec, typed_ids
from cognite_nb_upload.widgets.style import box, button, focus, hide, make, on_enter
from cognite_nb_upload.widgets.tasks import Tasks

_PAGE: Final = 8
_CHIPS: Final = 24
# A search is sent when nobody has typed for this long, in seconds.
_PAUSE_S: Final = 0.3


class Picker(Field):
    """A search box, lines to pick from, and a chip for each that is picked.

    Attributes:
        search: the box one types in.
        lines: what can be picked now, a page of it.
        chips: what is picked; pressing one takes it away.
        picked: the keys that are picked, in order.
        loaded: whether there is a list, or a search that answers.
        loading: whether a list is on its way.
    """

    def __init__(self, name: str, label: str, kind: PickerSpec, tasks: Tasks) -> None:
        self._drawing = threading.RLock()
        self.kind = kind
        self.picked: tuple[Key, ...] = ()
        self.loaded = self.loading = False
        self._tasks = tasks
        self._source: Source | None = None
        self._find: Search | None = None
        self._names: Names | None = None
        self._offer = ChoiceList()
        self._known: dict[Key, Choice] = {}
        self._missing: frozenset[Key] = frozenset()  # CDF was asked for these, and has none
        self._page: int | None = None  # None where the lines are closed
        self._loads = 0  # counts the lists that were asked for
        self.search = make(ipywidgets.Text, description=label)
        self.browse = button("Browse", f"Show all {kind.many}", self.open_or_close)
        self.lines = Buttons(ipywidgets.VBox, "cnbu-hits")
        self.chips = Buttons(ipywidgets.HBox, "cnbu-chips")
        row = box(ipywidgets.HBox, [self.search, self.browse], "cnbu-row")
        inputs = [row, self.lines.widget, self.chips.widget]
        super().__init__(name, label, *inputs, limit="one" if kind.most == 1 else None)
        self.search.observe(self._typed, "value")
        on_enter(self.search, self.enter)
        self._no_list("There is no client")

    # --- where the choices come from ---------------------------------------------------------

    def use(
        self,
        source: Source | None = None,
        find: Search | None = None,
        names: Names | None = None,
    ) -> None:
        """Take choices from a list that is loaded in the background, or from a search.

        Args:
            source: the whole list.
            find: a search, for what is too long to list.
            names: what some keys are called, where there is a search.
        """
        self._source, self._find, self._names = source, find, names
        self._ask_names()
        if source is not None:
            self.load()
        elif find is not None:
            self.offer(ChoiceList())

    def load(self) -> None:
        """Ask for the list, in the background."""
        with self._lock:
            self._loads = no = self._loads + 1
            self.loading, self.busy, self._offer = True, f"Loading {self.kind.many}…", ChoiceList()
            self._tasks.start(self.name, lambda: self._load(no))
        self.show()

    async def _load(self, no: int) -> None:
        assert self._source is not None  # noqa: S101 # load() starts it where there is one
        try:
            async for offer in self._source():
                with self._lock:
                    if no != self._loads:  # another list was asked for since
                        return
                    self.loading = not offer.complete
                    self.busy = f"Loading more {self.kind.many}…" if self.loading else ""
                    self._offer, self.loaded = offer, True
                self._offered()
        except Exception as error:  # a widget has nobody to raise to: it is said beside the field
            if no == self._loads:
                self._no_list(why_not(error))

    async def _search_for(self, text: str) -> None:
        assert self._find is not None  # noqa: S101 # _typed() starts it where there is one
        try:
            offer = await self._find(text)
        except Exception as error:  # as above
            self._no_list(why_not(error))
            return
        with self._lock:  # or it might take the place of what is known of a text typed since
            if self.search.value.strip() != text:
                return
            self.busy, self._offer, self.loaded = "", offer, True
        self._offered()

    def offer(self, offer: ChoiceList) -> None:
        """Choices have come; any thread may say so."""
        self._offer, self.loaded = offer, True
        self._offered()

    def _offered(self) -> None:
        offer = self._offer
        self.search.placeholder = "Search, or type an id"
        hide(self.browse, self._find is not None)
        self.know((*offer.named, *offer.choices))

    def know(self, choices: Iterable[Choice]) -> None:
        """What some keys are called."""
        self._known |= {one.key: one for one in choices}
        self._draw()
        self.show()
        self._changed()

    def _ask_names(self) -> None:
        names, unknown = self._names, [key for key in self.picked if key not in self._known]
        if names is None or not unknown:
            return

        async def ask() -> None:
            with suppress(UploadToolkitError):  # ids are shown in place of names
                found = await names(unknown)
                self._missing |= frozenset(unknown) - {one.key for one in found}
                self.know(found)

        self._tasks.start(f"names of {self.name}", ask)

    def _no_list(self, why: str) -> None:
        self.loaded, self.loading, self.busy = False, False, ""
        self._offer = ChoiceList(note=f"{why.rstrip('.')}: type {self._ids}, then press Enter.")
        self.search.placeholder = self._ids.capitalize()
        hide(self.browse, self._source is None)
        self._draw()
        self.show()
        self._changed()

    @property
    def _ids(self) -> str:
        ids = "ids" if self.kind.typed is typed_ids else "external ids"
        return (
            f"{ids} of {self.kind.many}" if self.kind.most > 1 else f"the id of a {self.kind.one}"
        )

    # --- typing and picking ------------------------------------------------------------------

    def open_or_close(self) -> None:
        """Open the lines, or close them; where the list did not load, load it again."""
        if not self.loaded:
            self.load()
            return
        self._page = 0 if self._page is None else None
        self._draw()
        self.show()

    def enter(self) -> None:
        """Take what is typed: the id it is, else the first line."""
        first = next(iter(self.lines.lines), None)
        if first is not None and self.search.value.strip():
            first.do()

    def pick(self, *keys: Key) -> None:
        """Add these; where only one may be picked, it takes the place of the last one."""
        if self.kind.most == 1:
            self.picked, self._page = keys[:1], None
        else:
            self.picked = tuple(dict.fromkeys((*self.picked, *keys)))
        self._go_on()

    def drop(self, *keys: Key) -> None:
        """Take these away."""
        self.picked = tuple(one for one in self.picked if one not in keys)
        self._go_on()

    def _go_on(self) -> None:
        """Something was picked or taken away: go on typing in an empty box."""
        self._empty_box()
        focus(self.search)
        self._draw()
        self._ask_names()
        self.edited()

    def _empty_box(self) -> None:
        self._quiet += 1
        if self.search.value:
            self._page = None
        self.search.value = ""
        self._quiet -= 1
        if self._find is not None:
            with self._lock:
                self._tasks.stop(self.name)
                self._offer, self.busy = replace(self._offer, choices=()), ""

    def _typed(self, change: dict[str, Any]) -> None:
        if self._quiet:
            return
        text = change["new"].strip()
        self._page = 0 if text else None
        if self._find is not None:
            with self._lock:
                self._offer = replace(self._offer, choices=())
                self.busy = f"Searching {self.kind.many}…" if text else ""
                self._tasks.stop(self.name)
                if text:
                    self._tasks.start(self.name, lambda: self._search_for(text), after_s=_PAUSE_S)
        self._draw()
        self.edited()

    # --- what the field is -------------------------------------------------------------------

    @property
    def summary(self) -> str:
        """`2 labels`."""
        count = len(self.picked)
        return f"{count} {self.kind.one if count == 1 else self.kind.many}" if count else ""

    def _read(self) -> Any:
        if typed := self.search.value.strip():
            raise UsageError(
                f"{self.label}: {shortened(typed)!r} is typed and not picked; pick a line, press "
                "Enter, or empty the box."
            )
        return self.kind.value(self.picked) if self.picked else None

    def _put(self, value: Any) -> None:
        self._put_keys(() if value is None else tuple(dict.fromkeys(self.kind.keys(value))))

    def _put_keys(self, keys: tuple[Key, ...]) -> None:
        self.picked = keys
        self._empty_box()
        self._page = None
        self._draw()
        self._ask_names()

    def held(self) -> Any:
        """The keys that are picked, and what is typed and not picked."""
        return self.picked, self.search.value

    def boxes(self) -> dict[str, Any]:
        """The box to search in."""
        return {"": self.search}

    def hold(self, held: Any) -> None:
        """Put in what another field of this kind has `held`; None empties the field."""
        super().hold(held and (held[0], ""))
        if held is not None:
            self.search.value = held[1]  # as if it was typed: lines to pick from are shown

    def _put_held(self, held: Any) -> None:
        self._put_keys(held[0])

    def _show(self) -> None:
        """What is typed and not picked yet is no reason for red."""
        allowed = self._offer.allowed
        doubtful = [] if allowed is None else [one for one in self.picked if one not in allowed]
        nameless = self._offer.complete and any(one not in self._known for one in doubtful)
        why = self._offer.unknown if nameless and self._offer.unknown else self._offer.why
        doubts = (self._known[one].doubt for one in self.picked if one in self._known)
        self.warning = why if doubtful else next(filter(None, doubts), "")
        if not self._missing.isdisjoint(self.picked):
            one = self.kind.one
            self.warning = (
                f"CDF finds no such {one} for this token; it may refuse an upload with it."
            )
        typing = bool(self.search.value.strip())
        self.info = self._hint() if typing and self.loaded else self._offer.note
        self._touched = self._touched and not typing
        super()._show()

    def _hint(self) -> str:
        if self.busy:
            return ""
        if not self._matches():
            return f"No {self.kind.one} fits {shortened(self.search.value.strip())!r}."
        return "Pick a line, or press Enter for the first."

    # --- drawing -----------------------------------------------------------------------------

    def _matches(self) -> list[Choice]:
        text = self.search.value.strip().casefold()
        words = [] if self._find is not None else text.split()
        found = [
            one for one in self._offer.choices if one.fits(words) and one.key not in self.picked
        ]
        if self._find is None:
            found.sort(
                key=lambda one: (str(one.key) != text, not one.title.casefold().startswith(text))
            )
        return found

    def _all_lines(self) -> list[Line]:
        """All that can be picked now; first what Enter takes."""
        matches = self._matches()
        lines = [
            Line(one, one.text, f"Pick {one.text}", partial(self.pick, one.key), "cnbu-hit")
            for one in matches
        ]
        text = self.search.value.strip()
        keys = self.kind.typed(text) if text else None
        if not keys or keys in {(one.key,) for one in matches}:
            return lines
        if self.kind.most == 1 and len(keys) > 1:  # none of them is dropped in silence
            return lines
        said = shortened(", ".join(map(str, keys[:5])) + ("…" if len(keys) > 5 else ""), 100)
        typed = Line(keys, f"Use {said}", f"Use {said}", partial(self.pick, *keys), "cnbu-hit")
        return [typed, *lines] if self.kind.typed is typed_ids else [*lines, typed]

    def _draw(self) -> None:
        # Typing and a list that comes draw in two threads: who is last draws what is there then.
        with self._drawing:
            self._draw_now()

    def _draw_now(self) -> None:
        self._draw_chips()
        lines = [] if self._page is None else self._all_lines()
        at = _PAGE * (self._page or 0)
        left = len(lines) - at - _PAGE
        shown = lines[at : at + _PAGE]
        if at:
            shown.append(self._turn("Back", -1))
        if left > 0:
            shown.append(self._turn(f"{left} more…", 1))
        self.lines.show(shown)
        close = "Close" if self._page is not None else "Browse"
        self.browse.description = close if self.loaded else "Try again"

    def _turn(self, text: str, by: int) -> Line:
        tooltip = f"{text} of the {self.kind.many}"
        return Line(
            (text, self._page), text, tooltip, partial(self._show_page, by), "cnbu-hit cnbu-page"
        )

    def _show_page(self, by: int) -> None:
        self._page = max(0, (self._page or 0) + by)
        self._draw()

    def _draw_chips(self) -> None:
        chips = [self._chip(key) for key in self.picked[:_CHIPS]]
        if (more := len(self.picked) - _CHIPS) > 0:
            text = f"and {more} more: remove all"
            chips.append(
                Line(text, f"{text} ✕", text, lambda: self.drop(*self.picked), "cnbu-chip")
            )
        self.chips.show(chips)

    def _chip(self, key: Key) -> Line:
        known = self._known.get(key, Choice(key, str(key)))
        title = shortened(known.title)
        return Line(
            (key, title), f"{title} ✕", f"Remove {known.text}", partial(self.drop, key), "cnbu-chip"
        )
