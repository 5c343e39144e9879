"""`FileTable`: a `FileList` as a table with its buttons, in one widget model.

Rules of this file: it watches, and calls what anyone may call; what is sent to the page is made a
few times a second, and only if it is another; text is text, never markup.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import anywidget
import ipywidgets
import traitlets

from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.progress.notebook import BUDGET
from cognite_nb_upload.progress.words import (
    clean,
    show_count,
    show_duration,
    show_percent,
    show_rate,
)
from cognite_nb_upload.widgets.panel.chooser import ChosenFile
from cognite_nb_upload.widgets.panel.many import FileList, ListRow
from cognite_nb_upload.widgets.style import box, close_all, keep_order, make
from cognite_nb_upload.widgets.tasks import Tasks

_STATIC: Final = Path(__file__).parents[1] / "static"
_LOOK_S: Final = 0.5
# More rows are counted, not shown: those that go and those that failed come first then.
_MOST: Final = 60
_URGENT: Final = ("failed", "sending", "stopped", "waiting", "ready", "done")
_SAID: Final = {"ready": "", "waiting": "waits", "stopped": "stopped, what is stored is kept"}


class FileTable(anywidget.AnyWidget):
    """A row for each file, with what becomes of it, and a total.

    Args:
        files: the list that is shown.

    Attributes:
        rows: what each row shows.
        total: what the last line shows.
        card: the box that it is shown in once it was started.
        on_remove: takes a file off that is not sent yet.
        on_ended: is called whenever nothing of the list is on its way any more.
    """

    _esm = _STATIC / "list.js"

    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    total = traitlets.Dict().tag(sync=True)

    def __init__(self, files: FileList) -> None:
        self.files = files
        self.on_remove: Callable[[ChosenFile], None] | None = None
        self.on_ended: Callable[[], None] = lambda: None
        self._ran = self._follows = False
        self._lock = threading.RLock()  # a press and what becomes of a file come in two threads
        self._tasks = Tasks()
        super().__init__(layout=make(ipywidgets.Layout))
        keep_order(self)
        # Measured: the page does not hear of classes that an anywidget gets later.
        self.card = box(ipywidgets.VBox, [self], "cnbu-card")
        self.on_msg(self._pressed)
        files.on_change = self.changed
        self.changed()

    def changed(self) -> None:
        """Show the list as it is, and follow it for as long as it runs."""
        with self._lock:
            running = self.files.running
            ended, self._ran = self._ran and not running, running
            if not (running and self._follows):  # else each of a thousand files would be a message
                self.look()
            if running and not self._follows:
                self._follows = True
                self._tasks.start("look", self._follow)
        if ended:
            self.on_ended()

    async def _follow(self) -> None:
        while self._goes_on():
            await anyio.sleep(_LOOK_S)
            self.look(must=False)

    def _goes_on(self) -> bool:
        with self._lock:
            self._follows = self.files.running
            return self._follows

    def look(self, *, must: bool = True) -> None:
        """Bring rows and total up to date, in one message, if one `must` or may leave."""
        with self._lock:
            shown = self.files.rows
            if len(shown) > _MOST:
                shown = tuple(sorted(shown, key=lambda row: _URGENT.index(row.mood)))[:_MOST]
            rows, total = [_row(row) for row in shown], self._total()
            news = (rows, total) != (self.rows, self.total)
            if news and BUDGET.take(must=must):
                with self.hold_sync():
                    self.rows, self.total = rows, total

    def _total(self) -> dict[str, Any]:
        files = self.files
        size, sent = sum(row.file.size for row in files.rows), sum(row.sent for row in files.rows)
        return {
            "words": total_words(files),
            "share": sent / size if size and files.started else 0.0,
            "running": files.running,
            "paused": files.paused,
            "started": files.started,
            "more": max(0, len(files.rows) - _MOST),
        }

    def _pressed(self, _: object, content: dict[str, Any], __: object) -> None:
        kind, row = content.get("kind"), self.files.row(int(content.get("no") or 0))
        if kind == "pause":
            (self.files.resume if self.files.paused else self.files.pause)()
        elif kind == "stop":
            self.files.stop()
        elif kind == "remove" and row is not None:
            self.files.remove(row)
            if self.on_remove is not None and not self.files.started:
                self.on_remove(row.file)
        elif kind == "retry" and row is not None:
            self.files.retry(row)
        self.look()

    def still_html(self) -> str:
        """The list as HTML that needs no widget and no kernel."""
        lines = "".join(
            f"<tr><td>{escaped(clean(row.file.name))}</td><td>{show_bytes(row.file.size)}</td>"
            f"<td>{escaped(clean(_words(row), 300))}</td></tr>"
            for row in self.files.rows
        )
        return f"<table><tbody>{lines}</tbody></table><p>{escaped(total_words(self.files))}</p>"

    def close(self) -> None:
        """Stop watching; the uploads go on."""
        if self.files.on_change == self.changed:  # else another table shows the list by now
            self.files.on_change = lambda: None
        self._tasks.close()
        close_all(self.card)


def total_words(files: FileList) -> str:
    """`3 of 12 files, 1.2 of 5.6 GiB, 48 MiB/s, 2 min left`."""
    size = sum(row.file.size for row in files.rows)
    if not files.started:
        return f"{show_count(len(files.rows), 'file')}, {show_bytes(size)}"
    sent = sum(row.sent for row in files.rows)
    done = sum(row.mood == "done" for row in files.rows)
    failed = sum(row.mood == "failed" for row in files.rows)
    said = [f"{done} of {show_count(len(files.rows), 'file')} uploaded"]
    said += [f"{failed} failed"] if failed else []
    said += [f"{show_bytes(sent)} of {show_bytes(size)}"] if files.running else [show_bytes(size)]
    rate = sum(one.upload.state.rate or 0 for one in files.rows if _goes(one) and one.upload)
    if files.running and rate and not files.paused:
        said += [show_rate(rate), f"{show_duration((size - sent) / rate)} left"]
    return ", ".join([*said, "paused"] if files.paused and files.running else said)


def _goes(row: ListRow) -> bool:
    return row.mood == "sending" and row.upload is not None


def _row(row: ListRow) -> dict[str, Any]:
    size = row.file.size
    folder = f"{row.file.folder}/" if row.file.folder else ""
    return {
        "no": row.no,
        "name": clean(f"{folder}{row.file.name}"),
        "size": show_bytes(size),
        "mood": row.mood,
        "words": clean(_words(row), 300),
        "share": row.sent / size if size and row.mood == "sending" else None,
    }


def _words(row: ListRow) -> str:
    if row.mood == "sending" and row.upload is not None:
        state = row.upload.state
        rate = f", {show_rate(state.rate)}" if state.rate else ""
        waits = state.waiting_for or f"{show_percent(row.sent, row.file.size)}{rate}"
        return waits if row.file.size else "sending"
    if row.mood == "done":
        return f"uploaded, {row.said}"
    return row.said or _SAID.get(row.mood, row.mood)
