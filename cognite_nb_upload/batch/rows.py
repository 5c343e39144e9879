"""A table of files to upload, checked as a whole before anything is sent, and what became of it.

Rules of this file: a bad row says why in its own `error` and stops no other; no file is touched
here, so that a hundred thousand rows are checked in seconds; of a row only what is its own is held.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from cognite_nb_upload.batch.columns import (
    DATA_SET,
    OVERWRITE,
    PATH,
    RESULT,
    CellReader,
    Keep,
    checked_defaults,
    fields_of_columns,
    kept_names,
)
from cognite_nb_upload.batch.folders import Walk, absolute, find, shown, unreadable, written
from cognite_nb_upload.batch.properties import EXTERNAL_ID, NodeColumns
from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.models import FileMetadata, guess_mime_type
from cognite_nb_upload.models.fields import normalised
from cognite_nb_upload.models.file import to_json
from cognite_nb_upload.models.parse import missing, whole
from cognite_nb_upload.objects.address import Address, is_address
from cognite_nb_upload.objects.given import path_in, shown_address
from cognite_nb_upload.objects.many import Place

if TYPE_CHECKING:
    import pandas as pd

DONE: Final = "done"
SKIPPED: Final = "skipped"
WAITING: Final = "waiting"
INVALID: Final = "invalid"
# A table that came from here says so, and which of its columns are ours.
_MARK: Final = "cognite_nb_upload"
_TYPES: Final = {
    "status": "string", "id": "Int64", "size": "Int64", "seconds": "Float64",
    "attempts": "Int64", "verified": "string", "note": "string", "error": "string",
}  # fmt: skip

# What names a file in CDF, made of its path from the top of the folder.
Naming = str | Callable[[str], str] | None


@dataclass(slots=True)
class BatchRow:
    """One file of a job, and what became of it.

    Attributes:
        no: its place in the table, counted from 0.
        path: the file.
        key: 32 hex digits that say which file and which request it is, whatever call it is in.
        status: waiting, done, skipped, failed, invalid, stopped, assembling.
        id: CDF's, once it is known.
        size: bytes, once the file was looked at; `mtime_ns` likewise.
        seconds: how long it took.
        attempts: of the part that took most.
        verified: what was verified, and by what.
        note: what a reader should know.
        error: why it did not work.
        place: where the file is, in another store; None: on this machine.
    """

    no: int
    path: str
    key: str = ""
    status: str = WAITING
    id: int | None = None
    size: int | None = None
    mtime_ns: int = 0
    seconds: float | None = None
    attempts: int = 0
    verified: str = ""
    note: str = ""
    error: str = ""
    place: Place | None = None

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.place.address.name if self.place else os.path.basename(self.path)

    def fail(self, why: str, status: str = "failed") -> None:
        """It did not work, said in a sentence."""
        self.status, self.error = status, why

    def add_note(self, text: str) -> None:
        """Add what a reader should know."""
        if text and text not in self.note:
            self.note = f"{self.note}; {text}" if self.note else text


class Table:
    """The rows of a job: what each asks for, and what became of it.

    Attributes:
        rows: one for each line of the frame.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        columns: Mapping[str, Any],
        defaults: Mapping[str, Any],
        *,
        derived: Mapping[str, Sequence[Any]] | None = None,
        errors: Mapping[int, str] | None = None,
        first: int = 0,
        nodes: NodeColumns | None = None,
        places: Sequence[Place | None] = (),
        here: str = "",
    ) -> None:
        """Check every row.

        Args:
            frame: what was given.
            columns: which column each field is in.
            defaults: fields for all rows, checked.
            derived: a cell per row for fields that follow from the path.
            errors: rows that are known to be bad.
            first: the number of the first row.
            nodes: what the rows are, where the files are in the data model.
            places: of each row, where its file is in another store.
            here: where relative paths begin; "": in the current folder.
        """
        self._here = here
        self._nodes = nodes
        self._places = places
        self._frame = frame
        self._defaults = dict(defaults)
        self._cells: dict[str, Sequence[Any]] = dict(derived or {})
        self._cells |= {
            field: frame[column].tolist() for field, column in columns.items() if field != PATH
        }
        self._readers: dict[str, Callable[[Any], Any]] = {
            field: nodes.reader(field)
            if nodes
            else CellReader(field, frame.get(columns.get(field)))  # None where it is derived
            for field in self._cells
        }
        self._first = first
        self._keys = _Keys()
        self.rows = [self._row(no, path) for no, path in enumerate(frame[columns[PATH]].tolist())]
        for no, why in (errors or {}).items():
            self.rows[no].fail(why, INVALID)
        self._recognise()

    def fields(self, row: BatchRow) -> dict[str, Any]:
        """What a row says of its file, and `overwrite`: its own cells, else what holds for all.

        Raises:
            UsageError: a cell cannot be read.
        """
        found, at = dict(self._defaults), row.no - self._first
        for field, cells in self._cells.items():
            try:
                value = self._readers[field](cells[at])
            except UsageError:
                raise
            except Exception as error:  # a cell of any kind at all
                raise UsageError(f"{field} cannot be read: {error}.") from None
            if value is not None:
                found[field] = value
        if row.place is not None and not found.get("name"):
            found["name"] = row.name
        return found

    def frame(self) -> pd.DataFrame:
        """The frame that was given, with what became of each row so far."""
        import pandas as pd

        frame = self._frame.copy()
        names = _result_names(self._frame)
        for name, kind in _TYPES.items():
            values = _column([getattr(row, name) for row in self.rows], kind)
            frame[names[name]] = pd.Series(values, index=frame.index, dtype=kind)
        frame.attrs = {**frame.attrs, _MARK: names}
        return frame

    def refuse_repeated(self, seen: Seen) -> None:
        """Two rows that are the same file and request, or would be the same external id."""
        for row in self.rows:
            if row.status != WAITING:
                continue
            fields = self.fields(row)
            external_id = fields.get("external_id")
            clash = seen.clash(row, external_id)
            if clash:
                row.fail(clash, INVALID)
            elif external_id is None and self._nodes is None:
                place = (fields.get("directory"), fields.get("data_set_id"), fields.get(DATA_SET))
                row.add_note(seen.namesake(row, (fields.get("name") or row.name, *place)))

    def _row(self, at: int, path: object) -> BatchRow:
        no, place = self._first + at, self._places[at] if self._places else None
        if place is not None:
            row = BatchRow(no, place.address.shown, place=place)
            self._check(row)
            return row
        text = os.fspath(path) if isinstance(path, os.PathLike) else path
        if missing(text) or not isinstance(text, str) or not text:
            none = missing(text) or isinstance(text, str)
            row = BatchRow(no, "")
            row.fail(
                "The path is missing." if none else f"The path is text, not {type(text).__name__}.",
                INVALID,
            )
            return row
        row = BatchRow(no, text)
        try:
            if is_address(text):
                row.path = shown_address(text)
                local = path_in(text)
                if local is None:
                    Address(text)  # says what is wrong with it
                text = row.path = str(local)
            if error := unreadable(text):
                row.path = shown(text)
                raise UsageError(error)
            row.path = absolute(text, self._here)
        except UploadToolkitError as error:
            row.fail(str(error), INVALID)
            return row
        self._check(row)
        return row

    def _check(self, row: BatchRow) -> None:
        """See that its request can be made, and give it its key."""
        try:
            fields = self.fields(row)
            location = fields.get("geo_location")
            if location is not None and location.doubt:
                row.add_note(f"geo_location: {location.doubt}")
            if self._nodes is not None:
                self._nodes.item(row.path, fields)
                row.key = self._keys.of(row.path, {**fields, **self._nodes.identity})
            else:
                normalised("name", fields.get("name") or row.name)
                row.key = self._keys.of(row.path, fields)
        except UploadToolkitError as error:
            row.fail(str(error), INVALID)

    def _recognise(self) -> None:
        """Rows that an earlier call has told to be done."""
        names = _ours(self._frame)
        if names is None:
            return
        told = zip(
            self.rows,
            self._frame[names["status"]].tolist(),
            self._frame[names["id"]].tolist(),
            *(self._frame[names[name]].tolist() for name in ("size", "verified")),
            strict=True,
        )
        for row, status, file_id, size, verified in told:
            if status in (DONE, SKIPPED) and row.status == WAITING and not missing(file_id):
                with suppress(ValueError, UsageError):  # no id: it is sent as if new
                    row.id, row.status = whole(file_id), DONE
                    row.size = None if missing(size) else whole(size)
                row.verified = "" if missing(verified) else str(verified)


