from __future__ import annotations

import pandas as pd
from hypothesis import given
from uploading import MIB, XSS, histories, lose, opened, send, store, stored, tell

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.progress.table import state_html, to_frame

DTYPES = {
    "part": "Int64",
    "state": "category",
    "size_bytes": "Int64",
    "sent_bytes": "Int64",
    "attempts": "Int64",
    "lost": "Int64",
    "wait_s": "Float64",
    "reason": "string",
}


def test_a_row_per_part_with_units_and_dtypes(feed: Feed) -> None:
    tell(feed, opened([10 * MIB, None, 10 * MIB]), *send(0, MIB), lose(0))
    tell(feed, store(2, checksums=(("md5", "abc=="), ("crc64", "1"))))
    frame = to_frame(feed.state)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == DTYPES | {
        "checksum_md5": "string",
        "checksum_crc64": "string",
    }
    assert list(frame["state"]) == ["lost", "waiting", "stored"]
    assert list(frame["state"].cat.categories) == ["waiting", "sending", "lost", "stored"]
    assert frame.loc[0, ["attempts", "lost", "wait_s", "reason"]].tolist() == [1, 1, 4.0, "503"]
    assert frame["size_bytes"].isna().tolist() == [False, True, False]
    assert frame["checksum_md5"].tolist()[2] == "abc=="
    assert frame["checksum_md5"].isna().tolist() == [True, True, False]


def test_the_columns_are_there_before_the_parts(feed: Feed) -> None:
    frame = to_frame(feed.state)
    assert frame.empty
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == DTYPES


@given(histories())
def test_the_table_adds_up_to_the_snapshot(history: list[UploadState]) -> None:
    state = history[-1]
    frame = to_frame(state)
    assert frame["sent_bytes"].sum() == state.sent
    assert frame["lost"].sum() == state.retries
    assert frame["part"].tolist() == list(range(len(state.parts)))
    assert not frame["wait_s"].isna().all() or frame["wait_s"].dtype == pd.Float64Dtype()


def test_html_of_a_snapshot_stands_alone_and_is_escaped(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 2, name=f"{XSS}\u202e\n.segy"), *stored(0))
    tell(feed, ev.Failed(reason=f"no: {XSS}"))
    html = state_html(feed.state)
    assert "<img" not in html
    assert html.count("&lt;img") == 2
    assert "\u202e" not in html
    assert "<script" not in html
    assert 'class="failed" style="width:50%"' in html
    assert "50 %, 10 of 20 MiB, 1 of 2 parts stored" in html


def test_html_without_styles_still_says_it_in_words(feed: Feed) -> None:
    tell(feed, opened([10 * MIB] * 2), *stored(0, 1), ev.Completed())
    assert ">Uploaded big.segy: 20 MiB in 2 parts, id 91<" in state_html(feed.state)


def test_html_before_there_is_anything(feed: Feed) -> None:
    assert ">Preparing a file<" in state_html(feed.state)
    assert 'class="cnbu-bar"' not in state_html(feed.state)
