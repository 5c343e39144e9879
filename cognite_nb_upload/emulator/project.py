"""What CDF remembers, and what it refuses. No HTTP here: JSON in, JSON out, or Refused."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import rules, seed
from .catalog import Catalog
from .disk import Shelf, secret_key
from .filters import matches, page, score
from .rules import Json, Refused, need
from .settings import Settings
from .storage import LocalStorage, Signer, Storage

Query = Mapping[str, str]
FILE_IDS = ("id", "externalId", "instanceId")
OVERWRITE_KEEPS = ("directory", "source")  # not updated by an overwrite: files-api.md, section 1


class Project:
    """One project: files, uploads that are under way, and the catalogue that they refer to."""

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
        self.local = LocalStorage(
            root / "store", self.signer, settings.quota_bytes, settings.checksums
        )
        self.storage: Storage = storage or self.local
        self.catalog = Catalog(root / "catalog.json", clock)
        self.files = Shelf(root / "files")
        self.uploads = Shelf(root / "uploads")
        if not self.files.docs and not self.uploads.docs:
            for meta in seed.data_model_files(self.now()):
                self._put({"meta": meta, "content": None, "pending": None})

    def now(self) -> int:
        return int(self.clock() * 1000)

    # ---- uploading ----------------------------------------------------------------------------

    def init(self, body: Json, query: Query, origin: str) -> Json:
        """POST /files/initmultipartupload: a file's metadata, and a URL for each part."""
        parts = rules.number(query, "parts", 1, rules.MAX_PARTS)
        doc = self._new_or_overwritten(body, rules.flag(query, "overwrite"))
        return self._open(doc, parts, origin)

    def create(self, body: Json, query: Query, origin: str) -> Json:
        """POST /files: a file's metadata, and one URL for all of it."""
        doc = self._new_or_overwritten(body, rules.flag(query, "overwrite"))
        return self._open_single(doc, origin)

    def multiuploadlink(self, body: Json, query: Query, origin: str) -> Json:
        """POST /files/multiuploadlink: URLs for the parts of a file that exists."""
        parts = rules.number(query, "parts", 1, rules.MAX_PARTS)
        return {"items": [self._open(self._existing(body), parts, origin)]}

    def uploadlink(self, body: Json, query: Query, origin: str) -> Json:
        """POST /files/uploadlink: one URL for the content of a file that exists."""
        return {"items": [self._open_single(self._existing(body), origin)]}

    def complete(self, body: Json, query: Query, origin: str) -> Json:
        """POST /files/completemultipartupload: the parts become the file."""
        need(isinstance(body.get("uploadId"), str), "Missing required field: uploadId")
        doc = self._find([{k: v for k, v in body.items() if k != "uploadId"}], FILE_IDS)[0]
        upload = self.uploads.docs.get(body["uploadId"])
        if not upload or upload["fileId"] != doc["meta"]["id"] or upload["single"]:
            raise Refused("The uploadId does not belong to an upload of this file")
        self._may_write(doc["meta"].get("dataSetId"))
        if upload["done"]:
            need(self.settings.repeated_complete == "ok", "The upload is completed already")
            return {}
        self._parts_are_whole(upload)
        self._arrived(doc, upload, "remote", self.storage.complete(upload["store"]))
        return {}

    def _new_or_overwritten(self, body: Json, overwrite: bool) -> Json:
        meta = rules.body(body, rules.FILE, required=["name"])
        self._may_write(meta.get("dataSetId"))
        self._known(meta)
        old = self._by_external_id(meta.get("externalId"))
        if old is None:
            return self._create(meta)
        if not overwrite:
            raise Refused(
                "Duplicate external ids",
                status=409,
                duplicated=[{"externalId": meta["externalId"]}],
            )
        self._may_write(old["meta"].get("dataSetId"))
        kept = {name: value for name, value in meta.items() if name not in OVERWRITE_KEEPS}
        old["meta"] |= kept | {"lastUpdatedTime": self.now()}
        self._put(old)
        return old

    def _create(self, meta: Json) -> Json:
        now = self.now()
        added = {
            "id": self._new_id(),
            "uploaded": False,
            "createdTime": now,
            "lastUpdatedTime": now,
        }
        doc: Json = {"meta": meta | added, "content": None, "pending": None}
        self._put(doc)
        return doc

    def _existing(self, body: Json) -> Json:
        doc = self._find(rules.items(body, 1), ("externalId", "instanceId"))[0]
        self._may_write(doc["meta"].get("dataSetId"))
        return doc

    def _open(self, doc: Json, parts: int, origin: str) -> Json:
        upload_id = secrets.token_hex(16)
        store = self.storage.begin(upload_id, parts)
        self._remember_upload(upload_id, doc, parts, store, single=False)
        origin = "" if self.settings.relative_urls and self.storage is self.local else origin
        life = self.settings.url_life_s
        urls = [self.storage.part_url(store, no, origin=origin, life_s=life) for no in range(parts)]
        return self._shown(doc) | {"uploadId": upload_id, "uploadUrls": urls}

    def _open_single(self, doc: Json, origin: str) -> Json:
        upload_id = secrets.token_hex(16)
        store = self.local.begin(upload_id, 1)
        self._remember_upload(upload_id, doc, 1, store, single=True)
        origin = "" if self.settings.relative_urls else origin
        url = self.local.put_url(store, origin=origin, life_s=self.settings.url_life_s)
        return self._shown(doc) | {"uploadUrl": url}

    def _remember_upload(
        self, upload_id: str, doc: Json, parts: int, store: Json, *, single: bool
    ) -> None:
        self.uploads.put(
            upload_id,
            {
                "id": upload_id,
                "fileId": doc["meta"]["id"],
                "parts": parts,
                "store": store,
                "single": single,
                "done": False,
                "created": self.now(),
            },
        )

    def _parts_are_whole(self, upload: Json) -> None:
        sizes, parts = self.storage.part_sizes(upload["store"]), upload["parts"]
        missing = [no for no in range(parts) if no not in sizes]
        need(
            not missing, f"Parts are missing (the first part is 0): {', '.join(map(str, missing))}"
        )
        least = self.settings.min_part_size
        small = [no for no in range(parts - 1) if sizes[no] < least]
        need(not small, f"Parts are smaller than {least} bytes: {', '.join(map(str, small))}")

    def upload_of(self, upload_id: str, *, single: bool = False) -> Json | None:
        """The upload that a store URL speaks of, while it is open."""
        upload = self.uploads.docs.get(upload_id)
        return upload if upload and upload["single"] is single and not upload["done"] else None

    def single_arrived(self, upload_id: str) -> None:
        """The one PUT of a file that is not cut into parts has come in whole."""
        upload = self.uploads.docs[upload_id]
        doc = self.files.docs[str(upload["fileId"])]
        self._arrived(doc, upload, "local", self.local.complete(upload["store"]))

    def _arrived(self, doc: Json, upload: Json, store: str, content: Json) -> None:
        self._settle(doc)
        if doc["pending"]:
            self._delete_content(doc["pending"])
        ready = self.now() + round(self.settings.uploaded_delay_s * 1000)
        local = store == "local" or self.storage is self.local
        doc["pending"] = {"local": local, "content": content, "ready": ready}
        self.uploads.put(upload["id"], upload | {"done": True})
        self._put(doc)
        self._settle(doc)

    def _settle(self, doc: Json) -> Json:
        """What was assembled becomes the content when its time has come."""
        pending = doc["pending"]
        if pending and self.now() >= pending["ready"]:
            if doc["content"]:
                self._delete_content(doc["content"])
            doc["content"], doc["pending"] = pending, None
            moment = pending["ready"]
            doc["meta"] |= {"uploaded": True, "uploadedTime": moment, "lastUpdatedTime": moment}
            self._put(doc)
        return doc

    def _delete_content(self, content: Json) -> None:
        self._store_of(content).delete(content["content"])

    def _store_of(self, content: Json) -> Storage:
        return self.local if content["local"] else self.storage

    # ---- reading ------------------------------------------------------------------------------

    def byids(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 1000, ("ignoreUnknownIds",))
        seen = [json.dumps(item, sort_keys=True) for item in items]
        twice = [item for item, key in zip(items, seen, strict=True) if seen.count(key) > 1]
        if twice:
            raise Refused("The ids must be unique", duplicated=twice)
        found = self._find(items, FILE_IDS, ignore=body.get("ignoreUnknownIds", False))
        return {"items": [self._shown(doc) for doc in found]}

    def get_file(self, body: Json, query: Query, origin: str) -> Json:
        need(query["id"].isdigit(), "The id must be an integer")
        return self._shown(self._find([{"id": int(query["id"])}], ("id",))[0])

    def list_files(self, body: Json, query: Query, origin: str) -> Json:
        return page(self._filtered(body), body, most=1000, default=100)

    def search(self, body: Json, query: Query, origin: str) -> Json:
        wanted = body.get("search", {})
        need(isinstance(wanted, dict) and wanted.keys() <= {"name"}, "search may have a name")
        found = self._filtered(body)
        if name := wanted.get("name"):
            ranked = sorted(
                ((score(name, [meta["name"]]), meta) for meta in found), key=lambda pair: -pair[0]
            )
            found = [meta for points, meta in ranked if points]
        rules.whole(1, 1000)("limit", body.get("limit", 100))
        return {"items": found[: body.get("limit", 100)]}

    def aggregate(self, body: Json, query: Query, origin: str) -> Json:
        return {"items": [{"count": len(self._filtered(body))}]}

    def downloadlink(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 100)
        life_s = 3600.0 if rules.flag(query, "extendedExpiration") else 30.0
        docs = self._find(items, FILE_IDS)
        empty = [item for item, doc in zip(items, docs, strict=True) if not doc["content"]]
        if empty:
            raise Refused("Files are not uploaded yet", missing=empty)
        return {
            "items": [
                item | {"downloadUrl": self._download_url(doc, origin, life_s)}
                for item, doc in zip(items, docs, strict=True)
            ]
        }

    def _download_url(self, doc: Json, origin: str, life_s: float) -> str:
        meta, content = doc["meta"], doc["content"]
        store = self._store_of(content)
        origin = "" if self.settings.relative_urls and store is self.local else origin
        mime = meta.get("mimeType", "application/octet-stream")
        return store.download_url(
            content["content"], origin=origin, life_s=life_s, name=meta["name"], mime=mime
        )

    def blob(self, upload_id: str) -> tuple[Json, Json] | None:
        """The metadata and the content notes of what one upload made, while it is a file's content."""
        upload = self.uploads.docs.get(upload_id)
        doc = self.files.docs.get(str(upload["fileId"])) if upload else None
        content = self._settle(doc)["content"] if doc else None
        if not doc or not content or content["content"].get("upload") != upload_id:
            return None
        return doc["meta"], content["content"]

    def content(self, file_id: int) -> Iterable[bytes]:
        """A file's bytes, piece by piece."""
        doc = self._find([{"id": file_id}], ("id",))[0]
        need(doc["content"], "The file is not uploaded")
        return self._store_of(doc["content"]).read(doc["content"]["content"])

    def all_files(self) -> list[Json]:
        return [self._shown(doc) for doc in self.files.docs.values()]

    # ---- changing -----------------------------------------------------------------------------

    def delete(self, body: Json, query: Query, origin: str) -> Json:
        items = rules.items(body, 1000, ("ignoreUnknownIds",))
        docs = self._find(items, ("id", "externalId"), ignore=body.get("ignoreUnknownIds", False))
        for doc in docs:
            self._may_write(doc["meta"].get("dataSetId"))
        for doc in docs:
            self._forget(doc)
        return {}

    def update(self, body: Json, query: Query, origin: str) -> Json:
        changes = rules.items(body, 1000)
        for item in changes:
            need(isinstance(item.get("update"), dict), "Missing required field: update")
        docs = self._find(
            [{k: v for k, v in item.items() if k != "update"} for item in changes], FILE_IDS
        )
        new = [self._patched(doc, item["update"]) for doc, item in zip(docs, changes, strict=True)]
        for doc, meta in zip(docs, new, strict=True):
            doc["meta"] = meta
            self._put(doc)
        return {"items": [self._shown(doc) for doc in docs]}

    def _patched(self, doc: Json, update: Json) -> Json:
        meta = dict(doc["meta"])
        self._may_write(meta.get("dataSetId"))
        for name, change in update.items():
            need(name in rules.FILE and name != "name", f"Unexpected field: {name}")
            value = _patch(name, meta.get(name), change)
            meta.pop(name, None)
            if value not in (None, []):
                rules.FILE[name](name, value)
                meta[name] = value
        self._may_write(meta.get("dataSetId"))
        self._known(meta)
        twin = self._by_external_id(meta.get("externalId"))
        if twin is not None and twin is not doc:
            raise Refused(
                "Duplicate external ids",
                status=409,
                duplicated=[{"externalId": meta["externalId"]}],
            )
        return meta | {"lastUpdatedTime": self.now()}

    # ---- what they share ----------------------------------------------------------------------

    def _filtered(self, body: Json) -> list[Json]:
        wanted = body.get("filter", {})
        self._sweep()
        metas = [self._shown(doc) for doc in self.files.docs.values()]
        return sorted(
            (meta for meta in metas if matches(meta, wanted, self.catalog)),
            key=lambda meta: (meta["createdTime"], meta["id"]),
        )

    def _find(
        self, items: list[Json], allowed: tuple[str, ...], *, ignore: bool = False
    ) -> list[Json]:
        self._sweep()
        found = [(item, self._one(*rules.one_of(item, allowed))) for item in items]
        missing = [item for item, doc in found if doc is None]
        if missing and not ignore:
            raise Refused("Files not found", missing=missing)
        return [self._settle(doc) for _, doc in found if doc is not None]

    def _one(self, kind: str, value: Any) -> Json | None:
        if kind == "id":
            return self.files.docs.get(str(value))
        if kind == "externalId":
            return self._by_external_id(value)
        wanted = {"space": value[0], "externalId": value[1]}
        return next(
            (doc for doc in self.files.docs.values() if doc["meta"].get("instanceId") == wanted),
            None,
        )

    def _by_external_id(self, external_id: str | None) -> Json | None:
        if external_id is None:
            return None
        return next(
            (d for d in self.files.docs.values() if d["meta"].get("externalId") == external_id),
            None,
        )

    def _known(self, meta: Json) -> None:
        """Refuses references to what is not there."""
        self.catalog.require(
            "data sets", "dataSets", [{"id": meta["dataSetId"]}] if "dataSetId" in meta else []
        )
        self.catalog.require("labels", "labels", meta.get("labels", []))
        self.catalog.require(
            "assets", "assets", [{"id": each} for each in meta.get("assetIds", [])]
        )
        self.catalog.require(
            "security categories",
            "securityCategories",
            [{"id": each} for each in meta.get("securityCategories", [])],
        )

    def _may_write(self, data_set_id: int | None) -> None:
        scope = self.settings.write_scope
        if scope is not None and data_set_id not in scope:
            raise Refused("The token has insufficient access rights to write this file", status=403)
        if data_set_id is not None and self.catalog.write_protected(data_set_id):
            raise Refused(
                "The token has insufficient access rights: the data set is write protected",
                status=403,
            )

    def _shown(self, doc: Json) -> Json:
        return dict(self._settle(doc)["meta"])

    def _put(self, doc: Json) -> None:
        self.files.put(str(doc["meta"]["id"]), doc)

    def _new_id(self) -> int:
        while str(new := secrets.randbelow(rules.MAX_ID) + 1) in self.files.docs:
            pass
        return new

    def _forget(self, doc: Json) -> None:
        key = str(doc["meta"]["id"])
        if key not in self.files.docs:  # named twice in one request
            return
        for content in (doc["content"], doc["pending"]):
            if content:
                self._delete_content(content)
        for upload_id, upload in list(self.uploads.docs.items()):
            if upload["fileId"] == doc["meta"]["id"]:
                if not upload["done"]:
                    (self.local if upload["single"] else self.storage).abandon(upload["store"])
                self.uploads.drop(upload_id)
        self.files.drop(key)

    def _sweep(self) -> None:
        """Files that got no content in time are deleted, as the service does after a week."""
        oldest = self.now() - round(self.settings.file_life_s * 1000)
        for doc in list(self.files.docs.values()):
            late = doc["meta"]["createdTime"] < oldest and "instanceId" not in doc["meta"]
            if late and not doc["content"] and not doc["pending"]:
                self._forget(doc)


def _patch(name: str, old: Any, change: Any) -> Any:
    """The new value of a field: set, setNull, or add and remove of an array or an object."""
    need(
        isinstance(change, dict) and change,
        f"{name} must be an object with set, setNull, add or remove",
    )
    if "set" in change:
        need(change.keys() == {"set"}, f"{name}: set stands alone")
        return change["set"]
    if "setNull" in change:
        need(change == {"setNull": True}, f"{name}: setNull must be true")
        return None
    need(change.keys() <= {"add", "remove"}, f"{name}: unexpected {', '.join(change)}")
    if name == "metadata":
        left = {k: v for k, v in (old or {}).items() if k not in change.get("remove", [])}
        return left | change.get("add", {})
    need(name in ("assetIds", "securityCategories", "labels"), f"{name} takes set or setNull")
    left_items = [each for each in old or [] if each not in change.get("remove", [])]
    return left_items + [each for each in change.get("add", []) if each not in left_items]
