"""How a file is sent: part size, parts at once, what is verified, whose workers send.

Rule of this file: what is left empty is left to `files.upload`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import ipywidgets
from IPython.core.getipython import get_ipython

from cognite_nb_upload.cluster.engine import checked_engine
from cognite_nb_upload.core.concurrency import MOST
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.progress.words import clean
from cognite_nb_upload.transfer.spec import DEFAULT_CONCURRENCY
from cognite_nb_upload.transfer.upload import checked_concurrency
from cognite_nb_upload.widgets.style import box, button, hide, make, say

_VERIFY: Final = (
    ("Size, as the store says it", "size"),
    ("MD5 or CRC32C of each part", "checksum"),
    ("Every byte, by reading it back", "download"),
    ("Nothing", "none"),
)


def engine_called(name: str) -> Any:
    """The engine by an address, or by the name that it has in the notebook; None where none is.

    Raises:
        UsageError: there is none of that name, or it is no engine.
    """
    if not name:
        return None
    if "://" in name:
        return checked_engine("The engine", name)
    known = _namespace()
    if name not in known:
        raise UsageError(
            f"There is no {clean(name, 40)!r} in this notebook: give the address of a Dask "
            "scheduler, or the name of a Client or an Executor."
        )
    return checked_engine(f"The engine {name}", known[name])


def name_of_engine(engine: object) -> str:
    """The name that an engine has in the notebook."""
    names = (name for name, one in _namespace().items() if one is engine)
    return next((name for name in names if not name.startswith("_")), "engine")


def _namespace() -> dict[str, Any]:
    shell = get_ipython()
    return shell.user_ns if shell is not None else {}


class UploadOptions:
    """A fold with part size (MiB), parts at once, what is verified, and an engine.

    Attributes:
        part_mib, at_once, verify, engine: the inputs.
        widget: what is displayed.
    """

    def __init__(self) -> None:
        self.part_mib = make(
            ipywidgets.Text, description="Part size, MiB", placeholder="chosen by size"
        )
        self.at_once = make(
            ipywidgets.Text,
            description="Parts at once",
            placeholder=f"{DEFAULT_CONCURRENCY} at most",
        )
        self.verify = make(ipywidgets.Dropdown, options=_VERIFY, description="Verify")
        self.engine = make(
            ipywidgets.Text,
            description="Engine",
            placeholder="this machine; tls://... or a Client's name",
        )
        self.opened = False
        self._changed: Callable[[], None] = lambda: None
        self.note = make(ipywidgets.HTML)
        self.note.add_class("cnbu-note")
        self.fold = button("", "Show or hide how it is sent", self.toggle, "cnbu-fold")
        inputs = [self.part_mib, self.at_once, self.verify, self.engine]
        grid = box(ipywidgets.VBox, inputs, "cnbu-grid")
        self._fields = box(ipywidgets.VBox, [grid, self.note])
        self._inside = box(ipywidgets.VBox, [], "cnbu-inside")
        self.widget = box(ipywidgets.VBox, [self.fold, self._inside])
        for one in inputs:
            one.observe(self._edited, "value")
        self._show()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed()` whenever an input is edited."""
        self._changed = changed

    def toggle(self) -> None:
        """Open it, or close it."""
        self.opened = not self.opened
        if self.opened:  # until then the page has no models of them
            self._inside.children = (self._fields,)
        self._show()

    def part_size(self) -> int | None:
        """Bytes of each part but the last; None is chosen by the file's size.

        Raises:
            UsageError: it is no number.
        """
        text = self.part_mib.value.strip().replace(",", ".")
        if not text:
            return None
        try:
            return round(float(text) * MIB)
        except (ValueError, OverflowError):
            raise UsageError("The part size is a number of MiB.") from None

    def kwargs(self) -> dict[str, Any]:
        """The keywords of `files.upload`, without what is left to it.

        Raises:
            UsageError: something cannot be.
        """
        at_once = self.at_once.value.strip()
        if at_once and not (at_once.isdecimal() and 1 <= int(at_once) <= MOST):
            raise UsageError("Parts at once is a whole number from 1 to 64.")
        given = {
            "part_size": self.part_size(),
            "max_concurrency": checked_concurrency(int(at_once)) if at_once else None,
            "verify": self.verify.value if self.verify.value != "size" else None,
            "engine": engine_called(self.engine.value.strip()),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _edited(self, _: object) -> None:
        self._show()
        self._changed()

    def _show(self) -> None:
        bad = ""
        try:
            given = self.kwargs()
        except UsageError as error:
            given, bad = {}, str(error)
        self.note.value = say(bad, "error", "alert")
        told = " · to mend" if bad else f" · {len(given)} set" if given else ""
        self.fold.description = f"{'▾' if self.opened else '▸'}  How it is sent{told}"
        hide(self._inside, not self.opened)
