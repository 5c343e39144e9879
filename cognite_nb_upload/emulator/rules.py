"""What CDF refuses: the limits of a file's fields, from the public API description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Check = Callable[[str, Any], None]

MAX_ID = 2**53 - 1  # CogniteInternalId
MAX_PARTS = 250  # initmultipartupload, `parts`
MIN_PART_SIZE = 5 * 1024**2  # initmultipartupload: every part but the last is larger
MAX_PART_SIZE = 4000 * 1024**2
MAX_SINGLE_PUT = 5_000_000_000  # POST /files: "up to 5000 MB (5,000,000,000 bytes)"


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


# ---- values -----------------------------------------------------------------------------------


def text(longest: int, shortest: int = 0) -> Check:
    def check(name: str, value: Any) -> None:
        need(isinstance(value, str), f"{name} must be a string")
        need(len(value) >= shortest, f"{name} must have at least {shortest} characters")
        need(
            len(value) <= longest,
            f"{name} must have at most {longest} characters, got {len(value)}",
        )

    return check


def whole(low: int, high: int) -> Check:
    def check(name: str, value: Any) -> None:
        need(isinstance(value, int) and not isinstance(value, bool), f"{name} must be an integer")
        need(low <= value <= high, f"{name} must be between {low} and {high}, got {value}")

    return check


def many(item: Check, shortest: int, longest: int) -> Check:
    def check(name: str, value: Any) -> None:
        need(isinstance(value, list), f"{name} must be an array")
        need(
            shortest <= len(value) <= longest,
            f"{name} must have between {shortest} and {longest} items, got {len(value)}",
        )
        for each in value:
            item(f"{name}[]", each)

    return check


def boolean(name: str, value: Any) -> None:
    need(isinstance(value, bool), f"{name} must be a boolean")


def absolute_path(name: str, value: Any) -> None:
    text(512)(name, value)
    need(value.startswith("/"), f"{name} must be an absolute, unix-style path")


def pairs(name: str, value: Any) -> None:
    need(isinstance(value, dict), f"{name} must be an object")
    need(len(value) <= 256, f"{name} must have at most 256 pairs, got {len(value)}")
    total = 0
    for key, item in value.items():
        need(isinstance(item, str), f"{name} values must be strings, {key!r} is not")
        key_size, item_size = len(key.encode()), len(item.encode())
        need(key_size <= 128, f"{name} keys must have at most 128 bytes, got {key_size}")
        need(item_size <= 10240, f"{name} values must have at most 10240 bytes, got {item_size}")
        total += key_size + item_size
    need(total <= 10240, f"{name} must have at most 10240 bytes in all, got {total}")


def label(name: str, value: Any) -> None:
    need(
        isinstance(value, dict) and value.keys() == {"externalId"},
        f"{name} must be an object with externalId",
    )
    text(255)(f"{name}.externalId", value["externalId"])


def labels(name: str, value: Any) -> None:
    many(label, 0, 10)(name, value)
    ids = [item["externalId"] for item in value]
    need(len(set(ids)) == len(ids), f"{name} must be unique")


identity = whole(1, MAX_ID)
moment = whole(0, 2**63 - 1)
external_id = text(255)

# ---- geography --------------------------------------------------------------------------------


def position(name: str, value: Any) -> None:
    number = (
        all(isinstance(n, int | float) and not isinstance(n, bool) for n in value)
        if _is_list(value)
        else False
    )
    need(number and len(value) == 2, f"{name} must be a position of exactly two numbers")


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def ring(name: str, value: Any) -> None:
    many(position, 4, 10**6)(name, value)
    need(value[0] == value[-1], f"{name} must be closed: its last position is its first")


line = many(position, 2, 10**6)
polygon = many(ring, 1, 10**6)
GEOMETRIES: dict[str, Check] = {
    "Point": position,
    "MultiPoint": many(position, 1, 10**6),
    "LineString": line,
    "MultiLineString": many(line, 1, 10**6),
    "Polygon": polygon,
    "MultiPolygon": many(polygon, 1, 10**6),
}


def geometry(name: str, value: Any) -> None:
    need(isinstance(value, dict), f"{name} must be an object")
    check = GEOMETRIES.get(value.get("type"))
    need(check, f"{name}.type must be one of {', '.join(GEOMETRIES)}")
    need(value.keys() == {"type", "coordinates"}, f"{name} must have type and coordinates alone")
    if check:
        check(f"{name}.coordinates", value["coordinates"])


def geo_location(name: str, value: Any) -> None:
    need(isinstance(value, dict), f"{name} must be an object")
    need(value.get("type") == "Feature", f"{name}.type must be Feature")
    need("geometry" in value, f"{name}.geometry is required")
    need(value.keys() <= {"type", "geometry", "properties"}, f"{name} has an unexpected field")
    geometry(f"{name}.geometry", value["geometry"])
    need(isinstance(value.get("properties", {}), dict), f"{name}.properties must be an object")


# ---- whole bodies -----------------------------------------------------------------------------

FILE: dict[str, Check] = {
    "name": text(256),
    "externalId": external_id,
    "directory": absolute_path,
    "source": text(128),
    "mimeType": text(256),
    "metadata": pairs,
    "assetIds": many(identity, 1, 1000),
    "dataSetId": identity,
    "sourceCreatedTime": moment,
    "sourceModifiedTime": moment,
    "securityCategories": many(identity, 0, 100),
    "labels": labels,
    "geoLocation": geo_location,
}
DATA_SET: dict[str, Check] = {
    "externalId": external_id,
    "name": text(50, 1),
    "description": text(500, 1),
    "metadata": pairs,
    "writeProtected": boolean,
}
LABEL: dict[str, Check] = {
    "externalId": external_id,
    "name": text(140, 1),
    "description": text(500),
    "dataSetId": identity,
}
ASSET: dict[str, Check] = {
    "externalId": external_id,
    "name": text(140, 1),
    "parentId": identity,
    "parentExternalId": external_id,
    "description": text(500),
    "dataSetId": identity,
    "metadata": pairs,
    "source": text(128),
    "labels": labels,
    "geoLocation": geo_location,
}


def body(value: Any, checks: Mapping[str, Check], required: Sequence[str] = ()) -> Json:
    """`value`, if it is an object whose every field is known and within its limits."""
    need(isinstance(value, dict), "The body must be a JSON object")
    for name in required:
        need(name in value, f"Missing required field: {name}")
    for name, item in value.items():
        need(name in checks, f"Unexpected field: {name}")
        need(item is not None, f"`null` values aren't allowed: {name}")
        checks[name](name, item)
    return dict(value)


def items(request: Json, most: int, extra: Sequence[str] = ()) -> list[Json]:
    """The 1 to `most` objects of a request's `items`."""
    found = request.get("items")
    need(isinstance(found, list), "items must be an array")
    need(
        request.keys() <= {"items", *extra},
        f"Unexpected field: {', '.join(request.keys() - {'items', *extra})}",
    )
    assert isinstance(found, list)  # noqa: S101 - for the type checker; refused above
    need(1 <= len(found) <= most, f"items must have between 1 and {most} items, got {len(found)}")
    need(all(isinstance(item, dict) for item in found), "items must be objects")
    return found


