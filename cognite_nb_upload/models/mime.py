"""The MIME type of a file, by its name."""

from __future__ import annotations

from mimetypes import MimeTypes
from typing import Final

_BYTES: Final = "application/octet-stream"
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."

# Names that are registered, or in common use, and that Python's own table lacks (3.11). Formats of
# wells, seismics and CAD without a name of their own are bytes; .las is both a well log (text)
# and a point cloud, so it is bytes too.
_MORE: Final = {
    ".7z": "application/x-7z-compressed",
    ".arrow": "application/vnd.apache.arrow.file",
    ".bz2": "application/x-bzip2",
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".dlis": _BYTES,
    ".dwg": "image/vnd.dwg",
    ".dxf": "image/vnd.dxf",
    ".e57": "model/e57",
    ".geojson": "application/geo+json",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".gz": "application/gzip",
    ".ipynb": "application/x-ipynb+json",
    ".jsonl": "application/x-ndjson",
    ".kml": "application/vnd.google-earth.kml+xml",
    ".kmz": "application/vnd.google-earth.kmz",
    ".las": _BYTES,
    ".laz": "application/vnd.laszip",
    ".lis": _BYTES,
    ".md": "text/markdown",
    ".ndjson": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".pptx": f"{_OFFICE}presentationml.presentation",
    ".rvt": _BYTES,
    ".segd": _BYTES,
    ".segy": _BYTES,
    ".sgy": _BYTES,
    ".shp": "application/vnd.shp",
    ".step": "model/step",
    ".stl": "model/stl",
    ".stp": "model/step",
    ".tgz": "application/gzip",
    ".webp": "image/webp",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}
# Python's built-in table alone: the same answer on every machine, whatever /etc/mime.types says.
_KNOWN: Final = {**MimeTypes().types_map[True], **_MORE}


def guess_mime_type(name: str) -> str | None:
    """The MIME type that the end of a name tells; None where it tells nothing.

    >>> guess_mime_type("Survey 3.PDF"), guess_mime_type("shot.sgy"), guess_mime_type("README")
    ('application/pdf', 'application/octet-stream', None)
    """
    _, dot, suffix = name.rpartition(".")
    return _KNOWN.get(f".{suffix.lower()}") if dot else None
