"""`BrowserFiles`: pick or drop files of one's own computer, of any size, and upload them.

On Binder and JupyterHub the notebook runs elsewhere. The files stay where they are, and the kernel
asks the page for their bytes as the upload needs them.

Rules of this file: what a page says is taken in whatever thread the kernel hears it, and only
handed on; no trait holds a secret.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import anywidget
import ipywidgets
import traitlets

from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.models.show import plain
from cognite_nb_upload.progress.css import script
from cognite_nb_upload.widgets.browser.file import BrowserFile
from cognite_nb_upload.widgets.browser.link import Link, Message
from cognite_nb_upload.widgets.cell import (
    RUN_ELSEWHERE,
    OfThisKernel,
    close_last_run,
    made_here,
)
from cognite_nb_upload.widgets.style import keep_order, make

_STATIC: Final = Path(__file__).parent / "static"


class BrowserFiles(OfThisKernel, anywidget.AnyWidget):
    """A button and a place to drop files of one's own computer; `files` is what is chosen.

    Each of `files` can be uploaded like a path: `client.files.upload(file)`, or
    `file.upload(client)`. A page that is loaded anew forgets its files: drop the same one again,
    and what reads it goes on.

    Args:
        multiple: several files may be chosen; otherwise a new one takes the place of the old one.
        direct: let the page send parts to the store by itself, where the store allows that (CORS).
            It is faster; the kernel then sees no bytes, so `verify="checksum"` and a bandwidth
            limit go the other way.
        label: what the button says.

    Attributes:
        files: the files that are chosen, a tuple of `BrowserFile`. Observable.
        note: what was wrong with the last choice. Observable.
        disabled: nothing can be chosen or removed.
    """

    _esm = script(_STATIC / "browser.js")
    _css = _STATIC / "browser.css"
    label = traitlets.Unicode("Choose files of this computer").tag(sync=True)
    multiple = traitlets.Bool(True).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    left = traitlets.Unicode("").tag(sync=True)
    files = traitlets.Tuple()

    def __init__(
        self,
        *,
        multiple: bool = True,
        direct: bool = False,
        label: str = "Choose files of this computer",
    ) -> None:
        close_last_run()
        self.link = Link(self._send_message)
        self.direct = direct
        self._numbers = count(1)
        self._by_no: dict[int, BrowserFile] = {}
        self._lock = threading.RLock()
        super().__init__(multiple=multiple, label=label, layout=make(ipywidgets.Layout))
        keep_order(self)
        self.on_msg(self._heard)
        made_here(self, self._close_unless_chosen)

    def remove(self, file: BrowserFile) -> None:
        """Take a file off the list; what still reads it is told that it was removed."""
        with self._lock:
            self._by_no = {no: one for no, one in self._by_no.items() if one is not file}
            self.files = tuple(self._by_no.values())
        file.end("removed")
        for key in file.keys:
            self.link.release(key)
        self._show()

    def close(self) -> None:
        """Let go of all files, and close the widget."""
        for file in self.files:
            self.remove(file)
        self.layout.close()
        super().close()

    def _close_unless_chosen(self) -> None:
        """Its cell was run again: files that were chosen stay readable for what reads them."""
        if not self.files:
            self.left = RUN_ELSEWHERE
            self.close()

    def __repr__(self) -> str:
        names = ", ".join(plain(file.name) for file in self.files)
        return f"<BrowserFiles: {names or 'none chosen'}>"

    # --- what the page says ------------------------------------------------------------------

    def _send_message(self, message: Message) -> None:
        self.send(dict(message))

    def _heard(self, _: object, message: Message, buffers: Sequence[memoryview]) -> None:
        kind = message.get("kind")
        if kind == "chosen":
            self._choose(message["files"])
        elif kind == "remove":
            file = self._by_no.get(message["no"])
            if file is not None:
                self.remove(file)
        else:
            self.link.hear(message, buffers)
        if kind in ("leaving", "hello"):
            for file in self.files:
                file.look()

    def _choose(self, chosen: Sequence[Message]) -> None:
        with self._lock:
            self.note = ""
            for one in chosen:
                self.link.hold(one["key"])
                facts = (str(one["name"]), int(one["size"]), int(one["modified"]))
                self._take(one["key"], *facts, str(one.get("folder", "")))
            self.files = tuple(self._by_no.values())
        self._show()

    def _take(self, key: str, name: str, size: int, modified_ms: int, folder: str) -> None:
        """A file that is known is read on from; one that only seems to be the same is not."""
        # Files of one name may lie in several folders that were dropped.
        known = [file for file in self.files if (file.name, file.folder) == (name, folder)]
        for file in known:
            if file.is_like(name, size, modified_ms):
                file.offer(key)
                return
        away = next((file for file in known if file.is_away), None)
        if away is None:
            self._add(key, name, size, modified_ms, folder)
        elif away.was_unreadable:
            away.end("it was written to, or replaced by another one")
            self._add(key, name, size, modified_ms, folder)
        else:
            self._decline(away, key, size)

    def _add(self, key: str, name: str, size: int, modified_ms: int, folder: str) -> None:
        if not self.multiple:
            for file in self.files:
                self.remove(file)
        file = BrowserFile(
            self.link,
            key=key,
            name=name,
            size=size,
            modified_ms=modified_ms,
            folder=folder,
            direct=self.direct,
            changed=self._show,
        )
        self._by_no[next(self._numbers)] = file

    def _decline(self, file: BrowserFile, key: str, size: int) -> None:
        self.link.release(key)
        what = (
            "its modification time is another"
            if size == file.size
            else f"it has {size:,} bytes, not {file.size:,}"
        )
        file.decline(f"the one that was dropped is not the same: {what}")
        self.note = f"This is not the same {file.name}: {what}. Remove the old one to take it."

    # --- what the page shows -----------------------------------------------------------------

    def _show(self) -> None:
        with self._lock:
            self.rows = [self._row(no, file) for no, file in self._by_no.items()]

    def _row(self, no: int, file: BrowserFile) -> dict[str, Any]:
        words = file.waiting_for.removeprefix(f"{plain(file.name)}: ")
        return {
            "no": no,
            "key": file.keys[-1],
            "name": plain(f"{file.folder}/{file.name}" if file.folder else file.name),
            "size": show_bytes(file.size),
            "words": words,
            "mood": "waiting" if words else "ready",
        }
