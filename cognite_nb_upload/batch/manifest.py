"""What CDF has, as a table that can be edited and given back in.

Rules of this file: a cell that is empty changes nothing; what is no field is refused by name; every
row is checked before the first request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from cognite_nb_upload.batch.columns import CellReader, Keep, fields_of_columns, read_cell
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import FIELDS, CDFFile, GeoLocation, Label
from cognite_nb_upload.models.fields import checked_id
from cognite_nb_upload.models.parse import missing, whole

if TYPE_CHECKING:
    import pandas as pd

_TIMES: Final = ("source_created_time", "source_modified_time")
_TOLD: Final = ("uploaded", "uploaded_time", "created_time", "last_updated_time")
COLUMNS: Final = ("id", *FIELDS, *_TOLD)

# An item of files/update: by which id, and what is set.
Change = tuple[dict[str, Any], dict[str, Any]]


def frame_of_files(files: Iterable[CDFFile]) -> pd.DataFrame:
    """A row for each file: `id`, every field of its metadata, and what CDF tells of it."""
    import pandas as pd

    records = [{name: _cell(getattr(file, name)) for name in COLUMNS} for file in files]
    frame = pd.DataFrame(records, columns=list(COLUMNS), dtype=object)
    for name in ("id", "data_set_id"):
        frame[name] = frame[name].astype("Int64")
    for name in (*_TIMES, *_TOLD[1:]):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame


def changes_of_frame(frame: pd.DataFrame, keep: Keep = ()) -> list[Change]:
    """Which file each row means, and which fields it sets.

    Raises:
        UsageError: a row names no file, or a cell cannot be read; every bad row is named. Or no
            column is one that can be set.
    """
    columns = fields_of_columns(frame.columns, keep)
    for name in ("path", "overwrite"):
        columns.pop(name, None)
    readers = {
        field: CellReader(field, frame[column])
        for field, column in columns.items()
        if field != "name"
    }
    cells = {field: frame[columns[field]].tolist() for field in readers}
    found: list[Change] = []
    wrong = []
    for no, (file_id, name) in enumerate(_named(frame, columns)):
        try:
            target = _target(file_id, name)
            found.append((target, _set(readers, cells, no, target)))
        except UsageError as error:
            wrong.append(f"row {no}: {error}")
    if wrong:
        raise UsageError(" ".join(wrong))
    says = readers.keys() - (set() if "id" in frame.columns else {"external_id"})
    if found and not says:
        raise UsageError(
            "No column of the table says what is to be set; a file's name, node and what else only "
            "CDF tells are left as they are."
        )
    return found


def _set(
    readers: dict[str, CellReader], cells: dict[str, Sequence[Any]], no: int, target: dict[str, Any]
) -> dict[str, Any]:
    read = {field: reader(cells[field][no]) for field, reader in readers.items()}
    by_name = "externalId" in target  # then it says which file, and changes nothing
    return {
        field: value
        for field, value in read.items()
        if value is not None and not (by_name and field == "external_id")
    }


def _named(frame: pd.DataFrame, columns: dict[str, Any]) -> Iterable[tuple[Any, Any]]:
    """What each row has as its file's id and external id."""
    none = [None] * len(frame)
    ids = frame["id"].tolist() if "id" in frame.columns else none
    names = frame[columns["external_id"]].tolist() if "external_id" in columns else none
    return zip(ids, names, strict=True)


def _target(file_id: Any, name: Any) -> dict[str, Any]:
    """Which file a row means.

    Raises:
        UsageError: none, or its id is none.
    """
    if not missing(file_id):
        try:
            return {"id": checked_id("id", whole(file_id))}
        except (TypeError, ValueError):
            raise UsageError(f"id is a whole number, not {file_id!r}.") from None
    if (found := read_cell("external_id", name)) is None:
        raise UsageError("it has neither an id nor an external_id, so no file is meant.")
    return {"externalId": found}


def _cell(value: Any) -> Any:
    """A value as a table shows it, and as `upload_many` reads it."""
    if isinstance(value, GeoLocation):
        return value.to_cdf()
    if isinstance(value, tuple):
        return [one.external_id if isinstance(one, Label) else one for one in value]
    return value
