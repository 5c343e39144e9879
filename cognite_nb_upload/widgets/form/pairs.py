"""Metadata as a table of keys and values: typed, pasted, or taken from a dict, a CSV or a Series.

Rules of this file: a row keeps its widgets for as long as it lives; only rows that were shown have
any, so that 256 pairs cost no more than the page one looks at.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any, Final

import ipywidgets

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import LIMITS
from cognite_nb_upload.models.parse import Pair, doubt_of, pairs_of
from cognite_nb_upload.widgets.form.choices import shortened
from cognite_nb_upload.widgets.form.field import Field
from cognite_nb_upload.widgets.style import box, button, close_all, focus, hide, make

_PAGE: Final = 8


class Row:
    """A key and a value, and the boxes to type them in once it is shown."""

    def __init__(self, table: PairsField, pair: Pair) -> None:
        self._table = table
        self._pair = pair
        self.widget: Any = None

    @property
    def pair(self) -> Pair:
        """The key and the value, as they stand."""
        if self.widget is None:
            return self._pair
        return (self.key.value, self.value.value)

    def show(self, no: int) -> ipywidgets.Widget:
        """The row's widgets, as row `no` of the table."""
        if self.widget is None:
            self._make()
        self.key.description, self.value.description = f"Key {no}", f"Value {no}"
        self._away.description = self._away.tooltip = f"Remove row {no}"
        return self.widget

    def _make(self) -> None:
        self.key = make(ipywidgets.Text, self._pair[0], placeholder="key")
        self.value = make(ipywidgets.Text, self._pair[1], placeholder="value")
        self._away = button("", "", partial(self._table.remove, self), "cnbu-x")
        for one in (self.key, self.value):
            one.add_class("cnbu-quiet")
            one.observe(self._table.edited, "value")
        self.widget = box(ipywidgets.HBox, [self.key, self.value, self._away], "cnbu-pair")

    def close(self) -> None:
        """Close the widgets."""
        if self.widget is not None:
            close_all(self.widget)