def _column(values: list[Any], kind: str) -> Any:
    """Values of a column; numbers, of which some are None, as the array that pandas holds.

    For a hundred thousand of them pandas itself takes 40 ms, in which no other thread runs.
    """
    import numpy as np
    import pandas as pd

    if kind == "string":
        return values
    count = len(values)
    none = np.fromiter((value is None for value in values), bool, count)
    whole_ones = kind == "Int64"
    numbers = np.fromiter((value or 0 for value in values), "i8" if whole_ones else "f8", count)
    made = pd.arrays.IntegerArray if whole_ones else pd.arrays.FloatingArray
    return made(numbers, none)


class Seen:
    """Which files and external ids a job has had so far."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._external_ids: dict[str, int] = {}
        self._names: dict[tuple[Any, ...], int] = {}

    def namesake(self, row: BatchRow, name: tuple[Any, ...]) -> str:
        """Which row cannot be told from this one in CDF, but by its id; "" where there is none."""
        first = self._names.setdefault(name, row.no)
        if first == row.no:
            return ""
        return f"Row {first} has the same name; a directory or an external_id tells them apart"

    def clash(self, row: BatchRow, external_id: str | None) -> str:
        """Why a row cannot be sent beside the earlier ones, in words; "" where it can."""
        first = self._keys.setdefault(row.key, row.no)
        if first != row.no:
            return f"It is the same file and request as row {first}."
        if external_id is not None:
            first = self._external_ids.setdefault(external_id, row.no)
            if first != row.no:
                return f"external_id {external_id!r} is that of row {first} already."
        return ""


class SeenBefore:
    """What the tables of a job have had so far, of what CDF and the record do not tell."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._external_ids: dict[str, tuple[int, str]] = {}

    def refuse(self, table: Table, *, twice: bool, replaced: bool) -> None:
        """Refuse rows that would be sent twice, or replace what an earlier table has sent.

        Args:
            table: the next one.
            twice: what the record knows to be done is sent again.
            replaced: a file that CDF has by this external id is replaced.
        """
        for row in table.rows:
            if row.status != WAITING:
                continue
            if twice and (first := self._keys.setdefault(row.key, row.no)) != row.no:
                row.fail(f"It is the same file and request as row {first}.", INVALID)
                continue
            fields = table.fields(row)
            name = fields.get("external_id")
            if name is not None and (replaced or fields.get(OVERWRITE)):
                first, key = self._external_ids.setdefault(name, (row.no, row.key))
                if key != row.key:
                    row.fail(f"external_id {name!r} is that of row {first} already.", INVALID)


