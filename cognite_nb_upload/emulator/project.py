"""What CDF remembers, and what it refuses. No HTTP here: JSON in, JSON out, or Refused."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from . import rules, seed
from .catalog import Catalog
from .disk import Shelf, secret_key
from .filters import matches, page, score
from .rules import Json, Refused, need
from .settings import Settings
from .signing import Signer
from .storage import LocalStorage, Storage

Query = Mapping[str, str]
FILE_IDS = ("id", "externalId", "instanceId")


class Project:
    """One project: its files, and what they refer to. `uploads.py` is how content gets in.

    A file's document is `{"meta", "content", "pending"}`: what the API shows, where its bytes are,
    and where those are that will become its content when they are assembled.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        *,
        storage: Storage | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings = settings
        self.clock = clock
        self.lock = threading.RLock()
        self.signer = Signer(secret_key(root / "key"), clock)
        quota, checksums = settings.quota_bytes, settings.checksums
        self.local = LocalStorage(root / "store", self.signer, quota, checksums)
        self.storage: Storage = storage or self.local
        self.catalog = Catalog(root / "catalog.json", clock)
        self.uploads = Shelf(root / "uploads")
        self._files = Shelf(root / "files")
        if not self._files.docs and not self.uploads.docs:
            for meta in seed.data_model_files(self.now()):
                self.put({"meta": meta, "content": None, "pending": None})

    def now(self) -> int:
        return int(self.clock() * 1000)

    # ---- endpoints: reading -------------------------------------------------------------------

    def byids(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 1000, ("ignoreUnknownIds",))
        seen = [json.dumps(item, sort_keys=True) for item in items]
        twice = [item for item, key in zip(items, seen, strict=True) if seen.count(key) > 1]
        if twice:
            raise Refused("The ids must be unique", duplicated=twice)
        found = self.find(items, FILE_IDS, ignore=body.get("ignoreUnknownIds", False))
        return {"items": [self.shown(doc) for doc in found]}

    def get_file(self, body: Json, query: Query, origin: str) -> Json:
        need(query["id"].isdigit(), "The id must be an integer")
        return self.shown(self.find([{"id": int(query["id"])}], ("id",))[0])

    def list_files(self, body: Json, query: Query, origin: str) -> Json:
        return page(self._filtered(body), body, most=1000, default=100)

    def search(self, body: Json, query: Query, origin: str) -> Json:
        wanted, limit = body.get("search", {}), body.get("limit", 100)
        need(isinstance(wanted, dict) and wanted.keys() <= {"name"}, "search may have a name")
        rules.whole(1, 1000)("limit", limit)
        found = self._filtered(body)
        if "name" in wanted:
            ranked = [(score(wanted["name"], [meta["name"]]), meta) for meta in found]
            ranked.sort(key=lambda pair: -pair[0])
            found = [meta for points, meta in ranked if points]
        return {"items": found[:limit]}

    def aggregate(self, body: Json, query: Query, origin: str) -> Json:
        return {"items": [{"count": len(self._filtered(body))}]}

    def downloadlink(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 100)
        life_s = 3600.0 if rules.flag(query, "extendedExpiration") else 30.0
        pairs = list(zip(items, self.find(items, FILE_IDS), strict=True))
        empty = [item for item, doc in pairs if not doc["content"]]
        if empty:
            raise Refused("Files are not uploaded yet", missing=empty)
        links = [item | {"downloadUrl": self._link(doc, origin, life_s)} for item, doc in pairs]
        return {"items": links}

    # ---- endpoints: changing ------------------------------------------------------------------

    def delete(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 1000, ("ignoreUnknownIds",))
        ignore = body.get("ignoreUnknownIds", False)
        docs = self.find(items, ("id", "externalId"), ignore=ignore)
        for doc in docs:
            self.may_write(doc["meta"])
        for doc in docs:
            self._forget(doc)
        return {}

    def update(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 1000)
        need(
            all(isinstance(item.get("update"), dict) for item in items),
            "Missing required field: update",
        )
        ids = [{key: item[key] for key in item if key != "update"} for item in items]
        pairs = list(zip(self.find(ids, FILE_IDS), items, strict=True))
        changed = [(doc, self._patched(doc, item["update"])) for doc, item in pairs]
        for doc, meta in changed:
            doc["meta"] = meta
            self.put(doc)
        return {"items": [self.shown(doc) for doc, _ in changed]}

    def _patched(self, doc: Json, update: Json) -> Json:
        meta = dict(doc["meta"])
        self.may_write(meta)
        for name, change in update.items():
            need(name in rules.FILE and name != "name", f"Unexpected field: {name}")
            value = rules.patched(name, meta.pop(name, None), change)
            if value not in (None, []):
                rules.FILE[name](name, value)
                meta[name] = value
        self.may_write(meta)
        self.references_exist(meta)
        twin = self.by_external_id(meta.get("externalId"))
        if twin is not None and twin is not doc:
            raise duplicated(meta)
        return meta | {"lastUpdatedTime": self.now()}

    # ---- files --------------------------------------------------------------------------------

    def find(
        self, items: list[Json], allowed: tuple[str, ...], *, ignore: bool = False
    ) -> list[Json]:
        """The documents that `items` name; Refused with `missing` if one is not there."""
        self._sweep()
        found = [(item, self._one(*rules.one_of(item, allowed))) for item in items]
        missing = [item for item, doc in found if doc is None]
        if missing and not ignore:
            raise Refused("Files not found", missing=missing)
        return [self.settled(doc) for _, doc in found if doc is not None]

    def _one(self, kind: str, value: Any) -> Json | None:
        if kind == "id":
            return self._files.docs.get(str(value))
        if kind == "externalId":
            return self.by_external_id(value)
        wanted = {"space": value[0], "externalId": value[1]}
        docs = self._files.docs.values()
        return next((doc for doc in docs if doc["meta"].get("instanceId") == wanted), None)

    def by_external_id(self, external_id: str | None) -> Json | None:
        if external_id is None:
            return None
        docs = self._files.docs.values()
        return next((doc for doc in docs if doc["meta"].get("externalId") == external_id), None)

    def by_id(self, file_id: int) -> Json | None:
        doc = self._files.docs.get(str(file_id))
        return self.settled(doc) if doc else None

    def add(self, meta: Json) -> Json:
        """A new file, without content yet."""
        while str(new_id := secrets.randbelow(rules.MAX_ID) + 1) in self._files.docs:
            pass
        times = {"createdTime": self.now(), "lastUpdatedTime": self.now()}
        meta = meta | {"id": new_id, "uploaded": False} | times
        doc: Json = {"meta": meta, "content": None, "pending": None}
        self.put(doc)
        return doc

    def put(self, doc: Json) -> None:
        self._files.put(str(doc["meta"]["id"]), doc)

    def shown(self, doc: Json) -> Json:
        """A file as the API shows it."""
        return dict(self.settled(doc)["meta"])

    def all_files(self) -> list[Json]:
        return [self.shown(doc) for doc in self._files.docs.values()]

    def _filtered(self, body: Json) -> list[Json]:
        self._sweep()
        wanted = body.get("filter", {})
        found = [meta for meta in self.all_files() if matches(meta, wanted, self.catalog)]
        return sorted(found, key=lambda meta: (meta["createdTime"], meta["id"]))

    def _forget(self, doc: Json) -> None:
        file_id = doc["meta"]["id"]
        for content in (doc["content"], doc["pending"]):
            if content:
                self._delete_content(content)
        for upload in [each for each in self.uploads.docs.values() if each["fileId"] == file_id]:
            if not upload["done"]:
                (self.local if upload["single"] else self.storage).abandon(upload["store"])
            self.uploads.drop(upload["id"])
        self._files.drop(str(file_id))

    def _sweep(self) -> None:
        """A file that gets no content within a week is deleted, as the service does."""
        oldest = self.now() - round(self.settings.file_life_s * 1000)
        for doc in [doc for doc in self._files.docs.values() if not doc["content"]]:
            meta = doc["meta"]
            if meta["createdTime"] < oldest and not doc["pending"] and "instanceId" not in meta:
                self._forget(doc)

    # ---- content ------------------------------------------------------------------------------

    def arrived(self, doc: Json, content: Json, *, local: bool) -> None:
        """`content` will be the file's when the delay until `uploaded` has passed."""
        self.settled(doc)
        if doc["pending"]:
            self._delete_content(doc["pending"])
        ready = self.now() + round(self.settings.uploaded_delay_s * 1000)
        doc["pending"] = {"local": local, "content": content, "ready": ready}
        self.put(doc)
        self.settled(doc)

    def settled(self, doc: Json) -> Json:
        """`doc`, after what was assembled has become its content, if the time for it has come."""
        old, new = doc["content"], doc["pending"]
        if new and self.now() >= new["ready"]:
            if old and old["content"] != new["content"]:
                self._delete_content(old)
            doc["content"], doc["pending"] = new, None
            times = {"uploadedTime": new["ready"], "lastUpdatedTime": new["ready"]}
            doc["meta"] |= {"uploaded": True} | times
            self.put(doc)
        return doc

    def content(self, file_id: int) -> Iterator[bytes]:
        """A file's bytes, piece by piece."""
        found = self.find([{"id": file_id}], ("id",))[0]["content"]
        if not found:
            raise Refused("The file is not uploaded")
        return self._store_of(found).read(found["content"])

    def blob(self, upload_id: str) -> tuple[Json, Json] | None:
        """Metadata and content notes of what one upload made, while it is a file's content."""
        upload = self.uploads.docs.get(upload_id)
        doc = self.by_id(upload["fileId"]) if upload else None
        content = doc["content"]["content"] if doc and doc["content"] else {}
        return (doc["meta"], content) if doc and content.get("upload") == upload_id else None

    def url_origin(self, store: Storage, origin: str) -> str:
        """What a URL begins with: nothing, if relative URLs of our own are asked for."""
        return "" if self.settings.relative_urls and store is self.local else origin

    def _link(self, doc: Json, origin: str, life_s: float) -> str:
        store, content = self._store_of(doc["content"]), doc["content"]["content"]
        origin = self.url_origin(store, origin)
        return store.download_url(content, origin=origin, life_s=life_s)

    def _delete_content(self, content: Json) -> None:
        self._store_of(content).delete(content["content"])

    def _store_of(self, content: Json) -> Storage:
        return self.local if content["local"] else self.storage

    # ---- rights and references ----------------------------------------------------------------

    def references_exist(self, meta: Json) -> None:
        """Refuses a file that refers to what is not there."""
        named = [{"id": meta["dataSetId"]}] if "dataSetId" in meta else []
        self.catalog.require("data sets", "dataSets", named)
        self.catalog.require("labels", "labels", meta.get("labels", []))
        for what, kind, field in (
            ("assets", "assets", "assetIds"),
            ("security categories", "securityCategories", "securityCategories"),
        ):
            self.catalog.require(what, kind, [{"id": each} for each in meta.get(field, [])])

    def may_write(self, meta: Json) -> None:
        """Refuses a file in a data set that the token must not write to."""
        scope, data_set_id = self.settings.write_scope, meta.get("dataSetId")
        if scope is not None and data_set_id not in scope:
            raise Refused("The token has insufficient access rights for this file", status=403)
        if data_set_id is not None and self.catalog.write_protected(data_set_id):
            text = "The token has insufficient access rights: the data set is write protected"
            raise Refused(text, status=403)


def duplicated(meta: Json) -> Refused:
    """The external id is that of another file."""
    twice = [{"externalId": meta["externalId"]}]
    return Refused("Duplicate external ids", status=409, duplicated=twice)
