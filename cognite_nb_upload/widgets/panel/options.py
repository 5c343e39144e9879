"""How a file is sent: part size, parts at once, what is verified, whose workers send.

Rules of this file: what is left empty is left to `files.upload`; what cannot be is said at its
field, by the name that the field has there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import ipywidgets
from IPython.core.getipython import get_ipython

from cognite_nb_upload.cluster.engine import checked_engine
from cognite_nb_upload.core.concurrency import MOST
from cognite_nb_upload.core.plan import MIB, Plan, plan_parts
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.progress.words import clean
from cognite_nb_upload.transfer.spec import DEFAULT_CONCURRENCY
from cognite_nb_upload.transfer.upload import checked_concurrency
from cognite_nb_upload.widgets.form.field import InputField
from cognite_nb_upload.widgets.style import box, button, hide, make

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


class OptionField(InputField):
    """One line of text, and how it is read; empty is None.

    Args:
        read: what a text says; it raises a UsageError that names the field by its label.
    """

    def __init__(self, name: str, label: str, placeholder: str, read: Callable[[str], Any]) -> None:
        self.input = make(ipywidgets.Text, description=label, placeholder=placeholder)
        self._understood = read
        super().__init__(name, label, self.input, limit="")
        self.input.observe(self.edited, "value")

    def now(self) -> Any:
        """What it says now: the name of an engine may be given to something later.

        Raises:
            UsageError: something that cannot be.
        """
        text = self.input.value.strip()
        return self._understood(text) if text else None

    def _read(self) -> Any:
        return self.now()

    def _wrong(self, _: object) -> str:
        return ""  # reading it is checking it

    def _put(self, value: object) -> None:
        self.input.value = "" if value is None else str(value)


class UploadOptions:
    """A fold with part size (MiB), parts at once, what is verified, and an engine.

    Attributes:
        fields: part size, parts at once, and the engine.
        part_mib, at_once, verify, engine: the inputs.
        widget: what is displayed.
    """

    def __init__(self) -> None:
        self._largest = 0
        most = f"{DEFAULT_CONCURRENCY} at most"
        engines = "this machine; tls://... or a Client's name"
        part = OptionField("part_size", "Part size, MiB", "chosen by size", self._part_size_of)
        at_once = OptionField("max_concurrency", "Parts at once", most, _at_once)
        engine = OptionField("engine", "Engine", engines, engine_called)
        self.fields = (part, at_once, engine)
        self.part_mib, self.at_once, self.engine = (one.input for one in self.fields)
        self.verify = make(ipywidgets.Dropdown, options=_VERIFY, description="Verify")
        self.opened = False
        self._changed: Callable[[], None] = lambda: None
        self.fold = button("", "Show or hide how it is sent", self.toggle, "cnbu-fold")
        inputs = [part.widget, at_once.widget, self.verify, engine.widget]
        self._grid = box(ipywidgets.VBox, inputs, "cnbu-grid")
        self._inside = box(ipywidgets.VBox, [], "cnbu-inside")
        self.widget = box(ipywidgets.VBox, [self.fold, self._inside])
        for one in self.fields:
            one.listen(self._edited)
        self.verify.observe(self._edited, "value")
        self._show()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed()` whenever an input is edited."""
        self._changed = changed

    def use(self, sizes: Iterable[int]) -> None:
        """Bytes of the files that are chosen: whether a part size fits depends on them."""
        self._largest = max(sizes, default=0)
        self.fields[0].update()

    def toggle(self) -> None:
        """Open it, or close it."""
        self.opened = not self.opened
        if self.opened:  # until then the page has no models of them
            self._inside.children = (self._grid,)
        self._show()

    def held(self) -> dict[str, Any]:
        """What each field holds, valid or not."""
        texts = {one.name: one.held() for one in self.fields}
        return {**texts, "verify": self.verify.value, "opened": self.opened}

    def hold(self, state: Mapping[str, Any]) -> None:
        """Put into these fields what others have `held`."""
        for one in self.fields:
            if one.name in state:
                one.hold(state[one.name])
        self.verify.value = state.get("verify", self.verify.value)
        if state.get("opened", self.opened) != self.opened:
            self.toggle()

    def boxes(self) -> dict[str, Any]:
        """The boxes that one types in."""
        return {one.name: one.input for one in self.fields}

    def plan(self, size: int) -> Plan:
        """How a file of `size` bytes is cut.

        Raises:
            UsageError: it cannot be cut so; the part size is named as its field is.
        """
        return _plan(size, _bytes_of(self.part_mib.value.strip()))

    def kwargs(self) -> dict[str, Any]:
        """The keywords of `files.upload`, without what is left to it.

        Raises:
            UsageError: something cannot be.
        """
        given = {one.name: one.now() for one in self.fields}
        given["verify"] = self.verify.value if self.verify.value != "size" else None
        order = ("part_size", "max_concurrency", "verify", "engine")
        return {name: given[name] for name in order if given[name] is not None}

    def _part_size_of(self, text: str) -> int | None:
        size = _bytes_of(text)
        _plan(self._largest, size)
        return size

    def _edited(self, _: object = None) -> None:
        self._show()
        self._changed()

    def _show(self) -> None:
        try:
            given = self.kwargs()
            told = f" · {len(given)} set" if given else ""
        except UsageError:
            told = " · to mend"
        self.fold.description = f"{'▾' if self.opened else '▸'}  How it is sent{told}"
        hide(self._inside, not self.opened)


def _bytes_of(mib: str) -> int | None:
    """Bytes of each part but the last; None, of no text, is chosen by the file's size."""
    try:
        return round(float(mib.replace(",", ".")) * MIB) if mib else None
    except (ValueError, OverflowError):
        raise UsageError("Part size is a number of MiB.") from None


def _plan(size: int, part_size: int | None) -> Plan:
    try:
        return plan_parts(size, part_size)
    except UsageError as error:
        raise UsageError(str(error).replace("part_size", "Part size", 1)) from None


def _at_once(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST):
        raise UsageError(f"Parts at once is a whole number from 1 to {MOST}.")
    return checked_concurrency(int(text))
