"""`client.files`: the endpoints, and the upload that nobody has to plan by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, MappingView, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import IO, Any, Final, Literal, TypedDict, Unpack, cast, overload

from cognite_nb_upload.api.files import FileEndpoints, identifier
from cognite_nb_upload.api.rpc import Rpc
from cognite_nb_upload.api.session import OpenUpload
from cognite_nb_upload.cluster.engine import EngineRun, checked_engine, run_of
from cognite_nb_upload.cluster.store import ClusterStore, check_shared
from cognite_nb_upload.core.keywords import keywords_of, own_keywords
from cognite_nb_upload.core.numbers import as_flag, as_rate, as_size
from cognite_nb_upload.core.plan import (
    LIMITS,
    Plan,
    fits_one_put,
    plan_parts,
    show_bytes,
    show_parts,
)
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import SourceChanged, UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.writer import Replayed, replay
from cognite_nb_upload.models import (
    FIELDS,
    FileMetadata,
    FileNode,
    FileNodeLike,
    MetadataFields,
    NodeFields,
    NodeIdLike,
    guess_mime_type,
)
from cognite_nb_upload.models.fields import normalised
from cognite_nb_upload.models.node import NODE_ONLY, node_of
from cognite_nb_upload.objects.find import Spooled
from cognite_nb_upload.objects.given import name_of, open_elsewhere, shown_address
from cognite_nb_upload.objects.source import NOT_PINNED, ObjectSource
from cognite_nb_upload.sources import (
    FileSource,
    Source,
    as_it_comes,
    as_source,
    at_its_end,
    goes_alone,
    is_pinned,
    is_spooled,
    passes_once,
    refuse_others,
    stands_at,
    unpacked_name,
    unpacks,
)
from cognite_nb_upload.store.network import NetworkStore
from cognite_nb_upload.transfer import running
from cognite_nb_upload.transfer.download import Download, DownloadTask, target_path
from cognite_nb_upload.transfer.hooks import checked_hook
from cognite_nb_upload.transfer.limits import EngineLimits, EngineSlots, SharedLimits
from cognite_nb_upload.transfer.spec import DEFAULT_CONCURRENCY, Tell, UploadSpec
from cognite_nb_upload.transfer.upload import Upload, Uploaded, checked_concurrency
from cognite_nb_upload.transfer.verify import Verify, check_mode
from cognite_nb_upload.transfer.work import UploadTask

Uploadable = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Source


_MANY: Final = "Several files, a folder or a pattern go by upload_many(client, ...)."
# Of the keywords of `upload`, those that say how it is sent.
_READ_OPTION: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "part_size": as_size,
    "max_concurrency": lambda _, value: checked_concurrency(value),
    "resume": as_flag,
    "verify": lambda _, value: _checked_mode(value),
    "max_bandwidth": as_rate,
    "on_done": checked_hook,
    "progress": as_flag,
    "engine": checked_engine,
    "trust_network": as_flag,
}


class SendingFields(TypedDict, total=False):
    """The keywords that say how a file is sent."""

    part_size: float | str | None
    max_concurrency: int | None
    overwrite: bool
    resume: bool
    verify: Verify
    max_bandwidth: float | str | None
    engine: Any
    trust_network: bool
    storage_options: Mapping[str, Any] | None


class UploadFields(MetadataFields, NodeFields, SendingFields, total=False):
    """The keywords of `upload`: the file's metadata, how it is sent, and whether it is shown."""

    node: FileNodeLike | None
    spool: bool
    length: int | str | None
    on_done: Callable[[Uploaded], Awaitable[None] | None] | None
    progress: bool


# What it means to leave a keyword out, where that is not None.
DEFAULTS: Final[Mapping[str, object]] = {
    "max_concurrency": DEFAULT_CONCURRENCY,
    "overwrite": False,
    "resume": True,
    "verify": "size",
    "progress": True,
    "trust_network": False,
    "spool": True,
}


