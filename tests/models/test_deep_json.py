"""JSON that is nested far too deep is one sentence, wherever a person can give some."""

from __future__ import annotations

from typing import Any

import pytest

from cognite_nb_upload import FileMetadata, UsageError
from cognite_nb_upload.models.parse import pairs_of

DEEP = "[" * 5000 + "]" * 5000


def nested() -> list[Any]:
    outer = inner = []
    for _ in range(5000):
        inner.append([])
        inner = inner[0]
    return outer


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (DEEP, "not GeoJSON: it is nested too deep"),
        (
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [1, 2]},
                "properties": {"a": nested()},
            },
            "properties of a Feature are nested too deep",
        ),
    ],
)
def test_a_location_that_is_nested_too_deep_is_told(location: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FileMetadata.of(name="a", geo_location=location)


def test_pasted_pairs_that_are_nested_too_deep_are_told() -> None:
    with pytest.raises(UsageError):
        pairs_of('{"a": ' + DEEP + "}")
