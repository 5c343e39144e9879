"""What was typed when somebody last signed in: no secret, and nothing that signs anybody in."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from cognite_nb_upload.journal.folder import make_folder, state_folder

FIELDS: Final = ("cluster", "method", "tenant", "client_id", "project")


def _path() -> Path:
    return state_folder() / "sign-in.json"


def recall() -> dict[str, str]:
    """The fields of the last sign-in; empty where there was none."""
    try:
        facts = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(facts, dict):
        return {}
    return {name: facts[name] for name in FIELDS if isinstance(facts.get(name), str)}


def remember(fields: Mapping[str, str]) -> None:
    """Keep the fields for the next time; a folder that cannot be written to is no hindrance."""
    with suppress(OSError):
        path = _path()
        make_folder(path.parent)
        partial = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        partial.write_text(json.dumps({name: fields[name] for name in FIELDS}), encoding="utf-8")
        os.replace(partial, path)
