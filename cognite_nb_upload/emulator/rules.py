"""What CDF refuses in a value: types and limits, from the public API description.

A check takes a name and a value, and raises Refused. What passed can be stored and shown.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Check = Callable[[str, Any], None]

MAX_ID = 2**53 - 1  # CogniteInternalId
MAX_PARTS = 250  # initmultipartupload, `parts`
MIN_PART_SIZE = 5 * 1024**2  # initmultipartupload: every part but the last is larger
MAX_PART_SIZE = 4000 * 1024**2
MAX_SINGLE_PUT = 5_000_000_000  # POST /files: "up to 5000 MB (5,000,000,000 bytes)"
FLOAT_MAX = sys.float_info.max
MAX_DEPTH = 64  # of objects and arrays in a body; ours, so that no reply is too deep to be written
INTEGER = re.compile(r"-?[0-9]{1,19}")  # `isdigit` would take superscripts, too


class Refused(Exception):
    """CDF says no: a status, a sentence, and what the error object carries besides."""

    def __init__(self, message: str, *, status: int = 400, **facts: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.facts = facts

    def to_json(self) -> Json:
        return {"error": {"code": self.status, "message": self.message, **self.facts}}


def need(condition: object, message: str) -> None:
    if not condition:
        raise Refused(message)


def parsed(raw: bytes) -> Json:
    """The JSON object of a body: of bounded depth, of finite numbers, and of text that is text."""
    try:
        body = json.loads(raw)
        # Lone surrogates and what is no number (NaN, 1e400) can be read, but not be written.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused("The body is not JSON") from error
    need(isinstance(body, dict), "The body must be a JSON object")
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _inside(value)]
    need(not level, f"The body is nested more than {MAX_DEPTH} deep")
    return dict(body)


def _inside(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


# ---- values -----------------------------------------------------------------------------------


def must(fits: Callable[[Any], object], what: str) -> Check:
    """The check of a value that fits, or is refused: its name `must` be `what`."""
    return lambda name, value: need(fits(value), f"{name} must {what}")


def text(longest: int, shortest: int = 0) -> Check:
    def check(name: str, value: Any) -> None:
        need(isinstance(value, str), f"{name} must be a string")
        size = len(value)
        need(size >= shortest, f"{name} must have at least {shortest} characters")
        need(size <= longest, f"{name} must have at most {longest} characters, got {size}")

    return check


def _is_number(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def whole(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> None:
        need(_is_number(value, int), f"{name} must be an integer")
        need(low <= value <= high, f"{name} must be between {low} and {high}")

    return check


def one_of(*choices: Any) -> Check:
    return must(lambda value: value in choices, f"be one of {', '.join(map(str, choices))}")


def _is_finite(value: Any) -> bool:
    return _is_number(value, int, float) and -FLOAT_MAX <= value <= FLOAT_MAX


_true = must(lambda value: value is True, "be true")
boolean = must(lambda value: isinstance(value, bool), "be a boolean")
any_object = must(lambda value: isinstance(value, dict), "be an object")
finite = must(_is_finite, "be a number")


def optional(check: Check) -> Check:
    """None passes: official clients send `"cursor": null` for the first page."""

    def checked(name: str, value: Any) -> None:
        if value is not None:
            check(name, value)

    return checked


def many(item: Check, shortest: int, longest: int, *, unique: bool = False) -> Check:
    def check(name: str, value: Any) -> None:
        need(isinstance(value, list), f"{name} must be an array")
        size = len(value)
        span = f"between {shortest} and {longest}"
        need(shortest <= size <= longest, f"{name} must have {span} items, got {size}")
        for each in value:
            item(f"{name}[]", each)
        need(not (unique and repeated(value)), f"{name} must be unique")

    return check


def repeated(values: Sequence[Any]) -> list[Any]:
    """Those of `values` that have been there before, as JSON."""
    seen: set[str] = set()
    twice = []
    for value in values:
        key = json.dumps(value, sort_keys=True)
        if key in seen:
            twice.append(value)
        seen.add(key)
    return twice


def obj(
    fields: Mapping[str, Check], required: Sequence[str] = (), exactly_one: Sequence[str] = ()
) -> Check:
    """An object of known fields, `required` among them, and one of `exactly_one`."""

    def check(name: str, value: Any) -> None:
        need(isinstance(value, dict), f"{name or 'The body'} must be an object")
        dot = f"{name}." if name else ""
        for field in required:
            need(field in value, f"Missing required field: {dot}{field}")
        for field, item in value.items():
            need(field in fields, f"Unexpected field: {dot}{field}")
            fields[field](f"{dot}{field}", item)
        if exactly_one:
            given = sum(field in value for field in exactly_one)
            need(given == 1, f"Exactly one of {', '.join(exactly_one)} must be given: {name}")

    return check


def absolute_path(name: str, value: Any) -> None:
    text(512)(name, value)
    need(value.startswith("/"), f"{name} must be an absolute, unix-style path")


def pairs(name: str, value: Any) -> None:
    any_object(name, value)
    need(len(value) <= 256, f"{name} must have at most 256 pairs, got {len(value)}")
    total = 0
    for key, item in value.items():
        need(isinstance(item, str), f"{name} values must be strings, {key!r} is not")
        key_size, item_size = len(key.encode()), len(item.encode())
        need(key_size <= 128, f"{name} keys must have at most 128 bytes, got {key_size}")
        need(item_size <= 10240, f"{name} values must have at most 10240 bytes, got {item_size}")
        total += key_size + item_size
    need(total <= 10240, f"{name} must have at most 10240 bytes in all, got {total}")


def _added_pairs(name: str, value: Any) -> None:
    """As `pairs`, but numbers pass: cognite-cdffs adds the size of a file as one."""
    any_object(name, value)
    pairs(name, {key: _as_text(item) for key, item in value.items()})


def _as_text(value: Any) -> Any:
    return json.dumps(value) if _is_number(value, int, float) else value


identity = whole(1, MAX_ID)
moment = whole(0, 2**63 - 1)
external_id = text(255)
label = obj({"externalId": external_id}, ["externalId"])
labels = many(label, 0, 10, unique=True)

# ---- what names things ------------------------------------------------------------------------

_INSTANCE = obj({"space": text(43, 1), "externalId": text(256, 1)}, ["space", "externalId"])
_KINDS: dict[str, Check] = {"id": identity, "externalId": external_id, "instanceId": _INSTANCE}


def identifier(*allowed: str, **more: Check) -> Check:
    """An object with exactly one of `allowed`, such as `{"externalId": "a"}`, and `more` fields."""
    fields = {kind: _KINDS[kind] for kind in allowed}
    return obj(fields | more, list(more), exactly_one=allowed)


def ids(*allowed: str, most: int = 1000, **more: Check) -> Check:
    """A request's `items`, each of which names one thing, and `ignoreUnknownIds`."""
    fields = {"items": many(identifier(*allowed), 1, most), "ignoreUnknownIds": boolean}
    return obj(fields | more, ["items"])


