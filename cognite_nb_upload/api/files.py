"""`client.files`: the endpoints for files, one method each.

Rules of this file: everything that can be checked is checked before anything is sent; `init` is
repeated only where it is known that nothing was made.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

import anyio

from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.api.direct import FirstTry
from cognite_nb_upload.api.instances import Instances
from cognite_nb_upload.api.rpc import Rpc, Unanswered
from cognite_nb_upload.api.session import FileMultipartUploadSession, Opening, OpenUpload
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.keywords import own_keywords
from cognite_nb_upload.core.numbers import as_flag, whole
from cognite_nb_upload.core.plan import checked_part_count
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.errors import APIError, CDFUnreachable, TransferError, UsageError
from cognite_nb_upload.models import (
    CDFFile,
    FileMetadata,
    GeoLike,
    LabelLike,
    NodeId,
    NodeIdLike,
    as_node_id,
    same_fields,
)
from cognite_nb_upload.models.change import update_of
from cognite_nb_upload.models.fields import checked_id, normalised
from cognite_nb_upload.models.geo import GeoLocation
from cognite_nb_upload.models.wire import to_ms
from cognite_nb_upload.store.download import size_of, try_size
from cognite_nb_upload.store.network import NetworkStore
from cognite_nb_upload.store.port import PartStore

_IDS: Final = 1000
_TO_LINK: Final = "to give a download link"
_LINKING: Final = "CDF is still linking the node"
_NOT_LINKED: Final = (
    "The node is there and is a file, but CDF's file service does not know it yet; it was asked "
    "for as long as uploaded_wait_s. The same call goes on."
)
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_NO_RIGHTS: Final = "insufficient access rights"
_WHOSE: Final = (
    "whose content is not uploaded. It may be an upload of somebody else that still runs, or one "
    "of yours from another machine or with other fields; nothing was changed in it."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """By what a file with an external id is known to be this upload's own, never somebody else's.

    Attributes:
        since_ms: CDF's clock, in ms since 1970, when it had no such file: what was made later with
            every field as sent is this upload's. None: nothing is known of that.
        file_ids: of files that earlier calls of the same upload began.
    """

    since_ms: int | None = None
    file_ids: frozenset[int] = frozenset()

    def holds(self, file: CDFFile, about: FileMetadata) -> bool:
        """True if the file is this upload's own, and its content is still missing."""
        if file.uploaded or not same_fields(file, about):
            return False
        if file.id in self.file_ids:
            return True
        since_ms, made = self.since_ms, file.created_time
        return since_ms is not None and made is not None and to_ms(made) >= since_ms


