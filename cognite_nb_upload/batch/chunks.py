"""A job larger than memory: tables one after another, and what became of each row on disk.

Rules of this file: of the tables one is held at a time; the result is written row by row, as each
table is done, so that it is there up to where a job was interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cognite_nb_upload.batch.results import result_at
from cognite_nb_upload.errors import TransferError, UsageError
from cognite_nb_upload.sources import absolute

if TYPE_CHECKING:
    import pandas as pd

# So many rows of a file are read at once.
ROWS: Final = 10_000
_CSV: Final = (".csv", ".csv.gz", ".tsv")


class Chunks:
    """Tables in order, and where the result goes."""

    def __init__(self, given: object, result: object) -> None:
        """Look at what was given; nothing is read yet.

        Raises:
            UsageError: it is neither tables nor the path of one, or the result cannot be written.
        """
        self.result = result_at(result)
        self._tables = _tables(given, self.result.path)
        self._columns: list[Any] | None = None

    def next(self) -> pd.DataFrame | None:
        """The next table; None after the last. Blocks.

        Raises:
            UsageError: what came is no table, or does not fit to those before.
        """
        import pandas as pd

        table = next(self._tables, None)
        if table is None:
            return None
        if not isinstance(table, pd.DataFrame):
            raise UsageError(f"The tables are DataFrames, not {type(table).__name__}.")
        table = self._in_order(table)
        self.result.check(table)
        return table

    def write(self, frame: pd.DataFrame) -> None:
        """Append rows to the result; the first ones replace what was there.

        Raises:
            TransferError: the disk does not take them; what was sent is in CDF and remembered.
        """
        try:
            self.result.write(frame)
        except OSError as error:
            raise TransferError(
                f"The result cannot be written to {self.result.path}: {error.strerror or error}."
            ).hint("What was sent is remembered: the same call writes the result again.") from None

    def _in_order(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with its columns in the order of the first one."""
        columns = list(table.columns)
        if self._columns is None:
            self._columns = columns
        if columns == self._columns:
            return table
        if sorted(map(str, columns)) != sorted(map(str, self._columns)):
            differing = sorted(map(str, {*columns} ^ {*self._columns}))
            raise UsageError(
                f"The tables have not all the same columns, which their result needs: "
                f"{', '.join(differing)} is not in each of them."
            )
        return table[self._columns]


def _tables(given: object, result: Path) -> Iterator[Any]:
    if isinstance(given, str | os.PathLike):
        path = absolute(given)
        if result.exists() and path.exists() and result.samefile(path):
            raise UsageError(f"The result would replace the table {path}: give it another name.")
        return _tables_of(path)
    if isinstance(given, Iterator):
        return given
    if isinstance(given, list | tuple):
        return iter(given)
    raise UsageError(
        f"With result=, give an iterator of DataFrames, or the path of a CSV or Parquet table, "
        f"not a {type(given).__name__}."
    )


def _tables_of(path: Path) -> Iterator[Any]:
    name = path.name.lower()
    if not path.is_file():
        raise UsageError(f"The table {path} cannot be read: it is no file.")
    if name.endswith(_CSV):
        return _of_csv(path, "\t" if name.endswith(".tsv") else ",")
    if name.endswith(".parquet"):
        return _of_parquet(path)
    raise UsageError(f"The table {path} is neither CSV nor Parquet, by its name.")


def _of_csv(path: Path, separator: str) -> Iterator[Any]:
    import pandas as pd

    with pd.read_csv(path, sep=separator, dtype=str, chunksize=ROWS) as reader:
        yield from reader


def _of_parquet(path: Path) -> Iterator[Any]:
    try:
        parquet: Any = import_module("pyarrow.parquet")  # pandas asks for it, too
    except ImportError:
        raise UsageError(
            f"To read {path} install pyarrow (pip install 'cognite_nb_upload[parquet]'), or write "
            "it as CSV."
        ) from None
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            yield batch.to_pandas()
