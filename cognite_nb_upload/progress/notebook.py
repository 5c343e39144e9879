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


class Budget:
    """How many messages may leave now: `MESSAGES_PER_S`, saved up to a few. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left = _BURST
        self._at_s = clock()

    def take(self) -> bool:
        """Spend one message, or say that there is none left."""
        with self._lock:
            now_s = self._clock()
            self._left = min(_BURST, self._left + (now_s - self._at_s) * MESSAGES_PER_S)
            self._at_s = now_s
            if self._left < 1:
                return False
            self._left -= 1
            return True


BUDGET: Final = Budget()


class LiveView(anywidget.AnyWidget):
    """What a page shows of a running upload; it draws `shown`, and offers `tools`.

    Attributes:
        shown: `name`, `size`, `rows` (a bar each), `strip`, `words`; or `still`, escaped HTML.
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


def redraw(view: LiveView, shown: dict[str, Any], budget: Budget) -> bool:
    """Show something else, if it is; True where it has to wait for the next message."""
    if shown == view.shown:
        return False
    if not budget.take():
        return True
    view.shown = shown
    return False


class Notebook:
    """The bars of one upload in one widget: shown by itself, or placed by somebody else."""

    def __init__(self, *, slots: int, budget: Budget = BUDGET) -> None:
        self._describer, self._budget = Describer(slots), budget
        self._handle: Any = None  # a DisplayHandle
        self._over = False
        self.container = LiveView()

    def show(self) -> None:
        """Display it in the cell that runs."""
        if self._handle is None:
            self._handle = show_live(self.container)

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
                self._handle.update(live_bundle(self.container, _UNFINISHED), raw=True)
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
        self._handle.update(still, raw=True)
        leave_view(self.container, html)


class BoxOfLines:
    """Bars of lines that somebody else has decided, in one widget; a text is left at the end."""

    def __init__(self) -> None:
        self._rows = BarRows()
        self._view = LiveView()
        self._handle = show_live(self._view)

    def paint(self, lines: Sequence[Line]) -> None:
        """Draw the lines, if a message may leave."""
        redraw(self._view, {"rows": self._rows.draw(lines)}, BUDGET)

    def finish(self, text: str) -> None:
        """Close the bars, and leave the text."""
        self._rows.close()
        html = f"<div>{escape(text)}</div>"
        self._handle.update({"text/plain": text, "text/html": html}, raw=True)
        leave_view(self._view, html)


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


def show_live(widget: Any, text: str = _UNFINISHED) -> Any:
    """Display it in the cell that runs; returns its DisplayHandle."""
    show: Any = display  # IPython's is not typed
    return show(live_bundle(widget, text), raw=True, display_id=True)


# Views whose upload is over, and which a page still shows that was loaded meanwhile.
_left: deque[LiveView] = deque()
_MOST_LEFT: Final = 16


def leave_view(view: LiveView, html: str) -> None:
    """Close a view in whose place its end was put; where other pages have it, show the end there.

    A page that was loaded again does not know of the display that is updated. Views that stay are
    few: the oldest is closed.
    """
    view.shown = {"still": html}
    if view.asked_for < 2:
        close_view(view)
        return
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
