"""Which cell made a widget: a cell that is run again closes what it made before, and no other.

What a person did in a widget that is closed so is not lost: the widget that the next run makes in
its place, of the same kind and in the same order, is given the old one (`widget_before`).

Rules of this file: where no cell is known (a script, a console, a run by nbclient), nothing is
closed, and nothing is taken over.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar

from cognite_nb_upload.core.secret import NotPickled

_W = TypeVar("_W")
# What another page, which showed the same cell, says in place of what the run closed.
RUN_ELSEWHERE: Final = (
    "This cell was run again in another tab or window. Run it here to go on here: what was typed "
    "is kept, and uploads go on."
)
# Of what earlier runs left, and no later one took over, no more is kept.
_MOST_LEFT: Final = 16


class OfThisKernel(NotPickled):
    """A widget, or what comes from one: only this kernel and its pages have it."""

    _instead = (
        "it is shown by this kernel. Give on what it says, such as form.value, and make another "
        "where it is wanted."
    )

    def __copy__(self) -> NoReturn:
        self.__reduce_ex__(4)

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce_ex__(4)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A run of a cell, as the page told it to the kernel."""

    id: str
    run: str
    session: str  # of the page: it is another one once the page was loaded again
    code: str


@dataclass(eq=False, slots=True)
class _Run:
    """What a run has made, and how it is closed; and what the runs before it have left."""

    cell: _Cell
    made: dict[object, Callable[[], None]] = field(default_factory=dict)
    left: list[object] = field(default_factory=list)


# By the cell's id.
_runs: dict[str, _Run] = {}
_lock = threading.Lock()


def close_last_run() -> None:
    """Close what the last run of the running cell made."""
    cell = _running()
    if cell is None:
        return
    with _lock:
        last = _runs.get(cell.id)
        if last is not None and last.cell.run == cell.run:
            return
        gone = last.made if last is not None else {}
        left = [*gone, *last.left] if last is not None else _left_by_lost_cell(cell)
        kept = [one for one in left if hasattr(one, "held")]
        _runs[cell.id] = _Run(cell, left=kept[:_MOST_LEFT])
    for close in gone.values():
        close()


def _left_by_lost_cell(cell: _Cell) -> list[object]:
    """What a cell of the same code made for a page that was loaded again since.

    A cell that was not saved then has another id: it was typed once more, or its notebook is of a
    format without ids.
    """
    runs = [
        one
        for one in _runs.values()
        if one.cell.code == cell.code and one.cell.session != cell.session
    ]
    return [*runs[-1].made] if runs else []


def widget_before(kind: type[_W]) -> _W | None:
    """The widget of an earlier run whose place the next one of this kind takes; None where none.

    It stays the next one until `made_here` was called for a widget of this kind.
    """
    cell = _running()
    with _lock:
        run = _runs.get(cell.id) if cell is not None else None
        left = run.left if run is not None and run.cell == cell else []
        return next((one for one in left if isinstance(one, kind)), None)


def made_here(widget: object, close: Callable[[], None]) -> None:
    """Remember that this run of the running cell made `widget`; the next run calls `close()`."""
    cell = _running()
    if cell is None:
        return
    before = widget_before(type(widget))
    with _lock:
        run = _runs.setdefault(cell.id, _Run(cell))
        run.made[widget] = close
        run.left = [one for one in run.left if one is not before]


def shown_elsewhere(widget: object) -> None:
    """Another cell shows `widget`, too: its own cell does not close it any more."""
    with _lock:
        for run in _runs.values():
            run.made.pop(widget, None)


def is_known() -> bool:
    """Whether a page has told which cell runs: what runs a notebook to its end does not."""
    return _running() is not None


def when_cell_ends(call: Callable[[], None]) -> None:
    """Call `call()` once the running cell has ended, well or not; never where no cell is known."""
    if not is_known():
        return
    events = _ipython().events

    def ended(_: object) -> None:
        events.unregister("post_run_cell", ended)
        call()

    events.register("post_run_cell", ended)


def _ipython() -> Any:
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None else None


def _running() -> _Cell | None:
    """The running cell and this run of it, as the page gave them to the kernel."""
    try:
        request = _ipython().kernel.get_parent()
        header = request["header"]
        cell, run, session = request["metadata"]["cellId"], header["msg_id"], header["session"]
        if request["msg_type"] != "execute_request":
            return None
        return _Cell(str(cell), str(run), str(session), str(request["content"]["code"]))
    except (AttributeError, KeyError, TypeError):
        return None
