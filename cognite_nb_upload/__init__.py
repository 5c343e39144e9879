"""Big files from a notebook into Cognite Data Fusion: parallel, resumable, visible."""

from __future__ import annotations

from cognite_nb_upload._version import __version__
from cognite_nb_upload.api.auth import Credentials, OAuthClientCredentials, Token
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.api.session import FileMultipartUploadSession
from cognite_nb_upload.blocking import CogniteClient
from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import (
    APIError,
    CDFUnreachable,
    ConfigError,
    PartFailed,
    PlanError,
    SourceChanged,
    TransferError,
    UploadBusy,
    UploadIncomplete,
    UploadStopped,
    UploadToolkitError,
    UsageError,
    VerifyError,
)
from cognite_nb_upload.many import upload_many
from cognite_nb_upload.models import CDFFile, FileMetadata, GeoLocation, Geometry, Label, NodeId
from cognite_nb_upload.resuming import resume, uploads
from cognite_nb_upload.transfer.files import DryRun
from cognite_nb_upload.transfer.upload import Upload, Uploaded

__all__ = [
    "AsyncCogniteClient",
    "CogniteClient",
    "ClientConfig",
    "Token",
    "OAuthClientCredentials",
    "Credentials",
    "Retry",
    "FileMultipartUploadSession",
    "Upload",
    "Uploaded",
    "DryRun",
    "upload_many",
    "uploads",
    "resume",
    "CDFFile",
    "FileMetadata",
    "GeoLocation",
    "Geometry",
    "Label",
    "NodeId",
    "UploadToolkitError",
    "UsageError",
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
    "__version__",
]
