"""Numbers, sizes and flags as they come from pandas, from text and from people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from upload_rig import PART, asked, content_of, file_of

from cognite_nb_upload import CogniteClient, ConfigError, UsageError
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator


@pytest.mark.parametrize("kind", [np.int64, np.uint64, lambda id: pd.Series([id]).iloc[0]])
def test_an_id_of_pandas_is_taken_everywhere(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: Any
) -> None:
    id = kind(client.files.upload(b"x", name="a").id)
    found = client.files.retrieve(id=id)
    assert found is not None
    assert found.id == id
    assert client.files.size(id=id) == 1
    assert client.files.download(tmp_path / "back", id=id).read_bytes() == b"x"
    assert [one.id for one in client.files.retrieve_all([id])] == [id]
    assert client.catalog.assets([kind(1)]) == client.catalog.assets([1])
    assert client.files.list(filter={"createdTime": {"min": kind(0)}}, limit=np.int64(1))
    client.files.delete(id=id)
    assert client.files.retrieve(id=id) is None


@pytest.mark.parametrize("bad", [7.5, "7", True, 0, -1])
def test_what_is_no_id_is_told(client: CogniteClient, cdf: Emulator, bad: Any) -> None:
    with pytest.raises(UsageError, match=r"^id is "):
        client.files.retrieve(id=bad)
    assert not asked(cdf, "byids")


@pytest.mark.parametrize("limit", [None, -1, float("inf")])
def test_all_is_said_as_the_official_client_says_it(client: CogniteClient, limit: Any) -> None:
    assert client.files.list(limit=limit)


@pytest.mark.parametrize("limit", ["10", 1.5, -2, True])
def test_a_limit_that_is_none_is_told(client: CogniteClient, limit: Any) -> None:
    with pytest.raises(UsageError, match=r"^limit is a whole number, or None for all"):
        client.files.list(limit=limit)


def test_what_cdf_cannot_take_is_told(client: CogniteClient) -> None:
    with pytest.raises(UsageError, match=r"A request holds a \w*Path"):
        client.files.list(filter={"name": Path("a")})


@pytest.mark.parametrize("size", [8e6, "8 MB", "8e6", np.int64(8_000_000)])
def test_a_part_size_is_taken_as_people_write_it(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, size: Any
) -> None:
    path = file_of(tmp_path, 3)
    uploaded = client.files.upload(path, part_size=size, max_bandwidth="1 GB/s")
    assert uploaded.parts == -(-path.stat().st_size // 8_000_000)
    assert cdf.content(uploaded.id) == content_of(3)
    assert client.files.limits.bandwidth.rate == 1e9


def test_a_size_with_its_unit_is_the_same_upload(client: CogniteClient, tmp_path: Path) -> None:
    plan = client.files.upload(file_of(tmp_path, 3), part_size="6MiB", dry_run=True).plan
    assert plan.part_size == 6 * MIB


@pytest.mark.parametrize(
    "fields",
    [
        {"part_size": "big"},
        {"part_size": 0},
        {"max_bandwidth": "fast"},
        {"max_bandwidth": 0},
        {"max_concurrency": 0},
        {"max_concurrency": "8"},
        {"verify": "sha"},
        {"overwrite": "maybe"},
        {"resume": "maybe"},
        {"dry_run": "maybe"},
    ],
)
def test_what_cannot_be_is_refused_by_its_keyword(
    client: CogniteClient, cdf: Emulator, fields: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=f"^{next(iter(fields))} is "):
        client.files.upload(b"x", name="a", **fields)
    if "overwrite" not in fields:
        with pytest.raises(UsageError, match=f"^{next(iter(fields))} is "):
            client.files.upload_content(b"x", external_id="a", **fields)
    assert not asked(cdf, "init")


@pytest.mark.parametrize("no", ["False", "no", "0", 0, np.False_])
def test_no_in_words_replaces_nothing(client: CogniteClient, cdf: Emulator, no: Any) -> None:
    kept = client.files.upload(b"old", name="a", external_id="keep")
    for start in (
        lambda: client.files.upload(b"new", name="a", external_id="keep", overwrite=no),
        lambda: client.files.multipart_upload_session("a", 1, "keep", overwrite=no),
    ):
        with pytest.raises(Exception, match="409"):
            start()
    assert cdf.content(kept.id) == b"old"


def test_yes_in_words_sends_nothing_where_only_a_plan_is_asked_for(
    client: CogniteClient, cdf: Emulator
) -> None:
    assert repr(client.files.upload(b"x", name="a", dry_run="yes")).startswith("1 byte")  # type: ignore[call-overload]
    assert not asked(cdf, "init")


@pytest.mark.parametrize("name", ["timeout_s", "transfer_timeout_s", "stall_timeout_s"])
@pytest.mark.parametrize("bad", ["60", 0, None])
def test_a_setting_in_seconds_is_a_number(cdf: Emulator, name: str, bad: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is a number of seconds above 0"):
        CogniteClient.from_env(
            {"CDF_PROJECT": "a", "CDF_URL": cdf.base_url, "CDF_TOKEN": "t"}, **{name: bad}
        )


def test_part_numbers_of_numpy_are_taken(client: CogniteClient, cdf: Emulator) -> None:
    with client.files.multipart_upload_session("a", np.int64(2)) as session:
        session.upload_part(np.int64(0), bytes(PART), length=np.int64(PART))
        session.upload_part(np.int64(1), b"x")
    assert cdf.content(session.file_metadata.id) == bytes(PART) + b"x"
