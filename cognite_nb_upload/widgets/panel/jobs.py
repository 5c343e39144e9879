"""Jobs of many files that are not finished: a line each, with Resume and Forget.

Rules of this file: the disk is read in the background; a job that runs is told of twice a second,
however many files it has; of what failed each reason is shown once, and so many as can be read.
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
from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.jobs import JobRow, failures_of, jobs, path_of_job
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.progress.notebook import BUDGET
from cognite_nb_upload.progress.outcome import error_html
from cognite_nb_upload.progress.words import clean, show_amount, show_count
from cognite_nb_upload.unfinished import forget
from cognite_nb_upload.widgets.style import box, button, close_all, hide, make, say
from cognite_nb_upload.widgets.tasks import Tasks

_MOST: Final = 20
# Of the files that failed for one reason, so many are named.
_PATHS: Final = 3
_EVERY_S: Final = 0.5


class Jobs:
    """Unfinished jobs, the last touched first.

    Attributes:
        rows: what is unfinished, as the records told last.
        lines: by the job's id, in order.
        done: what is said of the job that was gone on with last, and is done: its line is gone.
        widget: what is displayed.
    """

    def __init__(self, client: Callable[[], AsyncCogniteClient | None], tasks: Tasks) -> None:
        self.rows: tuple[JobRow, ...] = ()
        self.lines: dict[str, JobLine] = {}
        self._client, self._tasks = client, tasks
        self._title = make(ipywidgets.HTML)
        self._list = box(ipywidgets.VBox, [])
        self._left = box(ipywidgets.VBox, [self._title, self._list], "cnbu-unfinished")
        self.done = make(ipywidgets.HTML)
        self.widget = box(ipywidgets.VBox, [self._left, self.done])
        hide(self._left, True)
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
        if rows == self.rows and self.lines:
            return
        self.rows = rows
        before = self.lines
        lines = {id: line for id, line in before.items() if line.batch is not None}
        for row in rows[:_MOST]:
            if row.id not in lines:  # one that runs tells of itself
                lines[row.id] = line = before.get(row.id) or self._line(row)
                line.now(row)
        self.lines = lines
        self._list.children = tuple(line.widget for line in lines.values())
        for id, line in before.items():
            if id not in lines:
                close_all(line.widget)
        for line in self.lines.values():
            self._follow_elsewhere(line)
        self._title.value = f'<div class="cnbu-heading">Unfinished jobs · {len(self.lines)}</div>'
        hide(self._left, not self.lines)

    def _line(self, row: JobRow) -> JobLine:
        return JobLine(row, self._resume, self._forget, self._tell_why)

    def _tell_why(self, line: JobLine) -> None:
        """Show what failed of it, as its record says."""

        async def work() -> None:
            try:
                line.say(_failures_html(await to_thread.run_sync(_failures, line.row.id)))
            except Exception as error:
                line.say(error_html(error))

        self._tasks.start(f"why {line.row.id}", work)

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
        self.done.value = ""

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
                if batch.state.failed:
                    self._tell_why(line)
                elif not batch.state.stopped:
                    self.done.value = say(f"{_name(line.row)}: {_counts(batch.state)}.", "info")
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
        tell_why: Callable[[JobLine], None],
    ) -> None:
        self.row = row
        self.batch: Batch | None = None
        self.goes = False
        self._lock = threading.RLock()  # the job tells how far it is in other threads
        name = _name(row)
        self.resume = button("Resume", f"Go on with {name}", partial(resume, self))
        self.stop = button("Stop", f"Stop {name}", self._stop)
        self.why = button("Why", f"Why files of {name} failed", partial(self._why, tell_why))
        self.forget = button("Forget…", f"Forget {name}", partial(self._ask, True))
        self.really = button("Forget it", f"Forget {name} for good", partial(forget, self))
        self.back = button("Back", "Keep it", partial(self._ask, False))
        self.told, self.said = make(ipywidgets.HTML), make(ipywidgets.HTML)
        self.said.add_class("cnbu-why")
        self._told_s, self._waits_for = 0.0, ""
        question = make(
            ipywidgets.HTML, "Its files are then sent again by the same call. CDF keeps them."
        )
        self._choice = box(
            ipywidgets.HBox, [question, self.really, self.back], "cnbu-tools", "cnbu-none"
        )
        buttons = [self.resume, self.stop, self.why, self.forget]
        line = box(ipywidgets.HBox, [self.told, *buttons], "cnbu-item")
        self.widget = box(ipywidgets.VBox, [line, self._choice, self.said])
        hide(self.stop, True)
        self.now(row)

    def now(self, row: JobRow) -> None:
        """Show what its record says now, unless it runs and tells of itself."""
        with self._lock:
            self.row = row
            if self.batch is None:
                self.told.value = _told(row)
            if not self.goes:
                hide(self.resume, bool(row.held_by) or not row.project)
                hide(self.why, not row.failed)

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
        with self._lock:
            self.batch = batch
            self.told.value = _going(self.row, batch.state)
            self.say("")
        for one in (self.resume, self.why, self.forget):
            hide(one, True)
        hide(self.stop, False)
        batch.listen(self._hear)

    def ended(self) -> None:
        """Offer to go on with it; its record, which is read next, tells how it ended."""
        with self._lock:
            self.batch, self.goes = None, False
        hide(self.stop, True)
        for one in (self.resume, self.forget):
            hide(one, False)

    def _hear(self, state: BatchState) -> None:
        with self._lock:  # nothing takes the place of how it ended
            now_s = time.monotonic()
            # A wait may be the last news for long.
            must = state.over or state.waiting_for != self._waits_for
            if self.batch is None or not (must or now_s - self._told_s >= _EVERY_S):
                return
            html = _going(self.row, state)
            if html != self.told.value and BUDGET.take(must=must):
                self._told_s, self._waits_for = now_s, state.waiting_for
                self.told.value = html

    def _why(self, tell_why: Callable[[JobLine], None]) -> None:
        if self.said.value:
            self.say("")
        else:
            tell_why(self)

    def _stop(self) -> None:
        if (batch := self.batch) is not None:
            batch.stop_switch.set("stopped")

    def _ask(self, asked: bool) -> None:
        hide(self._choice, not asked)
        hide(self.forget, asked)


def _name(row: JobRow) -> str:
    return clean(row.title or row.id, 60)


def _counts(state: BatchState) -> str:
    return f"{state.done} of {show_count(state.files, 'file')} uploaded"


def _told(row: JobRow) -> str:
    facts = [f"{row.done} of {show_count(row.files, 'file')}"]
    facts += [f"{row.failed} failed"] if row.failed else []
    facts += [f"being sent by {clean(row.held_by)}"] if row.held_by else []
    facts += [clean(row.note, 200)] if row.note else []
    return _line_html(row, facts)


def _going(row: JobRow, state: BatchState) -> str:
    facts = [f"{state.done} of {show_count(state.files, 'file')}"]
    facts += [f"{state.failed} failed"] if state.failed else []
    facts += [f"{state.stopped} stopped"] if state.stopped else []
    facts += [show_amount(state.sent)] if state.sent else []
    return _line_html(row, facts) + say(clean(state.waiting_for), "warn")


def _line_html(row: JobRow, facts: list[str]) -> str:
    name = escaped(clean(row.title or row.id))
    return f"<bdi>{name}</bdi><small>{escaped(' · '.join(facts))}</small>"


def _failures(job_id: str) -> list[tuple[str, str]]:
    path = path_of_job(job_id, journal_folder.state_folder())
    return failures_of(path) if path is not None else []


def _failures_html(failures: list[tuple[str, str]]) -> str:
    """Each reason once, those of most files first, with the first of its files."""
    files: dict[str, list[str]] = {}
    for path, why in failures:
        files.setdefault(why, []).append(path)
    reasons = sorted(files.items(), key=lambda one: -len(one[1]))
    lines = [
        f"<li>{escaped(clean(why, 300))}<small>{_some(paths)}</small></li>"
        for why, paths in reasons[:_MOST]
    ]
    if len(reasons) > _MOST:
        lines.append(f"<li>and {show_count(len(reasons) - _MOST, 'more reason')}</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else say("No reason is on record.", "info")


def _some(paths: list[str]) -> str:
    """The first of some paths, and how many more there are."""
    shown = ", ".join(f"<bdi>{escaped(clean(one, 80))}</bdi>" for one in paths[:_PATHS])
    more = len(paths) - _PATHS
    return shown + (f" and {show_count(more, 'more file')}" if more > 0 else "")
