"""How values are written on CDF's wire: camelCase names, times as integer milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970 of an aware `datetime`; what is finer is cut off."""
    return (moment - EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The moment in UTC. Raises OverflowError beyond the year 9999."""
    return EPOCH + ms * _MS


def from_file_ns(mtime_ns: int) -> datetime:
    """A file's modification time as CDF can have it: in whole milliseconds, and from 1970 to 9999.

    What is earlier or later is the first or the last of them.
    """
    return from_ms(min(max(0, mtime_ns // 1_000_000), to_ms(_LAST)))


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """`data_set_id` -> `dataSetId`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
