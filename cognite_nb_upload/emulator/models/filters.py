"""Filters over nodes: `equals`, `in`, `prefix`, `range`, `hasData` and how they are combined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..rules import Json, Refused, many, need, text

#: A property of a node by its path: `["node", "space"]` or `[space, "View/version", name]`.
Read = Callable[[Json, list[str]], Any]
#: Whether a node has data in the views that are named.
HasData = Callable[[Json, list[Json]], bool]
Condition = Callable[[Json], bool]
_PATH = many(text(300), 2, 3)


def condition(wanted: Any, read: Read, has_data: HasData) -> Condition:
    """What `wanted` means, for a node's document."""
    if wanted is None:
        return lambda _: True
    need(isinstance(wanted, dict) and len(wanted) == 1, "A filter is an object of one field")
    ((kind, value),) = wanted.items()
    if kind in ("and", "or"):
        need(isinstance(value, list), f"{kind} must be an array")
        inner = [condition(each, read, has_data) for each in value]
        join = all if kind == "and" else any
        return lambda node: join(test(node) for test in inner)
    if kind == "not":
        no = condition(value, read, has_data)
        return lambda node: not no(node)
    if kind == "matchAll":
        return lambda _: True
    if kind == "hasData":
        need(isinstance(value, list), "hasData must be an array")
        return lambda node: has_data(node, value)
    need(isinstance(value, dict), f"{kind} must be an object")
    test, path = _test(kind, value), value.get("property")
    _PATH("property", path)
    return lambda node: test(read(node, path))


def _test(kind: str, value: Json) -> Condition:
    match kind:
        case "equals":
            return lambda has: has is not None and has == value.get("value")
        case "in":
            need(isinstance(value.get("values"), list), "values must be an array")
            return lambda has: has is not None and has in value["values"]
        case "prefix":
            need(isinstance(value.get("value"), str), "value must be a string")
            return lambda has: isinstance(has, str) and has.startswith(value["value"])
        case "exists":
            return lambda has: has is not None
        case "containsAny" | "containsAll":
            need(isinstance(value.get("values"), list), "values must be an array")
            join = any if kind == "containsAny" else all
            return lambda has: (
                isinstance(has, list) and join(each in has for each in value["values"])
            )
        case "range":
            bounds: Json = {
                name: value[name] for name in ("gt", "gte", "lt", "lte") if name in value
            }
            kinds = {type(bound) for bound in bounds.values()}
            need(bounds and kinds <= {int, float, str}, "A range has gt, gte, lt or lte")
            return lambda has: _within(has, bounds)
    raise Refused(f"Unknown filter: {kind}")


def _within(has: Any, bounds: Json) -> bool:
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "gt": lambda a, b: a > b,
        "gte": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "lte": lambda a, b: a <= b,
    }
    try:
        return has is not None and all(tests[name](has, to) for name, to in bounds.items())
    except TypeError:  # a text beside a number
        return False