class FileEndpoints(NotPickled):
    """Files in CDF: upload in parts, look up, download, delete."""

    def __init__(self, rpc: Rpc, network: NetworkStore) -> None:
        self._rpc = rpc
        self._network = network
        self._store: PartStore = network
        self._instances = Instances(rpc)

    @property
    def instances(self) -> Instances:
        """Nodes of the data model, as far as files need them."""
        return self._instances

    @property
    def config(self) -> ClientConfig:
        """The client's settings."""
        return self._rpc.config

    @property
    def network(self) -> NetworkStore:
        """The stores' side, without credentials: what files are read back through."""
        return self._network

    @property
    def store(self) -> PartStore:
        """What parts go through: the network, unless another way was given to `through`."""
        return self._store

    def through(self, store: PartStore) -> Self:
        """The same files, of the same client and within its limits, with another way for parts."""
        other = object.__new__(type(self))  # not copy(): what holds a token is not copied
        vars(other).update(vars(self), _store=store)
        return other

    def session(
        self, opened: OpenUpload, *, feed: Feed, sizes: tuple[int | None, ...] = ()
    ) -> FileMultipartUploadSession:
        """A session of what CDF has handed out, which tells `feed` what happens."""
        return FileMultipartUploadSession(self._rpc, self._store, opened, feed=feed, sizes=sizes)

    # --- uploading in parts -----------------------------------------------------------------

    def multipart_upload_session(
        self,
        name: str,
        parts: int,
        external_id: str | None = None,
        source: str | None = None,
        mime_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        directory: str | None = None,
        asset_ids: Iterable[int] | None = None,
        data_set_id: int | None = None,
        labels: Iterable[LabelLike] | None = None,
        geo_location: GeoLike | None = None,
        source_created_time: int | datetime | None = None,
        source_modified_time: int | datetime | None = None,
        security_categories: Iterable[int] | None = None,
        overwrite: bool = False,
    ) -> Opening:
        """Begin the upload of a file in parts (initmultipartupload).

        `async with client.files.multipart_upload_session(...) as session:` and
        `async with await client.files.multipart_upload_session(...) as session:` are the same;
        on a `CogniteClient` it is `with client.files.multipart_upload_session(...) as session:`.

        Args:
            name: of the file; at most 256 characters.
            parts: 1 to 250; each larger than 5 MiB (but the last) and at most 4000 MiB.
            external_id: at most 255 characters; unique in the project.
            source: where the file comes from; at most 128 characters.
            mime_type: at most 256 characters.
            metadata: at most 256 pairs of text, 10 240 bytes in all; keys of at most 128 bytes.
            directory: an absolute unix path of at most 512 characters.
            asset_ids: ids of 1 to 1000 assets.
            data_set_id: id of a data set that you may write to.
            labels: at most 10: external ids, our `Label`s or the official SDK's.
            geo_location: our `GeoLocation`, the official one, a geometry of shapely's, a
                GeoDataFrame of one row, or GeoJSON (a Feature or a geometry).
            source_created_time: milliseconds since 1970, or an aware `datetime`.
            source_modified_time: likewise.
            security_categories: at most 100 ids.
            overwrite: replace the file that has this external id. The old content stays until the
                new one is complete.

        Raises:
            UsageError: something is outside CDF's limits; every field is named, nothing was sent.
            APIError: CDF refused (on awaiting or entering).
        """
        parts, overwrite = checked_part_count(parts), as_flag("overwrite", overwrite)
        about = FileMetadata.of(
            name=name,
            external_id=external_id,
            source=source,
            mime_type=mime_type,
            metadata=metadata,
            directory=directory,
            asset_ids=asset_ids,
            data_set_id=data_set_id,
            labels=labels,
            geo_location=geo_location,
            source_created_time=source_created_time,
            source_modified_time=source_modified_time,
            security_categories=security_categories,
        )
        _warn_of(about.geo_location)
        return self._opening(lambda: self.open_new(about, parts, overwrite))

    def multipart_upload_content_session(
        self,
        parts: int,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
    ) -> Opening:
        """Begin the upload of content, in parts, for a file that exists (multiuploadlink).

        Args:
            parts: 1 to 250; each larger than 5 MiB (but the last) and at most 4000 MiB.
            external_id: of a classic file; give this or `instance_id`.
            instance_id: of a data-model file: our `NodeId`, the official one, or (space, id).

        Raises:
            UsageError: not exactly one of the two ids, or `parts` is outside 1..250.
            APIError: CDF refused (on awaiting or entering).
        """
        parts = checked_part_count(parts)
        target = identifier(external_id=external_id, instance_id=instance_id)
        return self._opening(lambda: self.open_existing(target, parts))

    def _opening(self, open_it: Callable[[], Awaitable[OpenUpload]]) -> Opening:
        async def opened() -> FileMultipartUploadSession:
            return FileMultipartUploadSession(self._rpc, self._store, await open_it())

        return Opening(opened)

    async def absent_since(self, external_id: str) -> int | None:
        """CDF's clock, in ms since 1970, now that it has no such file; None where it has one."""
        if await self.retrieve(external_id=external_id) is not None:
            return None
        return self._rpc.cdf_ms()

    async def open_new(
        self, about: FileMetadata, parts: int, overwrite: bool, claim: Claim | None = None
    ) -> OpenUpload:
        """Begin the upload of a new file, and take what CDF hands out (initmultipartupload).

        Where CDF has a file of this external id already, the upload goes on with it if `claim`
        holds for it.
        """
        reply = await self._init(about, parts, overwrite, claim)
        mend = (lambda file: self.mend_overwritten(file, about)) if overwrite else None
        return _opened(reply, parts, mend)

    async def open_in_one(self, about: FileMetadata, claim: Claim | None = None) -> OpenUpload:
        """Begin the upload of a new file in one PUT; goes on with its own as `open_new` does."""
        file, url = await self.open_whole(about, False, claim)
        return OpenUpload(file, Secret(""), (url,))

    async def open_existing(
        self,
        target: Mapping[str, Any],
        parts: int,
        waiting: Callable[[str], None] | None = None,
    ) -> OpenUpload:
        """Begin the upload of content for a file that exists (multiuploadlink).

        The file service knows a new node a while after it was made; that is waited for, up to
        `config.uploaded_wait_s` seconds.

        Args:
            target: which file.
            parts: 1 to 250.
            waiting: is told what is waited for, and "" when it is over.

        Raises:
            UsageError: CDF has no such node, or it is not a file.
            APIError: CDF refused.
        """
        node = target.get("instanceId")
        if node is None:
            return _opened(await self._link(target, parts), parts, None)
        reply = await self._once_linked(
            NodeId(node["space"], node["externalId"]),
            lambda: self._link(target, parts),
            waiting or (lambda _: None),
        )
        return _opened(reply, parts, None)

    async def open_node_whole(
        self, node: NodeId, waiting: Callable[[str], None] | None = None
    ) -> tuple[CDFFile, Secret]:
        """Begin the upload of a node's content in one PUT (uploadlink); waits as open_existing."""
        target = {"instanceId": node.to_cdf()}
        return _whole(
            await self._once_linked(
                node, lambda: self._link(target, None), waiting or (lambda _: None)
            )
        )

    async def _once_linked(
        self,
        node: NodeId,
        ask: Callable[[], Awaitable[dict[str, Any]]],
        waiting: Callable[[str], None],
    ) -> dict[str, Any]:
        """The answer of the file service about a node, once it knows the node."""
        pause_s, waited = _FIRST_PAUSE_S, False
        until_s = time.monotonic() + self._rpc.config.uploaded_wait_s
        try:
            while True:
                try:
                    return await ask()
                except APIError as error:
                    if not _not_found(error):
                        raise
                    over = time.monotonic() + pause_s > until_s
                    if over or not waited:  # the first time, and once more at the end
                        await self._check_file_node(node, error)
                    if over:
                        raise error.hint(_NOT_LINKED) from None
                waited = True
                waiting(_LINKING)
                await anyio.sleep(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.6)
        finally:
            if waited:
                waiting("")

    async def _check_file_node(self, node: NodeId, error: APIError) -> None:
        """Raises where to wait until the file service knows a node cannot help."""
        try:
            why = await self._instances.why_not_found(node)
        except APIError:  # without rights for the data model nothing more can be told
            raise error from None
        if why is not None:
            raise why from error

    def cdf_ms(self) -> int | None:
        """CDF's clock now, in ms since 1970; None before its first answer."""
        return self._rpc.cdf_ms()

    async def open_whole(
        self,
        about: FileMetadata,
        overwrite: bool,
        claim: Claim | None = None,
        first: FirstTry | None = None,
    ) -> tuple[CDFFile, Secret]:
        """Begin the upload of a file in one PUT of at most 5 000 000 000 bytes (POST /files).

        There is nothing to complete: the file and the URL for it are all that is handed out. It
        goes on from what came of a `first` try.
        """
        return _whole(await self._init(about, None, overwrite, claim, first))

    def try_whole(
        self, about: FileMetadata, overwrite: bool
    ) -> tuple[CDFFile, Secret] | FirstTry | None:
        """`open_whole` in one try by the calling thread; else what `open_whole` goes on from."""
        came = self._rpc.try_post(
            "/files", about.to_cdf(), params=_overwriting(overwrite), what=_to_begin(about)
        )
        return _whole(came) if isinstance(came, dict) else came

    async def _init(
        self,
        about: FileMetadata,
        parts: int | None,
        overwrite: bool,
        claim: Claim | None = None,
        first: FirstTry | None = None,
    ) -> dict[str, Any]:
        """Make the file, for so many parts or one PUT (None).

        After a lost answer CDF is asked what it has before this is repeated. Without a claim, what
        was made since the first try counts as made by it.
        """
        attempt, unsure, began_s = 0, False, first.began_s if first else time.monotonic()

        async def own(found: CDFFile | None) -> dict[str, Any]:
            since = claim or Claim(self._rpc.cdf_ms(began_s))
            return await self._link_begun(about, parts, found, since)

        while True:
            attempt += 1
            try:
                return await self._post_init(about, parts, overwrite, first)
            except APIError as error:
                if error.code != 409 or about.external_id is None or not (unsure or claim):
                    raise _with_advice(error, about) from None
                return await own(await self.retrieve(external_id=about.external_id))
            except Unanswered as silence:
                unsure = True
                if about.external_id is None:
                    raise _orphan(about) from silence
                found = None if overwrite else await self.retrieve(external_id=about.external_id)
                if found is not None:
                    return await own(found)
                if (wait_s := self._rpc.config.retry.wait_s(attempt)) is None:
                    raise
            first = None
            await anyio.sleep(wait_s)

    async def _post_init(
        self, about: FileMetadata, parts: int | None, overwrite: bool, first: FirstTry | None
    ) -> dict[str, Any]:
        query = _overwriting(overwrite)
        return await self._rpc.post(
            "/files" if parts is None else "/files/initmultipartupload",
            about.to_cdf(),
            params=query if parts is None else {"parts": parts, **query},
            repeatable=False,
            what=_to_begin(about),
            first=first,
        )

    async def _link_begun(
        self, about: FileMetadata, parts: int | None, found: CDFFile | None, claim: Claim
    ) -> dict[str, Any]:
        """URLs for the file that an init made whose answer was lost.

        Raises:
            APIError: the file with this external id is another one, or may be.
        """
        if found is None or not claim.holds(found, about):
            raise _taken(about, found)
        return await self._link({"externalId": about.external_id}, parts)

    async def _link(self, target: Mapping[str, Any], parts: int | None) -> dict[str, Any]:
        reply = await self._rpc.post(
            "/files/uploadlink" if parts is None else "/files/multiuploadlink",
            {"items": [target]},
            params=None if parts is None else {"parts": parts},
            what="to begin an upload for a file that exists",
        )
        item: dict[str, Any] = reply["items"][0]
        return item

    async def mend_overwritten(self, file: CDFFile, about: FileMetadata) -> CDFFile:
        """An overwrite leaves `directory` and `source` as they were: update what differs."""
        update = {
            key: {"set": value}
            for key, value in (("directory", about.directory), ("source", about.source))
            if value is not None and getattr(file, key) != value
        }
        if not update:
            return file
        items = [{"id": file.id, "update": update}]
        reply = await self._rpc.post(
            "/files/update", {"items": items}, what="to update the overwritten file"
        )
        return CDFFile.from_cdf(reply["items"][0])

    # --- looking up -------------------------------------------------------------------------

    @own_keywords
    async def retrieve(
        self,
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
    ) -> CDFFile | None:
        """One file by exactly one of its ids; None where CDF has none (files/byids)."""
        return await self.retrieve_target(
            identifier(id=id, external_id=external_id, instance_id=instance_id)
        )

    async def retrieve_target(self, target: Mapping[str, Any]) -> CDFFile | None:
        """One file by its identifier, as CDF's JSON has it."""
        reply = await self._rpc.post(
            "/files/byids",
            {"items": [target], "ignoreUnknownIds": True},
            what="to look up the file",
        )
        return CDFFile.from_cdf(reply["items"][0]) if reply["items"] else None

    async def retrieve_all(self, ids: Sequence[int]) -> list[CDFFile]:
        """Files by their ids, at most 1000; those that CDF does not know are left out."""
        items = [{"id": checked_id("ids", one)} for one in ids]
        reply = await self._rpc.post(
            "/files/byids", {"items": items, "ignoreUnknownIds": True}, what="to look up files"
        )
        return [CDFFile.from_cdf(item) for item in reply["items"]]

    async def retrieve_named(self, external_ids: Sequence[str]) -> dict[str, CDFFile]:
        """Files by their external ids, a thousand a request; those CDF has not are left out."""
        found: dict[str, CDFFile] = {}
        for at in range(0, len(external_ids), _IDS):
            items = [{"externalId": one} for one in external_ids[at : at + _IDS]]
            reply = await self._rpc.post(
                "/files/byids", {"items": items, "ignoreUnknownIds": True}, what="to look up files"
            )
            for file in map(CDFFile.from_cdf, reply["items"]):
                if file.external_id is not None:
                    found[file.external_id] = file
        return found

    async def retrieve_instances(self, nodes: Sequence[NodeId]) -> dict[NodeId, CDFFile]:
        """Files by their nodes, a thousand a request; those it does not know are left out."""
        found: dict[NodeId, CDFFile] = {}
        for at in range(0, len(nodes), _IDS):
            items = [{"instanceId": one.to_cdf()} for one in nodes[at : at + _IDS]]
            reply = await self._rpc.post(
                "/files/byids", {"items": items, "ignoreUnknownIds": True}, what="to look up files"
            )
            for file in map(CDFFile.from_cdf, reply["items"]):
                if file.instance_id is not None:
                    found[file.instance_id] = file
        return found

    async def ids_of(self, kind: str, external_ids: Sequence[str]) -> dict[str, int]:
        """The ids of `datasets` or `assets`, by their external ids; a thousand a request."""
        found: dict[str, int] = {}
        for at in range(0, len(external_ids), _IDS):
            items = [{"externalId": one} for one in external_ids[at : at + _IDS]]
            reply = await self._rpc.post(
                f"/{kind}/byids", {"items": items, "ignoreUnknownIds": True},
                what=f"to look up {kind}",
            )  # fmt: skip
            found |= {item["externalId"]: item["id"] for item in reply["items"]}
        return found

    @own_keywords
    async def list(
        self, filter: Mapping[str, Any] | None = None, limit: int | None = 100
    ) -> list[CDFFile]:
        """Files that fit CDF's `filter`, at most `limit`; all of them when None (files/list)."""
        items = await self._rpc.pages("/files/list", {"filter": dict(filter or {})}, limit)
        return [CDFFile.from_cdf(item) for item in items]

    @own_keywords
    async def search(
        self, name: str, filter: Mapping[str, Any] | None = None, limit: int = 100
    ) -> Sequence[CDFFile]:
        """Files whose name resembles `name`, best first, at most 1000 (files/search)."""
        if not isinstance(name, str):
            raise UsageError(f"name is text, not {type(name).__name__}.")
        most = whole(limit)
        if most is None or not 1 <= most <= 1000:
            raise UsageError(f"limit is a whole number from 1 to 1000, not {limit!r}.")
        body = {"search": {"name": name}, "filter": dict(filter or {}), "limit": most}
        reply = await self._rpc.post("/files/search", body, what="to search for files")
        return [CDFFile.from_cdf(item) for item in reply["items"]]

    @own_keywords
    async def update(
        self,
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
        *,
        set: Mapping[str, Any] | None = None,
        add: Mapping[str, Any] | None = None,
        remove: Mapping[str, Any] | None = None,
    ) -> CDFFile:
        """Change what CDF says of a file, by exactly one of its ids (files/update).

        Args:
            id: CDF's id.
            external_id: of a classic file.
            instance_id: of a data-model file.
            set: fields by their names, as `upload` takes them; None empties a field.
            add: to `labels`, `asset_ids`, `security_categories` and `metadata`.
            remove: from these; of `metadata` a list of keys.

        Raises:
            UsageError: a field cannot be changed so, or CDF would refuse the value; nothing was
                sent.
            APIError: CDF refused.
        """
        target = identifier(id=id, external_id=external_id, instance_id=instance_id)
        change = {"update": update_of(set or {}, add or {}, remove or {})}
        if set and set.get("geo_location") is not None:
            _warn_of(GeoLocation.of(set["geo_location"]))
        return (await self.update_each([{**target, **change}]))[0]

    async def update_each(self, items: Sequence[Mapping[str, Any]]) -> Sequence[CDFFile]:
        """Items of files/update, checked by the caller, a thousand a request."""
        found: tuple[CDFFile, ...] = ()
        for at in range(0, len(items), _IDS):
            reply = await self._rpc.post(
                "/files/update", {"items": items[at : at + _IDS]}, what="to update files"
            )
            found += tuple(CDFFile.from_cdf(item) for item in reply["items"])
        return found

    @own_keywords
    async def delete(self, id: int | None = None, external_id: str | None = None) -> None:
        """Delete one file by its id or external id; unknown ids are an error (files/delete)."""
        target = identifier(id=id, external_id=external_id)
        await self._rpc.post("/files/delete", {"items": [target]}, what="to delete the file")

    # --- downloading ------------------------------------------------------------------------

    @own_keywords
    async def download_url(
        self,
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
    ) -> Secret:
        """A signed URL of the content, good for an hour; `.reveal()` shows it (downloadlink)."""
        return await self.fresh_url(
            identifier(id=id, external_id=external_id, instance_id=instance_id)
        )

    @own_keywords
    async def size(
        self,
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
    ) -> int | None:
        """Bytes of the content, asked of the store, since CDF does not say; None: it won't say."""
        target = identifier(id=id, external_id=external_id, instance_id=instance_id)
        return await size_of(self._network, self._rpc.config.retry, lambda: self.fresh_url(target))

    def connect_ahead(self, cancel: CancelToken) -> None:
        """Have a connection to CDF for `try_size`; blocks."""
        self._rpc.connect(cancel)

    def try_size(self, file_id: int, cancel: CancelToken) -> int | None:
        """`size` in one try by the calling thread.

        Raises:
            TransferError: it came to nothing.
        """
        came = self._rpc.try_post(
            "/files/downloadlink",
            {"items": [{"id": file_id}]},
            params={"extendedExpiration": "true"},
            what=_TO_LINK,
            cancel=cancel,
        )
        if not isinstance(came, dict):
            raise TransferError("CDF gave no download link at the first try.")
        return try_size(self._network, came["items"][0]["downloadUrl"], cancel)

    async def fresh_url(self, target: Mapping[str, Any]) -> Secret:
        """A signed URL of the content of the file with this identifier."""
        reply = await self._rpc.post(
            "/files/downloadlink",
            {"items": [target]},
            params={"extendedExpiration": "true"},
            what=_TO_LINK,
        )
        url: Secret = reply["items"][0]["downloadUrl"]
        return url

    async def download_urls(self, ids: Sequence[int]) -> dict[int, Secret]:
        """A signed URL for each of at most 100 files, by id (downloadlink)."""
        reply = await self._rpc.post(
            "/files/downloadlink",
            {"items": [{"id": one} for one in ids]},
            params={"extendedExpiration": "true"},
            what="to give download links",
        )
        return {item["id"]: item["downloadUrl"] for item in reply["items"]}


