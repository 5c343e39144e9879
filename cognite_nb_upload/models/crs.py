"""Reference systems of coordinates: what CDF takes is longitude and latitude in degrees, WGS 84.

Rules of this file: coordinates whose system is named are converted, or refused; they are never sent
as degrees. What names no system is in degrees, as GeoJSON says.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.text import plain

# Both are written longitude first in GeoJSON, whatever the axes are by definition.
_DEGREES: Final = re.compile(r"(?i)(.*\bEPSG\b.*[:/]|epsg:)?4326|(.*[:/])?CRS84")
# What is left of a conversion's rounding is far below a millimetre.
_DECIMALS: Final = 9


def crs_of(value: Any) -> object | None:
    """The reference system that something with coordinates names; None where it names none."""
    if isinstance(value, Mapping):
        return _member_of(value)
    if (crs := getattr(value, "crs", None)) is not None:
        return crs if not callable(crs) else None
    srid = getattr(value, "srid", 0)
    if not srid and (shapely := sys.modules.get("shapely")) and hasattr(shapely, "get_srid"):
        try:
            srid = int(shapely.get_srid(value))
        except (TypeError, ValueError):  # it is no geometry of shapely's
            srid = 0
    return f"EPSG:{srid}" if isinstance(srid, int) and srid > 0 else None


def degrees_from(crs: object) -> Callable[[float, float], tuple[float, float]] | None:
    """What converts (x, y) to (longitude, latitude); None where they are those already.

    Raises:
        UsageError: pyproj is not installed, or does not know the system.
    """
    if _DEGREES.fullmatch(str(crs)):
        return None
    try:
        from pyproj import CRS, Transformer
        from pyproj.exceptions import CRSError, ProjError
    except ImportError:
        raise UsageError(
            f"The coordinates are in {_named(crs)}, and CDF takes longitude and latitude in "
            "degrees (EPSG:4326): convert them, or install pyproj."
        ) from None
    try:
        transformer = Transformer.from_crs(CRS.from_user_input(crs), "OGC:CRS84", always_xy=True)
    except (CRSError, ProjError):
        raise UsageError(
            f"The coordinates are in {_named(crs)}, which pyproj does not know: give them as "
            "longitude and latitude in degrees (EPSG:4326)."
        ) from None

    def there(x: float, y: float) -> tuple[float, float]:
        longitude, latitude = transformer.transform(x, y)
        if not (math.isfinite(longitude) and math.isfinite(latitude)):
            raise UsageError(f"({x:g}, {y:g}) is outside the area of {_named(crs)}.")
        return round(longitude, _DECIMALS), round(latitude, _DECIMALS)

    return there


def _member_of(value: Mapping[str, Any]) -> object | None:
    """The `crs` member of GeoJSON as it was before RFC 7946, and as GeoPandas and QGIS write it."""
    features = value.get("features")
    feature = features[0] if isinstance(features, list | tuple) and features else value
    geometry = feature.get("geometry") if isinstance(feature, Mapping) else None
    for one in (value, feature, geometry):
        crs = one.get("crs") if isinstance(one, Mapping) else None
        if isinstance(crs, str | int) and not isinstance(crs, bool):
            return crs
        if isinstance(crs, Mapping):
            properties = crs.get("properties")
            name = properties.get("name") if isinstance(properties, Mapping) else None
            return name if isinstance(name, str) else f"a reference system as {crs.get('type')!r}"
    return None


def _named(crs: object) -> str:
    text = plain(crs)
    return text if len(text) <= 60 else f"{text[:57]}..."
