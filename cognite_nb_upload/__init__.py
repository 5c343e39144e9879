"""Big files from a notebook into Cognite Data Fusion: parallel, resumable, visible.

Names load when they are first touched, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cognite_nb_upload._version import __version__

if TYPE_CHECKING:
    from cognite_nb_upload.api.auth import Credentials, OAuthClientCredentials, Token
    from cognite_nb_upload.api.config import ClientConfig
    from cognite_nb_upload.api.oauth.device_code import OAuthDeviceCode
    from cognite_nb_upload.api.oauth.interactive import OAuthInteractive
    from cognite_nb_upload.api.oauth.person import SignInPrompt
    from cognite_nb_upload.api.session import FileMultipartUploadSession
    from cognite_nb_upload.blocking import CogniteClient
    from cognite_nb_upload.client import AsyncCogniteClient
    from cognite_nb_upload.core.retry import Retry
    from cognite_nb_upload.errors import (
        APIError,
        CDFUnreachable,
        ConfigError,
        EngineLost,
        InvalidMetadata,
        JournalDamaged,
        JournalTooNew,
        PartFailed,
        PlanError,
        SignInFailed,
        SourceChanged,
        TransferError,
        UploadBusy,
        UploadIncomplete,
        UploadStopped,
        UploadToolkitError,
        UsageError,
        VerifyError,
    )
    from cognite_nb_upload.journal.folder import JournalWarning
    from cognite_nb_upload.many import manifest, update_many, upload_many
    from cognite_nb_upload.models import (
        CDFFile,
        FileMetadata,
        FileNode,
        GeoLocation,
        Geometry,
        Label,
        NodeId,
        ViewId,
    )
    from cognite_nb_upload.transfer.files import DryRun
    from cognite_nb_upload.transfer.running import running_uploads
    from cognite_nb_upload.transfer.upload import Upload, Uploaded
    from cognite_nb_upload.unfinished import forget, resume, unfinished_jobs, uploads

_HOMES = {
    "client": ("AsyncCogniteClient",),
    "blocking": ("CogniteClient",),
    "api.config": ("ClientConfig",),
    "api.auth": (
        "Token",
        "OAuthClientCredentials",
        "Credentials",
    ),
    "api.oauth.device_code": ("OAuthDeviceCode",),
    "api.oauth.interactive": ("OAuthInteractive",),
    "api.oauth.person": ("SignInPrompt",),
    "core.retry": ("Retry",),
    "api.session": ("FileMultipartUploadSession",),
    "transfer.upload": (
        "Upload",
        "Uploaded",
    ),
    "transfer.files": ("DryRun",),
    "transfer.running": ("running_uploads",),
    "many": (
        "upload_many",
        "manifest",
        "update_many",
    ),
    "unfinished": (
        "uploads",
        "unfinished_jobs",
        "resume",
        "forget",
    ),
    "journal.folder": ("JournalWarning",),
    "models": (
        "CDFFile",
        "FileMetadata",
        "FileNode",
        "GeoLocation",
        "Geometry",
        "Label",
        "NodeId",
        "ViewId",
    ),
    "errors": (
        "UploadToolkitError",
        "UsageError",
        "PlanError",
        "ConfigError",
        "InvalidMetadata",
        "JournalDamaged",
        "JournalTooNew",
        "SourceChanged",
        "UploadBusy",
        "APIError",
        "TransferError",
        "CDFUnreachable",
        "PartFailed",
        "UploadIncomplete",
        "VerifyError",
        "UploadStopped",
        "SignInFailed",
        "EngineLost",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncCogniteClient",
    "CogniteClient",
    "ClientConfig",
    "Token",
    "OAuthClientCredentials",
    "OAuthDeviceCode",
    "OAuthInteractive",
    "SignInPrompt",
    "Credentials",
    "Retry",
    "FileMultipartUploadSession",
    "Upload",
    "Uploaded",
    "DryRun",
    "upload_many",
    "manifest",
    "update_many",
    "uploads",
    "running_uploads",
    "unfinished_jobs",
    "resume",
    "forget",
    "CDFFile",
    "FileMetadata",
    "GeoLocation",
    "Geometry",
    "Label",
    "NodeId",
    "FileNode",
    "ViewId",
    "UploadToolkitError",
    "UsageError",
    "InvalidMetadata",
    "PlanError",
    "ConfigError",
    "SourceChanged",
    "UploadBusy",
    "APIError",
    "TransferError",
    "CDFUnreachable",
    "PartFailed",
    "UploadIncomplete",
    "VerifyError",
    "UploadStopped",
    "SignInFailed",
    "EngineLost",
    "JournalDamaged",
    "JournalTooNew",
    "JournalWarning",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
