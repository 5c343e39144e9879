"""Filters, search and paging over the documents of a table."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from . import geo, rules
from .project import Project
from .rules import Check, Json, Refused, many, need, obj, text

Condition = Callable[[Json], bool]


Build = Callable[[Any, Project], Condition]
#: By the name of a filter's field: the check of its value, and what it means.
Filters = dict[str, tuple[Check, Build]]


def filter_check(fields: Filters) -> Check:
    """The check of a filter; null is as good as nothing, as the official toolkit sends it."""
    return obj({name: rules.optional(check) for name, (check, _) in fields.items()})


def condition(fields: Filters, wanted: Json, project: Project) -> Condition:
    """Whether a document passes every field of the checked filter `wanted`."""
    given = {name: value for name, value in wanted.items() if value is not None}
    tests = [fields[name][1](value, project) for name, value in given.items()]
    return lambda doc: all(test(doc) for test in tests)


# ---- conditions -------------------------------------------------------------------------------


def equals(name: str, check: Check) -> tuple[Check, Build]:
    return check, lambda value, _: lambda doc: doc.get(name) == value


def begins(name: str, longest: int) -> tuple[Check, Build]:
    return text(longest), lambda value, _: lambda doc: name in doc and doc[name].startswith(value)


def within(name: str) -> tuple[Check, Build]:
    return (
        obj({"min": rules.moment, "max": rules.moment}),
        lambda value, _: (
            lambda doc: value.get("min", 0) <= doc.get(name, -1) <= value.get("max", 2**63)
        ),
    )


def _metadata(value: Json, _: Project) -> Condition:
    return lambda doc: value.items() <= doc.get("metadata", {}).items()


_LABELS = many(rules.label, 1, 100)


def _labels(value: Json, _: Project) -> Condition:
    ((how, asked),) = value.items()
    join = all if how == "containsAll" else any
    return lambda doc: join(label in doc.get("labels", ()) for label in asked)


def _data_sets(value: list[Json], project: Project) -> Condition:
    ids = project.found("dataSets", value)
    return lambda doc: doc.get("dataSetId") in ids


def any_of(name: str, item: Check) -> tuple[Check, Build]:
    """The field is one of the values, or has one of them."""

    def passes(doc: Json, value: list[Any]) -> bool:
        has = doc.get(name)
        return any(each in value for each in (has if isinstance(has, list) else [has]))

    return many(item, 1, 100), lambda value, _: lambda doc: passes(doc, value)


def assets(of: Callable[[Json], set[int]], *, below: bool) -> Build:
    """One of the assets `of` a document is one that is named, or, if asked, is below it."""

    def build(value: list[Any], project: Project) -> Condition:
        ids = project.found("assets", [_named(each) for each in value])
        ids = project.subtree(ids) if below else ids
        return lambda doc: bool(of(doc) & ids)

    return build


def _named(value: Any) -> Json:
    if isinstance(value, dict):
        return value
    return {"id": value} if isinstance(value, int) else {"externalId": value}


_DATA_SET_IDS = many(rules.identifier("id", "externalId"), 0, 1000)
_ASSET_IDS = many(rules.identifier("id", "externalId"), 1, 100)
_TIMES = {name: within(name) for name in ("createdTime", "lastUpdatedTime")}


def _either_id(name: str, value: Any) -> None:
    rules.identity(name, value) if isinstance(value, int) else _ASSET_IDS(name, [value])


def _of_file(doc: Json) -> set[int]:
    return set(doc.get("assetIds", ()))


def _itself(doc: Json) -> set[int]:
    return {doc["id"]}


COMMON: Filters = _TIMES | {
    "metadata": (rules.pairs, _metadata),
    "externalIdPrefix": begins("externalId", 255),
}
RELATED: Filters = {
    "source": equals("source", text(128)),
    "dataSetIds": (_DATA_SET_IDS, _data_sets),
    "labels": (
        obj(
            {"containsAny": _LABELS, "containsAll": _LABELS},
            exactly_one=["containsAny", "containsAll"],
        ),
        _labels,
    ),
    "geoLocation": (geo.filter_check, geo.condition),
}
FILES: Filters = {
    **COMMON,
    **RELATED,
    **{n: within(n) for n in ("uploadedTime", "sourceCreatedTime", "sourceModifiedTime")},
    "name": equals("name", text(256)),
    "mimeType": equals("mimeType", text(256)),
    "directoryPrefix": begins("directory", 512),
    "uploaded": equals("uploaded", rules.boolean),
    "assetIds": any_of("assetIds", rules.identity),
    "assetExternalIds": (many(rules.external_id, 1, 100), assets(_of_file, below=False)),
    "assetSubtreeIds": (_ASSET_IDS, assets(_of_file, below=True)),
    "rootAssetIds": (many(_either_id, 1, 100), assets(_of_file, below=True)),
}
ASSETS: Filters = {
    **COMMON,
    **RELATED,
    "name": equals("name", text(140, 1)),
    "parentIds": any_of("parentId", rules.identity),
    "parentExternalIds": any_of("parentExternalId", rules.external_id),
    "rootIds": (_ASSET_IDS, assets(_itself, below=True)),
    "assetSubtreeIds": (_ASSET_IDS, assets(_itself, below=True)),
    "root": (rules.boolean, lambda value, _: lambda doc: ("parentId" not in doc) == value),
}
DATA_SETS: Filters = COMMON | {"writeProtected": equals("writeProtected", rules.boolean)}
LABELS: Filters = {
    "name": equals("name", text(140, 1)),
    "externalIdPrefix": begins("externalId", 255),
    "dataSetIds": (_DATA_SET_IDS, _data_sets),
}

# ---- pages ------------------------------------------------------------------------------------


def partition(name: str, value: Any) -> None:
    text(10)(name, value)
    found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", value)
    fine = found and 1 <= int(found[1]) <= int(found[2]) <= 10
    need(fine, f"{name} is written as m/n, with 1 <= m <= n <= 10")


def list_check(fields: Filters, **more: Check) -> Check:
    """The check of a body that asks for a page."""
    paging = {"limit": rules.whole(1, 1000), "cursor": text(200), "partition": partition}
    optional = {name: rules.optional(check) for name, check in paging.items()}
    return obj({"filter": filter_check(fields), **optional, **more})


def asked(query: Mapping[str, str], default: int) -> Json:
    """The same fields, of the query of a GET."""
    limit = rules.number(query, "limit", 1, 1000, default)
    return {"limit": limit, "cursor": query.get("cursor")}


def start(request: Json) -> int:
    """The number of the last document that was shown; 0 if there was none."""
    if not request.get("cursor"):
        return 0
    try:
        kind, no = base64.urlsafe_b64decode(request["cursor"]).decode().split(":")
        if kind == "after" and rules.INTEGER.fullmatch(no):
            return int(no)
    except ValueError:
        pass
    raise Refused("The cursor is not one of ours")


def page(found: Iterable[tuple[int, Json]], request: Json, *, default: int = 100) -> Json:
    """The first documents of `found`, and the cursor behind the last of them.

    `found` begins after `start(request)`. A cursor names a document's number, so that it still
    points to the same place when documents before it were deleted.
    """
    limit = request.get("limit") or default
    taken = list(islice((pair for pair in found if _mine(pair[1], request)), limit + 1))
    items = [doc for _, doc in taken[:limit]]
    if len(taken) <= limit:
        return {"items": items}
    cursor = base64.urlsafe_b64encode(f"after:{taken[limit - 1][0]}".encode()).decode()
    return {"items": items, "nextCursor": cursor}


def _mine(doc: Json, request: Json) -> bool:
    if not request.get("partition"):
        return True
    mine, of = (int(each) for each in request["partition"].split("/"))
    return zlib.crc32(str(doc.get("id")).encode()) % of == mine - 1


# ---- search -----------------------------------------------------------------------------------


def search_check(fields: Filters, **words: Check) -> Check:
    null = rules.optional  # official clients send the words that were not given as null
    search = obj({name: null(check) for name, check in words.items()})
    limit = null(rules.whole(1, 1000))
    return obj({"filter": filter_check(fields), "search": search, "limit": limit})


def best(docs: Iterable[Json], request: Json, fields: Sequence[str]) -> list[Json]:
    """The documents whose `fields` answer the words of a search, the best first."""
    limit = request.get("limit") or 100
    words = " ".join(filter(None, request.get("search", {}).values()))
    if not words:
        return list(islice(docs, limit))
    ranked = [(score(words, [doc.get(field, "") for field in fields]), doc) for doc in docs]
    ranked.sort(key=lambda pair: -pair[0])
    return [doc for points, doc in ranked[:limit] if points]


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
