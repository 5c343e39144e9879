"""Metadata as a table: typed, pasted, and taken from what data scientists have at hand."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cognite_nb_upload import FileMetadata, UsageError
from cognite_nb_upload.models.parse import pairs_of
from cognite_nb_upload.widgets import MetadataForm

PAIRS = [("survey", "NV-24"), ("crs", "EPSG:4230")]


@pytest.mark.parametrize(
    "given",
    [
        dict(PAIRS),
        PAIRS,
        pd.Series(dict(PAIRS)),
        pd.DataFrame(PAIRS, columns=["what", "is"]),
        pd.DataFrame([{**dict(PAIRS), "nothing": None}]),
        '{"survey": "NV-24", "crs": "EPSG:4230"}',
        "{'survey': 'NV-24', 'crs': 'EPSG:4230'}",
        '[["survey", "NV-24"], ["crs", "EPSG:4230"]]',
        "survey,NV-24\ncrs,EPSG:4230",
        "key,value\nsurvey,NV-24\ncrs,EPSG:4230\n",
        'Key;Value\r\n"survey";NV-24\r\ncrs;EPSG:4230',
        "\ufeffsurvey\tNV-24\n\ncrs\tEPSG:4230",
        "survey = NV-24\ncrs = EPSG:4230",
        "survey: NV-24\ncrs: EPSG:4230",
        'survey: "NV-24"\ncrs: "EPSG:4230"',
        "survey = 'NV-24'\n\u200bcrs\xa0= EPSG:4230",
        '"survey": "NV-24",\n"crs": "EPSG:4230",',
        '[{"key": "survey", "value": "NV-24"}, {"Value": "EPSG:4230", "Key": "crs"}]',
        [{"survey": "NV-24"}, {"crs": "EPSG:4230"}],
        "survey: NV-24\ncrs: EPSG:4230\nsurvey: NV-24",
    ],
)
def test_pairs_are_read_from(given: Any) -> None:
    assert pairs_of(given) == PAIRS


def test_values_that_are_no_text_become_text_and_missing_ones_are_left_out() -> None:
    given = {
        "year": 2024,
        "depth": 2.5,
        "ok": True,
        "none": None,
        "nan": float("nan"),
        "nat": pd.NaT,
        "numpy": np.datetime64("NaT"),
        "decimal": Decimal("nan"),
        "list": [1, "å"],
        "at": datetime(2026, 5, 18, tzinfo=UTC),
        7: "key",
    }
    assert dict(pairs_of(given)) == {
        "year": "2024",
        "depth": "2.5",
        "ok": "true",
        "list": '[1, "å"]',
        "at": "2026-05-18T00:00:00+00:00",
        "7": "key",
    }


def test_a_csv_keeps_commas_in_quotes() -> None:
    assert pairs_of('area,"north, and west"\nnote,"say ""hi"""') == [
        ("area", "north, and west"),
        ("note", 'say "hi"'),
    ]


def test_a_cell_of_several_lines_is_one_value() -> None:
    pasted = 'comment\t"first: 1\nsecond: ""2"""\r\nfield\tTroll: West\r\n'
    assert pairs_of(pasted) == [("comment", 'first: 1\nsecond: "2"'), ("field", "Troll: West")]
    assert pairs_of('pipe\t5"\nbore\t8"') == [("pipe", '5"'), ("bore", '8"')]


