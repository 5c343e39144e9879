from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from cognite.client.data_classes import GeoLocation as OfficialGeoLocation
from cognite.client.data_classes import Geometry as OfficialGeometry
from cognite.client.data_classes import Label as OfficialLabel
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi import openapi

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import (
    FIELDS,
    LIMITS,
    FileMetadata,
    GeoLocation,
    Geometry,
    InvalidMetadata,
    Label,
    check_field,
)
from cognite_nb_upload.models.properties import plain
from cognite_nb_upload.models.wire import from_file_ns

NOON = datetime(2024, 10, 29, 12, 19, 6, 123_000, tzinfo=UTC)
NOON_MS = 1730204346123

EVERYTHING = {
    "name": "big.segy",
    "external_id": "survey/1",
    "source": "vessel",
    "mime_type": "application/octet-stream",
    "metadata": {"depth": "3 km"},
    "directory": "/surveys/2024",
    "asset_ids": [1, 2**53 - 1],
    "data_set_id": 7,
    "labels": ["raw", Label("seismic")],
    "geo_location": {"type": "Point", "coordinates": [10.5, 60]},
    "source_created_time": NOON_MS,
    "source_modified_time": NOON,
    "security_categories": [3],
}


def refusal(**values: object) -> dict[str, str]:
    with pytest.raises(InvalidMetadata) as caught:
        FileMetadata.of(**values)
    return caught.value.fields


# ---- what goes out ------------------------------------------------------------------------------


def test_every_field_reaches_cdf_under_its_own_name():
    assert FileMetadata.of(**EVERYTHING).to_cdf() == {
        "name": "big.segy",
        "externalId": "survey/1",
        "source": "vessel",
        "mimeType": "application/octet-stream",
        "metadata": {"depth": "3 km"},
        "directory": "/surveys/2024",
        "assetIds": [1, 2**53 - 1],
        "dataSetId": 7,
        "labels": [{"externalId": "raw"}, {"externalId": "seismic"}],
        "geoLocation": {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [10.5, 60]},
        },
        "sourceCreatedTime": NOON_MS,
        "sourceModifiedTime": NOON_MS,
        "securityCategories": [3],
    }


def test_what_is_not_given_is_not_sent():
    assert FileMetadata.of(name="a", source=None, labels=None).to_cdf() == {"name": "a"}


def test_an_empty_list_of_assets_is_never_sent():
    assert "assetIds" not in FileMetadata.of(name="a", asset_ids=[]).to_cdf()


def test_empty_metadata_is_sent_because_it_replaces_what_was_there():
    assert FileMetadata.of(name="a", metadata={}).to_cdf()["metadata"] == {}


def test_keywords_made_from_metadata_make_the_same_metadata():
    one = FileMetadata.of(**EVERYTHING)
    assert FileMetadata.of(**one.to_kwargs()) == one
    assert set(one.to_kwargs()) == set(FIELDS) == set(EVERYTHING)
    assert FileMetadata.of(name="a").to_kwargs() == {"name": "a"}


def test_what_was_sent_can_be_read_back():
    for one in (FileMetadata.of(**EVERYTHING), FileMetadata.of(name="a", metadata={})):
        assert FileMetadata.from_cdf(json.loads(json.dumps(one.to_cdf())) | {"id": 9}) == one
    with pytest.raises(InvalidMetadata, match="name is missing"):
        FileMetadata.from_cdf({"id": 9})


def test_what_is_sent_fits_the_api_description():
    from jsonschema import Draft202012Validator

    if (described := openapi()) is None:
        pytest.skip("CDF's API description is not beside the checkout")
    components = json.loads(described.read_text())["components"]
    schema = {"$ref": "#/components/schemas/ExternalFilesMetadata", "components": components}
    check = Draft202012Validator(schema)
    check.validate(FileMetadata.of(**EVERYTHING).to_cdf())
    properties = components["schemas"]["ExternalFilesMetadata"]["properties"]
    assert set(FileMetadata.of(**EVERYTHING).to_cdf()) == set(properties)
    assert not check.is_valid({"name": "x" * 257})  # the description is really being asked


def test_metadata_is_frozen_and_a_copy():
    pairs = {"a": "b"}
    one = FileMetadata.of(name="a", metadata=pairs)
    pairs["c"] = "d"
    assert one.metadata == {"a": "b"}
    with pytest.raises(ValueError, match="frozen"):
        one.name = "b"


def test_it_is_shown_without_what_is_not_given():
    assert repr(FileMetadata.of(name="a", data_set_id=7)) == "FileMetadata(name='a', data_set_id=7)"


