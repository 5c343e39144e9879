"""A file's metadata: what a caller says of it, and what CDF says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from cognite_nb_upload.errors import InvalidMetadata, UsageError
from cognite_nb_upload.models.fields import check_field, normalised
from cognite_nb_upload.models.geo import GeoLike, GeoLocation
from cognite_nb_upload.models.ids import Label, LabelLike, NodeId, as_node_id
from cognite_nb_upload.models.show import html_table
from cognite_nb_upload.models.wire import camel, from_ms, to_ms


class SharedFields(TypedDict, total=False):
    """The keywords of `FileMetadata.of` that many files may have alike."""

    name: str
    source: str | None
    mime_type: str | None
    metadata: Mapping[str, str] | None
    directory: str | None
    asset_ids: Iterable[int] | None
    data_set_id: int | None
    labels: Iterable[LabelLike] | None
    geo_location: GeoLike | None
    source_created_time: int | datetime | None
    source_modified_time: int | datetime | None
    security_categories: Iterable[int] | None


class MetadataFields(SharedFields, total=False):
    """The keywords of `FileMetadata.of`, with all that each of them takes."""

    external_id: str | None


class FileMetadata(BaseModel):
    """What a caller says of a file: the fields of initmultipartupload, checked.

    Only `name` is required. Times are aware, in UTC, in whole milliseconds. `LIMITS` has each
    field's limit.

    Raises:
        InvalidMetadata: CDF would refuse it; every bad field is named, in `.fields` as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    external_id: str | None = None
    source: str | None = None
    mime_type: str | None = None
    metadata: dict[str, str] | None = None
    directory: str | None = None
    asset_ids: tuple[int, ...] | None = None
    data_set_id: int | None = None
    labels: tuple[Label, ...] | None = None
    geo_location: GeoLocation | None = None
    source_created_time: datetime | None = None
    source_modified_time: datetime | None = None
    security_categories: tuple[int, ...] | None = None

    def __init__(self, **values: Unpack[MetadataFields]) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            invalid = InvalidMetadata(_sentences(error))
        else:
            return
        raise invalid  # outside the handler, so that pydantic's own error is not shown as its cause

    @classmethod
    def of(cls, **values: Unpack[MetadataFields]) -> Self:
        """Metadata from keywords; the same as `FileMetadata(...)`."""
        return cls(**values)

    @classmethod
    def from_cdf(cls, item: Mapping[str, Any]) -> Self:
        """The metadata that `to_cdf` made `item` of; what else is in it is left out."""
        given: Any = {field: item[camel(field)] for field in FIELDS if camel(field) in item}
        for field in TIMES & given.keys():
            given[field] = from_ms(given[field])  # it is known to be in milliseconds
        return cls(**given)

    @field_validator("*", mode="before")
    @classmethod
    def _checked(cls, value: object, info: ValidationInfo) -> Any:
        return normalised(str(info.field_name), value)

    def __repr_args__(self) -> Iterable[tuple[str, Any]]:
        return _given(self).items()

    def to_kwargs(self) -> dict[str, Any]:
        """The keywords of `multipart_upload_session` that say the same, without those left out."""
        return _given(self)

    def to_cdf(self) -> dict[str, Any]:
        """The JSON that initmultipartupload takes, without the fields left out."""
        return {camel(field): to_json(value) for field, value in _given(self).items()}


TIMES: Final = frozenset({"source_created_time", "source_modified_time"})
FIELDS: Final = tuple(FileMetadata.model_fields)


def _sentences(error: ValidationError) -> dict[str, str]:
    found = {}
    for one in error.errors(include_url=False):
        field = str(one["loc"][0])
        refused = one.get("ctx", {}).get("error")  # ours; else a field is missing, or unknown
        found[field] = str(refused or check_field(field, None))
    return found


def _given(of: FileMetadata | CDFFile) -> dict[str, Any]:
    values = ((field, getattr(of, field)) for field in FIELDS)
    return {field: value for field, value in values if value is not None}


