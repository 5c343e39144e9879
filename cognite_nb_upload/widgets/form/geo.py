"""Where a file belongs: a point by latitude and longitude, GeoJSON pasted or from a file, a map.

Rules of this file: the GeoJSON text is what counts, and all else writes to it; nothing here needs a
network; `ipyleaflet` is imported when somebody opens the map.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any, Final

import ipywidgets

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import LIMITS, GeoLocation, Geometry
from cognite_nb_upload.widgets.form.field import Field
from cognite_nb_upload.widgets.form.outline import in_words, outline_svg
from cognite_nb_upload.widgets.style import box, button, hide, make

# A file of more bytes than this is no outline that a form should hold.
_MOST_BYTES: Final = 1024 * 1024


class GeoField(Field):
    """A location.

    Attributes:
        latitude, longitude: of a point, in degrees; empty for other geometries.
        geojson: the text that counts: a Feature or a geometry.
        file: takes a GeoJSON file of at most 1 MiB.
    """

    def __init__(self, name: str, label: str) -> None:
        self.latitude = make(ipywidgets.Text, description="Latitude", placeholder="60.1234")
        self.longitude = make(ipywidgets.Text, description="Longitude", placeholder="2.5678")
        self.geojson = make(
            ipywidgets.Textarea,
            description="GeoJSON",
            placeholder='{"type": "Point", "coordinates": [2.57, 60.12]}',
        )
        self.file = make(
            ipywidgets.FileUpload,
            description="GeoJSON file",
            accept=".geojson,.json",
            tooltip="Take a GeoJSON file",
        )
        self.map_button = button("Draw on a map", "Open a map to draw on", self.open_map)
        hide(self.map_button, find_spec("ipyleaflet") is None)
        self._trouble = ""
        self._drawing = make(ipywidgets.HTML)
        self._map_box = box(ipywidgets.VBox, [], "cnbu-map")
        self._map: Any = None
        heading = make(ipywidgets.HTML, f'<div class="cnbu-heading">{label}</div>')
        for one in (self.latitude, self.longitude, self.geojson):
            one.add_class("cnbu-sub")
        point = box(ipywidgets.HBox, [self.latitude, self.longitude], "cnbu-row")
        tools = box(ipywidgets.HBox, [self.file, self.map_button], "cnbu-tools")
        inputs = box(ipywidgets.VBox, [point, self.geojson, tools], "cnbu-tight")
        pair = box(ipywidgets.VBox, [inputs, self._drawing], "cnbu-grid")
        super().__init__(name, label, heading, pair, self._map_box, limit=LIMITS[name])
        self.widget.add_class("cnbu-wide")
        self.widget.add_class("cnbu-geo")
        self.latitude.observe(self._point_edited, "value")
        self.longitude.observe(self._point_edited, "value")
        self.geojson.observe(self._text_edited, "value")
        self.file.observe(self._file_given, "value")

    # --- one writes to the other -------------------------------------------------------------

    def _point_edited(self, _: object) -> None:
        if self._quiet:
            return
        self._quiet += 1
        point = self._point()
        if point is not None:
            self.geojson.value = json.dumps(point.to_cdf())
        elif self._is_point(self.geojson.value):
            self.geojson.value = ""
        self._quiet -= 1
        self.edited()

    def _text_edited(self, _: object) -> None:
        if self._quiet:
            return
        self._trouble = ""
        self._quiet += 1
        self._show_point()
        self._quiet -= 1
        self.edited()

    def _file_given(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        given = change["new"][0]
        self.file.value = ()  # its bytes are not to stay in the widget
        if given["size"] > _MOST_BYTES:
            self._trouble = (
                f"The file has {given['size']} bytes; a form takes at most {_MOST_BYTES}."
            )
            self.show()
            return
        self.geojson.value = bytes(given["content"]).decode("utf-8-sig", "replace")

    def _show_point(self) -> None:
        location = _location(self.geojson.value)
        point = location is not None and location.geometry.type == "Point"
        longitude, latitude = location.geometry.coordinates if location and point else ("", "")
        self.latitude.value, self.longitude.value = _number(latitude), _number(longitude)

    def _point(self) -> Geometry | None:
        try:
            return Geometry("Point", (float(self.longitude.value), float(self.latitude.value)))
        except ValueError:  # UsageError is one too
            return None

    @staticmethod
    def _is_point(text: str) -> bool:
        location = _location(text)
        return location is not None and location.geometry.type == "Point"

    # --- what the field is -------------------------------------------------------------------

    def _read(self) -> GeoLocation | None:
        typed = (self.latitude.value.strip(), self.longitude.value.strip())
        if any(typed) and self._point() is None:
            raise UsageError(
                f"{self.label}: a point has a latitude and a longitude, in degrees such as 60.1234."
            )
        if not self.geojson.value.strip():
            return None
        try:
            return GeoLocation.of(self.geojson.value)
        except UsageError as error:
            raise UsageError(f"{self.label}: {error}") from None

    def held(self) -> Any:
        """The texts of all three boxes, and whether the map is open."""
        texts = (self.latitude.value, self.longitude.value, self.geojson.value)
        return *texts, bool(self._map_box.children)

    def boxes(self) -> dict[str, Any]:
        """The three boxes."""
        return {"latitude": self.latitude, "longitude": self.longitude, "geojson": self.geojson}

    def _put_held(self, held: Any) -> None:
        self.latitude.value, self.longitude.value, self.geojson.value, opened = held
        if opened != bool(self._map_box.children):
            self.open_map()

    def _put(self, value: GeoLocation | None) -> None:
        self.geojson.value = "" if value is None else json.dumps(_shortest(value))
        self._show_point()

    def _show(self) -> None:
        location: GeoLocation | None = self.value
        doubt = (location.doubt or "") if location is not None else ""
        drawable = location is not None and not doubt
        self.warning = self._trouble or doubt
        self.info = in_words(location) if location is not None else ""
        self._drawing.value = outline_svg(location) if location is not None and drawable else ""
        if self._map is not None:
            self._map.show(location)
        super()._show()
        typed = bool(self.latitude.value.strip() or self.longitude.value.strip())
        point = self.bad and typed and self._point() is None
        for one in (self.latitude, self.longitude):
            (one.add_class if point else one.remove_class)("cnbu-wrong")
        other = self.bad and not point
        (self.geojson.add_class if other else self.geojson.remove_class)("cnbu-wrong")

    # --- the map -----------------------------------------------------------------------------

    def open_map(self) -> None:
        """Open a map to draw on, or close it; where it cannot be had, say so."""
        if self._map is None:
            try:
                from cognite_nb_upload.widgets.form.map import GeoMap

                self._map = GeoMap(self._drawn)
            except Exception as error:  # whatever a broken extra raises, the form goes on
                self._trouble = f"The map cannot be shown: {type(error).__name__}."
                self.show()
                return
            self._map.show(self.value)
        opened = not self._map_box.children
        self._map_box.children = [self._map.widget] if opened else []
        hide(self._drawing, opened)
        self.map_button.description = "Close the map" if opened else "Draw on a map"

    def _drawn(self, geometry: dict[str, Any] | None) -> None:
        self.geojson.value = "" if geometry is None else json.dumps(geometry)


def _location(text: str) -> GeoLocation | None:
    try:
        return GeoLocation.of(text)
    except UsageError:
        return None


def _shortest(location: GeoLocation) -> dict[str, Any]:
    """A bare geometry where the Feature says nothing more."""
    whole = location.to_cdf()
    geometry: dict[str, Any] = whole["geometry"]
    return whole if location.properties is not None else geometry


def _number(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
