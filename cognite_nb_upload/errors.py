"""Everything that is raised on purpose, by who can mend it.

::

    UploadToolkitError
    ├── UsageError           you asked for what CDF cannot do; nothing was sent (a ValueError)
    │   ├── InvalidMetadata  a field is outside CDF's limits                .fields (in `models`)
    │   ├── PlanError        size, part size or number of parts outside the limits
    │   ├── ConfigError      a setting or credential is missing
    │   ├── SourceChanged    the file is not the one that was planned
    │   └── UploadBusy       another kernel has this upload in hand
    ├── APIError             CDF answered, and said no      .code .request_id .missing .duplicated
    ├── JournalDamaged       an upload's journal cannot be trusted   .path .line_no (in `transfer`)
    └── TransferError        something did not arrive       .missing_parts   -> can be resumed
        ├── CDFUnreachable   CDF gave no answer, for longer than the retries last
        ├── PartFailed       one part used up its tries     .part_no .attempts .status
        ├── UploadIncomplete left before every part was sent
        ├── VerifyError      what CDF holds is not what was sent
        └── UploadStopped    cancelled, paused or interrupted

Facts are attributes; the message is one sentence with the numbers in it; the next step is a note
(`add_note`). No message holds a token or the query of a URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

__all__ = [
    "APIError",
    "CDFUnreachable",
    "ConfigError",
    "PartFailed",
    "PlanError",
    "SourceChanged",
    "TransferError",
    "UploadBusy",
    "UploadIncomplete",
    "UploadStopped",
    "UploadToolkitError",
    "UsageError",
    "VerifyError",
]


class UploadToolkitError(Exception):
    """The root of every error this package raises on purpose."""

    def hint(self, note: str | None) -> Self:
        """Add the next step for the reader, and return the error to raise."""
        if note:
            self.add_note(note)
        return self


class UsageError(UploadToolkitError, ValueError):
    """You asked for something CDF cannot do; nothing was sent."""


class PlanError(UsageError):
    """A size, a part size or a number of parts is outside the limits."""


class ConfigError(UsageError):
    """A setting or credential is missing or unusable."""


class SourceChanged(UsageError):
    """The file is not the one that was planned; nothing is completed."""


class UploadBusy(UsageError):
    """Another process has this upload in hand."""


class APIError(UploadToolkitError):
    """CDF answered, and said no.

    Attributes:
        code: HTTP status.
        message: CDF's own words.
        request_id: the `x-request-id` of the answer, for Cognite's support.
        missing: what CDF does not know, as `[{"externalId": ...}]` or `[{"id": ...}]`.
        duplicated: what exists already, in the same form.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int,
        request_id: str | None = None,
        missing: Sequence[Mapping[str, Any]] = (),
        duplicated: Sequence[Mapping[str, Any]] = (),
        what: str = "",
        who: str = "CDF",
    ) -> None:
        self.code = code
        self.message = message
        self.request_id = request_id
        self.missing = [dict(item) for item in missing]
        self.duplicated = [dict(item) for item in duplicated]
        text = f"{who} refused {what or 'the request'} with {code}: {message}"
        if self.missing:
            text += f" | missing: {self.missing}"
        if self.duplicated:
            text += f" | duplicated: {self.duplicated}"
        if request_id:
            text += f" | x-request-id: {request_id}"
        super().__init__(text)


class TransferError(UploadToolkitError):
    """Something did not arrive; what did arrive is kept, and the rest can be sent again.

    Attributes:
        missing_parts: numbers of the parts that CDF does not have yet, counted from 0.
    """

    def __init__(self, message: str, *, missing_parts: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.missing_parts = tuple(missing_parts)


class CDFUnreachable(TransferError):
    """CDF gave no answer, for longer than the retries last."""


class PartFailed(TransferError):
    """One part could not be sent.

    Attributes:
        part_no: the part, counted from 0.
        attempts: how often it was tried.
        status: the store's last HTTP status, or None where no answer came.
        fatal: True where trying again cannot help (the store refused for good).
        expired: True where the store says that the signed URL is no longer valid.
    """

    def __init__(
        self,
        message: str,
        *,
        part_no: int,
        attempts: int,
        status: int | None = None,
        fatal: bool = False,
        expired: bool = False,
    ) -> None:
        super().__init__(message, missing_parts=(part_no,))
        self.part_no = part_no
        self.attempts = attempts
        self.status = status
        self.fatal = fatal
        self.expired = expired


class UploadIncomplete(TransferError):
    """The session was left before every part was sent; CDF was not told to complete it."""


class VerifyError(TransferError):
    """What CDF holds is not what was sent."""


class UploadStopped(TransferError):
    """The upload was cancelled, paused or interrupted before it was complete."""
