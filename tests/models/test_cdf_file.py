from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cognite_nb_upload.models import FIELDS, CDFFile, FileMetadata, GeoLocation, Label, NodeId

REPLY = {
    "id": 91,
    "name": "big.segy",
    "externalId": "survey/1",
    "instanceId": {"space": "wells", "externalId": "big"},
    "uploaded": True,
    "uploadedTime": 1730204346123,
    "createdTime": 1,
    "lastUpdatedTime": 2,
    "source": "vessel",
    "mimeType": "application/octet-stream",
    "metadata": {"depth": "3 km"},
    "directory": "/surveys",
    "assetIds": [1, 2],
    "dataSetId": 7,
    "labels": [{"externalId": "raw"}],
    "geoLocation": {"type": "Feature", "geometry": {"type": "Point", "coordinates": [10, 60]}},
    "sourceCreatedTime": 3,
    "sourceModifiedTime": 4,
    "securityCategories": [3],
}


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC).replace(microsecond=ms * 1000)


def test_everything_that_cdf_says_is_there():
    assert CDFFile.from_cdf(REPLY) == CDFFile(
        id=91,
        name="big.segy",
        external_id="survey/1",
        instance_id=NodeId("wells", "big"),
        uploaded=True,
        uploaded_time=datetime(2024, 10, 29, 12, 19, 6, 123_000, tzinfo=UTC),
        created_time=at(1),
        last_updated_time=at(2),
        source="vessel",
        mime_type="application/octet-stream",
        metadata={"depth": "3 km"},
        directory="/surveys",
        asset_ids=(1, 2),
        data_set_id=7,
        labels=(Label("raw"),),
        geo_location=GeoLocation.point(10, 60),
        source_created_time=at(3),
        source_modified_time=at(4),
        security_categories=(3,),
    )


def test_a_files_metadata_can_be_said_of_another():
    kwargs = CDFFile.from_cdf(REPLY).to_kwargs()
    assert set(kwargs) == set(FIELDS)
    sent = FileMetadata.of(**kwargs).to_cdf()
    assert sent == {key: REPLY[key] for key in sent}


def test_a_reply_that_says_nothing_is_an_empty_file():
    assert CDFFile.from_cdf({}) == CDFFile()


def test_one_part_that_is_not_understood_costs_only_itself():
    odd = REPLY | {"labels": [{"externalId": "raw"}, None, 3], "geoLocation": {"type": "Curve"}}
    file = CDFFile.from_cdf(odd | {"uploadedTime": 10**30, "newIn2031": {}})
    assert (file.id, file.labels, file.geo_location) == (91, (Label("raw"),), None)
    assert file.uploaded_time is None


@settings(max_examples=60)
@given(field=st.sampled_from(sorted(REPLY)), value=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("type"), inner),
))  # fmt: skip
def test_no_surprise_from_cdf_is_an_error(field: str, value: Any):
    file = CDFFile.from_cdf(REPLY | {field: value})
    assert repr(file)
    assert "<table>" in file._repr_html_()


SECRETS = {
    "uploadUrl": "https://store/?sig=hush",
    "uploadUrls": ["https://store/?sig=hush"],
    "uploadId": "hush",
    "downloadUrl": "https://store/?sig=hush",
}


def test_signed_urls_in_a_reply_are_not_kept():
    file = CDFFile.from_cdf(REPLY | SECRETS)
    assert file == CDFFile.from_cdf(REPLY)
    assert "hush" not in repr(file) + file._repr_html_() + str(file.to_kwargs())


def test_it_is_one_line_in_a_cell():
    assert repr(CDFFile.from_cdf(REPLY)) == (
        "<CDFFile 'big.segy': id=91, external_id='survey/1', "
        "instance_id=NodeId(space='wells', external_id='big'), uploaded>"
    )
    assert repr(CDFFile(name="a\n\u202eb", id=1)) == (
        "<CDFFile 'a\\n\\u202eb': id=1, not uploaded yet>"
    )


def test_its_table_shows_what_is_known():
    table = CDFFile.from_cdf(REPLY)._repr_html_()
    assert ">2024-10-29 12:19:06+00:00</td>" in table
    assert ">Point ((10.0, 60.0),)</td>" in table
    assert ">raw</td>" in table
    assert "uploaded_time" not in CDFFile(id=1)._repr_html_()


XSS = "<img src=x onerror=alert(1)>\u202e\n"


@pytest.mark.parametrize(
    "reply",
    [
        {"name": XSS},
        {"externalId": XSS},
        {"source": XSS},
        {"mimeType": XSS},
        {"directory": XSS},
        {"metadata": {XSS: XSS}},
        {"labels": [{"externalId": XSS}]},
        {"geoLocation": REPLY["geoLocation"] | {"properties": {XSS: XSS}}},
    ],
    ids=lambda reply: next(iter(reply)),
)
def test_markup_in_any_field_stays_text(reply: dict[str, Any]):
    table = CDFFile.from_cdf({"id": 1} | reply)._repr_html_()
    assert "<img" not in table
    assert "\u202e" not in table
    assert "\n" not in table
