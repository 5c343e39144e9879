"""What the journal remembers: unfinished uploads to go on with or to forget, and the history.

Unfinished uploads come first in a panel: after a restart of the kernel they are why one is there.

Rules of this file: the disk is read in the background; a row is text, never markup; forgetting asks
first, since what is stored is then of no more use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import ipywidgets
from anyio import to_thread

from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.folder import JournalRow
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.objects.address import is_address
from cognite_nb_upload.progress.outcome import error_html
from cognite_nb_upload.progress.words import clean, show_count, show_duration, show_percent
from cognite_nb_upload.widgets.style import box, button, close_all, hide, make
from cognite_nb_upload.widgets.tasks import Tasks

_MOST: Final = 20
# What "this project at this base URL" is compared with.
Place = tuple[str, str]


class Unfinished:
    """Unfinished uploads, a line each, with Resume and Forget; and apart from them the history.

    Args:
        resume: goes on with one.
        shown: the paths of files whose upload is shown elsewhere, and so is not listed here.
        tasks: where the disk is read.

    Attributes:
        rows: what is unfinished, as the journal told last.
        items: the lines by the upload's id, in order.
        history: what has ended, as the journal told last.
        listen: is called when the rows are others.
        widget: the unfinished ones.
        past: the history.
    """

    def __init__(
        self,
        resume: Callable[[JournalRow], None],
        shown: Callable[[], frozenset[str]],
        tasks: Tasks,
    ) -> None:
        self.rows: tuple[JournalRow, ...] = ()
        self.history: tuple[JournalRow, ...] = ()
        self.items: dict[str, Item] = {}
        self._resume, self._shown, self._tasks = resume, shown, tasks
        self._place: Place | None = None
        self._gone: frozenset[str] = frozenset()
        self._told: object = None
        self._lock = threading.RLock()  # the disk is read, and a button pressed, in two threads
        self._opened = False
        self.listen: Callable[[], None] = lambda: None
        self._title = make(ipywidgets.HTML)
        self._list = box(ipywidgets.VBox, [])
        self.fold = button("", "Show or hide what was uploaded lately", self.toggle, "cnbu-fold")
        self._table = make(ipywidgets.HTML)
        self._table.add_class("cnbu-history")
        self.widget = box(ipywidgets.VBox, [self._title, self._list], "cnbu-unfinished")
        self.past = box(ipywidgets.VBox, [self.fold, self._table], "cnbu-section")
        self._show()

    def use(self, place: Place | None) -> None:
        """Only uploads to this project can be resumed here."""
        self._place = place
        self.refresh()

    def refresh(self) -> None:
        """Read the journals, in the background."""
        self._tasks.start("journals", self._read)

    def toggle(self) -> None:
        """Show the history, or hide it."""
        with self._lock:
            self._opened = not self._opened
            self._show()

    async def _read(self) -> None:
        folder = journal_folder.state_folder()
        rows, gone = await to_thread.run_sync(_unfinished, folder)
        shown = self._shown()  # they are to be seen above, with buttons of their own
        rows = tuple(row for row in rows if row.source not in shown)
        history = tuple(await to_thread.run_sync(journal_folder.history, folder))
        news = (rows, gone, history, self._place)
        with self._lock:
            if news == self._told:  # a question that is being asked stays
                return
            self.rows, self._gone, self.history, self._told = rows, gone, history, news
            self._show()
        self.listen()

    # --- what is shown -----------------------------------------------------------------------

    def _show(self) -> None:
        """The caller holds the lock."""
        gone, self.items = self.items, {row.id: self._item(row) for row in self.rows[:_MOST]}
        self._list.children = tuple(item.widget for item in self.items.values())
        for one in gone.values():
            close_all(one.widget)
        self._title.value = _title_html(len(self.rows))
        hide(self.widget, not self.rows)
        mark = "▾" if self._opened else "▸"
        self.fold.description = f"{mark}  History · {show_count(len(self.history), 'upload')}"
        hide(self.fold, not self.history)
        self._table.value = _history_html(self.history[:_MOST]) if self._opened else ""

    def _item(self, row: JournalRow) -> Item:
        here = self._place is None or (row.project, row.base_url) == self._place
        can = bool(here and row.source and not row.held_by and row.parts)
        told = _item_html(row, here, row.id in self._gone)
        return Item(row, told, partial(self._resume, row) if can else None, self._forget)

    def _forget(self, row: JournalRow) -> None:
        async def work() -> None:
            await to_thread.run_sync(journal_folder.forget, row.id, journal_folder.state_folder())

        self._tasks.start(f"forget {row.id}", lambda: self._try(row, work))

    async def _try(self, row: JournalRow, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            if row.id in self.items:
                self.items[row.id].said.value = error_html(error)
        else:
            self.refresh()  # one reads at a time: who began before would show what is gone


def _unfinished(folder: Path) -> tuple[tuple[JournalRow, ...], frozenset[str]]:
    """What is unfinished and not sent by this very process, and the ids of those without a file."""
    mine = f"process {os.getpid()} (this one)"
    rows = tuple(row for row in journal_folder.unfinished(folder) if mine not in row.held_by)
    return rows, frozenset(
        row.id for row in rows if not (is_address(row.source) or os.path.exists(row.source))
    )


class Item:
    """One unfinished upload: what is known of it, and what can be done."""

    def __init__(
        self,
        row: JournalRow,
        told: str,
        resume: Callable[[], None] | None,
        forget: Callable[[JournalRow], None],
    ) -> None:
        name = clean(row.name or row.id, 60)
        self.resume = button("Resume", f"Go on with {name}", resume or (lambda: None))
        self.forget = button("Forget…", f"Forget {name}", partial(self._ask, True))
        self.really = button("Forget it", f"Forget {name} for good", partial(forget, row))
        self.back = button("Back", "Keep it", partial(self._ask, False))
        self.said = make(ipywidgets.HTML)
        question = make(
            ipywidgets.HTML, "What is stored cannot be gone on with then. CDF is not told."
        )
        self._choice = box(
            ipywidgets.HBox, [question, self.really, self.back], "cnbu-tools", "cnbu-none"
        )
        hide(self.resume, resume is None)
        line = box(
            ipywidgets.HBox, [make(ipywidgets.HTML, told), self.resume, self.forget], "cnbu-item"
        )
        self.widget = box(ipywidgets.VBox, [line, self._choice, self.said])

    def _ask(self, asked: bool) -> None:
        hide(self._choice, not asked)
        hide(self.forget, asked)


def _title_html(count: int) -> str:
    return f'<div class="cnbu-heading">Unfinished · {count}</div>'


def _item_html(row: JournalRow, here: bool, gone: bool) -> str:
    name = escaped(clean(row.name or row.id))
    facts = [_stored(row)] if row.parts else []
    facts += [_expiry(row.expires_at)] if row.expires_at else []
    facts += [] if here else [f"project {clean(row.project, 60)} at {clean(row.base_url, 80)}"]
    facts += [f"held by {clean(row.held_by)}"] if row.held_by else []
    facts.append(_source(row, gone))
    facts += [clean(row.note, 200)] if row.note else []
    return f"<bdi>{name}</bdi><small>{escaped(' · '.join(one for one in facts if one))}</small>"


def _stored(row: JournalRow) -> str:
    size = row.size or 0
    share = f"{show_percent(row.stored_bytes, size)} of {show_bytes(size)}"
    return f"{share} stored, {row.stored_parts} of {show_count(row.parts, 'part')}"


def _expiry(at: datetime) -> str:
    left_s = (at - datetime.now(UTC)).total_seconds()
    if left_s <= 0:
        return "its URLs have expired: parts are sent again"
    return f"its URLs are valid for {show_duration(left_s)}"


def _source(row: JournalRow, gone: bool) -> str:
    source = clean(row.source, 80)
    if not source:
        return "it has no path: give its bytes to resume() in code"
    if source.startswith("browser:"):
        return "it is on your own computer: choose it above, then resume"
    return f"{source} is not there: choose the file above, then resume" if gone else source


def _history_html(rows: tuple[JournalRow, ...]) -> str:
    head = "".join(f"<th scope=col>{one}</th>" for one in ("File", "Size", "Id", "Ended", "When"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_tr, rows))}</tbody></table>"


def _tr(row: JournalRow) -> str:
    when = f"{row.updated_at.astimezone():%Y-%m-%d %H:%M}" if row.updated_at else ""
    cells = (
        clean(row.name or row.id),
        "" if row.size is None else show_bytes(row.size),
        "" if row.file_id is None else str(row.file_id),
        row.state,
        when,
    )
    return f"<tr>{''.join(f'<td>{escaped(one)}</td>' for one in cells)}</tr>"
