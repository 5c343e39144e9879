"""Views of a data model: which properties a node has in them, and of what type each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from cognite_nb_upload.errors import UsageError

CORE: Final = "cdf_cdm"
_MOST_ITEMS: Final = 1000
_MOST_RELATIONS: Final = 100


@dataclass(frozen=True, slots=True, order=True)
class ViewId:
    """A view: its space, external id and version; "" is the latest version."""

    space: str
    external_id: str
    version: str = ""

    @classmethod
    def of(cls, value: object) -> Self:
        """A view from ours, the official SDK's `ViewId`, a dict, or (space, external id, version).

        Raises:
            UsageError: `value` is none of these.
        """
        if isinstance(value, Mapping):
            given = [value.get("space"), value.get("externalId", value.get("external_id"))]
            given.append(value.get("version"))
        elif isinstance(value, tuple | list) and len(value) in (2, 3):
            given = [*value, None][:3]
        else:
            given = [getattr(value, name, None) for name in ("space", "external_id", "version")]
        space, external_id, version = given
        texts = (space, external_id, version or "")
        if not all(isinstance(one, str) for one in texts) or not (space and external_id):
            raise UsageError(
                "A view is (space, external id, version), the official ViewId, or ours, not "
                f"{type(value).__name__}."
            )
        return cls(str(space), str(external_id), version or "")

    def to_cdf(self) -> dict[str, str]:
        """`{"type": "view", "space": ..., "externalId": ..., "version": ...}`."""
        found = {"type": "view", "space": self.space, "externalId": self.external_id}
        return found | ({"version": self.version} if self.version else {})

    def __str__(self) -> str:
        return "/".join(filter(None, (self.space, self.external_id, self.version)))


FILE_VIEW: Final = ViewId(CORE, "CogniteFile", "v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewProperty:
    """A property of a view.

    Attributes:
        kind: text, int32, int64, float32, float64, boolean, timestamp, date, json, direct, enum...
        many: it holds a list of at most `most` items.
        nullable: it may be left out.
        default: its value where it is left out.
        target: the view that the node of a direct relation has to fit.
        values: of an enum: the name of each, by its id.
        core: it is stored in a container of CDF's own (`cdf_cdm`).
    """

    name: str
    kind: str
    many: bool = False
    most: int = _MOST_ITEMS
    nullable: bool = True
    default: Any = None
    title: str = ""
    description: str = ""
    target: ViewId | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    core: bool = False
    column: str = ""

    @classmethod
    def from_cdf(cls, name: str, item: Mapping[str, Any]) -> Self | None:
        """A property from CDF's JSON; None for what a node does not hold itself (connections)."""
        kind = item.get("type")
        if not isinstance(kind, Mapping) or not isinstance(kind.get("type"), str):
            return None
        many, direct = kind.get("list") is True, kind["type"] == "direct"
        source = kind.get("source", item.get("source"))
        container = item.get("container") or {}
        values = kind.get("values") or {}
        return cls(
            name=name,
            kind=kind["type"],
            many=many,
            most=kind.get("maxListSize") or (_MOST_RELATIONS if direct else _MOST_ITEMS),
            nullable=item.get("nullable") is not False,
            default=item.get("defaultValue"),
            title=item.get("name") or name,
            description=item.get("description") or "",
            target=ViewId.of(source) if direct and source else None,
            values={key: (one or {}).get("name") or key for key, one in values.items()},
            core=container.get("space") == CORE,
            column=item.get("containerPropertyIdentifier") or name,
        )

    @property
    def required(self) -> bool:
        """True where CDF refuses a new node without it."""
        return not self.nullable and self.default is None

    @property
    def of_service(self) -> bool:
        """True where CDF's file service alone sets it."""
        return self.core and self.column in ("isUploaded", "uploadedTime")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view, with the properties of those that it implements.

    Attributes:
        is_file: its nodes are files: it implements CogniteFile, or holds properties of it.
    """

    id: ViewId
    title: str = ""
    description: str = ""
    properties: Mapping[str, ViewProperty] = field(default_factory=dict)
    is_file: bool = False

    @classmethod
    def from_cdf(cls, item: Mapping[str, Any]) -> Self:
        """A view from CDF's JSON."""
        given = item.get("properties") or {}
        found = (ViewProperty.from_cdf(name, one) for name, one in given.items())
        above = [ViewId.of(one) for one in item.get("implements") or ()]
        inside = [(one.get("container") or {}) for one in given.values()]
        return cls(
            id=ViewId.of(item),
            title=item.get("name") or item["externalId"],
            description=item.get("description") or "",
            properties={one.name: one for one in found if one is not None},
            is_file=ViewId.of(item) == FILE_VIEW
            or any((one.space, one.external_id) == (CORE, "CogniteFile") for one in above)
            or any((one.get("space"), one.get("externalId")) == (CORE, "CogniteFile")
                   for one in inside),
        )  # fmt: skip


def _core(kind: str, *names: str, many: bool = False, target: str = "") -> list[ViewProperty]:
    most = _MOST_RELATIONS if kind == "direct" else _MOST_ITEMS
    view = ViewId(CORE, target, "v1") if target else None
    return [
        ViewProperty(
            name=name, kind=kind, many=many, most=most, target=view, core=True, title=name,
            column=name,
        )
        for name in names
    ]  # fmt: skip


# CogniteFile v1, as the official SDK has it.
CORE_FILE: Final = View(
    id=FILE_VIEW,
    title="File",
    is_file=True,
    properties={
        one.name: one
        for one in (
            *_core("text", "name", "description"),
            *_core("text", "tags", "aliases", many=True),
            *_core("text", "mimeType", "directory", "sourceId", "sourceContext"),
            *_core("text", "sourceCreatedUser", "sourceUpdatedUser"),
            *_core("timestamp", "sourceCreatedTime", "sourceUpdatedTime"),
            *_core("direct", "assets", many=True, target="CogniteAsset"),
            *_core("direct", "category", target="CogniteFileCategory"),
            *_core("direct", "source", target="CogniteSourceSystem"),
            *_core("boolean", "isUploaded"),
            *_core("timestamp", "uploadedTime"),
        )
    },
)
