"""What all families of endpoints share: the state, the stores, references and rights."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from . import rules, seed
from .rules import Json, Refused
from .settings import Settings
from .state import State, StateError, Table
from .store.disk import LocalStorage, Storage
from .store.signing import Signer
from .tokens import Tokens

#: The lists beside the files, and by which fields each is found besides its key.
LISTS: dict[str, tuple[str, ...]] = {
    "dataSets": ("externalId",),
    "labels": (),  # their keys are their external ids
    "assets": ("externalId", "parentId"),
    "securityCategories": ("name",),
    "sessions": (),
}


class Project:
    """One project on disk. `root` holds `state.db` and the folder `store` with the bytes.

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
        if (root / "catalog.json").exists():
            raise StateError(f"{root} was made by an earlier version: use another folder.")
        self.settings = settings
        self.clock = clock
        self.state = State(root / "state.db")
        self.tokens = Tokens(settings.token, settings.token_life_s)
        self.store_port: int | None = None  # of the store's own listener, if it has one
        self.capabilities: list[Json] = []  # what the families grant the run's token
        self.files = self.state.table("files", "meta.externalId", "meta.instanceId")
        self.uploads = self.state.table("uploads", "fileId")
        self.spaces = self.state.table("spaces")
        self.views = self.state.table("views")
        self.nodes = self.state.table("nodes")
        self.lists = {kind: self.state.table(kind, *fields) for kind, fields in LISTS.items()}
        with self.state.change():
            key = self._first_start()
        self.signer = Signer(key, clock)
        quota, checksums = settings.quota_bytes, settings.checksums
        self.local = LocalStorage(root / "store", self.signer, quota, checksums)
        self.local.keep_only(self._contents())
        self.storage: Storage = storage or self.local

    def _first_start(self) -> bytes:
        """The key that signs URLs, which outlive a restart; made with the seed at the first one."""
        facts = self.state.table("facts")
        if (known := facts.get("key")) is None:
            known = {"hex": secrets.token_hex(32)}
            facts.put("key", known)
            for kind, docs in seed.catalog(self.now()).items():
                for doc in docs:
                    self.lists[kind].put(doc["externalId" if kind == "labels" else "id"], doc)
            for meta in seed.data_model_files(self.now()):
                self.put_file({"meta": meta, "content": None, "pending": None})
        return bytes.fromhex(known["hex"])

    def _contents(self) -> set[str]:
        """The uploads whose bytes are wanted: of files, and of what is on its way."""
        wanted = {upload["id"] for upload in self.uploads if not upload["done"]}
        for doc in self.files:
            for content in (doc["content"], doc["pending"]):
                if content and content["local"]:
                    wanted.add(content["content"]["upload"])
        return wanted

    def close(self) -> None:
        self.state.close()

    def now(self) -> int:
        """Milliseconds, as CDF writes times."""
        return int(self.clock() * 1000)

    def put_file(self, doc: Json) -> None:
        self.files.put(doc["meta"]["id"], doc)

    # ---- references ---------------------------------------------------------------------------

    def one(self, kind: str, wanted: Json) -> Json | None:
        """The document of a list that has the id or the external id `wanted`."""
        ((field, value),) = wanted.items()
        table = self.lists[kind]
        if field == "id" or kind == "labels":
            return table.get(value)
        return next(iter(table.by(field, value)), None)

    def found(self, kind: str, wanted: Sequence[Json]) -> set[int]:
        """The internal ids of those of `wanted` that exist."""
        return {doc["id"] for item in wanted if (doc := self.one(kind, item)) is not None}

    def subtree(self, roots: set[int]) -> set[int]:
        """The ids of the assets `roots` and of every asset below them."""
        found, left = set(roots), list(roots)
        while left:
            children = self.lists["assets"].by("parentId", left.pop())
            new = [each["id"] for each in children if each["id"] not in found]
            found.update(new)
            left += new
        return found

    def require(self, what: str, kind: str, wanted: Iterable[Json]) -> None:
        """Refuses references to what is not in the list `kind`."""
        missing = [item for item in wanted if self.one(kind, item) is None]
        if missing:
            raise Refused(f"Unknown {what}", missing=missing)

    def references_exist(self, meta: Json, before: Json | None = None) -> None:
        """Refuses what refers to what is not there, but for what it referred to `before`.

        A label that was deleted stays on its files, which can still be changed.
        """
        for what, kind, field in (
            ("data sets", "dataSets", "dataSetId"),
            ("labels", "labels", "labels"),
            ("assets", "assets", "assetIds"),
            ("security categories", "securityCategories", "securityCategories"),
        ):
            old, new = _listed(before or {}, field), _listed(meta, field)
            self.require(what, kind, [each for each in new if each not in old])

    # ---- rights -------------------------------------------------------------------------------

    def may_write_space(self, space: str) -> None:
        """Refuses a node in a space that the token must not write to."""
        scope, known = self.settings.space_scope, self.spaces.get(space)
        if (scope is not None and space not in scope) or (known and known["isGlobal"]):
            raise Refused(f"The token must not write to the space {space}", status=403)

    def may_write(self, meta: Json) -> None:
        """Refuses a file in a data set, or of a space, that the token must not write to."""
        if "instanceId" in meta:
            self.may_write_space(meta["instanceId"]["space"])
            return
        scope, data_set_id = self.settings.write_scope, meta.get("dataSetId")
        if scope is not None and data_set_id not in scope:
            raise Refused("The token has insufficient access rights for this file", status=403)
        self.not_protected(meta)

    def not_protected(self, meta: Json) -> None:
        """Refuses a change in a data set that is write protected."""
        data_set = self.lists["dataSets"].get(meta.get("dataSetId", 0))
        if data_set is not None and data_set["writeProtected"]:
            text = "The token has insufficient access rights: the data set is write protected"
            raise Refused(text, status=403)

    # ---- ids ----------------------------------------------------------------------------------

    def new_id(self, table: Table) -> int:
        """An internal id that nothing in `table` has."""
        while table.get(new := secrets.randbelow(rules.MAX_ID) + 1) is not None:
            pass
        return new

    def new_external_ids(self, kind: str, new: Sequence[Json]) -> None:
        """Refuses external ids that exist, or that one request names twice."""
        named = [{"externalId": item["externalId"]} for item in new if "externalId" in item]
        known = [item for item in named if self.one(kind, item) is not None]
        if twice := known or rules.repeated(named):
            # As the official SDK's own tests have seen it of assets.
            text = "Asset id duplicated" if kind == "assets" else "Duplicate external ids"
            raise Refused(text, status=409, duplicated=twice)


def _listed(meta: Json, field: str) -> list[Json]:
    """What a field refers to, as identifiers."""
    if field not in meta:
        return []
    values = meta[field] if isinstance(meta[field], list) else [meta[field]]
    return [value if isinstance(value, dict) else {"id": value} for value in values]
