"""Where a file belongs: typed, pasted, from a file, drawn."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload import FileMetadata, GeoLocation
from cognite_nb_upload.models import Geometry
from cognite_nb_upload.widgets import MetadataForm
from cognite_nb_upload.widgets.form.geo import GeoField
from cognite_nb_upload.widgets.form.outline import in_words, outline_svg

SQUARE = [[[2.0, 60.0], [3.0, 60.0], [3.0, 61.0], [2.0, 61.0], [2.0, 60.0]]]
POLYGON = {"type": "Polygon", "coordinates": SQUARE}


@pytest.fixture
def geo(form: MetadataForm) -> GeoField:
    field = form.fields["geo_location"]
    assert isinstance(field, GeoField)
    return field


def upload(geo: GeoField, content: bytes, size: int | None = None) -> None:
    """Give the field a file, as the browser does."""
    geo.file.value = (
        {
            "name": "area.geojson",
            "type": "",
            "size": len(content) if size is None else size,
            "content": memoryview(content),
            "last_modified": datetime(2026, 5, 18, tzinfo=UTC),
        },
    )


def test_latitude_and_longitude_make_a_point(geo: GeoField) -> None:
    geo.latitude.value = "60.5"
    assert geo.error.startswith("Location: a point has a latitude and a longitude")
    geo.longitude.value = " -2.25 "
    assert geo.value == GeoLocation.point(-2.25, 60.5)
    assert json.loads(geo.geojson.value)["coordinates"] == [-2.25, 60.5]
    geo.latitude.value = geo.longitude.value = ""
    assert (geo.value, geo.error, geo.geojson.value) == (None, "", "")


def test_geojson_of_a_point_fills_latitude_and_longitude(geo: GeoField) -> None:
    geo.geojson.value = '{"type": "Feature", "geometry": {"type": "Point", "coordinates": [2, 60]}}'
    assert (geo.latitude.value, geo.longitude.value) == ("60", "2")
    geo.geojson.value = json.dumps(POLYGON)
    assert (geo.latitude.value, geo.longitude.value) == ("", "")
    assert geo.value == GeoLocation.of(POLYGON)


def test_a_pasted_feature_keeps_its_properties(form: MetadataForm, geo: GeoField) -> None:
    feature = {"type": "Feature", "geometry": POLYGON, "properties": {"block": "15/9"}}
    geo.geojson.value = json.dumps({"type": "FeatureCollection", "features": [feature]})
    form.name.input.value = "a"
    assert form.value == FileMetadata(name="a", geo_location=feature)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Location: This is not GeoJSON"),
        ('{"type": "Point", "coordinates": [2, 60, 7]}', "leave the altitude out"),
        ('{"type": "Polygon", "coordinates": [[[0,0],[1,0],[1,1],[2,2]]]}', "open"),
        ('{"type": "GeometryCollection", "geometries": []}', "no GeometryCollection"),
    ],
)
def test_what_cdf_would_refuse_is_said(geo: GeoField, text: str, said: str) -> None:
    geo.geojson.value = text
    assert geo.value is None
    assert said in geo.error
    assert "cnbu-outline" not in geo._drawing.value


def test_swapped_degrees_are_a_warning(geo: GeoField) -> None:
    geo.geojson.value = '{"type": "Point", "coordinates": [60, 120]}'
    assert geo.value is not None
    assert "are the two swapped?" in geo.note.value


def test_a_geojson_file_is_taken_and_its_bytes_do_not_stay(geo: GeoField) -> None:
    upload(geo, b"\xef\xbb\xbf" + json.dumps(POLYGON).encode())
    assert geo.value == GeoLocation.of(POLYGON)
    assert geo.file.value == ()


def test_a_large_file_is_refused(geo: GeoField) -> None:
    upload(geo, b"{}", size=2**21)
    assert "has 2097152 bytes" in geo.note.value
    assert geo.geojson.value == ""
    geo.geojson.value = json.dumps(POLYGON)
    assert "2097152" not in geo.note.value


def test_the_outline_says_in_words_what_it_draws(geo: GeoField) -> None:
    geo.geojson.value = json.dumps(POLYGON)
    words = "Polygon of 5 positions, 60° N to 61° N, 2° E to 3° E"
    assert words in geo.note.value
    assert f'role="img" aria-label="{words}"' in geo._drawing.value


def test_a_ring_is_drawn_closed_and_north_is_up() -> None:
    drawn = outline_svg(GeoLocation.of(POLYGON))
    path = drawn.partition('fill-rule="evenodd" d="')[2].partition('"')[0]
    assert path.endswith("Z")
    points = [tuple(map(float, one.split())) for one in path.strip("MZ").split("L")]
    south_west, south_east, north_east, *_ = points
    assert south_west[0] < south_east[0] == north_east[0]
    assert north_east[1] < south_east[1] == south_west[1]
    assert "60.0° N" in drawn


positions = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
lines = st.lists(positions, min_size=2, max_size=6)
geometries = st.one_of(
    st.builds(Geometry, st.just("Point"), positions),
    st.builds(Geometry, st.just("MultiPoint"), st.lists(positions, max_size=6)),
    st.builds(Geometry, st.just("LineString"), lines),
    st.builds(Geometry, st.just("MultiLineString"), st.lists(lines, max_size=3)),
    st.builds(Geometry, st.just("Polygon"), lines.map(lambda line: [[*line, *line[:-1], line[0]]])),
)


@given(geometries)
def test_whatever_is_on_earth_is_drawn_inside_the_picture(geometry: Geometry) -> None:
    location = GeoLocation(geometry=geometry)
    drawn = outline_svg(location)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert in_words(location)
    for line in drawn.partition('class="shape')[2].split("M")[1:]:
        for point in line.partition('"')[0].rstrip("Z").split("L"):
            x, y = map(float, point.split())
            assert 0 <= x <= 420
            assert 0 <= y <= 220


def test_a_long_line_is_drawn_with_fewer_positions() -> None:
    line = {"type": "LineString", "coordinates": [[at / 1e4, 60] for at in range(20_000)]}
    assert len(outline_svg(GeoLocation.of(line))) < 60_000


# --- the map ---------------------------------------------------------------------------------


def test_what_is_drawn_on_the_map_is_the_location(geo: GeoField) -> None:
    pytest.importorskip("ipyleaflet")
    geo.geojson.value = json.dumps(POLYGON)
    geo.open_map()
    control = geo._map.control
    assert [one["geometry"] for one in control.data] == [POLYGON]
    point = {"type": "Point", "coordinates": [2.123456789, 60.0]}
    control.data = [*control.data, {"type": "Feature", "properties": {}, "geometry": point}]
    assert geo.value == GeoLocation.point(2.1234568, 60.0)
    assert len(control.data) == 1  # a file has one geometry
    control.data = []
    assert geo.value is None
    geo.latitude.value, geo.longitude.value = "1", "2"
    assert control.data[0]["geometry"]["coordinates"] == [2.0, 1.0]
    geo.open_map()
    assert geo._map_box.children == ()


def test_the_map_asks_no_server_until_its_background_is_switched_on(geo: GeoField) -> None:
    pytest.importorskip("ipyleaflet")
    geo.open_map()
    layers = geo._map._map.layers
    assert [layer.url[:5] for layer in layers] == ["data:"]
    geo._map.tiles.value = True
    assert "openstreetmap" in geo._map._map.layers[0].url
    geo._map.tiles.value = False
    assert geo._map._map.layers[0].url.startswith("data:")


def test_a_map_that_cannot_be_had_is_said_and_the_form_goes_on(
    geo: GeoField, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipyleaflet", None)
    monkeypatch.delitem(sys.modules, "cognite_nb_upload.widgets.form.map", raising=False)
    geo.open_map()
    assert "The map cannot be shown" in geo.note.value
    geo.geojson.value = json.dumps(POLYGON)
    assert geo.value == GeoLocation.of(POLYGON)


@pytest.mark.slow
def test_the_map_is_not_imported_before_somebody_opens_it(tmp_path: Path) -> None:
    code = (
        "import sys; from cognite_nb_upload.widgets import MetadataForm; MetadataForm();"
        "sys.exit('ipyleaflet' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert ran.returncode == 0
