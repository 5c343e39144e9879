"""Fields for the properties of a view: an input by the property's type, checked as CDF does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any, Final

import ipywidgets

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import ViewId, ViewProperty
from cognite_nb_upload.models.parse import moment_of
from cognite_nb_upload.models.properties import to_json
from cognite_nb_upload.models.views import CORE
from cognite_nb_upload.widgets.form import picker_spec as kinds
from cognite_nb_upload.widgets.form.choices import ChoiceLists
from cognite_nb_upload.widgets.form.field import Field, InputField, TextField, TimeField
from cognite_nb_upload.widgets.form.picker import Picker
from cognite_nb_upload.widgets.style import make
from cognite_nb_upload.widgets.tasks import Tasks

# What every asset, category and source system fits.
_DESCRIBABLE: Final = ViewId(CORE, "CogniteDescribable", "v1")
_LIMITS: Final = {
    "text": "text",
    "int32": "a whole number",
    "int64": "a whole number",
    "float32": "a number",
    "float64": "a number",
    "boolean": "yes or no",
    "date": "a date",
    "json": "JSON",
    "enum": "one of a list",
    "direct": "a node",
}


class _OfProperty(Field):
    """What is said and checked of a field that is a property of a view."""

    prop: ViewProperty

    def _wrong(self, value: Any) -> str:
        if value is None:
            missing = f"{self.name} is missing; the view requires it."
            return missing if self.prop.required else ""
        try:
            to_json(self.prop, value)
        except UsageError as error:
            return str(error)
        return ""

    @property
    def json(self) -> Any:
        """The value as CDF's JSON; None where the field is empty, or in error."""
        return None if self.value is None else to_json(self.prop, self.value)


def _limit_of(prop: ViewProperty) -> str:
    kind = _LIMITS.get(prop.kind, prop.kind)
    many = f"{kind}; one per line" if prop.many and prop.kind != "direct" else kind
    return f"{many}, required" if prop.required else many


class TextProperty(_OfProperty, TextField):
    """Text and numbers: one line."""

    def __init__(self, prop: ViewProperty) -> None:
        self.prop = prop
        super().__init__(prop.name, prop.title, prop.description)
        self._limit, self._about = _limit_of(prop), prop.description
        self.show()

    def _read(self) -> Any:
        return _read_text(self.prop, self.input.value)

    def _put(self, value: Any) -> None:
        self.input.value = "" if value is None else str(value)


class TimeProperty(_OfProperty, TimeField):
    """A moment."""

    def __init__(self, prop: ViewProperty) -> None:
        self.prop = prop
        super().__init__(prop.name, prop.title)
        self._about = prop.description

    def _put(self, value: Any) -> None:
        super()._put(None if value is None else moment_of(value))


class LinesProperty(_OfProperty, InputField):
    """A list, one item per line, or JSON."""

    def __init__(self, prop: ViewProperty) -> None:
        self.prop = prop
        self.input = make(
            ipywidgets.Textarea, description=prop.title, placeholder=prop.description, rows=3
        )
        super().__init__(prop.name, prop.title, self.input, limit=_limit_of(prop))
        self._about = prop.description
        self.input.observe(self.edited, "value")

    def _read(self) -> Any:
        text = self.input.value.strip()
        if not self.prop.many:
            return _read_text(self.prop, text)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return [_read_text(self.prop, line) for line in lines] or None

    def _put(self, value: Any) -> None:
        written = json.dumps if self.prop.kind == "json" else str
        items = value if self.prop.many else [value]
        self.input.value = "" if value is None else "\n".join(written(one) for one in items)


class ChoiceProperty(_OfProperty, InputField):
    """A boolean, or one of an enum."""

    def __init__(self, prop: ViewProperty) -> None:
        self.prop = prop
        options: list[tuple[str, Any]] = [("", None)]
        if prop.kind == "boolean":
            options += [("Yes", True), ("No", False)]
        else:
            options += [(title, key) for key, title in prop.values.items()]
        self.input = make(ipywidgets.Dropdown, description=prop.title, options=options, value=None)
        super().__init__(prop.name, prop.title, self.input, limit=_limit_of(prop))
        self._about = prop.description
        self.input.observe(self.edited, "value")

    def _read(self) -> Any:
        return self.input.value

    def _put(self, value: Any) -> None:
        self.input.value = value


class DateProperty(_OfProperty, InputField):
    """A day."""

    def __init__(self, prop: ViewProperty) -> None:
        self.prop = prop
        self.input = ipywidgets.DatePicker(description=prop.title)
        super().__init__(prop.name, prop.title, self.input, limit=_limit_of(prop))
        self._about = prop.description
        self.input.observe(self.edited, "value")

    def _read(self) -> Any:
        return self.input.value

    def _put(self, value: Any) -> None:
        self.input.value = date.fromisoformat(value) if isinstance(value, str) else value


class NodeProperty(_OfProperty, Picker):
    """A direct relation: nodes found by search, or typed as space/external id."""

    def __init__(self, prop: ViewProperty, tasks: Tasks) -> None:
        self.prop = prop
        super().__init__(prop.name, prop.title, kinds.nodes(prop.many, prop.most), tasks)
        self._limit, self._about = _limit_of(prop), prop.description
        self.show()

    def use_lists(self, lists: ChoiceLists) -> None:
        """Search with these from now on."""
        view = self.prop.target or _DESCRIBABLE
        self.use(find=partial(lists.find_nodes, view), names=partial(lists.nodes, view))

    @property
    def _ids(self) -> str:
        return "space/external id"


PropertyField = (
    TextProperty | TimeProperty | LinesProperty | ChoiceProperty | DateProperty | NodeProperty
)


def field_of(prop: ViewProperty, tasks: Tasks) -> PropertyField:
    """The field for a property."""
    if prop.kind == "direct":
        return NodeProperty(prop, tasks)
    if prop.many or prop.kind == "json":
        return LinesProperty(prop)
    if prop.kind in ("boolean", "enum"):
        return ChoiceProperty(prop)
    simple: dict[str, Callable[[ViewProperty], PropertyField]] = {
        "timestamp": TimeProperty, "date": DateProperty
    }  # fmt: skip
    return simple.get(prop.kind, TextProperty)(prop)


def _read_text(prop: ViewProperty, text: str) -> Any:
    """What a line of text says, by the property's type; None where it is empty.

    Raises:
        UsageError: it cannot be read.
    """
    if not text:
        return None
    readers: dict[str, tuple[Callable[[str], Any], str]] = {
        **dict.fromkeys(("int32", "int64"), (int, "a whole number")),
        **dict.fromkeys(("float32", "float64"), (float, "a number")),
        "timestamp": (moment_of, "a time such as 2026-01-02T03:04:05Z"),
        "date": (date.fromisoformat, "a date such as 2026-01-02"),
        "boolean": (_yes_or_no, "yes or no"),
        "json": (json.loads, "JSON"),
    }
    if prop.kind not in readers:
        return text
    read, said = readers[prop.kind]
    try:
        return read(text)
    except (ValueError, RecursionError):
        shown = text if len(text) <= 40 else f"{text[:39]}…"
        raise UsageError(f"{prop.title} is {shown!r}, which is not {said}.") from None


def _yes_or_no(text: str) -> bool:
    words = {"yes": True, "true": True, "no": False, "false": False}
    if text.casefold() not in words:
        raise ValueError(text)
    return words[text.casefold()]


def json_of(fields: Sequence[PropertyField]) -> dict[str, Any]:
    """What the fields say, by the property's name, without those that are empty."""
    found = {field.name: field.json for field in fields}
    return {name: value for name, value in found.items() if value is not None}
