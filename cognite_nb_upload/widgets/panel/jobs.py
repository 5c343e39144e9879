"""Jobs of many files that are not finished: a line each, with Resume and Forget.

Rules of this file: the disk is read in the background; a job that runs is told of twice a second,
however many files it has; what failed is shown first, and of the rows so many as can be read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import ipywidgets
from anyio import to_thread

from cognite_nb_upload.batch.batch import Batch, BatchState, begun, running_batch
from cognite_nb_upload.batch.rows import BatchRow
from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.journal.jobs import JobRow, jobs
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.progress.outcome import error_html
from cognite_nb_upload.progress.words import clean, show_amount, show_count
from cognite_nb_upload.unfinished import forget
from cognite_nb_upload.widgets.style import box, button, close_all, hide, make, say
from cognite_nb_upload.widgets.tasks import Tasks

_MOST: Final = 20
_EVERY_S: Final = 0.5


class Jobs:
    """Unfinished jobs, the last touched first.

    Attributes:
        rows: what is unfinished, as the records told last.
        lines: by the job's id, in order.
        widget: what is displayed.
    """

    def __init__(self, client: Callable[[], AsyncCogniteClient | None], tasks: Tasks) -> None:
        self.rows: tuple[JobRow, ...] = ()
        self.lines: dict[str, JobLine] = {}
        self._client, self._tasks = client, tasks
        self._title = make(ipywidgets.HTML)
        self._list = box(ipywidgets.VBox, [])
        self.widget = box(ipywidgets.VBox, [self._title, self._list], "cnbu-unfinished")
        hide(self.widget, True)
        begun.listen(self._found)

    def close(self) -> None:
        """Hear of no more jobs."""
        begun.ignore(self._found)

    def refresh(self) -> None:
        """Read the records, in the background."""
        self._tasks.start("jobs", self._read)

    def _found(self, batch: Batch) -> None:
        """A cell, or this panel, has begun a job."""
        line = self.lines.get(batch.job_id)
        if line is None or not line.goes:
            self.refresh()

    async def _read(self) -> None:
        rows = tuple(await to_thread.run_sync(jobs))
        running = {id: line for id, line in self.lines.items() if line.batch is not None}
        if rows == self.rows and self.lines:
            return
        self.rows = rows
        gone = self.lines
        self.lines = running | {
            row.id: JobLine(row, self._resume, self._forget)
            for row in rows[:_MOST]
            if row.id not in running
        }
        self._list.children = tuple(line.widget for line in self.lines.values())
        for id, line in gone.items():
            if id not in running:
                close_all(line.widget)
        for line in self.lines.values():
            self._follow_elsewhere(line)
        self._title.value = f'<div class="cnbu-heading">Unfinished jobs · {len(self.lines)}</div>'
        hide(self.widget, not self.lines)

    def _follow_elsewhere(self, line: JobLine) -> None:
        """Show how far a job is that a cell sends."""
        batch = running_batch(line.row.id)
        if batch is None or not line.begins():
            return

        def over(state: BatchState) -> None:
            if state.over and line.batch is batch:
                line.ended()
                self.refresh()

        line.follow(batch)
        batch.listen(over)
        over(batch.state)  # it may have ended meanwhile

    def _resume(self, line: JobLine) -> None:
        if not line.begins():
            return  # it was pressed twice

        async def work() -> None:
            client = self._client()
            if client is None:
                line.ended()
                line.say(escaped("Sign in above, then resume."))
                return
            try:
                batch = client.files.resume_many(line.row.id)
                line.follow(batch)
                await batch
            except Exception as error:
                line.say(error_html(error))
            finally:
                line.ended()
                self.refresh()

        self._tasks.start(f"job {line.row.id}", work)

    def _forget(self, line: JobLine) -> None:
        async def work() -> None:
            try:
                await to_thread.run_sync(forget, line.row.id)
            except Exception as error:
                line.say(error_html(error))
            else:
                self.refresh()  # one reads at a time: who began before would show what is gone

        self._tasks.start(f"forget {line.row.id}", work)


class JobLine:
    """One job: what is known of it, and what can be done.

    Attributes:
        batch: while it runs here.
        goes: it runs here, or is about to.
    """

    def __init__(
        self,
        row: JobRow,
        resume: Callable[[JobLine], None],
        forget: Callable[[JobLine], None],
    ) -> None:
        self.row = row
        self.batch: Batch | None = None
        self.goes = False
        self._lock = threading.RLock()  # the job tells how far it is in other threads
        name = clean(row.title or row.id, 60)
        self.resume = button("Resume", f"Go on with {name}", partial(resume, self))
        self.stop = button("Stop", f"Stop {name}", self._stop)
        self.forget = button("Forget…", f"Forget {name}", partial(self._ask, True))
        self.really = button("Forget it", f"Forget {name} for good", partial(forget, self))
        self.back = button("Back", "Keep it", partial(self._ask, False))
        self.said = make(ipywidgets.HTML)
        self._told_s = 0.0
        question = make(
            ipywidgets.HTML, "Its files are then sent again by the same call. CDF keeps them."
        )
        self._choice = box(
            ipywidgets.HBox, [question, self.really, self.back], "cnbu-tools", "cnbu-none"
        )
        buttons = [self.resume, self.stop, self.forget]
        line = box(ipywidgets.HBox, [make(ipywidgets.HTML, _told(row)), *buttons], "cnbu-item")
        self.widget = box(ipywidgets.VBox, [line, self._choice, self.said])
        hide(self.stop, True)
        hide(self.resume, bool(row.held_by) or not row.project)

    def say(self, html: str) -> None:
        """Show it below the line."""
        self.said.value = html

    def begins(self) -> bool:
        """It is about to go on; False where it does already."""
        with self._lock:
            goes, self.goes = self.goes, True
        return not goes

    def follow(self, batch: Batch) -> None:
        """Tell how far a batch is, while it runs."""
        self.batch = batch
        for one in (self.resume, self.forget):
            hide(one, True)
        hide(self.stop, False)
        batch.listen(self._hear)

    def ended(self) -> None:
        """Show how it ended, what failed first."""
        with self._lock:
            batch, self.batch = self.batch, None
        hide(self.stop, True)
        for one in (self.resume, self.forget):
            hide(one, False)
        self.goes = False
        if batch is not None and batch.state.planned:
            self.say(_state_html(batch.state) + _failures_html(batch.rows))

    def _hear(self, state: BatchState) -> None:
        with self._lock:  # nothing takes the place of how it ended
            now_s = time.monotonic()
            if self.batch is not None and (state.over or now_s - self._told_s >= _EVERY_S):
                self._told_s = now_s
                self.say(_state_html(state))

    def _stop(self) -> None:
        if (batch := self.batch) is not None:
            batch.stop_switch.set("stopped")

    def _ask(self, asked: bool) -> None:
        hide(self._choice, not asked)
        hide(self.forget, asked)


def _told(row: JobRow) -> str:
    facts = [f"{row.done} of {show_count(row.files, 'file')}"]
    facts += [f"{row.failed} failed"] if row.failed else []
    facts += [f"being sent by {clean(row.held_by)}"] if row.held_by else []
    facts += [clean(row.note, 200)] if row.note else []
    name = escaped(clean(row.title or row.id))
    return f"<bdi>{name}</bdi><small>{escaped(' · '.join(facts))}</small>"


def _state_html(state: BatchState) -> str:
    facts = [f"{state.done} of {show_count(state.files, 'file')}"]
    facts += [f"{state.failed} failed"] if state.failed else []
    facts += [f"{state.stopped} stopped"] if state.stopped else []
    facts += [show_amount(state.sent)] if state.sent else []
    waits = say(clean(state.waiting_for), "warn")
    return f"<small>{escaped(' · '.join(facts))}</small>{waits}"


def _failures_html(rows: list[BatchRow]) -> str:
    """Rows that failed, as many as can be read, and how many more there are."""
    bad = [row for row in rows if row.error and row.status != "stopped"]
    lines = [
        f"<li><bdi>{escaped(clean(row.path, 80))}</bdi>: {escaped(clean(row.error, 200))}</li>"
        for row in bad[:_MOST]
    ]
    if len(bad) > _MOST:
        lines.append(f"<li>and {len(bad) - _MOST} more, in the frame's column error</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else ""
