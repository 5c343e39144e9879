"""Values <-> CDF's JSON: what is said of a file, where it belongs, and what forms pick from."""

from __future__ import annotations

from cognite_nb_upload.errors import InvalidMetadata
from cognite_nb_upload.models.catalog import (
    Asset,
    DataSet,
    LabelDefinition,
    SecurityCategory,
    TokenInspection,
)
from cognite_nb_upload.models.fields import LIMITS, check_field
from cognite_nb_upload.models.file import (
    FIELDS,
    TIMES,
    CDFFile,
    FileMetadata,
    MetadataFields,
    SharedFields,
    same_fields,
)
from cognite_nb_upload.models.geo import GeoLike, GeoLocation, Geometry
from cognite_nb_upload.models.ids import Label, LabelLike, NodeId, NodeIdLike, as_node_id
from cognite_nb_upload.models.mime import guess_mime_type
from cognite_nb_upload.models.node import FileNode, FileNodeLike, NodeFields
from cognite_nb_upload.models.views import View, ViewId, ViewProperty

__all__ = [
    "FIELDS",
    "TIMES",
    "LIMITS",
    "FileMetadata",
    "InvalidMetadata",
    "MetadataFields",
    "SharedFields",
    "check_field",
    "guess_mime_type",
    "same_fields",
    "Label",
    "LabelLike",
    "GeoLocation",
    "Geometry",
    "GeoLike",
    "NodeId",
    "NodeIdLike",
    "as_node_id",
    "CDFFile",
    "FileNode",
    "FileNodeLike",
    "NodeFields",
    "View",
    "ViewId",
    "ViewProperty",
    "DataSet",
    "Asset",
    "LabelDefinition",
    "SecurityCategory",
    "TokenInspection",
]
