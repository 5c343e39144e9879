"""A geometry as a small drawing: on a graticule, offline, as SVG.

Rules of this file: pure; plate carrée, with longitudes as long as they are at the middle latitude;
nothing of what it draws is text from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cognite_nb_upload.models import GeoLocation, Geometry

_WIDTH: Final = 420
_HEIGHT: Final = 220
_LABEL: Final = 62  # pixels that a label needs
_MARGIN: Final = 0.18  # of the larger side, around the shape
_LEAST_DEG: Final = 0.01  # what is smaller is drawn on a map of about a kilometre
_PLACE_DEG: Final = 4.0  # a single place says more on a map of its region
_MOST_POSITIONS: Final = 2000
_STEPS_DEG: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 45)


@dataclass(frozen=True, slots=True)
class _View:
    """A window on the earth, in degrees, and where its positions are in the drawing."""

    west: float
    north: float
    scale_x: float  # pixels per degree
    scale_y: float

    @classmethod
    def around(cls, geometry: Geometry) -> _View:
        east_west = [longitude for longitude, _ in geometry.positions] or [0.0]
        north_south = [latitude for _, latitude in geometry.positions] or [0.0]
        middle = (min(north_south) + max(north_south)) / 2
        squeeze = max(0.1, math.cos(math.radians(min(abs(middle), 84.0))))
        least = _LEAST_DEG if len(set(geometry.positions)) > 1 else _PLACE_DEG
        wide = max(max(east_west) - min(east_west), least) * (1 + 2 * _MARGIN)
        high = max(max(north_south) - min(north_south), least) * (1 + 2 * _MARGIN)
        scale_y = min(_WIDTH / (wide * squeeze), _HEIGHT / high)
        scale_x = scale_y * squeeze
        west = (min(east_west) + max(east_west)) / 2 - _WIDTH / scale_x / 2
        return cls(west, middle + _HEIGHT / scale_y / 2, scale_x, scale_y)

    def point(self, position: tuple[float, float]) -> tuple[float, float]:
        """Pixels from the left and from the top."""
        longitude, latitude = position
        return (longitude - self.west) * self.scale_x, (self.north - latitude) * self.scale_y


def outline_svg(location: GeoLocation) -> str:
    """The location as SVG; its colours are those of the class `cnbu-outline`."""
    view = _View.around(location.geometry)
    drawn = "".join((*_graticule(view), *_shapes(location.geometry, view)))
    return (
        f'<svg class="cnbu-outline" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{in_words(location)}">{drawn}</svg>'
    )


def in_words(location: GeoLocation) -> str:
    """`Polygon of 5 positions, 60.1° N to 61.2° N, 1.5° E to 2.5° E`."""
    positions = location.geometry.positions
    if not positions:
        return f"{location.geometry.type} without a position"
    count = f" of {len(positions)} positions" if len(positions) > 1 else ""
    longitudes, latitudes = zip(*positions, strict=True)
    return f"{location.geometry.type}{count}, {_span(latitudes, 'NS')}, {_span(longitudes, 'EW')}"


def window_in_words(west: float, south: float, east: float, north: float) -> str:
    """`52.5° N to 66.1° N, 18° W to 24° E`, of what a map shows."""
    across = tuple(round(max(-180.0, min(180.0, one)), 2) for one in (west, east))
    return f"{_span((round(south, 2), round(north, 2)), 'NS')}, {_span(across, 'EW')}"


def _span(degrees: tuple[float, ...], sides: str) -> str:
    first, last = _degrees(min(degrees), sides), _degrees(max(degrees), sides)
    return first if first == last else f"{first} to {last}"


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):.7g}° {sides[value < 0]}"


def _graticule(view: _View) -> Iterator[str]:
    for x, text in _ticks(view.west, _WIDTH, view.scale_x, "EW"):
        yield f'<path class="grid" d="M{x:.1f} 0V{_HEIGHT}"/>'
        if x < _WIDTH - _LABEL:
            yield f'<text x="{x + 3:.1f}" y="{_HEIGHT - 4}">{text}</text>'
    south = view.north - _HEIGHT / view.scale_y
    for y, text in _ticks(south, _HEIGHT, view.scale_y, "NS"):
        yield f'<path class="grid" d="M0 {_HEIGHT - y:.1f}H{_WIDTH}"/>'
        if 16 < y < _HEIGHT - 14:
            yield f'<text x="3" y="{_HEIGHT - y - 3:.1f}">{text}</text>'


def _ticks(least: float, pixels: int, scale: float, sides: str) -> Iterator[tuple[float, str]]:
    """Lines of the graticule: pixels from the edge, and what is written beside each."""
    step = next((one for one in _STEPS_DEG if one >= _LABEL / scale), 90.0)
    digits = max(0, -math.floor(math.log10(step)))
    most = 180 if sides == "EW" else 90
    for no in range(math.ceil(least / step), math.floor((least + pixels / scale) / step) + 1):
        at = no * step
        if abs(at) <= most:
            side = f" {sides[at < 0]}" if at else ""
            yield (at - least) * scale, f"{abs(at):.{digits}f}°{side}"


def _shapes(geometry: Geometry, view: _View) -> Iterator[str]:
    every = max(1, len(geometry.positions) // _MOST_POSITIONS)
    if geometry.type.endswith("Point"):
        for position in geometry.positions[::every]:
            x, y = view.point(position)
            yield f'<circle class="shape dot" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
    elif geometry.type.endswith("LineString"):
        yield f'<path class="shape line" d="{_path(geometry.coordinates, view, every, "")}"/>'
    else:
        path = _path(geometry.coordinates, view, every, "Z")
        yield f'<path class="shape" fill-rule="evenodd" d="{path}"/>'


def _path(coordinates: Any, view: _View, every: int, end: str) -> str:
    if not coordinates:
        return ""
    if not isinstance(coordinates[0][0], tuple):  # a line or a ring: positions
        kept = coordinates[::every] if len(coordinates) > 8 else coordinates
        points = (view.point(position) for position in kept)
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + end
    return "".join(_path(inner, view, every, end) for inner in coordinates)