def test_it_becomes_json_without_a_warning():
    assert json.loads(FileMetadata.of(**EVERYTHING).model_dump_json())["data_set_id"] == 7


# ---- what is taken ------------------------------------------------------------------------------


def test_labels_of_every_make_are_taken():
    labels = [Label("a"), OfficialLabel("b"), {"externalId": "c"}, "d"]
    assert FileMetadata.of(name="x", labels=iter(labels)).labels == tuple(map(Label, "abcd"))


def test_a_set_has_the_same_order_in_every_process():
    """Or the same call would not be known again, and what it began would be left unfinished."""
    letters = "jihgfedcba"
    assert FileMetadata.of(name="x", labels=set(letters)).labels == tuple(map(Label, "abcdefghij"))
    assert plain("tags", {"tags": set(letters)}) == {"tags": sorted(letters)}


def test_the_official_geo_location_is_taken():
    official = OfficialGeoLocation("Feature", OfficialGeometry("Point", [10, 60]), {"well": 3})
    taken = FileMetadata.of(name="x", geo_location=official).geo_location
    assert taken == GeoLocation("Feature", Geometry("Point", (10, 60)), {"well": 3})


def test_numbers_and_times_of_a_dataframe_are_taken():
    made = FileMetadata.of(
        name="x",
        data_set_id=np.int64(7),
        asset_ids=np.array([1, 2]),
        source_created_time=pd.Timestamp(NOON),
    )
    assert json.dumps(made.to_cdf())
    assert (made.data_set_id, made.asset_ids, made.source_created_time) == (7, (1, 2), NOON)


def test_a_time_in_any_zone_is_the_same_moment():
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert FileMetadata.of(name="x", source_created_time=there).source_created_time == NOON


@given(ms=st.integers(0, 253_402_300_799_999))
def test_milliseconds_come_back_exactly(ms: int):
    held = FileMetadata.from_cdf({"name": "x", "sourceModifiedTime": ms})
    assert held.to_cdf()["sourceModifiedTime"] == ms
    # no day, as a spreadsheet counts them or in digits, and no time in seconds
    if ms < 25_569 or 73_415 < ms < 19_700_101 or ms >= 10**10:
        assert FileMetadata.of(name="x", source_modified_time=ms) == held


def test_ids_that_are_whole_floats_are_read_as_pandas_has_them_beside_missing_ones() -> None:
    ids = pd.Series([7, None]).tolist()
    made = FileMetadata.of(name="a", data_set_id=ids[0], asset_ids=[np.float64(2**53 - 1)])
    assert (made.data_set_id, made.asset_ids) == (7, (2**53 - 1,))
    assert type(made.data_set_id) is int


@pytest.mark.parametrize("seconds", [1704067200, 10**8, 1704067200.5])
def test_a_time_in_seconds_is_not_taken_for_a_day_in_1970(seconds: float):
    with pytest.raises(InvalidMetadata, match=r"seems to be in seconds.*int\(value \* 1000\)"):
        FileMetadata.of(name="x", source_modified_time=seconds)
    in_1970 = datetime.fromtimestamp(1_704_067_200 / 1000, UTC)  # said so that nobody is mistaken
    assert FileMetadata.of(name="x", source_modified_time=in_1970).source_modified_time == in_1970


@pytest.mark.parametrize(
    "value",
    [
        "1704110400000", "1704110400", "1704110400000000", "1704110400000000000", " 1704110400000 ",
        "2024-01-01T12:00:00Z", "2024-01-01T12:00:00+00:00", "2024-01-01", "20240101",
    ],
)  # fmt: skip
def test_what_is_said_of_a_time_as_text_makes_a_time_of_that_very_text(value: str):
    with pytest.raises(InvalidMetadata, match=r"not str: use .") as refused:
        FileMetadata.of(name="x", source_created_time=value)
    code = str(refused.value).partition(": use ")[2].removesuffix(".").partition(" for ")[0]
    made = eval(code, {"value": value, "datetime": datetime})
    held = FileMetadata.of(name="x", source_created_time=made).source_created_time
    assert held is not None
    assert abs(held - datetime(2024, 1, 1, 12, tzinfo=UTC)) < timedelta(days=2)


@pytest.mark.parametrize(
    "value", ["now", "45292", "2024", "1" * 5000, "12345678901", " 2024-01-01"]
)
def test_text_that_is_no_time_is_told_what_a_time_looks_like(value: str):
    with pytest.raises(InvalidMetadata, match=r"not str, such as datetime\.fromisoformat"):
        FileMetadata.of(name="x", source_created_time=value)
    with pytest.raises(InvalidMetadata, match="not str: leave it out"):
        FileMetadata.of(name="x", source_created_time="")


