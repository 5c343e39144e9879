"""The file that a journal's lines are appended to: written at once, synced in another thread.

Rules of this file: what cannot be written now is cut off, kept in memory and written with the next
line, in order; so is what the disk failed to sync. Nobody waits for the disk but the callers of
`settle`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cognite_nb_upload import process
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.journal import folder as journal_folder

# A line reaches the disk so many seconds after it was written, or as soon as the disk can.
SYNC_EVERY_S: Final = 0.5


class JournalFile:
    """Appends lines to a file of mode 0600; safe to use from any thread.

    Args:
        path: the file; it must not be there where `end` is 0, and must be there otherwise.
        end: bytes of it that are sound; what follows is cut off before the first line.
        on_trouble: is called, in any thread, with why lines are not on disk; with None once they
            are again.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, end: int, on_trouble: Callable[[OSError | None], None]) -> None:
        self._fd: int | None = journal_folder.open_file(path, new=end == 0)
        process.own(self._fd)
        self._folder = path.parent if end == 0 else None  # whose entry is to be synced, too
        self._on_trouble = on_trouble
        self._mutex = threading.Lock()  # guards all that follows
        self._pending: list[Secret] = []  # lines that are not in the file
        self._unsynced: list[Secret] = []  # lines in the file that may not be on disk
        self._end = self._synced_end = end
        self._torn = True  # there may be more than `_end` bytes
        self._troubled = self._released = False  # released: the file may be another writer's
        self._syncing = threading.Lock()  # one sync at a time; taken before `_mutex`
        self._wake = threading.Condition()
        self._asked = self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, line: Secret) -> None:
        """Write a line, with all that could not be written before; the disk has it soon."""
        with self._mutex:
            self._pending.append(line)
            self._write()
        with self._wake:
            self._asked = True
            self._start()

    def settle(self) -> None:
        """Wait until the disk has every line, or has failed to take them."""
        with self._syncing:
            with self._mutex:
                self._write()
                count, end = len(self._unsynced), self._end
                if self._fd is None or not count:
                    return
                try:
                    fd = os.dup(self._fd)
                except OSError as error:  # no descriptor is left: the next one tries again
                    self._tell(error)
                    return
            try:
                if self._folder is not None:
                    journal_folder.sync_folder(self._folder)
                journal_folder.sync(fd)
            except OSError as error:
                self._take_back(error)
            else:
                self._folder = None
                self._keep(count, end)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Write no more; what the disk does not have yet is synced in the background."""
        with self._mutex:
            self._released = True
            left = self._fd is not None and bool(self._unsynced)
        with self._wake:
            self._closed = True
            if left:
                self._asked = True
                self._start()
            self._wake.notify_all()
        if not left:
            self.close_now()

    def close_now(self) -> None:
        """Close it, whatever the disk has: it is about to be deleted."""
        # Windows does not delete what is open, so a sync that is under way is waited for there.
        with self._syncing if os.name == "nt" else contextlib.nullcontext(), self._mutex:
            self._write()
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    # --- writing; each holds `_mutex` -------------------------------------------------------

    def _write(self) -> None:
        """Write what is pending, all or nothing."""
        if self._fd is None or self._released or not self._pending:
            return
        try:
            if self._torn:
                os.ftruncate(self._fd, self._end)
            self._torn = True
            written = journal_folder.write(self._fd, self._pending)
        except OSError as error:
            self._cut_off(error)
            return
        self._torn = False
        self._end += written
        self._unsynced += self._pending
        self._pending = []
        self._tell(None)

    def _cut_off(self, error: OSError) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # then it is done before the next write
                os.ftruncate(self._fd, self._end)
        self._tell(error)

    def _tell(self, trouble: OSError | None) -> None:
        if trouble is not None or self._troubled:
            self._troubled = trouble is not None
            self._on_trouble(trouble)

    # --- syncing; each holds `_syncing` -----------------------------------------------------

    def _keep(self, count: int, end: int) -> None:
        with self._mutex:
            del self._unsynced[:count]
            self._synced_end = end

    def _take_back(self, error: OSError) -> None:
        """Write again what the disk failed to take: after that, nobody knows what it has."""
        with self._mutex:
            if self._fd is None or self._released:
                return
            self._pending = self._unsynced + self._pending
            self._unsynced = []
            self._end, self._torn = self._synced_end, True
            self._cut_off(error)

    # --- in another thread ------------------------------------------------------------------

    def _start(self) -> None:
        """The caller holds `_wake`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="upload-journal", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._asked or self._closed)
                if not self._asked:
                    return
                self._asked = False
            with contextlib.suppress(Warning):  # where those are errors, nobody is here to see it
                self.settle()
            with self._wake:
                self._wake.wait_for(lambda: self._closed, SYNC_EVERY_S)
                if self._closed and not self._asked:
                    self.close_now()
                    return
