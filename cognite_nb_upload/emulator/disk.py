"""JSON on disk, written whole or not at all."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_json(path: Path, doc: Any) -> None:
    """Replaces the file in one step: a killed server leaves the old one or the new one."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(doc, file)
    os.replace(new, path)


def secret_key(path: Path) -> bytes:
    """The key that signs URLs; kept, so that URLs outlive a restart."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b16encode(secrets.token_bytes(32)))
    return base64.b16decode(path.read_bytes())


class Shelf:
    """JSON documents by key, in memory and on disk, one file each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self.docs: dict[str, dict[str, Any]] = {
            path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))
        }

    def put(self, key: str, doc: dict[str, Any]) -> None:
        self.docs[key] = doc
        write_json(self._folder / f"{key}.json", doc)

    def drop(self, key: str) -> None:
        if self.docs.pop(key, None) is not None:
            (self._folder / f"{key}.json").unlink(missing_ok=True)
