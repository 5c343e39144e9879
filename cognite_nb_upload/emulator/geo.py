"""Geometries: their shape, as CDF takes it, and how two of them lie to each other in the plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from . import rules
from .rules import Check, Json, any_object, many, need, obj, one_of

Point = tuple[float, float]
Segment = tuple[Point, Point]
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


def _positions(coordinates: Any) -> Iterator[Point]:
    if coordinates and not isinstance(coordinates[0], list):
        yield (coordinates[0], coordinates[1])
        return
    for inner in coordinates:
        yield from _positions(inner)


# ---- relation ---------------------------------------------------------------------------------

RELATIONS = ("INTERSECTS", "DISJOINT", "WITHIN")


def _relation(name: str, value: Any) -> None:
    """In small letters, too: the official SDK's own tests write it so."""
    one_of(*RELATIONS)(name, value.upper() if isinstance(value, str) else value)


filter_check = obj({"relation": _relation, "shape": geometry}, ["relation", "shape"])


def condition(value: Json, _: Any) -> Any:
    """Whether a document's `geoLocation` intersects, avoids or is within the shape."""
    shape, relation = Shape.of(value["shape"]), str(value["relation"]).upper()

    def passes(doc: Json) -> bool:
        if "geoLocation" not in doc:
            return False
        own = Shape.of(doc["geoLocation"]["geometry"])
        if relation == "WITHIN":
            return own.is_within(shape)
        return own.intersects(shape) is (relation == "INTERSECTS")

    return passes


@dataclass
class Shape:
    """A geometry as points, segments (the edges of polygons, too) and polygons of rings."""

    points: list[Point] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    polygons: list[list[list[Point]]] = field(default_factory=list)

    @classmethod
    def of(cls, geometry: Json) -> Shape:
        kind, coordinates, shape = geometry["type"], geometry["coordinates"], cls()
        single = [coordinates] if not kind.startswith("Multi") else coordinates
        for each in single:
            lines = [[each]] if kind.endswith("Point") else [each]
            lines = each if kind.endswith("Polygon") else lines
            rings = [[(float(x), float(y)) for x, y in line] for line in lines]
            for line in rings:
                shape.points += line
                shape.segments += pairwise(line)
            if kind.endswith("Polygon"):
                shape.polygons.append(rings)
        return shape

    def intersects(self, other: Shape) -> bool:
        return (
            any(other.covers(point) for point in self.points)
            or any(self.covers(point) for point in other.points)
            or any(_cross(a, b) for a in self.segments for b in other.segments)
        )

    def is_within(self, other: Shape) -> bool:
        """Every point of this one is one of the other."""
        cut = (point for each in self.segments for point in _pieces(each, other))
        if not all(other.covers(point) for point in (*self.points, *cut)):
            return False
        holes = [point for rings in other.polygons for hole in rings[1:] for point in hole]
        return not any(self._inside(point) for point in holes)

    def covers(self, point: Point) -> bool:
        """Whether the point is on or in the shape."""
        return (
            point in self.points
            or any(_on(point, segment) for segment in self.segments)
            or self._inside(point)
        )

    def _inside(self, point: Point) -> bool:
        """Strictly inside of a polygon: in its outer ring, in none of its holes, on no edge."""
        if any(_on(point, segment) for segment in self.segments):
            return False
        return any(
            _odd(point, rings[0]) and not any(_odd(point, hole) for hole in rings[1:])
            for rings in self.polygons
        )


def _side(a: Point, b: Point, c: Point) -> float:
    """Positive if `c` is left of the line from `a` to `b`, 0 if it is on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _on(point: Point, segment: Segment) -> bool:
    a, b = segment
    in_box = min(a[0], b[0]) <= point[0] <= max(a[0], b[0]) and (
        min(a[1], b[1]) <= point[1] <= max(a[1], b[1])
    )
    if not in_box:
        return False
    span = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    return abs(_side(a, b, point)) <= 1e-12 * max(span * span, 1e-300)


def _cross(one: Segment, other: Segment) -> bool:
    """Whether the insides of two segments cross; ends that touch are seen as covered points."""
    (a, b), (c, d) = one, other
    if max(a[0], b[0]) < min(c[0], d[0]) or max(c[0], d[0]) < min(a[0], b[0]):
        return False
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _pieces(segment: Segment, other: Shape) -> Iterator[Point]:
    """The middle of each piece of `segment` between its meetings with the edges of `other`."""
    (a, b), steps = segment, {0.0, 1.0}
    for c, d in other.segments:
        along, across = _side(c, d, a), _side(c, d, b)
        if _cross(segment, (c, d)):
            steps.add(along / (along - across))
        steps.update(_step(segment, point) for point in (c, d) if _on(point, segment))
    marks: Sequence[float] = sorted(steps)
    for low, high in pairwise(marks):
        middle = (low + high) / 2
        yield (a[0] + (b[0] - a[0]) * middle, a[1] + (b[1] - a[1]) * middle)


def _step(segment: Segment, point: Point) -> float:
    """How far along the segment the point is, from 0 to 1."""
    (a, b) = segment
    axis = 0 if abs(b[0] - a[0]) >= abs(b[1] - a[1]) else 1
    length = b[axis] - a[axis]
    return (point[axis] - a[axis]) / length if length else 0.0


def _odd(point: Point, ring: Sequence[Point]) -> bool:
    """Whether a ray to the right meets the ring an odd number of times."""
    (x, y), odd = point, False
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd
