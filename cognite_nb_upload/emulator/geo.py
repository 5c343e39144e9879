"""Geometries: their shape, as CDF takes it, and how two of them lie to each other in the plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import rules
from .rules import Check, Json, any_object, many, need, obj, one_of

MOST = 10_000  # positions of one geometry; ours, so that comparing two of them ends

# ---- shape ------------------------------------------------------------------------------------

position = many(rules.finite, 2, 2)


def ring(name: str, value: Any) -> None:
    many(position, 4, MOST)(name, value)
    need(value[0] == value[-1], f"{name} must be closed: its last position is its first")


_LINE = many(position, 2, MOST)
_POLYGON = many(ring, 1, MOST)
GEOMETRIES: dict[str, Check] = {
    "Point": position,
    "MultiPoint": many(position, 1, MOST),
    "LineString": _LINE,
    "MultiLineString": many(_LINE, 1, MOST),
    "Polygon": _POLYGON,
    "MultiPolygon": many(_POLYGON, 1, MOST),
}


def geometry(name: str, value: Any) -> None:
    any_object(name, value)
    kind = value.get("type")
    known = isinstance(kind, str) and kind in GEOMETRIES
    need(known, f"{name}.type must be one of {', '.join(GEOMETRIES)}")
    fields = {"type": one_of(kind), "coordinates": GEOMETRIES[str(kind)]}
    obj(fields, list(fields))(name, value)
    need(len(list(_positions(value["coordinates"]))) <= MOST, f"{name} has over {MOST} positions")


location = obj(
    {"type": one_of("Feature"), "geometry": geometry, "properties": any_object},
    ["type", "geometry"],
)


def _positions(coordinates: Any) -> Iterator[Any]:
    if coordinates and not isinstance(coordinates[0], list):
        yield coordinates
        return
    for inner in coordinates:
        yield from _positions(inner)


# ---- relation ---------------------------------------------------------------------------------

RELATIONS = ("INTERSECTS", "DISJOINT", "WITHIN")


def _relation(name: str, value: Any) -> None:
    """In small letters, too: the official SDK's own tests write it so."""
    one_of(*RELATIONS)(name, value.upper() if isinstance(value, str) else value)


filter_check = obj({"relation": _relation, "shape": geometry}, ["relation", "shape"])


def condition(value: Json, _: Any) -> Callable[[Json], bool]:
    """Whether a document's `geoLocation` intersects, avoids or is within the shape."""
    import numpy as np  # both take half a second, which no start should wait for
    import shapely

    def shape_of(geometry: Json) -> Any:
        """A shape in the plane; one that crosses itself becomes what it encloses."""
        return shapely.make_valid(shapely.geometry.shape(geometry))

    relation = str(value["relation"]).upper()
    # Coordinates near the largest number overflow: such a shape lies nowhere, which is no error.
    with np.errstate(all="ignore"):
        shape = shape_of(value["shape"])

    def passes(doc: Json) -> bool:
        if "geoLocation" not in doc:
            return False
        with np.errstate(all="ignore"):
            own = shape_of(doc["geoLocation"]["geometry"])
            if relation == "WITHIN":
                return bool(own.covered_by(shape))
            return bool(own.intersects(shape)) is (relation == "INTERSECTS")

    return passes
