"""Files: found, listed, changed, deleted, and read through download links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import geo, listing, rules
from .content import Content, duplicated
from .project import Project
from .routes import Call, Family, api
from .rules import Json, Refused, identifier, identity, ids, items, many, moment, obj, patch, text

FILE = {
    "name": text(256),
    "externalId": rules.external_id,
    "directory": rules.absolute_path,
    "source": text(128),
    "mimeType": text(256),
    "metadata": rules.pairs,
    "assetIds": many(identity, 1, 1000),
    "dataSetId": identity,
    "sourceCreatedTime": moment,
    "sourceModifiedTime": moment,
    "securityCategories": many(identity, 0, 100),
    "labels": rules.labels,
    "geoLocation": geo.location,
}
CHANGES = {name: check for name, check in FILE.items() if name != "name"}
ANY_ID = ("id", "externalId", "instanceId")
OWN_ID = ("id", "externalId")


class Files(Family):
    """The endpoints below `/files` that are about files that exist; `uploads.py` makes them."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.content = Content(project)

    def capabilities(self) -> list[Json]:
        scope = self.project.settings.write_scope
        everything: Json = {"all": {}}
        writable = everything if scope is None else {"datasetScope": {"ids": scope}}
        return [
            {"filesAcl": {"actions": ["READ"], "scope": everything}},
            {"filesAcl": {"actions": ["WRITE"], "scope": writable}},
        ]

    # ---- reading

    @api("byids", "POST", "/files/byids", body=ids(*ANY_ID))
    def byids(self, call: Call) -> Json:
        rules.refuse_repeated(call.body["items"])
        return {"items": [doc["meta"] for doc in self._found(call.body, ANY_ID)]}

    @api("get", "GET", "/files/{id}")
    def get(self, call: Call) -> Json:
        file_id = rules.number(call.path, "id", 1, rules.MAX_ID)
        return dict(self.content.find([{"id": file_id}])[0]["meta"])

    @api("list", "POST", "/files/list", body=listing.list_check(listing.FILES))
    def list_files(self, call: Call) -> Json:
        passes = self._condition(call.body)
        rows = self.project.files.after(listing.start(call.body))
        metas = ((no, doc["meta"]) for no, row in rows if (doc := self.content.alive(row)))
        return listing.page(((no, meta) for no, meta in metas if passes(meta)), call.body)

    @api("list_get", "GET", "/files")
    def list_by_query(self, call: Call) -> Json:
        """GET /files, whose query says what the body of POST /files/list says."""
        body = listing_of(call.query)
        listing.list_check(listing.FILES)("", body)
        return self.list_files(Call(body, {}, {}, call.origin, call.store_origin))

    @api(
        "search",
        "POST",
        "/files/search",
        body=listing.search_check(listing.FILES, name=text(256)),
    )
    def search(self, call: Call) -> Json:
        return {"items": listing.best(self._filtered(call.body), call.body, ["name"])}

    @api(
        "aggregate",
        "POST",
        "/files/aggregate",
        body=obj({"filter": listing.filter_check(listing.FILES)}),
    )
    def aggregate(self, call: Call) -> Json:
        return {"items": [{"count": len(list(self._filtered(call.body)))}]}

    @api("downloadlink", "POST", "/files/downloadlink", body=items(identifier(*ANY_ID), 100))
    def downloadlink(self, call: Call) -> Json:
        asked = call.body["items"]
        life_s = 3600.0 if rules.flag(call.query, "extendedExpiration") else 30.0
        pairs = list(zip(asked, self.content.find(asked), strict=True))
        if empty := [item for item, doc in pairs if not doc["content"]]:
            raise Refused("Files are not uploaded yet", missing=empty)
        return {
            "items": [
                item | {"downloadUrl": self.content.link(doc, call.store_origin, life_s)}
                for item, doc in pairs
            ]
        }

    # ---- changing

    @api("delete", "POST", "/files/delete", body=ids(*OWN_ID))
    def delete(self, call: Call) -> Json:
        rules.refuse_repeated(call.body["items"])
        docs = self._found(call.body, OWN_ID)
        for doc in docs:
            self.project.may_write(doc["meta"])
        for doc in docs:
            self.content.forget(doc)
        return {}

    @api("update", "POST", "/files/update", body=items(identifier(*ANY_ID, update=patch(CHANGES))))
    def update(self, call: Call) -> Json:
        named = [{k: v for k, v in item.items() if k != "update"} for item in call.body["items"]]
        rules.refuse_repeated(named)
        docs = self.content.find(named)
        rules.refuse_repeated([{"id": doc["meta"]["id"]} for doc in docs])
        changed = []
        for doc, item in zip(docs, call.body["items"], strict=True):
            new = doc | {"meta": self._patched(doc["meta"], item["update"])}
            self.project.put_file(new)
            changed.append(new["meta"])
        return {"items": changed}

    def _patched(self, old: Json, update: Json) -> Json:
        self.project.may_write(old)
        meta = rules.patched(old, update)
        obj(FILE)("", {name: meta[name] for name in update if name in meta})
        self.project.may_write(meta)
        self.project.references_exist(meta, old)
        twins = self.project.files.by("meta.externalId", meta.get("externalId"))
        if any(twin["meta"]["id"] != meta["id"] for twin in twins):
            raise duplicated(meta)
        return meta | {"lastUpdatedTime": self.project.now()}

    # ---- what they share

    def _found(self, body: Json, allowed: tuple[str, ...]) -> list[Json]:
        return self.content.find(body["items"], ignore=body.get("ignoreUnknownIds", False))

    def _condition(self, body: Json) -> listing.Condition:
        return listing.condition(listing.FILES, body.get("filter", {}), self.project)

    def _filtered(self, body: Json) -> Iterator[Json]:
        passes = self._condition(body)
        return (meta for meta in self.content.all() if passes(meta))


_TEXTS = ("name", "mimeType", "source", "externalIdPrefix")
_ARRAYS = ("assetIds", "assetExternalIds", "dataSetIds", "rootAssetIds")
_TIME = re.compile(r"(min|max)((?:Created|LastUpdated|Uploaded|SourceCreated|SourceModified)Time)")


def listing_of(query: Mapping[str, str]) -> Json:
    """The body of a list that the query of GET /files stands for; arrays are written as JSON."""
    wanted: Json = {}
    body: Json = {"filter": wanted}
    for name, value in query.items():
        if name in _TEXTS:
            wanted[name] = value
        elif name in _ARRAYS:
            wanted[name] = _array(name, value)
        elif name in ("assetSubtreeIds", "assetSubtreeExternalIds"):
            kind = "id" if name == "assetSubtreeIds" else "externalId"
            known = wanted.setdefault("assetSubtreeIds", [])
            known += [{kind: each} for each in _array(name, value)]
        elif name == "uploaded":
            wanted[name] = rules.flag(query, name)
        elif time := _TIME.fullmatch(name):
            field = time[2][0].lower() + time[2][1:]
            moment = rules.number(query, name, 0, 2**63 - 1)
            wanted.setdefault(field, {})[time[1]] = moment
        elif name == "limit":
            body[name] = rules.number(query, name, 1, 1000)
        elif name in ("cursor", "partition"):
            body[name] = value
        else:
            raise Refused(f"Unexpected parameter: {name}")
    return body


def _array(name: str, value: str) -> list[Any]:
    found = rules.parsed(b'{"value": %s}' % value.encode())["value"]
    rules.need(isinstance(found, list), f"{name} must be a JSON array")
    return list(found)
