"""Bars as widgets in a notebook: tqdm's, a strip of all parts, and plain HTML when all is over.

Rules of this file: about ten messages a second leave for the browser, whatever happens (`Budget`);
a bar that moves is one message, so its label and percentage are traits of the meter itself; when an
upload is over its widgets are closed, and text and HTML that need no widget take their place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from typing import Any, Final

import ipywidgets
from IPython.display import display
from ipywidgets.widgets.widget_int import ProgressStyle
from ipywidgets.widgets.widget_string import HTMLStyle
from tqdm.notebook import TqdmHBox, tqdm_notebook  # type: ignore[attr-defined] # not in stubs

from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.progress.lines import Line, Moment, Slots, part_line, whole_line
from cognite_nb_upload.progress.strip import STYLE, strip_html
from cognite_nb_upload.progress.table import state_html
from cognite_nb_upload.progress.words import clean, show_amount, show_count, summary

# notebook.md: a server drops messages above 1000 a second, those to the browser among them; people
# see no more than a few a second. Opening and closing bars comes on top, a few times an upload.
MESSAGES_PER_S: Final = 8.0
_BURST: Final = 4.0
# What a notebook shows without widgets if it is saved before the end.
_UNFINISHED: Final = "The progress of an upload, shown live; this copy was saved before it ended."
# What is drawn first when not everything can be: the whole, then the strip, then parts.
_WEIGHT_WHOLE, _WEIGHT_STRIP, _WEIGHT_PART = 3.0, 2.0, 1.0


class Budget:
    """How many messages may leave now: `MESSAGES_PER_S`, saved up to a few."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = _BURST
        self._at_s = clock()

    def take(self, messages: int) -> bool:
        """Spend `messages`, or none of them if there are not so many left."""
        now_s = self._clock()
        self._left = min(_BURST, self._left + (now_s - self._at_s) * MESSAGES_PER_S)
        self._at_s = now_s
        if messages > self._left:
            return False
        self._left -= messages
        return True


class _Shared:
    """What all bars of an upload have in common: one model each, not one per bar."""

    def __init__(self, label: str = "8.5em") -> None:
        self.row = ipywidgets.Layout(width="100%", flex_flow="row wrap", align_items="center")
        self.meter = ipywidgets.Layout(
            flex="1 1 20em", max_width="38em", width="auto", height="22px", margin="0 6px 0 0"
        )
        self.text = ipywidgets.Layout(flex="1 1 16em", width="auto", min_height="22px", margin="0")
        self.hidden = ipywidgets.Layout(display="none")
        self.style = ProgressStyle(description_width=label)
        self.text_style = HTMLStyle()
        self.blank = ipywidgets.HTML(layout=self.hidden, style=self.text_style)

    def close(self) -> None:
        """Close all of them."""
        for widget in vars(self).values():
            widget.close()


class WidgetBar(tqdm_notebook):  # type: ignore[type-arg] # generic in stubs only
    """A bar whose texts are ours; label and percentage are the meter's own description."""

    monitor_interval = 0  # bars are refreshed by hand: no thread of tqdm's is needed
    text = ""

    def __init__(self, shared: _Shared, line: Line) -> None:
        self._shared = shared
        self._first = line
        self.text = line.text
        super().__init__(total=line.total, initial=line.n, display=False)

    def status_printer(self, *_: object, **__: object) -> TqdmHBox:  # type: ignore[override]
        """The three widgets of a bar, as tqdm expects them: left text, meter, right text."""
        shared, line = self._shared, self._first
        self.meter = ipywidgets.FloatProgress(
            value=line.n,
            max=line.total,
            bar_style=line.mood,
            description=_description(line),
            layout=shared.meter,
            style=shared.style,
        )
        text = escape(self.text)
        self.right = ipywidgets.HTML(text, layout=shared.text, style=shared.text_style)
        return TqdmHBox(children=[shared.blank, self.meter, self.right], layout=shared.row)

    def display(self, *_: object, **__: object) -> None:
        """Draw what has changed."""
        self.meter.value = self.n
        self.right.value = escape(self.text)

    def show(self, line: Line) -> None:
        """Draw `line`: one message for the meter, one for the text beside it if that is new."""
        with self.meter.hold_sync():
            self.meter.max = line.total
            self.meter.bar_style = line.mood
            self.meter.description = _description(line)
            self.n, self.total, self.text = line.n, line.total, line.text
            self.refresh()

    def close(self) -> None:
        """Close every model that is this bar's own."""
        if self.disable:
            return
        super(tqdm_notebook, self).close()
        for widget in (self.container, self.meter, self.right):
            widget.close()