def identifier(
    id: int | None = None, external_id: str | None = None, instance_id: NodeIdLike | None = None
) -> dict[str, Any]:
    """Exactly one of the ids, as CDF's JSON names it.

    Raises:
        UsageError: none was given, more than one, or what is none.
    """
    given: dict[str, Any] = {"id": id, "externalId": external_id, "instanceId": instance_id}
    found = {name: value for name, value in given.items() if value is not None}
    if len(found) != 1:
        raise UsageError(
            f"Give exactly one of id, external_id and instance_id, not {len(found)} of them."
        )
    if "id" in found:
        found["id"] = checked_id("id", id)
    if "externalId" in found:
        found["externalId"] = normalised("external_id", external_id)
    if "instanceId" in found:
        found["instanceId"] = as_node_id(found["instanceId"]).to_cdf()
    return found


def _warn_of(location: GeoLocation | None) -> None:
    if location is not None and location.doubt:
        warnings.warn(f"geo_location: {location.doubt}", stacklevel=3)


def _opened(
    reply: Mapping[str, Any],
    parts: int,
    after: Callable[[CDFFile], Awaitable[CDFFile]] | None,
) -> OpenUpload:
    urls, upload_id = reply.get("uploadUrls"), reply.get("uploadId")
    count = len(urls) if isinstance(urls, list) else 0
    if not isinstance(urls, list) or count != parts or not upload_id:
        raise APIError(
            f"it handed out {count} upload URLs for {parts} parts", code=201, what="a usable answer"
        )
    return OpenUpload(CDFFile.from_cdf(reply), upload_id, tuple(urls), after)


