"""Files: found, listed, changed, deleted, and read through download links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import geo, listing, rules
from .collection import Collection, byids, counts, gets, lists, searches, updates
from .content import Content, duplicated
from .listing import FILES
from .project import Project
from .routes import Call, api, granted
from .rules import Json, Refused, identifier, identity, ids, items, many, moment, text

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


class Files(Collection):
    """The endpoints below `/files` that are about files that exist; `uploads.py` makes them."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.content = Content(project)

    def capabilities(self) -> list[Json]:
        ids = self.project.settings.write_scope
        scope = None if ids is None else {"datasetScope": {"ids": ids}}
        return [granted("filesAcl", "READ"), granted("filesAcl", "WRITE", scope)]

    # ---- reading

    byids = byids("byids", "/files/byids", ids(*ANY_ID))
    get = gets("get", "/files/{id}")
    list_files = lists("list", "/files/list", FILES)
    search = searches("search", "/files/search", FILES, ["name"], name=text(256))
    aggregate = counts("aggregate", "/files/aggregate", FILES)

    @api("list_get", "GET", "/files")
    def list_by_query(self, call: Call) -> Json:
        """GET /files, whose query says what the body of POST /files/list says."""
        body = listing_of(call.query)
        listing.list_check(FILES)("", body)
        return self.list_files(Call(body, {}, {}, call.origin, call.store_origin))

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
        metas = self.found(call.body)
        for meta in metas:
            self.project.may_write(meta)
        for meta in metas:
            self.content.forget(self.content.find([{"id": meta["id"]}])[0])
        return {}

    update = updates("update", "/files/update", ANY_ID, CHANGES)

    # ---- what they share

    def rows(self, after: int = 0) -> Iterator[tuple[int, Json]]:
        rows = self.project.files.after(after)
        return ((no, doc["meta"]) for no, row in rows if (doc := self.content.alive(row)))

    def found(self, body: Json) -> list[Json]:
        rules.refuse_repeated(body["items"])
        docs = self.content.find(body["items"], ignore=body.get("ignoreUnknownIds", False))
        return [doc["meta"] for doc in docs]

    def changed(self, old: Json, new: Json) -> Json:
        self.project.may_write(old)
        self.project.may_write(new)
        self.project.references_exist(new, old)
        twins = self.project.files.by("meta.externalId", new.get("externalId"))
        if any(twin["meta"]["id"] != new["id"] for twin in twins):
            raise duplicated(new)
        doc = self.project.files.get(new["id"]) or {}
        self.project.put_file(doc | {"meta": new})
        return new


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
