"""What is to be changed of a file in CDF, as files/update takes it.

Rule of this file: every value is checked as for a new file, and every bad one is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models.fields import normalised
from cognite_nb_upload.models.file import to_json
from cognite_nb_upload.models.wire import camel

# Fields of several values, of which some can be added and removed.
_SEVERAL: Final = ("labels", "asset_ids", "security_categories", "metadata")


def update_of(
    set: Mapping[str, Any], add: Mapping[str, Any], remove: Mapping[str, Any]
) -> dict[str, Any]:
    """The `update` of one file: fields by their names, as `FileMetadata` takes them.

    Args:
        set: the new values; None empties a field.
        add: to labels, asset_ids, security_categories and metadata.
        remove: from these; of metadata the keys.

    Raises:
        UsageError: a field cannot be changed so, or CDF would refuse the value.
    """
    found: dict[str, dict[str, Any]] = {}
    wrong: list[str] = []
    for how, fields in (("set", set), ("add", add), ("remove", remove)):
        for field, value in fields.items():
            try:
                change = found.setdefault(camel(field), {})
                if change and (how == "set" or "set" in change or "setNull" in change):
                    raise UsageError(f"{field} is set, and added to or removed from; do one.")
                change |= _change(how, field, value)
            except UsageError as error:
                wrong.append(str(error))
    if wrong:
        raise UsageError(" ".join(wrong))
    if not found:
        raise UsageError("Nothing is to be changed; give set=, add= or remove=.")
    return found


def _change(how: str, field: str, value: Any) -> dict[str, Any]:
    if how != "set" and field not in _SEVERAL:
        normalised(field, None) if field != "name" else None  # names the nearest field
        raise UsageError(f"{field} has one value; use set={{{field!r}: ...}}.")
    if how == "set" and value is None:
        if field == "name":
            raise UsageError("name cannot be emptied.")
        normalised(field, None)
        return {"set": {}} if field == "metadata" else {"setNull": True}
    if how == "remove" and field == "metadata":
        if isinstance(value, str | bytes):
            raise UsageError(f"metadata is removed by a list of keys, such as [{value!r}].")
        return {how: [str(key) for key in value]}
    return {how: to_json(normalised(field, value))}
