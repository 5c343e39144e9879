from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from cognite.client.data_classes import GeoLocation as OfficialGeoLocation
from cognite.client.data_classes import Geometry as OfficialGeometry
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import GeoLocation, Geometry

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 0]]
HOLE = [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2], [0.1, 0.1]]
GOOD = [
    {"type": "Point", "coordinates": [10.5, 60]},
    {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
    {"type": "Polygon", "coordinates": [SQUARE]},
    {"type": "Polygon", "coordinates": [SQUARE, HOLE]},
    {"type": "MultiPoint", "coordinates": [[0, 0]]},
    {"type": "MultiPoint", "coordinates": []},
    {"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], [[2, 2], [3, 3]]]},
    {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [SQUARE]]},
]


class Shape:
    """What shapely and its kin offer."""

    def __init__(self, geometry: dict[str, Any]) -> None:
        self.__geo_interface__ = geometry


@pytest.mark.parametrize("geometry", GOOD, ids=lambda one: one["type"])
def test_a_geometry_comes_back_as_it_was(geometry: dict[str, Any]):
    feature = {"type": "Feature", "geometry": geometry}
    assert GeoLocation.of(geometry).to_cdf() == feature
    assert GeoLocation.of(GeoLocation.of(geometry).to_cdf()) == GeoLocation.of(geometry)


@pytest.mark.parametrize(
    "given_as",
    [
        GeoLocation.point(10.5, 60),
        Geometry("Point", (10.5, 60)),
        GeoLocation(type="Feature", geometry=Geometry(type="Point", coordinates=[10.5, 60])),
        {"type": "Point", "coordinates": [10.5, 60], "bbox": "dropped"},
        {"type": "Feature", "id": 3, "geometry": GOOD[0], "properties": None},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": GOOD[0]}]},
        '\ufeff{"type": "Point", "coordinates": [10.5, 60]}',
        OfficialGeoLocation("Feature", OfficialGeometry("Point", [10.5, 60])),
        OfficialGeometry("Point", [10.5, 60]),
        Shape({"type": "Point", "coordinates": (10.5, 60.0)}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_place_is_taken_in_every_form(given_as: Any):
    assert GeoLocation.of(given_as) == GeoLocation.point(longitude=10.5, latitude=60)


def test_properties_are_kept_and_copied():
    properties = {"well": {"no": [3]}}
    location = GeoLocation.of({"type": "Feature", "geometry": GOOD[0], "properties": properties})
    properties["well"]["no"].append(4)
    assert location.to_cdf()["properties"] == {"well": {"no": [3]}}


BAD = [
    ({"type": "GeometryCollection", "geometries": []}, "no GeometryCollection; use one Multi"),
    (
        {"type": "Circle", "coordinates": [0, 0]},
        "'Circle' is no geometry that CDF takes; use Point",
    ),
    ({"coordinates": [0, 0]}, "'' is no geometry"),
    (
        {"type": "Point", "coordinates": [10, 60, 100]},
        "3 numbers, and CDF takes 2, longitude first; leave the altitude out",
    ),
    ({"type": "Point", "coordinates": [10]}, "Point: 1 number, and CDF takes 2"),
    ({"type": "Point", "coordinates": "10,60"}, "Point: str where a list belongs"),
    ({"type": "Point", "coordinates": ["10", "60"]}, "Point: str where a number belongs"),
    ({"type": "Point", "coordinates": [True, 1]}, "Point: bool where a number belongs"),
    ({"type": "Point", "coordinates": [math.nan, 1]}, "Point: nan is not on the map"),
    ({"type": "Point", "coordinates": [math.inf, 1]}, "Point: inf is not on the map"),
    ({"type": "Point", "coordinates": [10**400, 1]}, "Point: inf is not on the map"),
    ({"type": "Point"}, "Point: NoneType where a list belongs"),
    (
        {"type": "LineString", "coordinates": [[0, 0]]},
        "LineString: 1 position; a line has at least 2",
    ),
    (
        {"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], [[0, 0]]]},
        "MultiLineString, line 2: 1 position",
    ),
    ({"type": "Polygon", "coordinates": []}, "Polygon: no ring; a polygon has at least 1"),
    (
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]},
        "Polygon, ring 1: 3 positions; a ring has at least 4",
    ),
    (
        {"type": "Polygon", "coordinates": [SQUARE, [[0, 1], [1, 0], [1, 1], [2, 2]]]},
        "Polygon, ring 2: open; repeat its first position [0.0, 1.0] at the end",
    ),
    (
        {"type": "MultiPolygon", "coordinates": [[SQUARE], [[[0, 0, 0]]]]},
        "MultiPolygon, polygon 2, ring 1, position 1: 3 numbers",
    ),
    ({"type": "Feature", "geometry": None}, "a GeoJSON Feature or geometry, not NoneType"),
    (
        {"type": "Feature", "geometry": GOOD[0], "properties": [1]},
        "properties of a Feature are a dict",
    ),
    ({"type": "Feature", "geometry": GOOD[0], "properties": {"a": math.nan}}, "are not JSON"),
    ({"type": "Feature", "geometry": GOOD[0], "properties": {"a": {1, 2}}}, "are not JSON"),
    (
        {"type": "FeatureCollection", "features": [1, 2]},
        "holds 2 features, and CDF takes one: give one",
    ),
    ("{not json", "This is not GeoJSON: Expecting"),
    (3, "a GeoJSON Feature or geometry, not int"),
]


@pytest.mark.parametrize(("value", "says"), BAD, ids=[says[:30] for _, says in BAD])
def test_what_cdf_would_refuse_is_refused_with_its_place(value: Any, says: str):
    with pytest.raises(UsageError) as caught:
        GeoLocation.of(value)
    assert says in str(caught.value)


def test_a_location_without_a_geometry_is_refused():
    with pytest.raises(UsageError, match="a GeoJSON Feature or geometry, not NoneType"):
        GeoLocation()
    with pytest.raises(UsageError, match="a GeoJSON Feature, not 'Point'"):
        GeoLocation("Point", Geometry("Point", (10.5, 60)))


def test_a_geometry_without_a_position_is_doubted():
    for empty in ("MultiPoint", "MultiLineString", "MultiPolygon"):
        assert GeoLocation.of({"type": empty, "coordinates": []}).doubt == (
            f"The {empty} is empty: it has no position."
        )


def test_swapped_degrees_are_noticed():
    with pytest.raises(UsageError, match=r"latitude 105 .* are the two swapped\?"):
        GeoLocation.point(60, 105)
    with pytest.raises(UsageError, match="longitude 181 is outside -180 to 180"):
        GeoLocation.point(181, 60)


def test_geojson_outside_the_degrees_is_doubted_but_not_refused():
    location = GeoLocation.of(
        {"type": "MultiPoint", "coordinates": [[10, 60], [6_650_000, 597_000]]}
    )
    assert location.doubt == "The latitude 597000 is outside -90 to 90."
    assert GeoLocation.point(180, -90).doubt is None


numbers = st.floats(allow_nan=False, allow_infinity=False)
positions = st.tuples(numbers, numbers)
lines = st.lists(positions, min_size=2, max_size=5)
rings = st.lists(positions, min_size=3, max_size=5).map(lambda ring: [*ring, ring[0]])


@given(polygons=st.lists(st.lists(rings, min_size=1, max_size=3), max_size=3))
def test_any_closed_rings_survive_the_wire(polygons: list[Any]):
    sent = json.dumps(Geometry("MultiPolygon", polygons).to_cdf())
    assert Geometry("MultiPolygon", json.loads(sent)["coordinates"]).coordinates == tuple(
        tuple(tuple(ring) for ring in polygon) for polygon in polygons
    )


@given(line=lines)
def test_every_position_is_counted_once(line: list[tuple[float, float]]):
    assert Geometry("MultiLineString", [line, line]).positions == (*line, *line)


# --- other reference systems ----------------------------------------------------------------

OSLO = (10.75, 59.91)
IN_METRES = (262030.0, 6649300.0)  # the same place in EPSG:25833


def member(name: str) -> dict[str, Any]:
    return {"type": "name", "properties": {"name": name}}


def geojson(kind: str, crs: object) -> dict[str, Any]:
    geometry = {"type": "Point", "coordinates": list(IN_METRES)}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"a": 1}}
    return {
        "geometry": geometry | {"crs": crs},
        "feature": feature | {"crs": crs},
        "its geometry": feature | {"geometry": geometry | {"crs": crs}},
        "collection": {"type": "FeatureCollection", "features": [feature], "crs": crs},
        "in a collection": {"type": "FeatureCollection", "features": [feature | {"crs": crs}]},
    }[kind]


KINDS = ["geometry", "feature", "its geometry", "collection", "in a collection"]
EPSG = "urn:ogc:def:crs:EPSG::25833"


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_to_be_in_metres_becomes_degrees(kind: str, as_text: bool):
    pytest.importorskip("pyproj")
    given = geojson(kind, member(EPSG))
    location = GeoLocation.of(json.dumps(given) if as_text else given)
    assert location.geometry.coordinates == pytest.approx(OSLO, abs=0.01)
    assert location.doubt is None


@pytest.mark.parametrize("kind", KINDS)
def test_without_pyproj_metres_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyproj", None)
    with pytest.raises(UsageError, match=r"coordinates are in urn:ogc:.*25833, .* install pyproj"):
        GeoLocation.of(geojson(kind, member(EPSG)))


@pytest.mark.parametrize("crs", ["EPSG:0", "nonsense\x1b", 7, {"type": "link", "properties": {}}])
def test_a_reference_system_that_is_not_known_is_refused(crs: object):
    pytest.importorskip("pyproj")
    with pytest.raises(UsageError, match="which pyproj does not know") as refused:
        GeoLocation.of(geojson("feature", crs))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "EPSG:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "http://www.opengis.net/def/crs/EPSG/0/4326",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        "OGC:CRS84",
    ],
)
def test_degrees_stay_as_they_are_longitude_first(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyproj", None)
    given = {"type": "Point", "coordinates": OSLO, "crs": member(name)}
    assert GeoLocation.of(given).geometry.coordinates == OSLO


def test_every_position_is_converted_and_its_rings_stay_closed():
    pytest.importorskip("pyproj")
    x, y = IN_METRES
    ring = [(x, y), (x + 1000, y), (x + 1000, y + 1000), (x, y)]
    given = {"type": "MultiPolygon", "coordinates": [[ring], [ring]], "crs": member(EPSG)}
    location = GeoLocation.of(given)
    assert len(location.geometry.positions) == 8
    assert location.doubt is None


def test_what_is_outside_its_reference_system_is_refused():
    pytest.importorskip("pyproj")
    given = {"type": "Point", "coordinates": [1e30, 1e30], "crs": member(EPSG)}
    with pytest.raises(UsageError, match="is outside the area of urn"):
        GeoLocation.of(given)


@pytest.mark.parametrize("kind", ["frame", "series", "text", "srid"])
def test_geopandas_and_shapely_say_where_they_are(kind: str):
    geopandas = pytest.importorskip("geopandas")
    shapely = pytest.importorskip("shapely")
    point = shapely.Point(*IN_METRES)
    frame = geopandas.GeoDataFrame({"a": [1]}, geometry=[point], crs=25833)
    given = {
        "frame": frame,
        "series": frame.geometry,
        "text": frame.to_json(),
        "srid": shapely.set_srid(point, 25833),
    }[kind]
    assert GeoLocation.of(given).geometry.coordinates == pytest.approx(OSLO, abs=0.01)
    there = frame.to_crs(4326)
    assert GeoLocation.of(there).geometry.coordinates == pytest.approx(OSLO, abs=0.01)
