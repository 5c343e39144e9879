from __future__ import annotations

from typing import Any

import pytest
from cognite.client.data_classes.data_modeling import NodeId as OfficialNodeId

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import Label, LabelDefinition, NodeId, as_node_id

NODE = NodeId("wells", "big")


@pytest.mark.parametrize(
    "given_as",
    [
        NODE,
        OfficialNodeId("wells", "big"),
        ("wells", "big"),
        ["wells", "big"],
        {"space": "wells", "externalId": "big"},
        {"space": "wells", "external_id": "big"},
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_node_is_taken_in_every_form(given_as: Any):
    assert as_node_id(given_as) == NODE
    assert as_node_id(given_as).to_cdf() == {"space": "wells", "externalId": "big"}


@pytest.mark.parametrize(
    ("given_as", "says"),
    [
        ("wells", "An instance id is a NodeId or (space, external_id), not str."),
        (("wells",), "not tuple"),
        ({"space": "wells"}, "not dict"),
        (Label("a"), "not Label"),
        (None, "not NoneType"),
        (("1wells", "big"), "The space of a node is '1wells'; a space starts with a letter"),
        (("w" * 44, "big"), "at most 43"),
        (("wells\n", "big"), "at most 43"),
        (("wells", ""), "is text, and not empty"),
        (("wells", 3), "is text, and not empty"),
        (("wells", "x" * 257), "has 257 characters; CDF takes at most 256."),
    ],
)
def test_what_is_no_node_is_told(given_as: Any, says: str):
    with pytest.raises(UsageError) as caught:
        as_node_id(given_as)
    assert says in str(caught.value)


def test_a_space_and_an_id_may_be_as_long_as_cdf_takes():
    assert as_node_id(("w" * 43, "x" * 256)).space == "w" * 43


def test_a_label_that_was_picked_from_a_list_is_a_label():
    assert Label.of(LabelDefinition("raw", name="Raw data")) == Label("raw")
    assert Label.of({"external_id": "raw"}).to_cdf() == {"externalId": "raw"}


@pytest.mark.parametrize("value", [None, 3, {}, {"name": "raw"}, object()])
def test_what_has_no_external_id_is_no_label(value: Any):
    with pytest.raises(UsageError, match="a label is its external id or a Label, not"):
        Label.of(value)
