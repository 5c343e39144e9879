"""For your own tests: the fixture `cdf_emulator`, a little CDF for each test that asks for one.

pytest finds it by itself where this package is installed; the extra `emulator` is needed to use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cognite_nb_upload.emulator import Emulator

MARKER = "cdf_emulator(**switches): the switches of the emulator that the test gets"


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def cdf_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A running emulator of its own for each test, which takes faults.

    `base_url`, `project` and `token` are what a client needs. Other switches, those of
    `emulator.Settings`, come with a marker: `@pytest.mark.cdf_emulator(strict_storage=True)`.
    """
    try:
        from cognite_nb_upload.emulator import emulator
    except ImportError as error:
        text = f"{error}: pip install 'cognite_nb_upload[emulator]' for the fixture cdf_emulator."
        raise pytest.UsageError(text) from error
    marker = request.node.get_closest_marker("cdf_emulator")
    switches = {"faults": True} | (marker.kwargs if marker else {})
    with emulator(**switches) as running:
        yield running
