"""What people paste and hand over -> pairs of text, ids and field values.

Rules of this file: no widgets; what cannot be read is a UsageError that says what can; values that
are not text become text as Python writes it, and those that are missing are left out.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, Final, cast

from cognite_nb_upload.core.unseen import trimmed
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import FIELDS, TIMES, GeoLocation, Label
from cognite_nb_upload.models.fields import beyond, refuse_days, refuse_seconds, short
from cognite_nb_upload.models.wire import camel, from_ms

Pair = tuple[str, str]

_CAMEL: Final = {camel(field): field for field in FIELDS}
_HEADS: Final = ({"key", "value"}, {"name", "value"}, {"field", "value"})
_MOST_DIGITS: Final = 100  # far beyond any time; Python reads no number of thousands
_DELIMITERS: Final = ("\t", ";", ",", "=", ":")
_QUOTED_KEY: Final = re.compile(r"""\s*("[^"]+"|'[^']+')(?=\s*[\t;,=:])""")
_DRIVE: Final = re.compile(r"\s*(?:[A-Za-z]:(?=[\\/]))?")
_COLON: Final = re.compile(r"(?<!\d):(?!//)|:(?!\d|//)")


# --- pairs of text ---------------------------------------------------------------------------


def pairs_of(given: object) -> list[Pair]:
    """Pairs from a dict, a pandas Series, a DataFrame of two columns or one row, pairs, or text.

    Text is JSON, a Python dict, cells of a spreadsheet, or lines such as `key, value` (comma,
    semicolon, tab, `=` or `:`).

    Raises:
        UsageError: it is none of these, or has a key twice, with two values.
    """
    pairs = _pairs_of_text(given) if isinstance(given, str) else _pairs_of(given)
    return list(_once(pairs).items())


def _pairs_of(given: object) -> list[Pair]:
    if hasattr(given, "columns") and hasattr(given, "itertuples"):
        return _pairs_of_frame(given)
    if isinstance(given, Mapping) or hasattr(given, "items"):
        return _texts(given.items())
    if isinstance(given, Iterable):
        rows = [_pair_of(row) for row in given]
        if rows and None not in rows:
            return _texts(cast("list[tuple[Any, Any]]", rows))
    raise UsageError(
        f"Metadata is a dict, a Series, or rows of a key and a value, not {type(given).__name__}."
    )


def _pair_of(row: object) -> tuple[Any, Any] | None:
    """A key and a value, also as a dict of one, or with the names of a table's two columns."""
    if isinstance(row, Mapping):
        named = {str(name).casefold(): value for name, value in row.items()}
        for head in _HEADS:
            if named.keys() == head:
                return named[min(head - {"value"})], named["value"]
        row = next(iter(row.items())) if len(row) == 1 else ()
    found = tuple(row) if isinstance(row, Iterable) and not isinstance(row, str) else ()
    return (found[0], found[1]) if len(found) == 2 else None


def _pairs_of_frame(frame: Any) -> list[Pair]:
    if len(frame.columns) == 2:
        return _texts(frame.itertuples(index=False, name=None))
    if len(frame) == 1:
        return _texts(frame.iloc[0].items())
    raise UsageError(
        f"The table has {len(frame.columns)} columns and {len(frame)} rows; give two columns "
        "(key, value), or one row."
    )


def _texts(pairs: Iterable[tuple[Any, Any]]) -> list[Pair]:
    return [(text_of(key), text_of(value)) for key, value in pairs if not missing(value)]


def text_of(value: object) -> str:
    """A value as text: JSON for what is nested, ISO 8601 for times, else as Python writes it."""
    if isinstance(value, bytes):  # as HDF5 has its attributes
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise UsageError(f"{value[:20]!r} is bytes that are no text in UTF-8.") from None
    if callable(plain := getattr(value, "tolist", None)):  # numpy's; its own text may be cut short
        value = plain()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _plain(value: Any) -> Any:
    """What JSON does not know: numpy's values as Python's, else text."""
    return value.tolist() if callable(getattr(value, "tolist", None)) else text_of(value)


