"""What a property of a view takes: types and limits, from the public documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from .. import rules
from ..rules import Check, Json, need

MAX_TEXT_BYTES = 128_000
MAX_JSON_BYTES = 40_960
MAX_LIST, MAX_LIST_DIRECT = 1000, 100
SPACE = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,41}[a-zA-Z0-9]?")
RESERVED = frozenset("space cdf dms pg3 shared system node edge".split())


def space_id(name: str, value: Any) -> None:
    rules.text(43, 1)(name, value)
    need(SPACE.fullmatch(value), f"{name} must match {SPACE.pattern}")
    need(value not in RESERVED, f"{name} {value} is reserved")


def instance_id(name: str, value: Any) -> None:
    rules.text(256, 1)(name, value)
    need("\x00" not in value, f"{name} must not hold NUL")


def _text(name: str, value: Any) -> None:
    need(isinstance(value, str), f"{name} must be a string")
    need(len(value.encode()) <= MAX_TEXT_BYTES, f"{name} has more than {MAX_TEXT_BYTES} bytes")
    need("\x00" not in value, f"{name} must not hold NUL")


def _json(name: str, value: Any) -> None:
    need(isinstance(value, dict | list), f"{name} must be a JSON object or array")
    need(len(json.dumps(value)) <= MAX_JSON_BYTES, f"{name} has more than {MAX_JSON_BYTES} bytes")


def _timestamp(name: str, value: Any) -> None:
    try:
        need(isinstance(value, str) and "T" in value, f"{name} must be an ISO 8601 timestamp")
        need(len(value) <= 40, f"{name} must be an ISO 8601 timestamp")
        datetime.fromisoformat(value)
    except ValueError:
        need(False, f"{name} must be an ISO 8601 timestamp")


def _date(name: str, value: Any) -> None:
    try:
        need(isinstance(value, str) and len(value) == 10, f"{name} must be a date, YYYY-MM-DD")
        date.fromisoformat(value)
    except ValueError:
        need(False, f"{name} must be a date, YYYY-MM-DD")


reference = rules.obj({"space": space_id, "externalId": instance_id}, ["space", "externalId"])
_KINDS: dict[str, Check] = {
    "text": _text,
    "int32": rules.whole(-(2**31), 2**31 - 1),
    "int64": rules.whole(-(2**63), 2**63 - 1),
    "float32": rules.finite,
    "float64": rules.finite,
    "boolean": rules.boolean,
    "timestamp": _timestamp,
    "date": _date,
    "json": _json,
    "direct": reference,
}


def _enum(values: Sequence[str]) -> Check:
    def check(name: str, value: Any) -> None:
        fine = isinstance(value, str) and value in values
        need(fine, f"{name} must be one of {', '.join(values)}")

    return check


def check_of(prop: Json) -> Callable[[str, Any], None]:
    """The check of a property's value."""
    kind = prop["type"]
    one = _enum(list(kind["values"])) if kind["type"] == "enum" else _KINDS[kind["type"]]
    if not kind["list"]:
        return one
    most = MAX_LIST_DIRECT if kind["type"] == "direct" else MAX_LIST
    return rules.many(one, 0, kind.get("maxListSize", most))
