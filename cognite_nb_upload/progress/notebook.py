"""Bars in a notebook: one widget for an upload, drawn from one description; HTML when it is over.

Rules of this file: what is shown is one trait, so that a reload, a second view and a saved copy
need nothing else; about eight messages a second leave one kernel, whatever happens (`Budget`);
when an upload is over its widget is closed, and text and HTML that need no widget take its place.
A page that was loaded since cannot be shown those: where there is one, the widget stays, and shows
how it ended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import Any, ClassVar, Final
from weakref import WeakSet

import anywidget
import traitlets
from IPython.core.getipython import get_ipython
from IPython.display import display
from tqdm.std import tqdm

from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.progress.css import STATIC, script, sheet
from cognite_nb_upload.progress.lines import Line, Moment, Slots, part_line, whole_line
from cognite_nb_upload.progress.strip import Mark, cells
from cognite_nb_upload.progress.table import state_html
from cognite_nb_upload.progress.words import (
    clean,
    parts_words,
    show_amount,
    show_count,
    summary,
)

# A server drops messages above 1000 a second, those to the browser among them; people see no more
# than a few a second. All views of a kernel share them.
MESSAGES_PER_S: Final = 8.0
_BURST: Final = 4.0
# What a notebook shows without widgets if it is saved before the end.
_UNFINISHED: Final = "The progress of an upload, shown live; this copy was saved before it ended."
# And where its page is gone, or the kernel that sent it.
LOST_UPLOAD: Final = (
    "Progress was shown here while it ran; this notebook was saved before the end, and that kernel "
    "is gone. The same call goes on with what is stored; uploads() lists what is unfinished."
)


class Budget:
    """How many messages may leave now: `MESSAGES_PER_S`, saved up to a few. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left = _BURST
        self._at_s = clock()

    def take(self, *, must: bool = False) -> bool:
        """Spend one message, or say that there is none left; one that `must` leave is spent."""
        with self._lock:
            now_s = self._clock()
            self._left = min(_BURST, self._left + (now_s - self._at_s) * MESSAGES_PER_S)
            self._at_s = now_s
            if self._left < 1 and not must:
                return False
            self._left -= 1
            return True


BUDGET: Final = Budget()


class LiveView(anywidget.AnyWidget):
    """What a page shows of a running upload; it draws `shown`, and offers `tools`.

    Attributes:
        shown: `name`, `size`, `rows` (a bar each), `strip`, `words`; or `still`, escaped HTML,
            with the same in words (`said`) and the model's `id` where a page has to save them.
        tools: `buttons`, `question`, `limit`, `note`, `bad`; empty where nothing can be pressed.
        asked_for: how often all of it was asked for: once as it was made, and once for each page
            that was loaded since.
    """

    _esm = script(STATIC / "live.js")
    _css = sheet("still", "live")
    shown = traitlets.Dict().tag(sync=True)
    tools = traitlets.Dict().tag(sync=True)

    asked_for = 0

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """The fields that are named by `key`, or all: then a page asks, or it is opened."""
        if key is None:
            self.asked_for += 1
        return super().get_state(key, drop_defaults)


class ViewBar(tqdm):  # type: ignore[type-arg] # generic in stubs only
    """A tqdm bar that draws itself as a row of a `LiveView`."""

    monitor_interval = 0  # bars are refreshed by hand: no thread of tqdm's is needed
    _instances: ClassVar[WeakSet[Any]] = (
        WeakSet()
    )  # apart from those in a terminal, which count lines

    def __init__(self, line: Line) -> None:
        self.line = line
        self.row: dict[str, Any] = {}
        super().__init__(total=line.total, initial=line.n, gui=True, leave=False)

    def display(self, *_: object, **__: object) -> None:
        """Write the row."""
        line = self.line
        self.row = {
            "label": line.label,
            "percent": line.percent,
            "share": round(min(1.0, self.n / self.total), 4) if self.total else 1.0,
            "text": line.text,
            "mood": line.mood,
        }

    def show(self, line: Line) -> dict[str, Any]:
        """The row of `line`."""
        self.line, self.n, self.total = line, line.n, line.total
        self.refresh()
        return self.row