def _description(line: Line) -> str:
    return f"{line.label} \u00b7 {line.percent}"


class _Row:
    """One bar of the notebook, drawn where it has changed and there are messages left for it."""

    def __init__(self, shared: _Shared, weight: float, line: Line, now_s: float) -> None:
        self._weight = weight
        self._drawn, self._drawn_s = line, now_s
        self.bar = WidgetBar(shared, line)
        self.widget: ipywidgets.Widget = self.bar.container

    def matters(self, line: Line, now_s: float) -> float:
        """How much it matters to draw `line` now; 0 where nothing has changed."""
        drawn = self._drawn
        if line == drawn:
            return 0.0
        another = (drawn.label, drawn.mood) != (line.label, line.mood)
        return self._weight * (now_s - self._drawn_s + another)

    def messages(self, line: Line) -> int:
        """One for the meter, and one for the text beside it if that is new."""
        return 1 + (self._drawn.text != line.text)

    def draw(self, line: Line, now_s: float) -> None:
        """Draw it."""
        self.bar.show(line)
        self._drawn, self._drawn_s = line, now_s

    def close(self) -> None:
        """Close its models."""
        self.bar.close()


class _Strip:
    """The strip of all parts, as a row like the others."""

    def __init__(self, weight: float, html: str, now_s: float) -> None:
        self._weight = weight
        self._drawn_s = now_s
        self.widget = ipywidgets.HTML(html)

    def matters(self, html: str, now_s: float) -> float:
        """How much it matters to draw `html` now; 0 where nothing has changed."""
        return self._weight * (now_s - self._drawn_s) if html != self.widget.value else 0.0

    def messages(self, html: str) -> int:
        """Always one."""
        return 1

    def draw(self, html: str, now_s: float) -> None:
        """Draw it."""
        self.widget.value = html
        self._drawn_s = now_s

    def close(self) -> None:
        """Close its models."""
        _close(self.widget)