@given(moment=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))
def test_what_is_finer_than_a_millisecond_is_cut_off(moment: datetime):
    held = FileMetadata.of(name="x", source_modified_time=moment).source_modified_time
    assert held == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    ("ns", "held"),
    [
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_999_999, datetime(1970, 1, 1, microsecond=1000, tzinfo=UTC)),
        (2**63 - 1, datetime(2262, 4, 11, 23, 47, 16, 854000, tzinfo=UTC)),
        (10**21, datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
    ],
    ids=["1969", "cut-off", "2262", "year-33658"],
)
def test_any_time_of_a_file_is_one_that_cdf_can_have(ns: int, held: datetime):
    assert from_file_ns(ns) == held
    assert FileMetadata.of(name="x", source_modified_time=held).source_modified_time == held


# ---- what is refused ----------------------------------------------------------------------------

# field, the largest that CDF takes, one more, what the sentence says of it
EDGES = [
    ("name", "x" * 256, "x" * 257, "name has 257 characters; CDF takes at most 256."),
    ("name", "ø" * 256, "", "name is empty; CDF takes 1 to 256 characters."),
    ("name", " a\u200b", " \n", "name is ' \\n', which shows nothing; give one to read."),
    ("name", "\u2800", "\u200b", "name is '\\u200b', which shows nothing; give one to read."),
    ("external_id", "x" * 255, "x" * 300, "external_id has 300 characters; CDF takes at most 255."),
    ("external_id", " ", "", "external_id is empty; leave it out, or give a name that no other"),
    ("source", "x" * 128, "x" * 129, "source has 129 characters; CDF takes at most 128."),
    ("mime_type", "x" * 256, "x" * 257, "mime_type has 257 characters; CDF takes at most 256."),
    ("directory", "/" * 512, "/" * 513, "directory has 513 characters; CDF takes at most 512."),
    (
        "asset_ids",
        range(1, 1001),
        range(1, 1002),
        "asset_ids has 1001 items; CDF takes at most 1000.",
    ),
    ("security_categories", range(1, 101), range(1, 102), "has 101 items; CDF takes at most 100."),
    (
        "labels",
        list("abcdefghij"),
        list("abcdefghijk"),
        "labels has 11 items; CDF takes at most 10.",
    ),
    ("labels", ["x" * 255], ["x" * 256], "labels[0] has 256 characters; CDF takes at most 255."),
    ("data_set_id", 1, 0, "data_set_id is 0; CDF's ids are 1 to 9007199254740991."),
    ("data_set_id", 2**53 - 1, 2**53, "data_set_id is 9007199254740992; CDF's ids are 1 to"),
    ("asset_ids", [1], [1, -1], "asset_ids[1] is -1; CDF's ids are 1 to"),
    ("metadata", {"k" * 128: ""}, {"k" * 129: ""}, "of 129 bytes; CDF takes at most 128."),
    ("metadata", {"ø" * 64: ""}, {"ø" * 65: ""}, "of 130 bytes; CDF takes at most 128."),
    ("metadata", {"": "v" * 10240}, {"k": "ø" * 5121}, "metadata['k'] has 10242 bytes; CDF"),
    (
        "metadata",
        {"k": "v" * 10239},
        {"k": "v" * 10240},
        "has 10241 bytes in all; CDF takes at most",
    ),
    (
        "metadata",
        {str(n): "" for n in range(256)},
        {str(n): "" for n in range(257)},
        "has 257 pairs",
    ),
    ("source_created_time", 0, -1, "source_created_time is -1 ms, before 1970"),
    ("source_modified_time", 253402300799999, 253402300800000, "beyond the year 9999"),
]


@pytest.mark.parametrize(("field", "most", "more", "says"), EDGES)
def test_a_limit_is_met_exactly(field: str, most: object, more: object, says: str):
    assert check_field(field, most) is None
    sentence = check_field(field, more)
    assert sentence is not None
    assert says in sentence
    assert field in sentence


