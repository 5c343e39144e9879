"""A file of the data model: a node with data in CogniteFile, and what a caller says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self, TypedDict

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import properties as props
from cognite_nb_upload.models.ids import NodeId, NodeIdLike, as_node_id
from cognite_nb_upload.models.views import CORE_FILE, FILE_VIEW, View, ViewId
from cognite_nb_upload.models.wire import camel


class NodeFields(TypedDict, total=False):
    """The keywords that only a file of the data model has."""

    description: str | None
    tags: Iterable[str] | None
    aliases: Iterable[str] | None
    assets: Iterable[NodeIdLike] | None
    category: NodeIdLike | None
    source_system: NodeIdLike | None
    source_id: str | None
    source_context: str | None
    source_updated_time: int | datetime | str | None
    source_created_user: str | None
    source_updated_user: str | None


NODE_ONLY: Final = tuple(NodeFields.__annotations__)
# Keywords of both kinds of file.
_SHARED: Final = ("name", "mime_type", "directory", "source_created_time")
NODE_FIELDS: Final = (*_SHARED, *NODE_ONLY)
# What a classic file has and a node has not, and what stands in its place.
INSTEAD: Final[Mapping[str, str]] = {
    "external_id": "the node's own external id",
    "source": "source_system=(space, external_id)",
    "metadata": "properties of a view that extends CogniteFile",
    "asset_ids": "assets=[(space, external_id)]",
    "data_set_id": "the node's space",
    "labels": "tags=[...] or category=(space, external_id)",
    "geo_location": "properties of a view that extends CogniteFile",
    "source_modified_time": "source_updated_time",
    "security_categories": "the node's space",
}


@dataclass(frozen=True, slots=True)
class FileNode:
    """The node of a file: where it is, and its properties in a view.

    Attributes:
        space: of the node.
        external_id: there, 1 to 256 characters.
        view: that extends CogniteFile: (space, external id, version) or a `ViewId`; CogniteFile
            itself when None. Without a version it is the latest.
        properties: by their names in the view.
        type: the node's own type, another node.
    """

    space: str
    external_id: str
    view: ViewId | tuple[str, ...] | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    type: NodeIdLike | None = None

    def __post_init__(self) -> None:
        NodeId(self.space, self.external_id)

    @property
    def id(self) -> NodeId:
        """Its space and external id."""
        return NodeId(self.space, self.external_id)

    @property
    def view_id(self) -> ViewId:
        """The view that its properties are in."""
        return FILE_VIEW if self.view is None else ViewId.of(self.view)

    @classmethod
    def of(cls, value: object) -> Self:
        """A node from ours, (space, external id), an official `NodeId`, `NodeApply` or its dict.

        Raises:
            UsageError: `value` is none of these.
        """
        if isinstance(value, cls):
            return value
        dump = getattr(value, "dump", None)
        item = dump() if callable(dump) else value
        if not isinstance(item, Mapping):
            known = as_node_id(value)  # type: ignore[arg-type] # it says what it takes
            return cls(known.space, known.external_id)
        known = as_node_id(item)
        sources = [one for one in item.get("sources") or () if isinstance(one, Mapping)]
        views = {ViewId.of(one["source"]): dict(one.get("properties") or {}) for one in sources}
        core = views.pop(FILE_VIEW, {})
        if len(views) > 1:
            named = " and ".join(map(str, views))
            raise UsageError(f"A file's node is written through one view, not {named}.")
        view, own = next(iter(views.items()), (None, {}))
        return cls(known.space, known.external_id, view, {**core, **own}, item.get("type"))

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON, as a journal keeps it; `from_json` reads it."""
        found = {**self.id.to_cdf(), "view": self.view_id.to_cdf()}
        found["properties"] = dict(self.properties)
        return found | ({"type": as_node_id(self.type).to_cdf()} if self.type is not None else {})

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Self:
        """The node that `to_json` made `item` of."""
        view = ViewId.of(item["view"])
        return cls(
            item["space"], item["externalId"], None if view == FILE_VIEW else view,
            dict(item["properties"]), item.get("type"),
        )  # fmt: skip


def property_of(keyword: str) -> str:
    """The property of CogniteFile that a keyword sets."""
    return "source" if keyword == "source_system" else camel(keyword)


FileNodeLike = FileNode | NodeIdLike | Mapping[str, Any]


def node_of(node: object, fields: Mapping[str, Any]) -> FileNode:
    """The node that a call describes, with its keywords as properties, checked as far as known.

    Raises:
        UsageError: CDF would refuse something; every bad field is named.
    """
    found = FileNode.of(node)
    given = {name: value for name, value in fields.items() if value is not None}
    wrong = [
        f"{name} is a field of classic files; of a file in the data model it is {INSTEAD[name]}."
        for name in given
        if name in INSTEAD
    ]
    if wrong:
        raise UsageError(" ".join(wrong))
    named = {property_of(name): value for name, value in given.items()}
    said = {**found.properties, **named}
    core = {name: value for name, value in said.items() if name in CORE_FILE.properties}
    if found.view is None:
        return replace(found, properties=props.checked(CORE_FILE, said))
    plain = {name: props.plain(name, value) for name, value in said.items() if value is not None}
    return replace(found, properties={**plain, **props.checked(CORE_FILE, core)})


def item_of(node: FileNode, view: View) -> dict[str, Any]:
    """The item that creates a node (POST /models/instances), checked against its view.

    Its data in CogniteFile is always named, since a node without is no file.

    Raises:
        UsageError: CDF would refuse something; every bad property is named.
    """
    if not view.is_file:
        raise UsageError(f"The view {view.id} does not extend CogniteFile: its nodes are no files.")
    # A view may hold CogniteFile without all of its properties; those are written beside it.
    view = replace(view, properties={**CORE_FILE.properties, **view.properties})
    found = props.checked(view, node.properties)
    core = {
        name: value
        for name, value in found.items()
        if view.properties[name].core and name in CORE_FILE.properties
    }
    own = {name: value for name, value in found.items() if name not in core}
    sources = [{"source": FILE_VIEW.to_cdf(), "properties": core}]
    if view.id != FILE_VIEW:
        sources.insert(0, {"source": view.id.to_cdf(), "properties": own})
    item = {"instanceType": "node", **node.id.to_cdf(), "sources": sources}
    return item | ({"type": as_node_id(node.type).to_cdf()} if node.type is not None else {})


def is_as_sent(found: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """True if a node that CDF shows has every property of `item` as it was sent."""
    shown = found.get("properties") or {}
    for source in item["sources"]:
        view = ViewId.of(source["source"])
        has = shown.get(view.space, {}).get(f"{view.external_id}/{view.version}", {})
        if any(not _equal(has.get(name), value) for name, value in source["properties"].items()):
            return False
    return True


def _equal(one: Any, two: Any) -> bool:
    if one == two:
        return True
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_equal, one, two))
    try:  # CDF may write the same moment in another way
        return bool(datetime.fromisoformat(one) == datetime.fromisoformat(two))
    except (TypeError, ValueError):
        return False
