from __future__ import annotations

import pytest
from hypothesis import settings
from uploading import Clock

from cognite_nb_upload.core.feed import Feed
from cognite_nb_upload.progress import watch

# The same examples in every run, and no deadline: a busy machine is not a failure.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is in this moment, who ends bars sees their last picture."""
    monkeypatch.setattr(watch, "_LAST_S", 60.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feed(clock: Clock) -> Feed:
    return Feed(clock)
