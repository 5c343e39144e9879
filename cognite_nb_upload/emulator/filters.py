"""Filters, search and paging over lists of JSON objects."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import rules
from .rules import Json, Refused, need

if TYPE_CHECKING:
    from .catalog import Catalog

RANGES = (
    "createdTime",
    "lastUpdatedTime",
    "uploadedTime",
    "sourceCreatedTime",
    "sourceModifiedTime",
)
PREFIXES = {"externalIdPrefix": "externalId", "directoryPrefix": "directory"}
EQUALS = ("name", "mimeType", "source", "uploaded", "writeProtected")


def matches(item: Json, wanted: Any, catalog: Catalog) -> bool:
    """Whether `item` passes every condition of the filter `wanted`."""
    need(isinstance(wanted, dict), "filter must be an object")
    try:
        return all(_passes(item, name, value, catalog) for name, value in wanted.items())
    except (TypeError, KeyError, AttributeError) as error:
        raise Refused("The filter has a field of the wrong type") from error


def _passes(item: Json, name: str, value: Any, catalog: Catalog) -> bool:
    if name in EQUALS:
        return bool(item.get(name) == value)
    if name in PREFIXES:
        return str(item.get(PREFIXES[name], "")).startswith(value) and PREFIXES[name] in item
    if name in RANGES:
        moment = item.get(name)
        return moment is not None and value.get("min", 0) <= moment <= value.get("max", 2**63)
    if name == "metadata":
        return bool(value.items() <= item.get("metadata", {}).items())
    if name == "labels":
        return _labels(item, value)
    return _related(item, name, value, catalog)


def _labels(item: Json, value: Json) -> bool:
    has = {each["externalId"] for each in item.get("labels", [])}
    need(isinstance(value, dict) and len(value) == 1, "labels has containsAny or containsAll")
    ((how, labels),) = value.items()
    asked = {each["externalId"] for each in labels}
    return asked <= has if how == "containsAll" else bool(asked & has)


def _related(item: Json, name: str, value: Any, catalog: Catalog) -> bool:
    assets = {item["id"]} if "rootId" in item else set(item.get("assetIds", []))
    if name == "dataSetIds":
        return item.get("dataSetId") in catalog.ids("dataSets", value)
    if name == "assetIds":
        return bool(assets & set(value))
    if name == "assetExternalIds":
        return bool(assets & catalog.ids("assets", [{"externalId": each} for each in value]))
    if name == "assetSubtreeIds":
        return bool(assets & catalog.subtree(catalog.ids("assets", value)))
    if name in ("rootAssetIds", "rootIds"):
        roots = [each if isinstance(each, dict) else {"id": each} for each in value]
        return bool(assets & catalog.subtree(catalog.ids("assets", roots)))
    if name == "parentIds":
        return item.get("parentId") in value
    if name == "parentExternalIds":
        return item.get("parentExternalId") in value
    if name == "root":
        return bool(("parentId" not in item) == value)
    raise Refused(f"Unexpected field: filter.{name}")


def page(found: Sequence[Json], request: Json, *, most: int, default: int) -> Json:
    """The page that `cursor`, `limit` and `partition` ask for, and where the next begins."""
    limit = request.get("limit", default)
    rules.whole(1, most)("limit", limit)
    items = _partition(found, request.get("partition"))
    start = _decode(request["cursor"]) if request.get("cursor") else 0
    end = start + limit
    more = {"nextCursor": _encode(end)} if end < len(items) else {}
    return {"items": list(items[start:end])} | more


def _partition(found: Sequence[Json], partition: str | None) -> Sequence[Json]:
    if partition is None:
        return found
    need(re.fullmatch(r"\d+/\d+", partition), "partition is written as m/n")
    mine, of = (int(each) for each in partition.split("/"))
    need(1 <= mine <= of <= 10, "partition m/n needs 1 <= m <= n <= 10")
    return [item for item in found if zlib.crc32(str(item.get("id")).encode()) % of == mine - 1]


def _encode(start: int) -> str:
    return base64.urlsafe_b64encode(f"from:{start}".encode()).decode()


def _decode(cursor: Any) -> int:
    try:
        kind, start = base64.urlsafe_b64decode(cursor).decode().split(":")
        if kind == "from":
            return int(start)
    except (ValueError, TypeError):
        pass
    raise Refused("The cursor is not one of ours")


def score(query: str, texts: Sequence[str]) -> int:
    """How well `texts` answer `query`: exact words before their beginnings before their middles."""
    words = [word for word in re.split(r"[\s_\-./]+", query.lower()) if word]
    joined = " ".join(texts).lower()
    tokens = re.split(r"[\s_\-./]+", joined)
    total = 0
    for word in words:
        if word in tokens:
            total += 4
        elif any(token.startswith(word) for token in tokens):
            total += 3
        elif word in joined:
            total += 2
    return total
