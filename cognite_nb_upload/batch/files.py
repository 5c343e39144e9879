"""`client.files` as users have it: one file, and many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.rows import frame_of, read_rows, write_rows
from cognite_nb_upload.transfer.files import AsyncFiles, UploadFields

if TYPE_CHECKING:
    import pandas as pd

# Of the keywords of `upload`, those that are not the file's metadata.
_SENDING: Final = ("part_size", "max_concurrency", "resume", "verify", "max_bandwidth")


class AsyncManyFiles(AsyncFiles):
    """Files in CDF: upload one or many, look up, download, delete."""

    def start_many(
        self,
        files: object,
        *,
        recursive: bool = False,
        hidden: bool = False,
        **defaults: Unpack[UploadFields],
    ) -> Batch:
        """Upload many files; returns at once what can be awaited for the frame.

        Args:
            files: a DataFrame with a column `path` and one for each metadata field that differs
                between files; or paths, a glob, a folder. The result of an earlier call sends only
                what is not done yet.
            recursive: also the folders in a folder. Symlinks are never followed.
            hidden: also what begins with a dot.
            **defaults: metadata for all rows, and how large files are sent, as in `upload`.

        Raises:
            UsageError: nothing to upload, no column `path`, or a misspelt one. What is wrong with
                a row is said in its `error` instead.
        """
        how = _sending(defaults)
        if how.get("max_bandwidth") is not None:
            self.limits.bandwidth.set(how.pop("max_bandwidth"))
        frame = frame_of(files, recursive=recursive, hidden=hidden)
        return Batch(self, frame, read_rows(frame, defaults), how)

    def check_many(
        self,
        files: object,
        *,
        recursive: bool = False,
        hidden: bool = False,
        **defaults: Unpack[UploadFields],
    ) -> pd.DataFrame:
        """The frame that `start_many` would begin with: every bad row told, nothing sent."""
        _sending(defaults)
        frame = frame_of(files, recursive=recursive, hidden=hidden)
        return write_rows(frame, read_rows(frame, defaults))


def _sending(fields: Any) -> dict[str, Any]:
    """Take from the keywords of `upload` those that say how, and leave the file's metadata."""
    return {name: fields.pop(name) for name in _SENDING if name in fields}
