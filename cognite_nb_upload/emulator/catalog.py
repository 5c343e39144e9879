"""What files refer to: data sets, labels, assets, security categories."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from . import rules, seed
from .disk import write_json
from .filters import matches, page, score
from .rules import Json, Refused, need

Query = Mapping[str, str]


class Catalog:
    """Four lists, seeded for demos, kept in one JSON file. Its methods are endpoints."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        if path.exists():
            self.lists: dict[str, list[Json]] = json.loads(path.read_text())
        else:
            self.lists = seed.catalog(self._now())
            self._save()

    # ---- what a file's metadata may refer to

    def require(self, what: str, kind: str, wanted: Iterable[Json]) -> None:
        """Refuses references to what is not in the list `kind`."""
        missing = [item for item in wanted if self._one(kind, item) is None]
        if missing:
            raise Refused(f"Unknown {what}", missing=missing)

    def write_protected(self, data_set_id: int) -> bool:
        found = self._one("dataSets", {"id": data_set_id})
        return bool(found and found["writeProtected"])

    def ids(self, kind: str, wanted: Sequence[Json]) -> set[int]:
        """The internal ids of those of `wanted` that exist."""
        found = (self._one(kind, item) for item in wanted)
        return {item["id"] for item in found if item is not None}

    def subtree(self, roots: set[int]) -> set[int]:
        """The ids of `roots` and of every asset below them."""
        below, found = roots, set(roots)
        while below:
            below = {a["id"] for a in self.lists["assets"] if a.get("parentId") in below} - found
            found |= below
        return found

    # ---- endpoints: lists

    def datasets_list(self, body: Json, query: Query, origin: str) -> Json:
        return page(self._filtered("dataSets", body), body, most=1000, default=100)

    def labels_list(self, body: Json, query: Query, origin: str) -> Json:
        return page(self._filtered("labels", body), body, most=1000, default=100)

    def assets_list(self, body: Json, query: Query, origin: str) -> Json:
        return page(self._filtered("assets", body), body, most=1000, default=100)

    def categories_list(self, body: Json, query: Query, origin: str) -> Json:
        limit = rules.number(query, "limit", 1, 1000, 25)
        need(query.get("sort", "ASC") in ("ASC", "DESC"), "sort must be ASC or DESC")
        found = self.lists["securityCategories"][:: -1 if query.get("sort") == "DESC" else 1]
        return page(found, {"limit": limit, "cursor": query.get("cursor")}, most=1000, default=25)

    def datasets_aggregate(self, body: Json, query: Query, origin: str) -> Json:
        return {"items": [{"count": len(self._filtered("dataSets", body))}]}

    def assets_search(self, body: Json, query: Query, origin: str) -> Json:
        wanted, limit = body.get("search", {}), body.get("limit", 100)
        rules.whole(1, 1000)("limit", limit)
        need(isinstance(wanted, dict), "search must be an object")
        need(wanted.keys() <= {"query", "name", "description"}, "search has an unexpected field")
        words = " ".join(str(each) for each in wanted.values())
        found = self._filtered("assets", body)
        ranked = sorted(
            ((score(words, [a["name"], a.get("description", "")]), a) for a in found),
            key=lambda pair: -pair[0],
        )
        return {"items": [asset for points, asset in ranked if points or not words][:limit]}

    # ---- endpoints: one by one

    def datasets_byids(self, body: Json, query: Query, origin: str) -> Json:
        return self._byids("dataSets", body)

    def assets_byids(self, body: Json, query: Query, origin: str) -> Json:
        return self._byids("assets", body, "aggregatedProperties")

    def labels_byids(self, body: Json, query: Query, origin: str) -> Json:
        return self._byids("labels", body)

    # ---- endpoints: creating

    def datasets_create(self, body: Json, query: Query, origin: str) -> Json:
        new = [rules.body(item, rules.DATA_SET) for item in rules.items(body, 10)]
        return self._add(
            "dataSets", [{"metadata": {}, "writeProtected": False} | item for item in new]
        )

    def labels_create(self, body: Json, query: Query, origin: str) -> Json:
        new = [
            rules.body(item, rules.LABEL, ["externalId", "name"])
            for item in rules.items(body, 1000)
        ]
        return self._add("labels", new)

    def labels_delete(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 1000, ("ignoreUnknownIds",))
        if not body.get("ignoreUnknownIds"):
            self.require("labels", "labels", items)
        self.lists["labels"] = [
            each for each in self.lists["labels"] if {"externalId": each["externalId"]} not in items
        ]
        self._save()
        return {}

    def assets_create(self, body: Json, query: Query, origin: str) -> Json:
        return self._add("assets", [self._placed(item) for item in rules.items(body, 1000)])

    def categories_create(self, body: Json, query: Query, origin: str) -> Json:
        new = [
            rules.body(item, {"name": rules.text(255)}, ["name"])
            for item in rules.items(body, 1000)
        ]
        names = {item["name"] for item in self.lists["securityCategories"]}
        need(
            not any(item["name"] in names for item in new),
            "A security category has that name already",
        )
        first = max((item["id"] for item in self.lists["securityCategories"]), default=0) + 1
        made = [{"id": first + n, "name": item["name"]} for n, item in enumerate(new)]
        self.lists["securityCategories"] += made
        self._save()
        return {"items": made}

    # ---- what they share

    def _placed(self, item: Json) -> Json:
        asset = rules.body(item, rules.ASSET, ["name"])
        new_id = _new_id()
        parent = self._parent(asset)
        if parent is None:
            return asset | {"id": new_id, "rootId": new_id}
        named = {"parentExternalId": parent["externalId"]} if "externalId" in parent else {}
        return asset | named | {"id": new_id, "rootId": parent["rootId"], "parentId": parent["id"]}

    def _parent(self, asset: Json) -> Json | None:
        names = {"parentId": "id", "parentExternalId": "externalId"}
        wanted = [{names[key]: asset[key]} for key in names if key in asset]
        self.require("parent assets", "assets", wanted)
        return self._one("assets", wanted[0]) if wanted else None

    def _add(self, kind: str, new: list[Json]) -> Json:
        known = {item.get("externalId") for item in self.lists[kind]} - {None}
        twice = [
            {"externalId": item["externalId"]} for item in new if item.get("externalId") in known
        ]
        if twice:
            raise Refused("Duplicate external ids", status=409, duplicated=twice)
        now = self._now()
        times = {"createdTime": now} | ({} if kind == "labels" else {"lastUpdatedTime": now})
        made = [({} if kind == "labels" else {"id": _new_id()}) | item | times for item in new]
        self.lists[kind] += made
        self._save()
        return {"items": made}

    def _byids(self, kind: str, body: Json, *extra: str) -> Json:
        items = rules.items(body, 1000, ("ignoreUnknownIds", *extra))
        if not body.get("ignoreUnknownIds"):
            self.require("ids", kind, items)
        found = [self._one(kind, item) for item in items]
        return {"items": [item for item in found if item is not None]}

    def _filtered(self, kind: str, body: Json) -> list[Json]:
        return [item for item in self.lists[kind] if matches(item, body.get("filter", {}), self)]

    def _one(self, kind: str, wanted: Json) -> Json | None:
        name, value = rules.one_of(wanted, ("id", "externalId"))
        return next((item for item in self.lists[kind] if item.get(name) == value), None)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _save(self) -> None:
        write_json(self._path, self.lists)


def _new_id() -> int:
    return secrets.randbelow(rules.MAX_ID) + 1
