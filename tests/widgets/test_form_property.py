"""Whatever is typed: the value is valid or None, and who is None says why."""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload import FileMetadata
from cognite_nb_upload.core.unseen import trimmed
from cognite_nb_upload.models import FIELDS
from cognite_nb_upload.widgets import MetadataForm

# Around the limits, with what markup, other scripts and terminals make trouble with.
texts = st.one_of(
    st.sampled_from(["", "/", "a", "/a", " ", "7", "7, 8", "{}", "[]", "<b>\u202e\n", "x" * 300]),
    st.text(max_size=12),
    st.text(string.ascii_letters, min_size=120, max_size=520),
)
moments = st.none() | st.datetimes(datetime(1900, 1, 1), timezones=st.just(UTC))
geojson = texts | st.sampled_from(
    [
        '{"type":"Point","coordinates":[2.5,60]}',
        '{"type":"Point","coordinates":[2.5,60,7]}',
        '{"type":"Point","coordinates":[1e400,60]}',
        '{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1]]]}',
        '{"type":"Feature","geometry":null}',
    ]
)


def type_in(form: MetadataForm, name: str, data: st.DataObject) -> None:
    """Write something into an input of a field, as the browser would."""
    field: Any = form.fields[name]
    if name.startswith("source_") and name.endswith("_time"):
        field.input.value = data.draw(moments)
    elif name == "geo_location":
        box = data.draw(st.sampled_from([field.latitude, field.longitude, field.geojson]))
        box.value = data.draw(geojson)
    elif name == "metadata":
        row = data.draw(st.sampled_from(field.rows))
        data.draw(st.sampled_from([row.key, row.value])).value = data.draw(texts)
        if data.draw(st.booleans()):
            field.add_row()
    elif name in ("labels", "asset_ids", "security_categories", "data_set_id"):
        field.search.value = data.draw(texts)
        if data.draw(st.booleans()):
            field.enter()
    else:
        field.input.value = data.draw(texts)


@pytest.fixture(scope="module")
def form() -> Iterator[MetadataForm]:
    """One form for all examples: making a form takes a tenth of a second."""
    form = MetadataForm()
    yield form
    form.close()


@pytest.mark.slow
@given(data=st.data())
def test_the_value_is_valid_or_none(form: MetadataForm, data: st.DataObject) -> None:
    form.clear()
    for name in data.draw(st.lists(st.sampled_from(FIELDS), max_size=8)):
        type_in(form, name, data)
        assert (form.value is None) == bool(form.errors)
        assert form.reason == next(iter(form.errors.values()), "")
        if form.value is not None:
            assert FileMetadata(**form.value.to_kwargs()) == form.value
            assert form.value.name == form.name.input.value


positions = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
files = st.fixed_dictionaries(
    {
        "name": st.text(min_size=1, max_size=40).filter(
            lambda text: trimmed(text) and "\0" not in text
        )
    },
    optional={
        "external_id": st.text(min_size=1, max_size=40),
        "source": st.text(min_size=1, max_size=40),
        "mime_type": st.text(min_size=1, max_size=40),
        "directory": st.text(max_size=40).map(lambda text: f"/{text}"),
        "metadata": st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9)),
        "asset_ids": st.lists(st.integers(1, 2**53 - 1), unique=True, max_size=30),
        "data_set_id": st.integers(1, 2**53 - 1),
        "labels": st.lists(st.text(min_size=1, max_size=9), unique=True, max_size=10),
        "security_categories": st.lists(st.integers(1, 99), unique=True, max_size=9),
        "geo_location": st.builds(
            lambda line, more: {
                "type": "Feature",
                "geometry": {"type": "LineString", "coordinates": line},
                "properties": more,
            },
            st.lists(positions, min_size=2, max_size=5),
            st.none() | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
        ),
        # earlier ones may be refused, as days or seconds
        "source_created_time": st.integers(10**10, 253402300799999),
        "source_modified_time": st.integers(10**10, 253402300799999),
    },
)


@pytest.mark.slow
@given(about=files)
def test_what_is_assigned_comes_back(form: MetadataForm, about: dict[str, Any]) -> None:
    metadata = FileMetadata(**about)
    form.value = metadata
    given = {name: value for name, value in metadata.to_kwargs().items() if value}
    assert form.value == FileMetadata(**given)