class Notebook:
    """tqdm's widgets in one box: the whole, a strip of all parts, and the parts in flight."""

    def __init__(self, *, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = slots
        self._clock = clock
        self._budget = Budget(clock)
        self._handle: Any = None  # a DisplayHandle
        self._still: ipywidgets.HTML | None = None
        self._open_rows: _Rows | None = None
        self.container = ipywidgets.VBox(_dom_classes=("cnbu",))

    def show(self) -> None:
        """Display the box in the cell that runs."""
        if self._handle is None:
            self._handle = _show_live(self.container)

    def paint(self, moment: Moment) -> bool:
        """Draw what matters most; True where something is left for the next time."""
        now_s = self._clock()
        rows = self._open_rows or self._open(moment, now_s)
        wanted = rows.wanted(moment, now_s)
        for _, row, new in sorted(wanted, key=lambda one: -one[0]):
            if not self._budget.take(row.messages(new)):
                return True
            row.draw(new, now_s)
        return False

    def finish(self, moment: Moment) -> None:
        """Close the bars; text and HTML that need no widget take their place."""
        still = self._still or ipywidgets.HTML()
        still.value = state_html(moment.state)
        self._still = still
        self.container.children = (still,)
        if self._open_rows is not None:
            self._open_rows.close()
            self._open_rows = None
        if self._handle is not None:
            self._handle.update(_still_bundle(moment.state), raw=True)

    def _open(self, moment: Moment, now_s: float) -> _Rows:
        self._open_rows = _Rows(self.container, self._most, moment, now_s)
        if self._still is not None and self._handle is not None:
            # It was over, and goes on: the still picture becomes widgets again.
            self._handle.update(live_bundle(self.container, _UNFINISHED), raw=True)
        return self._open_rows


class BoxOfLines:
    """Bars of lines that somebody else has decided, in one output; a text is left in their place.

    tqdm's own show each bar in an output of its own, and a saved notebook keeps what they showed
    first.
    """

    def __init__(self) -> None:
        self._budget = Budget()
        self._shared = _Shared(label="17em")
        self._rows: list[_Row] = []
        self._box = ipywidgets.VBox(_dom_classes=("cnbu",))
        self._handle = _show_live(self._box)

    def paint(self, lines: Sequence[Line]) -> None:
        """Draw what has changed, the first ones first, for as long as messages may leave."""
        now_s = time.monotonic()
        for row, line in zip(self._rows, lines, strict=False):
            if row.matters(line, now_s) and self._budget.take(row.messages(line)):
                row.draw(line, now_s)
        new = lines[len(self._rows) :]
        self._rows += [_Row(self._shared, _WEIGHT_PART, line, now_s) for line in new]
        if new:
            self._box.children = tuple(row.widget for row in self._rows)

    def finish(self, text: str) -> None:
        """Close the bars, and leave the text."""
        html = f"<div>{escape(text)}</div>"
        self._handle.update({"text/plain": text, "text/html": html}, raw=True)
        for row in self._rows:
            row.close()
        self._shared.close()
        for model in (self._box.layout, self._box):
            model.close()


class _Rows:
    """The widgets of an upload that is not over, within the box they are shown in."""

    def __init__(
        self, container: ipywidgets.VBox, slots: int, moment: Moment, now_s: float
    ) -> None:
        self._container = container
        self._slots = Slots(slots)
        self._shared = _Shared()
        self._head = ipywidgets.HTML(_head_html(moment.state))
        self._whole = _Row(self._shared, _WEIGHT_WHOLE, _whole(moment), now_s)
        self._strip = _Strip(_WEIGHT_STRIP, strip_html(moment.state), now_s)
        self._parts: list[_Row] = []
        self._place()

    def _place(self) -> None:
        rows: tuple[_Row | _Strip, ...] = (self._whole, self._strip, *self._parts)
        self._container.children = (self._head, *(row.widget for row in rows))

    def wanted(self, moment: Moment, now_s: float) -> list[tuple[float, _Row | _Strip, Any]]:
        """The rows that have changed: how much each matters, and what it is to show."""
        self._head.value = _head_html(moment.state)
        news: list[tuple[_Row | _Strip, Any]] = [
            (self._whole, _whole(moment)),
            (self._strip, strip_html(moment.state)),
        ]
        lines = self._part_lines(moment)
        self._grow(lines, now_s)
        news += zip(self._parts, lines, strict=True)
        rated = [(row.matters(new, now_s), row, new) for row, new in news]
        return [one for one in rated if one[0] > 0]

    def _part_lines(self, moment: Moment) -> list[Line]:
        parts = moment.state.parts
        return [part_line(parts[no], moment.again_s.get(no)) for no in self._slots.assign(parts)]

    def _grow(self, lines: list[Line], now_s: float) -> None:
        new = lines[len(self._parts) :]
        self._parts += [_Row(self._shared, _WEIGHT_PART, line, now_s) for line in new]
        if new:
            self._place()

    def close(self) -> None:
        """Close every model; the box has other children by now."""
        rows: tuple[_Row | _Strip, ...] = (self._whole, self._strip, *self._parts)
        for row in rows:
            row.close()
        _close(self._head)
        self._shared.close()


def live_bundle(widget: ipywidgets.Widget, text: str) -> dict[str, Any]:
    """What shows a widget, and the text where there are none."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {"application/vnd.jupyter.widget-view+json": view, "text/plain": text}


def _show_live(widget: ipywidgets.Widget) -> Any:
    """Display it in the cell that runs; returns its DisplayHandle."""
    show: Any = display  # IPython's is not typed
    return show(live_bundle(widget, _UNFINISHED), raw=True, display_id=True)


def _whole(moment: Moment) -> Line:
    """The name of the file stands above, in full."""
    return replace(whole_line(moment), label="all parts")


def _close(widget: ipywidgets.HTML) -> None:
    for model in (widget.layout, widget.style, widget):
        model.close()


def _head_html(state: UploadState) -> str:
    name = escape(clean(state.name) or "upload")
    size = f", {show_amount(state.size)}" if state.size is not None and state.parts else ""
    parts = f" in {show_count(len(state.parts), 'part')}" if state.parts else ""
    words = escape(f"{size}{parts}")
    return f'{STYLE}<span class="cnbu-name"><bdi>{name}</bdi></span>{words}'


def _still_bundle(state: UploadState) -> dict[str, Any]:
    return {"text/plain": summary(state), "text/html": state_html(state)}
