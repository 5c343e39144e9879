"""What CDF takes in each field of a file's metadata, said once: for requests, and for forms.

Rules of this file: a check takes (field, value), and returns the value as it is held, or raises
UsageError with one sentence that names the field, the limit, the value's size, and what to do. The
limits are those of initmultipartupload in CDF's API description, and no stricter, but for a number
that seems to be a time in seconds or a day, and for NUL in what is a name or a path of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set, Sized
from contextlib import suppress
from datetime import date, datetime
from numbers import Real
from typing import Any, Final

from cognite_nb_upload.core.nearest import nearest
from cognite_nb_upload.core.numbers import whole
from cognite_nb_upload.core.unseen import trimmed
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models.geo import GeoLocation
from cognite_nb_upload.models.ids import Label
from cognite_nb_upload.models.wire import from_ms, to_ms

Check = Callable[[str, Any], Any]

_MOST_ID: Final = 2**53 - 1
_MOST_PAIRS: Final = 256
_MOST_KEY: Final = 128
_MOST_METADATA: Final = 10240  # bytes: of each value, and of all keys and values together
_MOST_LABELS: Final = 10
_MOST_EXTERNAL_ID: Final = 255
# Seconds since 1970 of a time from 1973 to 2286; as milliseconds, from 2 January to 26 April 1970.
_SECONDS: Final = (10**8, 10**10)
_UNITS: Final = (
    ("seconds", "{} * 1000", 1),
    ("milliseconds", "{}", 10**3),
    ("microseconds", "{} // 1000", 10**6),
    ("nanoseconds", "{} // 1_000_000", 10**9),
)
# A day written as a number, and a spreadsheet's, which counts days from 1900 (1970 to 2100). As
# milliseconds, both are in the first hours of 1970.
_DAYS: Final = (19700101, 99991231)
_SERIALS: Final = (25569, 73415)

LIMITS: Final[Mapping[str, str]] = {
    "name": "1 to 256 characters",
    "external_id": "at most 255 characters; no other file has it",
    "source": "at most 128 characters",
    "mime_type": "at most 256 characters, such as application/pdf",
    "metadata": "at most 256 pairs of text; a key at most 128 bytes, all at most 10240 bytes",
    "directory": "an absolute unix path of at most 512 characters",
    "asset_ids": "at most 1000 ids",
    "data_set_id": "an id from 1 to 9007199254740991",
    "labels": "at most 10, each once",
    "geo_location": "one GeoJSON Feature or geometry, longitude first",
    "source_created_time": "a time with its zone, or milliseconds since 1970 (UTC)",
    "source_modified_time": "a time with its zone, or milliseconds since 1970 (UTC)",
    "security_categories": "at most 100 ids",
}


def normalised(field: str, value: object) -> Any:
    """The value as `FileMetadata` holds it; None stays None where the field may be left out.

    Raises:
        UsageError: CDF would refuse it; the message is one sentence.
    """
    if field not in _CHECKS:
        raise UsageError(_unknown(field))
    if value is None and field != "name":
        return None
    return _CHECKS[field](field, value)


def check_field(field: str, value: object) -> str | None:
    """What is wrong with a value, in one sentence for a reader; None where CDF takes it."""
    try:
        normalised(field, value)
    except UsageError as error:
        return str(error)
    return None


def _text(most: int, then: Check | None = None) -> Check:
    def check(field: str, value: object) -> str:
        if not isinstance(value, str):
            raise UsageError(f"{field} is text, not {_kind(value)}.")
        if len(value) > most:
            raise UsageError(f"{field} has {len(value)} characters; CDF takes at most {most}.")
        _bytes_of(field, value)
        return str(then(field, value) if then else value)

    return check


def _not_empty(field: str, value: str) -> str:
    if not value:
        raise UsageError(f"{field} is empty; CDF takes 1 to 256 characters.")
    if not trimmed(value):  # nobody would find the file by it
        raise UsageError(f"{field} is {short(value)}, which shows nothing; give one to read.")
    return _without_nul(field, value)


def _a_name(field: str, value: str) -> str:
    if not value:  # a second file of this name would be a duplicate
        raise UsageError(f"{field} is empty; leave it out, or give a name that no other file has.")
    return value


def _name(field: str, value: object) -> str:
    if value is None:
        raise UsageError(f"{field} is missing; CDF takes 1 to 256 characters.")
    return str(_text(256, _not_empty)(field, value))


def _absolute(field: str, value: str) -> str:
    if not value.startswith("/"):
        raise UsageError(
            f"{field} is {short(value)}; CDF takes an absolute unix path, such as '/surveys/2024'."
        )
    return _without_nul(field, value)


def _without_nul(field: str, value: str) -> str:
    if "\0" in value:
        raise UsageError(f"{field} is {short(value)}; no file or folder has NUL in its name.")
    return value


def _metadata(field: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{field} is a dict of text to text, not {_kind(value)}.")
    if len(value) > _MOST_PAIRS:
        raise UsageError(f"{field} has {len(value)} pairs; CDF takes at most {_MOST_PAIRS}.")
    total = sum(_pair_bytes(field, key, text) for key, text in value.items())
    if total > _MOST_METADATA:
        raise UsageError(f"{field} has {total} bytes in all; CDF takes at most {_MOST_METADATA}.")
    return {str(key): str(text) for key, text in value.items()}


def _pair_bytes(field: str, key: object, text: object) -> int:
    if not isinstance(key, str):
        raise UsageError(f"{field} has the key {short(key)}, and CDF takes text: use str(key).")
    if not isinstance(text, str):
        raise UsageError(
            f"{field}[{short(key)}] is {_kind(text)}, and CDF takes text: use str(value)."
        )
    size = _bytes_of(f"a key of {field}", key)
    if size > _MOST_KEY:
        raise UsageError(
            f"{field} has the key {short(key)} of {size} bytes; CDF takes at most {_MOST_KEY}."
        )
    value_size = _bytes_of(f"{field}[{short(key)}]", text)
    if value_size > _MOST_METADATA:
        raise UsageError(
            f"{field}[{short(key)}] has {value_size} bytes; CDF takes at most {_MOST_METADATA}."
        )
    return size + value_size


def checked_id(field: str, value: object) -> int:
    """One of CDF's ids, also as numpy and pandas have it.

    Raises:
        UsageError: it is none.
    """
    if type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
        raise UsageError(f"{field} holds no number ({value}): leave it out.")
    number = whole(value)
    if number is None and isinstance(value, float) and value.is_integer():
        number = int(value)  # pandas has floats where a value of the column is missing
    if number is None:
        todo = ": use int(value)" if isinstance(value, str) else ""
        raise UsageError(f"{field} is a whole number, not {_kind(value)}{todo}.")
    if not 1 <= number <= _MOST_ID:
        raise UsageError(f"{field} is {short(number)}; CDF's ids are 1 to {_MOST_ID}.")
    return number


def _ids(most: int) -> Check:
    def check(field: str, value: object) -> tuple[int, ...]:
        items = _list(field, value, "[7]", most)
        return tuple(checked_id(f"{field}[{no}]", item) for no, item in enumerate(items))

    return check


def _asset_ids(field: str, value: object) -> tuple[int, ...] | None:
    # CDF takes 1 to 1000, so none at all is said by leaving the field out.
    return _ids(1000)(field, value) or None


def _labels(field: str, value: object) -> tuple[Label, ...]:
    labels: list[Label] = []
    for no, item in enumerate(_list(field, value, "['pump']", _MOST_LABELS)):
        label = _label(f"{field}[{no}]", item)
        if label in labels:
            raise UsageError(f"{field} has {short(label.external_id)} twice; name each once.")
        labels.append(label)
    return tuple(labels)


def _label(field: str, item: Any) -> Label:
    try:
        label = Label.of(item)
    except UsageError as error:
        raise UsageError(f"{field}: {error}.") from None
    if not label.external_id:
        raise UsageError(f"{field} is empty; a label is the external id of its definition.")
    return Label(_text(_MOST_EXTERNAL_ID)(field, label.external_id))


def _geo_location(field: str, value: Any) -> GeoLocation:
    try:
        return GeoLocation.of(value)
    except UsageError as error:
        raise UsageError(f"{field}: {error}") from None


def _time(field: str, value: object) -> datetime:
    ms = _datetime_ms(field, value) if isinstance(value, datetime) else _int_ms(field, value)
    if ms < 0:
        raise UsageError(f"{field} is {ms} ms, before 1970; CDF takes 0 or more.")
    try:
        return from_ms(ms)
    except OverflowError:
        raise beyond(field, ms) from None


def beyond(field: str, ms: int) -> UsageError:
    """What is wrong with a number that is no time up to the year 9999 in milliseconds."""
    unit, into_ms = _unit_of(ms)
    todo = f"; it seems to be in {unit}: use {into_ms.format('value')}" if unit else ""
    return UsageError(
        f"{field} is {short(ms)}, beyond the year 9999: give milliseconds since 1970{todo}."
    )


def _unit_of(number: int) -> tuple[str, str]:
    """The unit in which a number is a time from 1973 to 2286, and how it becomes milliseconds."""
    for unit, into_ms, a_second in _UNITS:
        if _SECONDS[0] * a_second <= number < _SECONDS[1] * a_second:
            return unit, into_ms
    return "", ""


def _datetime_ms(field: str, value: datetime) -> int:
    if value != value:  # pandas' NaT
        raise UsageError(f"{field} holds no time ({value}): leave it out.")
    if value.utcoffset() is None:
        if hasattr(value, "tz_localize"):  # pandas' Timestamp, whose astimezone() differs
            raise UsageError(
                f"{field} has no time zone: use value.tz_localize('UTC'), or the zone it is in, "
                "such as value.tz_localize('Europe/Oslo')."
            )
        raise UsageError(
            f"{field} has no time zone: use value.astimezone() for local time, or "
            "value.replace(tzinfo=datetime.UTC)."
        )
    return to_ms(value)


def _int_ms(field: str, value: object) -> int:
    refuse_seconds(field, value)
    refuse_days(field, value)
    number = whole(value)
    if number is None:
        raise UsageError(
            f"{field} is a datetime or a whole number of milliseconds, not {_kind(value)}"
            f"{_into_time(value)}."
        )
    return number


def refuse_seconds(field: str, value: Any) -> None:
    """See that a number is not a time in seconds, as `os.stat` and `time.time` tell it.

    Raises:
        UsageError: it is; as milliseconds it would be a time in the first months of 1970.
    """
    if _is_number(value) and _SECONDS[0] <= value < _SECONDS[1]:
        raise UsageError(
            f"{field} is {short(value)}, which seems to be in seconds, and CDF takes "
            "milliseconds: use int(value * 1000), or a datetime where it is a time early in 1970."
        )


def refuse_days(field: str, value: Any) -> None:
    """See that a number is no day, as pandas reads 20240131 and spreadsheets count them.

    Raises:
        UsageError: it is; as milliseconds it would be a time in the first hours of 1970.
    """
    if _is_number(value) and (
        (_DAYS[0] <= value <= _DAYS[1] and _is_day(value)) or _SERIALS[0] <= value <= _SERIALS[1]
    ):
        raise UsageError(
            f"{field} is {short(value)}, which seems to be a day, and a number is milliseconds "
            "since 1970: use a datetime, or text such as '2024-01-31' in a table."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_day(value: Any) -> bool:
    try:
        return bool(datetime.strptime(str(int(value)), "%Y%m%d"))
    except ValueError:
        return False


def _into_time(value: object) -> str:
    """How to make a time of it, where that is known."""
    if isinstance(value, float):
        return ": leave it out" if value != value else ": use int(value)"
    if isinstance(value, str):
        return _text_into_time(value)
    if isinstance(value, date):
        return ": use datetime(value.year, value.month, value.day, tzinfo=UTC)"
    if _kind(value) == "datetime64":
        return ": use pandas.Timestamp(value, tz='UTC')"
    return ": use value.to_timestamp()" if _kind(value) == "Period" else ""


def _text_into_time(text: str) -> str:
    digits = text.strip()
    if not digits:
        return ": leave it out"
    if digits.isdecimal() and len(digits) > len("20240131"):  # fromisoformat may take it for a year
        _, into_ms = _unit_of(int(digits[:30]))
        if into_ms:
            return f": use {into_ms.format('int(value)')}"
    else:
        with suppress(ValueError):
            zone = "" if datetime.fromisoformat(text).tzinfo else ".astimezone() for local time"
            return f": use datetime.fromisoformat(value){zone}"
    return ", such as datetime.fromisoformat('2024-01-31T12:00:00+00:00')"


def _list(field: str, value: object, example: str, most: int) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{field} is a list, such as {example}, not {_kind(value)}.")
    count = len(value) if isinstance(value, Sized) else None
    items = in_order(value) if count is None or count <= most else []
    if (count or len(items)) > most:
        raise UsageError(f"{field} has {count or len(items)} items; CDF takes at most {most}.")
    return items


def in_order(values: Iterable[Any]) -> list[Any]:
    """A list of them: a set has another order in each process, and an upload would not go on."""
    return sorted(values, key=repr) if isinstance(values, Set) else list(values)


def _bytes_of(what: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} has a character that is not Unicode, at {error.start}: leave it out."
        ) from None


def _kind(value: object) -> str:
    return type(value).__name__


def short(value: object) -> str:
    """A value as it is written in Python, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:40]}…{text[-5:]}"


def _unknown(field: str) -> str:
    near = nearest(field, _CHECKS)
    todo = f"did you mean {near}?" if near else f"it takes {', '.join(_CHECKS)}."
    return f"{field} is no field of a file; {todo}"


_CHECKS: Final[dict[str, Check]] = {
    "name": _name,
    "external_id": _text(_MOST_EXTERNAL_ID, _a_name),
    "source": _text(128),
    "mime_type": _text(256),
    "metadata": _metadata,
    "directory": _text(512, _absolute),
    "asset_ids": _asset_ids,
    "data_set_id": checked_id,
    "labels": _labels,
    "geo_location": _geo_location,
    "source_created_time": _time,
    "source_modified_time": _time,
    "security_categories": _ids(100),
}