def to_json(value: Any) -> Any:
    """A checked field's value as CDF's JSON has it."""
    if isinstance(value, datetime):
        return to_ms(value)
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return dict(value)
    return value.to_cdf() if isinstance(value, Label | GeoLocation) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class CDFFile:
    """What CDF says of a file. CDF tells neither its size nor a checksum.

    Times are aware, in UTC. What CDF leaves out, or says in a form not known here, is None.
    `uploaded` turns true some time after the completion.
    """

    id: int | None = None
    name: str = ""
    external_id: str | None = None
    instance_id: NodeId | None = None
    uploaded: bool = False
    uploaded_time: datetime | None = None
    created_time: datetime | None = None
    last_updated_time: datetime | None = None
    source: str | None = None
    mime_type: str | None = None
    metadata: dict[str, str] | None = None
    directory: str | None = None
    asset_ids: tuple[int, ...] | None = None
    data_set_id: int | None = None
    labels: tuple[Label, ...] | None = None
    geo_location: GeoLocation | None = None
    source_created_time: datetime | None = None
    source_modified_time: datetime | None = None
    security_categories: tuple[int, ...] | None = None

    @classmethod
    def from_cdf(cls, item: Mapping[str, Any]) -> Self:
        """A file from CDF's JSON. Upload and download URLs in it are secrets, and are dropped."""
        return cls(**{field: read(item[name]) for name, field, read in _NAMED if name in item})

    def to_kwargs(self) -> dict[str, Any]:
        """What `FileMetadata.of` takes to say the same of another file."""
        return _given(self)

    def __repr__(self) -> str:
        known = f"external_id={self.external_id!r}, " if self.external_id else ""
        node = f"instance_id={self.instance_id!r}, " if self.instance_id else ""
        state = "uploaded" if self.uploaded else "not uploaded yet"
        return f"<CDFFile {self.name!r}: id={self.id}, {known}{node}{state}>"

    def _repr_html_(self) -> str:
        rows = ((field, getattr(self, field)) for field in _READERS)
        shown = ((field, _shown(value)) for field, value in rows if value is not None)
        return html_table(shown, caption="A file in CDF")


def same_fields(file: CDFFile, about: FileMetadata) -> bool:
    """True if CDF has every field of a file as it was sent, and no other; lists in any order."""
    return _fields(file) == _fields(about)


def _fields(of: FileMetadata | CDFFile) -> dict[str, Any]:
    sent = ((field, to_json(value)) for field, value in _given(of).items())
    return {
        field: sorted(map(str, value)) if isinstance(value, list) else value
        for field, value in sent
        if value not in ([], {})
    }


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, tuple):
        return ", ".join(str(_shown(item)) for item in value)
    if isinstance(value, GeoLocation):
        shape = f"{value.geometry.type} {value.geometry.positions}"
        return shape if len(shape) <= 200 else f"{shape[:200]}…"
    return value.external_id if isinstance(value, Label) else value


def _read_as(kind: type) -> Callable[[Any], Any]:
    return lambda value: value if type(value) is kind else None


def _read_many(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_all(value: object) -> tuple[Any, ...] | None:
        if not isinstance(value, list):
            return None
        return tuple(item for item in map(read, value) if item is not None)

    return read_all


def _read_if(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_or_none(value: object) -> Any:
        try:
            return None if value is None else read(value)
        except (UsageError, TypeError, ValueError, OverflowError):
            return None

    return read_or_none


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "id": _read_as(int),
    "name": lambda value: value if isinstance(value, str) else "",
    "external_id": _read_as(str),
    "instance_id": _read_if(as_node_id),
    "uploaded": lambda value: value is True,
    "uploaded_time": _read_if(from_ms),
    "created_time": _read_if(from_ms),
    "last_updated_time": _read_if(from_ms),
    "source": _read_as(str),
    "mime_type": _read_as(str),
    "metadata": _read_as(dict),
    "directory": _read_as(str),
    "asset_ids": _read_many(_read_as(int)),
    "data_set_id": _read_as(int),
    "labels": _read_many(_read_if(Label.of)),
    "geo_location": _read_if(GeoLocation.of),
    "source_created_time": _read_if(from_ms),
    "source_modified_time": _read_if(from_ms),
    "security_categories": _read_many(_read_as(int)),
}
# By CDF's names of them, which are made once: a job of many files reads two such for each.
_NAMED: Final = tuple((camel(field), field, read) for field, read in _READERS.items())
