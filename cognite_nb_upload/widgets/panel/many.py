"""`FileList`: several files as one list, a row each, a few of them on their way at once.

Rules of this file: no widgets; a row that fails stops no other; "uploaded" is said of what CDF has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

from anyio import to_thread

from cognite_nb_upload.progress.outcome import in_words
from cognite_nb_upload.transfer.upload import Upload, Uploaded
from cognite_nb_upload.widgets.panel.chooser import ChosenFile
from cognite_nb_upload.widgets.tasks import Tasks

# More files at once make nothing faster: the parts of one fill the connections of a client.
_AT_ONCE: Final = 3
_lists: list[FileList] = []  # those that run in this process, for a panel that is made again

Call = Callable[[ChosenFile], Upload]


@dataclass(eq=False, slots=True)
class ListRow:
    """One file of a list.

    Attributes:
        no: counts from 1, and stays the same.
        mood: ready, waiting, sending, done, failed or stopped.
        said: why it failed, or CDF's id of the file.
        stop: Stop was pressed before there was an upload.
    """

    no: int
    file: ChosenFile
    mood: str = "ready"
    said: str = ""
    upload: Upload | None = None
    stop: bool = False

    @property
    def sent(self) -> int:
        """Bytes that have gone; all of them where CDF has the file."""
        if self.mood == "done":
            return self.file.size
        return self.upload.state.sent if self.upload is not None else 0


class FileList:
    """Files that are uploaded with one press.

    Args:
        files: in the order in which they are sent.

    Attributes:
        rows: one for each file.
        started: whether Upload was pressed.
        paused: nothing is sent until `resume()`.
        on_upload: is told each upload that starts.
        on_done: is told each file that CDF has.
        on_change: is called whenever a row changes.
    """

    def __init__(self, files: Sequence[ChosenFile]) -> None:
        self.rows = tuple(ListRow(no, file) for no, file in enumerate(files, 1))
        self.started = self.paused = False
        self.on_upload: Callable[[Upload], None] = lambda _: None
        self.on_done: Callable[[Uploaded], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        self._call: Call | None = None
        self._tasks = Tasks()
        self._lock = threading.RLock()
        self._workers = 0
        self._names = count()

    @property
    def running(self) -> bool:
        """Whether a file is on its way, or waits for its turn."""
        return self.started and any(row.mood in ("waiting", "sending") for row in self.rows)

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """The uploads that were started, in the order of the rows."""
        return tuple(row.upload for row in self.rows if row.upload is not None)

    def row(self, no: int) -> ListRow | None:
        """The row of that number; None where it was removed."""
        return next((row for row in self.rows if row.no == no), None)

    def remove(self, row: ListRow) -> None:
        """Take a file off the list, before it is sent."""
        with self._lock:
            if row.mood not in ("ready", "failed", "stopped"):
                return
            self.rows = tuple(one for one in self.rows if one is not row)
        self.on_change()

    def start(self, call: Call) -> None:
        """Upload all files; `call(file)` starts one. A second call does nothing."""
        with self._lock:
            if self.started:
                return
            self._call, self.started = call, True
            _lists.append(self)
            for row in self.rows:
                row.mood = "waiting"
        self._go()

    def retry(self, row: ListRow) -> None:
        """Upload one file again that failed or was stopped."""
        with self._lock:
            if row.mood not in ("failed", "stopped"):
                return
            row.mood, row.said = "waiting", ""
            self.paused = False
            if self not in _lists:
                _lists.append(self)
        self._go()

    def pause(self) -> None:
        """Send nothing until `resume()`."""
        with self._lock:
            self.paused = True
            for row in self.rows:
                if row.mood == "sending" and row.upload is not None:
                    row.upload.pause()
        self.on_change()

    def resume(self) -> None:
        """Go on after a pause."""
        with self._lock:
            self.paused = False
            for row in self.rows:
                if row.mood == "sending" and row.upload is not None:
                    row.upload.resume()
        self._go()

    def stop(self) -> None:
        """End it; what is stored is kept, and `retry` goes on from there."""
        with self._lock:
            for row in self.rows:
                if row.mood == "waiting":
                    row.mood = "stopped"
                elif row.mood == "sending":
                    row.stop = True  # also one that is being started in this moment
                    self._stop(row)
        self.on_change()

    def wait(self, timeout_s: float = 60.0) -> bool:
        """Block until nothing is on its way; False where that takes longer."""
        return self._tasks.wait(timeout_s)

    # --- the work ----------------------------------------------------------------------------

    def _go(self) -> None:
        with self._lock:
            waiting = sum(row.mood == "waiting" for row in self.rows)
            more = min(_AT_ONCE - self._workers, waiting)
            self._workers += max(0, more)
        for _ in range(more):
            self._tasks.start(f"send {next(self._names)}", self._send_next)
        self.on_change()

    async def _send_next(self) -> None:
        while (row := self._take()) is not None:
            await self._send(row)
            self.on_change()
        with self._lock:
            if not self.running and self in _lists:
                _lists.remove(self)
        self.on_change()

    def _take(self) -> ListRow | None:
        """The next file, which is then this worker's; None ends the worker."""
        with self._lock:
            row = next((one for one in self.rows if one.mood == "waiting"), None)
            if row is None or self.paused:
                self._workers -= 1
                return None
            row.mood, row.said, row.upload, row.stop = "sending", "", None, False
            return row

    async def _send(self, row: ListRow) -> None:
        assert self._call is not None  # noqa: S101 # start() has set it
        try:
            # In a thread: a slow disk must not hold the loop back.
            upload = await to_thread.run_sync(self._begun, row, self._call)
            self.on_upload(upload)
            upload.watched(1)  # its row shows it: waiting for it needs no bars
            uploaded = await upload
        except Exception as error:  # it is said in its row, and stops no other
            stopped = row.upload is not None and row.upload.closing
            row.mood, row.said = ("stopped", "") if stopped else ("failed", in_words(error))
        else:
            row.mood, row.said = "done", f"id {uploaded.id}"
            self.on_done(uploaded)

    def _begun(self, row: ListRow, call: Call) -> Upload:
        """Start its upload; what was pressed meanwhile holds for it, too."""
        upload = call(row.file)
        with self._lock:
            row.upload = upload
            if self.paused:
                upload.pause()
            if row.stop:
                self._stop(row)
        return upload

    def _stop(self, row: ListRow) -> None:
        if row.upload is not None:
            self._tasks.start(f"stop {row.no}", partial(_stop, row.upload))


def running_lists() -> tuple[FileList, ...]:
    """The lists that run in this process, the oldest first."""
    return tuple(_lists)


async def _stop(upload: Upload) -> None:
    await to_thread.run_sync(upload.stop)
