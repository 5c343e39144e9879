"""What each top-level widget of ours brings to the page: the style sheet, and presses in order.

Rule of this file: it shows nothing; a page that cannot run it still shows the widget.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anywidget
import ipywidgets
import traitlets

from cognite_nb_upload.progress.css import script
from cognite_nb_upload.widgets.cell import is_known
from cognite_nb_upload.widgets.style import make

_STATIC: Final = Path(__file__).parent / "static"
_NO_CODE: Final = "export default {};"
# What a notebook shows that was run without a page, and is looked at later.
_WORDS: Final = (
    'export default {render({el}) {el.textContent = "An upload panel; run this cell to see it.";}};'
)


class Page(anywidget.AnyWidget):
    """An invisible child of a top-level widget.

    Attributes:
        root: the model within which typed text is sent ahead of a press; "" is none.
        more_css: rules for this widget alone.
        told: what this widget did is told below it, also in a saved notebook.
        seen: a page has it.
        left: what a page says in place of the widget, once it is closed; "" is nothing.
    """

    _esm = script(_STATIC / "page.js")
    _css = _STATIC / "widgets.css"

    root = traitlets.Unicode("").tag(sync=True)
    more_css = traitlets.Unicode("").tag(sync=True)
    told = traitlets.Bool(False).tag(sync=True)
    seen = traitlets.Bool(False).tag(sync=True)
    left = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **fields: Any) -> None:
        self._may_be_alone = not is_known()
        self._light: ipywidgets.Widget | None = None  # of which the light state was sent
        self._lock = threading.RLock()  # a page may come while that is sent
        self._ending: dict[str, Any] = {}
        super().__init__(layout=make(ipywidgets.Layout), **fields)
        self.on_msg(lambda *_: self._tell_ending())

    def guard(self, root: ipywidgets.Widget) -> None:
        """Send text that is typed within `root` ahead of a press."""
        self.root = f"IPY_MODEL_{root.model_id}"

    def keep(self, place: str, bundle: dict[str, str]) -> None:
        """Have pages that were loaded since save `bundle` in the output with an element `place`.

        Args:
            place: the class of that element; `bundle` has it too.
            bundle: what is displayed there, by MIME type.
        """
        self._ending = {"place": place, "data": bundle}
        self._tell_ending()

    def _tell_ending(self) -> None:
        if self._ending:
            self.send(self._ending)

    def save_lightly(self, root: ipywidgets.Widget) -> None:
        """Have what runs a notebook to its end, without a page, keep no code of ours.

        It keeps what was sent last. A page makes its saved state small by itself; one that comes
        later asks for what there is, which stays as it is.
        """
        with self._lock:
            if self.seen or not self._may_be_alone:
                return
            self._light = root
            for widget in _coded(root):
                _send_alone(widget, {"_esm": _WORDS if widget is self else _NO_CODE, "_css": ""})
            _send_alone(root, {"children": [f"IPY_MODEL_{self.model_id}"]})

    @traitlets.observe("seen")
    def _page_came(self, _: object) -> None:
        """It may have been there, and not been heard while a cell ran."""
        with self._lock:
            root, self._light = self._light, None
            if root is not None:
                for widget in _coded(root):
                    widget.send_state(("_esm", "_css"))
                root.send_state("children")


def _coded(root: ipywidgets.Widget) -> Iterator[anywidget.AnyWidget]:
    """The widgets within `root` that bring code of ours."""
    if isinstance(root, anywidget.AnyWidget):
        yield root
    for child in getattr(root, "children", ()):
        yield from _coded(child)


def _send_alone(widget: ipywidgets.Widget, state: dict[str, Any]) -> None:
    """Send a state that the widget itself does not take over."""
    widget._send({"method": "update", "state": state, "buffer_paths": []})