def missing(value: object) -> bool:
    """True for None, NaN, NaT (numpy's, too) and pandas' NA."""
    kind = type(value).__name__
    if value is None or kind in ("NaTType", "NAType"):
        return True
    if isinstance(value, Decimal):  # a signalling one cannot be compared
        return value.is_nan()
    number = isinstance(value, Real) or kind in ("datetime64", "timedelta64")
    return number and bool(value != value)


def _pairs_of_text(text: str) -> list[Pair]:
    text = trimmed(text)
    if text.startswith(("{", "[")):
        return _pairs_of(_literal(text))
    if text.startswith(('"', "'")):  # lines from within a dict
        with suppress(UsageError):
            return _pairs_of(_literal(f"{{{text}}}"))
    if cells := _cells(text):
        return _without_head(_with_keys(cells))
    lines, delimiter = _lines(text)
    pairs = _with_keys([_split(line, delimiter) for line in lines]) if delimiter else []
    if not pairs:
        raise UsageError(
            "This is read as one pair per line, and not every line has a key and a value: "
            "write `key, value`, `key = value` or a dict."
        )
    return _without_head(pairs)


def doubt_of(text: str) -> str:
    """What may be meant otherwise in text that `pairs_of` reads; "" where nothing is.

    `a: b, c: d` is one pair, as values may hold anything; it may be meant as two.
    """
    text = trimmed(text)
    if text.startswith(("{", "[", '"', "'")) or _cells(text):
        return ""
    lines, delimiter = _lines(text)
    if delimiter is None or delimiter == "\t":
        return ""
    between = ",;".replace(delimiter, "")
    again = re.compile(rf"[{between}]\s*[^\s,;{delimiter}][^,;{delimiter}]*{delimiter}(?!//|\d\d)")
    for line in lines:
        key, value = _split(line, delimiter)
        if again.search(value):
            return (
                f"The line {short(line)} is read as one pair, of the key {short(key)}: where it is "
                "several, put each on a line of its own."
            )
    return ""


def _lines(text: str) -> tuple[list[str], str | None]:
    """Lines that are not empty, and what ends the key in each; lists have no dashes then."""
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = _delimiter(lines)
    if delimiter != "\t":
        lines = [re.sub(r"^\s*[-*] +(?=\S)", "", line) for line in lines]
        delimiter = _delimiter(lines)
    return lines, delimiter


def _with_keys(pairs: list[Pair]) -> list[Pair]:
    """Those that are not empty.

    Raises:
        UsageError: a value has no key.
    """
    for key, value in pairs:
        if value and not key:
            raise UsageError(f"The value {short(value)} has no key: write `key = value`.")
    return [pair for pair in pairs if any(pair)]


def _cells(text: str) -> list[Pair]:
    """Two columns of a spreadsheet, where a cell of several lines stands in quotes; else none."""
    if '\t"' not in text or text.count('"') % 2:
        return []
    try:
        read = csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True)
        rows = [row for row in read if any(cell.strip() for cell in row)]
    except csv.Error:
        return []
    if any(len(row) < 2 for row in rows):
        return []
    return [(trimmed(key), trimmed("\t".join(rest))) for key, *rest in rows]


def _delimiter(lines: list[str]) -> str | None:
    """What ends the key in every line: of several, what comes first in most of them.

    A tab wins: nobody types one by chance. Values may hold the others.
    """
    found = [one for one in _DELIMITERS if lines and all(_end(line, one) >= 0 for line in lines)]
    if "\t" in found:
        return "\t"
    firsts = [min(found, key=lambda one: _end(line, one)) for line in lines] if found else []
    return max(found, key=firsts.count, default=None)


def _end(line: str, delimiter: str) -> int:
    """Where a key ends at a delimiter; -1: it is not there.

    It ends behind its quotes. A colon in a time, behind a drive or before `//` ends a key only
    where nothing else does, and counts as far behind.
    """
    quoted = _QUOTED_KEY.match(line)
    at = quoted.end() if quoted else 0
    if delimiter != ":":
        return line.find(delimiter, at)
    if strong := _COLON.search(line, at or len(_DRIVE.match(line)[0])):  # type: ignore[index]
        return strong.start()
    weak = line.find(":", at)
    return weak if weak < 0 else len(line) + weak


