"""One field of a form: a labelled input, its limit, and below it what is wrong or worth knowing.

Rules of this file: a field knows its value or what is wrong with it, never both; the limits are
those of `models`, and are checked as one types; the label is the input's own description. Typing
and an answer of CDF come in two threads: what is known last is read and shown last.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import ipywidgets

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import LIMITS, check_field
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.widgets.style import box, make, say


class Field:
    """What all fields are: a name and a label, a value or an error, and a note.

    Attributes:
        name: of the field in `FileMetadata`.
        label: what a reader calls it.
        value: what `FileMetadata` takes; None where the field is empty, or in error.
        error: what is wrong, in one sentence; "" where nothing is.
        warning: what CDF may refuse, or what is probably a mistake; it stops nobody.
        info: what is worth knowing.
        busy: what is under way; "" where nothing is.
        widget: what is displayed.
    """

    def __init__(
        self, name: str, label: str, *inputs: ipywidgets.Widget, limit: str | None = None
    ) -> None:
        self._lock = threading.RLock()  # never held while listeners are told
        self.name = name
        self.label = label
        self._about = LIMITS.get(name, "")
        self._limit = re.split("[,;]", self._about)[0] if limit is None else limit
        self.value: Any = None
        self.error = self.warning = self.info = self.busy = ""
        self._touched = False
        self._quiet = 0
        self._blank = self.held()
        self._changed: Callable[[], None] = lambda: None
        self.note = make(ipywidgets.HTML)
        self.note.add_class("cnbu-note")
        self.widget = box(ipywidgets.VBox, [*inputs, self.note], "cnbu-field")
        self.show()

    @property
    def bad(self) -> bool:
        """Whether it is in error, and somebody has been there."""
        return bool(self.error) and self._touched

    @property
    def summary(self) -> str:
        """What it holds, in two words; "" where it is empty."""
        return "" if self.value is None else self.label.lower()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed()` whenever the value or the error may be another."""
        self._changed = changed

    def fill(self, value: Any) -> None:
        """Put a value in, as `FileMetadata` holds it; None empties the field."""
        self._quiet += 1
        try:
            self._put(value)
        finally:
            self._quiet -= 1
        self._touched = value is not None
        self.update()

    def held(self) -> Any:
        """What the inputs hold, valid or not; equal where nothing has changed."""
        raise NotImplementedError

    def hold(self, held: Any) -> None:
        """Put in what another field of this kind has `held`; None empties the field."""
        if held is None:
            self.fill(None)
            return
        self._quiet += 1
        try:
            self._put_held(held)
        finally:
            self._quiet -= 1
        self._touched = held != self._blank
        self.update()

    def boxes(self) -> dict[str, Any]:
        """The boxes that one types in, by what is in them."""
        return {}

    def edited(self, _: object = None) -> None:
        """An input has another value: by a person, or by code that set it."""
        if not self._quiet:
            self._touched = True
            self.update()

    def update(self) -> None:
        """Read and check what the inputs hold, show what is wrong, and tell the listener."""
        with self._lock:
            self.value, self.error = self._checked()
        self.show()
        self._changed()

    def show(self) -> None:
        """Bring the note up to date: an empty form is not red before anybody has touched it."""
        with self._lock:
            self._show()

    def _show(self) -> None:
        """The same, for the fields that say more; the caller holds the lock."""
        limit = f'title="{escaped(self._about)}">{escaped(self._limit)}'
        html = f'<div class="cnbu-limit" {limit}</div>'
        html += say(self.error, "error", "alert") if self.bad else ""
        html += say(self.warning, "warn") + say(self.busy, "busy") + say(self.info, "info")
        if html != self.note.value:
            self.note.value = html
        (self.widget.add_class if self.bad else self.widget.remove_class)("cnbu-bad")

    def _checked(self) -> tuple[Any, str]:
        try:
            value = self._read()
        except UsageError as error:
            return None, str(error)
        found = self._wrong(value)
        # The label in place of the name that Python has for it.
        words = self.label + found.removeprefix(self.name) if found.startswith(self.name) else found
        return (None if found else value), words

    def _wrong(self, value: Any) -> str:
        """What CDF would refuse in a value, in one sentence; "" where nothing."""
        return check_field(self.name, value) or ""

    def _read(self) -> Any:
        raise NotImplementedError

    def _put(self, value: Any) -> None:
        raise NotImplementedError

    def _put_held(self, held: Any) -> None:
        raise NotImplementedError


class InputField(Field):
    """A field with one input, which holds all there is."""

    input: Any

    def held(self) -> Any:
        """The input's value."""
        return self.input.value

    def boxes(self) -> dict[str, Any]:
        """The input, where it is a box."""
        return (
            {"": self.input}
            if isinstance(self.input, ipywidgets.Text | ipywidgets.Textarea)
            else {}
        )

    def _put_held(self, held: Any) -> None:
        self.input.value = held


class TextField(InputField):
    """One line of text. What was put in by `suggest` is replaced until somebody edits it."""

    def __init__(self, name: str, label: str, placeholder: str = "", *more: Any) -> None:
        self.input = make(ipywidgets.Text, description=label, placeholder=placeholder)
        self._suggested = ""
        super().__init__(name, label, self.input, *more)
        self.input.observe(self.edited, "value")

    def suggest(self, text: str | None) -> None:
        """Put `text` in unless a person has written there."""
        if self.input.value == self._suggested:
            self._suggested = text or ""
            self.fill(text)

    def held(self) -> Any:
        """The text, and the one that was suggested; what is only suggested counts as empty."""
        text = self.input.value
        return ("", "") if text == self._suggested else (text, self._suggested)

    def _put_held(self, held: Any) -> None:
        self.input.value, self._suggested = held

    def _read(self) -> str | None:
        return self.input.value or None

    def _put(self, value: str | None) -> None:
        self.input.value = value or ""


class TimeField(InputField):
    """A moment: entered in the browser's own time zone, shown below in UTC as well."""

    def __init__(self, name: str, label: str) -> None:
        self.input = make(ipywidgets.DatetimePicker, description=label)
        self._suggested: datetime | None = None
        super().__init__(name, label, self.input, limit="your local time")
        self.input.observe(self.edited, "value")

    def suggest(self, moment: datetime | None) -> None:
        """Put `moment` in unless a person has entered another."""
        if self.input.value == self._suggested:
            self._suggested = moment
            self.fill(moment)

    def held(self) -> Any:
        """The moment, and the one that was suggested; what is only suggested counts as empty."""
        moment = self.input.value
        return (None, None) if moment == self._suggested else (moment, self._suggested)

    def _put_held(self, held: Any) -> None:
        self.input.value, self._suggested = held

    def _show(self) -> None:
        at = self.value.astimezone(UTC).isoformat(" ", "seconds") if self.value else ""
        self.info = f"{at.removesuffix('+00:00')} UTC" if at else ""
        super()._show()

    def _read(self) -> datetime | None:
        moment: datetime | None = self.input.value
        return moment

    def _put(self, value: datetime | None) -> None:
        self.input.value = value
