"""`upload_many`: many files in one line, from a DataFrame, paths, a glob or a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.files import begin_many
from cognite_nb_upload.batch.options import MANY_DEFAULTS, ManyFields
from cognite_nb_upload.core.keywords import keywords_of
from cognite_nb_upload.models import FIELDS
from cognite_nb_upload.progress.many import BatchBar
from cognite_nb_upload.say import say
from cognite_nb_upload.unfinished import as_async_client

if TYPE_CHECKING:
    import pandas as pd

# So many bad rows are told before anything is sent; all of them are in the frame.
_SHOWN = 10


@keywords_of(ManyFields, MANY_DEFAULTS, FIELDS)
def upload_many(
    client: object,
    files: object,
    *,
    dry_run: bool = False,
    progress: bool = True,
    **how: Unpack[ManyFields],
) -> pd.DataFrame:
    """Upload many files, and return the frame with what became of each row.

    The frame has `status` (done, skipped, failed, invalid, stopped, assembling), `id`, `size`
    (bytes), `seconds`, `attempts`, `verified`, `note` and `error`; where it has such a column of
    its own, ours is `upload_status`. The job is remembered: the same line again sends what is not
    done, also after an interrupt or a dead kernel, and what was sent only if the file has changed.
    Bad rows are told before anything is sent, and stop no other. Interrupting it stops everything;
    the frame so far is on the exception as `.frame`.

    Args:
        client: ours or an official one, blocking or async.
        files: a DataFrame with a column `path` and one for each metadata field that differs between
            files, by our names or CDF's; or paths, a glob, a folder, which keeps its shape as
            `directory`. Symlinks are never followed.
        dry_run: check every row, send nothing, and return the frame.
        progress: show a bar.
        **how: metadata for all files, how they are sent, and what is done where CDF has a file
            already: see `ManyFields`.

    Raises:
        UsageError: nothing to upload, no column `path`, one that is no field, or a bad keyword.
    """
    twin = as_async_client(client).files
    if dry_run:
        return twin.check_many(files, **how)
    batch = begin_many(twin, files, how, hold=True)
    return watch(batch, progress=progress)


def watch(batch: Batch, *, progress: bool = True) -> pd.DataFrame:
    """Tell the bad rows of a held batch, let it begin, and wait for it with a bar."""
    rows = batch.planned().rows
    bad = [row for row in rows if row.status == "invalid"]
    if bad and progress:
        say(f"{len(bad)} of {len(rows)} rows cannot be uploaded:")
        say(*(f"  row {row.no}: {row.error}" for row in bad[:_SHOWN]))
        if len(bad) > _SHOWN:
            say(f"  and {len(bad) - _SHOWN} more, in the column 'error'")
    with BatchBar(batch, disable=not progress):
        batch.go()
        return batch.result()
