"""Files in other stores at an engine: the workers read the store, and the notebook does not."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pandas as pd
import pytest
from upload_rig import PART, asked, content_of
from web_store import WebStore, web_store

from cognite_nb_upload import CogniteClient, SourceChanged, UsageError, upload_many
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.emulator import Emulator

PARTS = 4
CONTENT = content_of(PARTS)
KEY: dict[str, Any] = {"headers": {"x-key": "planted"}}
pytestmark = pytest.mark.slow


@pytest.fixture
def web() -> Iterator[WebStore]:
    with web_store() as running:
        yield running


@pytest.fixture
def pool() -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")  # this process has threads
    with ProcessPoolExecutor(2, mp_context=context) as made:
        yield made


def test_no_byte_of_a_file_goes_through_the_coordinator(
    client: CogniteClient, cdf: Emulator, web: WebStore, pool: ProcessPoolExecutor
) -> None:
    web.fault = lambda path, span: None if web.asked[-1][2].get("x-key") else (403, {})
    upload = client.files.start_upload(
        web.put("a.bin", CONTENT), engine=pool, part_size=PART, storage_options=KEY
    )
    done = upload.result()
    assert cdf.content(done.id) == CONTENT
    assert web.given_here <= 10  # it was looked at
    assert len(CONTENT) <= web.given <= 1.01 * len(CONTENT)
    assert "planted" not in repr(upload) + repr(upload.state) + repr(upload.spec)

    small = web.put("small.bin", b"small")
    table = pd.DataFrame({"path": [small, f"{web.url}/a.bin"], "external_id": ["s", "b"]})
    frame = upload_many(client, table, engine=pool, progress=False, storage_options=KEY)
    assert frame["error"].tolist() == ["", ""]
    assert [cdf.content(one) for one in frame["id"]] == [b"small", CONTENT]
    assert web.given_here <= 20


def test_a_worker_that_finds_another_version_ends_it(
    client: CogniteClient, cdf: Emulator, web: WebStore, pool: ProcessPoolExecutor
) -> None:
    address = web.put("a.bin", CONTENT)

    def replaced(state: Any, event: ev.Event) -> None:
        if isinstance(event, ev.PartStored):
            web.put("a.bin", CONTENT[::-1])

    upload = client.files.start_upload(address, engine=pool, part_size=PART, max_concurrency=1)
    upload.listen(replaced)
    with pytest.raises(SourceChanged, match="was replaced"):
        upload.result()
    assert not asked(cdf, "complete")
    with pytest.raises(UsageError, match="a store that tells versions"):
        client.files.upload(web.put("b.bin", CONTENT, etag=""), engine=pool)
