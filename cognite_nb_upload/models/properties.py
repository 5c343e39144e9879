"""What a property of a view takes: a value becomes CDF's JSON, or a sentence says why not.

Limits are those of the data modelling API: text 128 000 bytes, JSON 40 960 bytes, lists of the
property's own length.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from cognite_nb_upload.core.nearest import nearest
from cognite_nb_upload.errors import InvalidMetadata, UsageError
from cognite_nb_upload.models.fields import in_order, normalised
from cognite_nb_upload.models.ids import as_node_id
from cognite_nb_upload.models.views import View, ViewProperty

_MOST_TEXT: Final = 128_000
_MOST_JSON: Final = 40_960
_BITS: Final = {"int32": 31, "int64": 63}
_FLOAT32: Final = 3.4028234663852886e38


def checked(view: View, given: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
    """The properties of a new node in a view, as CDF's JSON.

    Args:
        view: the view.
        given: values by the property's name; None is left out.
        whole: also say which required ones are missing.

    Raises:
        InvalidMetadata: CDF would refuse one; every bad one is named.
    """
    found, wrong = {}, {}
    for name, value in given.items():
        try:
            prop = _property(view, name)
            if value is not None:
                found[name] = to_json(prop, value)
        except UsageError as error:
            wrong[name] = str(error)
    for prop in view.properties.values() if whole else ():
        if prop.required and prop.name not in found and prop.name not in wrong:
            wrong[prop.name] = f"{prop.name} is missing; the view {view.id} requires it."
    if wrong:
        raise InvalidMetadata(wrong)
    return found


def to_json(prop: ViewProperty, value: Any) -> Any:
    """A value of a property, as CDF's JSON.

    Raises:
        UsageError: CDF would refuse it; the message is one sentence.
    """
    if prop.of_service:
        raise UsageError(f"{prop.name} is set by CDF alone: leave it out.")
    if not prop.many:
        return _one(prop, prop.name, value)
    single = isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable)
    if single or (prop.kind == "direct" and _is_pair(value)):
        raise UsageError(f"{prop.name} is a list, not {_kind(value)}: write [...] around it.")
    items = in_order(value)
    if len(items) > prop.most:
        raise UsageError(f"{prop.name} has {len(items)} items; CDF takes at most {prop.most}.")
    return [_one(prop, f"{prop.name}[{no}]", one) for no, one in enumerate(items)]


def plain(name: str, value: Any) -> Any:
    """A value as JSON before its view is known: times, numbers of numpy, and nodes are written.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        return json.loads(json.dumps(value, default=_written))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be written as JSON: {error}.") from None


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "space") and hasattr(value, "external_id"):
        return as_node_id(value).to_cdf()
    if hasattr(value, "item") and callable(value.item):  # numpy's numbers
        return value.item()
    if isinstance(value, Iterable):
        return in_order(value)
    raise TypeError(f"it is {_kind(value)}")


def relations(view: View, properties: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """The nodes that checked properties point at, each with the property's name."""
    found = []
    for name, value in properties.items():
        if view.properties[name].kind == "direct":
            for one in value if isinstance(value, list) else [value]:
                found.append((name, {"space": one["space"], "externalId": one["externalId"]}))
    return found


def _property(view: View, name: str) -> ViewProperty:
    prop = view.properties.get(name)
    if prop is None:
        near = nearest(name, view.properties)
        todo = f"did you mean {near}?" if near else f"it has {', '.join(view.properties)}."
        raise UsageError(f"{name} is no property of the view {view.id}; {todo}")
    return prop


def _is_pair(value: Any) -> bool:
    """A node written as (space, external id), where a list of nodes is expected."""
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, str) for v in value)


def _one(prop: ViewProperty, name: str, value: Any) -> Any:
    check = _CHECKS.get(prop.kind)
    if check is None:  # such as a time series: CDF has the last word
        return _text(prop, name, value)
    return check(prop, name, value)


