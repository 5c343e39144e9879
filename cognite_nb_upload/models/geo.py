"""Where a file belongs on earth: the part of GeoJSON that CDF takes.

Rules of this file: a Feature around one geometry; no GeometryCollection; a position is exactly two
finite numbers, longitude first; nothing is held that CDF would refuse.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, Literal, Protocol, Self, TypeVar

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models.crs import crs_of, degrees_from

Position = tuple[float, float]
_T = TypeVar("_T")


class HasDump(Protocol):
    """Anything that dumps itself as a dict, such as the official SDK's `GeoLocation`."""

    def dump(self) -> Mapping[str, Any]:
        """GeoJSON, as a dict."""
        ...


@dataclass(frozen=True, slots=True)
class Geometry:
    """Points, lines or areas; `coordinates` is held as tuples.

    Shapes, n counting positions: Point (2,); MultiPoint (n, 2); LineString (n, 2), n >= 2;
    MultiLineString: LineStrings; Polygon: rings of (n, 2), n >= 4, closed; MultiPolygon: Polygons.
    Longitude first.

    Raises:
        UsageError: CDF would refuse it; the sentence says which position, and why.
    """

    type: str
    coordinates: Any

    def __post_init__(self) -> None:
        read = _READERS.get(self.type) if isinstance(self.type, str) else None
        if read is None:
            raise UsageError(f"{self.type!r} is no geometry that CDF takes; use {_TYPES}.")
        object.__setattr__(self, "coordinates", read(self.coordinates, self.type))

    def to_cdf(self) -> dict[str, Any]:
        """The geometry as GeoJSON."""
        return {"type": self.type, "coordinates": _as_lists(self.coordinates)}

    @property
    def positions(self) -> tuple[Position, ...]:
        """Every position, in order."""
        return tuple(_flat(self.coordinates))


@dataclass(frozen=True, slots=True)
class GeoLocation:
    """A GeoJSON Feature: one geometry, and what else is said of it.

    The arguments are in the official SDK's order; `GeoLocation.of(geometry)` is shorter.

    Raises:
        UsageError: CDF would refuse it.
    """

    type: Literal["Feature"] = "Feature"
    geometry: Geometry = None  # type: ignore[assignment] # left out, it is refused below
    properties: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.type != "Feature":
            raise UsageError(f"CDF takes a GeoJSON Feature, not {self.type!r}.")
        object.__setattr__(self, "geometry", _geometry(self.geometry))
        object.__setattr__(self, "properties", _properties(self.properties))

    @classmethod
    def point(cls, longitude: float, latitude: float) -> Self:
        """One place, in degrees: east (-180 to 180), then north (-90 to 90).

        Raises:
            UsageError: a number is outside its range.
        """
        location = cls(geometry=Geometry("Point", (longitude, latitude)))
        if location.doubt:
            raise UsageError(location.doubt)
        return location

    @classmethod
    def of(cls, value: GeoLike, crs: object | None = None) -> GeoLocation:
        """A location from ours, the official SDK's, shapely's, GeoPandas', or GeoJSON.

        A bare geometry is wrapped; a FeatureCollection is taken when it holds one Feature. GeoJSON
        is a dict or text. What says that it is in another reference system than longitude and
        latitude in degrees (WGS 84), by the `crs` of a GeoDataFrame or GeoSeries, the `crs` member
        of GeoJSON or a geometry's SRID, is converted by pyproj.

        Args:
            value: a place.
            crs: the reference system of a value that names none, as a column of GeoPandas has it
                for its cells; anything that pyproj reads.

        Raises:
            UsageError: it is none of these, CDF would refuse it, or it is in another reference
                system and pyproj is not installed.
        """
        if isinstance(value, GeoLocation):
            return value
        if isinstance(value, Geometry):
            return cls(geometry=value)
        given = _as_mapping(value)
        crs = crs_of(value) or crs_of(given) or crs
        return _location(given) if crs is None else _in_degrees(_location(given), crs)

    @property
    def doubt(self) -> str | None:
        """What looks wrong: CDF itself sets no range of degrees, and takes no positions at all."""
        if not self.geometry.positions:  # as an intersection may be
            return f"The {self.geometry.type} is empty: it has no position."
        for longitude, latitude in self.geometry.positions:
            if abs(latitude) > 90:
                swapped = "; are the two swapped?" if abs(longitude) <= 90 else "."
                return f"The latitude {latitude:g} is outside -90 to 90{swapped}"
            if abs(longitude) > 180:
                return f"The longitude {longitude:g} is outside -180 to 180."
        return None

    def to_cdf(self) -> dict[str, Any]:
        """The location as a GeoJSON Feature; `properties` only where given."""
        feature: dict[str, Any] = {"type": "Feature", "geometry": self.geometry.to_cdf()}
        return feature if self.properties is None else feature | {"properties": self.properties}


