"""What is printed for people: it never ends what it tells of, and never steers a terminal.

Rules of this file: a stream may be missing (a Windows service), closed, or lack the letters of a
name; what was done stays done.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

from cognite_nb_upload.text import plain


def say(*lines: object, error: bool = False) -> None:
    """Print lines on stdout, or on stderr; control characters and what steers are escaped."""
    text = "\n".join(plain(line) for given in lines for line in str(given).split("\n"))
    write(sys.stderr if error else sys.stdout, f"{text}\n")


def write(stream: TextIO | None, text: str) -> None:
    """Write text, escaping letters that the stream's encoding lacks; nothing where it is gone."""
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        _drop(stream)
    except _GONE:
        return


# The terminal is gone, the stream is closed, or what stands in its place can do less.
_GONE: Final = (OSError, ValueError, AttributeError)


def is_terminal(stream: TextIO | None) -> bool:
    """True where somebody may read what is written, as it is written."""
    try:
        return stream is not None and stream.isatty()
    except _GONE:
        return False


def is_screen(stream: TextIO | None) -> bool:
    """True for a terminal on which lines can be drawn again: not a log, nor a dumb one."""
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


class LastingStream:
    """A stream as those use it who know only good ones: what it cannot do is left undone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; nothing where the stream is gone."""
        with suppress(*_GONE):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, where that can be done."""
        with suppress(*_GONE):
            self._stream.flush()

    def isatty(self) -> bool:
        """As `is_terminal`."""
        return is_terminal(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """It is the stream: `tqdm.write` looks for the bars on it."""
        return bool(self._stream == getattr(other, "_stream", other))

    def __hash__(self) -> int:
        return hash(self._stream)


def _drop(stream: TextIO) -> None:
    """Have the rest go nowhere, so that Python does not complain when it ends: `... | head`."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
