"""What files are sorted by: data sets, labels, security categories."""

from __future__ import annotations

from . import listing, rules
from .collection import Collection, byids, counts, lists, updates
from .listing import DATA_SETS, LABELS
from .routes import Call, Family, api
from .rules import Json, ids, items, obj, text

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


class DataSets(Collection):
    """`/datasets`; CDF never deletes one."""

    kind = "dataSets"
    acl = (("datasetsAcl", "READ WRITE OWNER"),)
    list_all = lists("datasets_list", "/datasets/list", DATA_SETS)
    byids = byids("datasets_byids", "/datasets/byids", ids(*DATA_SET_ID))
    aggregate = counts("datasets_aggregate", "/datasets/aggregate", DATA_SETS)
    update = updates(
        "datasets_update", "/datasets/update", DATA_SET_ID, DATA_SET, fixed=["writeProtected"]
    )

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

    def changed(self, old: Json, new: Json) -> Json:
        return super().changed(old, {"metadata": {}} | new)


class Labels(Collection):
    """`/labels`, which are known by their external ids alone."""

    kind = "labels"
    acl = (("labelsAcl", "READ WRITE"),)
    list_all = lists("labels_list", "/labels/list", LABELS)
    byids = byids("labels_byids", "/labels/byids", ids("externalId"))

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

    @api("labels_delete", "POST", "/labels/delete", body=ids("externalId"))
    def delete(self, call: Call) -> Json:
        for label in self.found(call.body):
            self.project.not_protected(label)
            self.project.lists["labels"].drop(label["externalId"])
        return {}


class SecurityCategories(Family):
    """`/securitycategories`."""

    acl = (("securityCategoriesAcl", "MEMBEROF LIST CREATE"),)

    @api("securitycategories", "GET", "/securitycategories")
    def list_categories(self, call: Call) -> Json:
        asked, sort = listing.asked(call.query, 25), call.query.get("sort", "ASC")
        rules.one_of("ASC", "DESC")("sort", sort)
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
