"""A file object that says nothing of its filesystem."""

from __future__ import annotations

import io
from typing import Any


class Foreign(io.RawIOBase):
    """It can seek, may read ahead, and tells nothing of where it is."""

    def __init__(self, file: Any, name: str = "foreign.bin") -> None:
        self._file, self.name = file, name

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, at: int, whence: int = 0) -> int:
        return int(self._file.seek(at, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int = -1) -> bytes:
        return bytes(self._file.read(size))
