"""What each top-level widget of ours brings to the page: the style sheet, and presses in order.

Rule of this file: it shows nothing; a page that cannot run it still shows the widget.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anywidget
import ipywidgets
import traitlets

_STATIC: Final = Path(__file__).parent / "static"


class Page(anywidget.AnyWidget):
    """An invisible child of a top-level widget.

    Attributes:
        root: the model within which typed text is sent ahead of a press; "" is none.
        more_css: rules for this widget alone.
        told: what this widget did is told below it, also in a saved notebook.
    """

    _esm = _STATIC / "page.js"
    _css = _STATIC / "widgets.css"

    root = traitlets.Unicode("").tag(sync=True)
    more_css = traitlets.Unicode("").tag(sync=True)
    told = traitlets.Bool(False).tag(sync=True)

    def guard(self, root: ipywidgets.Widget) -> None:
        """Send text that is typed within `root` ahead of a press."""
        self.root = f"IPY_MODEL_{root.model_id}"
