"""Where the result of a job larger than memory goes: a CSV or a Parquet table on disk.

Rules of this file: a table is appended when all of its rows have ended; what cannot be written is
refused before the table's files are sent.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models.parse import missing
from cognite_nb_upload.objects.given import own_path
from cognite_nb_upload.sources import shown_path

if TYPE_CHECKING:
    import pandas as pd

_PART: Final = ".part"


class Result(Protocol):
    """A table on disk that is written piece by piece.

    Attributes:
        path: where it is in the end.
    """

    path: Path

    def check(self, table: pd.DataFrame) -> None:
        """See that a table fits to those before.

        Raises:
            UsageError: it does not.
        """
        ...

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows; the first ones replace what was there."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


def result_at(given: object) -> Result:
    """The result that is written to a path.

    Raises:
        UsageError: it is no path of a CSV or Parquet file, its folder is not there, or pyarrow,
            which writes Parquet, is not installed.
    """
    suffix = Path(given).suffix.lower() if isinstance(given, str | os.PathLike) else ""
    if not isinstance(given, str | os.PathLike) or suffix not in (".csv", ".parquet"):
        raise UsageError(
            f"Tables that come one after another need result='....csv' or '....parquet', where "
            f"each row is written, not {given!r}."
        )
    path = own_path(given, "The result")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"The result cannot be written to {path}: its folder is not there.")
    return CsvResult(path) if suffix == ".csv" else ParquetResult(path)


class CsvResult:
    """A CSV file, which is there up to the last table also where the process is killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = False

    def check(self, table: pd.DataFrame) -> None:
        """Text takes everything."""

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows; the first ones replace what was there."""
        mode: Any = "a" if self._written else "w"
        frame.to_csv(self.path, mode=mode, header=not self._written, index=False)
        self._written = True

    def close(self) -> None:
        """It is whole after each table."""


class ParquetResult:
    """A Parquet file, written beside its place and put there at the end of the job.

    The first table decides the type of each column; one of mixed or unknown type is text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(path.name + _PART)
        try:
            self._arrow: Any = import_module("pyarrow")
            self._parquet: Any = import_module("pyarrow.parquet")
        except ImportError:
            raise UsageError(
                f"To write {shown_path(path)} install pyarrow (pip install "
                "'cognite_nb_upload[parquet]'), or give result='....csv'."
            ) from None
        self._types: dict[Any, Any] = {}
        self._writer: Any = None

    def check(self, table: pd.DataFrame) -> None:
        """See that each column has the type of the tables before.

        Raises:
            UsageError: it has another one.
        """
        for name in table.columns:
            if name not in self._types:
                self._types[name] = self._type_of(table[name])
            self._column(name, table[name])

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows."""
        for name in frame.columns:  # ours, too
            self._types.setdefault(name, self._type_of(frame[name]))
        columns = [self._column(name, frame[name]) for name in frame.columns]
        table = self._arrow.table(columns, names=[str(name) for name in frame.columns])
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._beside, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Put the file in its place."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            os.replace(self._beside, self.path)

    def _type_of(self, cells: pd.Series[Any]) -> Any:
        arrow, text = self._arrow, self._arrow.string()
        try:
            found = arrow.Array.from_pandas(cells).type
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError):
            return text  # mixed, or objects such as paths
        return text if arrow.types.is_null(found) or arrow.types.is_large_string(found) else found

    def _column(self, name: Any, cells: pd.Series[Any]) -> Any:
        arrow, kind = self._arrow, self._types[name]
        if arrow.types.is_string(kind):
            return arrow.array([None if missing(one) else str(one) for one in cells], type=kind)
        try:
            return arrow.array(cells, type=kind, from_pandas=True)
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError):
            raise UsageError(
                f"The column {str(name)!r} was of type {kind} in the tables before, and has other "
                "values now: give it one type in all tables, or have the result as CSV."
            ) from None
