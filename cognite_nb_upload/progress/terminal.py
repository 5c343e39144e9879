"""Bars as text: in a terminal, and as a few lines in a log.

Rule of this file: a log gets milestones only, about twenty lines for an upload of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TextIO

from tqdm.std import tqdm
from tqdm.utils import disp_len

from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.progress.lines import Line, Moment, Slots, part_line, whole_line
from cognite_nb_upload.progress.strip import strip_text
from cognite_nb_upload.progress.words import (
    parts_words,
    show_amount,
    show_count,
    summary,
    waits_for,
)
from cognite_nb_upload.say import LastingStream, write

_FORMAT: Final = "{desc} {percent:>5} |{bar:20}| {text}"


class _ItsOwn(LastingStream):
    """A stream that tqdm does not take for stderr: it would flush both of the process's streams."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class TextBar(tqdm):  # type: ignore[type-arg] # generic in stubs only
    """A bar whose texts are ours: rate and time left are of the last seconds, not of the whole."""

    monitor_interval = 0  # bars are refreshed by hand: no thread of tqdm's is needed
    percent = ""
    text = ""

    @staticmethod
    def status_printer(file: Any) -> Any:
        """What draws; a stream that is gone ends nothing."""
        return tqdm.status_printer(_ItsOwn(file))

    @property
    def format_dict(self) -> Any:
        """What `bar_format` may name."""
        return {**super().format_dict, "percent": self.percent, "text": self.text}

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """Draw, once there is something to say: not an empty bar first."""
        return (msg is not None or self.desc != "") and super().display(msg, pos)

    def show(self, line: Line, width: int) -> None:
        """Take over a line, its label `width` columns wide."""
        self.n, self.total = line.n, line.total
        self.percent, self.text = line.percent, line.text
        self.desc = line.label + " " * (width - disp_len(line.label))
        self.refresh()


class Terminal:
    """tqdm bars in a terminal: the whole, a strip of all parts, and the parts in flight."""

    def __init__(self, *, slots: int, file: TextIO, leave: bool, ncols: int | None = None) -> None:
        self._file, self._ncols = file, ncols
        self._leave = leave
        self._most = slots
        self._slots = Slots(slots)
        self.whole: TextBar | None = None
        self.strip: TextBar | None = None
        self.parts: list[TextBar] = []

    def paint(self, moment: Moment) -> bool:
        """Draw the moment."""
        line = whole_line(moment)
        width = max(disp_len(line.label), len("part 249"))
        if self.whole is None:
            self.whole = self._bar(_FORMAT, leave=self._leave)
        self.whole.show(line, width)
        self._paint_strip(moment.state)
        parts = moment.state.parts
        for slot, no in enumerate(self._slots.assign(parts)):
            if slot == len(self.parts):
                self.parts.append(self._bar(_FORMAT))
            self.parts[slot].show(part_line(parts[no], moment.again_s.get(no)), width)
        return False

    def finish(self, moment: Moment) -> None:
        """Draw the moment, and leave the bar of the whole and a line of text behind."""
        self.paint(moment)
        for bar in (*reversed(self.parts), self.strip, self.whole):
            if bar is not None:
                bar.close()
        if self._leave:
            write(self._file, f"{summary(moment.state)}\n")
        self.whole = self.strip = None
        self.parts = []
        self._slots = Slots(self._most)

    def _bar(self, bar_format: str, *, leave: bool = False) -> TextBar:
        return _bar(self._file, bar_format, leave=leave, ncols=self._ncols)

    def _paint_strip(self, state: UploadState) -> None:
        if self.strip is None:
            self.strip = self._bar("{desc}")
        ncols = self.strip.format_dict["ncols"] or 100
        words = parts_words(state) if state.parts else ""
        room = max(ncols // 2, ncols - len(words) - 4)  # the words may be cut, the strip is not
        drawn = strip_text(state, room, ascii_only=self.strip.ascii is True)
        self.strip.set_description_str(f"[{drawn}] {words}" if words else "")


def _bar(
    file: TextIO, bar_format: str, *, leave: bool = False, ncols: int | None = None
) -> TextBar:
    return TextBar(
        total=1,
        leave=leave,
        bar_format=bar_format,
        file=LastingStream(file),
        ncols=ncols,
        dynamic_ncols=ncols is None,
    )


class TextLines:
    """Bars of lines that somebody else has decided; a text is left of them."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._bars: list[TextBar] = []

    def paint(self, lines: Sequence[Line]) -> None:
        """Draw them."""
        width = max(disp_len(line.label) for line in lines)
        while len(self._bars) < len(lines):
            self._bars.append(_bar(self._file, _FORMAT))
        for bar, line in zip(self._bars, lines, strict=True):
            bar.show(line, width)

    def finish(self, text: str) -> None:
        """Take the bars away, and leave the text."""
        for bar in reversed(self._bars):
            bar.close()
        self._bars = []
        write(self._file, f"{text}\n")


class LogLines:
    """Of lines that somebody else has decided, the first one in a log: at each tenth of it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._tenths, self._waits = 0, ""

    def paint(self, lines: Sequence[Line]) -> None:
        """Write the first line where there is something new to say."""
        line = lines[0]
        tenths = int(10 * line.n / line.total)
        waits = line.text if line.waits else ""
        if self._tenths < tenths < 10 or waits not in ("", self._waits):
            text = f"{line.label}: {line.percent}"
            write(self._file, f"{text}, {line.text}\n" if line.text else f"{text}\n")
        self._tenths, self._waits = max(tenths, self._tenths), waits

    def finish(self, text: str) -> None:
        """Write the text."""
        write(self._file, f"{text}\n")


class Log:
    """Milestones as lines of text: opened, each tenth, what it waits for, how it ended."""

    def __init__(self, file: TextIO, *, leave: bool = True) -> None:
        self._file, self._leave = file, leave
        self._opened = False
        self._tenths = 0
        self._waits = ""

    def paint(self, moment: Moment) -> bool:
        """Write a line if there is something new to say."""
        state = moment.state
        if not state.parts or state.phase.over:
            return False
        if not self._opened:
            self._opened = True
            self._say(f"{whole_line(moment).label}: {_opening(state)}")
        self._say_waits(moment)
        self._say_tenth(moment)
        return False

    def finish(self, moment: Moment) -> None:
        """Write how it stands, unless somebody else says so."""
        if self._leave:
            self._say(summary(moment.state))

    def _say_waits(self, moment: Moment) -> None:
        waits = waits_for(moment.state) if _waits_as_a_whole(moment.state) else ""
        if waits and waits != self._waits:
            self._say(f"{whole_line(moment).label}: {waits}")
        self._waits = waits

    def _say_tenth(self, moment: Moment) -> None:
        line = whole_line(moment)
        tenths = int(10 * line.n / line.total)
        if tenths > self._tenths:
            self._tenths = tenths
            self._say(f"{line.label}: {line.percent}, {line.text}, {parts_words(moment.state)}")

    def _say(self, text: str) -> None:
        write(self._file, f"{text}\n")


def _opening(state: UploadState) -> str:
    size = f"{show_amount(state.size)} in " if state.size is not None else ""
    verb = "downloading" if state.receives else "uploading"
    return f"{verb} {size}{show_count(len(state.parts), 'part')}"


def _waits_as_a_whole(state: UploadState) -> bool:
    return bool(state.waiting_for) or state.phase is not Phase.SENDING
