from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload.models import guess_mime_type, mime
from cognite_nb_upload.models.show import escaped, html_table, plain


@pytest.mark.parametrize(
    ("name", "mime_type"),
    [
        ("report.pdf", "application/pdf"),
        ("REPORT.PDF", "application/pdf"),
        ("table.csv", "text/csv"),
        ("scan.tif", "image/tiff"),
        ("book.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("logs.tar.gz", "application/gzip"),
        ("shot.sgy", "application/octet-stream"),
        ("well.las", "application/octet-stream"),
        ("area.geojson", "application/geo+json"),
        ("tags.parquet", "application/vnd.apache.parquet"),
        ("plant.dwg", "image/vnd.dwg"),
        ("demo.ipynb", "application/x-ipynb+json"),
        ("a.b/c", None),
        ("README", None),
        ("file.unheardof", None),
        ("", None),
    ],
)
def test_the_end_of_a_name_tells_its_type(name: str, mime_type: str | None):
    assert guess_mime_type(name) == mime_type


def test_the_example_of_guess_mime_type_prints_what_it_says():
    assert doctest.testmod(mime).attempted == 1
    assert doctest.testmod(mime).failed == 0


def test_what_is_not_seen_is_written_out():
    assert plain("a\nb\t\u202ec\u2028\x00\ud800") == "a\\nb\\t\\u202ec\\u2028\\x00\\ud800"
    assert plain("Ærø 🛢️ عربي") == "Ærø 🛢️ عربي"  # joiners and scripts are left alone


def test_markup_is_text():
    assert escaped("<b title='a'>&\"") == "&lt;b title=&#x27;a&#x27;&gt;&amp;&quot;"
    assert html_table([("<a>", "<b>")], caption="<c>") == (
        "<table><caption>&lt;c&gt;</caption><tbody>"
        '<tr><th style="text-align:left">&lt;a&gt;</th>'
        '<td style="text-align:left">&lt;b&gt;</td></tr></tbody></table>'
    )


@given(text=st.text())
def test_no_text_breaks_out(text: str):
    shown = escaped(text)
    assert not set(shown) & set("<>\"'\n\r\u202e\u2066")
    shown.encode()
