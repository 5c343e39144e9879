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
    """A widget's script, behind what all of them need: `keys.js`, `left.js` and `saved.js`."""
    shared = (STATIC / f"{name}.js" for name in ("keys", "left", "saved"))
    return "".join(one.read_text() for one in (*shared, path))


def style_of(*names: str) -> str:
    """The named style sheets as a `<style>` element, for HTML that stands by itself."""
    return f"<style>{sheet(*names)}</style>"