def one_of(item: Json, allowed: Sequence[str]) -> tuple[str, Any]:
    """The one identifier that `item` has, such as `("externalId", "a")`."""
    given = [name for name in allowed if name in item]
    need(
        len(given) == 1 and item.keys() == set(given),
        f"Exactly one of {', '.join(allowed)} must be given",
    )
    name, value = given[0], item[given[0]]
    if name == "instanceId":
        need(
            isinstance(value, dict) and value.keys() == {"space", "externalId"},
            "instanceId has space and externalId",
        )
        return name, (value["space"], value["externalId"])
    (identity if name == "id" else external_id)(name, value)
    return name, value


def number(
    query: Mapping[str, str], name: str, low: int, high: int, default: int | None = None
) -> int:
    """An integer of the query within its range."""
    given = query.get(name)
    if given is None and default is not None:
        return default
    need(
        given is not None and given.lstrip("-").isdigit(),
        f"{name} must be an integer between {low} and {high}",
    )
    value = int(given or 0)
    whole(low, high)(name, value)
    return value


def flag(query: Mapping[str, str], name: str) -> bool:
    given = query.get(name, "false")
    need(given in ("true", "false"), f"{name} must be true or false")
    return given == "true"


def patched(name: str, old: Any, change: Any) -> Any:
    """The new value of a field: set, setNull, or add and remove of an array or an object."""
    need(isinstance(change, dict) and change, f"{name} must be set, setNull, add or remove")
    need(change.keys() <= {"set", "setNull", "add", "remove"}, f"Unexpected field in {name}")
    if "set" in change:
        need(change.keys() == {"set"}, f"{name}: set stands alone")
        return change["set"]
    if "setNull" in change:
        need(change == {"setNull": True}, f"{name}: setNull is true, and stands alone")
        return None
    added, removed = change.get("add", []), change.get("remove", [])
    if name == "metadata":
        return {k: v for k, v in (old or {}).items() if k not in removed} | dict(added)
    need(name in ("assetIds", "securityCategories", "labels"), f"{name} takes set or setNull")
    kept = [each for each in old or [] if each not in removed]
    return kept + [each for each in added if each not in kept]
