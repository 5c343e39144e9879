"""A group of fields that folds away, with a line that tells what is in it.

Why not an `Accordion`: its headers are no buttons, and the keyboard does not reach them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import ipywidgets

from cognite_nb_upload.widgets.form.field import Field
from cognite_nb_upload.widgets.style import box, button, hide


class Section:
    """A button, and the fields below it while it is open.

    Attributes:
        title: what it is called.
        opened: whether the fields are shown.
        widget: what is displayed.
    """

    def __init__(self, title: str, fields: Sequence[Field]) -> None:
        self.title = title
        self._fields = fields
        self._lock = threading.RLock()
        self.opened = False
        self.button = button(title, f"Show or hide: {title}", self.toggle, "cnbu-fold")
        self._inside = box(ipywidgets.VBox, [], "cnbu-inside", "cnbu-grid", "cnbu-none")
        self.widget = box(ipywidgets.VBox, [self.button, self._inside])
        self.show()

    def toggle(self) -> None:
        """Open it, or close it."""
        self.opened = not self.opened
        if self.opened and not self._inside.children:  # until then the page has no models of them
            self._inside.children = [field.widget for field in self._fields]
        hide(self._inside, not self.opened)
        self.show()

    def show(self) -> None:
        """Bring the button's line up to date."""
        with self._lock:  # typing and a list that comes show it in two threads
            bad = [field.label for field in self._fields if field.bad]
            told = [f"to mend: {', '.join(bad)}"] if bad else []
            told += [field.summary for field in self._fields if field.summary]
            line = f"{'▾' if self.opened else '▸'}  {' · '.join((self.title, *told))}"
            if line != self.button.description:
                self.button.description = line
            (self.button.add_class if bad else self.button.remove_class)("cnbu-hasbad")
