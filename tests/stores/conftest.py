"""Each test of this folder runs against each real store."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["seaweed", "azurite"])
def storage(request: pytest.FixtureRequest) -> str:
    """Each real store in turn."""
    found: str = request.getfixturevalue(request.param)
    return found
