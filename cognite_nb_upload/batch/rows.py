"""A table of files to upload: read from a frame, paths, a glob or a folder, and checked row by row.

Rules of this file: every row is looked at before anything is sent; a bad row says why in its own
`error` and stops no other; folders are walked in order, without symlinks, and without hidden files
unless asked for.
"""

from __future__ import annotations

import difflib
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cognite_nb_upload.core.plan import plan_parts
from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.models import FIELDS, FileMetadata, guess_mime_type

if TYPE_CHECKING:
    import pandas as pd

# What an upload adds to the frame; given back in, they are not fields.
RESULT: Final = ("status", "id", "size", "seconds", "attempts", "error")
DONE: Final = "done"
_KNOWN: Final = frozenset((*FIELDS, *RESULT, "path", "overwrite"))
_INTEGERS: Final = frozenset({"data_set_id", "source_created_time", "source_modified_time"})


@dataclass(slots=True)
class Row:
    """One file of a batch, and what became of it. `size` is bytes, `seconds` how long it took."""

    no: int
    path: Path
    about: FileMetadata | None = None
    overwrite: bool = False
    status: str = "waiting"
    id: int | None = None
    size: int | None = None
    seconds: float | None = None
    attempts: int = 0
    error: str = ""

    def fail(self, why: str, status: str = "failed") -> None:
        """It did not work, said in a sentence."""
        self.status, self.error = status, why


def frame_of(given: object, *, recursive: bool = False, hidden: bool = False) -> pd.DataFrame:
    """A frame with a `path` column of what was given.

    Args:
        given: a DataFrame with a column `path`, a path, a glob, a folder, or several of them.
        recursive: also the folders in a folder.
        hidden: also files and folders whose name begins with a dot.

    Raises:
        UsageError: there is no `path` column, nothing was found, or a column looks like a field
            that is misspelt.
    """
    import pandas as pd  # slow to import, and needed by few

    if isinstance(given, pd.DataFrame):
        if "path" not in given.columns:
            raise UsageError("The DataFrame has no column 'path'; add one with each file's path.")
        _check_columns([str(name) for name in given.columns])
        return given.copy()
    several = [given] if isinstance(given, str | os.PathLike) else given
    if not isinstance(several, Iterable):
        raise UsageError(
            f"Give a DataFrame, a path, a glob, a folder or a list of them, not a "
            f"{type(given).__name__}."
        )
    paths = [path for one in several for path in _found(one, recursive, hidden)]
    if not paths:
        raise UsageError(f"No file was found at {given!r}.")
    return pd.DataFrame({"path": [str(path) for path in paths]})


def read_rows(frame: pd.DataFrame, defaults: Mapping[str, Any]) -> list[Row]:
    """Each row of the frame, checked; a bad one has the status `invalid` and says why.

    Args:
        frame: a column for each metadata field, and `path`; missing values take the default.
        defaults: metadata fields for all rows, and `overwrite`.
    """
    fields = [name for name in (*FIELDS, "overwrite") if name in frame.columns]
    before = frame["status"].tolist() if "status" in frame.columns else [None] * len(frame)
    records = frame[["path", *fields]].to_dict("records")
    rows = [_row(no, one, defaults) for no, one in enumerate(records)]
    _refuse_repeated(rows)
    for row, status in zip(rows, before, strict=True):
        if status == DONE:
            row.status = DONE
    return rows


def write_rows(frame: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """The frame with what became of each row; what was done before stays as it was."""
    import pandas as pd

    kinds = {"status": "string", "id": "Int64", "size": "Int64", "seconds": "Float64",
             "attempts": "Int64", "error": "string"}  # fmt: skip
    for name, kind in kinds.items():
        old = frame[name].tolist() if name in frame.columns else [None] * len(frame)
        values = [
            old[row.no] if row.status == DONE and row.id is None else getattr(row, name)
            for row in rows
        ]
        frame[name] = pd.Series(values, index=frame.index, dtype=kind)
    return frame


def _row(no: int, record: Mapping[Any, Any], defaults: Mapping[str, Any]) -> Row:
    given = {name: _plain(name, value) for name, value in record.items()}
    fields = {**defaults, **{name: value for name, value in given.items() if value is not None}}
    path = fields.pop("path", None)
    if not isinstance(path, str | os.PathLike) or not str(path):
        row = Row(no, Path())
        row.fail("The path is missing.", "invalid")
        return row
    row = Row(no, Path(path).expanduser(), overwrite=bool(fields.pop("overwrite", False)))
    try:
        row.size = _size(row.path)
        plan_parts(row.size)
        name = fields.pop("name", None) or row.path.name
        fields.setdefault("mime_type", guess_mime_type(name))
        row.about = FileMetadata.of(name=name, **fields)
    except UploadToolkitError as error:
        row.fail(str(error), "invalid")
    return row


def _plain(name: str, value: Any) -> Any:
    """A cell as Python has it: missing is None, and an integer that pandas made a float is one."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if name in _INTEGERS and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a file.")
    return found.st_size


def _refuse_repeated(rows: Iterable[Row]) -> None:
    """Two rows with one external id would fight for one file."""
    seen: dict[str, int] = {}
    for row in rows:
        external_id = row.about.external_id if row.about else None
        if external_id is None:
            continue
        first = seen.setdefault(external_id, row.no)
        if first != row.no:
            row.fail(f"external_id {external_id!r} is that of row {first} already.", "invalid")


def _check_columns(names: Iterable[str]) -> None:
    for name in names:
        if name in _KNOWN:
            continue
        alike = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.85)
        if alike:
            raise UsageError(
                f"The column {name!r} is no field; did you mean {alike[0]!r}? Rename or drop it."
            )


def _found(one: object, recursive: bool, hidden: bool) -> Iterator[Path]:
    if not isinstance(one, str | os.PathLike):
        raise UsageError(f"A path is text or a Path, not a {type(one).__name__}.")
    path = Path(one).expanduser()
    if path.is_dir():
        yield from _walk(path, recursive, hidden)
    elif isinstance(one, str) and glob.has_magic(one) and not path.exists():
        found = glob.glob(str(path), recursive=True, include_hidden=hidden)
        yield from (Path(name) for name in sorted(found) if Path(name).is_file())
    else:
        yield path  # what is wrong with it is said in its row


def _walk(folder: Path, recursive: bool, hidden: bool) -> Iterator[Path]:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_symlink() or (entry.name.startswith(".") and not hidden):
            continue
        if entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        elif recursive and entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), recursive, hidden)
