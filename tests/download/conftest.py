"""A client whose download links lead to a store that does what a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from blobs import DATA, Blob

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.emulator import Emulator, Fault


@pytest.fixture
def blob() -> Iterator[Blob]:
    with Blob(DATA) as made:
        yield made


@pytest.fixture
def link(cdf: Emulator, blob: Blob) -> Callable[[], None]:
    """Has CDF hand out the blob's URL from now on."""

    def lead() -> None:
        body = json.dumps({"items": [{"downloadUrl": blob.url}]})
        cdf.inject(Fault("status", "downloadlink", status=200, body=body, times=None))

    return lead


@pytest.fixture
def linked(link: Callable[[], None], client: CogniteClient) -> CogniteClient:
    """A client whose downloads come from the blob."""
    link()
    return client
