"""`upload_many`: many files in one line, from a DataFrame, paths, a glob or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from cognite_nb_upload import background
from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.columns import Keep
from cognite_nb_upload.batch.files import begin_many
from cognite_nb_upload.batch.options import MANY_DEFAULTS, ManyFields
from cognite_nb_upload.core.keywords import keywords_of
from cognite_nb_upload.core.numbers import as_flag
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
            `directory`. Symlinks are never followed. Addresses of other stores are paths too:
            `s3://bucket/key`, a prefix that ends in a slash, a glob such as `s3://bucket/**/*.las`.
        dry_run: check every row, send nothing, and return the frame.
        progress: show bars; in a log, a line for each tenth.
        **how: the metadata of `upload` for all files, how they are sent, and:

            - `external_id`: "path" names each file by its path from the top of the folder, with `/`
              (of a DataFrame: by its `path`); a function makes the name of that path.
            - `space`: the files are nodes of this space, made a thousand in one request; a column
              is then a property of the view (`tags`, `assets` as "space/external_id; ..."), and
              the external id is the path unless a column says another.
            - `view`: that extends CogniteFile, as (space, external_id, version).
            - `data_set_external_id`, `asset_external_ids`: in place of the ids.
            - `recursive`: also the folders in a folder. `hidden`: also what begins with a dot.
            - `include`, `exclude`: patterns such as `*.las`, `raw/**`, `.git/`.
            - `keep`: columns that are no fields and stay as they are; True: all of them.
            - `if_exists`: what is done with a file that CDF has by this external id: "error" lets
              CDF refuse it, "skip" leaves it, "newer" and "changed" compare the file's modification
              time with CDF's `sourceModifiedTime`, "overwrite" replaces it.
            - `size_key`, `sha256_key`: metadata keys that keep a file's size and SHA-256 in CDF,
              which has neither of its own; "changed" then compares them.
            - `storage_options`: what the stores of addresses want to know, as in `upload`; it is
              written nowhere, and given again to go on.
            - `again`: also send what an earlier run of this job has sent.
            - `result`: a CSV or Parquet file that each row is written to: for jobs larger than
              memory, whose `files` are an iterator of DataFrames with the same columns, or the
              path of a CSV or Parquet table that is read in chunks. What is returned counts the
              files by `status`. Parquet needs pyarrow (the extra `parquet`), and is in its place
              when the job ends.
            - `on_done`: is called with the row and the `Uploaded` of each file; may be async.

    Raises:
        UsageError: nothing to upload, no column `path`, one that is no field, or a bad keyword.
    """
    twin, progress = as_async_client(client).files, as_flag("progress", progress)
    if as_flag("dry_run", dry_run):
        return twin.check_many(files, **how)
    batch = begin_many(twin, files, how, hold=True)
    return watch(batch, progress=progress)


def manifest(
    client: object, filter: Mapping[str, Any] | None = None, *, limit: int | None = None
) -> pd.DataFrame:
    """What CDF has, as a table that can be edited and given to `update_many` or `upload_many`.

    Args:
        client: ours or an official one, blocking or async.
        filter: CDF's filter, such as `{"dataSetIds": [{"id": 7}]}`; all files when None.
        limit: at most so many.
    """
    return background.call(lambda: as_async_client(client).files.manifest(filter, limit))


def update_many(client: object, frame: pd.DataFrame, *, keep: Keep = ()) -> pd.DataFrame:
    """Set what a table says of files in CDF, and return them as they are then.

    Args:
        client: ours or an official one, blocking or async.
        frame: a column `id` or `external_id`, and one for each field; an empty cell changes
            nothing. `manifest` gives such a table.
        keep: columns that are no fields.

    Raises:
        UsageError: a row names no file, a cell cannot be read, or no column is one that can be
            set; nothing was sent.
    """
    return background.call(lambda: as_async_client(client).files.update_many(frame, keep=keep))


def watch(batch: Batch, *, progress: bool = True) -> pd.DataFrame:
    """Tell the bad rows of a held batch, let it begin, and wait for it with a bar."""
    rows = batch.planned().rows
    bad = [row for row in rows if row.status == "invalid"]
    if bad and progress:
        say(f"{len(bad)} of {len(rows)} rows cannot be uploaded:")
        say(*(f"  row {row.no}: {row.error}" for row in bad[:_SHOWN]))
        if len(bad) > _SHOWN:
            say(f"  and {len(bad) - _SHOWN} more, in the column 'error'")
    with BatchBar(batch, disable=None if progress else True):
        batch.go()
        return batch.result()
