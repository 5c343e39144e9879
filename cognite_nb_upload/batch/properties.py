"""A table of data-model files: which property each column is, and what its cells say.

Rules of this file: a column is a property of the view by its own name, or by ours
(`source_created_time`); a cell from a spreadsheet is read by the type that the view gives it; what
a row says is JSON from here on, as the job's record keeps it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

from cognite_nb_upload.batch.columns import OVERWRITE, PATH, RESULT, Keep, kept_names
from cognite_nb_upload.core.nearest import nearest
from cognite_nb_upload.core.numbers import as_flag
from cognite_nb_upload.errors import InvalidMetadata, UsageError
from cognite_nb_upload.models import NodeId, guess_mime_type
from cognite_nb_upload.models.node import INSTEAD, NODE_FIELDS, FileNode, item_of, property_of
from cognite_nb_upload.models.parse import missing
from cognite_nb_upload.models.properties import to_json
from cognite_nb_upload.models.views import View, ViewProperty

EXTERNAL_ID: Final = "external_id"
_SEPARATOR: Final = re.compile(r"[;,\n]")
# A space has neither of the two signs, so the first one ends it.
_NODE: Final = re.compile(r"([^/:]+)[/:](.+)", re.DOTALL)
_INTEGERS: Final = frozenset({"int32", "int64"})
_FLOATS: Final = frozenset({"float32", "float64"})


@dataclass(frozen=True, slots=True)
class NodeColumns:
    """What the rows of a job are, where they are nodes of one space, written through one view."""

    space: str
    view: View

    @property
    def identity(self) -> dict[str, Any]:
        """What tells a row of this job from the same row for another space or view."""
        return {"space": self.space, "view": str(self.view.id)}

    def columns_of(self, names: Iterable[object], keep: Keep) -> dict[str, Any]:
        """Which column each property is in.

        Raises:
            UsageError: a column is no property of the view, or two are the same.
        """
        kept = kept_names(keep)
        found: dict[str, Any] = {}
        for name in names:
            if str(name) in kept:
                continue
            field = self._field(str(name))
            if field is None:
                if keep is not True and str(name) not in RESULT:
                    raise UsageError(self._unknown(str(name)))
            elif field in found:
                raise UsageError(
                    f"The columns {found[field]!r} and {name!r} are the same property; drop one."
                )
            else:
                found[field] = name
        return found

    def defaults(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What holds for every file, as JSON; what is None is left out.

        Raises:
            InvalidMetadata: one is no property, or the view does not take it; each is named.
        """
        found, wrong = {}, {}
        for name, value in given.items():
            if value is None:
                continue
            field = self._field(name)
            try:
                if field is None or field in (PATH, EXTERNAL_ID):
                    raise UsageError(self._unknown(name))
                found[field] = self.read(field, value)
            except UsageError as error:
                wrong[name] = str(error)
        if wrong:
            raise InvalidMetadata(wrong)
        return {name: value for name, value in found.items() if value is not None}

    def reader(self, field: str) -> Callable[[Any], Any]:
        """Reads the cells of one column."""
        return lambda value: self.read(field, value)

    def read(self, field: str, value: Any) -> Any:
        """A cell as CDF's JSON has it; None where it is empty.

        Raises:
            UsageError: it cannot be read, or the view does not take it.
        """
        if missing(value) or (isinstance(value, str) and not value.strip()):
            return None
        if field == OVERWRITE:
            return as_flag(field, value)
        if field == EXTERNAL_ID:
            return NodeId(self.space, value).external_id
        prop = self.view.properties[field]
        return to_json(prop, _of_cell(prop, value))

    def item(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The item that makes a row's node.

        Raises:
            UsageError: a property that the view requires is missing, or the row has no id.
        """
        given = {name: one for name, one in fields.items() if name not in (EXTERNAL_ID, OVERWRITE)}
        name = given.get("name") or os.path.basename(path)
        for field, value in (("name", name), ("mimeType", guess_mime_type(name))):
            if value is not None and field in self.view.properties:
                given.setdefault(field, value)
        node = FileNode(self.space, fields.get(EXTERNAL_ID) or path, self.view.id, given)
        return item_of(node, self.view)

    def _field(self, name: str) -> str | None:
        if name in (PATH, OVERWRITE, EXTERNAL_ID):
            return name
        if name == "externalId":
            return EXTERNAL_ID
        if name in self.view.properties:
            return name
        if name in NODE_FIELDS and property_of(name) in self.view.properties:
            return property_of(name)
        return None

    def _unknown(self, name: str) -> str:
        if name in INSTEAD:
            return f"{name} is a field of classic files; of files in a space it is {INSTEAD[name]}."
        near = nearest(name, [*self.view.properties, PATH, EXTERNAL_ID])
        question = f"; did you mean {near!r}?" if near else "."
        return (
            f"{name!r} is no property of the view {self.view.id}{question} Rename or drop it, or "
            f"keep the column with keep=[{name!r}]."
        )


def _of_cell(prop: ViewProperty, value: Any) -> Any:
    """A cell as people and spreadsheets write it, for the property's own check."""
    if not prop.many:
        return _one_of_cell(prop, value)
    if isinstance(value, str):
        found = _json_of(value) if value.lstrip().startswith("[") else None
        parts = _SEPARATOR.split(value) if found is None else found
        value = [one.strip() if isinstance(one, str) else one for one in parts if one != ""]
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        pair = prop.kind == "direct" and isinstance(value, tuple)
        return value if pair else [_one_of_cell(prop, one) for one in value]
    return value


def _one_of_cell(prop: ViewProperty, value: Any) -> Any:
    kind = prop.kind
    if isinstance(value, str):
        return _one_of_text(prop, value.strip() if kind not in ("text", "json") else value)
    if kind in _INTEGERS and isinstance(value, Real) and float(value).is_integer():
        return int(float(value)) if not hasattr(value, "__index__") else value  # a gap made floats
    if kind == "direct" and isinstance(value, list):
        return tuple(value)
    return value


def _one_of_text(prop: ViewProperty, text: str) -> Any:
    try:
        if prop.kind in _INTEGERS:
            return int(text)
        if prop.kind in _FLOATS:
            return float(text)
    except ValueError:
        return text  # the property's own check says what it takes
    if prop.kind == "boolean":
        return as_flag(prop.name, text)
    if prop.kind == "direct":
        found = _json_of(text) if text.startswith(("{", "[")) else None
        if found is not None:
            return tuple(found) if isinstance(found, list) else found
        named = _NODE.fullmatch(text)
        if named is None:
            raise UsageError(f"{prop.name} is {text!r}; write the node as space/external_id.")
        return named[1], named[2]
    return text


def _json_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