@pytest.mark.parametrize(
    "given",
    [
        "a: 1\na: 2",
        '"a": 1,\n"a": 2',
        '{"a": 1, "b": 2, "a": 3}',
        "{'a': 1, 'a': 2}",
        '{"b": {"a": 1, "a": 2}}',
        [("a", 1), ("a", 2)],
        {1: "x", "1": "y"},
        pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"]),
    ],
)
def test_no_value_of_a_key_that_is_there_twice_is_dropped(given: Any) -> None:
    with pytest.raises(UsageError, match="is there twice; name each once"):
        pairs_of(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("one\ntwo", "one pair per line"),
        ("", "one pair per line"),
        ("=b", "The value 'b' has no key"),
        ("a: b\n: c", "The value 'c' has no key"),
        ("=", "one pair per line"),
        ("{survey: NV}", "neither JSON nor Python"),
        ("{" * 9999, "neither JSON nor Python"),
        ("[1, 2]", "not list"),
        (7, "not int"),
        (pd.DataFrame({"a": [1, 2], "b": [1, 2], "c": [1, 2]}), "3 columns and 2 rows"),
    ],
)
def test_what_holds_no_pairs_says_what_would(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pairs_of(given)


# --- the table -------------------------------------------------------------------------------


@pytest.fixture
def named(form: MetadataForm) -> MetadataForm:
    form.name.input.value = "a"
    return form


def metadata(form: MetadataForm) -> dict[str, str] | None:
    assert form.value is not None
    return form.value.metadata


def test_rows_are_typed_added_and_removed(named: MetadataForm) -> None:
    rows = named.pairs.rows
    rows[0].key.value, rows[0].value.value = "survey", "NV-24"
    named.pairs.add_row()
    rows[1].key.value = "crs"
    assert metadata(named) == {"survey": "NV-24", "crs": ""}
    named.pairs.rows[0].widget.children[2].click()
    assert metadata(named) == {"crs": ""}
    named.pairs.rows[0].widget.children[2].click()
    assert metadata(named) is None
    assert len(named.pairs.rows) == 1  # one to type in is always there


def test_metadata_from_adds_and_replaces(named: MetadataForm) -> None:
    named.metadata_from({"survey": "NV-23", "line": 7})
    named.metadata_from(pd.Series({"survey": "NV-24", "crs": "EPSG:4230"}))
    assert metadata(named) == {"line": "7", "survey": "NV-24", "crs": "EPSG:4230"}


def test_pasting_adds_and_closes_the_box(named: MetadataForm) -> None:
    named.pairs.open_paste()
    named.pairs.paste.value = "survey,NV-24"
    named.pairs.add_pasted()
    assert metadata(named) == {"survey": "NV-24"}
    assert named.pairs.paste.value == ""
    assert "cnbu-none" in named.pairs._paste_box._dom_classes


@pytest.mark.parametrize("text", ["a: b, c: d", "a=b;c=d", "x: 1\na: b; c: d", "a, b; c, d"])
def test_a_line_that_may_be_several_pairs_is_told(named: MetadataForm, text: str) -> None:
    named.pairs.paste.value = text
    named.pairs.add_pasted()
    assert "is read as one pair" in named.pairs.note.value
    assert metadata(named)


@pytest.mark.parametrize(
    "text",
    ["a: b, c", "b=2; c", "a, b, c", "at: Troll, 12:30", "a: x, https://b.c", '{"a": "b, c: d"}'],
)
def test_no_doubt_is_said_of_a_value_that_only_lists(named: MetadataForm, text: str) -> None:
    named.pairs.paste.value = text
    named.pairs.add_pasted()
    assert "is read as one pair" not in named.pairs.note.value
    assert metadata(named)


def test_what_cannot_be_read_stays_in_the_box_and_says_why(named: MetadataForm) -> None:
    named.pairs.paste.value = "survey"
    named.pairs.add_pasted()
    assert "one pair per line" in named.pairs.note.value
    assert named.pairs.paste.value == "survey"
    named.pairs.paste.value = "survey: NV-24"
    named.pairs.add_pasted()
    assert "one pair per line" not in named.pairs.note.value


def test_a_key_twice_or_a_value_without_a_key_is_an_error(named: MetadataForm) -> None:
    named.metadata_from(dict(PAIRS))
    named.pairs.rows[1].key.value = "survey"
    assert named.errors == {"metadata": "Metadata has the key 'survey' twice; name each once."}
    named.pairs.rows[1].key.value = ""
    assert named.errors == {"metadata": "Metadata: the value 'EPSG:4230' has no key."}
    named.pairs.rows[1].value.value = ""
    assert metadata(named) == {"survey": "NV-24"}


def test_256_pairs_are_pages_of_eight_and_one_more_is_an_error(named: MetadataForm) -> None:
    many = {f"k{no:03}": str(no) for no in range(256)}
    named.value = FileMetadata(name="a", metadata=many)
    shown = named.pairs._table.children
    assert len(shown) == 8
    assert "1 to 8 of 256" in named.pairs._where.value
    named.pairs._next.click()
    assert named.pairs._table.children[0].children[0].value == "k008"
    named.pairs._table.children[0].children[1].value = "other"
    assert metadata(named) == {**many, "k008": "other"}
    named.pairs.add_row()
    named.pairs.rows[-1].key.value = "k256"
    assert named.errors == {"metadata": "Metadata has 257 pairs; CDF takes at most 256."}


def test_a_key_is_counted_in_bytes(named: MetadataForm) -> None:
    named.pairs.rows[0].key.value = "å" * 65
    assert "130 bytes; CDF takes at most 128" in named.errors["metadata"]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (
            "operator: Equinor, Norway\narea: Troll, West",
            [("operator", "Equinor, Norway"), ("area", "Troll, West")],
        ),
        ("a = 1, 2\nb = x: y", [("a", "1, 2"), ("b", "x: y")]),
        ("a: x = 1\nb: y = 2", [("a", "x = 1"), ("b", "y = 2")]),
        ("url,https://a.b/?c=d\nat,12:30", [("url", "https://a.b/?c=d"), ("at", "12:30")]),
        ("a, b\tc\nd\te: f", [("a, b", "c"), ("d", "e: f")]),
        ("at: 12:30", [("at", "12:30")]),
        ('"a: x": b', [("a: x", "b")]),
        ('"a, x": b, c', [("a, x", "b, c")]),
        ("'a = x' = b", [("a = x", "b")]),
        ("12:30 = start", [("12:30", "start")]),
        ("12:30: start\n14:00: end", [("12:30", "start"), ("14:00", "end")]),
        ("C:\\data\\x = y", [("C:\\data\\x", "y")]),
        ("https://a.b/c = y", [("https://a.b/c", "y")]),
        ("1:2\n3:4", [("1", "2"), ("3", "4")]),
        ("a:12:30", [("a", "12:30")]),
        ("- a: b\n- c: d", [("a", "b"), ("c", "d")]),
        ("- a\tb", [("- a", "b")]),
        ("b=2; c", [("b", "2; c")]),
        ("a,b\n,\nc,d", [("a", "b"), ("c", "d")]),
    ],
)
def test_values_keep_the_commas_equal_signs_and_colons_in_them(
    text: str, pairs: list[tuple[str, str]]
) -> None:
    assert pairs_of(text) == pairs


@pytest.mark.parametrize("seconds", [-315_619_200, -11_644_473_600])
def test_a_file_time_that_cdf_refuses_is_left_out(
    form: MetadataForm, tmp_path: Path, seconds: int
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    os.utime(path, (seconds, seconds))
    moment = datetime.fromtimestamp(seconds, UTC)
    for given in (None, moment):
        form.set_file(path, modified=given, created=given)
        assert form.errors == {}
        assert form.value is not None
        assert form.value.source_modified_time is None
