"""`/models`: spaces, views, instances and statistics, as far as files need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import listing, rules
from ..project import Project
from ..routes import Call, Family, api, granted
from ..rules import Json, boolean, items, many, need, obj, one_of, optional, text, whole
from ..state import Table
from . import filters, schema
from .nodes import Nodes, key_of, repeated_ids
from .values import instance_id, reference, space_id

_NODE_ONLY = one_of("node")
_VIEW = obj(
    {
        "type": one_of("view"),
        "space": space_id,
        "externalId": text(255, 1),
        "version": text(43, 1),
    },
    ["space", "externalId"],
)
_SOURCE = obj({"source": _VIEW, "properties": rules.any_object}, ["source"])
_NODE = obj(
    {
        "instanceType": _NODE_ONLY,
        "space": space_id,
        "externalId": instance_id,
        "existingVersion": whole(0, 2**53),
        "type": reference,
        "sources": many(_SOURCE, 0, 10),
    },
    ["instanceType", "space", "externalId"],
)
_NODE_ID = obj(
    {"instanceType": _NODE_ONLY, "space": space_id, "externalId": instance_id},
    ["instanceType", "space", "externalId"],
)
_APPLY = {
    "autoCreateStartNodes": boolean,
    "autoCreateEndNodes": boolean,
    "autoCreateDirectRelations": boolean,
    "skipOnVersionConflict": boolean,
    "replace": boolean,
}
_READ = {"sources": optional(many(obj({"source": _VIEW}, ["source"]), 0, 10))}
_READ |= {"includeTyping": boolean}
_SORT = many(
    obj(
        {
            "property": many(text(300), 2, 3),
            "direction": one_of("ascending", "descending"),
            "nullsFirst": optional(boolean),
        },
        ["property"],
    ),
    0,
    5,
)
_LIST = {
    "instanceType": _NODE_ONLY,
    "filter": optional(rules.any_object),
    "sort": optional(_SORT),
    "limit": optional(whole(1, 1000)),
    "cursor": optional(text(200)),
}
_SEARCH = {
    "view": _VIEW,
    "query": text(10_000),
    "instanceType": _NODE_ONLY,
    "properties": many(text(255), 0, 200),
    "filter": optional(rules.any_object),
    "sort": optional(_SORT),
    "operator": one_of("AND", "OR"),
    "limit": optional(whole(1, 1000)),
    "includeTyping": boolean,
}


class _Schema(Family):
    """What spaces and views share: they are shown by GET, CDF's own only if asked for."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self._nodes = Nodes(project)

    def _page(self, table: Table, query: Mapping[str, str], **wanted: str | None) -> Json:
        asked, own = listing.asked(query, 100), rules.flag(query, "includeGlobal")
        found = (
            (no, doc)
            for no, doc in table.after(listing.start(asked))
            if (own or not doc["isGlobal"])
            and all(value in (None, doc[name]) for name, value in wanted.items())
        )
        return listing.page(found, asked)


class Spaces(_Schema):
    """`/models/spaces`."""

    acl = (("dataModelsAcl", "READ WRITE"),)

    @api("spaces", "GET", "/models/spaces")
    def list_spaces(self, call: Call) -> Json:
        return self._page(self.project.spaces, call.query)

    @api("spaces_byids", "POST", "/models/spaces/byids", body=items(obj({"space": space_id}), 100))
    def byids(self, call: Call) -> Json:
        asked = [self.project.spaces.get(item.get("space", "")) for item in call.body["items"]]
        return {"items": [doc for doc in asked if doc is not None]}

    @api(
        "spaces_create",
        "POST",
        "/models/spaces",
        body=items(
            obj({"space": space_id, "name": text(255), "description": text(1024)}, ["space"]), 100
        ),
    )
    def create(self, call: Call) -> Json:
        made, now = [], self.project.now()
        for item in call.body["items"]:
            old = self.project.spaces.get(item["space"]) or {"createdTime": now, "isGlobal": False}
            need(not old["isGlobal"], f"The space {item['space']} is CDF's own")
            made.append(old | item | {"lastUpdatedTime": now})
            self.project.spaces.put(item["space"], made[-1])
        return {"items": made}


