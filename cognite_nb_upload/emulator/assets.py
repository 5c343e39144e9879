"""Assets: a tree that files hang on."""

from __future__ import annotations

from . import geo, rules
from .collection import Collection, byids, counts, gets, lists, searches
from .listing import ASSETS
from .routes import Call, api
from .rules import Json, Refused, identifier, ids, items, many, need, obj, one_of, patch, text
from .state import Table

ASSET = {
    "externalId": rules.external_id,
    "name": text(140, 1),
    "parentId": rules.identity,
    "parentExternalId": rules.external_id,
    "description": text(500),
    "dataSetId": rules.identity,
    "metadata": rules.pairs,
    "source": text(128),
    "labels": rules.labels,
    "geoLocation": geo.location,
}
FIXED = ("name", "parentId", "parentExternalId")
AGGREGATES = many(one_of("childCount", "path", "depth"), 0, 3)
BY_ID = ("id", "externalId")


class Assets(Collection):
    """`/assets`. Parents and children may come in one request, in any order."""

    kind = "assets"
    acl = (("assetsAcl", "READ WRITE"),)

    # ---- reading

    list_all = lists(
        "assets_list", "/assets/list", ASSETS, aggregatedProperties=rules.optional(AGGREGATES)
    )
    byids = byids("assets_byids", "/assets/byids", ids(*BY_ID, aggregatedProperties=AGGREGATES))
    get = gets("assets_get", "/assets/{id}")
    search = searches(
        "assets_search",
        "/assets/search",
        ASSETS,
        ["name", "description"],
        **{"query": text(500), "name": text(140), "description": text(500)},
    )
    aggregate = counts("assets_aggregate", "/assets/aggregate", ASSETS, aggregate=one_of("count"))

    def shown(self, docs: list[Json], body: Json) -> list[Json]:
        asked = body.get("aggregatedProperties")
        if not asked:
            return docs
        return [asset | {"aggregates": self._aggregates(asset, asked)} for asset in docs]

    def _aggregates(self, asset: Json, asked: list[str]) -> Json:
        path = [asset]
        while (parent := self._table.get(path[0].get("parentId", 0))) is not None:
            path.insert(0, parent)
        made = {
            "childCount": len(self._table.by("parentId", asset["id"])),
            "depth": len(path) - 1,
            "path": [{"id": each["id"]} for each in path],
        }
        return {name: made[name] for name in asked}

    # ---- changing

    @api("assets_create", "POST", "/assets", status=201, body=items(obj(ASSET, ["name"])))
    def create(self, call: Call) -> Json:
        new = call.body["items"]
        self.project.new_external_ids("assets", new)
        for item in new:
            need(
                not {"parentId", "parentExternalId"} <= item.keys(),
                "Exactly one of parentId and parentExternalId may be given",
            )
            self.project.references_exist(item)
            self.project.not_protected(item)
        self._parents_exist(new)
        made: dict[int, Json] = {}
        waiting = list(enumerate(new))
        while waiting:
            ready = [(no, item) for no, item in waiting if self._parent(item) is not None]
            need(ready, "The parents of the assets form a circle")
            for no, item in ready:
                made[no] = self._add(item)
            waiting = [pair for pair in waiting if pair[0] not in made]
        return {"items": [made[no] for no in range(len(new))]}

    def _parents_exist(self, new: list[Json]) -> None:
        coming = {item["externalId"] for item in new if "externalId" in item}
        above = {item["parentExternalId"] for item in new if "parentExternalId" in item}
        wanted = [{"externalId": each} for each in sorted(above - coming)]
        wanted += [{"id": item["parentId"]} for item in new if "parentId" in item]
        self.project.require("parent assets", "assets", wanted)

    def _parent(self, item: Json) -> Json | None:
        """The asset above; an empty one above a root, None if it is not there (yet)."""
        if "parentId" in item:
            return self._table.get(item["parentId"])
        if "parentExternalId" in item:
            return self.project.one("assets", {"externalId": item["parentExternalId"]})
        return {}

    def _add(self, item: Json) -> Json:
        new_id, now = self.project.new_id(self._table), self.project.now()
        doc = item | {"id": new_id, "createdTime": now, "lastUpdatedTime": now}
        doc |= _below(self._parent(item) or {}, new_id)
        self._table.put(new_id, doc)
        return doc

    @api(
        "assets_update",
        "POST",
        "/assets/update",
        body=items(identifier(*BY_ID, update=patch(ASSET, fixed=FIXED))),
    )
    def update(self, call: Call) -> Json:
        made = self.updated(call.body, ASSET)
        pairs = zip(call.body["items"], made, strict=True)
        return {"items": [self._moved(item["update"], asset) for item, asset in pairs]}

    def changed(self, old: Json, new: Json) -> Json:
        self.project.references_exist(new, old)
        self.project.not_protected(old)
        self.project.not_protected(new)
        for child in self._table.by("parentId", new["id"]):
            self._table.put(child["id"], child | _below(new, child["id"]))
        return super().changed(old, new)

    def _moved(self, update: Json, asset: Json) -> Json:
        """The asset below the parent that `update` sets; CDF keeps it in its tree."""
        if not update.keys() & {"parentId", "parentExternalId"}:
            return asset
        need(not {"parentId", "parentExternalId"} <= update.keys(), "Only one parent can be set")
        kept = "parentId" if "parentId" in update else "parentExternalId"
        parent = self._parent({kept: asset[kept]})
        if parent is None:
            name = "id" if kept == "parentId" else "externalId"
            raise Refused("Unknown parent assets", missing=[{name: asset[kept]}])
        need(parent["rootId"] == asset["rootId"], "An asset stays below its root asset")
        need(parent["id"] not in self.project.subtree({asset["id"]}), "An asset is below itself")
        asset = {k: v for k, v in asset.items() if k != "parentExternalId"}
        asset |= _below(parent, asset["id"])
        self._table.put(asset["id"], asset)
        return asset

    @api("assets_delete", "POST", "/assets/delete", body=ids(*BY_ID, recursive=rules.boolean))
    def delete(self, call: Call) -> Json:
        named = {asset["id"] for asset in self.found(call.body)}
        below = self.project.subtree(named)
        if not call.body.get("recursive"):
            need(below == named, "Assets with children are deleted with recursive alone")
        for asset in (asset for asset in self._table if asset["id"] in below):
            self.project.not_protected(asset)
            self._table.drop(asset["id"])
        return {}

    @property
    def _table(self) -> Table:
        return self.project.lists["assets"]


def _below(parent: Json, own_id: int) -> Json:
    """The fields of an asset that come from its parent, which is empty above a root."""
    if not parent:
        return {"rootId": own_id}
    named = {"parentExternalId": parent["externalId"]} if "externalId" in parent else {}
    return {"rootId": parent["rootId"], "parentId": parent["id"], **named}
