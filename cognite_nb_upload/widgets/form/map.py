"""A map to draw on, with `ipyleaflet`: an extra, imported when somebody opens the map.

Rules of this file: nothing is asked of any server unless the background is switched on; a file has
one geometry, so what is drawn takes the place of what was there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import ipyleaflet
import ipywidgets

from cognite_nb_upload.models import GeoLocation
from cognite_nb_upload.widgets.form.outline import window_in_words
from cognite_nb_upload.widgets.style import box, make

_NORTH_SEA: Final = (60.0, 3.0)
# Pixels across and along that a location may fill, of a map that is 400 px high.
_ROOM: Final = (500, 340)
_POINT_ZOOM: Final = 8
_MOST_ZOOM: Final = 18
_LINE: Final = {"color": "#1976d2", "weight": 3, "fillOpacity": 0.2}
# Squared paper: every tile is this picture, which is in the address itself.
_PAPER: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='256' height='256'%3E"
    "%3Cpath d='M0 0H256V256H0ZM128 0V256M0 128H256' fill='%23f7f9fa' stroke='%23c9d3d9'/%3E"
    "%3C/svg%3E"
)


class GeoMap:
    """A map; `drawn(geometry)` is told what was drawn, and None when it was removed.

    Attributes:
        control: what one draws with; `control.data` are the Features on the map.
        tiles: switches the background on, which the browser takes from openstreetmap.org.
        shown: says in degrees what part of the earth is to be seen.
        widget: what is displayed.
    """

    def __init__(self, drawn: Callable[[dict[str, Any] | None], None]) -> None:
        self._drawn = drawn
        self._quiet = False
        shape = {"pathOptions": _LINE}
        self.control = ipyleaflet.GeomanDrawControl(
            marker={"markerStyle": {}},
            polyline=shape,
            polygon=shape,
            rectangle=shape,
            circlemarker={},
            cut=False,
            rotate=False,
        )
        self.control.observe(self._on_data, "data")
        self._map = self._make_map()
        self.tiles = make(
            ipywidgets.Checkbox,
            description="Background map (your browser asks openstreetmap.org)",
            indent=False,
        )
        self.tiles.observe(self._switch_tiles, "value")
        # The paper has no coast and no names: words say what one looks at.
        self.shown = make(ipywidgets.HTML)
        self._map.observe(self._moved, "bounds")
        self.widget = box(ipywidgets.VBox, [self._map, self.shown, self.tiles], "cnbu-note")

    def _make_map(self) -> Any:
        paper = ipyleaflet.TileLayer(url=_PAPER, attribution="", max_zoom=22)
        made = ipyleaflet.Map(
            layers=[paper],
            center=_NORTH_SEA,
            zoom=3,
            max_zoom=22,
            scroll_wheel_zoom=True,
            layout=ipywidgets.Layout(height="400px"),
        )
        made.add(self.control)
        made.add(ipyleaflet.ScaleControl(position="topright"))
        return made

    def show(self, location: GeoLocation | None) -> None:
        """Put this location on the map, and nothing else."""
        features = [] if location is None else [_feature(location)]
        if [one["geometry"] for one in features] == [one["geometry"] for one in self.control.data]:
            return
        self._quiet = True
        try:
            self.control.data = features
        finally:
            self._quiet = False
        if location is not None and location.doubt is None:
            self._look_at(location)

    def _look_at(self, location: GeoLocation) -> None:
        longitudes, latitudes = zip(*location.geometry.positions, strict=True)
        (west, east), (south, north) = _ends(longitudes), _ends(latitudes)
        self._map.center = ((south + north) / 2, (west + east) / 2)
        if (west, south) == (east, north):
            self._map.zoom = max(self._map.zoom, _POINT_ZOOM)
        else:
            self._map.zoom = _zoom(east - west, north - south, self._map.center[0])

    def _moved(self, change: dict[str, Any]) -> None:
        (south, west), (north, east) = change["new"]
        self.shown.value = f"The map shows {window_in_words(west, south, east, north)}."

    def _on_data(self, change: dict[str, Any]) -> None:
        if self._quiet:
            return
        features = change["new"]
        if len(features) > 1:
            self._quiet = True
            self.control.data = features[-1:]
            self._quiet = False
        self._drawn(_plain(features[-1]["geometry"]) if features else None)

    def _switch_tiles(self, change: dict[str, Any]) -> None:
        wanted = _tiles() if change["new"] else ipyleaflet.TileLayer(url=_PAPER, attribution="")
        self._map.substitute(self._map.layers[0], wanted)


def _ends(numbers: tuple[float, ...]) -> tuple[float, float]:
    return min(numbers), max(numbers)


def _zoom(width: float, height: float, latitude: float) -> int:
    """The zoom at which so many degrees fill most of the map.

    Taken here: `ipyleaflet`'s own way asks the page step by step, and needs a loop that runs.
    """
    # At zoom 0 the world is 256 px wide; a degree of latitude is longer the further from the
    # equator it is.
    across = width * 256 / 360 / _ROOM[0]
    along = height * 256 / 360 / max(0.1, math.cos(math.radians(latitude))) / _ROOM[1]
    return max(1, min(_MOST_ZOOM, math.floor(-math.log2(max(across, along)))))


def _tiles() -> Any:
    return ipyleaflet.basemap_to_tiles(ipyleaflet.basemaps.OpenStreetMap.Mapnik)


def _feature(location: GeoLocation) -> dict[str, Any]:
    kind = location.geometry.type.removeprefix("Multi").lower()
    drawn = {"type": {"point": "marker", "linestring": "polyline"}.get(kind, kind), "style": _LINE}
    return {"type": "Feature", "properties": drawn, "geometry": location.geometry.to_cdf()}


def _plain(geometry: dict[str, Any]) -> dict[str, Any]:
    return {"type": geometry["type"], "coordinates": _rounded(geometry["coordinates"])}


def _rounded(value: Any) -> Any:
    """Degrees to 7 digits, about a centimetre: a hand draws no finer."""
    return round(value, 7) if isinstance(value, float) else [_rounded(one) for one in value]