def items(item: Check, most: int = 1000) -> Check:
    return obj({"items": many(item, 1, most)}, ["items"])


def refuse_repeated(found: Sequence[Json], what: str = "ids", *, status: int = 400) -> None:
    """Raises Refused if one request names the same thing twice."""
    if twice := repeated(found):
        raise Refused(f"The {what} must be unique", status=status, duplicated=twice)


# ---- queries ----------------------------------------------------------------------------------


def number(
    query: Mapping[str, str], name: str, low: int, high: int, default: int | None = None
) -> int:
    """An integer of the query within its range."""
    given = query.get(name)
    if given is None and default is not None:
        return default
    fine = given is not None and INTEGER.fullmatch(given)
    need(fine, f"{name} must be an integer between {low} and {high}")
    value = int(given or 0)
    whole(low, high)(name, value)
    return value


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean of the query, also as Python writes it: SDK 7 sends `overwrite=False`."""
    given = query.get(name, "false")
    need(given in ("true", "false", "True", "False"), f"{name} must be true or false")
    return given in ("true", "True")


# ---- changes ----------------------------------------------------------------------------------


def patch(fields: Mapping[str, Check], fixed: Sequence[str] = ()) -> Check:
    """The check of an `update`: each field is set, cleared, or added to and removed from.

    `fields` are those of the thing itself; those of `fixed` cannot be cleared.
    """

    def change(field: str, check: Check) -> Check:
        def checked(name: str, value: Any) -> None:
            any_object(name, value)
            known = {"set": check}
            if field not in fixed:
                known["setNull"] = _true
            if field == "metadata":
                known |= {"add": _added_pairs, "remove": many(text(128), 0, 256)}
            elif field in ("assetIds", "securityCategories", "labels"):
                element = label if field == "labels" else identity
                known |= {"set": many(element, 0, 1000)}
                known |= dict.fromkeys(("add", "remove"), many(element, 0, 1000))
            obj(known)(name, value)
            single = {"set", "setNull"} & value.keys()
            need(value and len(value) <= (1 if single else 2), f"{name} has one change at a time")

        return checked

    return obj({field: change(field, check) for field, check in fields.items()})


def patched(old: Json, update: Json) -> Json:
    """`old` after the checked `update`."""
    new = dict(old)
    for name, change in update.items():
        before, added = new.pop(name, None), change.get("add", [])
        if change.get("setNull"):
            continue
        if "set" in change:
            value = change["set"]
        elif name == "metadata":
            gone = change.get("remove", [])
            value = {k: v for k, v in (before or {}).items() if k not in gone}
            value |= {k: _as_text(v) for k, v in dict(added).items()}
        else:
            kept = [each for each in before or [] if each not in change.get("remove", [])]
            value = kept + [each for each in added if each not in kept]
        if value not in (None, []):
            new[name] = value
    return new
