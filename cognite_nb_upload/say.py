"""What is printed for people: it never ends what it tells of, and never steers a terminal.

Rules of this file: a stream may be missing (a Windows service), closed, or lack the letters of a
name; what was done stays done.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

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
    except (OSError, ValueError):  # the terminal is gone, or the stream is closed
        return


def _drop(stream: TextIO) -> None:
    """Have the rest go nowhere, so that Python does not complain when it ends: `... | head`."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
