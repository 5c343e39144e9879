"""How an upload ended, as words and HTML that need no widget, script or kernel.

Rules of this file: whatever comes from files, servers and tracebacks is escaped; what to do next
stands before how it came about; tracebacks show source lines, never what a frame holds.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Final, Protocol

from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.errors import TransferError, UploadStopped, UploadToolkitError, UsageError
from cognite_nb_upload.http import redacted
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.progress import (
    STYLE,
    clean,
    show_amount,
    show_duration,
    show_rate,
    strip_html,
)
from cognite_nb_upload.progress.css import style_of
from cognite_nb_upload.progress.words import show_count, show_percent

ENDING_STYLE: Final = style_of("outcome")
_MOST: Final = 1000


class Ended(Protocol):
    """An upload that is over."""

    cancelled: bool
    delete_on_cancel: bool

    @property
    def name(self) -> str:
        """The file's name."""
        ...

    @property
    def state(self) -> UploadState:
        """Its last state."""
        ...


class Done(Protocol):
    """What an upload that was completed gives back."""

    @property
    def verified(self) -> str:
        """What was checked, in words."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """An upload that is over.

    Attributes:
        mood: done, failed or stopped.
        title: what became of it; the file's name follows.
        said: what went wrong, in words; "" where nothing did.
        todo: what to do next, or what is worth knowing.
        facts: names and values.
        trace: the traceback, redacted; "" where there is none.
        link: the address of the file in Fusion; "" where it is not known.
    """

    state: UploadState
    mood: str
    title: str
    name: str
    said: str = ""
    todo: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    trace: str = ""
    link: str = ""

    def html(self) -> str:
        """All of it, escaped."""
        return (
            f'{STYLE}{ENDING_STYLE}<div class="cnbu cnbu-ending cnbu-{self.mood}" role="group">'
            f'<div class="cnbu-title"><span class="cnbu-mark" aria-hidden="true">'
            f"{_MARKS[self.mood]}</span>"
            f" {escaped(self.title)} <bdi><b>{escaped(clean(self.name))}</b></bdi></div>"
            f"{_paragraph(self.said, 'cnbu-said')}{_todo_html(self.todo)}{_facts_html(self.facts)}"
            f"{self._link_html()}"
            f"{self._strip_html()}{_trace_html(self.trace)}</div>"
        )

    def _link_html(self) -> str:
        if not self.link:
            return ""
        link = f'<a href="{escaped(self.link)}" target="_blank" rel="noopener noreferrer">'
        return f"<div>{link}Open the file in Fusion</a></div>"

    def _strip_html(self) -> str:
        """Where all went well, a strip says nothing that is not said already."""
        dull = self.mood == "done" and not self.state.retries
        return strip_html(self.state) if self.state.parts and not dull else ""


_MARKS: Final = {"done": "✔", "failed": "✖", "stopped": "■"}


def outcome_of(upload: Ended, result: Done | None, error: BaseException | None) -> Outcome:
    """What became of an upload that is over."""
    state, name = upload.state, upload.name
    if result is not None:
        facts = _facts(state, result.verified or "nothing was verified")
        return Outcome(state, "done", "Uploaded", name, "", result.notes, facts)
    if isinstance(error, UploadStopped) and upload.cancelled:
        return Outcome(state, "stopped", "Given up:", name, "", _left_behind(upload, error))
    if isinstance(error, UploadStopped):
        todo = (f"{_kept(state)} The same call, or Resume in a panel, goes on from there.",)
        return Outcome(state, "stopped", "Stopped:", name, "", todo)
    return Outcome(
        state, "failed", "Not uploaded:", name, in_words(error), _next_steps(error, state),
        trace=trace_of(error),
    )  # fmt: skip


def fusion_link(address: str, file_id: int) -> str:
    """The address of a file in Fusion, by a pattern like `https://my-org.example/files/{id}`.

    Raises:
        UsageError: the pattern is no web address, or has no place for the id.
    """
    if not address.startswith(("https://", "http://")) or "{id}" not in address:
        raise UsageError(
            "fusion_url is the address of a file in Fusion, with {id} in place of the file's id."
        )
    return address.replace("{id}", str(file_id))


def in_words(error: BaseException | None) -> str:
    """An error in one sentence, without what is secret in it."""
    text = redacted(str(error)).strip()
    known = isinstance(error, UploadToolkitError)
    return clean(text if known and text else f"{type(error).__name__}: {text}", _MOST)


def trace_of(error: BaseException | None) -> str:
    """The whole traceback, redacted."""
    return redacted("".join(traceback.format_exception(error))) if error else ""


def error_html(error: BaseException, title: str = "") -> str:
    """An error where it belongs: in words, what to do next, and the traceback one click away."""
    todo = _todo_html(_notes(error))
    said = f"{title} {in_words(error)}".strip()
    return (
        f'{ENDING_STYLE}<div class="cnbu-ending cnbu-failed" role="alert">'
        f"{_paragraph(said, 'cnbu-said')}{todo}{_trace_html(trace_of(error))}</div>"
    )


def _facts(state: UploadState, verified: str) -> tuple[tuple[str, str], ...]:
    again = sum(part.lost > 0 for part in state.parts)
    rate = f", {show_rate(state.moved / state.elapsed_s)}" if state.elapsed_s > 0 else ""
    facts = {
        "File id": "" if state.file_id is None else str(state.file_id),
        "Size": f"{show_amount(state.sent)} in {show_count(len(state.parts), 'part')}",
        "Time": f"{show_duration(state.elapsed_s)}{rate}" if state.elapsed_s > 0 else "",
        "Sent again": show_count(again, "part") if again else "nothing",
        "Verified": verified,
        "In code": f"await client.files.retrieve(id={state.file_id})" if state.file_id else "",
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _left_behind(upload: Ended, error: BaseException) -> tuple[str, ...]:
    notes, file_id = _notes(error), upload.state.file_id
    if notes:
        return notes  # what could not be done, or may be left
    if file_id is None:
        return ("CDF had not been told of it yet.",)
    if upload.delete_on_cancel:
        return (f"Its file in CDF, id {file_id}, is deleted.",)
    return (f"Its file in CDF, id {file_id}, stays without this content.",)


def _notes(error: BaseException | None) -> tuple[str, ...]:
    return tuple(str(note) for note in getattr(error, "__notes__", ()))


def _kept(state: UploadState) -> str:
    if not state.parts:
        return "Nothing was sent yet."
    count = len(state.parts) - len(state.missing_parts)
    share = f" ({show_percent(state.stored, state.size)})" if state.size else ""
    return f"{count} of {show_count(len(state.parts), 'part')}{share} are stored and kept."


def _next_steps(error: BaseException | None, state: UploadState) -> tuple[str, ...]:
    notes = _notes(error)
    if not notes and isinstance(error, TransferError) and state.stored:
        return (f"{_kept(state)} The same call goes on from there.",)
    return notes


def _paragraph(text: str, css: str) -> str:
    return f'<div class="{css}">{escaped(text)}</div>' if text else ""


def _todo_html(todo: tuple[str, ...]) -> str:
    return "".join(_paragraph(clean(redacted(str(one)), _MOST), "cnbu-todo") for one in todo)


def _facts_html(facts: tuple[tuple[str, str], ...]) -> str:
    rows = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(clean(value, 300))}</dd>" for name, value in facts
    )
    return f"<dl>{rows}</dl>" if rows else ""


def _trace_html(trace: str) -> str:
    if not trace:
        return ""
    lines = "\n".join(escaped(line) for line in trace.splitlines())
    return f'<details><summary>Traceback</summary><pre tabindex="0">{lines}</pre></details>'
