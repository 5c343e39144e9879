"""A file read back from its store to disk, from where it stopped when the line breaks."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import anyio

from cognite_nb_upload import background
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import TransferError
from cognite_nb_upload.sources import absolute
from cognite_nb_upload.store.answer import NoAnswer
from cognite_nb_upload.store.connection import Reply
from cognite_nb_upload.store.network import NetworkStore

_PIECE: Final = MIB
T = TypeVar("T")


class Download:
    """Reads what a signed URL gives; a fresh URL is asked for before each try."""

    def __init__(self, network: NetworkStore, retry: Retry) -> None:
        self._network = network
        self._retry = retry

    async def run(self, path: Path, fresh_url: Callable[[], Awaitable[Secret]]) -> Path:
        """Write it beside `path` first, and put it there once everything has arrived."""
        with _Beside(path) as beside:
            await self.into(beside.write, fresh_url)
        return beside.path

    async def sha256(self, fresh_url: Callable[[], Awaitable[Secret]]) -> tuple[str, int]:
        """SHA-256 (hex) and size (bytes) of the content; nothing is kept."""
        digest, size = hashlib.sha256(), 0

        def take(data: bytes) -> None:
            nonlocal size
            digest.update(data)
            size += len(data)

        await self.into(take, fresh_url)
        return digest.hexdigest(), size

    async def size(self, fresh_url: Callable[[], Awaitable[Secret]]) -> int | None:
        """Bytes of the whole, by asking the store for one of them; None: it does not say.

        Raises:
            TransferError: it gives no answer.
        """
        attempt = 0
        while True:
            attempt += 1
            url = await fresh_url()
            problem, size = await _stoppable(partial(self._ask_size, url))
            if problem is None:
                return size
            wait_s = self._retry.wait_s(attempt, status=problem.status)
            if wait_s is None:
                raise TransferError(f"The store does not tell the file's size: {problem.reason}.")
            await anyio.sleep(wait_s)

    def _ask_size(self, url: Secret, stop: CancelToken) -> tuple[_Problem | None, int | None]:
        try:
            with self._network.reading(url, stop, 0, 0) as reply:
                status = reply.status_code
                if status not in (200, 206, 416):
                    return _Problem(f"the store says {status}", status), None
                return None, total_of(reply)
        except NoAnswer as error:
            return _Problem(str(error), None), None

    async def into(
        self, take: Callable[[bytes], None], fresh_url: Callable[[], Awaitable[Secret]]
    ) -> None:
        """Hand each piece, in order and once, to `take`, in a worker thread."""
        done, tries = 0, 0
        while True:
            url = await fresh_url()
            before = done
            problem, done = await _stoppable(partial(self._read, url, done, take))
            if problem is None:
                return
            tries = 1 if done > before else tries + 1
            wait_s = self._retry.wait_s(tries, status=problem.status)
            if wait_s is None:
                raise TransferError(f"The download stopped after {done} bytes: {problem.reason}.")
            await anyio.sleep(wait_s)

    def _read(
        self, url: Secret, done: int, take: Callable[[bytes], None], stop: CancelToken
    ) -> tuple[_Problem | None, int]:
        try:
            with self._network.reading(url, stop, done) as reply:
                if reply.status_code == 416:  # nothing from there on: it is all here, or empty
                    return None, done
                if reply.status_code not in (200, 206):
                    return _Problem(f"the store says {reply.status_code}", reply.status_code), done
                skip = done if reply.status_code == 200 else 0  # it ignored the range
                for piece in reply.iter_raw(_PIECE):
                    fresh = piece[skip:]
                    skip = max(0, skip - len(piece))
                    if fresh:
                        take(fresh)
                        done += len(fresh)
        except NoAnswer as error:
            return _Problem(str(error), None), done
        return None, done


def total_of(reply: Reply) -> int | None:
    """The size of the whole, from the answer to `bytes=0-0`; None: it does not say."""
    if reply.status_code in (206, 416):
        total = reply.headers.get("content-range", "").rpartition("/")[2]
    else:  # 200: it ignored the range, or the file is empty
        total = reply.headers.get("content-length", "") if reply.status_code == 200 else ""
    return int(total) if total.isdigit() else None


async def _stoppable(work: Callable[[CancelToken], T]) -> T:
    """What `work` returns, in a worker thread; being cancelled stops it."""
    found: list[T] = []
    await background.in_thread(lambda stop: found.append(work(stop)), CancelToken())
    return found[0]


@dataclass(frozen=True, slots=True)
class _Problem:
    reason: str
    status: int | None


class _Beside:
    """A file beside `path`, which takes its place once it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = absolute(path)

    def __enter__(self) -> _Beside:
        handle, self._name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        self._file = os.fdopen(handle, "wb")
        return self

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._file.close()
        if error is None:
            os.replace(self._name, self.path)
        else:
            Path(self._name).unlink(missing_ok=True)
