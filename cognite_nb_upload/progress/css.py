"""Style sheets and scripts of what shows an upload; each stands in a file below `static/`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent / "static"
_COMMENT: Final = re.compile(r"/\*.*?\*/\s*", re.DOTALL)


@cache
def sheet(*names: str) -> str:
    """The named style sheets as one text, without comments."""
    return "".join(_COMMENT.sub("", (STATIC / f"{name}.css").read_text()) for name in names)


def script(path: Path) -> str:
    """A widget's script, which keeps keys that are pressed in it from the notebook (`keys.js`)."""
    return (STATIC / "keys.js").read_text() + path.read_text()


def style_of(*names: str) -> str:
    """The named style sheets as a `<style>` element, for HTML that stands by itself."""
    return f"<style>{sheet(*names)}</style>"
