"""What is known by a name of its own: labels, and nodes of a data model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from cognite_nb_upload.errors import UsageError

# InstanceSpace in CDF's API description.
_SPACE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,41}[a-zA-Z0-9]?")
# The data modelling API takes any text but NUL as the id of a node.
_MOST_EXTERNAL_ID: Final = 256
_RESERVED: Final = frozenset("space cdf dms pg3 shared system node edge".split())


class HasExternalId(Protocol):
    """Anything with an `external_id`, such as the official SDK's `Label`."""

    @property
    def external_id(self) -> str | None:
        """The id its maker gave it."""
        ...


class HasNodeId(Protocol):
    """Anything with a `space` and an `external_id`, such as the official SDK's `NodeId`."""

    @property
    def space(self) -> str:
        """The space it lives in."""
        ...

    @property
    def external_id(self) -> str:
        """Its id in that space."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """A label on a file, by the external id of its definition, which must exist in CDF."""

    external_id: str

    @classmethod
    def of(cls, value: LabelLike) -> Self:
        """A label from ours, the official SDK's, `{"externalId": ...}`, or the external id itself.

        Raises:
            UsageError: `value` is none of these.
        """
        found = value if isinstance(value, str) else _external_id(value)
        if not isinstance(found, str):
            raise UsageError(f"a label is its external id or a Label, not {type(value).__name__}")
        return cls(str(found))

    def to_cdf(self) -> dict[str, str]:
        """`{"externalId": ...}`."""
        return {"externalId": self.external_id}


@dataclass(frozen=True, slots=True, order=True)
class NodeId:
    """A file's node in a data model: its space and its external id there."""

    space: str
    external_id: str

    def __post_init__(self) -> None:
        if not isinstance(self.space, str) or not _SPACE.fullmatch(self.space):
            raise UsageError(
                f"The space of a node is {self.space!r}; a space starts with a letter, "
                "and has at most 43 letters, digits, '_' and '-'."
            )
        if self.space in _RESERVED:
            raise UsageError(f"The space {self.space!r} is reserved: no node can be in it.")
        if not isinstance(self.external_id, str) or not self.external_id:
            raise UsageError("The external id of a node is text, and not empty.")
        if "\x00" in self.external_id:
            raise UsageError("The external id of a node holds NUL, which CDF does not take.")
        if len(self.external_id) > _MOST_EXTERNAL_ID:
            raise UsageError(
                f"The external id of a node has {len(self.external_id)} characters; "
                f"CDF takes at most {_MOST_EXTERNAL_ID}."
            )

    def to_cdf(self) -> dict[str, str]:
        """`{"space": ..., "externalId": ...}`."""
        return {"space": self.space, "externalId": self.external_id}


LabelLike = Label | HasExternalId | Mapping[str, Any] | str
NodeIdLike = NodeId | HasNodeId | Mapping[str, Any] | tuple[str, str]


def as_node_id(value: NodeIdLike) -> NodeId:
    """A node's id from ours, the official SDK's, a dict, or `(space, external_id)`.

    Raises:
        UsageError: `value` is none of these, or CDF would refuse it.
    """
    if isinstance(value, NodeId):
        return value
    if isinstance(value, tuple | list) and len(value) == 2:
        return NodeId(*value)
    space = value.get("space") if isinstance(value, Mapping) else getattr(value, "space", None)
    external_id = _external_id(value)
    if space is None or external_id is None:
        raise UsageError(
            f"An instance id is a NodeId or (space, external_id), not {type(value).__name__}."
        )
    return NodeId(space, external_id)


def _external_id(value: object) -> Any:
    if isinstance(value, Mapping):
        return value.get("externalId", value.get("external_id"))
    return getattr(value, "external_id", None)
