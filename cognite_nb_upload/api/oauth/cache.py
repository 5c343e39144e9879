"""The sign-in of a person on disk, where that was asked for: a file that its owner alone reads.

Rules of this file: the file has mode 0600 from its first byte, and is replaced as a whole; one that
others may read, that is a link, or that belongs to somebody else is not read; a folder that cannot
be written to costs the memory, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from platformdirs import user_cache_path

from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.journal.lock import ProcessLock

# A renewal takes a moment; who holds the lock for longer is given up on, in seconds.
_LOCK_WAIT_S: Final = 40.0
_MOST: Final = 1 << 20
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)


class TokenCache:
    """One sign-in in one file.

    Args:
        path: the file; None is one in the user's cache folder, named after `about`.
        about: what the sign-in belongs to: provider, client, scopes.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self._about = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
        self.path = path or user_cache_path("cognite_nb_upload") / f"sign-in-{self._about}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within the block no other process renews this sign-in: a refresh token is good once."""
        lock = None
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = ProcessLock.take(self.path.with_name(f"{self.path.name}.lock"), _LOCK_WAIT_S)
        try:
            yield
        finally:
            if lock is not None:
                lock.release()

    def read(self) -> Secret | None:
        """The refresh token; None where there is none that may be used."""
        try:
            fd = os.open(self.path, os.O_RDONLY | _NO_FOLLOW)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            if not _is_private(os.fstat(file.fileno())):
                return None
            try:
                facts = json.loads(file.read(_MOST))
            except (ValueError, RecursionError):
                return None
        if not isinstance(facts, dict) or facts.get("about") != self._about:
            return None
        token = facts.get("refresh_token")
        return Secret(token) if token and isinstance(token, str) else None

    def write(self, token: Secret) -> None:
        """Keep the refresh token in place of what was there."""
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            try:
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    json.dump({"about": self._about, "refresh_token": token.reveal()}, file)
                os.replace(name, self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def forget(self, token: Secret) -> None:
        """Delete the file if it still holds this token."""
        if self.read() == token:
            with suppress(OSError):
                self.path.unlink()


def _is_private(about: os.stat_result) -> bool:
    if os.name == "nt":  # its rights are those of the folder
        return stat.S_ISREG(about.st_mode)
    mine = about.st_uid == os.getuid()
    return mine and stat.S_ISREG(about.st_mode) and not about.st_mode & 0o077
