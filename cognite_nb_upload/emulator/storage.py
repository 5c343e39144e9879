"""Where the bytes are. Signed URLs, parts as files, a file as the row of its parts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Protocol

Json = dict[str, Any]
READ_SIZE = 1024**2
SPARE_DISK = 256 * 1024**2  # never fill the disk to the last byte


class StoreRefused(Exception):
    """The store says no, in XML, as object stores do."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details


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

    def download_url(
        self, content: Json, *, origin: str, life_s: float, name: str, mime: str
    ) -> str:
        """Where the whole file can be read during the next `life_s`."""

    def read(self, content: Json) -> Iterator[bytes]:
        """The whole file, piece by piece."""

    def delete(self, content: Json) -> None:
        """Forgets a file."""

    def abandon(self, upload: Json) -> None:
        """Forgets an upload that will not be completed."""


@dataclass(frozen=True)
class Signer:
    """Signs a method, a path and an expiry, and checks them."""

    key: bytes
    clock: Callable[[], float] = time.time

    def url(self, method: str, path: str, life_s: float) -> str:
        expires = str(round((self.clock() + life_s) * 1000))
        return f"{path}?expires={expires}&signature={self._sign(method, path, expires)}"

    def check(self, method: str, path: str, query: Mapping[str, str], store: str) -> None:
        """Raises StoreRefused unless `query` signs `method` and `path`, and has not expired."""
        expires, given = query.get("expires", ""), query.get("signature", "")
        if not hmac.compare_digest(self._sign(method, path, expires).encode(), given.encode()):
            raise mismatch(store)
        now, end = self.clock(), int(expires) / 1000
        if now >= end:
            raise expired(store, end, now)

    def _sign(self, method: str, path: str, expires: str) -> str:
        return hmac.new(
            self.key, f"{method}\n{path}\n{expires}".encode(), hashlib.sha256
        ).hexdigest()


def mismatch(store: str) -> StoreRefused:
    """What each store says of a signature that is not its own."""
    if store == "azure":
        return StoreRefused(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
            "correctly including the signature.",
            AuthenticationErrorDetail="Signature did not match.",
        )
    return StoreRefused(
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and "
        "signing method.",
    )


def expired(store: str, end: float, now: float) -> StoreRefused:
    """What each store says of a signature that has run out."""
    then, today = formatdate(end, usegmt=True), formatdate(now, usegmt=True)
    if store == "azure":
        return StoreRefused(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
            "correctly including the signature.",
            AuthenticationErrorDetail=f"Signature not valid in the specified time frame: Expiry [{then}] - "
            f"Current [{today}]",
        )
    if store == "gcs":
        return StoreRefused(
            400,
            "ExpiredToken",
            "Invalid argument.",
            Details=f"The provided token has expired. Request signature expired at: {then}",
        )
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    return StoreRefused(
        403,
        "AccessDenied",
        "Request has expired",
        Expires=time.strftime(stamp, time.gmtime(end)),
        ServerTime=time.strftime(stamp, time.gmtime(now)),
    )


