"""A job that is gone on with by its id: its rows and options, as its record tells them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.batch.columns import PATH
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.jobs import head_of, path_of_job, rows_of
from cognite_nb_upload.models import TIMES
from cognite_nb_upload.models.wire import from_ms

if TYPE_CHECKING:
    import pandas as pd


class Recalled:
    """What an unfinished job was given.

    Attributes:
        title: as it was begun.
        how: its options, as keywords of `upload_many`.
    """

    def __init__(self, job_id: str, config: ClientConfig) -> None:
        """Find it; its rows are read later.

        Raises:
            UsageError: there is no such unfinished job, or it is of another project.
        """
        folder = journal_folder.state_folder()
        path = path_of_job(job_id, folder)
        if path is None:
            raise UsageError(f"No job {job_id!r} is remembered in {folder}.").hint(
                "cognite_nb_upload.unfinished_jobs() lists those that are, with their ids."
            )
        head = head_of(path)
        here = (config.project, config.base_url.rstrip("/"))
        if (head.place.project, head.place.base_url) != here:
            raise UsageError(
                f"The job {job_id} goes to project {head.place.project!r} at "
                f"{head.place.base_url}; this client is for {here[0]!r} at {here[1]}."
            )
        self._path: Path = path
        self.title = head.title
        self.how: Mapping[str, Any] = head.how

    def frame(self) -> pd.DataFrame:
        """A row for each file, with what was asked of CDF; blocks.

        Raises:
            UsageError: it has ended, and nothing of it is left to send.
            JournalDamaged: its record cannot be trusted.
        """
        import pandas as pd

        records = [{**_timed(request), PATH: path} for path, request in rows_of(self._path)]
        if not records:
            raise UsageError(f"The job {self._path.stem} has ended; there is nothing to send.")
        return pd.DataFrame(records, dtype=object)


def _timed(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request with its times as such: in a table, a number may be told to be in seconds."""
    times = {name: from_ms(request[name]) for name in TIMES if request.get(name) is not None}
    return {**request, **times}
