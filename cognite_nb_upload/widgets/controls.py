"""Buttons that come and go: lines to pick from, and chips to take away.

Rules of this file: a button keeps its meaning for as long as it lives: a click that was on its way
when the lines changed does what the reader saw, or nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import ipywidgets

from cognite_nb_upload.widgets.style import box, button


@dataclass(frozen=True, slots=True)
class Line:
    """A button to be: what it is known by, what it says, and what it does."""

    key: Hashable
    text: str
    tooltip: str
    do: Callable[[], None] = field(compare=False)
    css: str = ""


class Buttons:
    """A box of buttons, one per line."""

    def __init__(self, kind: type[ipywidgets.Box], *classes: str) -> None:
        self.widget = box(kind, [], *classes)
        self.lines: tuple[Line, ...] = ()
        self._made: dict[Line, ipywidgets.Button] = {}
        self._lock = threading.RLock()

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; buttons of lines that stay are kept, others are closed."""
        with self._lock:
            if self.lines == tuple(lines):
                return
            self.lines = tuple(lines)
            made = {one: self._made.pop(one, None) or self._make(one) for one in self.lines}
            gone, self._made = self._made, made
            self.widget.children = tuple(made.values())
            for one in gone.values():
                one.close()

    def press(self, at: int) -> None:
        """Do what the line at this place does."""
        self.lines[at].do()

    def _make(self, line: Line) -> ipywidgets.Button:
        return button(line.text, line.tooltip, line.do, *line.css.split())
