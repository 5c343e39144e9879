"""Every part at a glance: one cell each in a notebook, one line in a terminal. Up to 250 parts.

Rules of this file: what a cell says is told by its shape, its colour comes second; colours are the
notebook's own (`--jp-*`), so that light and dark both work; the whole has a text of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from html import escape
from typing import Final

from cognite_nb_upload.core.state import PartPhase, PartState, UploadState
from cognite_nb_upload.progress.css import style_of
from cognite_nb_upload.progress.words import part_waits_for, parts_words, worker_name


class Mark(StrEnum):
    """What a cell shows; the value is its CSS class."""

    WAITING = "w"
    SENDING = "g"
    AGAIN = "a"
    STORED = "s"
    RETRIED = "r"
    LOST = "l"


@dataclass(frozen=True, slots=True)
class Cell:
    """One part: its mark, and the share of it that is sent, 0 to 1."""

    no: int
    mark: Mark
    fill: float
    title: str = ""


def cells(state: UploadState) -> tuple[Cell, ...]:
    """A cell per part, in order."""
    return tuple(_cell(part) for part in state.parts)


@lru_cache(maxsize=2048)  # most parts are the same in snapshot after snapshot
def _cell(part: PartState) -> Cell:
    fill = share(part)
    match part.phase:
        case PartPhase.STORED if part.lost:
            return Cell(part.no, Mark.RETRIED, 1.0, f"stored after {_retries(part.lost)}")
        case PartPhase.STORED:
            return Cell(part.no, Mark.STORED, 1.0)
        case PartPhase.LOST:
            return Cell(part.no, Mark.LOST, 0.0, part_waits_for(part))
        case PartPhase.SENDING if part.lost:
            return Cell(part.no, Mark.AGAIN, fill, f"sending{_where(part)}, {_retries(part.lost)}")
        case PartPhase.SENDING:
            return Cell(part.no, Mark.SENDING, fill, f"sending{_where(part)}")
        case _:
            return Cell(part.no, Mark.WAITING, 0.0)


def _where(part: PartState) -> str:
    return f" on {worker_name(part)}" if part.where else ""


def _retries(count: int) -> str:
    return f"{count} {'retry' if count == 1 else 'retries'}"


def share(part: PartState) -> float:
    """The share of a part that is sent, 0 to 1; a part of 0 bytes is sent when it is stored."""
    if part.phase is PartPhase.STORED:
        return 1.0
    return min(1.0, part.sent / part.size) if part.size else 0.0


def strip_html(state: UploadState, *, with_words: bool = True) -> str:
    """The strip as HTML, about 6 KB for 250 parts, to be shown together with `STYLE`."""
    if not state.parts:
        return ""
    words = escape(parts_words(state))
    drawn = "".join(map(_cell_html, cells(state)))
    strip = f'<div class="cnbu-strip" role="img" aria-label="{words}">{drawn}</div>'
    return strip + f'<div class="cnbu-words">{words}</div>' * with_words


@lru_cache(maxsize=2048)
def _cell_html(cell: Cell) -> str:
    title = f' title="part {cell.no}: {escape(cell.title)}"' if cell.title else ""
    fill = f' style="--f:{cell.fill:.0%}"' if cell.mark in (Mark.SENDING, Mark.AGAIN) else ""
    return f"<i class={cell.mark.value}{fill}{title}></i>"


STYLE: Final = style_of("still")

# One character per mark; sending is drawn by how full it is.
_UNICODE: Final = {Mark.WAITING: "·", Mark.STORED: "█", Mark.RETRIED: "▓", Mark.LOST: "!"}
_ASCII: Final = {Mark.WAITING: ".", Mark.STORED: "#", Mark.RETRIED: "%", Mark.LOST: "!"}
_LEVELS: Final = "▁▂▃▄▅▆▇"


def strip_text(state: UploadState, width: int, *, ascii_only: bool = False) -> str:
    """The strip in at most `width` characters; where parts share one, trouble shows first."""
    drawn = cells(state)
    width = max(1, min(width, len(drawn)))
    edges = [round(at * len(drawn) / width) for at in range(width + 1)] if drawn else [0, 0]
    groups = [drawn[start:end] for start, end in itertools.pairwise(edges)]
    return "".join(_char(group, ascii_only) for group in groups if group)


def _char(group: Sequence[Cell], ascii_only: bool) -> str:
    chars = _ASCII if ascii_only else _UNICODE
    marks = {cell.mark for cell in group}
    if Mark.LOST in marks or (len(marks) == 1 and marks <= chars.keys()):
        return chars[Mark.LOST if Mark.LOST in marks else marks.pop()]
    if marks == {Mark.STORED, Mark.RETRIED}:
        return chars[Mark.RETRIED]
    fill = sum(cell.fill for cell in group) / len(group)
    return ">" if ascii_only else _LEVELS[min(int(fill * len(_LEVELS)), len(_LEVELS) - 1)]
