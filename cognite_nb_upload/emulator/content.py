"""Files and their bytes: found by id, given new content, forgotten with what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .project import Project
from .rules import Json, Refused
from .store.disk import Storage


class Content:
    """The life of a project's files. It remembers nothing itself."""

    def __init__(self, project: Project) -> None:
        self._project = project

    # ---- finding

    def find(self, items: Sequence[Json], *, ignore: bool = False) -> list[Json]:
        """The documents that `items` name; Refused with `missing` if one is not there."""
        found = [(item, self._one(item)) for item in items]
        missing = [item for item, doc in found if doc is None]
        if missing and not ignore:
            raise Refused("Files not found", missing=missing)
        return [doc for _, doc in found if doc is not None]

    def _one(self, item: Json) -> Json | None:
        ((kind, value),) = item.items()
        files = self._project.files
        doc = (
            files.get(value) if kind == "id" else next(iter(files.by(f"meta.{kind}", value)), None)
        )
        return self.alive(doc)

    def all(self) -> Iterator[Json]:
        """The metadata of all files, in the order in which they were made."""
        return (doc["meta"] for row in self._project.files if (doc := self.alive(row)))

    def alive(self, doc: Json | None) -> Json | None:
        """`doc` as it is now; None if it got no content within its week, as the service does it."""
        if doc is None or doc.get("known", 0) > self._project.now():
            return None  # or the file service has not heard of its node yet
        meta = doc["meta"]
        oldest = self._project.now() - round(self._project.settings.file_life_s * 1000)
        unused = not doc["content"] and not doc["pending"] and "instanceId" not in meta
        if unused and meta["createdTime"] < oldest:
            self.forget(doc)
            return None
        return self._settled(doc)

    # ---- changing

    def add(self, meta: Json) -> Json:
        """A new file, without content yet."""
        now = self._project.now()
        new_id = self._project.new_id(self._project.files)
        meta = meta | {"id": new_id, "uploaded": False, "createdTime": now, "lastUpdatedTime": now}
        doc: Json = {"meta": meta, "content": None, "pending": None}
        self._project.put_file(doc)
        return doc

    def arrived(self, doc: Json, content: Json, *, local: bool) -> None:
        """`content` will be the file's when the delay until `uploaded` has passed."""
        doc = self._settled(doc)
        if doc["pending"]:
            self._delete(doc["pending"])
        ready = self._project.now() + round(self._project.settings.uploaded_delay_s * 1000)
        pending = {"local": local, "content": content, "ready": ready}
        self._project.put_file(doc | {"pending": pending})
        self._settled(doc | {"pending": pending})

    def _settled(self, doc: Json) -> Json:
        """`doc`, after what was assembled has become its content, if the time for it has come."""
        old, new = doc["content"], doc["pending"]
        if not new or self._project.now() < new["ready"]:
            return doc
        if old and old["content"] != new["content"]:
            self._delete(old)
        times = {"uploadedTime": new["ready"], "lastUpdatedTime": new["ready"]}
        meta = doc["meta"] | {"uploaded": True} | times
        doc = {"meta": meta, "content": new, "pending": None}
        self._project.put_file(doc)
        return doc

    def forget(self, doc: Json) -> None:
        """A file goes, with its bytes and the uploads that are on their way to it."""
        file_id = doc["meta"]["id"]
        for content in (doc["content"], doc["pending"]):
            if content:
                self._delete(content)
        for upload in self._project.uploads.by("fileId", file_id):
            if not upload["done"] and not upload["single"]:
                self._project.state.afterwards(self._project.storage.abandon, upload["store"])
            self._project.uploads.drop(upload["id"])
        self._project.files.drop(file_id)

    # ---- bytes

    def read(self, file_id: int) -> Iterator[bytes]:
        """A file's bytes, piece by piece."""
        found = self.find([{"id": file_id}])[0]["content"]
        if not found:
            raise Refused("The file is not uploaded")
        return self._store_of(found).read(found["content"])

    def link(self, doc: Json, origin: str, life_s: float) -> str:
        """Where the file can be read during the next `life_s`."""
        store, content = self._store_of(doc["content"]), doc["content"]["content"]
        return store.download_url(content, doc["meta"]["id"], origin=origin, life_s=life_s)

    def _delete(self, content: Json) -> None:
        """Removes bytes once it is written that they are no file's any more."""
        store = self._store_of(content)
        self._project.state.afterwards(store.delete, content["content"])

    def _store_of(self, content: Json) -> Storage:
        return self._project.local if content["local"] else self._project.storage


def duplicated(meta: Json) -> Refused:
    """The external id is that of another file."""
    twice = [{"externalId": meta["externalId"]}]
    return Refused("Duplicate external ids", status=409, duplicated=twice)