class UploadContentFields(TypedDict, total=False):
    """The keywords of `upload_content`."""

    external_id: str | None
    instance_id: NodeIdLike | None
    part_size: float | str | None
    max_concurrency: int | None
    resume: bool
    verify: Verify
    max_bandwidth: float | str | None
    progress: bool
    engine: Any
    trust_network: bool
    storage_options: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class DryRun:
    """What an upload would do; nothing was sent.

    Attributes:
        plan: the parts.
        requests: each request that CDF itself would get, as `(method, path, body)`; the parts go
            to the store in between.
        content: what is done about content in memory that may change, in words.
    """

    plan: Plan
    requests: tuple[tuple[str, str, Mapping[str, Any]], ...]
    content: str = ""

    @property
    def cost(self) -> str:
        """What the size of the parts means for memory and for retries, in words."""
        part = show_bytes(min(self.plan.part_size, self.plan.size))
        return f"a part that is lost costs {part} again; memory holds 1 MiB of each part on its way"

    def __repr__(self) -> str:
        plan = self.plan
        lines = [f"{show_bytes(plan.size)} in {show_parts(len(plan.parts), plan.part_size)}:"]
        lines += [f"  {self.cost}"]
        lines += [f"  content in memory, {self.content}"] if self.content else []
        lines += [f"  {method} {path} {dict(body)}" for method, path, body in self.requests]
        return "\n".join(lines)


