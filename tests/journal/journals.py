"""What the journal's tests say uploads with: a session of four parts, with planted secrets."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import PartPhase, UploadState, advance
from cognite_nb_upload.journal.writer import Fingerprint, Journal

PART = 6 * 1024 * 1024
PLANTED = "sig=planted-and-secret"
UPLOAD_ID = "planted-upload-id"


def mark(**changes: object) -> Fingerprint:
    facts: dict[str, object] = {
        "project": "acme",
        "base_url": "https://westeurope-1.cognitedata.com",
        "source": "/data/big.segy",
        "name": "big.segy",
        "size": 4 * PART,
        "mtime_ns": 1_700_000_000_123_456_789,
        "inode": 42,
        "part_size": PART,
        "samples": ("aa", "bb"),
        "metadata": "cc",
    }
    return Fingerprint(**{**facts, **changes})  # type: ignore[arg-type]


def opened(parts: int = 4, session: str = UPLOAD_ID) -> ev.Opened:
    urls = tuple(Secret(f"https://store.example/{session}/{no}?{PLANTED}") for no in range(parts))
    return ev.Opened(
        file_id=91, upload_id=Secret(session), urls=urls, sizes=(PART,) * parts, name="big.segy"
    )


def stored(no: int) -> ev.PartStored:
    return ev.PartStored(no=no, size=PART, checksums=(("md5", f"{no:032x}"),))


def record(journal: Journal, *events: ev.Event, since: UploadState | None = None) -> UploadState:
    """Tell the journal what happened, as an upload would; returns the upload's own state."""
    state = since or (journal.replayed.state if journal.replayed else UploadState())
    for event in events:
        state = advance(state, event)
        journal.record(state, event)
    return state


def known(state: UploadState) -> tuple[object, ...]:
    """What of a state outlives its process."""
    parts = tuple(
        (part.size, part.checksums) if part.phase is PartPhase.STORED else (part.size,)
        for part in state.parts
    )
    return state.phase, state.file_id, state.error, parts


def journal_file(folder: Path) -> Path:
    (path,) = folder.glob("*.journal")
    return path


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The operating system refuses to let a file of this process grow past `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
