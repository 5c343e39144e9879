"""Everything that is raised on purpose, by who can mend it.

::

    UploadToolkitError
    ├── UsageError           you asked for what CDF cannot do; nothing was sent (a ValueError)
    │   ├── InvalidMetadata  a field is outside CDF's limits                .fields
    │   ├── PlanError        size, part size or number of parts outside the limits
    │   ├── ConfigError      a setting or credential is missing
    │   ├── SourceChanged    the file is not the one that was planned
    │   └── UploadBusy       another kernel has this upload in hand
    ├── APIError             CDF answered, and said no      .code .request_id .missing .duplicated
    ├── SignInFailed         nobody signed in, or somebody said no
    ├── JournalDamaged       an upload's journal cannot be trusted          .path .line_no
    │   └── JournalTooNew    a later version of this package wrote it
    └── TransferError        something did not arrive       .missing_parts   -> can be resumed
        ├── CDFUnreachable   CDF gave no answer, for longer than the retries last
        ├── PartFailed       one part used up its tries     .part_no .attempts .status
        ├── UploadIncomplete left before every part was sent
        ├── VerifyError      what CDF holds is not what was sent
        └── UploadStopped    cancelled, paused or interrupted
            └── EngineLost   the engine whose workers sent the parts is gone

Facts are attributes; the message is one sentence with the numbers in it; the next step is a note
(`add_note`). No message holds a token or the query of a URL. Names, and what servers say, are shown
as what they are: no escape code and no mark of direction takes effect. Each error survives pickling
with its attributes and notes, so that it can come back from another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from cognite_nb_upload.text import plain

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "APIError",
    "CDFUnreachable",
    "ConfigError",
    "EngineLost",
    "InvalidMetadata",
    "JournalDamaged",
    "JournalTooNew",
    "PartFailed",
    "PlanError",
    "SignInFailed",
    "SourceChanged",
    "TransferError",
    "UploadBusy",
    "UploadIncomplete",
    "UploadStopped",
    "UploadToolkitError",
    "UsageError",
    "VerifyError",
]


def _rebuilt(
    kind: type[UploadToolkitError], args: tuple[object, ...], facts: Mapping[str, Any]
) -> UploadToolkitError:
    """The error as it was pickled; its own `__init__` would make another message of this one."""
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(facts)
    return error


class UploadToolkitError(Exception):
    """The root of every error this package raises on purpose."""

    def __str__(self) -> str:
        return plain(super().__str__())

    def add_note(self, note: str) -> None:
        """Add the next step for the reader, shown below the message."""
        super().add_note(plain(note))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)

    def hint(self, note: str | None) -> Self:
        """Add the next step for the reader, and return the error to raise."""
        if note:
            self.add_note(note)
        return self


class UsageError(UploadToolkitError, ValueError):
    """You asked for something CDF cannot do; nothing was sent."""


class InvalidMetadata(UsageError):
    """CDF would refuse this metadata; nothing was sent.

    Attributes:
        fields: what is wrong, one sentence for each bad field, by the field's name.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__(" ".join(self.fields.values()))


class PlanError(UsageError):
    """A size, a part size or a number of parts is outside the limits."""


class ConfigError(UsageError):
    """A setting or credential is missing or unusable."""


class SourceChanged(UsageError):
    """The content is not the one that was planned; nothing is completed.

    Attributes:
        unseen: True where a later call could not tell: what was sent is not gone on with.
    """

    unseen = False


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


class SignInFailed(UploadToolkitError):
    """Nobody signed in while there was time, or the person or the provider said no.

    Attributes:
        denied: True where somebody said no.
    """

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


class JournalDamaged(UploadToolkitError):
    """A journal cannot be trusted; nothing was sent.

    Attributes:
        path: the file.
        line_no: the line that is wrong, counted from 1.
    """

    def __init__(self, message: str, *, path: Path, line_no: int) -> None:
        super().__init__(message)
        self.path = path
        self.line_no = line_no


class JournalTooNew(JournalDamaged):
    """The journal is of a later version of this package."""


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


class EngineLost(UploadStopped):
    """The engine whose workers sent the parts is gone; the same call goes on without it."""