@dataclass
class PartWriter:
    """One part on its way to the disk. Its methods block: call them off the event loop."""

    temporary: Path
    final: Path
    checksums: bool
    size: int = 0
    fd: int = -1
    md5: Any = None

    def __post_init__(self) -> None:
        self.fd = os.open(self.temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.md5 = hashlib.md5(usedforsecurity=False) if self.checksums else None

    def write(self, chunks: Sequence[bytes | bytearray | memoryview]) -> None:
        for chunk in chunks:
            view = memoryview(chunk)
            if self.md5:
                self.md5.update(view)
            while view:
                view = view[os.write(self.fd, view) :]
            self.size += len(chunk)

    def keep(self) -> None:
        """The part is whole: it takes the place of an older one in a single step."""
        os.close(self.fd)
        self.fd = -1
        os.replace(self.temporary, self.final)

    def drop(self) -> None:
        """Forgets a part that is not whole, or was not kept. Harmless after `keep`."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.temporary.unlink(missing_ok=True)

    def digest(self) -> bytes | None:
        return self.md5.digest() if self.md5 else None


@dataclass
class LocalStorage:
    """Parts as files in folders of server-made names. Completing costs nothing: the parts stay as they are."""

    root: Path
    signer: Signer
    quota_bytes: int
    checksums: bool = True
    _used: int = 0
    _reserved: int = 0
    _known: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.root.glob("*/*.tmp"):  # of a server that was killed
            left.unlink()
        self._used = sum(path.stat().st_size for path in self.root.glob("*/*"))

    # -- what Storage asks for

    def begin(self, upload_id: str, parts: int) -> Json:
        self._folder(upload_id).mkdir(mode=0o700)
        return {"upload": upload_id, "parts": parts}

    def part_url(self, upload: Json, no: int, *, origin: str, life_s: float) -> str:
        return origin + self.signer.url("PUT", f"/store/parts/{upload['upload']}/{no}", life_s)

    def put_url(self, upload: Json, *, origin: str, life_s: float) -> str:
        """Where a file that is not cut into parts is to be PUT."""
        return origin + self.signer.url("PUT", f"/store/files/{upload['upload']}", life_s)

    def part_sizes(self, upload: Json) -> dict[int, int]:
        folder = self._folder(upload["upload"])
        return {
            int(path.name): path.stat().st_size
            for path in folder.iterdir()
            if path.suffix != ".tmp"
        }

    def complete(self, upload: Json) -> Json:
        sizes = self.part_sizes(upload)
        return {"upload": upload["upload"], "sizes": [sizes[no] for no in range(upload["parts"])]}

    def download_url(
        self, content: Json, *, origin: str, life_s: float, name: str, mime: str
    ) -> str:
        return origin + self.signer.url("GET", f"/store/blobs/{content['upload']}", life_s)

    def read(self, content: Json) -> Iterator[bytes]:
        return self.slice(content, 0, sum(content["sizes"]))

    def delete(self, content: Json) -> None:
        folder = self._folder(content["upload"])
        self._used -= sum(path.stat().st_size for path in folder.glob("*"))
        shutil.rmtree(folder, ignore_errors=True)

    def abandon(self, upload: Json) -> None:
        self.delete(upload)

    # -- what the HTTP skin needs besides

    def open_part(self, upload_id: str, no: int, size: int) -> PartWriter:
        """A writer for a part of `size` bytes; they are reserved until `close_part`."""
        folder = self._folder(upload_id)
        if self._used + self._reserved + size > self.quota_bytes:
            raise StoreRefused(
                507,
                "InsufficientStorage",
                f"The emulator's quota of {self.quota_bytes} bytes is used up.",
            )
        if shutil.disk_usage(self.root).free < size + SPARE_DISK:
            raise StoreRefused(507, "InsufficientStorage", "The emulator's disk is full.")
        writer = PartWriter(
            folder / f"{secrets.token_hex(8)}.tmp", folder / str(no), self.checksums
        )
        self._reserved += size
        return writer

    def close_part(self, writer: PartWriter, size: int, *, keep: bool) -> None:
        """Keeps or drops what was written, and gives the reserved bytes back."""
        self._reserved -= size
        if keep:
            old = writer.final.stat().st_size if writer.final.exists() else 0
            writer.keep()
            self._used += writer.size - old
        else:
            writer.drop()

    def slice(self, content: Json, start: int, end: int) -> Iterator[bytes]:
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


def checksum_headers(store: str, digest: bytes | None) -> dict[str, str]:
    """What a store says of the bytes it has got. Without a checksum the ETag is a mere name."""
    if digest is None:
        return {"etag": f'"0x{secrets.token_hex(7).upper()}"'}
    encoded = base64.b64encode(digest).decode()
    if store == "azure":
        return {"etag": f'"0x{secrets.token_hex(7).upper()}"', "content-md5": encoded}
    if store == "gcs":
        return {"etag": f'"{digest.hex()}"', "x-goog-hash": f"md5={encoded}"}
    return {"etag": f'"{digest.hex()}"'}
