"""Paths as they were given, whatever the current folder becomes, and as people read them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cognite_nb_upload.errors import UsageError

NOWHERE: Final = "The current folder was deleted: change to another, or give an absolute path."


def shown_path(path: os.PathLike[str] | str | None) -> str:
    """A path for people: from the current folder where it is below it; "" where there is none."""
    if not path:
        return ""
    with suppress(ValueError, OSError):  # it is elsewhere, or the current folder is gone
        return str(Path(path).relative_to(Path.cwd()))
    return str(path)


def absolute(path: os.PathLike[str] | str) -> Path:
    """Where a file is, whatever the current folder becomes (`%cd`); links are not followed.

    Raises:
        UsageError: it begins with `~`, and there is no home folder.
    """
    try:
        return Path(os.fsdecode(path)).expanduser().absolute()
    except RuntimeError:
        raise UsageError(f"{path} begins in a home folder, and none is known: set HOME.") from None
    except FileNotFoundError:  # it is relative
        raise UsageError(NOWHERE) from None
