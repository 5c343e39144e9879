"""Nodes and views of the data model, as far as files need them (`/models`).

Rules of this file: a whole project has four applies and eight queries at once for everybody, so a
client sends one apply and two reads at a time; a new node is an insert, never a merge; a node that
may be somebody else's is never called ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import anyio
from anyio.lowlevel import RunVar

from cognite_nb_upload.api.rpc import Rpc, Unanswered
from cognite_nb_upload.core.secret import NotPickled
from cognite_nb_upload.errors import APIError, CDFUnreachable, UsageError
from cognite_nb_upload.models.catalog import FoundNode, Space
from cognite_nb_upload.models.ids import NodeId
from cognite_nb_upload.models.node import FileNode, is_as_sent, item_of
from cognite_nb_upload.models.properties import relations
from cognite_nb_upload.models.views import CORE_FILE, FILE_VIEW, View, ViewId

MOST_NODES: Final = 1000  # of one request
_AT_ONCE: Final = {"apply": 1, "delete": 1, "query": 2}
_CONFLICT: Final = 409
_APPLY: Final = {
    "autoCreateStartNodes": False,
    "autoCreateEndNodes": False,
    # An asset or category that does not exist would become an empty node.
    "autoCreateDirectRelations": False,
    "skipOnVersionConflict": False,
    "replace": False,
}
_WHOLE: Final = {
    "includeInheritedProperties": "true",
    "allVersions": "false",
    "includeGlobal": "false",
}

Json = dict[str, Any]
Key = tuple[str, str]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Own:
    """By what a node is known to be this upload's own, never somebody else's.

    Attributes:
        since_ms: CDF's clock when it had no such node: one of version 1 that was made later, with
            the properties as sent, is this upload's. None: nothing is known of that.
        made_ms: when earlier calls of the same upload made such a node.
    """

    since_ms: int | None = None
    made_ms: frozenset[int] = frozenset()

    def holds(self, found: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
        """True if `found`, as CDF shows it, is what an insert of `item` has made."""
        made = found.get("createdTime")
        if found.get("version") != 1 or not isinstance(made, int) or not is_as_sent(found, item):
            return False
        return made in self.made_ms or (self.since_ms is not None and made >= self.since_ms)


class Instances(NotPickled):
    """Nodes of files: made, found, deleted; and what is known of their views."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._views: dict[ViewId, View] = {FILE_VIEW: CORE_FILE}
        self._lanes: RunVar[dict[str, anyio.CapacityLimiter]] = RunVar("cognite_nb_upload_lanes")

    # --- views and spaces -----------------------------------------------------------------------

    async def spaces(self) -> list[Space]:
        """The spaces of the project, but for CDF's own."""
        items = await self._rpc.pages("/models/spaces", None, None, {"includeGlobal": "false"})
        return [Space.from_cdf(one) for one in items if not one.get("isGlobal")]

    async def file_views(self) -> list[View]:
        """CogniteFile, and the views of the project that extend it, in their latest versions."""
        items = await self._rpc.pages("/models/views", None, None, _WHOLE)
        above = {_key(one): [_key(up) for up in one.get("implements") or ()] for one in items}
        views = [View.from_cdf(one) for one in items]
        found = [one for one in views if one.is_file or _reaches(one.id, above)]
        return [CORE_FILE, *(one for one in found if one.id != FILE_VIEW)]

    async def view(self, view: ViewId) -> View:
        """A view by its id; one without a version is the latest.

        Raises:
            UsageError: CDF has no such view.
        """
        if view not in self._views:
            reply = await self._rpc.post(
                "/models/views/byids", {"items": [view.to_cdf()]},
                params={"includeInheritedProperties": "true"}, what="to show the view",
            )  # fmt: skip
            if not reply["items"]:
                raise UsageError(f"CDF has no view {view}, or you may not read it.")
            latest = max(reply["items"], key=lambda one: one.get("createdTime") or 0)
            self._views[view] = View.from_cdf(latest)
        return self._views[view]

    # --- reading --------------------------------------------------------------------------------

    async def retrieve(
        self, ids: Sequence[NodeId], views: Sequence[ViewId] = ()
    ) -> dict[Key, Json]:
        """Nodes by (space, external id), a thousand a request; those that CDF has not are left out.

        With `views` only nodes that have data in each of them, with their properties.
        """
        found: dict[Key, Json] = {}
        sources = [{"source": one.to_cdf()} for one in views]
        for at in range(0, len(ids), MOST_NODES):
            body: Json = {"items": [_named(one) for one in ids[at : at + MOST_NODES]]}
            if sources:
                body["sources"] = sources
            async with self._lane("query"):
                reply = await self._rpc.post(
                    "/models/instances/byids", body, what="to look up nodes"
                )
            found |= {_key(one): one for one in reply["items"]}
        return found

    async def node(self, node: NodeId, views: Sequence[ViewId] = ()) -> Json | None:
        """One node; None where CDF has none, or it has no data in one of `views`."""
        return (await self.retrieve([node], views)).get((node.space, node.external_id))

    async def search(self, view: ViewId, query: str, limit: int = 30) -> list[FoundNode]:
        """Nodes with data in a view whose text resembles `query`, best first."""
        body: Json = {"view": view.to_cdf(), "instanceType": "node", "limit": limit}
        if query:
            body["query"] = query
        async with self._lane("query"):
            reply = await self._rpc.post(
                "/models/instances/search", body, what="to search for nodes"
            )
        return [FoundNode.from_cdf(one) for one in reply["items"]]

    async def is_uploaded(self, node: NodeId) -> bool:
        """What the node itself says of its content."""
        found = await self.node(node, [FILE_VIEW])
        shown = ((found or {}).get("properties") or {}).get(FILE_VIEW.space, {})
        label = f"{FILE_VIEW.external_id}/{FILE_VIEW.version}"
        return shown.get(label, {}).get("isUploaded") is True

    async def absent_since(self, node: NodeId) -> int | None:
        """CDF's clock, in ms since 1970, now that it has no such node; None where it has one."""
        return self._rpc.cdf_ms() if await self.node(node) is None else None

    async def why_not_found(self, node: NodeId) -> UsageError | None:
        """Why the file service does not know a node; None where it will, since it is a file."""
        if await self.node(node, [FILE_VIEW]) is not None:
            return None
        shown = _shown(node.to_cdf())
        if await self.node(node) is None:
            return UsageError(f"CDF has no node {shown}, or you may not read it.").hint(
                "upload(path, node=(space, external_id)) makes the node and sends the content."
            )
        return UsageError(f"The node {shown} is not a file: it has no data in CogniteFile.").hint(
            "Write the node through CogniteFile, or through a view that extends it."
        )

    # --- what a node points at ------------------------------------------------------------------

    async def item(self, node: FileNode) -> Json:
        """The item that makes a node: checked against its view, its relations looked up.

        Raises:
            UsageError: CDF would refuse something, or a node that it points at is not there.
        """
        item = item_of(node, await self.view(node.view_id))
        for why in (await self.lost_relations([item])).values():
            raise UsageError(why)
        return item

    async def lost_relations(self, items: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """Which items point at nodes that are not there, each with a sentence.

        CDF would make empty nodes of typing errors.
        """
        wanted = [await self._relations(one) for one in items]
        ids = sorted(
            {NodeId(one["space"], one["externalId"]) for each in wanted for _, one in each}
        )
        there = await self.retrieve(ids)
        wrong: dict[int, str] = {}
        for no, each in enumerate(wanted):
            for name, one in each:
                if _key(one) not in there:
                    wrong.setdefault(no, _lost(name, one))
        return wrong

    async def _relations(self, item: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
        found = [("type", item["type"])] if "type" in item else []
        for source in item["sources"]:
            view = await self.view(ViewId.of(source["source"]))
            found += relations(view, source["properties"])
        return found

    # --- writing --------------------------------------------------------------------------------

    async def insert(self, item: Json, own: Own, waiting: Tell | None = None) -> int | None:
        """Make a node; returns when it was made, in ms since 1970 by CDF's clock.

        A lost answer is cleared up by looking at what is there.

        Args:
            item: what `item()` made.
            own: by what a node that is there already is known to be this upload's own.
            waiting: is told what is waited for, and "" when it is over.

        Raises:
            APIError: (409) there is such a node, and it is not known to be ours; or CDF refused.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                new = [{**item, "existingVersion": 0}]
                (made,) = await self.apply(new, repeatable=False, waiting=waiting)
                return _made(made)
            except APIError as error:
                if error.code != _CONFLICT:
                    raise
                return await self._own(item, own, error)
            except Unanswered as silence:
                if await self.node(_id_of(item)) is not None:
                    return await self._own(item, own)
                if (wait_s := self._rpc.config.retry.wait_s(attempt)) is None:
                    raise CDFUnreachable(
                        f"CDF did not say whether it made the node {_shown(item)}."
                    ).hint("The same call looks, and goes on.") from silence
                await anyio.sleep(wait_s)

    async def _own(self, item: Json, own: Own, said: APIError | None = None) -> int | None:
        """When the node that is there was made, if it is our own.

        Raises:
            APIError: it is not, or may not be.
        """
        views = [ViewId.of(one["source"]) for one in item["sources"]]
        found = await self.node(_id_of(item), views) or await self.node(_id_of(item))
        if found is None or not own.holds(found, item):
            raise taken(item, found, said)
        return _made(found)

    async def upsert(self, item: Json, waiting: Tell | None = None) -> int | None:
        """Make a node or merge into the one that is there; returns when this surely made it.

        After a lost answer it is sent again, and then nothing tells whose the node was.
        """
        (result,) = await self.apply([item], waiting=waiting)
        new = result.get("version") == 1 and result.get("wasModified") is True
        return _made(result) if new else None

    async def apply(
        self, items: Sequence[Json], *, repeatable: bool = True, waiting: Tell | None = None
    ) -> list[Json]:
        """Write at most 1000 nodes, all of them or none; one request at a time."""
        what = "to write the node" if len(items) == 1 else f"to write {len(items)} nodes"
        async with self._lane("apply"):
            reply = await self._rpc.post(
                "/models/instances", {"items": list(items), **_APPLY}, repeatable=repeatable,
                what=what, waiting=waiting,
            )  # fmt: skip
        found: list[Json] = reply["items"]
        return found

    async def delete(self, node: NodeId) -> None:
        """Delete a node, and with it its file."""
        async with self._lane("delete"):
            await self._rpc.post(
                "/models/instances/delete", {"items": [_named(node)]}, what="to delete the node"
            )

    async def delete_own(self, node: NodeId, made_ms: int) -> str:
        """Delete a node that was made at `made_ms` and not changed since; else says why not."""
        found = await self.node(node)
        if found is None:
            return ""
        if found.get("version") != 1 or _made(found) != made_ms:
            return "it was changed or made again since."
        await self.delete(node)
        return ""

    @asynccontextmanager
    async def _lane(self, which: str) -> AsyncIterator[None]:
        """One of the requests of this kind that may run at once."""
        try:
            lanes = self._lanes.get()
        except LookupError:
            lanes = {name: anyio.CapacityLimiter(most) for name, most in _AT_ONCE.items()}
            self._lanes.set(lanes)
        async with lanes[which]:
            yield


def taken(item: Mapping[str, Any], found: Json | None, said: APIError | None = None) -> APIError:
    """The error that a node is there already."""
    version = f" (version {found['version']})" if found and "version" in found else ""
    error = APIError(
        f"the node {_shown(item)} exists already{version}",
        code=_CONFLICT,
        request_id=said.request_id if said else None,
        duplicated=[{"space": item["space"], "externalId": item["externalId"]}],
        what="to make the node",
    )
    return error.hint(
        "Nothing was changed in it. Choose another external id, or overwrite it (overwrite=True): "
        "that sets its properties and replaces its content."
    )


def _made(result: Mapping[str, Any]) -> int | None:
    made = result.get("createdTime")
    return made if isinstance(made, int) else None


def _key(item: Mapping[str, Any]) -> Key:
    return item["space"], item["externalId"]


def _id_of(item: Mapping[str, Any]) -> NodeId:
    return NodeId(item["space"], item["externalId"])


def _named(node: NodeId) -> Json:
    return {"instanceType": "node", **node.to_cdf()}


def _shown(item: Mapping[str, Any]) -> str:
    return f"({item['space']!r}, {item['externalId']!r})"


def _lost(name: str, node: Mapping[str, str]) -> str:
    return (
        f"{name} points at the node {_shown(node)}, which is not there, or you may not read it: "
        "correct it, or make that node first."
    )


def _reaches(view: ViewId, above: Mapping[Key, list[Key]]) -> bool:
    """True where a view implements CogniteFile through others."""
    seen: set[Key] = set()
    left = [(view.space, view.external_id)]
    while left:
        key = left.pop()
        if key == (FILE_VIEW.space, FILE_VIEW.external_id):
            return True
        if key not in seen:
            seen.add(key)
            left += above.get(key, [])
    return False
