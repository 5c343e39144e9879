from __future__ import annotations

from collections.abc import Iterator

import pytest
from cells import Kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A real IPython kernel, in a process of its own."""
    with Kernel() as running:
        yield running