def _text(_: ViewProperty, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name} is text, not {_kind(value)}.")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{name} has a character that is not Unicode, at {error.start}: leave it out."
        ) from None
    if size > _MOST_TEXT:
        raise UsageError(f"{name} has {size} bytes; CDF takes at most {_MOST_TEXT}.")
    if "\0" in value:
        raise UsageError(f"{name} holds a NUL character: leave it out.")
    return str(value)


def _integer(prop: ViewProperty, name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        todo = ": use int(value)" if isinstance(value, str | float) else ""
        raise UsageError(f"{name} is a whole number, not {_kind(value)}{todo}.")
    number, most = operator.index(value), 2 ** _BITS[prop.kind]
    if not -most <= number < most:
        raise UsageError(f"{name} is {number}; {prop.kind} holds {-most} to {most - 1}.")
    return number


def _float(prop: ViewProperty, name: str, value: Any) -> float:
    if isinstance(value, bool | str | bytes) or not hasattr(value, "__float__"):
        raise UsageError(f"{name} is a number, not {_kind(value)}.")
    number = float(value)
    if not math.isfinite(number):
        raise UsageError(f"{name} is {number}, and CDF takes finite numbers: leave it out.")
    if prop.kind == "float32" and abs(number) > _FLOAT32:
        raise UsageError(f"{name} is {number}, beyond what float32 holds.")
    return number


def _boolean(_: ViewProperty, name: str, value: Any) -> bool:
    if not isinstance(value, bool) and type(value).__name__ not in ("bool_", "bool"):
        raise UsageError(f"{name} is True or False, not {_kind(value)}.")
    return bool(value)


def _timestamp(_: ViewProperty, name: str, value: Any) -> str:
    if isinstance(value, str):
        try:
            if value.isdecimal():  # '1704110400000' would be in the year 1704
                raise ValueError
            value = datetime.fromisoformat(value)
        except ValueError:
            raise UsageError(
                f"{name} is {value!r}, which is no ISO 8601 time such as 2026-01-02T03:04:05Z."
            ) from None
    if not isinstance(value, datetime):
        try:
            value = normalised("source_created_time", value)
        except UsageError as error:
            raise UsageError(str(error).replace("source_created_time", name)) from None
    if value != value:  # pandas' NaT
        raise UsageError(f"{name} holds no time ({value}): leave it out.")
    if value.utcoffset() is None:
        raise UsageError(
            f"{name} has no time zone: use value.astimezone() for local time, or "
            "value.replace(tzinfo=datetime.UTC)."
        )
    return str(value.isoformat(timespec="milliseconds"))


def _date(_: ViewProperty, name: str, value: Any) -> str:
    if value != value:  # pandas' NaT
        raise UsageError(f"{name} holds no day ({value}): leave it out.")
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value.isoformat()
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {value!r}, which is no date such as 2026-01-02.") from None


def _json(_: ViewProperty, name: str, value: Any) -> Any:
    if not isinstance(value, Mapping | list | tuple):
        raise UsageError(f"{name} is a dict or a list, not {_kind(value)}.")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be written as JSON: {error}.") from None
    if len(text.encode()) > _MOST_JSON:
        raise UsageError(f"{name} has {len(text.encode())} bytes; CDF takes at most {_MOST_JSON}.")
    return json.loads(text)


def _direct(_: ViewProperty, name: str, value: Any) -> dict[str, str]:
    try:
        return as_node_id(value).to_cdf()
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def _enum(prop: ViewProperty, name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in prop.values:
        raise UsageError(f"{name} is one of {', '.join(prop.values)}, not {value!r}.")
    return str(value)


def _kind(value: object) -> str:
    return type(value).__name__


_CHECKS: Final[Mapping[str, Callable[[ViewProperty, str, Any], Any]]] = {
    "text": _text,
    "int32": _integer,
    "int64": _integer,
    "float32": _float,
    "float64": _float,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date": _date,
    "json": _json,
    "direct": _direct,
    "enum": _enum,
}
