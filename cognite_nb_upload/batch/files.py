"""`client.files` as users have it: one file, and many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.options import MANY_DEFAULTS, JobOptions, ManyFields
from cognite_nb_upload.batch.rows import read_table
from cognite_nb_upload.batch.task import look_at
from cognite_nb_upload.batch.work import BatchWork
from cognite_nb_upload.core.keywords import keywords_of
from cognite_nb_upload.models import FIELDS
from cognite_nb_upload.transfer.files import AsyncFiles

if TYPE_CHECKING:
    import pandas as pd


class AsyncManyFiles(AsyncFiles):
    """Files in CDF: upload one or many, look up, download, delete."""

    @keywords_of(ManyFields, MANY_DEFAULTS, FIELDS)
    def start_many(self, files: object, **how: Unpack[ManyFields]) -> Batch:
        """Upload many files; returns at once what can be awaited for the frame.

        The rows are read and checked in the background; `await` tells what is wrong with the whole.
        The same call again sends what is not done yet.

        Args:
            files: a DataFrame with a column `path` and one for each metadata field that differs
                between files; or paths, a glob, a folder. Symlinks are never followed.
            **how: the keywords of `upload_many`.

        Raises:
            UsageError: a keyword cannot be.
        """
        return begin_many(self, files, how)

    @keywords_of(ManyFields, MANY_DEFAULTS, FIELDS)
    def check_many(self, files: object, **how: Unpack[ManyFields]) -> pd.DataFrame:
        """The frame that `start_many` would begin with: every bad row told, nothing sent."""
        options = JobOptions.of(how)
        table = read_table(
            files, options.defaults, options.walk, naming=options.naming, keep=options.keep
        )
        for row in table.rows:
            look_at(row, options.part_size)
        return table.frame()


def begin_many(to: AsyncFiles, files: object, how: Any, *, hold: bool = False) -> Batch:
    """`start_many`; held back until `go()` where `hold` is given."""
    return Batch(BatchWork(to, files, JobOptions.of(how)), hold=hold)
