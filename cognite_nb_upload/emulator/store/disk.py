"""Where the bytes are: parts as files, and a file as the row of its parts."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .signing import Signer, StoreRefused

Json = dict[str, Any]
READ_SIZE = 1024**2
SPARE_DISK = 256 * 1024**2  # bytes; the disk is never filled to its end


class Storage(Protocol):
    """A place for the bytes of multipart uploads. `upload` and `content` are its own JSON notes."""

    def begin(self, upload_id: str, parts: int) -> Json:
        """Opens an upload; what it returns is handed back as `upload`."""

    def part_url(self, upload: Json, no: int, *, origin: str, life_s: float) -> str:
        """Where part `no`, from 0, is to be PUT during the next `life_s`."""

    def part_sizes(self, upload: Json) -> dict[int, int]:
        """The bytes of each part that has arrived."""

    def complete(self, upload: Json) -> Json:
        """Makes one file of the parts; what it returns is handed back as `content`."""

    def download_url(self, content: Json, file_id: int, *, origin: str, life_s: float) -> str:
        """Where the whole file can be read during the next `life_s`."""

    def read(self, content: Json) -> Iterator[bytes]:
        """The whole file, piece by piece."""

    def delete(self, content: Json) -> None:
        """Forgets a file."""

    def abandon(self, upload: Json) -> None:
        """Forgets an upload that will not be completed."""


@dataclass
class PartWriter:
    """One part on its way to the disk; without `wanted` it is dropped at its end.

    `write` blocks: it is called in a thread.
    """

    fd: int
    md5: Any
    size: int = 0
    wanted: bool = False

    def write(self, chunk: bytes) -> None:
        if self.md5:
            self.md5.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self.fd, view) :]
        self.size += len(chunk)

    def digest(self) -> bytes | None:
        """The MD5 of what was written, if checksums are on."""
        return self.md5.digest() if self.md5 else None


@dataclass
class LocalStorage:
    """Parts in folders of server-made names. Completing is free: the parts stay as they are."""

    root: Path
    signer: Signer
    quota_bytes: int
    checksums: bool = True
    _used: dict[str, int] = field(default_factory=dict)
    _reserved: int = 0

    def __post_init__(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def keep_only(self, wanted: set[str]) -> None:
        """Removes what a server that was killed left: half parts, and bytes of no file."""
        for folder in self.root.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder)
                continue
            for left in folder.glob("*.tmp"):
                left.unlink()
            self._used[folder.name] = sum(path.stat().st_size for path in folder.iterdir())

    # ---- what Storage asks for

    def begin(self, upload_id: str, parts: int) -> Json:
        self._folder(upload_id).mkdir(mode=0o700)
        self._used[upload_id] = 0
        return {"upload": upload_id, "parts": parts}

    def part_url(self, upload: Json, no: int, *, origin: str, life_s: float) -> str:
        return origin + self.signer.url("PUT", f"/store/parts/{upload['upload']}/{no}", life_s)

    def put_url(self, upload_id: str, *, origin: str, life_s: float) -> str:
        """Where a file that is not cut into parts is to be PUT."""
        return origin + self.signer.url("PUT", f"/store/files/{upload_id}", life_s)

    def part_sizes(self, upload: Json) -> dict[int, int]:
        found = self._folder(upload["upload"]).iterdir()
        return {int(path.name): path.stat().st_size for path in found if path.suffix != ".tmp"}

    def complete(self, upload: Json) -> Json:
        sizes = self.part_sizes(upload)
        row = [sizes[no] for no in range(upload["parts"])]
        return {"upload": upload["upload"], "sizes": row}

    def download_url(self, content: Json, file_id: int, *, origin: str, life_s: float) -> str:
        path = f"/store/blobs/{file_id}/{content['upload']}"
        return origin + self.signer.url("GET", path, life_s)

    def read(self, content: Json) -> Iterator[bytes]:
        return self.slice(content, 0, sum(content["sizes"]))

    def delete(self, content: Json) -> None:
        self._used.pop(content["upload"], None)
        shutil.rmtree(self._folder(content["upload"]), ignore_errors=True)

    def abandon(self, upload: Json) -> None:
        self.delete(upload)

    # ---- what the HTTP skin needs besides

    @contextmanager
    def part(self, upload_id: str, no: int, size: int) -> Iterator[PartWriter]:
        """A writer for a part of `size` bytes, which are reserved until its end."""
        folder = self._folder(upload_id)
        folder.mkdir(mode=0o700, exist_ok=True)  # the content it had may have been replaced since
        self._used.setdefault(upload_id, 0)
        if sum(self._used.values()) + self._reserved + size > self.quota_bytes:
            text = f"The emulator's quota of {self.quota_bytes} bytes is used up."
            raise StoreRefused(507, "InsufficientStorage", text)
        if shutil.disk_usage(self.root).free < size + SPARE_DISK:
            raise StoreRefused(507, "InsufficientStorage", "The emulator's disk is full.")
        temporary, final = folder / f"{secrets.token_hex(8)}.tmp", folder / str(no)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        writer = PartWriter(fd, hashlib.md5(usedforsecurity=False) if self.checksums else None)
        self._reserved += size
        try:
            yield writer
        finally:
            self._reserved -= size
            os.close(fd)
            if writer.wanted:  # it takes the place of an older one in a single step
                old = final.stat().st_size if final.exists() else 0
                os.replace(temporary, final)
                self._used[upload_id] += writer.size - old
            else:
                temporary.unlink(missing_ok=True)

    def slice(self, content: Json, start: int, end: int) -> Generator[bytes]:
        """Bytes [start, end) of a file, read when they are asked for."""
        folder, first = self._folder(content["upload"]), 0
        for no, size in enumerate(content["sizes"]):
            low, high = max(start - first, 0), min(end - first, size)
            if low < high:
                yield from _read(folder / str(no), low, high)
            first += size

    def _folder(self, upload_id: str) -> Path:
        if not (upload_id.isalnum() and upload_id.isascii()):
            raise ValueError("An upload id is made of letters and digits.")
        return self.root / upload_id


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(READ_SIZE, end - start))
            if not piece:
                raise OSError(f"A part ended {end - start} bytes early.")
            start += len(piece)
            yield piece