def _not_found(error: APIError) -> bool:
    """True where the file service says that it does not know a file; its status is not settled."""
    return error.code == 404 or (error.code in (400, 422) and bool(error.missing))


def _whole(reply: dict[str, Any]) -> tuple[CDFFile, Secret]:
    """The file, and the URL for its one PUT."""
    url = reply.get("uploadUrl")
    if not isinstance(url, Secret):
        raise APIError("it handed out no upload URL", code=201, what="a usable answer")
    return CDFFile.from_cdf(reply), url


def _overwriting(overwrite: bool) -> dict[str, str]:
    return {"overwrite": "true" if overwrite else "false"}


def _to_begin(about: FileMetadata) -> str:
    return f"to begin the upload of {about.name!r}"


def _orphan(about: FileMetadata) -> CDFUnreachable:
    return CDFUnreachable(f"CDF did not say whether it began the upload of {about.name!r}.").hint(
        "Nothing was sent twice. CDF may hold an empty file of this name, and deletes it after a "
        "week. Begin again; with an external_id this is resolved by itself."
    )


def _taken(about: FileMetadata, found: CDFFile | None) -> APIError:
    error = APIError(
        f"external id {about.external_id!r} exists already",
        code=409,
        duplicated=[{"externalId": about.external_id}],
        what=f"to begin the upload of {about.name!r}",
    )
    if found is not None:
        made = f", created {found.created_time:%Y-%m-%d %H:%M:%S} UTC" if found.created_time else ""
        error.hint(
            f"It is that of {found.name!r}, id {found.id}{made}, "
            + ("whose content is uploaded." if found.uploaded else _WHOSE)
        )
    return _with_advice(error, about)


def _with_advice(error: APIError, about: FileMetadata) -> APIError:
    if error.code == 403 and _NO_RIGHTS in error.message.lower() and about.data_set_id is None:
        return error.hint(
            "Try to give a data set (data_set_id=, --data-set-id): your rights may be for certain "
            "data sets."
        )
    if error.code == 409:
        return error.hint(
            "Replace that file (overwrite=True, --overwrite), or choose another external id."
        )
    return error