class AsyncFiles(FileEndpoints):
    """Files in CDF: upload, look up, download, delete."""

    def __init__(self, rpc: Rpc, network: NetworkStore) -> None:
        super().__init__(rpc, network)
        self.limits = SharedLimits(network.traffic)

    @overload
    def upload(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: Literal[False] = False,
        **fields: Unpack[UploadFields],
    ) -> Upload: ...

    @overload
    def upload(
        self, content: Uploadable, /, *, dry_run: Literal[True], **fields: Unpack[UploadFields]
    ) -> DryRun: ...

    @keywords_of(UploadFields, DEFAULTS, FIELDS)
    def upload(
        self, content: Uploadable, /, *, dry_run: bool = False, **fields: Unpack[UploadFields]
    ) -> Upload | DryRun:
        """Upload a file; returns at once what can be awaited, paused, cancelled and watched.

        The same call goes on where an earlier one stopped, also after the kernel died: only parts
        that were in flight are sent again.

        Args:
            content: a path, bytes, an array, a binary file object from its current position, or
                a file in another store: its address (`s3://`, `gs://`, `abfs://`, `az://`,
                `http(s)://`, or what fsspec knows), a `UPath`, or a file of fsspec. It is read
                where it is, without a disk. Its store is asked for size and version before this
                call returns; the version is compared at each read, and another one is
                `SourceChanged`. By position only: the keyword `source` is the metadata field.
                Memory that can be written to is copied where it has up to 16 MiB; above that it
                is read where it is, and a write to it ends the upload with `SourceChanged`.
            dry_run: return the plan and the request bodies, and send nothing.
            **fields: the metadata of `multipart_upload_session` (`name` is the file's own unless
                given; `mime_type` is guessed from it), and:

                - `node`: a file of the data model, as (space, external id), a `FileNode`, or an
                  official `NodeApply`. The node is made first, and a taken name is an error;
                  `overwrite` sets its properties and replaces its content. The other fields are
                  properties of CogniteFile then: `name`, `description`, `mime_type`, `directory`,
                  `tags`, `aliases`, `assets` and `category` (nodes, which have to be there),
                  `source_system` (a node too), `source_id`, `source_context` and the times.
                - `part_size`: bytes of each part but the last, such as 67108864 or "64 MiB"; above
                  5 MiB, at most 4000 MiB.
                - `max_concurrency`: parts at once, 1 to 64 (64). The engine starts with 4, doubles
                  while that pays, goes above 16 only where each connection carries less than
                  2 MiB/s, and halves when the store asks for less.
                - `overwrite`: replace the file that has this external id.
                - `resume`: False begins anew, whatever is known of an earlier call.
                - `verify`: "size" asks the store, or compares the checksum in its answer where all
                  goes in one PUT; "checksum" compares MD5 or CRC32C of each part,
                  and that of the whole where the content's own store tells it; "download" reads
                  everything back; "none".
                - `max_bandwidth`: bytes per second, such as 1e7, "10 MB/s" or "80 Mbit/s". It is
                  the client's limit: all its uploads share it, later ones too, until another is
                  given; `math.inf` is none.
                - `engine`: a Dask `Client`, its scheduler's address, or an Executor: its workers
                  read the file by its path or its address and send the parts; all else is done
                  here. As many parts go at once as they have room for, unless `max_concurrency`
                  is given.
                - `trust_network`: orders with upload URLs may go to workers without TLS.
                - `storage_options`: what the store of an address wants to know, such as
                  `{"key": ..., "secret": ..., "endpoint_url": ...}` by the names of fsspec or
                  obstore, or `{"headers": {...}}` for http(s); without it, what the environment
                  says. It is written nowhere.
                - `spool`: what comes once, such as an iterator, is kept in a temporary file before
                  it is sent; False sends it as it comes, one part at a time. Then `length` is
                  needed, and once it has stopped it cannot be gone on with.
                - `length`: the bytes that will come, with `spool=False`.
                - `on_done`: is called with the `Uploaded` when the file is in CDF; may be async. If
                  it fails, the result has a note.
                - `progress`: False shows no bars while it is awaited; they are shown in a notebook
                  and in a terminal, unless something shows this upload already.

        Raises:
            UsageError: something cannot be; every field is named, and nothing was sent.
        """
        if as_flag("dry_run", dry_run):
            return self.plan(content, **fields)
        return self._start(self._order(content, dict(fields)))

    @keywords_of(UploadFields, DEFAULTS, FIELDS)
    def plan(self, content: Uploadable, /, **fields: Unpack[UploadFields]) -> DryRun:
        """What `upload` would do with the same arguments: parts and requests; nothing is sent.

        Raises:
            UsageError: something cannot be; every field is named.
        """
        order = self._order(content, dict(fields))
        if order.node is not None:
            return _dry_run_of_node(order, order.node)
        query = f"overwrite={str(order.overwrite).lower()}"
        if order.in_one is not None and order.engine is None:
            order.source.close()
            return DryRun(order.plan, (("POST", f"/files?{query}", order.about),))
        query = f"parts={len(order.plan.parts)}&{query}"
        return _dry_run(order, f"/files/initmultipartupload?{query}", order.about)

    @overload
    def upload_content(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: Literal[False] = False,
        **fields: Unpack[UploadContentFields],
    ) -> Upload: ...

    @overload
    def upload_content(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: Literal[True],
        **fields: Unpack[UploadContentFields],
    ) -> DryRun: ...

    @keywords_of(UploadContentFields, DEFAULTS)
    def upload_content(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: bool = False,
        **fields: Unpack[UploadContentFields],
    ) -> Upload | DryRun:
        """Upload the content of a file that exists already, data-model files among them.

        Args:
            content: what `upload` takes.
            dry_run: return the plan and the request bodies, and send nothing.
            **fields: how it is sent, as in `upload`, and one of:

                - `external_id`: of a classic file.
                - `instance_id`: of a data-model file: our `NodeId`, the official one, or
                  (space, id).

        Raises:
            UsageError: something cannot be; nothing was sent.
        """
        _refuse_many(content)
        given = dict(fields)
        target = identifier(
            external_id=cast("str | None", given.pop("external_id", None)),
            instance_id=cast("NodeIdLike | None", given.pop("instance_id", None)),
        )
        options = cast("Mapping[str, Any] | None", given.pop("storage_options", None))
        how = _options(given)
        part_size = how["asked"].get("part_size")
        source = _opened(content, "", options, self.config.retry)
        order = self._content_order(source, target, part_size)
        if as_flag("dry_run", dry_run):
            link = f"/files/multiuploadlink?parts={len(order.plan.parts)}"
            return _dry_run(order, link, {"items": [target]})
        return self._start(replace(order, notes=_notes(content, source, None), **how))

    @own_keywords
    def start_download(
        self,
        path: str | os.PathLike[str],
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
        *,
        resume: bool = True,
        max_concurrency: int | None = None,
    ) -> Download:
        """Start a download and return its handle at once; takes what `download` takes."""
        target = identifier(id=id, external_id=external_id, instance_id=instance_id)
        at_once = None if max_concurrency is None else checked_concurrency(max_concurrency)
        where = target_path(path)
        go_on = as_flag("resume", resume)
        task = DownloadTask(self, where, target, at_once=at_once, resume=go_on)
        return Download(task, where.name)

    @own_keywords
    async def download(
        self,
        path: str | os.PathLike[str],
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
        *,
        resume: bool = True,
        max_concurrency: int | None = None,
    ) -> Path:
        """Write the content to `path`; what is there is replaced once all has arrived.

        Several ranges come at once. Size, range and version of each answer are compared, and a
        checksum where the store gives one of the whole. What has arrived is kept in `path.part`
        when it is stopped or the kernel dies, and the same call goes on from there.

        Args:
            path: the file to write; in a folder that is there, under the file's own name.
            id: CDF's id of the file; give this, `external_id` or `instance_id`.
            external_id: of a classic file.
            instance_id: of a data-model file: our `NodeId`, the official one, or (space, id).
            resume: False begins from the first byte, whatever has arrived before.
            max_concurrency: ranges at once, 1 to 64 (4; where the store is near, as many as
                there are cores, 2 to 4).

        Raises:
            SourceChanged: the file was replaced meanwhile; nothing of two versions is mixed.
            VerifyError: what arrived is not what the store says it has.
            TransferError: it did not arrive; what did is kept.
        """
        download = self.start_download(
            path, id, external_id, instance_id, resume=resume, max_concurrency=max_concurrency
        )
        try:
            return await download
        except BaseException:
            download.interrupt()
            raise

    @own_keywords
    def resume_upload(
        self,
        upload_id: str,
        content: Uploadable | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Upload:
        """Go on with an unfinished upload by its id, as `uploads()` lists it.

        Args:
            upload_id: the id.
            content: the file, where it is not at its old path or address any more, and where its
                address has a signature, which is not remembered.
            storage_options: for its address, as in `upload`.

        Raises:
            UsageError: there is no such unfinished upload, it is of another project, or its
                file is gone.
        """
        if (found := running.by_id(upload_id)) is not None:
            found.resume()
            return found
        folder = journal_folder.state_folder()
        known = replay(journal_folder.path_of_id(upload_id, folder))
        mark, config = known.fingerprint, self.config
        if known.outcome:
            raise UsageError(f"The upload {upload_id} has ended ({known.outcome}).")
        if (mark.project, mark.base_url) != (config.project, config.base_url.rstrip("/")):
            raise UsageError(
                f"The upload {upload_id} goes to project {mark.project!r} at {mark.base_url}; this "
                f"client is for {config.project!r} at {config.base_url}."
            )
        if content is None and not mark.source:
            raise UsageError(f"The upload {upload_id} has no path; give its bytes, too.")
        given = mark.source if content is None else content
        source = _opened(given, mark.name, storage_options, self.config.retry)
        again = self._order_again(known, source)
        return self._start(replace(again, upload_id=upload_id))

    # --- behind them ------------------------------------------------------------------------

    def _order(self, source: Uploadable, fields: dict[str, Any]) -> UploadSpec:
        how = _options({name: fields.pop(name) for name in _READ_OPTION if name in fields})
        overwrite = as_flag("overwrite", fields.pop("overwrite", False))
        _refuse_many(source)
        node = fields.pop("node", None)
        options = fields.pop("storage_options", None)
        given = fields.pop("name", None)
        unnamed = given is None or (isinstance(given, str) and not given)
        name = ("" if unnamed else normalised("name", given)) or _name_of_node(node)
        name = name or name_of(source)
        address = "" if name else shown_address(source)
        if not name and (address or not isinstance(source, str | os.PathLike)):
            refuse_others(source)
            raise UsageError(f"{address or _kind(source)} has no name; give name='...'.")
        spool, length = as_flag("spool", fields.pop("spool", True)), fields.pop("length", None)
        if (coming := _coming(source, spool, length, str(name), how["verify"])) is not None:
            content = coming
        else:
            content = _opened(source, str(name), options, self.config.retry)
        with _closed_on_error(content):
            plan = plan_parts(
                content.size, how["asked"].get("part_size"), rate=self.limits.lanes.per_connection
            )
            if node is not None:
                made = _node(node, name, fields)
                order = self._node_order(content, made, plan, overwrite=overwrite)
                return replace(order, notes=_notes(source, content, None), **how)
            about = _about(name, fields, unpacked=unpacks(source))
            order = self._new_order(content, about, plan, overwrite=overwrite)
            return replace(order, notes=_notes(source, content, about), **how)

    def _new_order(
        self, source: Source, about: FileMetadata, plan: Plan, *, overwrite: bool
    ) -> UploadSpec:
        known, link = about.external_id, {"externalId": about.external_id}
        whole = _goes_in_one(source, about, overwrite)
        return UploadSpec(
            source=source,
            name=about.name,
            project=self.config.project,
            base_url=self.config.base_url,
            plan=plan,
            opener=lambda parts, claim, _: self.open_new(about, parts, overwrite, claim),
            reopener=(lambda parts, _: self.open_existing(link, parts)) if known else None,
            in_one=partial(self.open_in_one, about) if whole else None,
            absent_since=(lambda: self.absent_since(known)) if known and not overwrite else None,
            after=(lambda file: self.mend_overwritten(file, about)) if overwrite else None,
            about=about.to_cdf(),
            replaces=overwrite,
            overwrite=overwrite,
            folder=journal_folder.state_folder(),
        )

    def _node_order(
        self, source: Source, node: FileNode, plan: Plan, *, overwrite: bool
    ) -> UploadSpec:
        target = {"instanceId": node.id.to_cdf()}
        return UploadSpec(
            source=source,
            name=str(node.properties["name"]),
            project=self.config.project,
            base_url=self.config.base_url,
            plan=plan,
            opener=lambda parts, _, tell: self.open_existing(target, parts, tell),
            reopener=lambda parts, tell: self.open_existing(target, parts, tell),
            about={"node": node.to_json()},
            node=node,
            target=json.dumps(target),
            replaces=overwrite,
            overwrite=overwrite,
            folder=journal_folder.state_folder(),
        )

    def _content_order(
        self, source: Source, target: Mapping[str, Any], part_size: float | str | None
    ) -> UploadSpec:
        def link(parts: int, tell: Tell) -> Awaitable[OpenUpload]:
            return self.open_existing(target, parts, tell)

        with _closed_on_error(source):
            plan = plan_parts(source.size, part_size, rate=self.limits.lanes.per_connection)
        by_name = "externalId" in target
        return UploadSpec(
            source=source,
            name=str(target["externalId"] if by_name else target["instanceId"]["externalId"]),
            project=self.config.project,
            base_url=self.config.base_url,
            plan=plan,
            opener=lambda parts, _, tell: link(parts, tell),
            reopener=link,
            about={},
            target=json.dumps(target),
            replaces=True,
            folder=journal_folder.state_folder(),
        )

    def _order_again(self, known: Replayed, source: Source) -> UploadSpec:
        """The order that a journal tells of."""
        mark = known.fingerprint
        with _closed_on_error(source):
            if not is_pinned(source):
                raise UsageError(f"{source.name} cannot be gone on with: it is {NOT_PINNED}.")
            if source.size != mark.size:
                raise SourceChanged(
                    f"{source.name} has {source.size} bytes; the unfinished upload {known.id} is "
                    f"of {mark.size}."
                ).hint("Call upload(...) to send it as a new upload.")
            if "node" in known.metadata:
                node = FileNode.from_json(known.metadata["node"])
                plan = plan_parts(source.size, mark.part_size)
                return self._node_order(source, node, plan, overwrite=known.overwrite)
            if mark.target:
                return self._content_order(source, json.loads(mark.target), mark.part_size)
            about = FileMetadata.from_cdf(known.metadata)
            plan = plan_parts(source.size, mark.part_size)
            return self._new_order(source, about, plan, overwrite=known.overwrite)

    def _start(self, spec: UploadSpec) -> Upload:
        if not is_pinned(spec.source):
            spec = replace(spec, resume=False)

        def make() -> Upload:
            if spec.max_bandwidth is not None:
                self.limits.bandwidth.set(spec.max_bandwidth)
            if spec.engine is None:
                return Upload(UploadTask(self, self.limits, spec), spec, self.limits)
            run = engine_run(self, spec.engine, spec.trust_network)
            store = ClusterStore(run, self.config.base_url)
            limits = EngineLimits(self.limits, EngineSlots(lambda: store.at_once, store.overloaded))
            return Upload(UploadTask(self.through(store), limits, spec, store), spec, limits)

        if spec.engine is not None:
            with _closed_on_error(spec.source):
                check_shared(spec.source)
        return running.start(spec, make)


def engine_run(files: AsyncFiles, engine: Any, trust_network: bool) -> EngineRun:
    """The run that the uploads of one client at one engine share."""
    limits, network, retry = files.limits, files.network, files.config.retry
    return run_of(
        engine, limits, trust_network,
        lambda: EngineRun(engine, network, retry, limits.bandwidth, trust_network=trust_network),
    )  # fmt: skip


def _dry_run(order: UploadSpec, path: str, body: Mapping[str, Any]) -> DryRun:
    order.source.close()
    complete = {"id": "<id>", "uploadId": "<uploadId>"}
    return DryRun(
        order.plan,
        (
            ("POST", path, dict(body)),
            ("POST", "/files/completemultipartupload", complete),
        ),
        getattr(order.source, "how", ""),
    )


def _dry_run_of_node(order: UploadSpec, node: FileNode) -> DryRun:
    link = f"/files/multiuploadlink?parts={len(order.plan.parts)}"
    run = _dry_run(order, link, {"items": [{"instanceId": node.id.to_cdf()}]})
    source = {"source": node.view_id.to_cdf(), "properties": dict(node.properties)}
    item: dict[str, Any] = {"instanceType": "node", **node.id.to_cdf(), "sources": [source]}
    if not order.overwrite:
        item["existingVersion"] = 0
    return replace(run, requests=(("POST", "/models/instances", {"items": [item]}), *run.requests))


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """How an upload is sent, checked, as fields of an `UploadSpec`.

    Raises:
        UsageError: one of them cannot be.
    """
    asked = {
        name: _READ_OPTION[name](name, value) for name, value in given.items() if value is not None
    }
    engine = asked.pop("engine", None)
    at_once = DEFAULT_CONCURRENCY if engine is None else LIMITS.parts
    return {
        "engine": engine,
        "trust_network": asked.pop("trust_network", False),
        "max_concurrency": asked.get("max_concurrency", at_once),
        "max_bandwidth": asked.get("max_bandwidth"),
        "verify": asked.get("verify", "size"),
        "resume": asked.get("resume", True),
        "progress": asked.pop("progress", True),
        "on_done": asked.pop("on_done", None),
        "asked": asked,
    }


def _checked_mode(verify: Any) -> Verify:
    check_mode(verify)
    return cast("Verify", verify)


@contextmanager
def _closed_on_error(source: Source) -> Iterator[None]:
    try:
        yield
    except BaseException:
        source.close()
        raise


def _goes_in_one(source: Source, about: FileMetadata, overwrite: bool) -> bool:
    """True where a new file is sent in one PUT, from memory."""
    changes = passes_once(source) or hasattr(source, "witness")
    return fits_one_put(source.size, about.mime_type) and not changes and not overwrite


def _refuse_many(source: object) -> None:
    """Several files, which `upload_many` takes."""
    several = isinstance(source, list | tuple | Set | MappingView) or _is_column(source)
    if hasattr(source, "itertuples") or (several and any(map(_is_path, cast("Any", source)))):
        raise UsageError(f"upload takes one file, not a {type(source).__name__}. {_MANY}")


def _is_column(source: object) -> bool:
    """A Series, an Index or an array of text or objects; one of numbers may be long, and is not."""
    kind = getattr(getattr(source, "dtype", None), "kind", "")
    return hasattr(source, "iloc") or (kind in ("O", "U", "T") and getattr(source, "ndim", 0) == 1)


def _is_path(one: object) -> bool:
    return isinstance(one, str | os.PathLike)


def _coming(
    content: Uploadable, spool: bool, length: object, name: str, verify: str
) -> Source | None:
    """A source of what is sent as it comes; None where it is read in another way.

    Raises:
        UsageError: that cannot be.
    """
    comes_once = is_spooled(content) and not isinstance(content, str)
    if spool or not comes_once:
        if length is not None:
            raise UsageError(
                "length is for what comes once, such as an iterator, with spool=False."
            )
        return None
    if length is None:
        raise UsageError("spool=False needs length=..., the bytes that will come.").hint(
            "Leave it out, and what comes is kept in a temporary file first."
        )
    if verify == "download":
        raise UsageError(
            "verify='download' compares with the content, which comes once with spool=False: use "
            "verify='checksum'."
        )
    size = as_size("length", length)
    if size < 0:
        raise UsageError(f"length is a number of bytes, not {length!r}.")
    return as_it_comes(content, size, name)


def _opened(
    content: Uploadable,
    name: str,
    options: Mapping[str, Any] | None = None,
    retry: Retry | None = None,
) -> Source:
    """The source of what was given, where it is.

    Raises:
        UsageError: there is nothing, or it cannot be read.
    """
    if hasattr(content, "read_at") and not hasattr(content, "read"):  # pyarrow's files have both
        return cast("Source", content)
    found = open_elsewhere(content, options, retry)
    if isinstance(found, ObjectSource):
        return _not_at_its_end(found, found.name)
    if isinstance(found, Spooled):
        return as_source(found.pieces, name=name or found.name)
    if found is not None:
        return as_source(found, name=name)
    if isinstance(content, str | os.PathLike):
        try:
            return FileSource.at(content)
        except UsageError as error:
            if os.path.isdir(content) or has_magic(os.fsdecode(content)):
                raise UsageError(f"{error} {_MANY}") from None
            raise
    opened = as_source(content, name=name)
    return _not_at_its_end(opened, name or _kind(content))


def _not_at_its_end(source: Source, name: str) -> Source:
    if start := at_its_end(source):
        source.close()
        raise UsageError(
            f"{name} stands at its end, after {start} bytes, so that nothing would be sent: call "
            "seek(0) on it first."
        )
    return source


def _name_of_node(node: object) -> str | None:
    if node is None:
        return None
    name = FileNode.of(node).properties.get("name")
    return name if isinstance(name, str) else None


def _node(node: object, name: Any, fields: dict[str, Any]) -> FileNode:
    found = FileNode.of(node)
    if fields.get("mime_type") is None and "mimeType" not in found.properties:
        fields["mime_type"] = guess_mime_type(str(name))
    return node_of(found, {"name": name, **fields})


def _about(name: str, fields: dict[str, Any], *, unpacked: bool) -> FileMetadata:
    given = [one for one in NODE_ONLY if fields.pop(one, None) is not None]
    if given:
        raise UsageError(
            f"{', '.join(given)}: only a file of the data model has that; say "
            "node=(space, external_id) as well."
        )
    if fields.get("mime_type") is None:
        fields["mime_type"] = guess_mime_type(unpacked_name(name) if unpacked else name)
    return FileMetadata.of(name=name, **fields)


def _notes(given: object, source: Source, about: FileMetadata | None) -> tuple[str, ...]:
    """What may not be what the caller means."""
    notes = []
    if unpacks(given):
        notes.append(f"What is sent is unpacked: {show_bytes(source.size)} as {source.name!r}.")
    if source.size and (start := stands_at(source)):
        notes.append(f"What is sent begins at byte {start}, where the file stood.")
    if not source.size and is_spooled(given):
        notes.append(f"{_kind(given)} gave no bytes: the file is empty.")
    if shown_address(given) and isinstance(source, FileSource) and source.path is None:
        notes.append("It was copied to this disk first: its store gives no part of it alone.")
    if passes_once(source):
        notes.append("It is sent as it comes: if it stops, it has to begin again.")
    elif not is_pinned(source):
        notes.append(f"The source is {NOT_PINNED}.")
    if goes_alone(source) and not passes_once(source):
        notes.append("One part goes at a time: all are read through one file object.")
    if about and about.geo_location and about.geo_location.doubt:
        notes.append(f"geo_location: {about.geo_location.doubt}")
    return tuple(notes)


def _kind(content: object) -> str:
    return f"The {type(content).__name__}"
