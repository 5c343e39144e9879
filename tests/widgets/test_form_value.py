"""What a form holds, and that it is always valid or None."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cognite.client.data_classes import FileMetadata as OfficialFile
from cognite.client.data_classes import Label as OfficialLabel

from cognite_nb_upload import CDFFile, CogniteClient, FileMetadata, GeoLocation, Label, UsageError
from cognite_nb_upload.errors import UploadToolkitError
from cognite_nb_upload.models import FIELDS, InvalidMetadata
from cognite_nb_upload.widgets import MetadataForm

NOON = datetime(2026, 5, 18, 12, tzinfo=UTC)
FULL = FileMetadata(
    name="nordvik.segy",
    external_id="nv-24",
    source="survey ship",
    mime_type="application/x-segy",
    metadata={"survey": "NV-24", "empty": ""},
    directory="/surveys/2026",
    asset_ids=(1002, 1003),
    data_set_id=7,
    labels=("raw", "seismic:3d"),
    geo_location={
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": [[2.5, 60], [2.75, 60.5]]},
        "properties": {"line": 7},
    },
    source_created_time=NOON,
    source_modified_time=NOON + timedelta(milliseconds=123),
    security_categories=(1, 3),
)


def test_an_empty_form_is_not_valid_and_says_what_is_missing(form: MetadataForm) -> None:
    assert form.value is None
    assert form.errors == {"name": "Name is missing; CDF takes 1 to 256 characters."}
    assert form.reason == form.errors["name"]
    assert "cnbu-error" not in form.name.note.value  # nobody has touched it yet


def test_a_name_is_enough(form: MetadataForm) -> None:
    form.name.input.value = "README"
    assert form.value == FileMetadata(name="README")
    assert (form.errors, form.reason) == ({}, "")
    assert form.to_kwargs() == {"name": "README", "overwrite": False}


def test_what_is_assigned_is_what_it_holds(form: MetadataForm) -> None:
    form.value = FULL
    assert form.value == FULL
    assert {name: form.fields[name].error for name in FIELDS} == dict.fromkeys(FIELDS, "")
    assert form.to_kwargs() == {**FULL.to_kwargs(), "overwrite": False}


def test_a_form_is_made_with_a_value() -> None:
    form = MetadataForm(value=FULL)
    assert form.value == FULL
    form.close()


def test_assigning_none_empties_the_form(form: MetadataForm) -> None:
    form.value = FULL
    form.value = None
    assert all(form.fields[name].value is None for name in FIELDS)
    assert form.name.input.value == ""


def test_a_form_that_is_not_valid_is_emptied_too(form: MetadataForm) -> None:
    form.fields["source"].fill("x" * 200)
    form.overwrite = True
    form.clear()
    assert form.errors.keys() == {"name"}
    assert not form.overwrite


def test_what_is_observed_is_one_change_for_many_fields(form: MetadataForm) -> None:
    heard: list[FileMetadata | None] = []
    form.observe(lambda change: heard.append(change["new"]), "value")
    form.value = FULL
    form.fill({"name": "other.segy", "source": "other", "labels": ["raw"]})
    assert [one and one.name for one in heard] == ["nordvik.segy", "other.segy"]


def test_one_character_too_many_takes_the_value_away_and_says_why(form: MetadataForm) -> None:
    form.name.input.value = "n"
    form.fields["source"].fill("s" * 128)
    assert form.value is not None
    form.fields["source"].input.value += "s"
    assert form.value is None
    assert form.errors == {"source": "Source has 129 characters; CDF takes at most 128."}
    assert form.errors["source"] in form.fields["source"].note.value
    assert "cnbu-bad" in form.fields["source"].widget._dom_classes
    form.fields["source"].input.value = "s"
    assert form.value == FileMetadata(name="n", source="s")
    assert "cnbu-bad" not in form.fields["source"].widget._dom_classes


def test_what_is_not_valid_has_no_keywords(form: MetadataForm) -> None:
    form.fields["directory"].input.value = "surveys"
    with pytest.raises(InvalidMetadata) as caught:
        form.to_kwargs()
    assert caught.value.fields.keys() == {"name", "directory"}


def test_every_field_shows_its_limit(form: MetadataForm) -> None:
    notes = [field.note.value for field in form.fields.values()]
    assert all('class="cnbu-limit"' in note for note in notes)
    assert "at most 255 characters" in form.external_id.note.value
    assert form.fields.keys() == set(FIELDS)


def test_the_mime_type_follows_the_name_until_somebody_writes_it(form: MetadataForm) -> None:
    form.name.input.value = "report.pdf"
    assert form.mime_type.value == "application/pdf"
    form.name.input.value = "table.csv"
    assert form.mime_type.value == "text/csv"
    form.mime_type.input.value = "text/x-log"
    form.name.input.value = "report.pdf"
    assert form.mime_type.value == "text/x-log"


def test_the_mime_type_stays_while_another_name_is_typed(form: MetadataForm) -> None:
    form.set_file("survey.pdf", 10)
    changes: list[str] = []
    form.mime_type.input.observe(lambda change: changes.append(change["new"]), "value")
    for end in range(len("Nordvik.pdf") + 1):
        form.name.input.value = "Nordvik.pdf"[:end]
    assert (form.mime_type.value, changes) == ("application/pdf", [])


def test_a_file_whose_name_tells_nothing_has_no_mime_type(form: MetadataForm) -> None:
    form.set_file("survey.pdf", 10)
    form.set_file("README", 10)
    assert form.mime_type.value is None


def test_the_mime_type_of_what_is_assigned_is_not_guessed(form: MetadataForm) -> None:
    form.value = FileMetadata(name="a.pdf")
    assert form.value == FileMetadata(name="a.pdf")


def test_a_file_gives_its_name_type_and_time(form: MetadataForm, tmp_path: Path) -> None:
    path = tmp_path / "shot.sgy"
    path.write_bytes(b"x" * 1234)
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    form.set_file(path)
    assert form.value == FileMetadata(
        name="shot.sgy", mime_type="application/octet-stream", source_modified_time=NOON
    )
    assert "1,234 bytes" in form.name.note.value


def test_another_file_takes_the_place_of_the_first_but_not_of_what_was_written(
    form: MetadataForm,
) -> None:
    form.set_file("a.pdf", 10, created=NOON, modified=NOON)
    form.fields["source_created_time"].fill(NOON - timedelta(days=1))
    form.set_file("b.csv", 20, created=NOON, modified=NOON + timedelta(hours=1))
    assert form.value == FileMetadata(
        name="b.csv",
        mime_type="text/csv",
        source_created_time=NOON - timedelta(days=1),
        source_modified_time=NOON + timedelta(hours=1),
    )
    form.name.input.value = "mine.csv"
    form.set_file("c.pdf", 30)
    assert form.value is not None
    assert form.value.name == "mine.csv"


def test_a_form_is_filled_from_a_file_in_cdf(form: MetadataForm) -> None:
    form.name.input.value = "old"
    form.fields["source"].fill("kept")
    form.fill(CDFFile(id=9, name="a.bin", labels=(Label("raw"),), created_time=NOON))
    assert form.value == FileMetadata(name="a.bin", labels=("raw",), source="kept")


def test_a_form_is_filled_from_the_official_sdk(form: MetadataForm) -> None:
    file = OfficialFile._load(
        {
            **{"id": 9, "uploaded": True, "createdTime": 1, "lastUpdatedTime": 1},
            **{"name": "a", "externalId": "x", "sourceCreatedTime": 0},
            "labels": [OfficialLabel("raw").dump()],
        }
    )
    form.fill(file)
    assert form.value == FileMetadata(
        name="a", external_id="x", labels=("raw",), source_created_time=0
    )


def test_a_form_is_filled_from_a_row_of_a_table(form: MetadataForm) -> None:
    table = pd.DataFrame(
        {
            "path": ["/data/a.bin", "/data/b.bin"],
            "name": ["a.bin", "b.bin"],
            "data_set_id": [7.0, None],  # pandas makes floats of ids with a hole among them
            "labels": ["raw; seismic", ["raw"]],
            "asset_ids": ["1002, 1003", [1004]],
            "source_modified_time": pd.to_datetime(["2026-05-18T12:00Z", None]),
            "geo_location": ['{"type":"Point","coordinates":[2.5,60]}', None],
        }
    )
    form.fill(table.iloc[0])
    assert form.value == FileMetadata(
        name="a.bin",
        data_set_id=7,
        labels=("raw", "seismic"),
        asset_ids=(1002, 1003),
        source_modified_time=NOON,
        geo_location=GeoLocation.point(2.5, 60),
    )
    form.clear()
    form.fill(table.iloc[[1]])
    assert form.value == FileMetadata(name="b.bin", labels=("raw",), asset_ids=(1004,))


def test_a_time_without_a_zone_is_local_time(form: MetadataForm) -> None:
    form.fill({"name": "a", "source_created_time": "2026-05-18T12:00:00"})
    assert form.value is not None
    assert form.value.source_created_time == datetime(2026, 5, 18, 12).astimezone()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": 7, "path": "/a"}, "None of its names is a field"),
        ({"name": "a", "data_set_id": 7.5}, "7.5 is no whole number"),
        ({"name": "a", "data_set_id": "seven"}, "data_set_id: 'seven' is no whole number"),
        ({"name": "a", "source_created_time": "yesterday"}, "created_time: .yesterday. is no time"),
        ({"name": "a", "geo_location": "{"}, "not GeoJSON"),
        ({"name": "a", "metadata": 7}, "not int"),
        ("a.segy", "not str"),
    ],
)
def test_what_cannot_be_read_fills_nothing(form: MetadataForm, given: Any, said: str) -> None:
    form.value = FULL
    with pytest.raises(UsageError, match=said):
        form.fill(given)
    assert form.value == FULL


def test_a_time_is_shown_in_utc_as_well(form: MetadataForm) -> None:
    form.modified.input.value = datetime.fromisoformat("2026-05-18T14:00:00+02:00")
    assert "2026-05-18 12:00:00 UTC" in form.modified.note.value


def test_what_is_in_a_folded_group_is_told_by_its_line(form: MetadataForm) -> None:
    form.value = FULL
    lines = [fold.button.description for fold in form.folds]
    assert lines == [
        "▸  Labels, assets and security · 2 labels · 2 assets · 2 security categories",
        "▸  Time and place · source created · source modified · location",
        "▸  Metadata · 2 pairs",
    ]
    form.folds[2].toggle()
    assert form.folds[2].opened
    form.pairs.rows[0].key.value = ""
    assert "to mend: Metadata" in form.folds[2].button.description


def test_the_keywords_begin_an_upload(form: MetadataForm, client: CogniteClient) -> None:
    form.value = FULL
    form.overwrite = True
    session = client.files.multipart_upload_session(parts=1, **form.to_kwargs())
    assert FileMetadata(**session.file_metadata.to_kwargs()) == FULL


def test_every_input_has_a_name_and_every_button_says_what_it_does(live: MetadataForm) -> None:
    live.value = FULL
    assert live.tasks.wait()
    live.labels.open_or_close()
    live.pairs.open_paste()
    inputs, buttons = [], []

    def walk(widget: Any) -> None:
        if "cnbu-fold" in getattr(widget, "_dom_classes", ()):
            widget.click()
        if type(widget).__name__ in ("Text", "Textarea", "DatetimePicker", "Checkbox"):
            inputs.append(widget.description)
        if type(widget).__name__ in ("Button", "FileUpload"):
            buttons.append((widget.description, widget.tooltip))
        for child in getattr(widget, "children", ()):
            walk(child)

    walk(live)
    assert len(inputs) >= 19
    assert all(inputs)
    assert len(set(inputs)) == len(inputs)
    assert all(description and tooltip for description, tooltip in buttons)


def test_closing_a_form_closes_every_model_of_it(live: MetadataForm) -> None:
    live.value = FULL
    models = [live, live.name.input, live.name.note, live.pairs.rows[0].key, live.labels.search]
    live.close()
    assert [model.comm for model in models] == [None] * len(models)


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(UploadToolkitError, match="not a Cognite client"):
        MetadataForm("westeurope-1")


def test_a_form_shows_itself_in_one_line(form: MetadataForm) -> None:
    form.name.input.value = "a\nb"
    assert repr(form) == r"<MetadataForm 'a\\nb': valid>"


def test_none_in_a_dict_empties_its_field(form: MetadataForm) -> None:
    form.fill({"name": "a", "external_id": "one", "source": "two", "directory": "/d"})
    form.fill({"external_id": None})
    assert form.value is not None
    assert (form.value.external_id, form.value.source) == (None, "two")
    form.fill({"source": None, "directory": "/e"})
    assert (form.value.source, form.value.directory) == (None, "/e")


def test_what_is_wrong_with_a_location_reddens_its_own_box(form: MetadataForm) -> None:
    geo = form.fields["geo_location"]
    boxes = (geo.latitude, geo.longitude, geo.geojson)  # type: ignore[attr-defined]
    geo.geojson.value = "{"  # type: ignore[attr-defined]
    assert ["cnbu-wrong" in one._dom_classes for one in boxes] == [False, False, True]
    geo.geojson.value = ""  # type: ignore[attr-defined]
    geo.latitude.value = "sixty"  # type: ignore[attr-defined]
    assert ["cnbu-wrong" in one._dom_classes for one in boxes] == [True, True, False]
    geo.latitude.value = ""  # type: ignore[attr-defined]
    assert ["cnbu-wrong" in one._dom_classes for one in boxes] == [False, False, False]


def test_what_is_not_one_files_values_fills_nothing(form: MetadataForm) -> None:
    with pytest.raises(UsageError, match="one row, and the table has 2"):
        form.fill(pd.DataFrame({"name": ["a", "b"], "source": ["c", "d"]}))
    for seconds in (1704067200, "1704067200", " 1704067200 "):
        with pytest.raises(UsageError, match="seems to be in seconds"):
            form.fill({"name": "a", "source_created_time": seconds})
    form.fill(CDFFile(name="a", source_created_time=datetime(1970, 1, 20, tzinfo=UTC)))
    assert form.value == FileMetadata(
        name="a", source_created_time=datetime(1970, 1, 20, tzinfo=UTC)
    )
