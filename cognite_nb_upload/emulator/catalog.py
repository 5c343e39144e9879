"""What files are sorted by: data sets, labels, security categories."""

from __future__ import annotations

from collections.abc import Iterable

from . import listing, rules
from .listing import DATA_SETS, LABELS, list_check
from .routes import Call, Family, api
from .rules import Json, identifier, ids, items, obj, patch, text

DATA_SET = {
    "externalId": rules.external_id,
    "name": text(50, 1),
    "description": text(500, 1),
    "metadata": rules.pairs,
    "writeProtected": rules.boolean,
}
LABEL = {
    "externalId": rules.external_id,
    "name": text(140, 1),
    "description": text(500),
    "dataSetId": rules.identity,
}
DATA_SET_ID = ("id", "externalId")


def found(family: Family, kind: str, body: Json) -> list[Json]:
    """The documents that a body's items name, each once."""
    asked = body["items"]
    rules.refuse_repeated(asked)
    if not body.get("ignoreUnknownIds"):
        family.project.require("ids", kind, asked)
    docs = [family.project.one(kind, item) for item in asked]
    return [doc for doc in docs if doc is not None]


def chosen(family: Family, kind: str, body: Json, fields: listing.Filters) -> Iterable[Json]:
    """The documents that pass a body's filter."""
    passes = listing.condition(fields, body.get("filter", {}), family.project)
    return (doc for doc in family.project.lists[kind] if passes(doc))


def listed(family: Family, kind: str, body: Json, fields: listing.Filters) -> Json:
    """A page of those."""
    passes = listing.condition(fields, body.get("filter", {}), family.project)
    rows = family.project.lists[kind].after(listing.start(body))
    return listing.page(((no, doc) for no, doc in rows if passes(doc)), body)


class DataSets(Family):
    """`/datasets`; CDF never deletes one."""

    def capabilities(self) -> list[Json]:
        scope: Json = {"all": {}}
        return [{"datasetsAcl": {"actions": ["READ", "WRITE", "OWNER"], "scope": scope}}]

    @api("datasets_create", "POST", "/datasets", body=items(obj(DATA_SET), 10))
    def create(self, call: Call) -> Json:
        self.project.new_external_ids("dataSets", call.body["items"])
        table, now = self.project.lists["dataSets"], self.project.now()
        made = []
        for item in call.body["items"]:
            doc: Json = {"id": self.project.new_id(table), "metadata": {}, "writeProtected": False}
            doc |= item | {"createdTime": now, "lastUpdatedTime": now}
            table.put(doc["id"], doc)
            made.append(doc)
        return {"items": made}

    @api("datasets_list", "POST", "/datasets/list", body=list_check(DATA_SETS))
    def list_data_sets(self, call: Call) -> Json:
        return listed(self, "dataSets", call.body, DATA_SETS)

    @api("datasets_byids", "POST", "/datasets/byids", body=ids(*DATA_SET_ID))
    def byids(self, call: Call) -> Json:
        return {"items": found(self, "dataSets", call.body)}

    @api(
        "datasets_aggregate",
        "POST",
        "/datasets/aggregate",
        body=obj({"filter": listing.filter_check(DATA_SETS)}),
    )
    def aggregate(self, call: Call) -> Json:
        return {"items": [{"count": len(list(chosen(self, "dataSets", call.body, DATA_SETS)))}]}

    @api(
        "datasets_update",
        "POST",
        "/datasets/update",
        body=items(identifier(*DATA_SET_ID, update=patch(DATA_SET, fixed=["writeProtected"]))),
    )
    def update(self, call: Call) -> Json:
        return {"items": updated(self, "dataSets", call.body, DATA_SET)}


def updated(family: Family, kind: str, body: Json, fields: dict[str, rules.Check]) -> list[Json]:
    """The documents of a list after the `update` of each item, which is checked as a whole."""
    named = [{k: v for k, v in item.items() if k != "update"} for item in body["items"]]
    docs = found(family, kind, {"items": named})
    rules.refuse_repeated([{"id": doc["id"]} for doc in docs])
    made = []
    for doc, item in zip(docs, body["items"], strict=True):
        new = rules.patched(doc, item["update"])
        if kind == "dataSets":
            new = {"metadata": {}} | new
        obj(fields)("", {name: new[name] for name in item["update"] if name in new})
        renamed = {"externalId": new.get("externalId")}
        if renamed["externalId"] not in (None, doc.get("externalId")):
            family.project.new_external_ids(kind, [renamed])
        new |= {"lastUpdatedTime": family.project.now()}
        family.project.lists[kind].put(doc["id"], new)
        made.append(new)
    return made


class Labels(Family):
    """`/labels`, which are known by their external ids alone."""

    def capabilities(self) -> list[Json]:
        return [{"labelsAcl": {"actions": ["READ", "WRITE"], "scope": {"all": {}}}}]

    @api(
        "labels_create",
        "POST",
        "/labels",
        status=201,
        body=items(obj(LABEL, ["externalId", "name"])),
    )
    def create(self, call: Call) -> Json:
        self.project.new_external_ids("labels", call.body["items"])
        made = [item | {"createdTime": self.project.now()} for item in call.body["items"]]
        for label in made:
            self.project.references_exist(label)
            self.project.not_protected(label)
            self.project.lists["labels"].put(label["externalId"], label)
        return {"items": made}

    @api("labels_list", "POST", "/labels/list", body=list_check(LABELS))
    def list_labels(self, call: Call) -> Json:
        return listed(self, "labels", call.body, LABELS)

    @api("labels_byids", "POST", "/labels/byids", body=ids("externalId"))
    def byids(self, call: Call) -> Json:
        return {"items": found(self, "labels", call.body)}

    @api("labels_delete", "POST", "/labels/delete", body=ids("externalId"))
    def delete(self, call: Call) -> Json:
        for label in found(self, "labels", call.body):
            self.project.not_protected(label)
            self.project.lists["labels"].drop(label["externalId"])
        return {}


class SecurityCategories(Family):
    """`/securitycategories`."""

    def capabilities(self) -> list[Json]:
        can = ["MEMBEROF", "LIST", "CREATE"]
        return [{"securityCategoriesAcl": {"actions": can, "scope": {"all": {}}}}]

    @api("securitycategories", "GET", "/securitycategories")
    def list_categories(self, call: Call) -> Json:
        limit = rules.number(call.query, "limit", 1, 1000, 25)
        sort = call.query.get("sort", "ASC")
        rules.one_of("ASC", "DESC")("sort", sort)
        asked = {"limit": limit, "cursor": call.query.get("cursor")}
        first, rows = listing.start(asked), self.project.lists["securityCategories"].after(0)
        if sort == "ASC":
            return listing.page((row for row in rows if row[0] > first), asked)
        backwards = reversed([row for row in rows if not first or row[0] < first])
        return listing.page(backwards, asked)

    @api(
        "securitycategories_create",
        "POST",
        "/securitycategories",
        status=201,
        body=items(obj({"name": text(255)}, ["name"])),
    )
    def create(self, call: Call) -> Json:
        table = self.project.lists["securityCategories"]
        names = [item["name"] for item in call.body["items"]]
        known = rules.repeated(names) or any(table.by("name", name) for name in names)
        rules.need(not known, "A security category has that name already")
        first = max((doc["id"] for doc in table), default=0) + 1
        made = [{"id": first + n, "name": name} for n, name in enumerate(names)]
        for category in made:
            table.put(category["id"], category)
        return {"items": made}
