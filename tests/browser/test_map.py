"""The map of the form in a real notebook: what it shows, what is drawn on it, what it asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_app import Notebook
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FORM = """\
from cognite_nb_upload.widgets import MetadataForm
form = MetadataForm()
form.name.input.value = "survey.segy"
for fold in form.folds:
    fold.toggle()
form"""
FIELD = {
    "type": "Polygon",
    "coordinates": [[[2.1, 56.4], [2.6, 56.4], [2.7, 56.7], [2.2, 56.8], [2.1, 56.4]]],
}


def test_the_map_shows_the_location_and_takes_what_is_drawn(
    page: Page,
    open_notebook: Callable[[list[str]], Notebook],
    screenshot: Callable[[str], Path],
) -> None:
    elsewhere: list[str] = []
    page.on("request", lambda one: elsewhere.append(one.url) if _is_elsewhere(one.url) else None)
    notebook = open_notebook([FORM, "print(form.value.geo_location.geometry.type)"])
    notebook.run_cell(0)
    form = notebook.cell(0)
    form.get_by_label("GeoJSON", exact=True).fill(json.dumps(FIELD))
    form.get_by_role("button", name="Draw on a map").click()
    world = form.locator(".leaflet-container")
    drawn = world.locator("path.leaflet-interactive")
    expect(drawn).to_have_count(1)
    world.scroll_into_view_if_needed()
    expect(form.locator(".cnbu-map")).to_contain_text(re.compile("The map shows 56.*° N to 5"))
    screenshot("map")
    room, shape = world.bounding_box(), drawn.bounding_box()
    assert room
    assert shape
    assert room["x"] < shape["x"] < shape["x"] + shape["width"] < room["x"] + room["width"]
    assert room["y"] < shape["y"] < shape["y"] + shape["height"] < room["y"] + room["height"]
    assert shape["height"] > room["height"] / 4, "it fills the map"

    world.locator(".leaflet-pm-icon-marker").click()
    world.click(position={"x": room["width"] / 2, "y": room["height"] / 2})
    latitude = form.get_by_label("Latitude", exact=True)
    page.wait_for_function("box => box.value !== ''", arg=latitude.element_handle())
    screenshot("map-point")
    assert 56.4 < float(latitude.input_value()) < 56.8
    notebook.run_cell(1)
    assert notebook.output(1).strip() == "Point"
    assert elsewhere == []


def _is_elsewhere(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1", "http://localhost", "data:", "blob:"))
