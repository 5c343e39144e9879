"""Which cell made a widget: a cell that is run again closes what it made before, and no other.

Rule of this file: where no cell is known (a script, a console, a run by nbclient), nothing is
closed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

# By the cell's id: which run of it made widgets, and how each of them is closed.
_made: dict[str, tuple[str, dict[object, Callable[[], None]]]] = {}
_lock = threading.Lock()


def close_last_run() -> None:
    """Close what the last run of the running cell made."""
    cell = _running()
    if cell is None:
        return
    name, run = cell
    with _lock:
        known, widgets = _made.get(name, (run, {}))
        old = widgets if known != run else {}
        if old:
            del _made[name]
    for close in old.values():
        close()


def made_here(widget: object, close: Callable[[], None]) -> None:
    """Remember that this run of the running cell made `widget`; the next run calls `close()`."""
    cell = _running()
    if cell is None:
        return
    name, run = cell
    with _lock:
        _, widgets = _made.get(name, (run, {}))
        _made[name] = run, {**widgets, widget: close}


def shown_elsewhere(widget: object) -> None:
    """Another cell shows `widget`, too: its own cell does not close it any more."""
    with _lock:
        for _, widgets in _made.values():
            widgets.pop(widget, None)


def is_known() -> bool:
    """Whether a page has told which cell runs: what runs a notebook to its end does not."""
    return _running() is not None


def _running() -> tuple[str, str] | None:
    """The ids of the running cell and of this run of it, as the page gave them to the kernel."""
    ipython = sys.modules.get("IPython")
    kernel: Any = getattr(ipython.get_ipython(), "kernel", None) if ipython is not None else None
    try:
        request = kernel.get_parent()
        cell, run = request["metadata"]["cellId"], request["header"]["msg_id"]
        return (str(cell), str(run)) if request["msg_type"] == "execute_request" else None
    except (AttributeError, KeyError, TypeError):
        return None