class PairsField(Field):
    """A table of keys and values.

    Attributes:
        rows: all rows, also those that are empty or half filled.
        paste: the box that takes a dict, JSON, CSV or lines.
    """

    def __init__(self, name: str, label: str) -> None:
        self.rows = [Row(self, ("", ""))]
        self._page = 0
        self._table = box(ipywidgets.VBox, [], "cnbu-pairs")
        self._back = button("Previous rows", "Previous rows", partial(self._turn, -1))
        self._next = button("Next rows", "Next rows", partial(self._turn, 1))
        self._where = make(ipywidgets.HTML)
        tools = [
            button("Add a row", "Add an empty row", self.add_row),
            button("Paste…", "Paste a dict, JSON, CSV or lines", self.open_paste),
            self._back,
            self._next,
            self._where,
        ]
        heading = make(ipywidgets.HTML, f'<div class="cnbu-heading">{label}</div>')
        tool_box = box(ipywidgets.HBox, tools, "cnbu-tools")
        inputs = [heading, self._table, tool_box, self._make_paste()]
        super().__init__(name, label, *inputs, limit=LIMITS[name])
        self.widget.add_class("cnbu-wide")
        self._draw()

    def _make_paste(self) -> ipywidgets.Widget:
        self.paste = make(
            ipywidgets.Textarea,
            description="Pairs to paste",
            placeholder='A dict or JSON {"survey": "NV-24"}, or a pair on each line: survey, NV-24',
            rows=5,
        )
        add = button("Add these rows", "Add what is pasted to the table", self.add_pasted)
        children = [self.paste, box(ipywidgets.HBox, [add], "cnbu-tools")]
        self._paste_box = box(ipywidgets.VBox, children, "cnbu-inside", "cnbu-none")
        return self._paste_box

    # --- rows --------------------------------------------------------------------------------

    def add_row(self) -> None:
        """Add an empty row, and go there."""
        self.rows.append(Row(self, ("", "")))
        self._page = (len(self.rows) - 1) // _PAGE
        self._draw()
        focus(self.rows[-1].key)

    def remove(self, row: Row) -> None:
        """Take a row away; one is always there to type in."""
        if row not in self.rows:
            return
        at = self.rows.index(row)
        self.rows.remove(row)
        self.rows = self.rows or [Row(self, ("", ""))]
        self._draw()
        row.close()
        shown = self.rows[_PAGE * self._page :][:_PAGE]
        focus(shown[min(at - _PAGE * self._page, len(shown) - 1)].key)
        self.edited()

    def add(self, given: object) -> None:
        """Add pairs from whatever `pairs_of` reads; a key that is there gets the new value.

        Raises:
            UsageError: it cannot be read.
        """
        new = dict(pairs_of(given))
        kept = [row.pair for row in self.rows if any(row.pair) and row.pair[0] not in new]
        self._set_rows([*kept, *new.items()])
        self.edited()

    def open_paste(self) -> None:
        """Open the box to paste in, or close it."""
        self._paste_open(self._paste_hidden)

    @property
    def _paste_hidden(self) -> bool:
        return "cnbu-none" in self._paste_box._dom_classes

    def _paste_open(self, opened: bool) -> None:
        hide(self._paste_box, not opened)
        if opened:
            focus(self.paste)

    def add_pasted(self) -> None:
        """Add what is in the box to paste in, or say why not."""
        try:
            self.add(self.paste.value)
        except UsageError as error:
            self.warning = str(error)
            self.show()
            return
        self.warning = doubt_of(self.paste.value)
        self.paste.value = ""
        self._paste_open(False)
        self.show()

    # --- what the field is -------------------------------------------------------------------

    @property
    def summary(self) -> str:
        """`3 pairs`."""
        count = len(self.value or ())
        return f"{count} pair{'' if count == 1 else 's'}" if count else ""

    def _read(self) -> dict[str, str] | None:
        pairs = [row.pair for row in self.rows if any(row.pair)]
        if any(not key for key, _ in pairs):
            value = next(value for key, value in pairs if not key)
            raise UsageError(f"{self.label}: the value {shortened(value)!r} has no key.")
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            again = shortened(twice[0])
            raise UsageError(f"{self.label} has the key {again!r} twice; name each once.")
        return dict(pairs) or None

    def held(self) -> Any:
        """All rows, those that are half filled too, and what is about to be pasted."""
        return tuple(row.pair for row in self.rows), self.paste.value, not self._paste_hidden

    def boxes(self) -> dict[str, Any]:
        """The boxes of the rows that were shown, and the one to paste in."""
        shown = {no: row for no, row in enumerate(self.rows) if row.widget is not None}
        keys = {f"key {no}": row.key for no, row in shown.items()}
        values = {f"value {no}": row.value for no, row in shown.items()}
        return {**keys, **values, "paste": self.paste}

    def _put_held(self, held: Any) -> None:
        pairs, self.paste.value, opened = held
        hide(self._paste_box, not opened)
        self._set_rows(list(pairs))

    def _put(self, value: dict[str, str] | None) -> None:
        self._set_rows(list((value or {}).items()))

    def _set_rows(self, pairs: list[Pair]) -> None:
        gone = self.rows
        self.rows = [Row(self, pair) for pair in pairs or [("", "")]]
        self._page = 0
        self._draw()
        for row in gone:
            row.close()

    # --- drawing -----------------------------------------------------------------------------

    def _turn(self, by: int) -> None:
        self._page += by
        self._draw()

    def _draw(self) -> None:
        last = (len(self.rows) - 1) // _PAGE
        self._page = min(max(self._page, 0), last)
        at = _PAGE * self._page
        shown = self.rows[at : at + _PAGE]
        self._table.children = [row.show(at + no) for no, row in enumerate(shown, 1)]
        self._where.value = f"{at + 1} to {at + len(shown)} of {len(self.rows)}" if last else ""
        for turn, there in ((self._back, self._page > 0), (self._next, self._page < last)):
            turn.disabled = not there
            hide(turn, not last)
