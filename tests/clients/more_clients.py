"""Clients that `make clients` runs besides those of every `make test`."""

from __future__ import annotations

import environments
import pytest
from environments import Client
from openapi import openapi
from test_official_clients import all_well, run

from cognite_nb_upload.emulator import emulator

pytestmark = [pytest.mark.slow, pytest.mark.clients, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("client", "least"),
    [(environments.EXTRACTOR, 6), (environments.FILESYSTEM, 7), (environments.TOOLKIT, 9)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_client_works_as_it_is(client: Client, least: int) -> None:
    with emulator(process=True) as cdf:
        assert all_well(run(client, cdf), least)


def test_schemathesis_finds_no_answer_that_is_a_500() -> None:
    if (spec := openapi()) is None:
        pytest.skip("CDF_OPENAPI names no file: the openapi.json of CDF's API documentation")
    with emulator(process=True) as cdf:
        assert all_well(run(environments.SCHEMATHESIS, cdf, str(spec)), 1)
    asked = [row for row in cdf.requests() if row["route"]]
    print(len(asked), "requests,", len({row["route"] for row in asked}), "routes")
    assert len(asked) > 100  # how many two minutes are enough for depends on the machine
    assert all((row["status"] or 0) < 500 for row in cdf.requests())
