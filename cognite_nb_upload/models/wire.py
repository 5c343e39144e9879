"""How values are written on CDF's wire: camelCase names, times as integer milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970 of an aware `datetime`; what is finer is cut off."""
    return (moment - EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The moment in UTC. Raises OverflowError beyond the year 9999."""
    return EPOCH + ms * _MS


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`data_set_id` -> `dataSetId`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