class BarRows:
    """tqdm bars, as many as there are lines, and what they draw."""

    def __init__(self) -> None:
        self._bars: list[ViewBar] = []

    def draw(self, lines: Iterable[Line]) -> list[dict[str, Any]]:
        """A row for each line; a bar is kept for the next time."""
        rows = []
        for at, line in enumerate(lines):
            if at == len(self._bars):
                self._bars.append(ViewBar(line))
            rows.append(self._bars[at].show(line))
        return rows

    def close(self) -> None:
        """Close the bars."""
        for bar in self._bars:
            bar.disable = True  # nothing of tqdm's is on a screen that it could clear
        self._bars.clear()


class Describer:
    """What a `LiveView` shows of an upload: the whole, a strip of all parts, and those in flight.

    Args:
        slots: the most parts that have a bar of their own.
        name: the file's, before the upload is opened.
    """

    def __init__(self, slots: int, name: str = "") -> None:
        self._slots = Slots(slots)
        self._name = name
        self._rows = BarRows()

    def of(self, moment: Moment) -> dict[str, Any]:
        """Everything that is shown."""
        state, parts = moment.state, moment.state.parts
        numbers = self._slots.assign(parts)
        lines = [replace(whole_line(moment), label="all parts")]
        lines += [part_line(parts[no], moment.again_s.get(no)) for no in numbers]
        words = parts_words(state) if parts else ""
        if 0 < len(numbers) < len(parts):
            words += f"; bars for {len(numbers)}, the others in the strip"
        return {
            "name": clean(state.name or self._name) or "upload",
            "size": _size(state),
            "rows": self._rows.draw(lines),
            "strip": strip_data(state),
            "words": words,
        }

    def in_one_line(self, moment: Moment) -> dict[str, Any]:
        """The bar of the whole alone."""
        return {"rows": self._rows.draw([whole_line(moment)])}

    def close(self) -> None:
        """Close the bars."""
        self._rows.close()


def redraw(view: LiveView, shown: dict[str, Any], budget: Budget, *, must: bool = False) -> bool:
    """Show something else, if it is; True where it has to wait for the next message."""
    if shown == view.shown:
        return False
    if not budget.take(must=must):
        return True
    view.shown = shown
    return False


class Notebook:
    """The bars of one upload in one widget: shown by itself, or placed by somebody else."""

    def __init__(self, *, slots: int, budget: Budget = BUDGET) -> None:
        self._describer, self._budget = Describer(slots), budget
        self._handle: LiveOutput | None = None
        self._over = False
        self.container = LiveView()

    def show(self) -> None:
        """Display it in the cell that runs."""
        if self._handle is None:
            self._handle = LiveOutput(self.container, _UNFINISHED, LOST_UPLOAD)

    def paint(self, moment: Moment) -> bool:
        """Draw the moment; True where something is left for the next time."""
        shown = self._describer.of(moment)
        if self._over:  # it was over, and goes on: the still picture becomes a widget again
            self._over = False
            if self._handle is not None:
                if self.container in _left:
                    _left.remove(self.container)
                else:
                    self.container = LiveView(shown=shown)
                self._handle.live(self.container, _UNFINISHED)
        return redraw(self.container, shown, self._budget)

    def finish(self, moment: Moment) -> None:
        """Leave text and HTML that need no widget."""
        self._over = True
        self._describer.close()
        html = state_html(moment.state)
        if self._handle is None:
            self.container.shown = {"still": html}
            return
        still = {"text/plain": summary(moment.state), "text/html": html}
        self._handle.still(still)
        leave_view(self.container, still)


class BoxOfLines:
    """Bars of lines that somebody else has decided, in one widget; a text is left at the end."""

    def __init__(self) -> None:
        self._rows = BarRows()
        self._view = LiveView()
        self._handle = LiveOutput(self._view, _UNFINISHED, LOST_UPLOAD)

    def paint(self, lines: Sequence[Line]) -> None:
        """Draw the lines, if a message may leave; a wait may be the last news for long."""
        must = any(one.waits for one in lines)
        redraw(self._view, {"rows": self._rows.draw(lines)}, BUDGET, must=must)

    def finish(self, text: str) -> None:
        """Close the bars, and leave the text."""
        self._rows.close()
        html = f"<div>{escape(text)}</div>"
        still = {"text/plain": text, "text/html": html}
        self._handle.still(still)
        leave_view(self._view, still)


