"""How content gets into a file: sessions of parts, single PUTs, and their completion."""

from __future__ import annotations

import secrets

from . import rules
from .content import Content, duplicated
from .files import ANY_ID, FILE
from .project import Project
from .routes import Call, Family, api
from .rules import Json, Refused, identifier, items, need, obj, text

OVERWRITE_KEEPS = ("directory", "source")  # not updated by an overwrite, as official clients know
LINK = items(identifier("externalId", "instanceId"), 1)
NEW = obj(FILE, ["name"])


class Uploads(Family):
    """The endpoints that hand out URLs, and what is to be known about those URLs later."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self._content = Content(project)
        self._table = project.uploads
        self._settings = project.settings

    # ---- endpoints

    @api("init", "POST", "/files/initmultipartupload", status=201, body=NEW)
    def init(self, call: Call) -> Json:
        """A file, and a URL for each of its parts."""
        parts = rules.number(call.query, "parts", 1, rules.MAX_PARTS)
        return self._open(self._new_or_overwritten(call), parts, call)

    @api("create", "POST", "/files", status=201, body=NEW)
    def create(self, call: Call) -> Json:
        """A file, and one URL for all of it."""
        return self._open_single(self._new_or_overwritten(call), call)

    @api("multiuploadlink", "POST", "/files/multiuploadlink", status=201, body=LINK)
    def multiuploadlink(self, call: Call) -> Json:
        """URLs for the parts of a file that exists."""
        parts = rules.number(call.query, "parts", 1, rules.MAX_PARTS)
        return {"items": [self._open(self._existing(call), parts, call)]}

    @api("uploadlink", "POST", "/files/uploadlink", status=201, body=LINK)
    def uploadlink(self, call: Call) -> Json:
        """One URL for the content of a file that exists."""
        return {"items": [self._open_single(self._existing(call), call)]}

    @api(
        "complete",
        "POST",
        "/files/completemultipartupload",
        body=identifier(*ANY_ID, uploadId=text(1000)),
    )
    def complete(self, call: Call) -> Json:
        """The parts become the file."""
        named = {key: call.body[key] for key in call.body if key != "uploadId"}
        (doc,) = self._content.find([named])
        upload = self._table.get(call.body["uploadId"])
        if not upload or upload["single"] or upload["fileId"] != doc["meta"]["id"]:
            raise Refused("The uploadId is not that of an upload of this file")
        self.project.may_write(doc["meta"])
        if upload["done"]:
            need(self._settings.repeated_complete == "ok", "The upload is completed already")
            return {}
        self._check_parts(upload)
        storage = self.project.storage
        content = storage.complete(upload["store"])
        self._table.put(upload["id"], upload | {"done": True})
        self._content.arrived(doc, content, local=storage is self.project.local)
        return {}

    # ---- what the store asks

    def open_parts(self, upload_id: str) -> int:
        """How many parts an upload may have; 0 if there is none of this id, or no more."""
        upload = self._table.get(upload_id)
        if not upload or upload["single"] or upload["done"] or self._file_of(upload) is None:
            return 0
        return int(upload["parts"])

    def single_file(self, upload_id: str) -> Json | None:
        """The document of the file that a single PUT is for, if it is for any."""
        upload = self._table.get(upload_id)
        return self._file_of(upload) if upload and upload["single"] else None

    def _file_of(self, upload: Json) -> Json | None:
        with self.project.state.change():
            return self._content.alive(self.project.files.get(upload["fileId"]))

    def single_arrived(self, upload_id: str, content: Json) -> bool:
        """All of a file has come in one PUT; False if nobody wants it any more."""
        with self.project.state.change():
            doc = self.single_file(upload_id)
            if doc is not None:
                self._content.arrived(doc, content, local=True)
        return doc is not None

    # ---- what they share

    def _new_or_overwritten(self, call: Call) -> Json:
        meta, overwrite = call.body, rules.flag(call.query, "overwrite")
        self.project.may_write(meta)
        self.project.references_exist(meta)
        named = {"externalId": meta.get("externalId")}
        known = self._content.find([named], ignore=True)
        if not known:
            return self._content.add(meta)
        (old,) = known
        if not overwrite:
            raise duplicated(meta)
        self.project.may_write(old["meta"])
        changed = {name: value for name, value in meta.items() if name not in OVERWRITE_KEEPS}
        changed |= {"lastUpdatedTime": self.project.now()}
        new = old | {"meta": old["meta"] | changed}
        self.project.put_file(new)
        return new

    def _existing(self, call: Call) -> Json:
        (doc,) = self._content.find(call.body["items"])
        self.project.may_write(doc["meta"])
        return doc

    def _open(self, doc: Json, parts: int, call: Call) -> Json:
        upload_id, storage = secrets.token_hex(16), self.project.storage
        notes = storage.begin(upload_id, parts)
        self._remember(upload_id, doc, parts, notes, single=False)
        origin, life_s = call.store_origin, self._settings.url_life_s
        urls = [storage.part_url(notes, no, origin=origin, life_s=life_s) for no in range(parts)]
        return {**doc["meta"], "uploadId": upload_id, "uploadUrls": urls}

    def _open_single(self, doc: Json, call: Call) -> Json:
        upload_id, local = secrets.token_hex(16), self.project.local
        self._remember(upload_id, doc, 1, {"upload": upload_id, "parts": 1}, single=True)
        url = local.put_url(upload_id, origin=call.store_origin, life_s=self._settings.url_life_s)
        return {**doc["meta"], "uploadUrl": url}

    def _remember(
        self, upload_id: str, doc: Json, parts: int, notes: Json, *, single: bool
    ) -> None:
        upload = {"id": upload_id, "fileId": doc["meta"]["id"], "parts": parts, "store": notes}
        self._table.put(upload_id, upload | {"single": single, "done": False})

    def _check_parts(self, upload: Json) -> None:
        sizes, parts = self.project.storage.part_sizes(upload["store"]), upload["parts"]
        missing = ", ".join(str(no) for no in range(parts) if no not in sizes)
        need(not missing, f"Parts are missing (the first part is 0): {missing}")
        least = self._settings.min_part_size
        small = ", ".join(str(no) for no in range(parts - 1) if sizes[no] < least)
        need(not small, f"Parts have less than {least} bytes: {small}")
