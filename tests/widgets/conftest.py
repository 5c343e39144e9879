from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from hypothesis import settings

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.widgets import MetadataForm

# The same examples in every run, and no deadline: a busy machine is not a failure.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

MakeForm = Callable[..., MetadataForm]


@pytest.fixture
def make_form() -> Iterator[MakeForm]:
    """Makes forms, waits until their lists are there, and closes them."""
    with ExitStack() as stack:

        def make(client: object = None, **more: Any) -> MetadataForm:
            form = MetadataForm(client, **more)
            stack.callback(form.close)
            assert form.tasks.wait()
            return form

        yield make


@pytest.fixture
def form(make_form: MakeForm) -> MetadataForm:
    """A form without a client."""
    return make_form()


@pytest.fixture
def live(make_form: MakeForm, client: CogniteClient) -> MetadataForm:
    """A form whose lists come from a little CDF, and are there."""
    return make_form(client)


@pytest.fixture
def create(cdf: Emulator) -> Callable[[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """Makes labels, assets or data sets in that CDF."""

    def post(kind: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reply = httpx.post(
            f"{cdf.base_url}/api/v1/projects/{cdf.project}/{kind}",
            json={"items": items},
            headers={"authorization": f"Bearer {cdf.token}"},
        )
        assert reply.is_success, reply.text
        made: list[dict[str, Any]] = reply.json()["items"]
        return made

    return post
