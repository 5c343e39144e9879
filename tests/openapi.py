"""The public description of CDF's API, where there is one; it is not ours to hand on."""

from __future__ import annotations

import os
from pathlib import Path


def openapi() -> Path | None:
    """The file that `CDF_OPENAPI` names, or `shared/cdf/openapi.json` in a folder above."""
    above = [folder / "shared" / "cdf" / "openapi.json" for folder in Path(__file__).parents]
    named = os.environ.get("CDF_OPENAPI")
    return next((path for path in ([Path(named)] if named else above) if path.is_file()), None)
