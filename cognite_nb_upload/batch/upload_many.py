"""`upload_many`: many files in one line, from a DataFrame, paths, a glob or a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from cognite_nb_upload.progress.many import BatchBar
from cognite_nb_upload.transfer.files import UploadFields
from cognite_nb_upload.unfinished import as_async_client

if TYPE_CHECKING:
    import pandas as pd

# So many bad rows are told before anything is sent; all of them are in the frame.
_SHOWN = 10


def upload_many(
    client: object,
    files: object,
    *,
    recursive: bool = False,
    hidden: bool = False,
    dry_run: bool = False,
    progress: bool = True,
    **defaults: Unpack[UploadFields],
) -> pd.DataFrame:
    """Upload many files, and return the frame with what became of each row.

    The frame has `status` (done, failed, invalid, stopped), `id`, `size` (bytes), `seconds`,
    `attempts` and `error`. Given back in, only rows that are not done are sent. Bad rows are told
    before anything is sent, and stop no other. Interrupting it stops everything.

    Args:
        client: ours or an official one, blocking or async.
        files: a DataFrame with a column `path` and one for each metadata field that differs between
            files; or paths, a glob, a folder.
        recursive: also the folders in a folder. Symlinks are never followed.
        hidden: also what begins with a dot.
        dry_run: check every row, send nothing, and return the frame.
        progress: show a bar.
        **defaults: metadata for all rows, and how large files are sent, as in `files.upload`.

    Raises:
        UsageError: nothing to upload, no column `path`, or a misspelt one.
    """
    twin = as_async_client(client).files
    if dry_run:
        return twin.check_many(files, recursive=recursive, hidden=hidden, **defaults)
    batch = twin.start_many(files, recursive=recursive, hidden=hidden, **defaults)
    bad = [row for row in batch.rows if row.status == "invalid"]
    if bad and progress:
        print(f"{len(bad)} of {len(batch.rows)} rows cannot be uploaded:")
        print(*(f"  row {row.no}: {row.error}" for row in bad[:_SHOWN]), sep="\n")
        if len(bad) > _SHOWN:
            print(f"  and {len(bad) - _SHOWN} more, in the column 'error'")
    with BatchBar(batch, disable=not progress):
        return batch.result()
