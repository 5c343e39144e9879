"""What pickers pick: how it is called, how many, and how ids that are typed are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cognite_nb_upload.models import Label
from cognite_nb_upload.widgets.form.choices import Key


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
    """Ids as one types them, parted by spaces, commas or semicolons; None where it is no id."""
    words = re.split(r"[\s,;]+", text.strip())
    good = all(re.fullmatch(r"[0-9]{1,16}", one) for one in words)
    return tuple(dict.fromkeys(map(int, words))) if good else None


DATA_SET: Final = PickerSpec(
    "data set", "data sets", 1, typed_ids, lambda keys: keys[0], lambda value: (value,)
)
LABELS: Final = PickerSpec(
    "label",
    "labels",
    10,
    lambda text: (text.strip(),),
    lambda keys: tuple(Label(one) for one in keys),
    lambda value: tuple(one.external_id for one in value),
)
ASSETS: Final = PickerSpec("asset", "assets", 1000, typed_ids, tuple, tuple)
SECURITY_CATEGORIES: Final = PickerSpec(
    "security category", "security categories", 100, typed_ids, tuple, tuple
)