def strip_data(state: UploadState) -> dict[str, Any] | None:
    """The strip as one letter a part, and what is more to say of some of them."""
    drawn = cells(state)
    if not drawn:
        return None
    moving = (Mark.SENDING, Mark.AGAIN)
    return {
        "marks": "".join(cell.mark.value for cell in drawn),
        "fills": {str(one.no): round(100 * one.fill) for one in drawn if one.mark in moving},
        "titles": {str(one.no): one.title for one in drawn if one.title},
        "words": parts_words(state),
    }


def live_bundle(widget: Any, text: str) -> dict[str, Any]:
    """What shows a widget, and the text where there are none."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": text}


# JupyterLab says of a widget that the kernel does not have: "Error displaying widget: model not
# found", in an element without children. The words take the place of that.
_OUTLIVED: Final = (
    "<style>.cnbu-outlived,"
    ".jp-OutputArea-child:has(+* .cnbu-outlived)>.jupyter-widgets:not(:has(*)),"
    ".jp-OutputArea-child:has(>.jupyter-widgets>*)+* .cnbu-outlived{display:none}"
    ".jp-OutputArea-child:has(>.jupyter-widgets):not(:has(>.jupyter-widgets>*))+* .cnbu-outlived"
    "{display:block}</style><div class=cnbu-outlived>%s</div>"
)
_EMPTY: Final = {"text/plain": "", "text/html": ""}


def outlived(words: str) -> str:
    """HTML for the output below a widget: the words, where that widget is not there any more."""
    return _OUTLIVED % escape(words)


class LiveOutput:
    """A widget in the output of a cell; below it words for pages that are opened without it.

    Args:
        widget: what is shown.
        text: the same in a line, for where there are no widgets.
        words: what a saved notebook says once the kernel does not have the widget any more.
    """

    def __init__(self, widget: Any, text: str, words: str) -> None:
        show: Any = display  # IPython's is not typed
        self._handle = show(live_bundle(widget, text), raw=True, display_id=True)
        self._words = {"text/plain": "", "text/html": outlived(words)}
        # What runs a notebook without a page keeps the words of the end alone.
        self._below = show(self._words, raw=True, display_id=True) if _in_a_page() else None

    def live(self, widget: Any, text: str) -> None:
        """Show a widget again."""
        self._put(live_bundle(widget, text), self._words)

    def still(self, bundle: dict[str, str]) -> None:
        """Show in its place what needs no widget."""
        self._put(bundle, _EMPTY)

    def _put(self, bundle: dict[str, Any], below: dict[str, str]) -> None:
        self._handle.update(bundle, raw=True)
        if self._below is not None:
            self._below.update(below, raw=True)


def _in_a_page() -> bool:
    """Whether a page runs this cell, and has told which it is."""
    try:
        shell: Any = get_ipython()
        return "cellId" in shell.kernel.get_parent()["metadata"]
    except (AttributeError, KeyError, TypeError):
        return False


# Views whose upload is over, and which a page still shows that was loaded meanwhile.
_left: deque[LiveView] = deque()
_MOST_LEFT: Final = 16


def leave_view(view: LiveView, still: dict[str, str]) -> None:
    """Close a view in whose place its end was put; where other pages have it, show the end there.

    A page that was loaded again does not know of the display that is updated: it shows the end in
    the view, and saves it in its place. Views that stay are few: the oldest is closed.
    """
    ended = {"still": still["text/html"]}
    if view.asked_for < 2:
        view.shown = ended
        close_view(view)
        return
    view.shown = {**ended, "said": still["text/plain"], "id": view.model_id}
    _left.append(view)
    if len(_left) > _MOST_LEFT:
        close_view(_left.popleft())


def close_view(view: LiveView) -> None:
    """Close a view and its layout."""
    view.layout.close()
    view.close()


def _size(state: UploadState) -> str:
    size = f", {show_amount(state.size)}" if state.size is not None and state.parts else ""
    return size + (f" in {show_count(len(state.parts), 'part')}" if state.parts else "")
