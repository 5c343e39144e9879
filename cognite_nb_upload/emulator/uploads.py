"""How content gets into a file: sessions of parts, single PUTs, and their completion."""

from __future__ import annotations

import secrets

from . import rules
from .project import FILE_IDS, Project, Query, duplicated
from .rules import Json, Refused, need

OVERWRITE_KEEPS = ("directory", "source")  # not updated by an overwrite: files-api.md, section 1


class Uploads:
    """The endpoints that hand out URLs, and what is to be known about those URLs later."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._shelf = project.uploads
        self._settings = project.settings

    # ---- endpoints

    def init(self, body: Json, query: Query, origin: str) -> Json:
        """POST /files/initmultipartupload: a file, and a URL for each of its parts."""
        parts = rules.number(query, "parts", 1, rules.MAX_PARTS)
        doc = self._new_or_overwritten(body, rules.flag(query, "overwrite"))
        return self._open(doc, parts, origin)

    def create(self, body: Json, query: Query, origin: str) -> Json:
        """POST /files: a file, and one URL for all of it."""
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
        named = {key: body[key] for key in body if key != "uploadId"}
        doc = self._project.find([named], FILE_IDS)[0]
        upload = self._shelf.docs.get(body["uploadId"])
        if not upload or upload["single"] or upload["fileId"] != doc["meta"]["id"]:
            raise Refused("The uploadId is not that of an upload of this file")
        self._project.may_write(doc["meta"])
        if upload["done"]:
            need(self._settings.repeated_complete == "ok", "The upload is completed already")
            return {}
        self._check_parts(upload)
        storage = self._project.storage
        content = storage.complete(upload["store"])
        self._shelf.put(upload["id"], upload | {"done": True})
        self._project.arrived(doc, content, local=storage is self._project.local)
        return {}

    # ---- what the store asks

    def open_parts(self, upload_id: str) -> int:
        """How many parts an upload may have; 0 if there is none of this id, or no more."""
        upload = self._shelf.docs.get(upload_id)
        return upload["parts"] if upload and not upload["single"] and not upload["done"] else 0

    def single_file(self, upload_id: str) -> Json | None:
        """The metadata of the file that a single PUT is for, if it is for any."""
        upload = self._shelf.docs.get(upload_id)
        doc = self._project.by_id(upload["fileId"]) if upload and upload["single"] else None
        return doc["meta"] if doc else None

    def single_arrived(self, upload_id: str) -> None:
        """The one PUT of a file that is not cut into parts has come in whole."""
        upload = self._shelf.docs[upload_id]
        doc = self._project.by_id(upload["fileId"])
        if doc:
            content = self._project.local.complete(upload["store"])
            self._project.arrived(doc, content, local=True)

    # ---- what they share

    def _new_or_overwritten(self, body: Json, overwrite: bool) -> Json:
        meta = rules.body(body, rules.FILE, required=["name"])
        self._project.may_write(meta)
        self._project.references_exist(meta)
        old = self._project.by_external_id(meta.get("externalId"))
        if old is None:
            return self._project.add(meta)
        if not overwrite:
            raise duplicated(meta)
        self._project.may_write(old["meta"])
        changed = {name: value for name, value in meta.items() if name not in OVERWRITE_KEEPS}
        old["meta"] |= changed | {"lastUpdatedTime": self._project.now()}
        self._project.put(old)
        return old

    def _existing(self, body: Json) -> Json:
        doc = self._project.find(rules.items(body, 1), ("externalId", "instanceId"))[0]
        self._project.may_write(doc["meta"])
        return doc

    def _open(self, doc: Json, parts: int, origin: str) -> Json:
        upload_id, storage = secrets.token_hex(16), self._project.storage
        notes = storage.begin(upload_id, parts)
        self._remember(upload_id, doc, parts, notes, single=False)
        origin = self._project.url_origin(storage, origin)
        life_s = self._settings.url_life_s
        urls = [storage.part_url(notes, no, origin=origin, life_s=life_s) for no in range(parts)]
        return self._project.shown(doc) | {"uploadId": upload_id, "uploadUrls": urls}

    def _open_single(self, doc: Json, origin: str) -> Json:
        upload_id, local = secrets.token_hex(16), self._project.local
        notes = local.begin(upload_id, 1)
        self._remember(upload_id, doc, 1, notes, single=True)
        origin = self._project.url_origin(local, origin)
        url = local.put_url(notes, origin=origin, life_s=self._settings.url_life_s)
        return self._project.shown(doc) | {"uploadUrl": url}

    def _remember(
        self, upload_id: str, doc: Json, parts: int, notes: Json, *, single: bool
    ) -> None:
        self._shelf.put(
            upload_id,
            {
                "id": upload_id,
                "fileId": doc["meta"]["id"],
                "parts": parts,
                "store": notes,
                "single": single,
                "done": False,
            },
        )

    def _check_parts(self, upload: Json) -> None:
        sizes, parts = self._project.storage.part_sizes(upload["store"]), upload["parts"]
        missing = ", ".join(str(no) for no in range(parts) if no not in sizes)
        need(not missing, f"Parts are missing (the first part is 0): {missing}")
        least = self._settings.min_part_size
        small = ", ".join(str(no) for no in range(parts - 1) if sizes[no] < least)
        need(not small, f"Parts have less than {least} bytes: {small}")
