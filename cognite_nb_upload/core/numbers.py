"""Numbers and flags as people have them: from pandas, from a spreadsheet, from a command line.

Rules of this file: what stands for a number is one (numpy's types do); a size may be text with its
unit; yes and no may be text; anything else is refused in a sentence that names the keyword.
"""

from __future__ import annotations

import math
import operator
import re
from numbers import Real
from threading import TIMEOUT_MAX
from typing import Final

from cognite_nb_upload.errors import ConfigError, UsageError

_UNITS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE: Final = re.compile(
    r"(?P<number>[0-9][0-9_]*(\.[0-9]+)?([eE][0-9]+)?)\s*(?P<unit>[kKmMgGtT]?)(?P<kind>[A-Za-z]*)"
)
_YES: Final = frozenset({"true", "yes", "on", "1", "t", "y"})
_NO: Final = frozenset({"false", "no", "off", "0", "f", "n"})


def whole(value: object) -> int | None:
    """An int, or what stands for one (numpy's do), as an int; None for all else, bools included."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type] # that is what is asked
    except (TypeError, ValueError):  # the second: an array that has not one number alone
        return None


def as_flag(name: str, value: object) -> bool:
    """Yes or no: True, 1 and "yes" are yes; False, 0 and "no" are no.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, bool):
        return value
    # numpy's bools are "True" and "False", too, and a spreadsheet's may be 1.0.
    text = str(value).strip().casefold().removesuffix(".0")
    if text not in _YES | _NO:
        raise UsageError(f"{name} is True or False, not {repr(value)[:60]}.")
    return text in _YES


def as_size(name: str, value: object) -> int:
    """Bytes: 67108864, 8e6, "64 MiB" (of 1024), "64 MB" (of 1000), "64M" (as MiB).

    Raises:
        UsageError: it is none of these.
    """
    number = whole(value)
    if number is not None:
        return number
    if isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer():
        return int(float(value))
    size = _size_of_text(value) if isinstance(value, str) else None
    if size is None:
        raise UsageError(
            f"{name} is a number of bytes, such as 67108864 or '64 MiB', not {value!r}."
        )
    return int(size)


def as_rate(name: str, value: object) -> float:
    """Bytes per second: 1e7, "10 MB", "10 MB/s", "80 Mbit/s"; `math.inf` is no limit.

    Raises:
        UsageError: it is none of these, or not above 0.
    """
    rate: float | None = None
    if isinstance(value, Real) and not isinstance(value, bool):
        rate = float(value)
    elif isinstance(value, str):
        rate = _rate_of_text(value)
    if rate is None or not rate > 0:
        raise UsageError(
            f"{name} is a number of bytes per second above 0, such as 1e7 or '10 MB/s', not "
            f"{value!r}."
        )
    return rate


def as_seconds(name: str, value: object) -> float:
    """Seconds: a number above 0; `math.inf` waits for ever.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and float(value) > 0:
        return float(value)
    raise UsageError(f"{name} is a number of seconds above 0, not {value!r}.")


def as_wait(name: str, value: object) -> float | None:
    """Seconds to wait at most; None and `math.inf` are as long as it takes, below 0 is not at all.

    Raises:
        UsageError: it is neither.
    """
    if value is None or value == math.inf:
        return None
    if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
        raise UsageError(f"{name} is a number of seconds or None, not {value!r}.")
    return min(max(0.0, float(value)), TIMEOUT_MAX)


def checked_seconds(name: str, value: object) -> float:
    """`as_seconds` of a setting.

    Raises:
        ConfigError: it is no number above 0.
    """
    try:
        return as_seconds(name, value)
    except UsageError as error:
        raise ConfigError(str(error)) from None


def check_seconds(name: str, value: object) -> None:
    """See that a setting is a time to wait.

    Raises:
        ConfigError: it is no number, or below 0.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not float(value) >= 0:
        raise ConfigError(f"{name} is a number of seconds, 0 or more, not {value!r}.")


def _rate_of_text(text: str) -> float | None:
    """As links and tools write it: a small `b` is bits, a large one bytes."""
    text = text.strip()
    if bits := re.fullmatch(r"(.*?)((?i:bits?)(/s|ps)?|b/s|bps)", text):
        eighth = _size_of_text(bits[1], ("",), binary=False)
        return None if eighth is None else eighth / 8
    return _size_of_text(re.sub(r"(?i)(/s|(?<=b)ps)$", "", text))


def _size_of_text(
    text: str, kinds: tuple[str, ...] = ("", "b", "i", "ib", "byte", "bytes"), binary: bool = True
) -> float | None:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    unit, kind = found["unit"].lower(), found["kind"].lower()
    if kind not in kinds or (kind in ("i", "ib") and not unit):
        return None
    thousand = 1024 if kind in ("i", "ib") or (binary and not kind) else 1000
    size = float(found["number"].replace("_", "")) * thousand ** _UNITS[unit]
    return size if math.isfinite(size) else None