GeoLike = GeoLocation | Geometry | HasDump | Mapping[str, Any] | str


def _as_mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        value = _parsed(value)
    elif callable(dump := getattr(value, "dump", None)):
        value = dump()
    elif not isinstance(value, Mapping):
        value = getattr(value, "__geo_interface__", value)
    if not isinstance(value, Mapping):
        raise UsageError(f"CDF takes a GeoJSON Feature or geometry, not {type(value).__name__}.")
    return value


def _parsed(text: str) -> object:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise UsageError("This is not GeoJSON: it is nested too deep.") from None
    except ValueError as error:
        raise UsageError(f"This is not GeoJSON: {error}.") from None


def _location(value: Mapping[str, Any]) -> GeoLocation:
    if value.get("type") == "FeatureCollection":
        features = _items(value.get("features"), "features")
        if len(features) != 1:
            raise UsageError(
                f"The FeatureCollection holds {len(features)} features, and CDF takes one: "
                "give one of them, or one Multi geometry of them all."
            )
        return _location(_as_mapping(features[0]))
    if value.get("type") == "Feature":
        return GeoLocation("Feature", _geometry(value.get("geometry")), value.get("properties"))
    return GeoLocation(geometry=_geometry(value))


def _in_degrees(location: GeoLocation, crs: object) -> GeoLocation:
    there = degrees_from(crs)
    if there is None:
        return location
    geometry = Geometry(location.geometry.type, _moved(location.geometry.coordinates, there))
    return GeoLocation(geometry=geometry, properties=location.properties)


def _moved(coordinates: Any, there: Callable[[float, float], Position]) -> Any:
    if coordinates and not isinstance(coordinates[0], tuple):
        return there(*coordinates)
    return tuple(_moved(inner, there) for inner in coordinates)


def _geometry(value: object) -> Geometry:
    if isinstance(value, Geometry):
        return value
    if not isinstance(value, Mapping):
        value = _as_mapping(value)
    if value.get("type") == "GeometryCollection":
        raise UsageError("CDF takes no GeometryCollection; use one Multi geometry.")
    return Geometry(value.get("type", ""), value.get("coordinates"))


def _properties(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError("The properties of a Feature are a dict with text as keys.")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except RecursionError:
        raise UsageError("The properties of a Feature are nested too deep.") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"The properties of a Feature are not JSON: {error}.") from None
    return copy


def _position(value: object, where: str) -> Position:
    numbers = _items(value, where)
    if len(numbers) != 2:
        then = "; leave the altitude out" if len(numbers) == 3 else ""
        raise UsageError(
            f"{where}: {_count(len(numbers), 'number')}, and CDF takes 2, longitude first{then}."
        )
    return (_number(numbers[0], where), _number(numbers[1], where))


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"{where}: {type(value).__name__} where a number belongs.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"{where}: {number} is not on the map.")
    return number


def _line(value: object, where: str) -> tuple[Position, ...]:
    line = _many(_position, "position")(value, where)
    if len(line) < 2:
        raise UsageError(f"{where}: {_count(len(line), 'position')}; a line has at least 2.")
    return line


def _ring(value: object, where: str) -> tuple[Position, ...]:
    ring = _many(_position, "position")(value, where)
    if len(ring) < 4:
        raise UsageError(f"{where}: {_count(len(ring), 'position')}; a ring has at least 4.")
    if ring[0] != ring[-1]:
        raise UsageError(f"{where}: open; repeat its first position {list(ring[0])} at the end.")
    return ring


def _polygon(value: object, where: str) -> tuple[tuple[Position, ...], ...]:
    rings = _many(_ring, "ring")(value, where)
    if not rings:
        raise UsageError(f"{where}: no ring; a polygon has at least 1.")
    return rings


def _many(read: Callable[[object, str], _T], of: str) -> Callable[[object, str], tuple[_T, ...]]:
    def read_all(value: object, where: str) -> tuple[_T, ...]:
        items = _items(value, where)
        return tuple(read(item, f"{where}, {of} {no}") for no, item in enumerate(items, 1))

    return read_all


def _items(value: object, where: str) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{where}: {type(value).__name__} where a list belongs.")
    return list(value)


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value


def _flat(coordinates: Any) -> Iterable[Position]:
    if coordinates and not isinstance(coordinates[0], tuple):
        yield coordinates
        return
    for inner in coordinates:
        yield from _flat(inner)


_READERS: Final[dict[str, Callable[[object, str], Any]]] = {
    "Point": _position,
    "LineString": _line,
    "Polygon": _polygon,
    "MultiPoint": _many(_position, "position"),
    "MultiLineString": _many(_line, "line"),
    "MultiPolygon": _many(_polygon, "polygon"),
}
_TYPES: Final = ", ".join(_READERS)
