"""A file's node: the item that makes it, and what each property of a view takes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from cognite_nb_upload.errors import InvalidMetadata, UsageError
from cognite_nb_upload.models.ids import NodeId
from cognite_nb_upload.models.node import FileNode, is_as_sent, item_of
from cognite_nb_upload.models.properties import checked, to_json
from cognite_nb_upload.models.views import CORE_FILE, FILE_VIEW, View, ViewId, ViewProperty

MINE = ViewId("mine", "Scan", "v1")


def prop(kind: str, **more: Any) -> ViewProperty:
    return ViewProperty(name="p", kind=kind, **more)


@pytest.mark.parametrize(
    ("kind", "value", "json"),
    [
        ("int64", 2**63 - 1, 2**63 - 1),
        ("float64", 3, 3.0),
        ("boolean", False, False),
        ("timestamp", datetime(2024, 5, 1, tzinfo=UTC), "2024-05-01T00:00:00.000+00:00"),
        ("timestamp", 0, "1970-01-01T00:00:00.000+00:00"),
        ("timestamp", "2024-05-01T02:00:00Z", "2024-05-01T02:00:00.000+00:00"),
        ("date", date(2024, 5, 1), "2024-05-01"),
        ("json", {"a": [1]}, {"a": [1]}),
        ("direct", ("s", "x"), {"space": "s", "externalId": "x"}),
        ("direct", NodeId("s", "x"), {"space": "s", "externalId": "x"}),
        ("text", "", ""),
    ],
)
def test_a_value_as_cdfs_json(kind: str, value: object, json: object) -> None:
    assert to_json(prop(kind), value) == json
    assert to_json(prop(kind, many=True), [value, value]) == [json, json]


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("int64", 2**63, "int64 holds"),
        ("int32", True, "not bool"),
        ("int32", "7", "use int"),
        ("float32", 1e39, "beyond what float32 holds"),
        ("float64", float("nan"), "finite"),
        ("boolean", "yes", "True or False"),
        ("timestamp", "yesterday", "no ISO 8601 time"),
        ("timestamp", "1704110400000", "no ISO 8601 time"),  # not in the year 1704
        ("date", "5 May", "no date"),
        ("json", {"a": "x" * 40_960}, "CDF takes at most 40960"),
        ("json", {"a": float("nan")}, "cannot be written as JSON"),
        ("text", "a\0b", "NUL"),
        ("text", "\ud800", "not Unicode"),
        ("direct", "x", "is a NodeId or"),
    ],
)
def test_what_cdf_would_refuse_is_one_sentence(kind: str, value: object, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        to_json(prop(kind), value)
    assert said in str(caught.value)
    assert str(caught.value).startswith("p")


def test_a_list_has_the_length_that_its_property_has() -> None:
    with pytest.raises(UsageError, match="p has 101 items; CDF takes at most 100"):
        to_json(prop("direct", many=True, most=100), [("s", "x")] * 101)


def test_what_the_service_sets_is_not_written() -> None:
    with pytest.raises(InvalidMetadata, match="set by CDF alone"):
        checked(CORE_FILE, {"isUploaded": True})


def test_a_view_without_all_of_cognite_file_is_written_beside_it() -> None:
    own = {"beams": ViewProperty(name="beams", kind="int32")}
    view = View(id=MINE, properties=own, is_file=True)
    node = FileNode("s", "x", MINE, {"name": "n", "mimeType": "a/b", "beams": 64})
    assert item_of(node, view)["sources"] == [
        {"source": MINE.to_cdf(), "properties": {"beams": 64}},
        {"source": FILE_VIEW.to_cdf(), "properties": {"name": "n", "mimeType": "a/b"}},
    ]


def test_a_node_is_as_sent_where_a_moment_is_written_in_another_way() -> None:
    node = FileNode("s", "x", properties={"sourceCreatedTime": datetime(2024, 5, 1, tzinfo=UTC)})
    item = item_of(node, CORE_FILE)
    shown = {"CogniteFile/v1": {"sourceCreatedTime": "2024-05-01T02:00:00+02:00", "name": "more"}}
    assert is_as_sent({"properties": {"cdf_cdm": shown}}, item)
    shown["CogniteFile/v1"]["sourceCreatedTime"] = "2024-05-01T02:00:01+02:00"
    assert not is_as_sent({"properties": {"cdf_cdm": shown}}, item)