def _literal(text: str) -> object:
    """JSON, or what Python writes; both would drop the first of two values of a key."""
    try:
        with suppress(RecursionError):
            return json.loads(text, object_pairs_hook=_once)
    except UsageError:
        raise
    except ValueError:
        pass
    try:
        tree = ast.parse(text, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = (key.value for key in node.keys if isinstance(key, ast.Constant))
                _once(list(zip(keys, map(ast.dump, node.values), strict=False)))
        return ast.literal_eval(tree)
    except UsageError:
        raise
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise UsageError("This looks like a dict, and is neither JSON nor Python.") from None


def _once(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dict of them.

    Raises:
        UsageError: a key is there twice, with two values.
    """
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            raise UsageError(f"The key {short(key)} is there twice; name each once.")
    return found


def _split(line: str, delimiter: str) -> Pair:
    if delimiter in "=:":
        end = _end(line, delimiter) % len(line)
        key, value = line[:end], line[end + 1 :]
        return _unquoted(trimmed(key)), _unquoted(trimmed(value))
    key, *rest = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    return trimmed(key), trimmed(delimiter.join(rest))


def _unquoted(text: str) -> str:
    """Without the quotes that YAML, .ini and .env files have around a value."""
    quote = text[:1]
    whole = len(text) > 1 and quote in "\"'" and text.find(quote, 1) == len(text) - 1
    return text[1:-1] if whole else text


def _without_head(pairs: list[Pair]) -> list[Pair]:
    head = {text.casefold() for text in pairs[0]} if pairs else set()
    return pairs[1:] if head in _HEADS and len(pairs) > 1 else pairs


# --- fields of a file ------------------------------------------------------------------------


def fields_of(given: object) -> dict[str, Any]:
    """The fields that a `CDFFile`, a `FileMetadata`, a dict or a DataFrame's row says of a file.

    Names may be ours or CDF's own (`externalId`); other names, and what is missing, are left out.

    Raises:
        UsageError: it is none of these, says nothing of a file, or a value cannot be read.
    """
    people = not hasattr(given, "to_kwargs") and not hasattr(given, "dump")
    given = _as_mapping(given)
    named = {_CAMEL.get(str(key), str(key)): value for key, value in given.items()}
    found = {key: named[key] for key in FIELDS if key in named and not missing(named[key])}
    if not found:
        raise UsageError(f"None of its names is a field of a file: {', '.join(FIELDS)}.")
    if people:  # what CDF says of a file is in milliseconds, whatever it looks like
        for field in TIMES & found.keys():
            refuse_seconds(field, found[field])
            refuse_days(field, found[field])
    return {field: read_field(field, value) for field, value in found.items()}


def emptied_by(given: object) -> tuple[str, ...]:
    """The fields that a dict says are to be emptied: None is given for them.

    In a table, None is a value that is missing: it says nothing.
    """
    if not isinstance(given, dict):
        return ()
    none = {_CAMEL.get(str(key), str(key)) for key, value in given.items() if value is None}
    return tuple(field for field in FIELDS if field in none)


def _as_mapping(given: Any) -> Mapping[str, Any]:
    for name in ("to_kwargs", "dump"):  # ours; the official SDK's
        if callable(dump := getattr(given, name, None)):
            given = dump()
            break
    if hasattr(given, "columns"):
        if len(given) != 1:
            raise UsageError(f"A form is filled from one row, and the table has {len(given)}.")
        given = given.iloc[0]
    if hasattr(given, "iloc"):
        given = given.to_dict()
    if not isinstance(given, Mapping):
        raise UsageError(
            f"A form is filled from a CDFFile, a dict or a row of a DataFrame, not "
            f"{type(given).__name__}."
        )
    return given


def read_field(field: str, value: Any) -> Any:
    """One field's value from what a table or a form has for it.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return _READ[field](value)
    except UsageError as error:
        why = str(error)
        raise UsageError(why if why.startswith(field) else f"{field}: {why}") from None
    except (TypeError, ValueError, OverflowError, KeyError) as error:
        raise UsageError(f"{field} cannot be read from {type(value).__name__}: {error}.") from None


def moment_of(value: object) -> datetime:
    """A moment from milliseconds since 1970, ISO 8601 or a `datetime`; local if it has no zone."""
    if isinstance(value, str):
        text = value.strip()
        # 20240131 is a day; what is longer than a day and has digits alone is milliseconds.
        digits = text.removesuffix(".0")
        if digits.isdecimal() and len(digits) > len("20240131"):
            value = int(digits[:_MOST_DIGITS])
            refuse_seconds("The time", value)
        else:
            try:
                value = datetime.fromisoformat(re.sub(r"(?<=\d) ?(UTC|GMT)$", "+00:00", text))
            except ValueError:
                raise UsageError(
                    f"{short(value)} is no time such as 2024-01-31T12:00:00+00:00."
                ) from None
    elif hasattr(value, "to_timestamp"):  # pandas' Period
        value = value.to_timestamp()
    elif type(value).__name__ == "datetime64":
        value = cast("Any", value).astype("datetime64[us]").item()
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        try:
            value = from_ms(number := whole(value))
        except OverflowError:
            raise beyond("The time", number) from None
    return value if value.utcoffset() is not None else value.astimezone()


def whole(value: Any) -> int:
    """A whole number from what pandas makes of one: 7, 7.0, "7"."""
    text = value.strip().removesuffix(".0") if isinstance(value, str) else value
    try:
        number = None if isinstance(value, bool | bytes) else int(text)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or (not isinstance(value, str) and number != value):
        raise UsageError(f"{short(value)} is no whole number.")
    return number


def _items(value: Any) -> list[Any]:
    """A list, or text that lists: JSON, as Python writes it, or parted by commas and semicolons."""
    if isinstance(value, bytes | bytearray) or hasattr(value, "columns"):
        raise UsageError(f"a list belongs there, such as [7], not {type(value).__name__}.")
    if not isinstance(value, str):
        several = isinstance(value, Iterable) and not isinstance(value, Mapping)
        return list(value) if several else [value]
    text = value.strip()
    if text.startswith("["):
        found = _literal(text)
        return list(found) if isinstance(found, list) else [found]
    if text[:1] + text[-1:] in ("()", "{}"):  # as Python writes tuples and sets; or a name's own
        with suppress(UsageError):
            found = _literal(text)
            if isinstance(found, tuple | set):
                return list(found)
            if isinstance(found, Mapping):
                return [found]
    return [one for one in map(str.strip, parted(value, ",;\n")) if one]


def parted(text: str, by: str) -> list[str]:
    """Text in parts, at any of some characters; in quotes they are text, as in CSV."""
    quoted = re.compile(rf'\s*"((?:[^"]|"")*)"[^\S{by}]*(?=[{by}]|$)')
    plain = re.compile(rf"[^{by}]*")
    parts, at = [], 0
    while at <= len(text):
        in_quotes = quoted.match(text, at)
        end = (in_quotes or cast("re.Match[str]", plain.match(text, at))).end()
        parts.append(in_quotes[1].replace('""', '"') if in_quotes else text[at:end])
        at = end + 1
    return parts


def _location(value: Any) -> GeoLocation:
    """A location; text may also be as Python writes a dict, as pandas puts one into a CSV file."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        with suppress(UsageError):
            value = _literal(value.strip())
    return GeoLocation.of(value)


def _wholes(value: Any) -> tuple[int, ...]:
    return tuple(whole(one) for one in _items(value))


_READ: Final[dict[str, Any]] = {
    **dict.fromkeys(("name", "external_id", "source", "mime_type", "directory"), text_of),
    "metadata": lambda value: dict(pairs_of(value)),
    "asset_ids": _wholes,
    "security_categories": _wholes,
    "data_set_id": whole,
    "labels": lambda value: tuple(Label.of(one) for one in _items(value)),
    "geo_location": _location,
    "source_created_time": moment_of,
    "source_modified_time": moment_of,
}
