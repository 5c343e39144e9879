"""The columns of a table of files: which field each is, and what its cells say.

Rules of this file: a name may be ours or CDF's own (`dataSetId`); what is no field is refused by
name, unless it is to be kept; a cell from a spreadsheet is read by the rules of the metadata form,
and text where text belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from cognite_nb_upload.core.nearest import nearest
from cognite_nb_upload.core.numbers import as_flag
from cognite_nb_upload.core.unseen import trimmed
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import FIELDS, TIMES, CDFFile, GeoLocation
from cognite_nb_upload.models.fields import normalised, refuse_days, refuse_seconds
from cognite_nb_upload.models.parse import missing, read_field
from cognite_nb_upload.models.wire import camel

# Said by external ids, which CDF translates in one request for many.
DATA_SET: Final = "data_set_external_id"
ASSETS: Final = "asset_external_ids"
# What an upload adds to the table.
RESULT: Final = (
    "status", "id", "size", "seconds", "attempts", "verified", "note", "error"
)  # fmt: skip
PATH: Final = "path"
OVERWRITE: Final = "overwrite"
KNOWN: Final = (*FIELDS, DATA_SET, ASSETS, PATH, OVERWRITE)
_BY_NAME: Final = {**{camel(name): name for name in KNOWN}, **{name: name for name in KNOWN}}
# What CDF says of a file and nobody can choose: a manifest has it, and it stays as it is.
_TOLD: Final = frozenset(
    name
    for one in fields(CDFFile)
    if one.name not in FIELDS
    for name in (one.name, camel(one.name))
)
# What is missing, as pandas and Python write it.
_MISSING_AS_TEXT: Final = frozenset({"nan", "NaN", "NaT", "<NA>", "None"})
_TEXT: Final = frozenset({"name", "external_id", "source", "mime_type", "directory", DATA_SET})

Keep = Iterable[str] | bool


def fields_of_columns(names: Iterable[object], keep: Keep = ()) -> dict[str, Any]:
    """Which column each known field is in.

    Args:
        names: of the columns.
        keep: columns that are no fields and stay in the table as they are; True: all of them.

    Raises:
        UsageError: a column is no field, or two are the same.
    """
    kept = kept_names(keep)
    found: dict[str, Any] = {}
    for name in names:
        field = _BY_NAME.get(str(name))
        if str(name) in kept:
            continue
        if field is not None:
            if field in found:
                raise UsageError(
                    f"The columns {found[field]!r} and {name!r} are the same field; drop one."
                )
            found[field] = name
        elif keep is not True and str(name) not in _TOLD and str(name) not in RESULT:
            raise UsageError(_unknown(str(name)))
    return found


def kept_names(keep: Keep) -> set[str]:
    """The columns that are kept by name.

    Raises:
        UsageError: it is no name, and no list of them.
    """
    if isinstance(keep, bool) or keep is None:
        return set()
    if not isinstance(keep, Iterable):
        raise UsageError(f"keep is a list of columns or True, not {type(keep).__name__}.")
    return {str(one) for one in ([keep] if isinstance(keep, str) else keep)}


def _unknown(name: str) -> str:
    near = nearest(name, KNOWN)
    question = f"; did you mean {near!r}?" if near else "."
    return (
        f"The column {name!r} is no field of a file{question} Rename or drop it, or keep it with "
        f"keep=[{name!r}]."
    )


def read_cell(field: str, value: Any) -> Any:
    """A cell as the field holds it; None where it is empty.

    Raises:
        UsageError: it cannot be read, or CDF would refuse it.
    """
    if missing(value) or (isinstance(value, str) and not trimmed(value)):
        return None
    if isinstance(value, str) and value.strip() in _MISSING_AS_TEXT:
        raise UsageError(
            f"{field} is {value!r}, as astype(str) writes a cell that is empty: leave it empty."
        )
    if field == OVERWRITE:
        return as_flag(field, value)
    if field in TIMES:
        refuse_seconds(field, float(value) if _is_number(value) else value)
        refuse_days(field, value)
    if field == DATA_SET:
        return normalised("external_id", value)
    if field == ASSETS:
        return tuple(normalised("external_id", one) for one in _texts(value)) or None
    return normalised(field, value if field in _TEXT else read_field(field, value))


def _is_number(value: object) -> bool:
    """True for text that is read as a number, and not as a day (20240131)."""
    return isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) > 8


def _texts(value: Any) -> list[str]:
    return [label.external_id for label in read_field("labels", value)]


class CellReader:
    """Reads the cells of one column; what stands in many rows is read once."""

    def __init__(self, field: str, column: object = None) -> None:
        """Read them as a field.

        Args:
            field: which one.
            column: of the table; one of places knows their reference system, its cells do not.
        """
        self._field = field
        array = getattr(column, "array", None)  # a DataFrame's column of places is a plain Series
        self._crs = getattr(array, "crs", None) if field == "geo_location" else None
        self._read: dict[Any, Any] = {}

    def __call__(self, value: Any) -> Any:
        """The cell as the field holds it.

        Raises:
            UsageError: it cannot be read.
        """
        try:
            key = (type(value), value)
            if key in self._read:
                return self._read[key]
        except TypeError:  # a list, a dict
            return self._cell(value)
        found = self._cell(value)
        if len(self._read) < _REMEMBERED:
            self._read[key] = found
        return found

    def _cell(self, value: Any) -> Any:
        if self._crs is not None and not missing(value):
            value = GeoLocation.of(value, self._crs)
        return read_cell(self._field, value)


_REMEMBERED: Final = 1000


def checked_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that holds for every file, checked; what is None is left out.

    Raises:
        UsageError: one is no field, or CDF would refuse it; every bad one is named.
    """
    found, wrong = {}, []
    for name, value in given.items():
        try:
            if name not in KNOWN or name == PATH:
                normalised(name, value)  # names the nearest
            read = read_cell(name, value) if name in (DATA_SET, ASSETS, OVERWRITE) else (
                None if value is None else normalised(name, value)
            )  # fmt: skip
        except UsageError as error:
            wrong.append(str(error))
            continue
        if read not in (None, "", ()):
            found[name] = read
    if wrong:
        raise UsageError(" ".join(wrong))
    return found