class Views(_Schema):
    """`/models/views`, which are seeded; each has one version."""

    @api("views", "GET", "/models/views")
    def list_views(self, call: Call) -> Json:
        page = self._page(self.project.views, call.query, space=call.query.get("space"))
        return page | {"items": [self._shown(doc, call.query) for doc in page["items"]]}

    @api("views_byids", "POST", "/models/views/byids", body=items(_VIEW, 100))
    def byids(self, call: Call) -> Json:
        pairs = [(item, self.project.views.get(key_of(item))) for item in call.body["items"]]
        docs = [doc for item, doc in pairs if doc and item.get("version") in (None, doc["version"])]
        return {"items": [self._shown(doc, call.query) for doc in docs]}

    def _shown(self, view: Json, query: Mapping[str, str]) -> Json:
        whole = query.get("includeInheritedProperties", "true").lower() == "true"
        return self._nodes.view(view) if whole else view


class Instances(Family):
    """`/models/instances`: nodes alone, no edges."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self._nodes = Nodes(project)
        with project.state.change():
            self._first_start()

    def _first_start(self) -> None:
        """The seed, where there is no data model yet: also of what an earlier version has made."""
        if len(self.project.spaces):
            return
        now = self.project.now()
        for space in schema.spaces(now):
            self.project.spaces.put(space["space"], space)
        for view in schema.views(now):
            self.project.views.put(key_of(view), view)
        files = [doc["meta"] for doc in self.project.files if "instanceId" in doc["meta"]]
        for item in schema.nodes(list(self.project.lists["assets"]), files):
            self._nodes.apply(item, replace=False, skip=False, create=True)

    def capabilities(self) -> list[Json]:
        ids = self.project.settings.space_scope
        scope = None if ids is None else {"spaceIdScope": {"spaceIds": ids}}
        acl = "dataModelInstancesAcl"
        return [granted(acl, "READ"), granted(acl, "WRITE", scope)]

    # ---- writing

    @api(
        "instances_apply",
        "POST",
        "/models/instances",
        body=obj({"items": many(_NODE, 1, 1000)} | _APPLY, ["items"]),
        lane="apply",
    )
    def apply(self, call: Call) -> Json:
        asked = self._writable(call)
        how = {
            "replace": call.body.get("replace", False),
            "skip": call.body.get("skipOnVersionConflict", False),
            "create": call.body.get("autoCreateDirectRelations", True),
        }
        return {"items": [self._nodes.apply(item, **how) for item in asked]}

    @api(
        "instances_delete",
        "POST",
        "/models/instances/delete",
        body=items(_NODE_ID),
        lane="delete",
    )
    def delete(self, call: Call) -> Json:
        return {"items": [item for item in self._writable(call) if self._nodes.delete(item)]}

    def _writable(self, call: Call) -> list[Json]:
        """The items of a request: each once, in spaces that the token may write to."""
        asked: list[Json] = call.body["items"]
        repeated_ids(asked)
        for space in sorted({item["space"] for item in asked}):
            self._nodes.space_exists(space)
            self.project.may_write_space(space)
        return asked

    # ---- reading

    @api(
        "instances_byids",
        "POST",
        "/models/instances/byids",
        body=obj({"items": many(_NODE_ID, 1, 1000)} | _READ, ["items"]),
        lane="query",
    )
    def byids(self, call: Call) -> Json:
        views = self._views(call.body)
        nodes = [self._nodes.get(item) for item in call.body["items"]]
        found = [node for node in nodes if node and self._nodes.has_data(node, views)]
        return {"items": [self._nodes.shown(node, views) for node in found]}

    @api("instances_list", "POST", "/models/instances/list", body=obj(_LIST | _READ), lane="query")
    def list_instances(self, call: Call) -> Json:
        views = self._views(call.body)
        rows = list(self._passing(call.body, views, listing.start(call.body)))
        for order in reversed(call.body.get("sort") or []):
            rows = self._sorted(rows, order)
        page = listing.page(rows, call.body, default=1000)
        if call.body.get("sort"):
            page.pop("nextCursor", None)  # a cursor is a place in the order of making
        return page | {"items": [self._nodes.shown(node, views) for node in page["items"]]}

    @api(
        "instances_search",
        "POST",
        "/models/instances/search",
        body=obj(_SEARCH, ["view"]),
        lane="query",
    )
    def search(self, call: Call) -> Json:
        """Words of a query in the text of a view's properties, the best first."""
        view, query = self._nodes.view(call.body["view"]), call.body.get("query", "")
        names = call.body.get("properties") or list(view["properties"])
        for name in names:
            need(name in view["properties"], f"Unknown property: {name}")
        rows = self._passing(call.body, [view], 0)
        ranked = [
            (listing.score(query, self._texts(node, view, names)) if query else 1, node)
            for _, node in rows
        ]
        ranked.sort(key=lambda pair: -pair[0])
        limit = call.body.get("limit") or 100
        best = [node for points, node in ranked if points][:limit]
        return {"items": [self._nodes.shown(node, [view]) for node in best]}

    def _views(self, body: Json) -> list[Json]:
        return [self._nodes.view(each["source"]) for each in body.get("sources") or ()]

    def _passing(self, body: Json, views: list[Json], after: int) -> Iterator[tuple[int, Json]]:
        def has_data(node: Json, asked: list[Json]) -> bool:
            rules.many(_VIEW, 0, 10)("hasData", asked)
            return self._nodes.has_data(node, [self._nodes.view(each) for each in asked])

        passes = filters.condition(body.get("filter"), self._read, has_data)
        for no, node in self._nodes.after(after):
            if self._nodes.has_data(node, views) and passes(node):
                yield no, node

    def _read(self, node: Json, path: list[str]) -> Any:
        if path[0] == "node":
            known = ("space", "externalId", "version", "createdTime", "lastUpdatedTime")
            return node.get(path[1]) if path[1] in known else None
        need(len(path) == 3 and "/" in path[1], "A property is [space, view/version, name]")
        external_id, _, version = path[1].rpartition("/")
        source = {"space": path[0], "externalId": external_id, "version": version}
        prop = self._nodes.view(source)["properties"].get(path[2])
        need(prop is not None, f"Unknown property: {path[2]}")
        return self._nodes.value(node, prop or {})

    def _sorted(self, rows: list[tuple[int, Json]], order: Json) -> list[tuple[int, Json]]:
        backwards = order.get("direction") == "descending"
        pairs = [(self._read(row[1], order["property"]), row) for row in rows]
        known = [pair for pair in pairs if pair[0] is not None]
        known.sort(key=lambda pair: (str(type(pair[0])), _comparable(pair[0])), reverse=backwards)
        return [row for _, row in known] + [row for value, row in pairs if value is None]

    def _texts(self, node: Json, view: Json, names: list[str]) -> list[str]:
        values = [self._nodes.value(node, view["properties"][name]) for name in names]
        texts = [value for value in values if isinstance(value, str)]
        lists = [value for value in values if isinstance(value, list)]
        return texts + [each for value in lists for each in value if isinstance(each, str)]


class ModelStatistics(Family):
    """`/models/statistics`: what the project has, and its limits as they are documented."""

    @api("models_statistics", "GET", "/models/statistics")
    def statistics(self, call: Call) -> Json:
        nodes, none = len(self.project.nodes), {"count": 0, "limit": 100}
        limits = self.project.settings
        return {
            "spaces": {"count": len(self.project.spaces), "limit": 100},
            "containers": {"count": len(self.project.views), "limit": 1000},
            "views": {"count": len(self.project.views), "limit": 2000},
            "dataModels": none | {"limit": 500},
            "containerProperties": none,
            "instances": {
                "edges": 0,
                "softDeletedEdges": 0,
                "nodes": nodes,
                "softDeletedNodes": 0,
                "instances": nodes,
                "instancesLimit": 5_000_000,
                "softDeletedInstances": 0,
                "softDeletedInstancesLimit": 10_000_000,
            },
            "concurrentReadLimit": limits.query_limit,
            "concurrentWriteLimit": limits.apply_limit,
            "concurrentDeleteLimit": limits.delete_limit,
        }


def _comparable(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else str(value)
