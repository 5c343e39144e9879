"""Everything that holds bytes and may be uploaded, by name; each made in a folder of the test."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import os
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import fsspec
import numpy as np

DATA = bytes(range(256)) * 40
Make = Callable[[Path], Any]


def written(folder: Path, data: bytes = DATA) -> Path:
    path = folder / "data.bin"
    path.write_bytes(data)
    return path


def opened(folder: Path, **how: Any) -> IO[Any]:
    return open(written(folder), "rb", **how)


def mapped(folder: Path) -> mmap.mmap:
    with opened(folder) as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def temporary(folder: Path, make: Any, **how: Any) -> Any:
    file = make(**how)
    file.write(DATA)
    file.seek(0)
    return file


def zipped(folder: Path) -> IO[bytes]:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.bin", DATA)
    return zipfile.ZipFile(folder / "a.zip").open("data.bin")


def compressed(folder: Path, module: Any) -> Any:
    path = folder / "data.z"
    path.write_bytes(module.compress(DATA))
    return module.open(path, "rb")


def in_memory_fs(folder: Path) -> Any:
    with fsspec.open("memory://data.bin", "wb") as file:
        file.write(DATA)
    return fsspec.open("memory://data.bin", "rb")


class OnlyReads:
    """As little of a file as there may be: no seek, no name."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 777) if size >= 0 else size)  # short reads


def piped(folder: Path) -> IO[bytes]:
    reads, writes = os.pipe()

    def write() -> None:
        with open(writes, "wb") as file:
            file.write(DATA)

    threading.Thread(target=write).start()
    return open(reads, "rb")


CONTENTS: dict[str, Make] = {
    "bytes": lambda _: DATA,
    "bytearray": lambda _: bytearray(DATA),
    "memoryview": lambda _: memoryview(DATA),
    "memoryview of longs": lambda _: memoryview(DATA).cast("q"),
    "mmap": mapped,
    "array": lambda _: np.frombuffer(DATA, ">f4"),
    "array of two dimensions": lambda _: np.frombuffer(DATA, np.uint8).reshape(64, -1),
    "Path": written,
    "raw file": lambda folder: opened(folder, buffering=0),
    "buffered file": opened,
    "file for reading and writing": lambda folder: open(written(folder), "r+b"),
    "NamedTemporaryFile": lambda folder: temporary(folder, tempfile.NamedTemporaryFile),
    "TemporaryFile": lambda folder: temporary(folder, tempfile.TemporaryFile),
    "SpooledTemporaryFile in memory": lambda folder: temporary(
        folder, tempfile.SpooledTemporaryFile, max_size=10**6
    ),
    "SpooledTemporaryFile on disk": lambda folder: temporary(
        folder, tempfile.SpooledTemporaryFile, max_size=10
    ),
    "BytesIO": lambda _: io.BytesIO(DATA),
    "gzip": lambda folder: compressed(folder, gzip),
    "bz2": lambda folder: compressed(folder, bz2),
    "lzma": lambda folder: compressed(folder, lzma),
    "member of a zip": zipped,
    "fsspec in memory": in_memory_fs,
    "fsspec in memory, opened": lambda folder: in_memory_fs(folder).open(),
    "fsspec on disk": lambda folder: fsspec.open(f"file://{written(folder)}", "rb"),
    "fsspec on disk, opened": lambda folder: fsspec.open(f"file://{written(folder)}", "rb").open(),
    "fsspec, decompressed": lambda folder: fsspec.open(
        str(Path(compressed(folder, gzip).name)), "rb", compression="gzip"
    ),
    "pipe": piped,
    "file that only reads": lambda _: OnlyReads(DATA),
    "list": lambda _: [DATA[:100], bytearray(DATA[100:200]), memoryview(DATA[200:])],
    "generator": lambda _: (DATA[at : at + 1000] for at in range(0, len(DATA), 1000)),
}
