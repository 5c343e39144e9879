"""`client.files` as users have it: one file, and many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from anyio import to_thread

from cognite_nb_upload import background
from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.chunks import Chunks
from cognite_nb_upload.batch.columns import Keep
from cognite_nb_upload.batch.existing import Names
from cognite_nb_upload.batch.manifest import changes_of_frame, frame_of_files
from cognite_nb_upload.batch.options import MANY_DEFAULTS, JobOptions, ManyFields
from cognite_nb_upload.batch.properties import NodeColumns
from cognite_nb_upload.batch.recall import Recalled
from cognite_nb_upload.batch.rows import read_table
from cognite_nb_upload.batch.task import look_at_all
from cognite_nb_upload.batch.work import BatchWork
from cognite_nb_upload.core.keywords import keywords_of, own_keywords
from cognite_nb_upload.models import FIELDS
from cognite_nb_upload.models.change import update_of
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

    def resume_many(self, job_id: str, storage_options: Mapping[str, Any] | None = None) -> Batch:
        """Go on with an unfinished job by its id, as `unfinished_jobs()` lists it.

        Args:
            job_id: the id.
            storage_options: for its files in other stores, as in `upload_many`.

        Raises:
            UsageError: there is no such job, or it belongs to another project.
        """
        known = Recalled(job_id, self.config)
        return begin_many(self, known, {**known.how, "storage_options": storage_options})

    @own_keywords
    async def manifest(
        self, filter: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> pd.DataFrame:
        """Files that fit CDF's `filter` as a table: `id`, every field, and what CDF tells.

        Edited, it can be given to `update_many`, or with a column `path` to `upload_many`.
        """
        files = await self.list(filter, limit)
        return await to_thread.run_sync(frame_of_files, files)

    @own_keywords
    async def update_many(self, frame: pd.DataFrame, *, keep: Keep = ()) -> pd.DataFrame:
        """Set the fields that a table has for each file, a thousand files a request.

        A cell that is empty changes nothing. `name` and what only CDF tells are left as they are.

        Args:
            frame: a column `id` or `external_id`, and one for each field that is to be set.
            keep: columns that are no fields.

        Returns:
            The files as CDF has them then, as `manifest` shows them.

        Raises:
            UsageError: a row names no file, a cell cannot be read, or no column is one that can be
                set; nothing was sent.
        """
        changes = await to_thread.run_sync(changes_of_frame, frame, keep)
        await self._put_ids([fields for _, fields in changes])
        items = [
            {**target, "update": update_of(fields, {}, {})} for target, fields in changes if fields
        ]
        files = await self.update_each(items) if items else []
        return await to_thread.run_sync(frame_of_files, files)

    async def _put_ids(self, several: Sequence[dict[str, Any]]) -> None:
        """Ids in place of the external ids of data sets and assets."""
        names = Names(self)
        await names.learn(several)
        for fields in several:
            names.put_ids(fields)

    @keywords_of(ManyFields, MANY_DEFAULTS, FIELDS)
    def check_many(self, files: object, **how: Unpack[ManyFields]) -> pd.DataFrame:
        """The frame that `start_many` would begin with: every bad row told, nothing sent."""
        options, nodes = JobOptions.of(how), None
        if options.space is not None:
            view = background.call(lambda: self.instances.view(options.view))
            nodes = NodeColumns(options.space, view)
        table = read_table(
            files, options.defaults, options.walk, naming=options.naming, keep=options.keep,
            nodes=nodes,
        )  # fmt: skip
        look_at_all(table.rows, options.part_size, self.config.retry)
        return table.frame()


def begin_many(to: AsyncFiles, files: object, how: Any, *, hold: bool = False) -> Batch:
    """`start_many`; held back until `go()` where `hold` is given."""
    how = dict(how)
    result = how.pop("result", None)
    if result is not None:
        files = Chunks(files, result)
    return Batch(BatchWork(to, files, JobOptions.of(how)), hold=hold)
