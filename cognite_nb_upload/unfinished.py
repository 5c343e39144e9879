"""What is unfinished, and what was done: the journals as a table, and going on with one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.blocking import CogniteClient
from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.folder import JournalRow
from cognite_nb_upload.journal.jobs import JobRow, forget_job, jobs, path_of_job
from cognite_nb_upload.transfer.files import Uploadable
from cognite_nb_upload.transfer.running import by_id
from cognite_nb_upload.transfer.upload import Upload

if TYPE_CHECKING:
    import pandas as pd


def uploads(*, recent: bool = True, folder: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """A row for each unfinished upload, and for those that ended lately.

    What runs in this process is among them: `held_by` says so, and `resume(row)` returns its
    handle. `running_uploads()` returns all such handles.

    Sizes are bytes, times UTC; `expires_at` is when CDF's upload URLs end. The index is the id that
    `resume` takes.

    Args:
        recent: also those that ended: done, cancelled, superseded.
        folder: where the journals are; the user's state folder when None.
    """
    import pandas as pd  # slow to import, and needed by few

    shelf_folder = journal_folder.state_folder(folder)
    rows = journal_folder.unfinished(shelf_folder)
    if recent:
        rows = _each_once(rows, journal_folder.history(shelf_folder))
    frame = pd.DataFrame(
        [asdict(row) for row in rows], columns=[one.name for one in fields(JournalRow)]
    )
    for name in ("size", "parts", "stored_parts", "stored_bytes", "file_id"):
        frame[name] = frame[name].astype("Int64")
    for name in ("opened_at", "updated_at", "expires_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.rename(columns={"size": "size_bytes"}).set_index("id")


def _each_once(left: list[JournalRow], ended: list[JournalRow]) -> list[JournalRow]:
    """All rows, but for those of `left` that are among `ended`: they ended in between.

    An archived id is `<key>-<stamp>`, and an earlier upload of that key may have ended, too: the
    same one was opened at the same time.
    """
    known = {(row.id.partition("-")[0], row.opened_at) for row in ended if row.opened_at}
    return [row for row in left if (row.id, row.opened_at) not in known] + ended


def unfinished_jobs(
    *, recent: bool = False, folder: str | os.PathLike[str] | None = None
) -> pd.DataFrame:
    """A row for each job of `upload_many` that has not ended, the last touched first.

    `files` is how many it has, `done` and `failed` how many of them CDF has and has not taken;
    times are UTC. The index is the id that `resume` takes.

    Args:
        recent: also those that ended.
        folder: where the journals are; the user's state folder when None.
    """
    import pandas as pd

    here = journal_folder.state_folder(folder)
    rows = jobs(here) + (jobs(here, ended=True) if recent else [])
    frame = pd.DataFrame(
        [asdict(row) for row in rows], columns=[one.name for one in fields(JobRow)]
    )
    for name in ("files", "done", "failed"):
        frame[name] = frame[name].astype("Int64")
    for name in ("created_at", "updated_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame.set_index("id")


def forget(upload_id: str, folder: Path | None = None) -> None:
    """Delete what is remembered of an upload or of a job. CDF is not told.

    Raises:
        UsageError: there is no such upload.
        UploadBusy: someone is sending it.
    """
    upload_id = upload_id_of(upload_id)
    job = path_of_job(upload_id, journal_folder.state_folder(folder))
    if job is not None:
        forget_job(job)
    else:
        journal_folder.forget(upload_id, folder)


def resume(
    upload: object,
    client: object | None = None,
    content: Uploadable | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Upload | Batch:
    """Go on with an unfinished upload; returns what `client.files.upload(...)` returns.

    One that runs in this process is returned itself, and goes on if it was paused. Of a job it
    returns what `client.files.start_many(...)` returns.

    Args:
        upload: a row of `uploads()` or `unfinished_jobs()`, or its id.
        client: ours or an official one, blocking or async; from the environment when None.
        content: the file, where it is not at its old path or address any more.
        storage_options: for files in other stores, as in `upload`.

    Raises:
        UsageError: there is no such unfinished upload, or it belongs to another project.
    """
    upload_id = upload_id_of(upload)
    if path_of_job(upload_id, journal_folder.state_folder()) is not None:
        if content is not None:
            raise UsageError(
                f"{upload_id!r} is a job of many files, whose record says where each is; content "
                "is for one upload. Where they were moved, call upload_many with their new paths."
            )
        return as_async_client(client).files.resume_many(upload_id, storage_options)
    return resume_upload(upload_id, client, content, storage_options)


def resume_upload(
    upload: object,
    client: object | None = None,
    content: Uploadable | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Upload:
    """`resume` of one file, never of a job."""
    upload_id = upload_id_of(upload)
    if (found := by_id(upload_id)) is not None:  # no client is needed for that
        found.resume()
        return found
    return as_async_client(client).files.resume_upload(upload_id, content, storage_options)


def as_async_client(client: object | None) -> AsyncCogniteClient:
    """The async client behind any client: ours or an official one; the environment's when None."""
    if client is None:
        return AsyncCogniteClient()
    if isinstance(client, AsyncCogniteClient):
        return client
    return (
        client._twin if isinstance(client, CogniteClient) else AsyncCogniteClient.from_sdk(client)
    )


def upload_id_of(row: object) -> str:
    """The id of a row of `uploads()`, or the id itself."""
    if isinstance(row, str):
        return row
    # A row of itertuples() has it as Index, a Series as its name, one of to_dict("records") as id.
    for known in (getattr(row, "Index", None), getattr(row, "name", None)):
        if isinstance(known, str):
            return known
    if isinstance(row, Mapping) and "id" in row:
        return str(row["id"])
    raise UsageError(f"A {type(row).__name__} is neither a row of uploads() nor an id.")
