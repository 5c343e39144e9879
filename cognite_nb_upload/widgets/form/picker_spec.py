"""What pickers pick: how it is called, how many, and how ids that are typed are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cognite_nb_upload.core.unseen import trimmed
from cognite_nb_upload.models import Label
from cognite_nb_upload.models.parse import parted
from cognite_nb_upload.widgets.form.choices import Key, node_key


@dataclass(frozen=True, slots=True)
class PickerSpec:
    """What a picker picks.

    Attributes:
        one, many: what a reader calls it.
        most: how many may be picked.
        typed: the keys that a typed text is, or None.
        value: what `FileMetadata` takes, from the keys picked.
        keys: the other way round.
    """

    one: str
    many: str
    most: int
    typed: Callable[[str], tuple[Key, ...] | None]
    value: Callable[[tuple[Any, ...]], Any]
    keys: Callable[[Any], tuple[Key, ...]]


def typed_ids(text: str) -> tuple[int, ...] | None:
    """Ids as one types or pastes them, parted by spaces, commas or semicolons; None: it is no id.

    A table's floats (7.0) are ids. A space that does not break stands within a number.
    """
    words = re.split(r"[ \t\r\n,;]+", trimmed(text))
    good = all(re.fullmatch(r"[0-9]{1,16}(\.0+)?", one) for one in words)
    return tuple(dict.fromkeys(int(one.partition(".")[0]) for one in words)) if good else None


def typed_labels(text: str) -> tuple[str, ...] | None:
    """External ids as one types or pastes them, parted by commas, semicolons, tabs or lines."""
    words = (trimmed(one) for one in parted(text, ",;\t\r\n"))
    return tuple(dict.fromkeys(filter(None, words))) or None


DATA_SET: Final = PickerSpec(
    "data set", "data sets", 1, typed_ids, lambda keys: keys[0], lambda value: (value,)
)
LABELS: Final = PickerSpec(
    "label",
    "labels",
    10,
    typed_labels,
    lambda keys: tuple(Label(one) for one in keys),
    lambda value: tuple(one.external_id for one in value),
)
ASSETS: Final = PickerSpec("asset", "assets", 1000, typed_ids, tuple, tuple)


def typed_node(text: str) -> tuple[str, ...] | None:
    """Nodes typed as space/external id, each on a line or in a cell; None where one is none."""
    keys = []
    for one in re.split(r"[\t\r\n]+", text.strip()):
        space, slash, external_id = one.strip().partition("/")
        if not (space and slash and external_id):
            return None
        keys.append(node_key(space, external_id))
    return tuple(dict.fromkeys(keys))


def nodes_of(keys: tuple[str, ...]) -> list[dict[str, str]]:
    """Nodes by their keys, as CDF's JSON has them."""
    parts = (key.partition("/") for key in keys)
    return [{"space": space, "externalId": external_id} for space, _, external_id in parts]


def keys_of(value: Any) -> tuple[str, ...]:
    """The keys of nodes."""
    several = value if isinstance(value, list) else [value]
    return tuple(node_key(one["space"], one["externalId"]) for one in several)


def nodes(many: bool, most: int) -> PickerSpec:
    """Picks one node, or several."""
    return PickerSpec(
        "node",
        "nodes",
        most if many else 1,
        typed_node,
        nodes_of if many else lambda keys: nodes_of(keys)[0],
        keys_of,
    )


SPACE: Final = PickerSpec(
    "space", "spaces", 1, lambda text: (text.strip(),), lambda keys: keys[0], lambda one: (one,)
)
VIEW: Final = PickerSpec(
    "view", "views", 1, lambda _: None, lambda keys: keys[0], lambda one: (one,)
)
SECURITY_CATEGORIES: Final = PickerSpec(
    "security category", "security categories", 100, typed_ids, tuple, tuple
)
