"""Typing without a pause, however busy the machine is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cognite_nb_upload import background

T = TypeVar("T")


def at_once(do: Callable[[], T]) -> T:
    """Do it in the package's own loop: nothing that waits for a pause gets on meanwhile."""
    return background.portal().call(do)