class _Keys:
    """The keys of rows: a digest of the path and of what is asked of CDF."""

    def __init__(self) -> None:
        self._last: tuple[dict[str, Any], Any] | None = None

    def of(self, path: str, fields: Mapping[str, Any]) -> str:
        hashed = self._hashed({**fields, "external_id": None}).copy()
        hashed.update(f"{fields.get('external_id', '')}\0{path}".encode())
        return str(hashed.hexdigest())

    def _hashed(self, fields: dict[str, Any]) -> Any:
        """What was hashed of the request; it is that of the row before, most of the time."""
        if self._last is None or self._last[0] != fields:
            text = json.dumps(request_of(fields), sort_keys=True)
            self._last = fields, hashlib.blake2b(text.encode(), digest_size=16)
        return self._last[1]


def request_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a row asks for, as JSON; `read_cell` reads the same of it again."""
    return {name: to_json(value) for name, value in fields.items() if value is not None}


def about(row: BatchRow, fields: Mapping[str, Any]) -> FileMetadata:
    """What CDF is told of a row's file.

    Raises:
        UsageError: CDF would refuse it.
    """
    name = fields.get("name") or row.name
    given: Any = {key: value for key, value in fields.items() if key != OVERWRITE}
    given.setdefault("mime_type", guess_mime_type(name))
    return FileMetadata.of(**{**given, "name": name})


# --- what is given ---------------------------------------------------------------------------


def read_table(
    given: object,
    defaults: Mapping[str, Any],
    walk: Walk | None = None,
    *,
    naming: Naming = None,
    keep: Keep = (),
    first: int = 0,
    nodes: NodeColumns | None = None,
) -> Table:
    """The table of what was given, every row checked. It touches folders, and no file.

    Args:
        given: a DataFrame with a column `path`, a path, a glob, a folder, or several of them.
        defaults: fields for all rows.
        walk: how folders are walked.
        naming: "path", or what makes the external id of the path from the top of the folder.
        keep: columns that are no fields.
        first: the number of the first row.
        nodes: what the rows are, where the files are in the data model; each is named by its path
            unless it is named otherwise.

    Raises:
        UsageError: there is no `path` column, nothing was found, a column is no field, or a
            default cannot be.
    """
    import pandas as pd  # slow to import, and needed by few

    walk = walk or Walk()
    fields = nodes.defaults(defaults) if nodes else checked_defaults(defaults)
    if isinstance(given, pd.DataFrame):
        if walk.include or walk.exclude:
            raise UsageError(
                "include and exclude choose among paths and what is in folders; of a DataFrame, "
                "give the rows that are wanted."
            )
        columns = columns_of(given, keep, nodes)
        if nodes and naming is None and EXTERNAL_ID not in columns:
            naming = PATH
        places = _places(given[columns[PATH]].tolist(), walk)
        relative = [
            place.address.shown if place else written(os.fspath(one))
            if isinstance(one, str | os.PathLike) and isinstance(os.fspath(one), str) else ""
            for one, place in zip(given[columns[PATH]].tolist(), places, strict=True)
        ]  # fmt: skip
        return _checked(
            given, columns, fields, {}, relative, {}, naming, first, nodes, places=places,
            here=walk.here,
        )  # fmt: skip
    found = list(find(_several(given), walk))
    if not found:
        raise UsageError(f"No file was found at {shown_of(given)}.")
    frame = pd.DataFrame({PATH: pd.Series([one.path for one in found], dtype=object)})
    derived = {"directory": _directories(found, fields.get("directory"))}
    errors = {no: one.error for no, one in enumerate(found) if one.error}
    return _checked(
        frame, {PATH: PATH}, fields, derived, [one.relative for one in found], errors,
        PATH if nodes and naming is None else naming, nodes=nodes,
        places=[one.place for one in found], here=walk.here,
    )  # fmt: skip


def shown_of(given: object) -> str:
    """What was given, for people; no secret of an address is in it."""
    if isinstance(given, list | tuple):
        return f"[{', '.join(map(shown_of, given))}]"
    return shown_address(given) or repr(given)


def _places(paths: Sequence[object], walk: Walk) -> list[Place | None]:
    """Where each file is, in another store; None where it is on this machine."""
    return [_place(one, walk) for one in paths]


def _place(path: object, walk: Walk) -> Place | None:
    with suppress(UsageError):  # what is wrong with an address is said in its row
        return None if missing(path) else walk.stores.place(path)
    return None


def columns_of(frame: pd.DataFrame, keep: Keep, nodes: NodeColumns | None = None) -> dict[str, Any]:
    """Which column each field is in; ours from an earlier call are not among them.

    Raises:
        UsageError: there is no `path`, or a column is no field.
    """
    ours = set((_ours(frame) or {}).values())
    names = [name for name in frame.columns if name not in ours]
    if nodes is None:
        _refuse_instance_ids(frame, keep)
    columns = nodes.columns_of(names, keep) if nodes else fields_of_columns(names, keep)
    if PATH not in columns:
        raise UsageError("The DataFrame has no column 'path'; add one with each file's path.")
    return columns


def _refuse_instance_ids(frame: pd.DataFrame, keep: Keep) -> None:
    """See that no row names a file of the data model, which would be made as a classic one."""
    for name in {"instance_id", "instanceId"}.intersection(map(str, frame.columns)):
        if keep is not True and name not in kept_names(keep) and not all(map(missing, frame[name])):
            raise UsageError(
                f"The column {name!r} names files of the data model, which are uploaded with "
                f"space=...; drop it, or keep it as it is with keep=[{name!r}]."
            )


def _checked(
    frame: pd.DataFrame,
    columns: Mapping[str, Any],
    fields: Mapping[str, Any],
    derived: Mapping[str, Sequence[Any]],
    relative: Sequence[str],
    errors: Mapping[int, str],
    naming: Naming,
    first: int = 0,
    nodes: NodeColumns | None = None,
    places: Sequence[Place | None] = (),
    here: str = "",
) -> Table:
    if naming is not None:
        if "external_id" in columns:
            raise UsageError("external_id is a column and a keyword; use one of them.")
        names, bad = _named(naming, relative)
        derived, errors = {**derived, "external_id": names}, {**bad, **errors}
    table = Table(
        frame, columns, fields, derived=derived, errors=errors, first=first, nodes=nodes,
        places=places, here=here,
    )  # fmt: skip
    table.refuse_repeated(Seen())
    return table


def _named(naming: Naming, relative: Sequence[str]) -> tuple[list[str | None], dict[int, str]]:
    """The external id of each file, and what is wrong with those that have none."""
    if naming == PATH:
        return list(relative), {}
    if not callable(naming):  # one for all: `refuse_repeated` tells all rows but the first
        return [naming] * len(relative), {}
    names: list[str | None] = []
    bad = {}
    for no, path in enumerate(relative):
        name: Any = None
        try:
            name = naming(path)
        except Exception as error:
            bad[no] = f"external_id could not be made of {path!r}: {type(error).__name__}: {error}"
        names.append(name)
    return names, bad


def _several(given: object) -> Iterable[object]:
    if isinstance(given, str | os.PathLike) or shown_address(given):
        return [given]
    if isinstance(given, Mapping):
        raise UsageError("For a dict of columns give a DataFrame: pandas.DataFrame(columns).")
    if hasattr(given, "iloc") and PATH in cast("pd.Series[Any]", given).index:
        raise UsageError("That is one row: give a DataFrame, such as row.to_frame().T.")
    if not isinstance(given, Iterable) or isinstance(given, bytes) or hasattr(given, "read"):
        raise UsageError(
            f"Give a DataFrame, a path, a glob, a folder or a list of them, not a "
            f"{type(given).__name__}."
        )
    return given


def _directories(found: Sequence[Any], top: str | None) -> list[str | None]:
    """A folder's shape: each file's directory, below `top`."""
    base = (top or "").rstrip("/")
    return [f"{base}/{one.folder}" if one.folder else None for one in found]


def _result_names(frame: pd.DataFrame) -> dict[str, str]:
    """What our columns are called in a frame: those of its own keep their names."""
    known = _ours(frame)
    if known is not None:
        return known
    taken = {str(name) for name in frame.columns}
    return {name: f"upload_{name}" if name in taken else name for name in RESULT}


def _ours(frame: pd.DataFrame) -> dict[str, str] | None:
    """Our columns of an earlier call; None where the frame did not come from here.

    The mark does not outlive a CSV file, but all of the columns together do.
    """
    columns = {str(name) for name in frame.columns}
    by_name = {name: f"upload_{name}" if f"upload_{name}" in columns else name for name in RESULT}
    for names in (frame.attrs.get(_MARK), by_name):
        if isinstance(names, Mapping) and columns.issuperset(names.values()):
            return {str(name): str(column) for name, column in names.items()}
    return None


def table_of_counts(counts: Mapping[str, int]) -> Table:
    """A table without rows, whose frame says how many files ended how."""
    import pandas as pd

    frame = pd.DataFrame({"status": list(counts), "files": list(counts.values())})
    return _Counts(frame)


class _Counts(Table):
    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.rows = []

    def frame(self) -> pd.DataFrame:
        """How many files ended how."""
        return self._frame


def batches(rows: Sequence[BatchRow], first: int, then: int) -> Iterator[Sequence[BatchRow]]:
    """Rows in order, few at first, so that the sending begins early."""
    at, size = 0, first
    while at < len(rows):
        yield rows[at : at + size]
        at, size = at + size, then