WRONG = [
    ("name", None, "name is missing"),
    ("name", 7, "name is text, not int."),
    ("name", "a\udc80", "name has a character that is not Unicode, at 1"),
    ("directory", "surveys/2024", "directory is 'surveys/2024'; CDF takes an absolute unix path"),
    ("directory", "C:\\data", "an absolute unix path"),
    ("directory", "", "an absolute unix path"),
    ("data_set_id", True, "data_set_id is a whole number, not bool."),
    ("data_set_id", "7", "data_set_id is a whole number, not str: use int(value)."),
    ("data_set_id", 7.5, "data_set_id is a whole number, not float."),
    ("data_set_id", 2.0**53, "data_set_id is 9007199254740992; CDF's ids are 1 to"),
    ("directory", "/a\0b", "no file or folder has NUL in its name."),
    ("name", "a\0b", "no file or folder has NUL in its name."),
    ("source_created_time", 20240131, "seems to be a day"),
    ("source_modified_time", np.int64(19991231), "seems to be a day"),
    ("asset_ids", 7, "asset_ids is a list, such as [7], not int."),
    ("asset_ids", [1, None], "asset_ids[1] is a whole number, not NoneType."),
    ("labels", "pump", "labels is a list, such as ['pump'], not str."),
    ("labels", ["pump", OfficialLabel("pump")], "labels has 'pump' twice; name each once."),
    ("labels", ["pump", 3], "labels[1]: a label is its external id or a Label, not int."),
    ("labels", [""], "labels[0] is empty"),
    ("metadata", [("a", "b")], "metadata is a dict of text to text, not list."),
    ("metadata", {"depth": 3}, "metadata['depth'] is int, and CDF takes text: use str(value)."),
    ("metadata", {3: "depth"}, "metadata has the key 3, and CDF takes text: use str(key)."),
    ("source_created_time", datetime(2024, 1, 1), "has no time zone: use value.astimezone()"),
    ("source_created_time", pd.NaT, "source_created_time holds no time (NaT): leave it out."),
    ("source_created_time", 1.5e12, "not float: use int(value)."),
    ("source_created_time", True, "not bool"),
    (
        "source_created_time",
        "2024-01-01",
        "is a datetime or a whole number of milliseconds, not str",
    ),
    ("source_created_time", 45292, "seems to be a day"),
    ("source_created_time", 10**15, "beyond the year 9999: give milliseconds since 1970; it seems"),
    ("source_created_time", 10**17 - 1, "the year 9999: give milliseconds since 1970."),
    (
        "source_created_time",
        NOON_MS * 10**6,
        "beyond the year 9999: give milliseconds since 1970; it seems to be in nanoseconds: use "
        "value // 1_000_000.",
    ),
    ("geo_location", 3, "geo_location: CDF takes a GeoJSON Feature or geometry, not int."),
    ("mimetype", "a/b", "mimetype is no field of a file; did you mean mime_type?"),
    ("colour", "red", "colour is no field of a file; it takes name, external_id"),
]


@pytest.mark.parametrize(("field", "value", "says"), WRONG)
def test_a_wrong_value_gets_a_sentence_that_says_what_to_do(field: str, value: object, says: str):
    found = refusal(**{"name": "a", field: value})
    assert list(found) == [field]
    assert says in found[field]
    assert found[field] == check_field(field, value)


def test_every_bad_field_is_named_at_once():
    with pytest.raises(InvalidMetadata) as caught:
        FileMetadata.of(external_id="x" * 300, data_set_id=0, labels=(one for one in "aa"), sauce=1)
    fields = caught.value.fields
    assert set(fields) == {"name", "external_id", "data_set_id", "labels", "sauce"}
    assert str(caught.value) == " ".join(fields.values())
    assert "twice" in fields["labels"]  # read once, though it can be read only once


def test_the_error_is_ours_and_hides_nothing_behind_it():
    with pytest.raises(UsageError) as caught:
        FileMetadata(name="")
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_long_value_is_not_repeated_in_full():
    assert len(check_field("directory", "x" * 500) or "") < 150


def test_values_of_metadata_are_not_shown():
    said = str(refusal(name="a", metadata={"k": "hush" + "v" * 10240}))
    assert "metadata['k'] has 10244 bytes" in said
    assert "hush" not in said


def test_every_field_has_its_limit_in_words_for_forms():
    assert tuple(LIMITS) == FIELDS
    assert all(LIMITS.values())


@settings(max_examples=60)
@given(value=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
), field=st.sampled_from(FIELDS))  # fmt: skip
def test_whatever_comes_the_answer_is_a_sentence_or_json(field: str, value: object):
    sentence = check_field(field, value)
    if sentence is None:
        sent = FileMetadata.of(**{"name": "a", field: value}).to_cdf()
        json.dumps(sent, allow_nan=False, ensure_ascii=False).encode()
    else:
        assert sentence.startswith((field, f"a key of {field}"))
        assert sentence.endswith((".", "?"))
